/* SPDX-License-Identifier: MIT */
/*
 * What new cells take over from old ones, decided while the new ones have no addresses yet: entries
 * of functions first, then variables, then constants, for what refers to something is the same only
 * if that is.
 */
#include "cell_namespace.h"
#include "cell_transfer.h"
#include "format.h"
#include "heap_block.h"
#include "layout_change.h"
#include "swap_plan_priv.h"

/* The names of the old cell of a link. */
static struct swap_names *names_of_old(const struct swap_plan *plan, const struct cell *old)
{
    uint32_t i = 0;
    while (plan->old[i] != old) {
        i++;
    }
    return &plan->old_names[i];
}

static bool is_exported(const struct cell *cell, const struct swap_name *name)
{
    return name->symbol >= cell->object.first_global;
}

/*
 * The same in the cells that it replaces. Where several have one, that of the same source file is
 * meant. Variables of which none can be told to be meant are ambiguous: each may hold a value.
 */
static const struct swap_name *find_replaced(const struct swap_plan *plan, uint32_t index,
                                             const struct swap_name *name,
                                             const struct swap_names **out_in, bool *out_ambiguous)
{
    const struct swap_names *of = &plan->new_names[index];
    const struct swap_name *best = NULL;
    bool is_contested = false;
    *out_ambiguous = false;
    for (uint32_t i = 0; i < plan->link_count; i++) {
        if (plan->links[i].new != index) {
            continue;
        }
        const struct swap_names *in = names_of_old(plan, plan->links[i].old);
        bool here;
        const struct swap_name *found = swap_names_find(in, of, name, &here);
        *out_ambiguous |= here;
        if (!found || found == best) {
            continue;
        }
        int nearer = best ? swap_has_same_file(name, found) - swap_has_same_file(name, best) : 1;
        if (nearer > 0) {
            best = found;
            *out_in = in;
        }
        is_contested = nearer < 0 ? is_contested : nearer == 0;
    }
    *out_ambiguous = best ? is_contested : *out_ambiguous;
    bool is_variable = elf_symbol_type(swap_symbol(of->cell, name)) == STT_OBJECT;
    return is_contested && is_variable ? NULL : best;
}

/*
 * What `name` of new cell `index` stands for in the old cells: in those that it replaces, and
 * exported ones in any. *out_in says in which.
 */
static const struct swap_name *find_old(const struct swap_plan *plan, uint32_t index,
                                        const struct swap_name *name,
                                        const struct swap_names **out_in, bool *out_ambiguous)
{
    const struct swap_names *of = &plan->new_names[index];
    const struct swap_name *replaced = find_replaced(plan, index, name, out_in, out_ambiguous);
    if (replaced) {
        return replaced;
    }
    for (uint32_t i = 0; is_exported(of->cell, name) && i < plan->old_count; i++) {
        bool here;
        const struct swap_name *found = swap_names_find(&plan->old_names[i], of, name, &here);
        if (found && is_exported(plan->old[i], found)) {
            *out_in = &plan->old_names[i];
            return found;
        }
    }
    return NULL;
}

/* ---- functions ---- */

static bool is_inherited(const struct swap_plan *plan, const struct function *old)
{
    for (uint32_t i = 0; i < plan->inheritance_count; i++) {
        if (plan->inheritances[i].old == old) {
            return true;
        }
    }
    return false;
}

static struct function *function_of(const struct cell *cell, const struct swap_name *name)
{
    const struct elf64_sym *symbol = swap_symbol(cell, name);
    return swap_function(cell, symbol->st_shndx, symbol->st_value);
}

static bool inherit(struct swap_plan *plan, uint32_t index, struct function *function,
                    struct function *old)
{
    if (!swap_plan_grow(plan, (void **)&plan->inheritances, plan->inheritance_count,
                        &plan->inheritance_capacity, sizeof(*plan->inheritances))) {
        return false;
    }
    function->entry = old->entry;
    plan->inheritances[plan->inheritance_count++] = (struct swap_inheritance){
        .old = old,
        .cell = index,
        .section = function->section,
        .offset = function->offset,
    };
    return true;
}

