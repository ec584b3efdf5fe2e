/* SPDX-License-Identifier: MIT */
/*
 * One valid object, and tables that corrupt one field of it at a time: each row says what is
 * written where, and the whole diag that must come of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "diag.h"
#include "elf_builder.h"
#include "elf_object.h"

/* Sections and symbols of the valid object. */
enum { TEXT = 1, RODATA, DATA, BSS, COMMENT, RELA, STRTAB, SYMTAB, SHSTRTAB, SECTIONS };
enum { NONE, TEXT_SYMBOL, HELPER, MAIN, COUNTER, PRINTER, SYMBOLS };

#define TEXT_SIZE 16u

static void add_contents(struct elf_builder *builder)
{
    elf_builder_init(builder);
    elf_add_text(builder, ".text", NULL, TEXT_SIZE);
    elf_add_rodata(builder, ".rodata", "constant", 8);
    elf_add_data(builder, ".data", "variable", 8);
    elf_add_bss(builder, ".bss", 32);
    elf_add_section(builder, ".comment", SHT_PROGBITS, 0, "made by", 8);
    elf_add_symbol(builder, "", STB_LOCAL, STT_SECTION, TEXT, 0, 0);
    elf_add_symbol(builder, "helper", STB_LOCAL, STT_FUNC, TEXT, 0, 4);
    elf_add_symbol(builder, "main", STB_GLOBAL, STT_FUNC, TEXT, 4, 12);
    elf_add_symbol(builder, "counter", STB_GLOBAL, STT_OBJECT, BSS, 0, 32);
    elf_add_symbol(builder, "printer", STB_GLOBAL, STT_NOTYPE, SHN_UNDEF, 0, 0);
    elf_add_relocation(builder, TEXT, 1, R_X86_64_PLT32, PRINTER, -4);
    elf_add_relocation(builder, TEXT, 8, R_X86_64_32S, COUNTER, 0);
}

static void make_valid(struct elf_builder *builder)
{
    add_contents(builder);
    elf_build(builder);
    assert_int_equal(elf_section_count(builder), SECTIONS);
    assert_int_equal(elf_symbol_count(builder), SYMBOLS);
    assert_int_equal(builder->symbol_table, SYMTAB);
}

static struct span file_of(const struct elf_builder *builder)
{
    return span_of(builder->file, builder->file_size);
}

static void test_elf_object_valid_is_described(void **state)
{
    (void)state;
    struct elf_builder builder;
    make_valid(&builder);
    struct elf_object object;
    assert_int_equal(elf_object_open(file_of(&builder), &object, NULL), OK);
    assert_int_equal(object.section_count, SECTIONS);
    assert_int_equal(object.symbol_count, SYMBOLS);
    assert_int_equal(object.first_global, MAIN);
    assert_int_equal(object.symbol_table, SYMTAB);
    assert_int_equal(object.relocation_count, 2);
    assert_string_equal(elf_object_section_name(&object, RODATA), ".rodata");
    assert_string_equal(elf_object_symbol_name(&object, PRINTER), "printer");
    assert_int_equal(elf_object_find_section(&object, ".bss"), BSS);
    assert_int_equal(elf_object_find_section(&object, ".tbss"), 0);
    assert_int_equal(elf_object_section_bytes(&object, RODATA).size, 8);
    assert_memory_equal(elf_object_section_bytes(&object, RODATA).base, "constant", 8);
    assert_int_equal(elf_object_section_bytes(&object, BSS).size, 0);
    assert_int_equal(elf_object_section_bytes(&object, 0).size, 0);
    assert_true(elf_object_section_is_loaded(&object, BSS));
    assert_false(elf_object_section_is_loaded(&object, COMMENT));
    assert_true(elf_object_is_relocation(&object, RELA));
    assert_false(elf_object_is_relocation(&object, TEXT));
    uint64_t count;
    const struct elf64_rela *rela = elf_object_relocations(&object, RELA, &count);
    assert_int_equal(count, 2);
    assert_int_equal(rela[0].r_addend, -4);
    assert_int_equal(rela[1].r_sym, COUNTER);
    elf_builder_fini(&builder);
}

