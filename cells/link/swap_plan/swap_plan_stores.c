/* SPDX-License-Identifier: MIT */
/*
 * The plan: every store, with what it replaces. Two lists:
 *
 *   patches   made while all other CPUs stand still: fields in text, constants and data that refer to what
 *             moves, and entries. They can be taken back until the last one is made.
 *   metadata  made afterwards, under the loader's mutex, by which nobody sees the state in between:
 *             bindings and their lists, the namespace's cells and maps, what became of old cells.
 *             They cannot fail, and making them twice is as good as once.
 *
 * Lists of bindings: those of old sections are split, bindings of cells that stay move to the new
 * section; those of sections that stay get the bindings of new cells in front. Fields are found in
 * the pristine relocations of each cell whose bindings move, which are gone through once. What is
 * written to new cells themselves is written at once, for nobody knows them.
 */
#include "address_map.h"
#include "cell_namespace.h"
#include "heap_block.h"
#include "relocation.h"
#include "sort.h"
#include "swap_plan_priv.h"

static enum status add_store(struct swap_plan *plan, struct swap_stores *stores,
                             enum swap_store_kind kind, const void *at, uint64_t before,
                             uint64_t after, uint32_t size, struct diag *diag)
{
    if (!swap_plan_grow(plan, (void **)&stores->stores, stores->count, &stores->capacity,
                        sizeof(*stores->stores))) {
        return swap_plan_refuse_memory(diag);
    }
    stores->stores[stores->count++] = (struct swap_store){
        .address = (uintptr_t)at,
        .before = before,
        .after = after,
        .size = (uint8_t)size,
        .kind = (uint8_t)kind,
    };
    return OK;
}

static uint64_t bytes_at(const void *at, uint32_t size)
{
    uint64_t value = 0;
    __builtin_memcpy(&value, at, size);
    return value;
}

/* Metadata of up to 8 bytes, if it changes. */
static enum status set_field(struct swap_plan *plan, const void *at, uint64_t after, uint32_t size,
                             struct diag *diag)
{
    uint64_t before = bytes_at(at, size);
    return before == after ? OK
                           : add_store(plan, &plan->metadata, SWAP_STORE_METADATA, at, before,
                                       after, size, diag);
}

static enum status set_pointer(struct swap_plan *plan, const void *field, const void *pointer,
                               struct diag *diag)
{
    return set_field(plan, field, (uintptr_t)pointer, sizeof(void *), diag);
}

/* ---- fields ---- */

/* What a field holds that refers to `symbol` as this reference does. */
static uint64_t field_value(const struct dependency *reference, const struct symbol *symbol,
                            int64_t into)
{
    bool is_operand =
        (reference->source->flags & SHF_EXECINSTR) && relocation_is_operand(reference->type);
    uint64_t bias = is_operand ? RELOCATION_OPERAND_SIZE : 0;
    uint64_t value =
        reference->via_entry ? symbol->entry - bias : symbol->address + (uint64_t)into - bias;
    bool is_relative = reference->type == R_X86_64_PC32 || reference->type == R_X86_64_PLT32 ||
                       reference->type == R_X86_64_PC64;
    return is_relative ? value - (reference->source->address + reference->offset) : value;
}

static bool fits(uint32_t type, uint64_t value)
{
    switch (type) {
    case R_X86_64_64:
    case R_X86_64_PC64:
        return true;
    case R_X86_64_32:
        return value == (uint32_t)value;
    default:
        return (int64_t)value == (int32_t)value;
    }
}

static enum status refuse_bytes(const struct section *section, uint64_t offset, uint64_t expected,
                                uint64_t found, struct diag *diag)
{
    return diag_set(diag, DIAG_SWAP_BYTES,
                    &(struct diag_site){
                        .cell = section->cell->name,
                        .section = section->name,
                        .offset = offset,
                        .expected = expected,
                        .found = found,
                    });
}

