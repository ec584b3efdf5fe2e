/* SPDX-License-Identifier: MIT */
/*
 * DIEs are matched with symbols: those with an address by place, declarations of what others define
 * by name. First it is settled which symbols get a row; texts are written for these only, so that
 * the table of types holds what they lead to, not all that the headers know.
 */
#include "abi_build.h"

#include "abi_debug.h"
#include "abi_types.h"
#include "relocation.h"
#include "symbol_map.h"

#include <dwarf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 256u /* of blocks in functions */

/* What is known of a symbol of the object. */
struct row {
    struct symbol_key key; /* of those that are global */
    char *text;
    char *name; /* of a variable, in the source */
    const char *file;
    bool has_row;
    bool is_taken; /* its address is */
    bool is_variable;
    bool is_defined; /* `text` is that of the definition */
};

struct place {
    uint64_t address;
    uint32_t symbol;
};

struct build {
    const struct elf_object *object;
    const uint32_t *new_symbols;
    struct row *rows;     /* by symbol */
    struct place *places; /* of functions and variables, sorted */
    uint32_t place_count;
    struct symbol_map globals;
    struct abi_types types;
    const char *file; /* of the unit at hand */
    struct problem *problem;
};

static enum status no_memory(struct build *build)
{
    return problem_set(build->problem, PROBLEM_MEMORY, "out of memory");
}

/* ---- symbols ---- */

static uint32_t new_symbol(const struct build *build, uint32_t symbol)
{
    return build->new_symbols ? build->new_symbols[symbol] : symbol;
}

/* As cell_write() has it: hidden definitions become local. */
static bool is_local(const struct elf64_sym *symbol)
{
    uint8_t visibility = elf_symbol_visibility(symbol);
    return elf_symbol_binding(symbol) == STB_LOCAL ||
           (symbol->st_shndx != SHN_UNDEF &&
            (visibility == STV_HIDDEN || visibility == STV_INTERNAL));
}

static bool is_loaded(const struct elf_object *object, const struct elf64_sym *symbol)
{
    return symbol->st_shndx != SHN_UNDEF && symbol->st_shndx < object->section_count &&
           elf_object_section_is_loaded(object, symbol->st_shndx);
}

static int compare_places(const void *left, const void *right)
{
    const struct place *a = left;
    const struct place *b = right;
    if (a->address != b->address) {
        return a->address < b->address ? -1 : 1;
    }
    return a->symbol < b->symbol ? -1 : a->symbol > b->symbol;
}

/* The first symbol at an address or behind it. */
static uint32_t find_place(const struct build *build, uint64_t address)
{
    uint32_t first = 0;
    for (uint32_t count = build->place_count; count > 0;) {
        uint32_t half = count / 2;
        bool is_before = build->places[first + half].address < address;
        first = is_before ? first + half + 1 : first;
        count = is_before ? count - half - 1 : half;
    }
    return first;
}

static void take_address(struct build *build, uint32_t section, uint64_t offset)
{
    uint64_t address = abi_debug_address(section, offset);
    for (uint32_t i = find_place(build, address);
         i < build->place_count && build->places[i].address == address; i++) {
        build->rows[build->places[i].symbol].is_taken = true;
    }
}

/* Marks the functions whose address some loaded section takes (docs/cell-format.md, Relocations).
 */