/* Older versions still may own the entry of a function that the latest one lacked. */
static struct function *find_in_retired(const struct swap_plan *plan, uint32_t index,
                                        const struct swap_name *name)
{
    const struct swap_names *of = &plan->new_names[index];
    for (struct cell *cell = plan->namespace->retired; cell; cell = cell->next) {
        bool is_linked = false;
        for (uint32_t i = 0; i < plan->link_count; i++) {
            is_linked |= plan->links[i].new == index && plan->links[i].old == cell->successor;
        }
        for (uint32_t k = 1; is_linked && k < cell->object.symbol_count; k++) {
            const struct elf64_sym *symbol = &cell->object.symbols[k];
            if (elf_symbol_type(symbol) != STT_FUNC || symbol->st_shndx == SHN_UNDEF ||
                symbol->st_shndx >= cell->object.section_count ||
                __builtin_strcmp(elf_object_symbol_name(&cell->object, k), name->text) != 0 ||
                (k >= cell->object.first_global) != is_exported(of->cell, name)) {
                continue;
            }
            struct function *function = swap_function(cell, symbol->st_shndx, symbol->st_value);
            if (function && function->entry && !is_inherited(plan, function)) {
                return function;
            }
        }
    }
    return NULL;
}

/* Do both sides say the same of it, as far as they say anything? */
static bool has_same_signature(const struct swap_names *a, const struct swap_name *one,
                               const struct swap_names *b, const struct swap_name *other)
{
    const struct cell_abi_symbol *left = cell_abi_symbol_at(&a->abi, one->symbol);
    const struct cell_abi_symbol *right = cell_abi_symbol_at(&b->abi, other->symbol);
    return !left || !right || left->signature == right->signature;
}

static enum status match_functions(struct swap_plan *plan, uint32_t index, struct diag *diag)
{
    const struct swap_names *names = &plan->new_names[index];
    for (uint32_t i = 0; i < names->count; i++) {
        const struct swap_name *name = &names->names[i];
        struct function *function = function_of(names->cell, name);
        if (elf_symbol_type(swap_symbol(names->cell, name)) != STT_FUNC || !function ||
            function->entry) {
            continue;
        }
        const struct swap_names *in;
        bool is_ambiguous;
        const struct swap_name *found = find_old(plan, index, name, &in, &is_ambiguous);
        struct function *old = found ? function_of(in->cell, found) : NULL;
        if (old && !has_same_signature(names, name, in, found)) {
            old = NULL; /* who holds the old address means the old function, and goes on with it */
        }
        if (old && !old->entry) {
            old = NULL;
        }
        if (!found) {
            old = find_in_retired(plan, index, name);
        }
        if (old && !is_inherited(plan, old) && !inherit(plan, index, function, old)) {
            return swap_plan_refuse_memory(diag);
        }
    }
    return OK;
}

/* ---- variables ---- */

const struct section *swap_plan_adopted_from(const struct swap_plan *plan, uint32_t cell,
                                             uint32_t section)
{
    for (uint32_t i = 0; i < plan->adoption_count; i++) {
        const struct swap_adoption *adoption = &plan->adoptions[i];
        if (adoption->cell == cell && adoption->section == section) {
            return adoption->old;
        }
    }
    return NULL;
}

static bool is_adopted(const struct swap_plan *plan, const struct section *old)
{
    for (uint32_t i = 0; i < plan->adoption_count; i++) {
        if (plan->adoptions[i].old == old) {
            return true;
        }
    }
    return false;
}

enum status swap_plan_adopt(struct swap_plan *plan, uint32_t cell, uint32_t section,
                            const struct section *old, struct diag *diag)
{
    if (!swap_plan_grow(plan, (void **)&plan->adoptions, plan->adoption_count,
                        &plan->adoption_capacity, sizeof(*plan->adoptions))) {
        return swap_plan_refuse_memory(diag);
    }
    enum status status = loader_aside_adopt(STORED(plan->aside), cell, section, old, diag);
    if (status == OK) {
        plan->adoptions[plan->adoption_count++] = (struct swap_adoption){old, cell, section};
    }
    return status;
}

static const struct cell_abi_variable *variable_of(const struct swap_names *names,
                                                   const struct swap_name *name)
{
    for (uint32_t i = 0; i < names->abi.variable_count; i++) {
        if (names->abi.variables[i].symbol == name->symbol) {
            return &names->abi.variables[i];
        }
    }
    return NULL;
}

/* All variables of the new section must lie in the old one as they do in the new one. */
static bool lie_alike(const struct swap_plan *plan, uint32_t index, uint32_t section,
                      const struct section *old)
{
    const struct swap_names *names = &plan->new_names[index];
    for (uint32_t i = 0; i < names->count; i++) {
        const struct swap_name *name = &names->names[i];
        const struct elf64_sym *symbol = swap_symbol(names->cell, name);
        if (symbol->st_shndx != section) {
            continue;
        }
        const struct swap_names *in;
        bool is_ambiguous;
        const struct swap_name *found = find_old(plan, index, name, &in, &is_ambiguous);
        if (!found || in->cell != old->cell ||
            swap_symbol(in->cell, found)->st_shndx != old->index ||
            swap_symbol(in->cell, found)->st_value != symbol->st_value) {
            return false;
        }
        const struct cell_abi_variable *is = variable_of(names, name);
        const struct cell_abi_variable *was = variable_of(in, found);
        if (is && was && !layout_change_may_adopt(&in->abi, was, &names->abi, is)) {
            return false;
        }
    }
    return true;
}