static enum status patch_field(struct swap_plan *plan, const struct dependency *reference,
                               const struct symbol *old, const struct symbol *new, int64_t into,
                               struct diag *diag)
{
    const struct section *source = reference->source;
    bool is_wide = reference->type == R_X86_64_64 || reference->type == R_X86_64_PC64;
    uint32_t size = is_wide ? 8 : 4;
    uint64_t mask = is_wide ? UINT64_MAX : UINT32_MAX;
    uint64_t before = field_value(reference, old, into) & mask;
    uint64_t after = field_value(reference, new, into);
    if (!fits(reference->type, after)) {
        return diag_set(diag, DIAG_LINK_OVERFLOW,
                        &(struct diag_site){
                            .cell = source->cell->name,
                            .section = source->name,
                            .symbol = new->key.name,
                            .offset = reference->offset,
                            .found = after,
                        });
    }
    if ((after & mask) == before) {
        return OK;
    }
    const void *at = (const void *)(source->address + reference->offset);
    enum swap_store_kind kind = source->region == REGION_TEXT     ? SWAP_STORE_TEXT
                                : source->region == REGION_RODATA ? SWAP_STORE_CONSTANT
                                                                  : SWAP_STORE_DATA;
    if (kind != SWAP_STORE_DATA && bytes_at(at, size) != before) {
        return refuse_bytes(source, reference->offset, before, bytes_at(at, size), diag);
    }
    return add_store(plan, &plan->patches, kind, at, before, after & mask, size, diag);
}

/* ---- bindings ---- */

/* The binding of a cell that stays goes to the new section. */
static enum status move_binding(struct swap_plan *plan, struct binding *binding,
                                const struct symbol *old, const struct symbol *new,
                                struct diag *diag)
{
    struct section *target = new->section;
    if (!swap_plan_grow(plan, (void **)&plan->moves, plan->move_count, &plan->move_capacity,
                        sizeof(*plan->moves))) {
        return swap_plan_refuse_memory(diag);
    }
    plan->moves[plan->move_count++] = (struct swap_move){binding, old, new};
    enum status status = set_pointer(plan, &binding->target, target, diag);
    if (status == OK) {
        uint32_t offset = (uint32_t)(new->address - target->address);
        status = set_field(plan, &binding->offset, offset, sizeof(offset), diag);
    }
    if (status == OK) {
        status = set_pointer(plan, &binding->next_incoming, target->incoming, diag);
        target->incoming = binding; /* the new cell's own, which nobody knows */
    }
    return status;
}

/* Splits the list of one old section. */
static enum status move_bindings(struct swap_plan *plan, struct section *section, struct diag *diag)
{
    struct binding **link = &section->incoming; /* of what stays: where the next one goes */
    enum status status = OK;
    struct binding *next;
    for (struct binding *at = section->incoming; status == OK && at; at = next) {
        const struct symbol *old;
        const struct symbol *new;
        next = at->next_incoming;
        bool stays = at->cell->is_leaving || !swap_plan_find_successor(plan, at, &old, &new);
        if (!stays) {
            status = move_binding(plan, at, old, new, diag);
            continue;
        }
        status = set_pointer(plan, link, at, diag);
        link = &at->next_incoming;
    }
    return status == OK ? set_pointer(plan, link, NULL, diag) : status;
}

/* A cell's bindings lie in one array, in the order of their symbols. */
static bool move_before(const void *a, const void *b)
{
    return (uintptr_t)((const struct swap_move *)a)->binding <
           (uintptr_t)((const struct swap_move *)b)->binding;
}

/* Of `count` moves of one cell, sorted, that of a symbol, or NULL. */
static const struct swap_move *find_move(const struct swap_move *moves, uint32_t count,
                                         uint32_t symbol)
{
    while (count > 0) {
        uint32_t half = count / 2;
        uint32_t is = moves[half].binding->symbol;
        if (is == symbol) {
            return &moves[half];
        }
        moves += is < symbol ? half + 1 : 0;
        count = is < symbol ? count - half - 1 : half;
    }
    return NULL;
}