/* ---- one field at a time ---- */

struct corruption {
    size_t at; /* file offset of the field that is written */
    size_t width;
    uint64_t value;
    enum diag_code code;
    const char *section;
    const char *symbol;
    uint64_t offset;
    uint64_t expected;
    uint64_t found;
};

static void check(const struct corruption *row, size_t number)
{
    struct elf_builder builder;
    make_valid(&builder);
    memcpy(builder.file + row->at, &row->value, row->width);
    struct elf_object object;
    memset(&object, 0xee, sizeof(object));
    struct diag diag = {.code = DIAG_NONE};
    enum status status = elf_object_open(file_of(&builder), &object, &diag);
    if (diag.code != row->code || diag.offset != row->offset) {
        print_message("row %zu: %s, offset %llu\n", number, diag_rule(diag.code),
                      (unsigned long long)diag.offset);
    }
    assert_int_equal(diag.code, row->code);
    assert_int_equal(status, diag.status);
    assert_int_not_equal(status, OK);
    assert_string_equal(diag.section, row->section ? row->section : "");
    assert_string_equal(diag.symbol, row->symbol ? row->symbol : "");
    assert_int_equal(diag.offset, row->offset);
    assert_int_equal(diag.expected, row->expected);
    assert_int_equal(diag.found, row->found);
    assert_int_equal(object.section_count, 0xeeeeeeee); /* written only on success */
    elf_builder_fini(&builder);
}

#define WIDTH(type, field) sizeof(((struct type *)NULL)->field)

/* Writes a field of the header, at which the diag points too. */
#define HEADER(field, new_value, diag_code, should, is)                                   \
    {                                                                                     \
        .at = offsetof(struct elf64_ehdr, field), .width = WIDTH(elf64_ehdr, field),      \
        .value = (new_value), .code = DIAG_##diag_code,                                   \
        .offset = offsetof(struct elf64_ehdr, field), .expected = (should), .found = (is) \
    }
#define IDENT(index, new_value, diag_code, at_offset, should, is)                  \
    {                                                                              \
        .at = (index), .width = 1, .value = (new_value), .code = DIAG_##diag_code, \
        .offset = (at_offset), .expected = (should), .found = (is)                 \
    }

