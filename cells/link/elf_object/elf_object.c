/* SPDX-License-Identifier: MIT */
/*
 * Validation runs in the order in which the structures depend on each other: header, section table,
 * name table, sections one by one, symbol table, symbols one by one, relocation sections. Each
 * check is one function that either passes or fills the diag; nothing is read before the check that
 * makes reading it safe.
 */
#include "elf_object.h"
#include "diag.h"

CELL(library, "1.0.0");

static const struct elf64_ehdr *header_of(const struct elf_object *object)
{
    return (const struct elf64_ehdr *)object->file.base;
}

static enum status refuse_header(struct diag *diag, enum diag_code code, uint64_t offset,
                                 uint64_t expected, uint64_t found)
{
    return diag_set(diag, code,
                    &(struct diag_site){.offset = offset, .expected = expected, .found = found});
}

/* File offset of a field of section header `index`, for the diag. */
#define SHDR_FIELD(object, index, field)                                          \
    (header_of(object)->e_shoff + (uint64_t)(index) * sizeof(struct elf64_shdr) + \
     offsetof(struct elf64_shdr, field))

static enum status refuse_section(const struct elf_object *object, struct diag *diag,
                                  enum diag_code code, uint32_t index, uint64_t offset,
                                  uint64_t expected, uint64_t found)
{
    return diag_set(
        diag, code,
        &(struct diag_site){
            .section = object->section_names ? elf_object_section_name(object, index) : NULL,
            .offset = offset,
            .expected = expected,
            .found = found,
        });
}

static enum status refuse_symbol(const struct elf_object *object, struct diag *diag,
                                 enum diag_code code, uint32_t index, uint64_t expected,
                                 uint64_t found)
{
    return diag_set(diag, code,
                    &(struct diag_site){
                        .section = elf_object_section_name(object, object->symbol_table),
                        .symbol = elf_object_symbol_name(object, index),
                        .offset = (uint64_t)index * sizeof(struct elf64_sym),
                        .expected = expected,
                        .found = found,
                    });
}

static enum status check_identification(struct span file, struct diag *diag)
{
    const uint8_t *ident = span_at(file, 0, EI_NIDENT);
    if (!ident) {
        return refuse_header(diag, DIAG_ELF_TRUNCATED, 0, sizeof(struct elf64_ehdr), file.size);
    }
    if (__builtin_memcmp(ident, "\177ELF", 4) != 0) {
        uint32_t magic;
        __builtin_memcpy(&magic, ident, sizeof(magic));
        return refuse_header(diag, DIAG_ELF_MAGIC, 0, 0x464c457f, magic);
    }
    if (ident[EI_CLASS] != ELFCLASS64) {
        return refuse_header(diag, DIAG_ELF_CLASS, EI_CLASS, ELFCLASS64, ident[EI_CLASS]);
    }
    if (ident[EI_DATA] != ELFDATA2LSB) {
        return refuse_header(diag, DIAG_ELF_ENCODING, EI_DATA, ELFDATA2LSB, ident[EI_DATA]);
    }
    if (ident[EI_VERSION] != EV_CURRENT) {
        return refuse_header(diag, DIAG_ELF_VERSION, EI_VERSION, EV_CURRENT, ident[EI_VERSION]);
    }
    if (ident[EI_OSABI] != ELFOSABI_SYSV && ident[EI_OSABI] != ELFOSABI_GNU) {
        return refuse_header(diag, DIAG_ELF_ABI, EI_OSABI, ELFOSABI_SYSV, ident[EI_OSABI]);
    }
    return OK;
}