/* The fields of one section that refer to what moves. */
static enum status patch_section(struct swap_plan *plan, const struct section *section,
                                 const struct swap_move *moves, uint32_t count, struct diag *diag)
{
    uint32_t first = moves[0].binding->symbol;
    uint32_t span = moves[count - 1].binding->symbol - first;
    enum status status = OK;
    for (uint32_t i = 0; status == OK && i < section->relocation_count; i++) {
        uint32_t symbol = section->relocations[i].r_sym;
        const struct swap_move *move =
            symbol - first <= span ? find_move(moves, count, symbol) : NULL;
        if (!move || section->relocations[i].r_type == R_X86_64_NONE) {
            continue;
        }
        struct dependency reference;
        relocation_describe(section, i, &reference);
        int64_t into =
            reference.target_offset - (int64_t)(move->old->address - move->old->section->address);
        status = patch_field(plan, &reference, move->old, move->new, into, diag);
    }
    return status;
}

static enum status patch_fields(struct swap_plan *plan, struct diag *diag)
{
    const struct swap_move *moves = plan->moves;
    sort_array(plan->moves, plan->move_count, sizeof(*plan->moves), move_before);
    enum status status = OK;
    uint32_t next;
    for (uint32_t i = 0; status == OK && i < plan->move_count; i = next) {
        const struct cell *cell = moves[i].binding->cell;
        next = i + 1;
        while (next < plan->move_count && moves[next].binding->cell == cell) {
            next++;
        }
        for (uint32_t k = 0; status == OK && k < cell->object.section_count; k++) {
            status = patch_section(plan, &cell->sections[k], &moves[i], next - i, diag);
        }
    }
    return status;
}

static bool binding_before(const void *a, const void *b)
{
    const struct binding *const *left = a;
    const struct binding *const *right = b;
    return (uintptr_t)(*left)->target < (uintptr_t)(*right)->target;
}

/* Enters what new cells refer to: at once where that is new too, by stores where it stays. */
static enum status enter_bindings(struct swap_plan *plan, struct diag *diag)
{
    size_t most = 1;
    for (uint32_t i = 0; i < plan->new_count; i++) {
        most += swap_plan_new_cell(plan, i)->binding_count;
    }
    OWNED(heap_block, block);
    if (!swap_plan_take(plan, most * sizeof(struct binding *), SLOT(block))) {
        return swap_plan_refuse_memory(diag);
    }
    struct binding **list = heap_block_of(*SLOT(block));
    size_t count = 0;
    for (uint32_t i = 0; i < plan->new_count; i++) {
        struct cell *cell = swap_plan_new_cell(plan, i);
        for (uint32_t k = 0; k < cell->binding_count; k++) {
            struct binding *binding = &cell->bindings[k];
            struct section *target = binding->target;
            if (target && swap_is_new(target->cell)) {
                binding->next_incoming = target->incoming;
                target->incoming = binding;
            } else if (target) {
                list[count++] = binding;
            }
        }
    }
    sort_array(list, count, sizeof(struct binding *), binding_before);
    enum status status = OK;
    for (size_t i = 0; status == OK && i < count; i++) {
        bool is_last = i + 1 == count || list[i + 1]->target != list[i]->target;
        bool is_first = i == 0 || list[i - 1]->target != list[i]->target;
        list[i]->next_incoming = is_last ? list[i]->target->incoming : list[i + 1];
        if (is_first) { /* the heads change when all is planned: nobody reads them in between */
            status = set_pointer(plan, &list[i]->target->incoming, list[i], diag);
        }
    }
    return status;
}

/* ---- entries ---- */

static uint64_t jump_to(uint64_t entry, uint64_t target)
{
    return 0xcccccc00000000e9 | ((target - (entry + 5)) & 0xffffffff) << 8;
}

static enum status retarget_entries(struct swap_plan *plan, struct diag *diag)
{
    enum status status = OK;
    for (uint32_t i = 0; status == OK && i < plan->inheritance_count; i++) {
        const struct swap_inheritance *of = &plan->inheritances[i];
        uint64_t entry = of->old->entry;
        uint64_t target =
            swap_plan_new_cell(plan, of->cell)->sections[of->section].address + of->offset;
        status = add_store(plan, &plan->patches, SWAP_STORE_TEXT, (const void *)entry,
                           *(const uint64_t *)entry, jump_to(entry, target), ENTRY_SIZE, diag);
        if (status == OK) {
            status = set_field(plan, &of->old->entry, 0, sizeof(of->old->entry), diag);
        }
        if (status == OK) {
            status = set_field(plan, &of->old->slot, FUNCTION_NO_SLOT, sizeof(of->old->slot), diag);
        }
        plan->counts.entries++;
    }
    return status;
}