static void test_elf_object_corrupt_header_field_is_named(void **state)
{
    (void)state;
    struct elf_builder valid;
    make_valid(&valid);
    const uint64_t size = valid.file_size;
    const uint64_t table = elf_section_position(&valid, 0);
    const struct corruption rows[] = {
        IDENT(0, 'X', ELF_MAGIC, 0, 0x464c457f, 0x464c4558),
        IDENT(3, 0, ELF_MAGIC, 0, 0x464c457f, 0x004c457f),
        IDENT(EI_CLASS, 1, ELF_CLASS, EI_CLASS, ELFCLASS64, 1),
        IDENT(EI_DATA, 2, ELF_ENCODING, EI_DATA, ELFDATA2LSB, 2),
        IDENT(EI_VERSION, 0, ELF_VERSION, EI_VERSION, EV_CURRENT, 0),
        IDENT(EI_OSABI, 9, ELF_ABI, EI_OSABI, ELFOSABI_SYSV, 9),
        HEADER(e_type, 0, ELF_TYPE, ET_REL, 0),
        HEADER(e_type, 2, ELF_TYPE, ET_REL, 2),
        HEADER(e_type, 3, ELF_TYPE, ET_REL, 3),
        HEADER(e_type, 4, ELF_TYPE, ET_REL, 4),
        HEADER(e_machine, 3, ELF_MACHINE, EM_X86_64, 3),
        HEADER(e_machine, 183, ELF_MACHINE, EM_X86_64, 183),
        HEADER(e_version, 2, ELF_VERSION, EV_CURRENT, 2),
        HEADER(e_ehsize, 52, ELF_HEADER_SIZE, 64, 52),
        HEADER(e_shentsize, 40, ELF_HEADER_SIZE, 64, 40),
        HEADER(e_shentsize, 65, ELF_HEADER_SIZE, 64, 65),
        HEADER(e_shoff, 0, ELF_NO_SECTIONS, 0, 0),
        HEADER(e_shnum, 0, ELF_EXTENDED_INDEX, SHN_LORESERVE - 1, 0),
        HEADER(e_shnum, SHN_LORESERVE, ELF_EXTENDED_INDEX, SHN_LORESERVE - 1, SHN_LORESERVE),
        HEADER(e_shstrndx, SHN_XINDEX, ELF_EXTENDED_INDEX, SECTIONS - 1, SHN_XINDEX),
        HEADER(e_shstrndx, 0, ELF_SECTION_NAMES, 0, 0),
        HEADER(e_shstrndx, TEXT, ELF_SECTION_NAMES, 0, TEXT),
        HEADER(e_shstrndx, SECTIONS, ELF_SECTION_NAMES, 0, SECTIONS),
        /* The section table does not fit: the diag gives its place and the size of both. */
        {offsetof(struct elf64_ehdr, e_shoff), 8, table + 1, DIAG_ELF_TRUNCATED, NULL, NULL,
         table + 1, SECTIONS * 64, size},
        {offsetof(struct elf64_ehdr, e_shoff), 8, UINT64_MAX, DIAG_ELF_TRUNCATED, NULL, NULL,
         UINT64_MAX, SECTIONS * 64, size},
        {offsetof(struct elf64_ehdr, e_shnum), 2, SECTIONS + 1, DIAG_ELF_TRUNCATED, NULL, NULL,
         table, (SECTIONS + 1) * 64, size},
    };
    elf_builder_fini(&valid);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        check(&rows[i], i);
    }
}

/* File offset of a field of a section header. */
#define FIELD(index, field) (table + (index)*64u + offsetof(struct elf64_shdr, field))

/* Writes a field of a section header; `told` is the field at which the diag points. */
#define SECTION_ROW(index, field, new_value, diag_code, name, told, should, is)             \
    {                                                                                       \
        .at = FIELD(index, field), .width = WIDTH(elf64_shdr, field), .value = (new_value), \
        .code = DIAG_##diag_code, .section = (name), .offset = FIELD(index, told),          \
        .expected = (should), .found = (is)                                                 \
    }

