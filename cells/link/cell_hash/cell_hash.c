/* SPDX-License-Identifier: MIT */
/*
 * Each part (section, symbol, FDE, note) is hashed by itself; the sorted hashes are hashed. Parts
 * refer to each other by names, so no order of theirs comes in.
 *
 * A name says which section is meant unless two have it: static functions of two sources. Then each
 * section's hash is mixed with those of its targets, round by round, which tells apart what leads
 * to different places. Rejected: always hashing through references, which costs every cell what few
 * need, and a canonical numbering, which has no known cheap form.
 *
 * .eh_frame is one section for all functions, so it is taken apart: an FDE counts with its CIE,
 * wherever both stand. A table that does not read as records is hashed as it is.
 */
#include "cell_hash.h"
#include "cell_abi.h"
#include "sort.h"
#include "symbol_map.h"

CELL(library, "1.0.0");

#define LOCATIONS    ".rodata.cellloc"
#define FDE_MIN_SIZE 16 /* length, CIE pointer, start, size of the code */

enum part {
    PART_SECTION = 's',
    PART_ROUND = 'r',
    PART_SYMBOL = 'y',
    PART_FDE = 'f',
    PART_NOTE = 'n',
    PART_SIGNATURE = 'g', /* the rows of .cell.abi, which name symbols by their indices */
    PART_VARIABLE = 'v',
    PART_TYPE = 't',
    PART_CELL = 'c',
};

enum target {
    TARGET_NONE = '0',
    TARGET_NAME = 'n',
    TARGET_WEAK_NAME = 'w', /* undefined: may stay so */
    TARGET_ABSOLUTE = 'a',
    TARGET_SECTION = 's',
    TARGET_LOCATION = 'l',
    TARGET_INVALID = '?',
};

struct hashing {
    const struct elf_object *object;
    struct blake2b_digest *now;  /* of each section */
    struct blake2b_digest *next; /* of the round at hand */
    struct blake2b_digest *parts;
    uint64_t *names;
    uint64_t *names_scratch;
    uint32_t *first_relocations; /* by section: the first relocation section of it, or 0 */
    uint32_t *more_relocations;  /* by relocation section: another one of the same section, or 0 */
    size_t part_count;
    bool has_equal_names;
};

/* ---- scratch memory ---- */

static bool is_named(const struct elf_object *object, uint32_t section, const char *name)
{
    return __builtin_strcmp(elf_object_section_name(object, section), name) == 0;
}

static bool is_unwind(const struct elf_object *object, uint32_t section)
{
    return elf_object_section_is_loaded(object, section) && is_named(object, section, ".eh_frame");
}

static size_t most_parts(const struct elf_object *object)
{
    struct cell_abi abi;
    size_t count = (size_t)object->section_count + object->symbol_count;
    if (cell_abi_read(object, &abi, NULL) == OK) {
        count += (size_t)abi.symbol_count + abi.variable_count + abi.type_count;
    }
    for (uint32_t i = 1; i < object->section_count; i++) {
        if (is_unwind(object, i)) {
            count += elf_object_section_bytes(object, i).size / FDE_MIN_SIZE;
        }
    }
    return count;
}

size_t cell_hash_scratch_size(const struct elf_object *object)
{
    size_t a_section =
        2 * sizeof(struct blake2b_digest) + 2 * sizeof(uint64_t) + 2 * sizeof(uint32_t);
    return object->section_count * a_section + most_parts(object) * sizeof(struct blake2b_digest);
}

static void use_scratch(struct hashing *hashing, void *scratch)
{
    size_t sections = hashing->object->section_count;
    hashing->now = scratch;
    hashing->next = hashing->now + sections;
    hashing->parts = hashing->next + sections;
    hashing->names = (uint64_t *)(hashing->parts + most_parts(hashing->object));
    hashing->names_scratch = hashing->names + sections;
    hashing->first_relocations = (uint32_t *)(hashing->names_scratch + sections);
    hashing->more_relocations = hashing->first_relocations + sections;
}

