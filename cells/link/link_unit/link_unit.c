/* SPDX-License-Identifier: MIT */
/*
 * Slots of entries: a function that is exported gets one when it is placed, for any later cell may
 * take its address; a local function gets one when a relocation of its own object takes its address
 * (relocation.c). The numbering depends on nothing but the object, so the static image that
 * cellpack links and the metadata that the kernel builds for it agree without a table. One that an
 * older version's function had is taken over instead (link_unit_adopt()).
 */
#include "link_unit.h"
#include "cell_abi.h"
#include "cell_unwind.h"
#include "diag.h"
#include "format.h"
#include "sort.h"

CELL(library, "1.0.0");

static bool is_function(const struct elf_object *object, const struct elf64_sym *symbol)
{
    return elf_symbol_type(symbol) == STT_FUNC && symbol->st_shndx != SHN_UNDEF &&
           symbol->st_shndx < object->section_count &&
           (object->sections[symbol->st_shndx].sh_flags & SHF_EXECINSTR) &&
           elf_object_section_is_loaded(object, symbol->st_shndx);
}

/* Exported from this object: visible, and in a place that exists at run time. */
static inline bool is_export(const struct elf_object *object, const struct elf64_sym *symbol)
{
    return elf_symbol_is_export(symbol) &&
           (symbol->st_shndx == SHN_ABS ||
            (symbol->st_shndx < object->section_count &&
             elf_object_section_is_loaded(object, symbol->st_shndx)));
}

/* A global symbol that another cell may define: it is not here, or is weak here. */
static bool is_looked_up(const struct elf_object *object, const struct elf64_sym *symbol)
{
    return symbol->st_shndx == SHN_UNDEF ||
           (elf_symbol_binding(symbol) == STB_WEAK && is_export(object, symbol));
}

void link_unit_sizes(const struct elf_object *object, struct link_sizes *out_sizes)
{
    struct link_sizes sizes = {
        .sections = object->section_count,
        .symbols = object->symbol_count,
    };
    for (uint32_t i = 0; i < object->first_global; i++) {
        sizes.functions += is_function(object, &object->symbols[i]);
    }
    for (uint32_t i = object->first_global; i < object->symbol_count; i++) {
        const struct elf64_sym *symbol = &object->symbols[i];
        sizes.functions += is_function(object, symbol);
        sizes.exports += is_export(object, symbol);
        sizes.bindings += is_looked_up(object, symbol);
    }
    *out_sizes = sizes;
}

/*
 * The memory of the link symbols, which are not needed yet: what functions are sorted by, and which
 * function each symbol is.
 */
struct function_plan {
    uint64_t *keys;
    uint64_t *scratch;
    uint32_t *of_symbol; /* index in cell->functions, for symbols that are functions */
};

static struct function_plan function_plan_of(const struct link_unit *unit)
{
    const size_t count = unit->cell->object.symbol_count;
    uint64_t *memory = (uint64_t *)unit->resolved;
    static_assert(sizeof(struct link_symbol) >= 2 * sizeof(uint64_t) + sizeof(uint32_t),
                  "room for keys, scratch and indices");
    return (struct function_plan){
        .keys = memory,
        .scratch = memory + count,
        .of_symbol = (uint32_t *)(memory + 2 * count),
    };
}

/* A key is a place, section above offset, and below it the symbol, where its index fits. */
#define KEY_SYMBOL_BITS 17u
#define KEY_OFFSET_BITS 31u
static_assert(ELF_OBJECT_MAX_SECTION < 1ull << KEY_OFFSET_BITS, "an offset fits");
static_assert(SHN_LORESERVE <= 1ull << (64 - KEY_OFFSET_BITS - KEY_SYMBOL_BITS), "a section fits");

/* Which function each symbol is, where keys have no room for symbols. */
COLD NOINLINE static void search_functions(const struct cell *cell,
                                           const struct function_plan *plan)
{
    const struct elf_object *object = &cell->object;
    for (uint32_t i = 0; i < object->symbol_count; i++) {
        const struct elf64_sym *symbol = &object->symbols[i];
        if (is_function(object, symbol)) {
            const struct function *function =
                relocation_find_function(cell->functions, cell->function_count, symbol->st_shndx,
                                         (uint32_t)symbol->st_value);
            plan->of_symbol[i] = (uint32_t)(function - cell->functions);
        }
    }
}