static void test_elf_object_corrupt_section_field_is_named(void **state)
{
    (void)state;
    struct elf_builder valid;
    make_valid(&valid);
    const uint64_t size = valid.file_size;
    const uint64_t table = elf_section_position(&valid, 0);
    const uint64_t names = elf_section(&valid, SHSTRTAB)->sh_size;
    const uint64_t text = elf_section(&valid, TEXT)->sh_offset;
    const uint64_t ax = SHF_ALLOC | SHF_EXECINSTR;
    const uint64_t aw = SHF_ALLOC | SHF_WRITE;
    const uint64_t too_large = ELF_OBJECT_MAX_SECTION + 1;
    const struct corruption rows[] = {
        SECTION_ROW(TEXT, sh_name, names, ELF_NAME, NULL, sh_name, names - 1, names),
        SECTION_ROW(SHSTRTAB, sh_name, UINT32_MAX, ELF_NAME, NULL, sh_name, names - 1, UINT32_MAX),
        SECTION_ROW(TEXT, sh_offset, size - TEXT_SIZE + 1, ELF_SECTION_BOUNDS, ".text", sh_offset,
                    size, size + 1),
        SECTION_ROW(TEXT, sh_offset, UINT64_MAX, ELF_SECTION_BOUNDS, ".text", sh_offset, size, 15),
        SECTION_ROW(TEXT, sh_size, size, ELF_SECTION_BOUNDS, ".text", sh_offset, size, text + size),
        SECTION_ROW(COMMENT, sh_size, UINT64_MAX, ELF_SECTION_BOUNDS, ".comment", sh_offset, size,
                    elf_section(&valid, COMMENT)->sh_offset - 1),
        SECTION_ROW(TEXT, sh_addralign, 3, ELF_ALIGNMENT, ".text", sh_addralign, 0, 3),
        SECTION_ROW(COMMENT, sh_addralign, 12, ELF_ALIGNMENT, ".comment", sh_addralign, 0, 12),
        SECTION_ROW(TEXT, sh_addralign, 8192, ELF_ALIGNMENT, ".text", sh_addralign, 4096, 8192),
        SECTION_ROW(BSS, sh_addralign, 1ull << 63, ELF_ALIGNMENT, ".bss", sh_addralign, 4096,
                    1ull << 63),
        SECTION_ROW(TEXT, sh_type, SHT_NULL, ELF_SECTION_TYPE, ".text", sh_type, 1, SHT_NULL),
        SECTION_ROW(TEXT, sh_type, SHT_STRTAB, ELF_SECTION_TYPE, ".text", sh_type, 1, SHT_STRTAB),
        SECTION_ROW(TEXT, sh_type, SHT_GROUP, ELF_SECTION_TYPE, ".text", sh_type, 1, SHT_GROUP),
        SECTION_ROW(TEXT, sh_type, 16, ELF_SECTION_TYPE, ".text", sh_type, 1, 16),
        SECTION_ROW(TEXT, sh_type, 0x6ffffff6, ELF_SECTION_TYPE, ".text", sh_type, 1, 0x6ffffff6),
        SECTION_ROW(COMMENT, sh_type, SHT_SYMTAB_SHNDX, ELF_EXTENDED_INDEX, ".comment", sh_type, 0,
                    SHT_SYMTAB_SHNDX),
        SECTION_ROW(0, sh_flags, SHF_ALLOC, ELF_SECTION_TYPE, "", sh_type, 1, SHT_NULL),
        SECTION_ROW(DATA, sh_flags, aw | SHF_TLS, ELF_TLS, ".data", sh_flags, aw, aw | SHF_TLS),
        SECTION_ROW(DATA, sh_flags, aw | SHF_COMPRESSED, ELF_COMPRESSED, ".data", sh_flags, aw,
                    aw | SHF_COMPRESSED),
        SECTION_ROW(DATA, sh_flags, aw | SHF_EXECINSTR, ELF_WRITE_EXEC, ".data", sh_flags, ax,
                    aw | SHF_EXECINSTR),
        SECTION_ROW(BSS, sh_size, too_large, ELF_LIMIT, ".bss", sh_size, ELF_OBJECT_MAX_SECTION,
                    too_large),
        SECTION_ROW(SHSTRTAB, sh_type, SHT_PROGBITS, ELF_SECTION_NAMES, NULL, sh_type, 0, SHSTRTAB),
        SECTION_ROW(SHSTRTAB, sh_size, 0, ELF_SECTION_NAMES, NULL, sh_type, 0, SHSTRTAB),
        SECTION_ROW(SHSTRTAB, sh_size, names - 1, ELF_SECTION_NAMES, NULL, sh_type, 0, SHSTRTAB),
        SECTION_ROW(SHSTRTAB, sh_offset, size, ELF_SECTION_NAMES, NULL, sh_type, 0, SHSTRTAB),
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct corruption row = rows[i];
        if (row.code == DIAG_ELF_SECTION_NAMES) { /* the header is what names that table */
            row.offset = offsetof(struct elf64_ehdr, e_shstrndx);
        }
        check(&row, i);
    }
    elf_builder_fini(&valid);
}