static void find_taken(struct build *build)
{
    const struct elf_object *object = build->object;
    for (uint32_t i = 1; i < object->section_count; i++) {
        if (!elf_object_is_relocation(object, i)) {
            continue;
        }
        uint32_t section = object->sections[i].sh_info;
        struct span bytes = elf_object_section_bytes(object, section);
        bool is_code = (object->sections[section].sh_flags & SHF_EXECINSTR) != 0;
        uint64_t count = 0;
        const struct elf64_rela *relocations = elf_object_relocations(object, i, &count);
        bool is_frame = strcmp(elf_object_section_name(object, section), ".eh_frame") == 0;
        for (uint64_t k = 0; k < count && !is_frame; k++) {
            const struct elf64_rela *rela = &relocations[k];
            if (rela->r_sym >= object->symbol_count || !span_holds(bytes, rela->r_offset, 4)) {
                continue;
            }
            const struct elf64_sym *symbol = &object->symbols[rela->r_sym];
            bool is_operand = is_code && relocation_is_operand(rela->r_type);
            bool is_branch = is_operand && relocation_is_branch(bytes.base, rela->r_offset);
            if (is_loaded(object, symbol) && !is_branch) {
                take_address(build, symbol->st_shndx,
                             symbol->st_value + (uint64_t)rela->r_addend +
                                 (is_operand ? RELOCATION_OPERAND_SIZE : 0));
            }
        }
    }
}

static bool prepare_symbols(struct build *build)
{
    const struct elf_object *object = build->object;
    uint32_t capacity = symbol_map_capacity(object->symbol_count);
    const struct symbol_key **slots = calloc((size_t)capacity + 1, sizeof(*slots));
    build->rows = calloc((size_t)object->symbol_count + 1, sizeof(*build->rows));
    build->places = calloc((size_t)object->symbol_count + 1, sizeof(*build->places));
    if (!slots || !build->rows || !build->places) {
        free(slots);
        return false;
    }
    symbol_map_init(&build->globals, slots, capacity, NULL);
    for (uint32_t i = 1; i < object->symbol_count; i++) {
        const struct elf64_sym *symbol = &object->symbols[i];
        uint8_t type = elf_symbol_type(symbol);
        if (is_loaded(object, symbol) && (type == STT_FUNC || type == STT_OBJECT)) {
            build->places[build->place_count++] =
                (struct place){abi_debug_address(symbol->st_shndx, symbol->st_value), i};
        }
        if (elf_symbol_binding(symbol) != STB_LOCAL) {
            build->rows[i].key.name = elf_object_symbol_name(object, i);
            build->rows[i].key.hash = symbol_map_hash(build->rows[i].key.name);
            symbol_map_insert(&build->globals, &build->rows[i].key);
        }
    }
    qsort(build->places, build->place_count, sizeof(*build->places), compare_places);
    find_taken(build);
    for (uint32_t i = 1; i < object->symbol_count; i++) {
        const struct elf64_sym *symbol = &object->symbols[i];
        struct row *row = &build->rows[i];
        uint8_t type = elf_symbol_type(symbol);
        bool is_kept = new_symbol(build, i) != 0;
        row->is_variable = is_kept && type == STT_OBJECT && is_loaded(object, symbol) &&
                           (object->sections[symbol->st_shndx].sh_flags & SHF_WRITE) &&
                           symbol->st_size > 0 && symbol->st_size <= UINT32_MAX;
        row->has_row = is_kept && (!is_local(symbol) || (type == STT_FUNC && row->is_taken)) &&
                       (type == STT_FUNC || type == STT_OBJECT || type == STT_NOTYPE);
    }
    return true;
}

/* ---- DIEs ---- */

/* The address that a variable's location is, by itself; false for registers, stacks and the like.
 */
static bool location_of(Dwarf_Die *die, uint64_t *out)
{
    Dwarf_Attribute attr;
    Dwarf_Op *expression;
    size_t length;
    if (!dwarf_attr(die, DW_AT_location, &attr) ||
        dwarf_getlocation(&attr, &expression, &length) != 0 || length != 1 ||
        expression[0].atom != DW_OP_addr) {
        return false;
    }
    *out = expression[0].number;
    return true;
}

static bool flag_of(Dwarf_Die *die, unsigned attribute)
{
    Dwarf_Attribute attr;
    bool flag;
    return dwarf_attr_integrate(die, attribute, &attr) && dwarf_formflag(&attr, &flag) == 0 && flag;
}