/* From the last to the first, so that the lists are in the order of the table. */
static void list_relocations(struct hashing *hashing)
{
    const struct elf_object *object = hashing->object;
    for (uint32_t i = 0; i < object->section_count; i++) {
        hashing->first_relocations[i] = 0;
    }
    for (uint32_t i = object->section_count; i-- > 1;) {
        if (elf_object_is_relocation(object, i)) {
            uint32_t of = object->sections[i].sh_info;
            hashing->more_relocations[i] = hashing->first_relocations[of];
            hashing->first_relocations[of] = i;
        }
    }
}

/* Sections of equal hashes of names count as of equal names: that costs rounds and changes nothing.
 */
static void compare_names(struct hashing *hashing)
{
    const struct elf_object *object = hashing->object;
    size_t count = 0;
    for (uint32_t i = 1; i < object->section_count; i++) {
        if (elf_object_section_is_loaded(object, i)) {
            hashing->names[count++] = symbol_map_hash(elf_object_section_name(object, i));
        }
    }
    sort_keys(hashing->names, hashing->names_scratch, count);
    for (size_t i = 1; i < count; i++) {
        hashing->has_equal_names |= hashing->names[i] == hashing->names[i - 1];
    }
}

/* ---- what hashes are made of ---- */

static void begin(struct blake2b *state, enum part part)
{
    uint8_t letter = (uint8_t)part;
    blake2b_begin(state);
    blake2b_add(state, &letter, sizeof(letter));
}

static void add_text(struct blake2b *state, const char *text)
{
    blake2b_add(state, text, __builtin_strlen(text) + 1);
}

static void add_number(struct blake2b *state, uint64_t number)
{
    blake2b_add(state, &number, sizeof(number));
}

static bool is_in_section(const struct elf_object *object, const struct elf64_sym *symbol)
{
    return symbol->st_shndx != SHN_UNDEF && symbol->st_shndx < object->section_count;
}

static enum target target_of(const struct elf_object *object, uint32_t index)
{
    if (index == 0) {
        return TARGET_NONE;
    }
    if (index >= object->symbol_count) {
        return TARGET_INVALID;
    }
    const struct elf64_sym *symbol = &object->symbols[index];
    if (symbol->st_shndx == SHN_UNDEF) {
        return elf_symbol_binding(symbol) == STB_WEAK ? TARGET_WEAK_NAME : TARGET_NAME;
    }
    if (!is_in_section(object, symbol)) {
        return TARGET_ABSOLUTE;
    }
    if (cell_hash_leaves_out(elf_object_section_name(object, symbol->st_shndx))) {
        return TARGET_LOCATION;
    }
    return elf_symbol_binding(symbol) == STB_LOCAL ? TARGET_SECTION : TARGET_NAME;
}

/* `base` is where the part that the relocation belongs to begins in its section. */
static void add_relocation(struct blake2b *state, const struct elf_object *object,
                           const struct elf64_rela *rela, uint64_t base)
{
    enum target target = target_of(object, rela->r_sym);
    struct {
        uint64_t offset;
        uint32_t type;
        uint32_t target;
        uint64_t value;
    } record = {
        .offset = rela->r_offset - base,
        .type = rela->r_type,
        .target = target,
        .value = target == TARGET_LOCATION ? 0 : (uint64_t)rela->r_addend,
    };
    const struct elf64_sym *symbol =
        target == TARGET_INVALID ? NULL : &object->symbols[rela->r_sym];
    if (target == TARGET_SECTION || target == TARGET_ABSOLUTE) {
        record.value += symbol->st_value;
    }
    blake2b_add(state, &record, sizeof(record));
    if (target == TARGET_SECTION) {
        add_text(state, elf_object_section_name(object, symbol->st_shndx));
    } else if (target == TARGET_NAME || target == TARGET_WEAK_NAME) {
        add_text(state, elf_object_symbol_name(object, rela->r_sym));
    }
}

static bool counts(const struct elf_object *object, uint32_t section)
{
    return elf_object_section_is_loaded(object, section) &&
           !cell_hash_leaves_out(elf_object_section_name(object, section));
}

static void add_part(struct hashing *hashing, struct blake2b *state)
{
    blake2b_end(state, &hashing->parts[hashing->part_count++]);
}