static void test_elf_object_corrupt_table_field_is_named(void **state)
{
    (void)state;
    struct elf_builder valid;
    make_valid(&valid);
    const uint64_t table = elf_section_position(&valid, 0);
    const uint64_t symbols = SYMBOLS * sizeof(struct elf64_sym);
    const struct corruption rows[] = {
        SECTION_ROW(SYMTAB, sh_entsize, 16, ELF_ENTRY_SIZE, ".symtab", sh_entsize, 24, 16),
        SECTION_ROW(SYMTAB, sh_entsize, 0, ELF_ENTRY_SIZE, ".symtab", sh_entsize, 24, 0),
        SECTION_ROW(SYMTAB, sh_size, symbols - 1, ELF_ENTRY_SIZE, ".symtab", sh_size, symbols - 24,
                    symbols - 1),
        SECTION_ROW(SYMTAB, sh_link, 0, ELF_SECTION_LINK, ".symtab", sh_link, 0, 0),
        SECTION_ROW(SYMTAB, sh_link, TEXT, ELF_SECTION_LINK, ".symtab", sh_link, 0, TEXT),
        SECTION_ROW(SYMTAB, sh_link, SECTIONS, ELF_SECTION_LINK, ".symtab", sh_link, 0, SECTIONS),
        SECTION_ROW(SYMTAB, sh_info, SYMBOLS + 1, ELF_SYMBOL_ORDER, ".symtab", sh_info, SYMBOLS,
                    SYMBOLS + 1),
        SECTION_ROW(RELA, sh_type, SHT_REL, ELF_RELOCATION_FORM, ".rela", sh_type, SHT_RELA,
                    SHT_REL),
        SECTION_ROW(RELA, sh_info, 0, ELF_SECTION_LINK, ".rela", sh_info, SECTIONS - 1, 0),
        SECTION_ROW(RELA, sh_info, SECTIONS, ELF_SECTION_LINK, ".rela", sh_info, SECTIONS - 1,
                    SECTIONS),
        SECTION_ROW(RELA, sh_link, 0, ELF_SECTION_LINK, ".rela", sh_link, SYMTAB, 0),
        SECTION_ROW(RELA, sh_link, STRTAB, ELF_SECTION_LINK, ".rela", sh_link, SYMTAB, STRTAB),
        SECTION_ROW(RELA, sh_entsize, 16, ELF_ENTRY_SIZE, ".rela", sh_entsize, 24, 16),
        SECTION_ROW(RELA, sh_size, 47, ELF_ENTRY_SIZE, ".rela", sh_size, 24, 47),
        SECTION_ROW(RELA, sh_flags, SHF_ALLOC, ELF_SECTION_TYPE, ".rela", sh_type, SHT_PROGBITS,
                    SHT_RELA),
        /* Here the diag is about another section than the one that was changed. */
        {FIELD(COMMENT, sh_type), 4, SHT_SYMTAB, DIAG_ELF_SYMBOL_TABLE, ".symtab", NULL,
         FIELD(SYMTAB, sh_type), COMMENT, SYMTAB},
        {FIELD(SYMTAB, sh_type), 4, SHT_PROGBITS, DIAG_ELF_SECTION_LINK, ".rela", NULL,
         FIELD(RELA, sh_link), 0, SYMTAB},
        {FIELD(STRTAB, sh_type), 4, SHT_PROGBITS, DIAG_ELF_SECTION_LINK, ".symtab", NULL,
         FIELD(SYMTAB, sh_link), 0, STRTAB},
        {FIELD(STRTAB, sh_size), 8, 0, DIAG_ELF_SECTION_LINK, ".symtab", NULL,
         FIELD(SYMTAB, sh_link), 0, STRTAB},
        {FIELD(STRTAB, sh_size), 8, 3, DIAG_ELF_SECTION_LINK, ".symtab", NULL,
         FIELD(SYMTAB, sh_link), 0, STRTAB}, /* then it does not end in a NUL */
    };
    elf_builder_fini(&valid);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        check(&rows[i], i);
    }
}

/* Writes a field of a symbol. */
#define SYMBOL_ROW(index, field, new_value, diag_code, name, should, is)                     \
    {                                                                                        \
        .at = symbols + (index)*24u + offsetof(struct elf64_sym, field),                     \
        .width = WIDTH(elf64_sym, field), .value = (new_value), .code = DIAG_##diag_code,    \
        .section = ".symtab", .symbol = (name), .offset = (index)*24u, .expected = (should), \
        .found = (is)                                                                        \
    }