/* Collects the functions, sorted, each once however many names it has. */
static void plan_functions(struct cell *cell, const struct function_plan *plan)
{
    const struct elf_object *object = &cell->object;
    const bool has_symbols = object->symbol_count <= 1u << KEY_SYMBOL_BITS;
    const unsigned shift = has_symbols ? KEY_SYMBOL_BITS : 0;
    const uint32_t symbol_mask = has_symbols ? UINT32_MAX : 0;
    struct function *const functions = cell->functions;
    uint64_t *const keys = plan->keys;
    size_t count = 0;
    for (uint32_t i = 0; i < object->symbol_count; i++) {
        const struct elf64_sym *symbol = &object->symbols[i];
        if (is_function(object, symbol)) {
            const uint64_t section = (uint64_t)symbol->st_shndx << KEY_OFFSET_BITS;
            keys[count++] = (section | symbol->st_value) << shift | (i & symbol_mask);
        }
    }
    sort_keys_above(keys, plan->scratch, count, shift);
    uint32_t found = 0;
    uint64_t last = UINT64_MAX; /* no place */
    for (size_t i = 0; i < count; i++) {
        const uint64_t place = keys[i] >> shift;
        if (place != last) {
            functions[found++] = (struct function){
                .section = (uint32_t)(place >> KEY_OFFSET_BITS),
                .offset = (uint32_t)place & ((1u << KEY_OFFSET_BITS) - 1),
                .slot = FUNCTION_NO_SLOT,
            };
            last = place;
        }
        if (has_symbols) {
            plan->of_symbol[keys[i] & ((1u << KEY_SYMBOL_BITS) - 1)] = found - 1;
        }
    }
    cell->function_count = found;
    if (!has_symbols) {
        search_functions(cell, plan);
    }
}

/* From `row` on, the row of symbol `i` or of one behind it: rows are in the order of symbols. */
static const struct cell_abi_symbol *find_row(const struct cell_abi_symbol *row,
                                              const struct cell_abi_symbol *end, uint32_t i)
{
    while (row < end && row->symbol < i) {
        row++;
    }
    return row;
}

static void plan_exports(struct cell *cell, const struct function_plan *plan,
                         const struct cell_abi *abi)
{
    const struct elf_object *object = &cell->object;
    const struct cell_abi_symbol *row = abi->symbols;
    const struct cell_abi_symbol *rows_end = row + abi->symbol_count;
    for (uint32_t i = object->first_global; i < object->symbol_count; i++) {
        const struct elf64_sym *symbol = &object->symbols[i];
        if (!is_export(object, symbol)) {
            continue;
        }
        row = find_row(row, rows_end, i);
        const char *name = elf_object_symbol_name(object, i);
        cell->symbols[cell->symbol_count++] = (struct symbol){
            .key = {.name = name, .hash = symbol_map_hash(name)},
            .type = elf_symbol_type(symbol),
            .binding = elf_symbol_binding(symbol),
            .section = symbol->st_shndx == SHN_ABS ? NULL : &cell->sections[symbol->st_shndx],
            .address = symbol->st_value, /* of its section's start, until it is placed */
            .abi = row < rows_end && row->symbol == i ? row : NULL,
        };
        if (is_function(object, symbol)) {
            const uint32_t function = plan->of_symbol[i];
            cell->functions[function].slot = FUNCTION_EXPORTED;
            /* Which function it is, until it is placed. */
            cell->symbols[cell->symbol_count - 1].entry = function;
        }
    }
}

static void plan_sections(struct link_unit *unit)
{
    struct cell *cell = unit->cell;
    const struct elf_object *object = &cell->object;
    for (uint32_t i = 0; i < object->section_count; i++) {
        const struct elf64_shdr *header = &object->sections[i];
        struct section *section = &cell->sections[i]; /* every field, and each once */
        section->cell = cell;
        section->name = elf_object_section_name(object, i);
        section->address = 0;
        section->size = header->sh_size;
        section->relocations = NULL;
        section->incoming = NULL;
        section->relocation_count = 0;
        section->index = i;
        section->flags = (uint32_t)header->sh_flags;
        section->region = (uint16_t)unit->places[i].region;
        section->is_adopted = 0;
    }
    for (uint32_t i = 0; i <= REGION_COUNT; i++) {
        cell->region_first[i] = unit->layout.region_first[i];
    }
}