/* Does a symbol bear this name, or that of a clone of it: `name.constprop.0`, `name.0`? */
static bool is_named(const char *symbol, const char *name)
{
    size_t length = strlen(name);
    return strncmp(symbol, name, length) == 0 && (symbol[length] == '\0' || symbol[length] == '.');
}

static enum status refuse_conflict(struct build *build, const char *name, const char *mine,
                                   const char *theirs)
{
    char line[PROBLEM_TEXT_SIZE];
    struct cell_abi_difference difference = cell_abi_compare(mine, theirs);
    cell_abi_format_difference(&difference, "one", "another", line, sizeof(line));
    problem_set(build->problem, PROBLEM_ABI_CONFLICT,
                "two sources of the cell declare %s differently", name);
    problem_because(build->problem, "%s", line);
    return build->problem->status;
}

/* Takes over `text`. What the definition says counts more than what another source's declaration
 * does. */
static enum status set_text(struct build *build, uint32_t symbol, char *text, bool is_defined)
{
    struct row *row = &build->rows[symbol];
    if (!text) {
        return no_memory(build);
    }
    if (row->text && cell_abi_compare(row->text, text).part != CELL_ABI_SAME) {
        refuse_conflict(build, elf_object_symbol_name(build->object, symbol), row->text, text);
        free(text);
        return build->problem->status;
    }
    if (!row->text || (is_defined && !row->is_defined)) {
        free(row->text);
        row->text = text;
        row->is_defined = is_defined;
    } else {
        free(text);
    }
    return OK;
}

typedef char *(*text_maker)(struct abi_types *types, Dwarf_Die *die);

/* A declaration of something that is defined elsewhere. */
static enum status add_declared(struct build *build, Dwarf_Die *die, const char *name,
                                text_maker make)
{
    if (!flag_of(die, DW_AT_external) || strncmp(name, "__builtin_", 10) == 0) {
        return OK;
    }
    const struct symbol_key *key = symbol_map_find(&build->globals, name, symbol_map_hash(name));
    if (!key) {
        return OK;
    }
    struct row *row = CONTAINER_OF(key, struct row, key);
    uint32_t symbol = (uint32_t)(row - build->rows);
    return row->has_row || row->is_variable
               ? set_text(build, symbol, make(&build->types, die), false)
               : OK;
}

static enum status add_function(struct build *build, Dwarf_Die *die)
{
    const char *name = dwarf_diename(die);
    uint64_t address;
    if (!name) {
        return OK;
    }
    if (dwarf_lowpc(die, &address) != 0) {
        return flag_of(die, DW_AT_declaration) ? add_declared(build, die, name, abi_types_function)
                                               : OK;
    }
    /* A concrete instance lists the parameters that are left; the abstract one has all. */
    Dwarf_Attribute attr;
    Dwarf_Die origin;
    Dwarf_Die *source = die;
    if (dwarf_attr(die, DW_AT_abstract_origin, &attr) && dwarf_formref_die(&attr, &origin)) {
        source = &origin;
    }
    for (uint32_t i = find_place(build, address);
         i < build->place_count && build->places[i].address == address; i++) {
        uint32_t symbol = build->places[i].symbol;
        if (build->rows[symbol].has_row &&
            is_named(elf_object_symbol_name(build->object, symbol), name) &&
            set_text(build, symbol, abi_types_function(&build->types, source), true) != OK) {
            return build->problem->status;
        }
    }
    return OK;
}