#define INFO(binding, type) ((binding) << 4 | (type))

static void test_elf_object_corrupt_symbol_field_is_named(void **state)
{
    (void)state;
    struct elf_builder valid;
    make_valid(&valid);
    const uint64_t symbols = elf_contents_position(&valid, SYMTAB);
    const uint64_t names = elf_section(&valid, STRTAB)->sh_size;
    elf_builder_fini(&valid);
    const struct corruption rows[] = {
        SYMBOL_ROW(MAIN, st_name, names, ELF_NAME, NULL, names - 1, names),
        SYMBOL_ROW(NONE, st_name, UINT32_MAX, ELF_NAME, NULL, names - 1, UINT32_MAX),
        SYMBOL_ROW(MAIN, st_info, INFO(3, STT_FUNC), ELF_SYMBOL_BINDING, "main", STB_WEAK, 3),
        SYMBOL_ROW(MAIN, st_info, INFO(10, STT_FUNC), ELF_SYMBOL_BINDING, "main", STB_WEAK, 10),
        SYMBOL_ROW(HELPER, st_info, INFO(STB_GLOBAL, STT_FUNC), ELF_SYMBOL_ORDER, "helper", MAIN,
                   HELPER),
        SYMBOL_ROW(HELPER, st_info, INFO(STB_WEAK, STT_FUNC), ELF_SYMBOL_ORDER, "helper", MAIN,
                   HELPER),
        SYMBOL_ROW(PRINTER, st_info, INFO(STB_LOCAL, STT_NOTYPE), ELF_SYMBOL_ORDER, "printer", MAIN,
                   PRINTER),
        SYMBOL_ROW(COUNTER, st_info, INFO(STB_GLOBAL, STT_TLS), ELF_TLS, "counter", STT_OBJECT,
                   STT_TLS),
        SYMBOL_ROW(COUNTER, st_info, INFO(STB_GLOBAL, STT_COMMON), ELF_COMMON, "counter",
                   STT_OBJECT, STT_COMMON),
        SYMBOL_ROW(MAIN, st_info, INFO(STB_GLOBAL, 7), ELF_SYMBOL_TYPE, "main", STT_FILE, 7),
        SYMBOL_ROW(MAIN, st_info, INFO(STB_GLOBAL, STT_GNU_IFUNC), ELF_SYMBOL_TYPE, "main",
                   STT_FILE, STT_GNU_IFUNC),
        SYMBOL_ROW(COUNTER, st_shndx, SHN_COMMON, ELF_COMMON, "counter", 0, SHN_COMMON),
        SYMBOL_ROW(MAIN, st_shndx, SHN_XINDEX, ELF_EXTENDED_INDEX, "main", 0, SHN_XINDEX),
        SYMBOL_ROW(MAIN, st_shndx, SECTIONS, ELF_SYMBOL_SECTION, "main", SECTIONS - 1, SECTIONS),
        SYMBOL_ROW(MAIN, st_shndx, SHN_LORESERVE, ELF_SYMBOL_SECTION, "main", SECTIONS - 1,
                   SHN_LORESERVE),
        SYMBOL_ROW(MAIN, st_value, 17, ELF_SYMBOL_BOUNDS, "main", TEXT_SIZE, 17),
        SYMBOL_ROW(MAIN, st_value, UINT64_MAX, ELF_SYMBOL_BOUNDS, "main", TEXT_SIZE, UINT64_MAX),
        SYMBOL_ROW(MAIN, st_size, 13, ELF_SYMBOL_BOUNDS, "main", TEXT_SIZE, 13),
        SYMBOL_ROW(MAIN, st_size, UINT64_MAX, ELF_SYMBOL_BOUNDS, "main", TEXT_SIZE, UINT64_MAX),
        SYMBOL_ROW(HELPER, st_value, 13, ELF_SYMBOL_BOUNDS, "helper", TEXT_SIZE, 4),
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        check(&rows[i], i);
    }
}