/* ---- pointers in adopted variables ---- */

/*
 * A variable that stays may still hold the pointer that it was initialised with. If that led to
 * something that has moved, it is moved too. `reference` is the new cell's relocation of the
 * initial value.
 */
static enum status move_initial(struct swap_plan *plan, const struct swap_adoption *adoption,
                                const struct elf64_rela *reference, struct diag *diag)
{
    const struct section *old = adoption->old;
    bool is_wide = reference->r_type == R_X86_64_64;
    if (!is_wide && reference->r_type != R_X86_64_32 && reference->r_type != R_X86_64_32S) {
        return OK;
    }
    uint32_t size = is_wide ? 8 : 4;
    for (uint32_t i = 0; i < old->relocation_count; i++) {
        const struct elf64_rela *rela = &old->relocations[i];
        if (rela->r_offset != reference->r_offset || rela->r_type != reference->r_type) {
            continue;
        }
        struct dependency was;
        relocation_describe(old, i, &was);
        if (was.via_entry || !was.target) {
            continue;
        }
        const uint8_t *built =
            loader_aside_initial(STORED(plan->aside), adoption->cell, adoption->section);
        uint64_t before = was.target->address + (uint64_t)(int64_t)was.target_offset;
        uint64_t after = bytes_at(built + reference->r_offset, size);
        if (!is_wide) {
            before &= UINT32_MAX;
        }
        return before == after ? OK
                               : add_store(plan, &plan->patches, SWAP_STORE_DATA,
                                           (const void *)(old->address + reference->r_offset),
                                           before, after, size, diag);
    }
    return OK;
}

static enum status move_initials(struct swap_plan *plan, struct diag *diag)
{
    enum status status = OK;
    for (uint32_t i = 0; status == OK && i < plan->adoption_count; i++) {
        const struct swap_adoption *adoption = &plan->adoptions[i];
        const struct section *section =
            &swap_plan_new_cell(plan, adoption->cell)->sections[adoption->section];
        for (uint32_t k = 0;
             status == OK && section->region == REGION_DATA && k < section->relocation_count; k++) {
            status = move_initial(plan, adoption, &section->relocations[k], diag);
        }
    }
    return status;
}

/* ---- the namespace ---- */

static bool make_map(struct swap_plan *plan, struct symbol_map *map, const struct symbol_map *old,
                     uint32_t more)
{
    uint32_t capacity = symbol_map_capacity(old->count + more);
    capacity = capacity < old->capacity ? old->capacity : capacity;
    if (!swap_plan_take(plan, capacity * sizeof(*map->slots), &map->slots)) {
        return false;
    }
    if (capacity == old->capacity) {
        __builtin_memcpy((void *)map->slots, (const void *)old->slots,
                         capacity * sizeof(*map->slots));
        map->count = old->count;
    } else {
        struct symbol_map grown;
        __builtin_memset((void *)map->slots, 0, capacity * sizeof(*map->slots));
        symbol_map_init(&grown, map->slots, capacity, old);
        map->count = grown.count;
    }
    map->capacity = capacity;
    return true;
}

/* As cell_namespace_publish(): strong beats weak, the first of two weak ones stays. */
static void enter_symbol(struct symbol_map *map, const struct symbol *symbol)
{
    const struct symbol_key *other = symbol_map_insert(map, &symbol->key);
    if (other && symbol->binding != STB_WEAK) {
        symbol_map_remove(map, other);
        symbol_map_insert(map, &symbol->key);
    }
}