/* An index that is not usable is none: who unwinds says so, and everything else works. */
static void plan_unwind(struct cell *cell)
{
    const struct elf_object *object = &cell->object;
    for (uint32_t i = object->section_count; i-- > 1;) { /* notes stand behind what is loaded */
        struct cell_unwind index;
        if (!elf_object_section_is_loaded(object, i) &&
            __builtin_strcmp(cell->sections[i].name, CELL_UNWIND_SECTION) == 0) {
            if (cell_unwind_open(elf_object_section_bytes(object, i), &index) &&
                index.eh_frame < object->section_count &&
                elf_object_section_is_loaded(object, index.eh_frame)) {
                cell->unwind_rows = index.rows;
                cell->unwind_row_count = index.count;
                cell->unwind_table = index.eh_frame;
            }
            return;
        }
    }
}

enum status link_unit_plan(struct link_unit *unit, struct cell *cell,
                           const struct elf_object *object, const struct link_memory *memory,
                           struct diag *diag)
{
    if (object->relocation_count > UINT32_MAX) {
        return diag_set(
            diag, DIAG_ELF_LIMIT,
            &(struct diag_site){.expected = UINT32_MAX, .found = object->relocation_count});
    }
    *unit = (struct link_unit){
        .cell = cell,
        .places = memory->places,
        .resolved = memory->resolved,
    };
    cell->object = *object;
    cell->sections = memory->sections;
    cell->by_address = memory->by_address;
    cell->symbols = memory->symbols;
    cell->functions = memory->functions;
    cell->bindings = memory->bindings;
    enum status status = layout_plan(object, unit->places, cell->by_address, &unit->layout, diag);
    if (status != OK) {
        return status;
    }
    struct cell_abi abi;
    cell->abi = cell_abi_find_note(object);
    status = cell_abi_open(cell->abi, &abi, diag);
    if (status != OK) {
        return status;
    }
    plan_sections(unit);
    const struct function_plan functions = function_plan_of(unit);
    plan_functions(cell, &functions);
    plan_exports(cell, &functions, &abi);
    plan_unwind(cell);
    return OK;
}

enum status link_unit_adopt(struct link_unit *unit, struct diag *diag)
{
    struct cell *cell = unit->cell;
    enum status status = layout_plan_without_adopted(&cell->object, cell->sections, unit->places,
                                                     cell->by_address, &unit->layout, diag);
    if (status != OK) {
        return status;
    }
    for (uint32_t i = 0; i <= REGION_COUNT; i++) {
        cell->region_first[i] = unit->layout.region_first[i];
    }
    cell->adopted_count = 0;
    unit->adopted_size = 0;
    for (uint32_t i = 0; i < cell->object.section_count; i++) {
        const struct section *section = &cell->sections[i];
        if (section->is_adopted) {
            unit->places[i].offset = unit->adopted_size;
            unit->adopted_size += (section->size + 15) & ~15ull;
            cell->by_address[cell->region_first[REGION_COUNT] + cell->adopted_count++] = i;
        }
    }
    return OK;
}

const uint8_t *link_unit_adopted_bytes(const struct link_unit *unit, uint32_t section)
{
    return unit->adopted_bytes + unit->places[section].offset;
}

/* A function gets the entry of its older version, or the next slot; one that has it keeps it. */
static uint64_t place_entry(struct cell *cell, struct function *function)
{
    if (!function->entry) {
        function->slot = cell->entry_count++;
        function->entry = cell->entries + (uint64_t)function->slot * ENTRY_SIZE;
    }
    return function->entry;
}