static enum status check_header(struct span file, struct diag *diag)
{
    enum status status = check_identification(file, diag);
    if (status != OK) {
        return status;
    }
    const struct elf64_ehdr *header = span_at(file, 0, sizeof(*header));
    if (!header) {
        return refuse_header(diag, DIAG_ELF_TRUNCATED, 0, sizeof(*header), file.size);
    }
#define HEADER_FIELD(field) offsetof(struct elf64_ehdr, field)
    if (header->e_type != ET_REL) {
        return refuse_header(diag, DIAG_ELF_TYPE, HEADER_FIELD(e_type), ET_REL, header->e_type);
    }
    if (header->e_machine != EM_X86_64) {
        return refuse_header(diag, DIAG_ELF_MACHINE, HEADER_FIELD(e_machine), EM_X86_64,
                             header->e_machine);
    }
    if (header->e_version != EV_CURRENT) {
        return refuse_header(diag, DIAG_ELF_VERSION, HEADER_FIELD(e_version), EV_CURRENT,
                             header->e_version);
    }
    if (header->e_ehsize != sizeof(*header)) {
        return refuse_header(diag, DIAG_ELF_HEADER_SIZE, HEADER_FIELD(e_ehsize), sizeof(*header),
                             header->e_ehsize);
    }
    if (header->e_shoff == 0) {
        return refuse_header(diag, DIAG_ELF_NO_SECTIONS, HEADER_FIELD(e_shoff), 0, 0);
    }
    if (header->e_shentsize != sizeof(struct elf64_shdr)) {
        return refuse_header(diag, DIAG_ELF_HEADER_SIZE, HEADER_FIELD(e_shentsize),
                             sizeof(struct elf64_shdr), header->e_shentsize);
    }
    if (header->e_shnum == 0 || header->e_shnum >= SHN_LORESERVE) {
        return refuse_header(diag, DIAG_ELF_EXTENDED_INDEX, HEADER_FIELD(e_shnum),
                             SHN_LORESERVE - 1, header->e_shnum);
    }
    if (header->e_shstrndx == SHN_XINDEX) {
        return refuse_header(diag, DIAG_ELF_EXTENDED_INDEX, HEADER_FIELD(e_shstrndx),
                             header->e_shnum - 1u, header->e_shstrndx);
    }
    return OK;
}

/* The bytes of string table `index`; they end in a NUL, so any offset inside starts a string. */
static bool string_table(const struct elf_object *object, uint32_t index, struct span *out)
{
    if (index >= object->section_count || object->sections[index].sh_type != SHT_STRTAB) {
        return false;
    }
    const struct elf64_shdr *section = &object->sections[index];
    return span_slice(object->file, section->sh_offset, section->sh_size, out) && out->size > 0 &&
           out->base[out->size - 1] == 0;
}

static enum status open_section_table(struct elf_object *object, struct diag *diag)
{
    const struct elf64_ehdr *header = header_of(object);
    uint64_t size = (uint64_t)header->e_shnum * sizeof(struct elf64_shdr);
    object->sections = span_at(object->file, header->e_shoff, size);
    object->section_count = header->e_shnum;
    if (!object->sections) {
        return refuse_header(diag, DIAG_ELF_TRUNCATED, header->e_shoff, size, object->file.size);
    }
    struct span names;
    if (!string_table(object, header->e_shstrndx, &names)) {
        return refuse_header(diag, DIAG_ELF_SECTION_NAMES, HEADER_FIELD(e_shstrndx), 0,
                             header->e_shstrndx);
    }
    for (uint32_t i = 0; i < object->section_count; i++) {
        if (object->sections[i].sh_name >= names.size) {
            return refuse_header(diag, DIAG_ELF_NAME, SHDR_FIELD(object, i, sh_name),
                                 names.size - 1, object->sections[i].sh_name);
        }
    }
    object->section_names = (const char *)names.base;
    return OK;
}

static bool is_loadable_type(uint32_t type)
{
    switch (type) {
    case SHT_PROGBITS:
    case SHT_NOBITS:
    case SHT_NOTE:
    case SHT_INIT_ARRAY: /* loaded as data; a cell's own code decides what to do with it */
    case SHT_FINI_ARRAY:
    case SHT_X86_64_UNWIND:
        return true;
    default:
        return false;
    }
}