/* ---- sections ---- */

static void hash_section(struct hashing *hashing, uint32_t index)
{
    const struct elf_object *object = hashing->object;
    const struct elf64_shdr *section = &object->sections[index];
    struct span bytes = elf_object_section_bytes(object, index);
    struct blake2b state;
    begin(&state, PART_SECTION);
    add_text(&state, elf_object_section_name(object, index));
    add_number(&state, section->sh_type);
    add_number(&state, section->sh_flags);
    add_number(&state, section->sh_addralign);
    add_number(&state, section->sh_size);
    blake2b_add(&state, bytes.base, bytes.size);
    for (uint32_t from = hashing->first_relocations[index]; from;
         from = hashing->more_relocations[from]) {
        uint64_t count;
        const struct elf64_rela *rela = elf_object_relocations(object, from, &count);
        for (uint64_t i = 0; i < count; i++) {
            add_relocation(&state, object, &rela[i], 0);
        }
    }
    blake2b_end(&state, &hashing->now[index]);
}

static void mix_targets(struct hashing *hashing, uint32_t index)
{
    const struct elf_object *object = hashing->object;
    struct blake2b state;
    begin(&state, PART_ROUND);
    blake2b_add(&state, &hashing->now[index], sizeof(hashing->now[index]));
    for (uint32_t from = hashing->first_relocations[index]; from;
         from = hashing->more_relocations[from]) {
        uint64_t count;
        const struct elf64_rela *rela = elf_object_relocations(object, from, &count);
        for (uint64_t i = 0; i < count; i++) {
            if (target_of(object, rela[i].r_sym) == TARGET_SECTION) {
                const struct elf64_sym *symbol = &object->symbols[rela[i].r_sym];
                blake2b_add(&state, &hashing->now[symbol->st_shndx], sizeof(hashing->now[0]));
            }
        }
    }
    blake2b_end(&state, &hashing->next[index]);
}

static void hash_sections(struct hashing *hashing)
{
    const struct elf_object *object = hashing->object;
    for (uint32_t i = 0; i < object->section_count; i++) {
        hashing->now[i] = (struct blake2b_digest){0};
        if (counts(object, i)) {
            hash_section(hashing, i);
        }
    }
    for (unsigned round = 0; hashing->has_equal_names && round < CELL_HASH_ROUNDS; round++) {
        for (uint32_t i = 0; i < object->section_count; i++) {
            hashing->next[i] = (struct blake2b_digest){0};
            if (counts(object, i)) {
                mix_targets(hashing, i);
            }
        }
        struct blake2b_digest *next = hashing->next;
        hashing->next = hashing->now;
        hashing->now = next;
    }
}

/* ---- symbols and notes ---- */

static void add_symbols(struct hashing *hashing)
{
    const struct elf_object *object = hashing->object;
    for (uint32_t i = 1; i < object->symbol_count; i++) {
        const struct elf64_sym *symbol = &object->symbols[i];
        unsigned type = elf_symbol_type(symbol);
        bool is_placed = is_in_section(object, symbol);
        if (symbol->st_shndx == SHN_UNDEF || type == STT_SECTION || type == STT_FILE ||
            (is_placed && !counts(object, symbol->st_shndx))) {
            continue;
        }
        struct blake2b state;
        begin(&state, PART_SYMBOL);
        add_text(&state, elf_object_symbol_name(object, i));
        add_number(&state, symbol->st_info);
        add_number(&state, symbol->st_value);
        add_number(&state, symbol->st_size);
        if (is_placed) {
            blake2b_add(&state, &hashing->now[symbol->st_shndx], sizeof(hashing->now[0]));
        }
        add_part(hashing, &state);
    }
}

/* What a row says of a symbol, by its name: indices depend on order. */
static void add_row(struct hashing *hashing, enum part part, uint32_t symbol, const void *fields,
                    size_t size, const char *text)
{
    const struct elf_object *object = hashing->object;
    struct blake2b state;
    begin(&state, part);
    add_text(&state, symbol < object->symbol_count ? elf_object_symbol_name(object, symbol) : "");
    blake2b_add(&state, fields, size);
    add_text(&state, text);
    add_part(hashing, &state);
}