static bool can_adopt(const struct swap_plan *plan, uint32_t index, uint32_t section,
                      const struct section *old)
{
    const struct cell *cell = plan->new_names[index].cell;
    uint64_t alignment = cell->object.sections[section].sh_addralign;
    return old->region == REGION_DATA && old->size == cell->sections[section].size &&
           (alignment == 0 || old->address % alignment == 0) && !is_adopted(plan, old) &&
           lie_alike(plan, index, section, old);
}

/* The CELL_TRANSFER() or CELL_FRESH() line for a variable; false: none, or *out_status. */
static bool find_transfer(const struct cell *cell, const struct swap_name *name,
                          struct cell_transfer *out, enum status *out_status, struct diag *diag)
{
    uint32_t count = cell_transfer_count(&cell->object);
    for (uint32_t i = 0; i < count; i++) {
        *out_status = cell_transfer_read(&cell->object, i, out, diag);
        if (*out_status != OK) {
            diag_name_cell(diag, cell->name);
            return false;
        }
        if (out->new_symbol == name->symbol) {
            return true;
        }
    }
    return false;
}

/* The old variable of that name, in the cells that this one replaces. */
static const struct swap_name *find_variable(const struct swap_plan *plan, uint32_t index,
                                             const char *text, const struct swap_names **out_in)
{
    for (uint32_t i = 0; i < plan->link_count; i++) {
        const struct swap_names *in = names_of_old(plan, plan->links[i].old);
        uint32_t symbol = plan->links[i].new == index
                              ? cell_transfer_find_symbol(&in->cell->object, text, STT_OBJECT)
                              : 0;
        for (uint32_t k = 0; symbol && k < in->count; k++) {
            if (in->names[k].symbol == symbol) {
                *out_in = in;
                return &in->names[k];
            }
        }
    }
    return NULL;
}

/* Does it replace anything? In a cell that is only added every variable is new, whatever its lines
 * say. */
static bool is_successor(const struct swap_plan *plan, uint32_t index)
{
    for (uint32_t i = 0; i < plan->link_count; i++) {
        if (plan->links[i].new == index) {
            return true;
        }
    }
    return false;
}

static enum status plan_transfer(struct swap_plan *plan, uint32_t index,
                                 const struct cell_transfer *transfer, struct diag *diag)
{
    const struct swap_names *in;
    const struct swap_name *old = find_variable(plan, index, transfer->old, &in);
    if (!old) {
        return diag_set(diag, DIAG_SWAP_TRANSFER,
                        &(struct diag_site){
                            .cell = plan->new_names[index].cell->name,
                            .symbol = transfer->old,
                        });
    }
    if (!swap_plan_grow(plan, (void **)&plan->transfers, plan->transfer_count,
                        &plan->transfer_capacity, sizeof(*plan->transfers))) {
        return swap_plan_refuse_memory(diag);
    }
    const struct elf64_sym *symbol = swap_symbol(in->cell, old);
    plan->transfers[plan->transfer_count++] = (struct swap_transfer){
        .old = &in->cell->sections[symbol->st_shndx],
        .old_offset = (uint32_t)symbol->st_value,
        .old_bytes = (uint32_t)symbol->st_size,
        .cell = index,
        .new_symbol = transfer->new_symbol,
        .function_symbol = transfer->function_symbol,
    };
    return OK;
}

static enum status refuse_variable(const struct swap_plan *plan, uint32_t index,
                                   const struct swap_name *name, const struct section *old,
                                   struct diag *diag)
{
    const struct cell *cell = plan->new_names[index].cell;
    char what[DIAG_SYMBOL_SIZE];
    format_into(what, sizeof(what), "%s, also in %s", name->text,
                old ? old->cell->name : "older versions");
    return diag_set(diag, old ? DIAG_SWAP_LAYOUT : DIAG_SWAP_AMBIGUOUS,
                    &(struct diag_site){
                        .cell = cell->name,
                        .section = cell->sections[swap_symbol(cell, name)->st_shndx].name,
                        .symbol = what,
                        .expected = old ? old->size : 0,
                        .found = swap_symbol(cell, name)->st_size,
                    });
}