static enum status check_loaded_section(const struct elf_object *object, uint32_t i,
                                        struct diag *diag)
{
    const struct elf64_shdr *section = &object->sections[i];
    uint64_t flags = section->sh_flags;
    if (!is_loadable_type(section->sh_type)) {
        return refuse_section(object, diag, DIAG_ELF_SECTION_TYPE, i,
                              SHDR_FIELD(object, i, sh_type), SHT_PROGBITS, section->sh_type);
    }
    if (flags & SHF_TLS) {
        return refuse_section(object, diag, DIAG_ELF_TLS, i, SHDR_FIELD(object, i, sh_flags),
                              flags & ~(uint64_t)SHF_TLS, flags);
    }
    if (flags & SHF_COMPRESSED) {
        return refuse_section(object, diag, DIAG_ELF_COMPRESSED, i, SHDR_FIELD(object, i, sh_flags),
                              flags & ~(uint64_t)SHF_COMPRESSED, flags);
    }
    if ((flags & SHF_WRITE) && (flags & SHF_EXECINSTR)) {
        return refuse_section(object, diag, DIAG_ELF_WRITE_EXEC, i, SHDR_FIELD(object, i, sh_flags),
                              flags & ~(uint64_t)SHF_WRITE, flags);
    }
    if (section->sh_addralign > ELF_OBJECT_MAX_ALIGNMENT) {
        return refuse_section(object, diag, DIAG_ELF_ALIGNMENT, i,
                              SHDR_FIELD(object, i, sh_addralign), ELF_OBJECT_MAX_ALIGNMENT,
                              section->sh_addralign);
    }
    if (section->sh_size > ELF_OBJECT_MAX_SECTION) {
        return refuse_section(object, diag, DIAG_ELF_LIMIT, i, SHDR_FIELD(object, i, sh_size),
                              ELF_OBJECT_MAX_SECTION, section->sh_size);
    }
    return OK;
}

static enum status check_section(const struct elf_object *object, uint32_t i, struct diag *diag)
{
    const struct elf64_shdr *section = &object->sections[i];
    if (section->sh_type == SHT_NULL) {
        /* An inactive header; were it marked as loaded, it would have to be placed. */
        return section->sh_flags & SHF_ALLOC ? check_loaded_section(object, i, diag) : OK;
    }
    if (section->sh_type != SHT_NOBITS &&
        !span_holds(object->file, section->sh_offset, section->sh_size)) {
        return refuse_section(object, diag, DIAG_ELF_SECTION_BOUNDS, i,
                              SHDR_FIELD(object, i, sh_offset), object->file.size,
                              section->sh_offset + section->sh_size);
    }
    if (section->sh_addralign & (section->sh_addralign - 1)) {
        return refuse_section(object, diag, DIAG_ELF_ALIGNMENT, i,
                              SHDR_FIELD(object, i, sh_addralign), 0, section->sh_addralign);
    }
    if (section->sh_type == SHT_SYMTAB_SHNDX) {
        return refuse_section(object, diag, DIAG_ELF_EXTENDED_INDEX, i,
                              SHDR_FIELD(object, i, sh_type), 0, section->sh_type);
    }
    return section->sh_flags & SHF_ALLOC ? check_loaded_section(object, i, diag) : OK;
}

static enum status check_symbol_place(const struct elf_object *object, uint32_t i,
                                      struct diag *diag)
{
    const struct elf64_sym *symbol = &object->symbols[i];
    uint16_t index = symbol->st_shndx;
    if (index == SHN_COMMON) {
        return refuse_symbol(object, diag, DIAG_ELF_COMMON, i, 0, index);
    }
    if (index == SHN_XINDEX) {
        return refuse_symbol(object, diag, DIAG_ELF_EXTENDED_INDEX, i, 0, index);
    }
    if (index == SHN_UNDEF || index == SHN_ABS) {
        return OK;
    }
    if (index >= object->section_count) {
        return refuse_symbol(object, diag, DIAG_ELF_SYMBOL_SECTION, i, object->section_count - 1,
                             index);
    }
    const struct elf64_shdr *section = &object->sections[index];
    if (section->sh_flags & SHF_ALLOC) {
        bool starts_inside = symbol->st_value <= section->sh_size;
        if (!starts_inside || symbol->st_size > section->sh_size - symbol->st_value) {
            return refuse_symbol(object, diag, DIAG_ELF_SYMBOL_BOUNDS, i, section->sh_size,
                                 starts_inside ? symbol->st_size : symbol->st_value);
        }
    }
    return OK;
}