/* ---- what is odd and allowed ---- */

static void expect_open(struct elf_builder *builder, struct elf_object *object)
{
    struct diag diag = {.code = DIAG_NONE};
    enum status status = elf_object_open(elf_build(builder), object, &diag);
    assert_int_equal(diag.code, DIAG_NONE);
    assert_int_equal(status, OK);
}

static void test_elf_object_gnu_abi_is_accepted(void **state)
{
    (void)state;
    struct elf_builder builder;
    make_valid(&builder);
    builder.file[EI_OSABI] = ELFOSABI_GNU;
    struct elf_object object;
    assert_int_equal(elf_object_open(file_of(&builder), &object, NULL), OK);
    elf_builder_fini(&builder);
}

static void test_elf_object_without_symbols_is_accepted(void **state)
{
    (void)state;
    struct elf_builder builder;
    elf_builder_init(&builder);
    elf_add_text(&builder, ".text", "\xc3", 1);
    elf_build(&builder);
    struct elf64_shdr *table =
        (struct elf64_shdr *)(builder.file + elf_section_position(&builder, builder.symbol_table));
    table->sh_type = SHT_NULL;
    struct elf_object object;
    assert_int_equal(elf_object_open(file_of(&builder), &object, NULL), OK);
    assert_int_equal(object.symbol_count, 0);
    assert_int_equal(object.symbol_table, 0);
    assert_null(object.symbols);
    elf_builder_fini(&builder);
}

static void test_elf_object_symbol_at_the_end_of_its_section_is_accepted(void **state)
{
    (void)state;
    struct elf_builder builder;
    struct elf_object object;
    add_contents(&builder);
    elf_add_symbol(&builder, "text_end", STB_GLOBAL, STT_NOTYPE, TEXT, TEXT_SIZE, 0);
    elf_add_symbol(&builder, "absolute", STB_WEAK, STT_NOTYPE, SHN_ABS, UINT64_MAX, UINT64_MAX);
    elf_add_symbol(&builder, "unloaded", STB_GLOBAL, STT_OBJECT, COMMENT, 1000, 1000);
    expect_open(&builder, &object);
    elf_builder_fini(&builder);
}

static void test_elf_object_name_of_the_source_file_is_accepted(void **state)
{
    (void)state;
    struct elf_builder builder;
    struct elf_object object;
    elf_builder_init(&builder);
    elf_add_symbol(&builder, "hello.c", STB_LOCAL, STT_FILE, SHN_ABS, 0, 0);
    expect_open(&builder, &object);
    elf_builder_fini(&builder);
}

static void test_elf_object_what_is_not_loaded_has_fewer_rules(void **state)
{
    (void)state;
    struct elf_builder builder;
    struct elf_object object;
    add_contents(&builder);
    uint32_t debug = elf_add_section(&builder, ".debug", SHT_PROGBITS, SHF_COMPRESSED, "z", 1);
    elf_section(&builder, debug)->sh_addralign = 1u << 20;
    uint32_t rel = elf_add_section(&builder, ".rel.debug", SHT_REL, 0, "odd", 3);
    elf_section(&builder, rel)->sh_info = debug;
    elf_add_section(&builder, ".group", SHT_GROUP, 0, "\1\0\0", 4);
    elf_add_section(&builder, ".gnu.lto", 0x80000000, 0, NULL, 3);
    expect_open(&builder, &object);
    assert_int_equal(object.relocation_count, 2);
    elf_builder_fini(&builder);
}

static void test_elf_object_loadable_types_are_accepted(void **state)
{
    (void)state;
    static const uint32_t types[] = {SHT_PROGBITS,   SHT_NOTE,       SHT_NOBITS,
                                     SHT_INIT_ARRAY, SHT_FINI_ARRAY, SHT_X86_64_UNWIND};
    struct elf_builder builder;
    struct elf_object object;
    elf_builder_init(&builder);
    for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
        uint32_t section = elf_add_section(&builder, ".s", types[i], SHF_ALLOC, NULL, 8);
        elf_section(&builder, section)->sh_addralign = ELF_OBJECT_MAX_ALIGNMENT;
    }
    elf_section(&builder, 1)->sh_addralign = 0; /* gABI: as 1 */
    expect_open(&builder, &object);
    elf_builder_fini(&builder);
}