void link_unit_place(struct link_unit *unit, const uint64_t addresses[REGION_COUNT],
                     uint8_t *const bytes[REGION_COUNT], uint64_t entries)
{
    struct cell *cell = unit->cell;
    for (uint32_t r = 0; r < REGION_COUNT; r++) {
        uint64_t size = unit->layout.sizes[r];
        cell->regions[r] = (struct region){.address = size ? addresses[r] : 0, .size = size};
        unit->bytes[r] = bytes[r];
    }
    for (uint32_t i = 0; i < cell->object.section_count; i++) {
        const struct section_place *place = &unit->places[i];
        if (place->region != REGION_NONE) {
            cell->sections[i].address = addresses[place->region] + place->offset;
        }
    }
    cell->entries = entries;
    for (uint32_t i = 0; i < cell->symbol_count; i++) {
        struct symbol *symbol = &cell->symbols[i];
        if (!symbol->section) {
            continue;
        }
        if (symbol->type == STT_FUNC && (symbol->section->flags & SHF_EXECINSTR)) {
            symbol->entry = place_entry(cell, &cell->functions[symbol->entry]);
        }
        symbol->address += symbol->section->address;
    }
}

/* What the adopted sections would hold if they were new. */
static void copy_adopted(struct link_unit *unit)
{
    const struct cell *cell = unit->cell;
    const uint32_t *indices = cell->by_address + cell->region_first[REGION_COUNT];
    for (uint32_t k = 0; k < cell->adopted_count; k++) {
        struct span from = elf_object_section_bytes(&cell->object, indices[k]);
        uint8_t *to = unit->adopted_bytes + unit->places[indices[k]].offset;
        if (from.size > 0) {
            __builtin_memcpy(to, from.base, from.size);
        } else {
            __builtin_memset(to, 0, cell->sections[indices[k]].size);
        }
    }
}

void link_unit_copy(struct link_unit *unit)
{
    const struct cell *cell = unit->cell;
    for (uint32_t r = 0; r < REGION_COUNT; r++) {
        uint64_t end = 0;
        for (uint32_t k = cell->region_first[r]; k < cell->region_first[r + 1]; k++) {
            uint32_t i = cell->by_address[k];
            struct span from = elf_object_section_bytes(&cell->object, i);
            uint64_t offset = unit->places[i].offset;
            if (from.size == 0) {
                continue;
            }
            __builtin_memset(unit->bytes[r] + end, 0, offset - end);
            __builtin_memcpy(unit->bytes[r] + offset, from.base, from.size);
            end = offset + from.size;
        }
        if (unit->layout.sizes[r] > end) {
            __builtin_memset(unit->bytes[r] + end, 0, unit->layout.sizes[r] - end);
        }
    }
    copy_adopted(unit);
}

static struct link_symbol resolve_own(const struct link_unit *unit, const struct elf64_sym *symbol)
{
    struct cell *cell = unit->cell;
    if (symbol->st_shndx == SHN_ABS) {
        return (struct link_symbol){.value = symbol->st_value};
    }
    struct section *section = &cell->sections[symbol->st_shndx];
    if (section->region == REGION_NONE) {
        return (struct link_symbol){.kind = LINK_SYMBOL_NOT_LOADED};
    }
    struct link_symbol resolved = {
        .value = section->address + symbol->st_value,
        .section = section,
        .offset = (uint32_t)symbol->st_value,
        .kind = section->flags & SHF_EXECINSTR ? LINK_SYMBOL_CODE : LINK_SYMBOL_DATA,
    };
    return resolved;
}

/* Notes where symbol `i` leads in another cell. */
static void bind(struct cell *cell, uint32_t i, const struct link_symbol *symbol)
{
    cell->bindings[cell->binding_count++] = (struct binding){
        .cell = cell,
        .target = symbol->section,
        .symbol = i,
        .offset = symbol->offset,
        .has_entry = symbol->entry != 0,
    };
}

static struct link_symbol resolve_other(const struct symbol *symbol)
{
    const struct section *section = symbol->section;
    bool is_code = section && (section->flags & SHF_EXECINSTR);
    return (struct link_symbol){
        .value = symbol->address,
        .section = symbol->section,
        .entry = symbol->entry,
        .offset = section ? (uint32_t)(symbol->address - section->address) : 0,
        .kind = is_code ? LINK_SYMBOL_CODE : LINK_SYMBOL_DATA,
    };
}

/* ---- do both sides declare it alike? ---- */

#define SEEN_COUNT 16u /* a power of two; cells that share a place are compared more than once */