static enum status make_maps(struct swap_plan *plan, struct diag *diag)
{
    const struct cell_namespace *namespace = plan->namespace;
    uint32_t symbols = 0;
    for (uint32_t i = 0; i < plan->new_count; i++) {
        symbols += swap_plan_new_cell(plan, i)->symbol_count;
    }
    if (!make_map(plan, &plan->symbols, &namespace->symbols, symbols) ||
        !make_map(plan, &plan->names, &namespace->names, plan->new_count)) {
        return swap_plan_refuse_memory(diag);
    }
    plan->symbols_before = namespace->symbols.slots;
    plan->names_before = namespace->names.slots;
    for (uint32_t i = 0; i < plan->old_count; i++) {
        symbol_map_remove(&plan->names, &plan->old[i]->key);
        for (uint32_t k = 0; k < plan->old[i]->symbol_count; k++) {
            symbol_map_remove(&plan->symbols, &plan->old[i]->symbols[k].key);
        }
    }
    for (uint32_t i = 0; i < plan->new_count; i++) {
        struct cell *cell = swap_plan_new_cell(plan, i);
        symbol_map_insert(&plan->names, &cell->key);
        for (uint32_t k = 0; k < cell->symbol_count; k++) {
            enter_symbol(&plan->symbols, &cell->symbols[k]);
        }
    }
    return OK;
}

static enum status set_map(struct swap_plan *plan, const struct symbol_map *map,
                           const struct symbol_map *to, struct diag *diag)
{
    enum status status = set_pointer(plan, &map->slots, (const void *)to->slots, diag);
    if (status == OK) {
        status = set_field(plan, &map->capacity, to->capacity, sizeof(to->capacity), diag);
    }
    return status == OK ? set_field(plan, &map->count, to->count, sizeof(to->count), diag) : status;
}

/* The list of cells: old ones out, new ones behind the others. */
static enum status relist_cells(struct swap_plan *plan, struct diag *diag)
{
    struct cell_namespace *namespace = plan->namespace;
    struct cell **link = &namespace->first;
    struct cell *last = NULL;
    enum status status = OK;
    for (struct cell *at = namespace->first; status == OK && at; at = at->next) {
        if (!at->is_leaving) {
            status = set_pointer(plan, link, at, diag);
            link = &at->next;
            last = at;
        }
    }
    for (uint32_t i = 0; status == OK && i < plan->new_count; i++) {
        struct cell *cell = swap_plan_new_cell(plan, i);
        status = set_pointer(plan, link, cell, diag);
        link = &cell->next;
        last = cell;
    }
    if (status == OK) {
        status = set_pointer(plan, link, NULL, diag);
    }
    if (status == OK) {
        status = set_pointer(plan, &namespace->last, last, diag);
    }
    for (uint32_t i = 0; status == OK && i < plan->new_count; i++) {
        status = set_pointer(plan, &swap_plan_new_cell(plan, i)->namespace, namespace, diag);
    }
    uint32_t count = namespace->cell_count - plan->old_count + plan->new_count;
    return status == OK
               ? set_field(plan, &namespace->cell_count, count, sizeof(namespace->cell_count), diag)
               : status;
}

static struct cell *successor_of(const struct swap_plan *plan, const struct cell *old)
{
    for (uint32_t i = 0; i < plan->link_count; i++) {
        if (plan->links[i].old == old) {
            return swap_plan_new_cell(plan, plan->links[i].new);
        }
    }
    return NULL;
}

/* Old cells become older versions, and so do theirs. */
static enum status retire_cells(struct swap_plan *plan, struct diag *diag)
{
    struct cell_namespace *namespace = plan->namespace;
    enum status status = OK;
    for (struct cell *at = namespace->retired; status == OK && at; at = at->next) {
        if (at->successor && at->successor->is_leaving) {
            status = set_pointer(plan, &at->successor, successor_of(plan, at->successor), diag);
        }
    }
    struct cell *next = namespace->retired;
    for (uint32_t i = 0; status == OK && i < plan->old_count; i++) {
        struct cell *cell = plan->old[i];
        status = set_pointer(plan, &cell->next, next, diag);
        next = cell;
        if (status == OK) {
            status = set_pointer(plan, &cell->successor, successor_of(plan, cell), diag);
        }
        if (status == OK) {
            status = set_field(plan, &cell->is_retired, true, sizeof(bool), diag);
        }
        if (status == OK) {
            status = set_field(plan, &cell->has_lineage, true, sizeof(bool), diag);
        }
    }
    return status == OK ? set_pointer(plan, &namespace->retired, next, diag) : status;
}

/* ---- functions without a successor ---- */