static void add_abi(struct hashing *hashing, const struct cell_abi *abi)
{
    for (uint32_t i = 0; i < abi->symbol_count; i++) {
        const struct cell_abi_symbol *row = &abi->symbols[i];
        add_row(hashing, PART_SIGNATURE, row->symbol, &row->signature, sizeof(row->signature), "");
    }
    for (uint32_t i = 0; i < abi->variable_count; i++) {
        const struct cell_abi_variable *row = &abi->variables[i];
        uint64_t fields[] = {row->signature, row->layout, row->size};
        add_row(hashing, PART_VARIABLE, row->symbol, fields, sizeof(fields),
                cell_abi_text(abi, row->name));
    }
    for (uint32_t i = 0; i < abi->type_count; i++) {
        const struct cell_abi_type *row = &abi->types[i];
        uint64_t fields[] = {row->key, row->layout, row->flags};
        add_row(hashing, PART_TYPE, 0, fields, sizeof(fields), "");
    }
}

static void add_notes(struct hashing *hashing, enum cell_hash_scope scope)
{
    const struct elf_object *object = hashing->object;
    struct cell_abi abi;
    bool has_abi = cell_abi_read(object, &abi, NULL) == OK;
    if (has_abi) {
        add_abi(hashing, &abi);
    }
    for (uint32_t i = 1; i < object->section_count; i++) {
        const char *name = elf_object_section_name(object, i);
        if (elf_object_section_is_loaded(object, i) || __builtin_strncmp(name, ".cell.", 6) != 0 ||
            __builtin_strcmp(name, ".cell.unwind") == 0 ||
            (__builtin_strcmp(name, CELL_ABI_SECTION) == 0 && has_abi) ||
            (scope == CELL_HASH_BODY && __builtin_strcmp(name, ".cell.info") == 0)) {
            continue;
        }
        struct span bytes = elf_object_section_bytes(object, i);
        struct blake2b state;
        begin(&state, PART_NOTE);
        add_text(&state, name);
        blake2b_add(&state, bytes.base, bytes.size);
        add_part(hashing, &state);
    }
}

/* ---- the unwind table ---- */

/* A table while its records are read. */
struct table {
    struct span bytes;
    const struct elf64_rela *relocations;
    uint64_t relocation_count;
};

/* LSB Core, "Exception Frames": a length, then an identifier; both 32 bits. */
struct record {
    uint64_t offset;
    uint64_t size; /* with the length itself */
    uint64_t cie;  /* where that of an FDE begins; its own offset for a CIE */
    bool is_fde;
};

static bool read_word(struct span bytes, uint64_t offset, uint32_t *out)
{
    const void *at = span_at(bytes, offset, sizeof(*out));
    if (at) {
        __builtin_memcpy(out, at, sizeof(*out));
    }
    return at != NULL;
}

/* False behind the last record, and where there is none that can be read. */
static bool read_record(const struct table *table, uint64_t offset, struct record *out)
{
    uint32_t length;
    uint32_t id;
    if (!read_word(table->bytes, offset, &length) || length < 4 || length >= 0xfffffff0u ||
        !span_holds(table->bytes, offset + 4, length) ||
        !read_word(table->bytes, offset + 4, &id)) {
        return false;
    }
    *out = (struct record){.offset = offset, .size = 4 + (uint64_t)length, .is_fde = id != 0};
    out->cie = id ? offset + 4 - id : offset;
    return id == 0 || (id <= offset + 4 && out->size >= FDE_MIN_SIZE);
}

/* Does it consist of records throughout, each FDE with a CIE that can be read? */
static bool is_readable(const struct table *table)
{
    uint64_t offset = 0;
    while (offset < table->bytes.size) {
        struct record record;
        struct record cie;
        if (!read_record(table, offset, &record) ||
            (record.is_fde && (!read_record(table, record.cie, &cie) || cie.is_fde))) {
            return false;
        }
        offset += record.size;
    }
    for (uint64_t i = 1; i < table->relocation_count; i++) {
        if (table->relocations[i].r_offset < table->relocations[i - 1].r_offset) {
            return false;
        }
    }
    return true;
}

