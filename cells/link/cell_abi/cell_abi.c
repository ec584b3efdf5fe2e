/* SPDX-License-Identifier: MIT */
/*
 * The loader compares two cells while it links them, so what it calls is short: rows are found by
 * the index of the symbol, and tables of types, both sorted, are walked side by side.
 */
#include "cell_abi.h"
#include "diag.h"

CELL(library, "1.0.0");

static COLD enum status refuse(struct diag *diag, uint64_t offset, uint64_t expected,
                               uint64_t found)
{
    return diag_set(diag, DIAG_CELL_ABI,
                    &(struct diag_site){
                        .section = CELL_ABI_SECTION,
                        .offset = offset,
                        .expected = expected,
                        .found = found,
                    });
}

uint64_t cell_abi_hash(const char *text, size_t length)
{
    uint64_t hash = CELL_ABI_HASH_START;
    for (size_t i = 0; i < length; i++) {
        hash = (hash ^ (uint8_t)text[i]) * CELL_ABI_HASH_PRIME;
    }
    return hash ? hash : 1;
}

static uint64_t hash_of(const char *text)
{
    return cell_abi_hash(text, __builtin_strlen(text));
}

enum status cell_abi_open(struct span note, struct cell_abi *out_abi, struct diag *diag)
{
    if (note.size == 0) {
        *out_abi = (struct cell_abi){0};
        return OK;
    }
    const struct cell_abi_header *header =
        (const struct cell_abi_header *)span_at(note, 0, sizeof(*header));
    if (!header || header->magic != CELL_ABI_MAGIC) {
        return refuse(diag, 0, CELL_ABI_MAGIC, header ? header->magic : 0);
    }
    if (header->version != CELL_ABI_VERSION || header->header_size != sizeof(*header)) {
        return refuse(diag, offsetof(struct cell_abi_header, version), CELL_ABI_VERSION,
                      header->version);
    }
    uint64_t symbols = sizeof(*header);
    uint64_t variables = symbols + sizeof(struct cell_abi_symbol) * (uint64_t)header->symbol_count;
    uint64_t types =
        variables + sizeof(struct cell_abi_variable) * (uint64_t)header->variable_count;
    uint64_t texts = types + sizeof(struct cell_abi_type) * (uint64_t)header->type_count;
    if (!span_holds(note, texts, header->text_size)) {
        return refuse(diag, 0, texts + header->text_size, note.size);
    }
    *out_abi = (struct cell_abi){
        .symbols = (const struct cell_abi_symbol *)(note.base + symbols),
        .variables = (const struct cell_abi_variable *)(note.base + variables),
        .types = (const struct cell_abi_type *)(note.base + types),
        .symbol_count = header->symbol_count,
        .variable_count = header->variable_count,
        .type_count = header->type_count,
        .texts = span_of(note.base + texts, header->text_size),
    };
    return OK;
}

struct span cell_abi_find_note(const struct elf_object *object)
{
    for (uint32_t i = object->section_count; i-- > 1;) { /* notes stand behind what is loaded */
        if (object->sections[i].sh_type == SHT_PROGBITS &&
            !elf_object_section_is_loaded(object, i) &&
            __builtin_strcmp(elf_object_section_name(object, i), CELL_ABI_SECTION) == 0) {
            return elf_object_section_bytes(object, i);
        }
    }
    return span_of(NULL, 0);
}

enum status cell_abi_read(const struct elf_object *object, struct cell_abi *out_abi,
                          struct diag *diag)
{
    return cell_abi_open(cell_abi_find_note(object), out_abi, diag);
}

const char *cell_abi_text(const struct cell_abi *abi, uint32_t offset)
{
    const char *text = span_string(abi->texts, offset);
    return text ? text : "";
}

/* ---- finding ---- */