static void test_elf_object_section_of_limit_size_is_accepted(void **state)
{
    (void)state;
    struct elf_builder builder;
    struct elf_object object;
    elf_builder_init(&builder);
    elf_add_bss(&builder, ".bss", ELF_OBJECT_MAX_SECTION);
    expect_open(&builder, &object);
    elf_builder_fini(&builder);
}

/* ---- bytes that are not there ---- */

static void test_elf_object_every_shorter_file_is_refused(void **state)
{
    (void)state;
    struct elf_builder builder;
    make_valid(&builder);
    for (size_t size = 0; size < builder.file_size; size++) {
        uint8_t *copy = malloc(size ? size : 1);
        memcpy(copy, builder.file, size);
        struct elf_object object;
        struct diag diag;
        assert_int_equal(elf_object_open(span_of(copy, size), &object, &diag), ERR_TRUNCATED);
        assert_int_equal(diag.code, DIAG_ELF_TRUNCATED);
        assert_int_equal(diag.found, size);
        free(copy);
    }
    elf_builder_fini(&builder);
}

/* Reads all that the header promises may be read after success. */
static uint64_t read_everything(const struct elf_object *object)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < object->section_count; i++) {
        sum += strlen(elf_object_section_name(object, i));
        struct span bytes = elf_object_section_bytes(object, i);
        for (size_t k = 0; k < bytes.size; k++) {
            sum += bytes.base[k];
        }
        if (elf_object_is_relocation(object, i)) {
            uint64_t count;
            const struct elf64_rela *rela = elf_object_relocations(object, i, &count);
            for (uint64_t k = 0; k < count; k++) {
                sum += rela[k].r_type;
            }
        }
    }
    for (uint32_t i = 0; i < object->symbol_count; i++) {
        sum += strlen(elf_object_symbol_name(object, i));
    }
    return sum;
}

static void test_elf_object_every_changed_byte_is_refused_or_harmless(void **state)
{
    (void)state;
    static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};
    struct elf_builder builder;
    make_valid(&builder);
    size_t opened = 0;
    for (size_t at = 0; at < builder.file_size; at++) {
        uint8_t before = builder.file[at];
        for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
            builder.file[at] = values[i];
            struct elf_object object;
            if (elf_object_open(file_of(&builder), &object, NULL) == OK) {
                assert_int_not_equal(read_everything(&object), 0);
                opened++;
            }
        }
        builder.file[at] = before;
    }
    assert_true(opened > builder.file_size); /* contents may be anything */
    elf_builder_fini(&builder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elf_object_valid_is_described),
        cmocka_unit_test(test_elf_object_corrupt_header_field_is_named),
        cmocka_unit_test(test_elf_object_corrupt_section_field_is_named),
        cmocka_unit_test(test_elf_object_corrupt_table_field_is_named),
        cmocka_unit_test(test_elf_object_corrupt_symbol_field_is_named),
        cmocka_unit_test(test_elf_object_gnu_abi_is_accepted),
        cmocka_unit_test(test_elf_object_without_symbols_is_accepted),
        cmocka_unit_test(test_elf_object_symbol_at_the_end_of_its_section_is_accepted),
        cmocka_unit_test(test_elf_object_name_of_the_source_file_is_accepted),
        cmocka_unit_test(test_elf_object_what_is_not_loaded_has_fewer_rules),
        cmocka_unit_test(test_elf_object_loadable_types_are_accepted),
        cmocka_unit_test(test_elf_object_section_of_limit_size_is_accepted),
        cmocka_unit_test(test_elf_object_every_shorter_file_is_refused),
        cmocka_unit_test(test_elf_object_every_changed_byte_is_refused_or_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