/* The first relocation at or behind `offset`. */
static uint64_t find_relocation(const struct table *table, uint64_t offset)
{
    uint64_t first = 0;
    for (uint64_t count = table->relocation_count; count > 0;) {
        uint64_t half = count / 2;
        bool is_before = table->relocations[first + half].r_offset < offset;
        first = is_before ? first + half + 1 : first;
        count = is_before ? count - half - 1 : half;
    }
    return first;
}

/* `skip` leading bytes of the record depend on where it stands. */
static void add_record(struct hashing *hashing, const struct table *table,
                       const struct record *record, uint64_t skip, struct blake2b *state)
{
    const struct elf_object *object = hashing->object;
    add_number(state, record->size);
    blake2b_add(state, table->bytes.base + record->offset + skip, record->size - skip);
    uint64_t end = record->offset + record->size;
    for (uint64_t i = find_relocation(table, record->offset);
         i < table->relocation_count && table->relocations[i].r_offset < end; i++) {
        const struct elf64_rela *rela = &table->relocations[i];
        add_relocation(state, object, rela, record->offset);
        if (target_of(object, rela->r_sym) == TARGET_SECTION) {
            uint16_t target = object->symbols[rela->r_sym].st_shndx;
            blake2b_add(state, &hashing->now[target], sizeof(hashing->now[0]));
        }
    }
}

static void add_fdes(struct hashing *hashing, const struct table *table)
{
    uint64_t offset = 0;
    struct record record;
    struct record cie;
    while (read_record(table, offset, &record)) {
        if (record.is_fde && read_record(table, record.cie, &cie)) {
            struct blake2b state;
            begin(&state, PART_FDE);
            add_record(hashing, table, &cie, 4, &state);
            add_record(hashing, table, &record, 8, &state);
            add_part(hashing, &state);
        }
        offset += record.size;
    }
}

/* Several relocation sections of one table are as unheard of as a table without records. */
static bool open_table(const struct hashing *hashing, uint32_t section, struct table *out)
{
    const struct elf_object *object = hashing->object;
    uint32_t from = hashing->first_relocations[section];
    *out = (struct table){.bytes = elf_object_section_bytes(object, section)};
    if (from) {
        out->relocations = elf_object_relocations(object, from, &out->relocation_count);
    }
    return !(from && hashing->more_relocations[from]) && is_readable(out);
}

static void add_sections(struct hashing *hashing)
{
    const struct elf_object *object = hashing->object;
    for (uint32_t i = 1; i < object->section_count; i++) {
        struct table table;
        if (is_unwind(object, i) && open_table(hashing, i, &table)) {
            add_fdes(hashing, &table);
        } else if (counts(object, i)) {
            hashing->parts[hashing->part_count++] = hashing->now[i];
        }
    }
}

/* ---- all of it ---- */

static bool digest_comes_before(const void *a, const void *b)
{
    return __builtin_memcmp(a, b, sizeof(struct blake2b_digest)) < 0;
}

bool cell_hash_leaves_out(const char *section)
{
    return __builtin_strncmp(section, LOCATIONS, sizeof(LOCATIONS) - 1) == 0;
}

void cell_hash_of(const struct elf_object *object, enum cell_hash_scope scope, void *scratch,
                  struct blake2b_digest *out_hash)
{
    struct hashing hashing = {.object = object};
    use_scratch(&hashing, scratch);
    list_relocations(&hashing);
    compare_names(&hashing);
    hash_sections(&hashing);
    add_sections(&hashing);
    add_symbols(&hashing);
    add_notes(&hashing, scope);
    sort_array(hashing.parts, hashing.part_count, sizeof(hashing.parts[0]), digest_comes_before);
    struct blake2b state;
    begin(&state, PART_CELL);
    add_number(&state, hashing.part_count);
    blake2b_add(&state, hashing.parts, hashing.part_count * sizeof(hashing.parts[0]));
    blake2b_end(&state, out_hash);
}