const struct cell_abi_symbol *cell_abi_symbol_at(const struct cell_abi *abi, uint32_t symbol)
{
    const struct cell_abi_symbol *first = abi->symbols;
    for (uint32_t count = abi->symbol_count; count > 0;) {
        uint32_t half = count / 2;
        if (first[half].symbol == symbol) {
            return &first[half];
        }
        bool is_before = first[half].symbol < symbol;
        first = is_before ? first + half + 1 : first;
        count = is_before ? count - half - 1 : half;
    }
    return NULL;
}

const struct cell_abi_symbol *cell_abi_find_symbol(const struct cell_abi *abi,
                                                   const struct elf_object *object,
                                                   const char *name)
{
    for (uint32_t i = 0; i < abi->symbol_count; i++) {
        uint32_t symbol = abi->symbols[i].symbol;
        if (symbol >= object->first_global && symbol < object->symbol_count &&
            __builtin_strcmp(elf_object_symbol_name(object, symbol), name) == 0) {
            return &abi->symbols[i];
        }
    }
    return NULL;
}

const struct cell_abi_variable *cell_abi_find_variable(const struct cell_abi *abi, const char *name)
{
    for (uint32_t i = 0; i < abi->variable_count; i++) {
        if (__builtin_strcmp(cell_abi_text(abi, abi->variables[i].name), name) == 0) {
            return &abi->variables[i];
        }
    }
    return NULL;
}

const struct cell_abi_type *cell_abi_find_type(const struct cell_abi *abi, const char *name,
                                               size_t length)
{
    uint64_t key = cell_abi_hash(name, length);
    const struct cell_abi_type *first = abi->types;
    for (uint32_t count = abi->type_count; count > 0;) {
        uint32_t half = count / 2;
        if (first[half].key == key) {
            return &first[half];
        }
        bool is_before = first[half].key < key;
        first = is_before ? first + half + 1 : first;
        count = is_before ? count - half - 1 : half;
    }
    return NULL;
}

/* The first row from *row on, before `end`, whose key is not less; false: there is none. */
static inline bool pass_below(const struct cell_abi_type **row, const struct cell_abi_type *end,
                              uint64_t key)
{
    const struct cell_abi_type *at = *row;
    while (at != end && at->key < key) {
        at++;
    }
    *row = at;
    return at != end;
}

static inline bool is_conflict(const struct cell_abi_type *a, const struct cell_abi_type *b,
                               uint32_t flags)
{
    return UNLIKELY(a->layout != b->layout) && a->layout != 0 && b->layout != 0 &&
           (a->flags & b->flags & flags) == flags;
}

const struct cell_abi_type *cell_abi_next_conflict(const struct cell_abi *mine,
                                                   const struct cell_abi *theirs, uint32_t flags,
                                                   struct cell_abi_cursor *cursor,
                                                   const struct cell_abi_type **out_theirs)
{
    const struct cell_abi_type *a = mine->types + cursor->mine;
    const struct cell_abi_type *b = theirs->types + cursor->theirs;
    const struct cell_abi_type *a_end = mine->types + mine->type_count;
    const struct cell_abi_type *b_end = theirs->types + theirs->type_count;
    const struct cell_abi_type *found = NULL;
    while (!found && b != b_end && pass_below(&a, a_end, b->key) && pass_below(&b, b_end, a->key)) {
        if (a->key == b->key) {
            if (is_conflict(a, b, flags)) {
                found = a;
                *out_theirs = b;
            }
            a++;
            b++;
        }
    }
    cursor->mine = (uint32_t)(a - mine->types);
    cursor->theirs = (uint32_t)(b - theirs->types);
    return found;
}

/* ---- checking ---- */

static uint64_t offset_of(const struct cell_abi *abi, const void *row)
{
    const uint8_t *start = (const uint8_t *)abi->symbols - sizeof(struct cell_abi_header);
    return (uint64_t)((const uint8_t *)row - start);
}

/* Is it a whole text, and not the empty one? */
static bool is_text(const struct cell_abi *abi, uint32_t offset)
{
    return offset > 0 && cell_abi_text(abi, offset)[0] != '\0' && abi->texts.base[offset - 1] == 0;
}