struct abi_check {
    struct cell_abi mine;
    const struct cell_abi_symbol *row;   /* the next that has not been passed */
    const struct cell *seen[SEEN_COUNT]; /* whose types have been compared, by address */
};

/* `section`: what differs; `symbol`: how, and where. */
static COLD enum status refuse_difference(const struct cell *cell, const struct cell *other,
                                          enum diag_code code, const char *what, const char *mine,
                                          const char *theirs, struct diag *diag)
{
    char how[DIAG_SYMBOL_SIZE];
    struct cell_abi_difference difference = cell_abi_compare(mine, theirs);
    cell_abi_format_difference(&difference, cell->name, other->name, how, sizeof(how));
    return diag_set(diag, code,
                    &(struct diag_site){.cell = cell->name, .section = what, .symbol = how});
}

static COLD enum status check_signature(const struct cell *cell, const char *name,
                                        const struct abi_check *check, const struct symbol *found,
                                        struct diag *diag)
{
    const struct cell *other = found->section->cell;
    struct cell_abi abi;
    enum status status = cell_abi_open(other->abi, &abi, diag);
    if (status != OK) {
        return status;
    }
    const char *text = cell_abi_text(&check->mine, check->row->text);
    const char *theirs = cell_abi_text(&abi, found->abi->text);
    if (cell_abi_compare(text, theirs).part == CELL_ABI_SAME) {
        return OK; /* an array, without its bound on one side */
    }
    return refuse_difference(cell, other, DIAG_LINK_SIGNATURE, name, text, theirs, diag);
}

static enum status check_types(const struct cell *cell, const struct cell_abi *abi,
                               const struct cell *other, struct diag *diag)
{
    struct cell_abi other_abi;
    enum status status = cell_abi_open(other->abi, &other_abi, diag);
    if (status != OK) {
        return status;
    }
    struct cell_abi_cursor cursor = {0};
    const struct cell_abi_type *theirs = NULL;
    const struct cell_abi_type *mine =
        cell_abi_next_conflict(abi, &other_abi, CELL_ABI_TYPE_SHARED, &cursor, &theirs);
    if (LIKELY(!mine)) {
        return OK;
    }
    const char *text = cell_abi_text(abi, mine->text);
    char name[DIAG_SECTION_SIZE];
    struct span whole = cell_abi_type_name(text);
    format_into(name, sizeof(name), "%.*s", (int)whole.size, (const char *)whole.base);
    return refuse_difference(cell, other, DIAG_LINK_TYPE, name, text,
                             cell_abi_text(&other_abi, theirs->text), diag);
}

/* Symbol `i` of the unit's cell binds to `found`. */
static enum status check_abi(const struct cell *cell, uint32_t i, const struct symbol *found,
                             struct abi_check *check, struct diag *diag)
{
    const struct cell_abi_symbol *end = check->mine.symbols + check->mine.symbol_count;
    check->row = find_row(check->row, end, i);
    if (check->row == end || check->row->symbol != i || !found->abi) {
        return OK;
    }
    if (UNLIKELY(check->row->signature != found->abi->signature)) {
        const char *name = elf_object_symbol_name(&cell->object, i);
        enum status status = check_signature(cell, name, check, found, diag);
        if (status != OK) {
            return status;
        }
    }
    const struct cell *other = found->section->cell;
    const struct cell **seen = &check->seen[((uintptr_t)other >> 6) % SEEN_COUNT];
    if (*seen == other) {
        return OK;
    }
    *seen = other;
    return check_types(cell, &check->mine, other, diag);
}