bool swap_plan_is_entry_held(const struct cell *cell, const struct function *function)
{
    const struct section *section = &cell->sections[function->section];
    if (function->is_via_entry) {
        return true;
    }
    for (const struct binding *at = section->incoming; at; at = at->next_incoming) {
        if (at->is_via_entry && at->offset == function->offset) {
            return true;
        }
    }
    for (uint32_t i = 0; i < cell->symbol_count; i++) {
        if (cell->symbols[i].entry == function->entry && cell->symbols[i].is_given) {
            return true;
        }
    }
    return false;
}

static bool is_inherited(const struct swap_plan *plan, const struct function *function)
{
    for (uint32_t i = 0; i < plan->inheritance_count; i++) {
        if (plan->inheritances[i].old == function) {
            return true;
        }
    }
    return false;
}

static void note_kept(struct swap_plan *plan, const struct cell *cell,
                      const struct function *function)
{
    struct swap_plan_counts *counts = &plan->counts;
    if (counts->kept++ > 0) {
        return;
    }
    for (uint32_t i = 0; i < cell->object.symbol_count; i++) {
        const struct elf64_sym *symbol = &cell->object.symbols[i];
        if (elf_symbol_type(symbol) == STT_FUNC && symbol->st_shndx == function->section &&
            symbol->st_value == function->offset) {
            const char *name = elf_object_symbol_name(&cell->object, i);
            size_t length = __builtin_strlen(name);
            length = length < SWAP_PLAN_NAME_SIZE ? length : SWAP_PLAN_NAME_SIZE - 1;
            __builtin_memcpy(counts->kept_name, name, length);
            counts->kept_name[length] = '\0';
            return;
        }
    }
}

static void look_for_kept(struct swap_plan *plan)
{
    for (uint32_t i = 0; i < plan->old_count; i++) {
        const struct cell *cell = plan->old[i];
        for (uint32_t k = 0; k < cell->function_count; k++) {
            const struct function *function = &cell->functions[k];
            if (function->entry && !is_inherited(plan, function) &&
                swap_plan_is_entry_held(cell, function)) {
                note_kept(plan, cell, function);
            }
        }
    }
}

/* ---- all ---- */

static enum status check_holders(const struct swap_plan *plan, struct diag *diag)
{
    for (uint32_t i = 0; i < plan->old_count; i++) {
        const struct cell *cell = plan->old[i];
        if (cell->references && !successor_of(plan, cell)) {
            return diag_set(diag, DIAG_SWAP_HELD, &(struct diag_site){.cell = cell->name});
        }
    }
    return OK;
}

static enum status plan_references(struct swap_plan *plan, struct diag *diag)
{
    enum status status = enter_bindings(plan, diag);
    for (uint32_t i = 0; status == OK && i < plan->old_count; i++) {
        struct cell *cell = plan->old[i];
        for (uint32_t k = 0; status == OK && k < cell->object.section_count; k++) {
            if (cell->sections[k].incoming) {
                status = move_bindings(plan, &cell->sections[k], diag);
            }
        }
    }
    return status == OK ? patch_fields(plan, diag) : status;
}

enum status swap_plan_make(struct swap_plan *plan, struct diag *diag)
{
    enum status status = check_holders(plan, diag);
    if (status == OK) {
        status = plan_references(plan, diag);
    }
    if (status == OK) {
        status = move_initials(plan, diag);
    }
    plan->counts.patches = plan->patches.count;
    if (status == OK) {
        status = retarget_entries(plan, diag);
    }
    if (status == OK) {
        status = make_maps(plan, diag);
    }
    const struct cell_namespace *namespace = plan->namespace;
    if (status == OK) {
        status = set_map(plan, &namespace->symbols, &plan->symbols, diag);
    }
    if (status == OK) {
        status = set_map(plan, &namespace->names, &plan->names, diag);
    }
    if (status == OK) {
        status = relist_cells(plan, diag);
    }
    if (status == OK) {
        status = retire_cells(plan, diag);
    }
    if (status == OK) {
        status = loader_aside_table(STORED(plan->aside), &plan->table, diag);
    }
    look_for_kept(plan);
    plan->counts.stores = plan->patches.count + plan->metadata.count;
    return status;
}