/* Assembly may have data without a symbol of the right type: its section's name stands for it. */
static enum status match_nameless(struct swap_plan *plan, uint32_t index, uint32_t section,
                                  struct diag *diag)
{
    const struct cell *cell = plan->new_names[index].cell;
    for (uint32_t i = 0; i < plan->link_count; i++) {
        const struct section *old =
            plan->links[i].new == index
                ? swap_find_section(plan->links[i].old, REGION_DATA, cell->sections[section].name)
                : NULL;
        if (old && old->size == cell->sections[section].size && !is_adopted(plan, old)) {
            plan->counts.adopted_variables++;
            return swap_plan_adopt(plan, index, section, old, diag);
        }
    }
    plan->counts.new_variables++;
    return OK;
}

static enum status match_variable(struct swap_plan *plan, uint32_t index, uint32_t section,
                                  struct diag *diag)
{
    const struct swap_names *names = &plan->new_names[index];
    struct swap_plan_counts *counts = &plan->counts;
    if (!names->of_section[section]) {
        return match_nameless(plan, index, section, diag);
    }
    const struct swap_name *name = &names->names[names->of_section[section] - 1];
    struct cell_transfer transfer;
    enum status status = OK;
    if (is_successor(plan, index) && find_transfer(names->cell, name, &transfer, &status, diag)) {
        counts->fresh += transfer.kind == CELL_TRANSFER_FRESH;
        counts->transferred += transfer.kind != CELL_TRANSFER_FRESH;
        return transfer.kind == CELL_TRANSFER_FRESH ? OK
                                                    : plan_transfer(plan, index, &transfer, diag);
    }
    if (status != OK) {
        return status;
    }
    const struct swap_names *in;
    bool is_ambiguous;
    const struct swap_name *found = find_old(plan, index, name, &in, &is_ambiguous);
    if (!found) {
        counts->new_variables += !is_ambiguous;
        return is_ambiguous ? refuse_variable(plan, index, name, NULL, diag) : OK;
    }
    const struct section *old = &in->cell->sections[swap_symbol(in->cell, found)->st_shndx];
    if (old->region != REGION_DATA) { /* it was a constant */
        counts->new_variables++;
        return OK;
    }
    if (!can_adopt(plan, index, section, old)) {
        return refuse_variable(plan, index, name, old, diag);
    }
    counts->adopted_variables++;
    return swap_plan_adopt(plan, index, section, old, diag);
}

static bool is_transferred(const struct swap_plan *plan, const struct section *old)
{
    for (uint32_t i = 0; i < plan->transfer_count; i++) {
        if (plan->transfers[i].old == old) {
            return true;
        }
    }
    return false;
}

/* ---- types ---- */

/*
 * What leads to which type in an old cell; found out once, where a layout has changed. NULL: no
 * memory.
 */
static const uint8_t *marks_of(struct swap_plan *plan, struct swap_names *old)
{
    if (!old->marks) {
        if (swap_plan_take(plan, old->abi.type_count + 1, &old->marks)) {
            layout_change_mark(&old->abi, &old->cell->object, old->marks);
        }
    }
    return old->marks;
}

static bool know_it(const struct cell *first, const char *name, size_t length)
{
    for (const struct cell *cell = first; cell; cell = cell->next) {
        struct cell_abi abi;
        if (!cell->is_leaving && (cell_abi_read(&cell->object, &abi, NULL) != OK ||
                                  cell_abi_find_type(&abi, name, length))) {
            return true; /* one that cannot be read might */
        }
    }
    return false;
}

/* Does a cell that stays know the name, or an older version, into which somebody may return? */
static bool is_known_outside(const struct swap_plan *plan, const char *name, size_t length)
{
    return know_it(plan->namespace->first, name, length) ||
           know_it(plan->namespace->retired, name, length);
}

static bool has_successor(const struct swap_plan *plan, const struct cell *old)
{
    for (uint32_t i = 0; i < plan->link_count; i++) {
        if (plan->links[i].old == old) {
            return true;
        }
    }
    return false;
}

/*
 * Is this type an argument in all cells that know its name, but for those whose successor says what
 * becomes of such things, and do all of them go? A cell that keeps them is asked by itself, unless
 * it has no successor.
 */