static enum status add_variable(struct build *build, Dwarf_Die *die, const char *function)
{
    const char *name = dwarf_diename(die);
    uint64_t address;
    if (!name) {
        return OK;
    }
    if (!location_of(die, &address)) {
        return flag_of(die, DW_AT_declaration) ? add_declared(build, die, name, abi_types_variable)
                                               : OK;
    }
    for (uint32_t i = find_place(build, address);
         i < build->place_count && build->places[i].address == address; i++) {
        uint32_t symbol = build->places[i].symbol;
        struct row *row = &build->rows[symbol];
        if ((!row->has_row && !row->is_variable) ||
            !is_named(elf_object_symbol_name(build->object, symbol), name)) {
            continue;
        }
        if (set_text(build, symbol, abi_types_variable(&build->types, die), true) != OK) {
            return build->problem->status;
        }
        if (row->is_variable && !row->name) {
            int length = function ? asprintf(&row->name, "%s.%s", function, name)
                                  : asprintf(&row->name, "%s", name);
            row->file = build->file;
            if (length < 0) {
                row->name = NULL;
                return no_memory(build);
            }
        }
    }
    return OK;
}

/* What stands in a unit, a function or a block of one. */
static enum status walk(struct build *build, Dwarf_Die *parent, const char *function,
                        unsigned depth)
{
    Dwarf_Die die;
    enum status status = OK;
    for (int more = depth < DEPTH_MAX ? dwarf_child(parent, &die) : 1; more == 0 && status == OK;
         more = dwarf_siblingof(&die, &die)) {
        switch (dwarf_tag(&die)) {
        case DW_TAG_subprogram: {
            const char *name = dwarf_diename(&die);
            status = add_function(build, &die);
            status = status == OK ? walk(build, &die, name, depth + 1) : status;
            break;
        }
        case DW_TAG_lexical_block:
            status = walk(build, &die, function, depth + 1);
            break;
        case DW_TAG_variable:
            status = add_variable(build, &die, function);
            break;
        default:
            break;
        }
    }
    return status;
}

static bool is_c(Dwarf_Die *unit)
{
    switch (dwarf_srclang(unit)) {
    case DW_LANG_C:
    case DW_LANG_C89:
    case DW_LANG_C99:
    case DW_LANG_C11:
        return true;
    default:
        return false;
    }
}

typedef enum status (*unit_visitor)(struct build *build, Dwarf_Die *unit);

static enum status scan_unit(struct build *build, Dwarf_Die *unit)
{
    abi_types_scan(&build->types, unit);
    return OK;
}

static enum status walk_unit(struct build *build, Dwarf_Die *unit)
{
    const char *path = dwarf_diename(unit);
    const char *slash = path ? strrchr(path, '/') : NULL;
    build->file = slash ? slash + 1 : path ? path : "?";
    return walk(build, unit, NULL, 0);
}

static enum status visit_units(struct build *build, Dwarf *dwarf, unit_visitor visit)
{
    Dwarf_Off offset = 0;
    Dwarf_Off next;
    size_t header;
    enum status status = OK;
    while (status == OK && dwarf_nextcu(dwarf, offset, &next, &header, NULL, NULL, NULL) == 0) {
        Dwarf_Die unit;
        if (dwarf_offdie(dwarf, offset + header, &unit) && is_c(&unit)) {
            status = visit(build, &unit);
        }
        offset = next;
    }
    return status;
}

/* ---- names of variables ---- */

static int compare_names(const void *left, const void *right)
{
    const struct row *const *a = left;
    const struct row *const *b = right;
    return strcmp((*a)->name, (*b)->name);
}

/* Of equal names each gets its file in front. Two in one file (in two blocks of one function) are
 * numbered. */
static enum status make_names_unique(struct build *build)
{
    struct row **named = calloc((size_t)build->object->symbol_count + 1, sizeof(struct row *));
    if (!named) {
        return no_memory(build);
    }
    size_t count = 0;
    for (uint32_t i = 1; i < build->object->symbol_count; i++) {
        if (build->rows[i].name) {
            named[count++] = &build->rows[i];
        }
    }
    bool good = true;
    for (int round = 0; good && round < 2; round++) {
        qsort(named, count, sizeof(*named), compare_names);
        for (size_t i = 0; good && i < count;) {
            size_t end = i + 1;
            while (end < count && strcmp(named[i]->name, named[end]->name) == 0) {
                end++;
            }
            for (size_t k = i; good && end - i > 1 && k < end; k++) {
                char *longer = NULL;
                good = (round == 0 ? asprintf(&longer, "%s:%s", named[k]->file, named[k]->name)
                                   : asprintf(&longer, "%s#%zu", named[k]->name, k - i + 1)) >= 0;
                if (good) {
                    free(named[k]->name);
                    named[k]->name = longer;
                }
            }
            i = end;
        }
    }
    free(named);
    return good ? OK : no_memory(build);
}