static bool knows(const struct cell_abi *abi, struct span name, uint32_t flags)
{
    const struct cell_abi_type *type = cell_abi_find_type(abi, (const char *)name.base, name.size);
    return type && (type->flags & flags) == flags;
}

/* Every type that the text mentions must be in the table, shared if whoever mentions it is. */
static bool mentions_are_known(const struct cell_abi *abi, const char *text, uint32_t flags)
{
    uint64_t cursor = 0;
    struct span name;
    bool is_inside;
    while (cell_abi_next_mention(text, &cursor, &name, &is_inside)) {
        if (!knows(abi, name, flags)) {
            return false;
        }
    }
    return true;
}

static bool symbol_is_good(const struct cell_abi *abi, const struct elf_object *object,
                           const struct cell_abi_symbol *row)
{
    if (row->symbol == 0 || row->symbol >= object->symbol_count || !is_text(abi, row->text)) {
        return false;
    }
    bool is_global = row->symbol >= object->first_global;
    bool is_function = elf_symbol_type(&object->symbols[row->symbol]) == STT_FUNC;
    const char *text = cell_abi_text(abi, row->text);
    return (is_global || is_function) && row->signature == hash_of(text) &&
           mentions_are_known(abi, text, is_global ? CELL_ABI_TYPE_SHARED : 0);
}

static bool variable_is_good(const struct cell_abi *abi, const struct elf_object *object,
                             const struct cell_abi_variable *row)
{
    if (row->symbol == 0 || row->symbol >= object->symbol_count || !is_text(abi, row->name) ||
        !is_text(abi, row->text) || row->layout == 0) {
        return false;
    }
    const struct elf64_sym *symbol = &object->symbols[row->symbol];
    const char *text = cell_abi_text(abi, row->text);
    return symbol->st_shndx != SHN_UNDEF && symbol->st_shndx < object->section_count &&
           (object->sections[symbol->st_shndx].sh_flags & SHF_WRITE) &&
           row->size == symbol->st_size && row->signature == hash_of(text) &&
           mentions_are_known(abi, text, 0);
}

static bool type_is_good(const struct cell_abi *abi, const struct cell_abi_type *row)
{
    const char *text = cell_abi_text(abi, row->text);
    struct span name = cell_abi_type_name(text);
    bool is_complete = text[name.size] != '\0';
    return is_text(abi, row->text) &&
           row->key == cell_abi_hash((const char *)name.base, name.size) &&
           row->layout == (is_complete ? hash_of(text) : 0) &&
           !(row->flags & ~CELL_ABI_TYPE_SHARED) && mentions_are_known(abi, text, row->flags);
}

enum status cell_abi_check(const struct cell_abi *abi, const struct elf_object *object,
                           struct diag *diag)
{
    if (abi->texts.size > 0 && (abi->texts.base[0] != 0 || abi->texts.base[abi->texts.size - 1])) {
        return refuse(diag, offset_of(abi, abi->texts.base), 0, 0);
    }
    for (uint32_t i = 0; i < abi->symbol_count; i++) {
        const struct cell_abi_symbol *row = &abi->symbols[i];
        if ((i > 0 && row[-1].symbol >= row->symbol) || !symbol_is_good(abi, object, row)) {
            return refuse(diag, offset_of(abi, row), 0, 0);
        }
    }
    for (uint32_t i = 0; i < abi->variable_count; i++) {
        const struct cell_abi_variable *row = &abi->variables[i];
        if ((i > 0 && row[-1].symbol >= row->symbol) || !variable_is_good(abi, object, row)) {
            return refuse(diag, offset_of(abi, row), 0, 0);
        }
    }
    for (uint32_t i = 0; i < abi->type_count; i++) {
        const struct cell_abi_type *row = &abi->types[i];
        if ((i > 0 && row[-1].key >= row->key) || !type_is_good(abi, row)) {
            return refuse(diag, offset_of(abi, row), 0, 0);
        }
    }
    return OK;
}