static enum status find_argument(struct swap_plan *plan, const char *text, bool *out_is_argument,
                                 struct diag *diag)
{
    struct span name = cell_abi_type_name(text);
    const char *key = (const char *)name.base;
    *out_is_argument = !is_known_outside(plan, key, name.size);
    for (uint32_t i = 0; *out_is_argument && i < plan->old_count; i++) {
        struct swap_names *old = &plan->old_names[i];
        const struct cell_abi_type *type = cell_abi_find_type(&old->abi, key, name.size);
        if (!type || has_successor(plan, old->cell)) {
            continue;
        }
        const uint8_t *marks = marks_of(plan, old);
        if (!marks) {
            return swap_plan_refuse_memory(diag);
        }
        *out_is_argument = !(marks[type - old->abi.types] & LAYOUT_MARK_KEPT);
    }
    return OK;
}

static enum status refuse_type(const struct swap_names *new, const char *mine, const char *theirs,
                               struct diag *diag)
{
    char how[DIAG_SYMBOL_SIZE];
    char type[DIAG_SECTION_SIZE];
    struct span whole = cell_abi_type_name(mine);
    struct cell_abi_difference difference = cell_abi_compare(mine, theirs);
    cell_abi_format_difference(&difference, "the new version", "the old one", how, sizeof(how));
    format_into(type, sizeof(type), "%.*s", (int)whole.size, (const char *)whole.base);
    return diag_set(diag, DIAG_SWAP_LAYOUT,
                    &(struct diag_site){.cell = new->cell->name, .section = type, .symbol = how});
}

/*
 * Types whose layout differs in the old and the new version: there may be things of the old layout
 * anywhere, unless layout_change.h says that there are not. The author must have thought of that: a
 * cell that changes layouts has lines about transfer.
 */
static enum status compare_types(struct swap_plan *plan, const struct swap_link *link,
                                 struct diag *diag)
{
    const struct swap_names *new = &plan->new_names[link->new];
    struct swap_names *old = names_of_old(plan, link->old);
    bool is_carried_over = cell_transfer_count(&new->cell->object) > 0 || plan->is_carried_over;
    struct cell_abi_cursor cursor = {0};
    const struct cell_abi_type *was;
    const struct cell_abi_type *is;
    while ((is = cell_abi_next_conflict(&new->abi, &old->abi, 0, &cursor, &was)) != NULL) {
        const char *mine = cell_abi_text(&new->abi, is->text);
        const char *theirs = cell_abi_text(&old->abi, was->text);
        if (layout_change_is_grown(theirs, mine)) {
            continue;
        }
        plan->must_be_quiet = true;
        if (is_carried_over) {
            return OK;
        }
        const uint8_t *marks = marks_of(plan, old);
        if (!marks) {
            return swap_plan_refuse_memory(diag);
        }
        enum layout_change change = layout_change_of(&old->abi, marks, was, mine);
        bool is_argument = change == LAYOUT_CHANGE_PASSING;
        enum status status =
            change == LAYOUT_CHANGE_ARGUMENT ? find_argument(plan, theirs, &is_argument, diag) : OK;
        if (status != OK || !is_argument) {
            return status ? status : refuse_type(new, mine, theirs, diag);
        }
    }
    return OK;
}

static void count_removed(struct swap_plan *plan)
{
    for (uint32_t i = 0; i < plan->old_count; i++) {
        const struct cell *cell = plan->old[i];
        for (uint32_t k = 0; k < cell->object.section_count; k++) {
            const struct section *section = &cell->sections[k];
            plan->counts.removed_variables += section->region == REGION_DATA && section->size > 0 &&
                                              !is_adopted(plan, section) &&
                                              !is_transferred(plan, section);
        }
    }
}

enum status swap_plan_match(struct swap_plan *plan, struct diag *diag)
{
    enum status status = OK;
    for (uint32_t i = 0; status == OK && i < plan->new_count; i++) {
        status = match_functions(plan, i, diag);
    }
    for (uint32_t i = 0; status == OK && i < plan->new_count; i++) {
        const struct cell *cell = plan->new_names[i].cell;
        for (uint32_t k = 0; status == OK && k < cell->object.section_count; k++) {
            if (cell->sections[k].region == REGION_DATA && cell->sections[k].size > 0) {
                status = match_variable(plan, i, k, diag);
            }
        }
    }
    for (uint32_t i = 0; status == OK && i < plan->link_count; i++) {
        status = compare_types(plan, &plan->links[i], diag);
    }
    plan->must_be_quiet |= plan->transfer_count > 0 || plan->counts.fresh > 0;
    if (status == OK) {
        count_removed(plan);
    }
    return status == OK && !plan->has_fresh_constants ? swap_plan_match_constants(plan, diag)
                                                      : status;
}