/* A symbol that is_plain() has not passed. */
COLD NOINLINE static enum status check_symbol(const struct elf_object *object, uint32_t i,
                                              size_t names_size, struct diag *diag)
{
    const struct elf64_sym *symbol = &object->symbols[i];
    if (symbol->st_name >= names_size) {
        return refuse_section(object, diag, DIAG_ELF_NAME, object->symbol_table,
                              (uint64_t)i * sizeof(*symbol), names_size - 1, symbol->st_name);
    }
    uint8_t binding = elf_symbol_binding(symbol);
    if (binding > STB_WEAK) {
        return refuse_symbol(object, diag, DIAG_ELF_SYMBOL_BINDING, i, STB_WEAK, binding);
    }
    if ((binding == STB_LOCAL) != (i < object->first_global)) {
        return refuse_symbol(object, diag, DIAG_ELF_SYMBOL_ORDER, i, object->first_global, i);
    }
    uint8_t type = elf_symbol_type(symbol);
    if (type == STT_TLS) {
        return refuse_symbol(object, diag, DIAG_ELF_TLS, i, STT_OBJECT, type);
    }
    if (type == STT_COMMON) {
        return refuse_symbol(object, diag, DIAG_ELF_COMMON, i, STT_OBJECT, type);
    }
    if (type > STT_FILE) {
        return refuse_symbol(object, diag, DIAG_ELF_SYMBOL_TYPE, i, STT_FILE, type);
    }
    return check_symbol_place(object, i, diag);
}

/*
 * Passes nearly every symbol that check_symbol() passes, and nothing else: one of ordinary binding
 * (`lowest` to `highest`) and type, that is undefined or lies where it says it does.
 */
static inline bool is_plain(const struct elf_object *object, const struct elf64_sym *symbol,
                            size_t names_size, unsigned lowest, unsigned highest)
{
    const unsigned info = symbol->st_info;
    const uint32_t index = symbol->st_shndx;
    if (symbol->st_name >= names_size || info < lowest << 4 || (info & 0xf) > STT_FILE ||
        info >> 4 > highest || index >= object->section_count) {
        return false;
    }
    const struct elf64_shdr *section = &object->sections[index];
    return index == SHN_UNDEF || !(section->sh_flags & SHF_ALLOC) ||
           (symbol->st_value <= section->sh_size &&
            symbol->st_size <= section->sh_size - symbol->st_value);
}

/* Symbols from `i` to `end`, all local or none. */
static enum status check_symbols(const struct elf_object *object, uint32_t i, uint32_t end,
                                 size_t names_size, unsigned lowest, unsigned highest,
                                 struct diag *diag)
{
    enum status status = OK;
    for (; i < end && status == OK; i++) {
        if (UNLIKELY(!is_plain(object, &object->symbols[i], names_size, lowest, highest))) {
            status = check_symbol(object, i, names_size, diag);
        }
    }
    return status;
}

/* Is a table a whole number of entries of the size that it states? */
static enum status check_entries(const struct elf_object *object, uint32_t i, uint64_t entry_size,
                                 struct diag *diag)
{
    const struct elf64_shdr *section = &object->sections[i];
    if (section->sh_entsize != entry_size) {
        return refuse_section(object, diag, DIAG_ELF_ENTRY_SIZE, i,
                              SHDR_FIELD(object, i, sh_entsize), entry_size, section->sh_entsize);
    }
    uint64_t rest = section->sh_size % entry_size;
    if (rest != 0) {
        return refuse_section(object, diag, DIAG_ELF_ENTRY_SIZE, i, SHDR_FIELD(object, i, sh_size),
                              section->sh_size - rest, section->sh_size);
    }
    return OK;
}