static enum status resolve_global(struct link_unit *unit, uint32_t i, link_lookup lookup,
                                  void *context, struct abi_check *check, struct diag *diag)
{
    const struct elf_object *object = &unit->cell->object;
    const struct elf64_sym *symbol = &object->symbols[i];
    bool is_defined = symbol->st_shndx != SHN_UNDEF;
    bool is_weak = elf_symbol_binding(symbol) == STB_WEAK;
    if (!is_looked_up(object, symbol)) {
        unit->resolved[i] = resolve_own(unit, symbol);
        return OK;
    }
    const char *name = elf_object_symbol_name(object, i);
    const struct symbol *found = lookup(context, name, symbol_map_hash(name));
    if (found && !(is_defined && found->section && found->section->cell == unit->cell)) {
        unit->resolved[i] = resolve_other(found);
        bind(unit->cell, i, &unit->resolved[i]);
        return check_abi(unit->cell, i, found, check, diag);
    }
    if (is_defined) {
        unit->resolved[i] = resolve_own(unit, symbol);
    } else if (is_weak) {
        unit->resolved[i] = (struct link_symbol){.kind = LINK_SYMBOL_DATA};
    } else {
        return diag_set(diag, DIAG_LINK_MISSING_SYMBOL, &(struct diag_site){.symbol = name});
    }
    return OK;
}

enum status link_unit_resolve(struct link_unit *unit, link_lookup lookup, void *context,
                              struct diag *diag)
{
    const struct elf_object *object = &unit->cell->object;
    struct abi_check check = {0};
    enum status opened = cell_abi_open(unit->cell->abi, &check.mine, diag);
    if (opened != OK) {
        return opened;
    }
    check.row = check.mine.symbols;
    for (uint32_t i = 0; i < object->symbol_count; i++) {
        const struct elf64_sym *symbol = &object->symbols[i];
        if (i >= object->first_global) {
            enum status status = resolve_global(unit, i, lookup, context, &check, diag);
            if (status != OK) {
                return status;
            }
        } else if (symbol->st_shndx != SHN_UNDEF) {
            unit->resolved[i] = resolve_own(unit, symbol);
        } else {
            unit->resolved[i] = (struct link_symbol){.kind = LINK_SYMBOL_DATA}; /* symbol 0 */
        }
    }
    return OK;
}

enum status link_unit_relocate(struct link_unit *unit, struct diag *diag)
{
    struct cell *cell = unit->cell;
    const struct elf_object *object = &cell->object;
    struct relocation_batch batch = {
        .object = object,
        .symbols = unit->resolved,
        .sections = cell->sections,
        .functions = cell->functions,
        .function_count = cell->function_count,
        .entry_count = &cell->entry_count,
        .entries = cell->entries,
    };
    cell->relocation_count = 0;
    for (uint32_t i = 0; i < object->section_count; i++) {
        if (!elf_object_is_relocation(object, i)) {
            continue;
        }
        uint32_t target = object->sections[i].sh_info;
        struct section *source = &cell->sections[target];
        const struct section_place *place = &unit->places[target];
        if (source->relocation_count) { /* it knows one table */
            return diag_set(diag, DIAG_ELF_SECTION_LINK,
                            &(struct diag_site){.section = elf_object_section_name(object, i),
                                                .found = target});
        }
        batch.section = target;
        batch.relocation_section = i;
        batch.bytes =
            (source->is_adopted ? unit->adopted_bytes : unit->bytes[place->region]) + place->offset;
        batch.address = source->address;
        enum status status = relocation_apply(&batch, diag);
        if (status != OK) {
            return status;
        }
        uint64_t count;
        const struct elf64_rela *relocations = elf_object_relocations(object, i, &count);
        source->relocations = relocations;
        source->relocation_count = (uint32_t)count;
        cell->relocation_count += (uint32_t)count;
    }
    for (uint32_t i = 0; i < cell->binding_count; i++) {
        struct binding *binding = &cell->bindings[i];
        binding->is_via_entry = unit->resolved[binding->symbol].is_via_entry;
    }
    return OK;
}

void link_unit_write_entries(const struct link_unit *unit, uint8_t *bytes)
{
    const struct cell *cell = unit->cell;
    for (uint32_t i = 0; i < cell->function_count; i++) {
        const struct function *function = &cell->functions[i];
        if (function->slot >= FUNCTION_EXPORTED) {
            continue;
        }
        uint64_t at = (uint64_t)function->slot * ENTRY_SIZE;
        uint64_t target = cell->sections[function->section].address + function->offset;
        uint64_t distance = target - (cell->entries + at + 5);
        uint64_t jump = 0xcccccc00000000e9 | (distance & 0xffffffff) << 8;
        __builtin_memcpy(bytes + at, &jump, ENTRY_SIZE);
    }
}