/* ---- the section ---- */

struct writer {
    struct bytes symbols;
    struct bytes variables;
    struct bytes types;
    struct bytes texts;
    struct text {
        uint64_t hash;
        uint32_t offset;
    } * known; /* open addressing; offset 0 is free */
    size_t known_size;
};

static uint32_t put_text(struct writer *writer, const char *text, uint64_t hash)
{
    size_t slot = hash & (writer->known_size - 1);
    while (writer->known[slot].offset) {
        if (writer->known[slot].hash == hash && !writer->texts.failed &&
            strcmp((const char *)writer->texts.data + writer->known[slot].offset, text) == 0) {
            return writer->known[slot].offset;
        }
        slot = (slot + 1) & (writer->known_size - 1);
    }
    writer->known[slot] = (struct text){hash, (uint32_t)writer->texts.size};
    bytes_append_string(&writer->texts, text);
    return writer->known[slot].offset;
}

static uint64_t hash_of(const char *text)
{
    return cell_abi_hash(text, strlen(text));
}

static int compare_symbols(const void *left, const void *right)
{
    const struct cell_abi_symbol *a = left;
    const struct cell_abi_symbol *b = right;
    return a->symbol < b->symbol ? -1 : a->symbol > b->symbol;
}

static int compare_variables(const void *left, const void *right)
{
    const struct cell_abi_variable *a = left;
    const struct cell_abi_variable *b = right;
    return a->symbol < b->symbol ? -1 : a->symbol > b->symbol;
}

static int compare_types(const void *left, const void *right)
{
    const struct cell_abi_type *a = left;
    const struct cell_abi_type *b = right;
    return a->key < b->key ? -1 : a->key > b->key;
}

static void put_rows(const struct build *build, struct writer *writer)
{
    for (uint32_t i = 1; i < build->object->symbol_count; i++) {
        const struct row *row = &build->rows[i];
        if (!row->text) {
            continue;
        }
        uint64_t signature = hash_of(row->text);
        uint32_t text = put_text(writer, row->text, signature);
        if (row->has_row) {
            struct cell_abi_symbol symbol = {signature, new_symbol(build, i), text};
            bytes_append(&writer->symbols, &symbol, sizeof(symbol));
        }
        if (row->is_variable && row->name) {
            struct cell_abi_variable variable = {
                .signature = signature,
                .layout = abi_types_layout(&build->types, row->text),
                .symbol = new_symbol(build, i),
                .name = put_text(writer, row->name, hash_of(row->name)),
                .text = text,
                .size = (uint32_t)build->object->symbols[i].st_size,
            };
            bytes_append(&writer->variables, &variable, sizeof(variable));
        }
    }
}

static void put_types(const struct build *build, struct writer *writer)
{
    for (uint32_t i = 0; i < build->types.count; i++) {
        const struct abi_named_type *type = &build->types.list[i];
        if (!type->text) {
            continue;
        }
        uint64_t hash = hash_of(type->text);
        struct cell_abi_type row = {
            .key = type->key,
            .layout = type->die ? hash : 0,
            .text = put_text(writer, type->text, hash),
            .flags = type->is_shared ? CELL_ABI_TYPE_SHARED : 0,
        };
        bytes_append(&writer->types, &row, sizeof(row));
    }
}