static enum status open_symbols(struct elf_object *object, struct diag *diag)
{
    const struct elf64_shdr *table = &object->sections[object->symbol_table];
    uint32_t t = object->symbol_table;
    enum status status = check_entries(object, t, sizeof(struct elf64_sym), diag);
    if (status != OK) {
        return status;
    }
    uint64_t count = table->sh_size / sizeof(struct elf64_sym);
    if (count > UINT32_MAX) {
        return refuse_section(object, diag, DIAG_ELF_LIMIT, t, SHDR_FIELD(object, t, sh_size),
                              UINT32_MAX, count);
    }
    struct span names;
    if (!string_table(object, table->sh_link, &names)) {
        return refuse_section(object, diag, DIAG_ELF_SECTION_LINK, t,
                              SHDR_FIELD(object, t, sh_link), 0, table->sh_link);
    }
    if (table->sh_info > count) {
        return refuse_section(object, diag, DIAG_ELF_SYMBOL_ORDER, t,
                              SHDR_FIELD(object, t, sh_info), count, table->sh_info);
    }
    object->symbols = (const struct elf64_sym *)(object->file.base + table->sh_offset);
    object->symbol_names = (const char *)names.base;
    object->symbol_count = (uint32_t)count;
    object->first_global = table->sh_info;
    status = check_symbols(object, 0, object->first_global, names.size, STB_LOCAL, STB_LOCAL, diag);
    if (status == OK) {
        status = check_symbols(object, object->first_global, object->symbol_count, names.size,
                               STB_GLOBAL, STB_WEAK, diag);
    }
    return status;
}

static enum status find_symbol_table(struct elf_object *object, struct diag *diag)
{
    for (uint32_t i = 0; i < object->section_count; i++) {
        if (object->sections[i].sh_type != SHT_SYMTAB) {
            continue;
        }
        if (object->symbol_table != 0) {
            return refuse_section(object, diag, DIAG_ELF_SYMBOL_TABLE, i,
                                  SHDR_FIELD(object, i, sh_type), object->symbol_table, i);
        }
        object->symbol_table = i;
    }
    return object->symbol_table != 0 ? open_symbols(object, diag) : OK;
}

static enum status check_relocation_section(struct elf_object *object, uint32_t i,
                                            struct diag *diag)
{
    const struct elf64_shdr *section = &object->sections[i];
    if (section->sh_info == 0 || section->sh_info >= object->section_count) {
        return refuse_section(object, diag, DIAG_ELF_SECTION_LINK, i,
                              SHDR_FIELD(object, i, sh_info), object->section_count - 1,
                              section->sh_info);
    }
    if (!elf_object_section_is_loaded(object, section->sh_info)) {
        return OK;
    }
    if (section->sh_type == SHT_REL) {
        return refuse_section(object, diag, DIAG_ELF_RELOCATION_FORM, i,
                              SHDR_FIELD(object, i, sh_type), SHT_RELA, SHT_REL);
    }
    if (section->sh_link != object->symbol_table || object->symbol_table == 0) {
        return refuse_section(object, diag, DIAG_ELF_SECTION_LINK, i,
                              SHDR_FIELD(object, i, sh_link), object->symbol_table,
                              section->sh_link);
    }
    enum status status = check_entries(object, i, sizeof(struct elf64_rela), diag);
    if (status != OK) {
        return status;
    }
    object->relocation_count += section->sh_size / sizeof(struct elf64_rela);
    return OK;
}

enum status elf_object_open(struct span file, struct elf_object *out_object, struct diag *diag)
{
    enum status status = check_header(file, diag);
    if (status != OK) {
        return status;
    }
    struct elf_object object = {.file = file};
    status = open_section_table(&object, diag);
    for (uint32_t i = 0; status == OK && i < object.section_count; i++) {
        status = check_section(&object, i, diag);
    }
    if (status == OK) {
        status = find_symbol_table(&object, diag);
    }
    for (uint32_t i = 0; status == OK && i < object.section_count; i++) {
        uint32_t type = object.sections[i].sh_type;
        if (type == SHT_RELA || type == SHT_REL) {
            status = check_relocation_section(&object, i, diag);
        }
    }
    if (status == OK) {
        *out_object = object;
    }
    return status;
}

uint32_t elf_object_find_section(const struct elf_object *object, const char *name)
{
    for (uint32_t i = 1; i < object->section_count; i++) {
        if (__builtin_strcmp(elf_object_section_name(object, i), name) == 0) {
            return i;
        }
    }
    return 0;
}