static uint32_t finish_table(struct bytes *table, size_t row_size,
                             int (*compare)(const void *, const void *))
{
    size_t count = table->size / row_size;
    if (count > 1) {
        qsort(table->data, count, row_size, compare);
    }
    return (uint32_t)count;
}

static enum status write_section(const struct build *build, struct bytes *out)
{
    struct writer writer = {.known_size = 64};
    while (writer.known_size < 4 * ((size_t)build->object->symbol_count + build->types.count)) {
        writer.known_size *= 2;
    }
    writer.known = calloc(writer.known_size, sizeof(*writer.known));
    if (!writer.known) {
        return problem_set(build->problem, PROBLEM_MEMORY, "out of memory");
    }
    bytes_append_fill(&writer.texts, 0, 1);
    put_rows(build, &writer);
    put_types(build, &writer);
    struct cell_abi_header header = {
        .magic = CELL_ABI_MAGIC,
        .version = CELL_ABI_VERSION,
        .header_size = sizeof(header),
        .symbol_count =
            finish_table(&writer.symbols, sizeof(struct cell_abi_symbol), compare_symbols),
        .variable_count =
            finish_table(&writer.variables, sizeof(struct cell_abi_variable), compare_variables),
        .type_count = finish_table(&writer.types, sizeof(struct cell_abi_type), compare_types),
        .text_size = (uint32_t)writer.texts.size,
    };
    bytes_append(out, &header, sizeof(header));
    struct bytes *const parts[] = {&writer.symbols, &writer.variables, &writer.types,
                                   &writer.texts};
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
        bytes_append(out, parts[i]->data, parts[i]->size);
        out->failed |= parts[i]->failed;
        bytes_fini(parts[i]);
    }
    free(writer.known);
    return bytes_check(out, build->problem);
}

static enum status build_all(struct build *build, Dwarf *dwarf, struct bytes *out)
{
    if (!abi_types_init(&build->types, dwarf) || !prepare_symbols(build)) {
        return no_memory(build);
    }
    enum status status = dwarf ? visit_units(build, dwarf, scan_unit) : OK;
    status = status == OK && dwarf ? visit_units(build, dwarf, walk_unit) : status;
    status = status == OK ? make_names_unique(build) : status;
    status = status == OK ? abi_types_complete(&build->types, build->problem) : status;
    for (uint32_t i = 1; status == OK && i < build->object->symbol_count; i++) {
        const struct row *row = &build->rows[i];
        if (row->text && row->has_row && !is_local(&build->object->symbols[i])) {
            abi_types_share(&build->types, row->text);
        }
    }
    return status == OK ? write_section(build, out) : status;
}

enum status abi_build(const struct elf_object *object, const uint32_t *new_symbols,
                      struct bytes *out, struct problem *problem)
{
    struct build build = {.object = object, .new_symbols = new_symbols, .problem = problem};
    struct abi_debug debug;
    if (!abi_debug_open(object, &debug)) {
        return no_memory(&build);
    }
    enum status status = build_all(&build, debug.dwarf, out);
    for (uint32_t i = 0; build.rows && i < object->symbol_count; i++) {
        free(build.rows[i].text);
        free(build.rows[i].name);
    }
    free(build.rows);
    free(build.places);
    free((void *)build.globals.slots);
    abi_types_fini(&build.types);
    abi_debug_close(&debug);
    return status;
}

enum status abi_open(const struct elf_object *object, struct bytes *storage,
                     struct cell_abi *out_abi, struct problem *problem)
{
    struct diag diag;
    struct span note = cell_abi_find_note(object);
    if (note.size == 0) {
        enum status status = abi_build(object, NULL, storage, problem);
        if (status != OK) {
            return status;
        }
        note = bytes_span(storage);
    }
    enum status status = cell_abi_open(note, out_abi, &diag);
    if (status == OK) {
        status = cell_abi_check(out_abi, object, &diag);
    }
    return status == OK ? OK : problem_set_diag(problem, &diag, NULL);
}
