/* SPDX-License-Identifier: MIT */
/*
 * One object whose symbols are already resolved; each test applies a few relocations to one of its
 * sections. The bytes are a heap block of exactly the section's size, so the sanitizer sees a store
 * beyond it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "diag.h"
#include "elf_builder.h"
#include "relocation.h"

enum { TEXT = 1, DATA, FRAME, NAMED_FRAME, SHORT, SEVEN, COMMENT, OWN_SECTIONS };
enum { NONE, TEXT_SECTION, ALIAS, VARIABLE, OTHER, ABSOLUTE, WEAK, UNLOADED, SYMBOLS };

#define SIZE          64u
#define RECORDS       24u
#define TEXT_ADDRESS  0xffffffff90000000ull
#define DATA_ADDRESS  0xffffffff90002000ull
#define ENTRIES       0xffffffff90008000ull
#define OTHER_ADDRESS 0xffffffff90100040ull /* 0x40 into its section */
#define OTHER_ENTRY   0xffffffff90200018ull
#define VARIABLE_AT   (DATA_ADDRESS + 0x10)

struct bench {
    struct elf_builder builder;
    struct elf_object object;
    struct section sections[OWN_SECTIONS + 8];
    struct section other_section;
    struct link_symbol symbols[SYMBOLS + 1]; /* one for a test to add */
    struct function functions[3];            /* at offsets 0, 16 and 32 of TEXT */
    uint32_t entry_count;
    uint8_t contents[SIZE];             /* of the section, before */
    uint8_t *bytes;                     /* after */
    struct dependency records[RECORDS]; /* what they refer to, afterwards */
    struct binding bindings[SYMBOLS + 1];
    struct cell cell;
    bool is_general; /* everything goes the general way */
    struct diag diag;
};

static void resolve(struct bench *bench)
{
    bench->other_section = (struct section){
        .name = ".text.other", .address = OTHER_ADDRESS - 0x40, .flags = SHF_ALLOC | SHF_EXECINSTR};
    bench->symbols[TEXT_SECTION] = (struct link_symbol){
        .value = TEXT_ADDRESS, .section = &bench->sections[TEXT], .kind = LINK_SYMBOL_CODE};
    bench->symbols[ALIAS] = (struct link_symbol){.value = TEXT_ADDRESS + 16,
                                                 .section = &bench->sections[TEXT],
                                                 .offset = 16,
                                                 .kind = LINK_SYMBOL_CODE};
    bench->symbols[VARIABLE] = (struct link_symbol){
        .value = VARIABLE_AT, .section = &bench->sections[DATA], .offset = 0x10};
    bench->symbols[OTHER] = (struct link_symbol){.value = OTHER_ADDRESS,
                                                 .section = &bench->other_section,
                                                 .entry = OTHER_ENTRY,
                                                 .offset = 0x40,
                                                 .kind = LINK_SYMBOL_CODE};
    bench->symbols[ABSOLUTE] = (struct link_symbol){.value = 0x1234};
    bench->symbols[UNLOADED] = (struct link_symbol){.kind = LINK_SYMBOL_NOT_LOADED};
    for (uint32_t i = 0; i < 3; i++) {
        bench->functions[i] =
            (struct function){.section = TEXT, .offset = 16 * i, .slot = FUNCTION_NO_SLOT};
    }
}

static void begin(struct bench *bench)
{
    memset(bench, 0, sizeof(*bench));
    memset(bench->contents, 0x90, SIZE);
    struct elf_builder *builder = &bench->builder;
    elf_builder_init(builder);
    elf_add_text(builder, ".text", NULL, SIZE);
    elf_add_data(builder, ".data", NULL, SIZE);
    elf_add_section(builder, ".unwind", SHT_X86_64_UNWIND, SHF_ALLOC, NULL, SIZE);
    elf_add_rodata(builder, ".eh_frame", NULL, SIZE);
    elf_add_rodata(builder, ".short", NULL, 3);
    elf_add_rodata(builder, ".seven", NULL, 7);
    elf_add_section(builder, ".comment", SHT_PROGBITS, 0, NULL, SIZE);
    elf_add_symbol(builder, "", STB_LOCAL, STT_SECTION, TEXT, 0, 0);
    elf_add_symbol(builder, "alias", STB_LOCAL, STT_FUNC, TEXT, 16, 0);
    elf_add_symbol(builder, "variable", STB_LOCAL, STT_OBJECT, DATA, 0x10, 0);
    elf_add_symbol(builder, "other", STB_GLOBAL, STT_NOTYPE, SHN_UNDEF, 0, 0);
    elf_add_symbol(builder, "absolute", STB_GLOBAL, STT_NOTYPE, SHN_ABS, 0x1234, 0);
    elf_add_symbol(builder, "weak", STB_WEAK, STT_NOTYPE, SHN_UNDEF, 0, 0);
    elf_add_symbol(builder, "unloaded", STB_GLOBAL, STT_OBJECT, COMMENT, 0, 0);
    resolve(bench);
}

static void add(struct bench *bench, uint32_t section, uint64_t offset, uint32_t type,
                uint32_t symbol, int64_t addend)
{
    elf_add_relocation(&bench->builder, section, offset, type, symbol, addend);
}

/* Makes a cell of what was linked, and asks what each relocation refers to. */
static void describe(struct bench *bench, uint32_t section)
{
    uint64_t count;
    struct section *source = &bench->sections[section];
    source->relocations = elf_object_relocations(
        &bench->object, elf_relocation_section(&bench->builder, section), &count);
    source->relocation_count = (uint32_t)count;
    bench->cell = (struct cell){
        .object = bench->object,
        .sections = bench->sections,
        .functions = bench->functions,
        .function_count = ARRAY_COUNT(bench->functions),
        .bindings = bench->bindings,
    };
    for (uint32_t i = 0; i < SYMBOLS; i++) {
        const struct link_symbol *symbol = &bench->symbols[i];
        if (symbol->section == &bench->other_section) {
            bench->bindings[bench->cell.binding_count++] = (struct binding){
                .cell = &bench->cell,
                .target = symbol->section,
                .symbol = i,
                .offset = symbol->offset,
                .has_entry = symbol->entry != 0,
            };
        }
    }
    assert_true(count <= RECORDS);
    for (uint32_t i = 0; i < count; i++) {
        relocation_describe(source, i, &bench->records[i]);
    }
}

/* Applies what was added for `section`, which runs at `address`. */
static enum status apply_at(struct bench *bench, uint32_t section, uint64_t address)
{
    assert_int_equal(elf_object_open(elf_build(&bench->builder), &bench->object, NULL), OK);
    for (uint32_t i = 0; i < bench->object.section_count; i++) {
        bench->sections[i].cell = &bench->cell;
        bench->sections[i].index = i;
        bench->sections[i].flags = (uint32_t)bench->object.sections[i].sh_flags;
        bench->sections[i].region =
            elf_object_section_is_loaded(&bench->object, i) ? REGION_RODATA : REGION_NONE;
    }
    size_t size = bench->object.sections[section].sh_size;
    struct span pristine = elf_object_section_bytes(&bench->object, section);
    memcpy((uint8_t *)pristine.base, bench->contents, size); /* the builder's memory */
    bench->bytes = malloc(size);
    memcpy(bench->bytes, bench->contents, size);
    const struct relocation_batch batch = {
        .object = &bench->object,
        .section = section,
        .relocation_section = elf_relocation_section(&bench->builder, section),
        .symbols = bench->symbols,
        .bytes = bench->bytes,
        .address = address,
        .sections = bench->sections,
        .functions = bench->functions,
        .function_count = ARRAY_COUNT(bench->functions),
        .entry_count = &bench->entry_count,
        .entries = ENTRIES,
        .is_general = bench->is_general,
    };
    bench->diag = (struct diag){.code = DIAG_NONE};
    enum status status = relocation_apply(&batch, &bench->diag);
    assert_int_equal(status, bench->diag.status);
    if (status == OK) {
        describe(bench, section);
    }
    return status;
}

static enum status apply(struct bench *bench, uint32_t section)
{
    return apply_at(bench, section, section == TEXT ? TEXT_ADDRESS : DATA_ADDRESS);
}

static void end(struct bench *bench)
{
    free(bench->bytes);
    elf_builder_fini(&bench->builder);
}

static uint64_t field(const struct bench *bench, uint64_t offset, size_t width)
{
    uint64_t value = 0;
    memcpy(&value, bench->bytes + offset, width);
    return value;
}

static void expect_diag(const struct bench *bench, enum diag_code code, const char *section,
                        const char *symbol, uint64_t offset, uint64_t expected, uint64_t found)
{
    assert_int_equal(bench->diag.code, code);
    assert_string_equal(bench->diag.cell, "");
    assert_string_equal(bench->diag.section, section);
    assert_string_equal(bench->diag.symbol, symbol);
    assert_int_equal(bench->diag.offset, offset);
    assert_int_equal(bench->diag.expected, expected);
    assert_int_equal(bench->diag.found, found);
}

static size_t width_of(uint32_t type)
{
    return type == R_X86_64_64 || type == R_X86_64_PC64 ? 8 : 4;
}

static const uint32_t supported[] = {R_X86_64_64, R_X86_64_PC32, R_X86_64_PLT32,
                                     R_X86_64_32, R_X86_64_32S,  R_X86_64_PC64};

/* ---- values ---- */

#define P (DATA_ADDRESS + 8) /* where the field of these is */

static void test_relocation_values_at_the_bounds_of_their_fields(void **state)
{
    (void)state;
    static const struct {
        uint32_t type;
        uint64_t s;
        int64_t a;
        bool fits;
        uint64_t field; /* the field, or what the diag says was found */
    } rows[] = {
        {R_X86_64_32, 0, 0, true, 0},
        {R_X86_64_32, 0xfffffffe, 1, true, 0xffffffff},
        {R_X86_64_32, 0xffffffff, 1, false, 0x100000000},
        {R_X86_64_32, 0x100000000, -1, true, 0xffffffff},
        {R_X86_64_32, 0, -1, false, UINT64_MAX},
        {R_X86_64_32, 0xffffffff80000000, 0, false, 0xffffffff80000000},
        {R_X86_64_32S, 0x7fffffff, 0, true, 0x7fffffff},
        {R_X86_64_32S, 0x7fffffff, 1, false, 0x80000000},
        {R_X86_64_32S, 0xffffffff80000000, 0, true, 0x80000000},
        {R_X86_64_32S, 0xffffffff80000000, -1, false, 0xffffffff7fffffff},
        {R_X86_64_32S, 0, -1, true, 0xffffffff},
        {R_X86_64_32S, UINT64_MAX, 2, true, 1},
        {R_X86_64_PC32, P, 0, true, 0},
        {R_X86_64_PC32, P, -4, true, 0xfffffffc},
        {R_X86_64_PC32, P + 0x7fffffff, 0, true, 0x7fffffff},
        {R_X86_64_PC32, P + 0x7fffffff, 1, false, 0x80000000},
        {R_X86_64_PC32, P - 0x80000000, 0, true, 0x80000000},
        {R_X86_64_PC32, P - 0x80000000, -1, false, 0xffffffff7fffffff},
        {R_X86_64_PC32, 0, 0, true, 0x6fffdff8}, /* P is in the top 2 GiB: 0 is in reach */
        {R_X86_64_PLT32, P + 0x80000003, -4, true, 0x7fffffff},
        {R_X86_64_PLT32, P + 0x80000004, -4, false, 0x80000000},
        {R_X86_64_PLT32, P - 0x7ffffffc, -4, true, 0x80000000},
        {R_X86_64_PLT32, P - 0x7ffffffd, -4, false, 0xffffffff7fffffff},
        {R_X86_64_64, UINT64_MAX, 0, true, UINT64_MAX},
        {R_X86_64_64, UINT64_MAX, 1, true, 0},
        {R_X86_64_64, 0, -1, true, UINT64_MAX},
        {R_X86_64_64, 1, INT64_MAX, true, 0x8000000000000000},
        {R_X86_64_64, 0, INT64_MIN, true, 0x8000000000000000},
        {R_X86_64_PC64, P, -1, true, UINT64_MAX},
        {R_X86_64_PC64, 0, 0, true, -P},
        {R_X86_64_PC64, P - 1, INT64_MIN, true, 0x7fffffffffffffff},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct bench bench;
        begin(&bench);
        bench.symbols[VARIABLE].value = rows[i].s;
        add(&bench, DATA, 8, rows[i].type, VARIABLE, rows[i].a);
        enum status status = apply(&bench, DATA);
        if (rows[i].fits) {
            assert_int_equal(status, OK);
            assert_int_equal(field(&bench, 8, width_of(rows[i].type)), rows[i].field);
        } else {
            char symbol[64];
            snprintf(symbol, sizeof(symbol), "%s variable", relocation_name(rows[i].type));
            uint64_t most = rows[i].type == R_X86_64_32 ? UINT32_MAX : INT32_MAX;
            assert_int_equal(status, ERR_OVERFLOW);
            expect_diag(&bench, DIAG_LINK_OVERFLOW, ".data", symbol, 8, most, rows[i].field);
        }
        end(&bench);
    }
}

static void test_relocation_stores_into_its_field_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(supported); i++) {
        struct bench bench;
        begin(&bench);
        bench.symbols[VARIABLE].value =
            supported[i] == R_X86_64_PC32 || supported[i] == R_X86_64_PLT32 ? DATA_ADDRESS : 0x42;
        add(&bench, DATA, 13, supported[i], VARIABLE, 0); /* fields need no alignment */
        assert_int_equal(apply(&bench, DATA), OK);
        size_t width = width_of(supported[i]);
        assert_memory_equal(bench.bytes, bench.contents, 13);
        assert_memory_equal(bench.bytes + 13 + width, bench.contents, SIZE - 13 - width);
        assert_memory_not_equal(bench.bytes + 13, bench.contents, width);
        end(&bench);
    }
}

static void test_relocation_absolute_and_undefined_weak_symbols(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    add(&bench, DATA, 0, R_X86_64_64, ABSOLUTE, 1);
    add(&bench, DATA, 8, R_X86_64_64, WEAK, 0);
    add(&bench, DATA, 16, R_X86_64_32, NONE, 7);
    assert_int_equal(apply(&bench, DATA), OK);
    assert_int_equal(field(&bench, 0, 8), 0x1235);
    assert_int_equal(field(&bench, 8, 8), 0);
    assert_int_equal(field(&bench, 16, 4), 7);
    for (int i = 0; i < 3; i++) {
        assert_null(bench.records[i].target);
        assert_int_equal(bench.records[i].via_entry, 0);
    }
    end(&bench);
}

/* ---- bounds ---- */

static void expect_outside(uint32_t section, const char *name, uint64_t size, uint64_t offset,
                           uint32_t type)
{
    struct bench bench;
    char symbol[64];
    begin(&bench);
    add(&bench, section, offset, type, ABSOLUTE, 0);
    assert_int_equal(apply(&bench, section), ERR_OUT_OF_BOUNDS);
    snprintf(symbol, sizeof(symbol), "%s absolute", relocation_name(type));
    expect_diag(&bench, DIAG_LINK_OFFSET, name, symbol, offset, size, offset);
    assert_memory_equal(bench.bytes, bench.contents, size);
    end(&bench);
}

static void test_relocation_field_must_lie_inside_its_section(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(supported); i++) {
        uint32_t type = supported[i];
        size_t width = width_of(type);
        struct bench bench;
        begin(&bench);
        bench.symbols[ABSOLUTE].value =
            type == R_X86_64_PC32 || type == R_X86_64_PLT32 ? DATA_ADDRESS : 0x42;
        add(&bench, DATA, SIZE - width, type, ABSOLUTE, 0);
        assert_int_equal(apply(&bench, DATA), OK); /* the last place where it fits */
        assert_memory_not_equal(bench.bytes + SIZE - width, bench.contents, width);
        end(&bench);

        expect_outside(DATA, ".data", SIZE, SIZE - width + 1, type);
        expect_outside(DATA, ".data", SIZE, SIZE, type);
        expect_outside(DATA, ".data", SIZE, UINT64_MAX, type);
        expect_outside(DATA, ".data", SIZE, UINT64_MAX - width + 1, type);
        expect_outside(DATA, ".data", SIZE, 1ull << 32, type);
        expect_outside(SHORT, ".short", 3, 0, type);
        if (width == 8) {
            expect_outside(SEVEN, ".seven", 7, 0, type);
        }
    }
}

static void test_relocation_none_may_be_anywhere(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    add(&bench, SHORT, UINT64_MAX, R_X86_64_NONE, OTHER, INT64_MIN);
    add(&bench, SHORT, 0, R_X86_64_NONE, UNLOADED, 0);
    assert_int_equal(apply(&bench, SHORT), OK);
    assert_memory_equal(bench.bytes, bench.contents, 3);
    assert_null(bench.records[0].target);
    assert_int_equal(bench.records[0].type, R_X86_64_NONE);
    assert_int_equal(bench.records[0].via_entry, 0);
    assert_int_equal(bench.entry_count, 0);
    end(&bench);
}

static void test_relocation_symbol_must_exist(void **state)
{
    (void)state;
    static const uint32_t types[] = {R_X86_64_64, R_X86_64_NONE};
    static const uint32_t indices[] = {SYMBOLS, UINT32_MAX};
    for (size_t i = 0; i < 4; i++) {
        struct bench bench;
        begin(&bench);
        add(&bench, DATA, 4, types[i / 2], indices[i % 2], 0);
        assert_int_equal(apply(&bench, DATA), ERR_OUT_OF_BOUNDS);
        expect_diag(&bench, DIAG_LINK_SYMBOL_INDEX, ".data", relocation_name(types[i / 2]), 4,
                    SYMBOLS, indices[i % 2]);
        end(&bench);
    }
}

static void test_relocation_to_a_section_that_is_not_loaded_is_refused(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    add(&bench, DATA, 4, R_X86_64_64, UNLOADED, 0);
    assert_int_equal(apply(&bench, DATA), ERR_BAD_FORMAT);
    expect_diag(&bench, DIAG_LINK_NOT_LOADED, ".data", "R_X86_64_64 unloaded", 4, 0, 0);
    end(&bench);
}

/* ---- kinds ---- */

/* x86-64 psABI 1.0, table "Relocation Types": all that we do not apply. */
static const struct {
    uint32_t number;
    const char *name;
} unsupported[] = {
    {3, "R_X86_64_GOT32"},
    {5, "R_X86_64_COPY"},
    {6, "R_X86_64_GLOB_DAT"},
    {7, "R_X86_64_JUMP_SLOT"},
    {8, "R_X86_64_RELATIVE"},
    {9, "R_X86_64_GOTPCREL"},
    {12, "R_X86_64_16"},
    {13, "R_X86_64_PC16"},
    {14, "R_X86_64_8"},
    {15, "R_X86_64_PC8"},
    {16, "R_X86_64_DTPMOD64"},
    {17, "R_X86_64_DTPOFF64"},
    {18, "R_X86_64_TPOFF64"},
    {19, "R_X86_64_TLSGD"},
    {20, "R_X86_64_TLSLD"},
    {21, "R_X86_64_DTPOFF32"},
    {22, "R_X86_64_GOTTPOFF"},
    {23, "R_X86_64_TPOFF32"},
    {25, "R_X86_64_GOTOFF64"},
    {26, "R_X86_64_GOTPC32"},
    {27, "R_X86_64_GOT64"},
    {28, "R_X86_64_GOTPCREL64"},
    {29, "R_X86_64_GOTPC64"},
    {30, "R_X86_64_GOTPLT64"},
    {31, "R_X86_64_PLTOFF64"},
    {32, "R_X86_64_SIZE32"},
    {33, "R_X86_64_SIZE64"},
    {34, "R_X86_64_GOTPC32_TLSDESC"},
    {35, "R_X86_64_TLSDESC_CALL"},
    {36, "R_X86_64_TLSDESC"},
    {37, "R_X86_64_IRELATIVE"},
    {38, "R_X86_64_RELATIVE64"},
    {39, "R_X86_64_PC32_BND"},
    {40, "R_X86_64_PLT32_BND"},
    {41, "R_X86_64_GOTPCRELX"},
    {42, "R_X86_64_REX_GOTPCRELX"},
    {43, "R_X86_64_?"},
    {255, "R_X86_64_?"},
    {UINT32_MAX, "R_X86_64_?"},
};

static void test_relocation_other_kinds_are_refused_by_name(void **state)
{
    (void)state;
    static const uint64_t offsets[] = {0, SIZE - 1}; /* an 8-bit field fits there */
    static const uint32_t targets[] = {VARIABLE, OTHER};
    static const char *const names[] = {"variable", "other"};
    for (size_t i = 0; i < ARRAY_COUNT(unsupported); i++) {
        for (size_t k = 0; k < 4; k++) {
            struct bench bench;
            char symbol[64];
            begin(&bench);
            add(&bench, TEXT, offsets[k / 2], unsupported[i].number, targets[k % 2], -4);
            assert_int_equal(apply(&bench, TEXT), ERR_UNSUPPORTED);
            snprintf(symbol, sizeof(symbol), "%s %s", unsupported[i].name, names[k % 2]);
            expect_diag(&bench, DIAG_LINK_RELOCATION_TYPE, ".text", symbol, offsets[k / 2], 0,
                        unsupported[i].number);
            assert_memory_equal(bench.bytes, bench.contents, SIZE);
            end(&bench);
        }
    }
}

static void test_relocation_long_symbol_name_is_cut_in_the_diag(void **state)
{
    (void)state;
    struct bench bench;
    char name[500];
    char expected[DIAG_SYMBOL_SIZE] = "R_X86_64_GOT32 ";
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    memset(expected + 15, 'n', DIAG_SYMBOL_SIZE - 1 - 15);
    begin(&bench);
    uint32_t symbol = elf_add_symbol(&bench.builder, name, STB_GLOBAL, STT_NOTYPE, SHN_UNDEF, 0, 0);
    add(&bench, DATA, 0, 3, symbol, 0);
    assert_int_equal(symbol, SYMBOLS);
    assert_int_equal(apply(&bench, DATA), ERR_UNSUPPORTED);
    expect_diag(&bench, DIAG_LINK_RELOCATION_TYPE, ".data", expected, 0, 0, 3);
    end(&bench);
}

static void test_relocation_every_number_of_the_standard_has_one_name(void **state)
{
    (void)state;
    assert_string_equal(relocation_name(R_X86_64_NONE), "R_X86_64_NONE");
    assert_string_equal(relocation_name(R_X86_64_64), "R_X86_64_64");
    assert_string_equal(relocation_name(R_X86_64_PC32), "R_X86_64_PC32");
    assert_string_equal(relocation_name(R_X86_64_PLT32), "R_X86_64_PLT32");
    assert_string_equal(relocation_name(R_X86_64_32), "R_X86_64_32");
    assert_string_equal(relocation_name(R_X86_64_32S), "R_X86_64_32S");
    assert_string_equal(relocation_name(R_X86_64_PC64), "R_X86_64_PC64");
    for (size_t i = 0; i < ARRAY_COUNT(unsupported); i++) {
        assert_string_equal(relocation_name(unsupported[i].number), unsupported[i].name);
    }
}

/* ---- branches and addresses that are taken ---- */

/* Applies PLT32 to `symbol` behind these bytes; true when it is bound to the function itself. */
static bool binds_directly(const char *opcode, size_t length, uint64_t offset, uint32_t type)
{
    struct bench bench;
    begin(&bench);
    memcpy(bench.contents + offset - length, opcode, length);
    add(&bench, TEXT, offset, type, OTHER, -4);
    assert_int_equal(apply(&bench, TEXT), OK);
    uint64_t place = TEXT_ADDRESS + offset;
    uint64_t value = field(&bench, offset, 4);
    bool is_direct = !bench.records[0].via_entry;
    assert_int_equal(value, (uint32_t)((is_direct ? OTHER_ADDRESS : OTHER_ENTRY) - 4 - place));
    assert_ptr_equal(bench.records[0].target, &bench.other_section);
    assert_int_equal(bench.records[0].target_offset, 0x40);
    end(&bench);
    return is_direct;
}

static void test_relocation_branches_are_direct(void **state)
{
    (void)state;
    static const uint32_t types[] = {R_X86_64_PLT32, R_X86_64_PC32};
    for (int t = 0; t < 2; t++) {
        assert_true(binds_directly("\xe8", 1, 20, types[t])); /* call */
        assert_true(binds_directly("\xe8", 1, 1, types[t]));  /* the section's first byte */
        assert_true(binds_directly("\xe9", 1, 20, types[t])); /* jmp */
        for (int condition = 0; condition < 16; condition++) {
            const char jcc[2] = {0x0f, (char)(0x80 | condition)};
            assert_true(binds_directly(jcc, 2, 20, types[t]));
            assert_true(binds_directly(jcc, 2, 2, types[t]));
        }
    }
}

static void test_relocation_what_looks_like_a_branch_takes_the_address(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t length;
    } rows[] = {
        {"\x48\x8d\x05", 3},     /* lea func(%rip), %rax */
        {"\x48\x8d\x2d", 3},     /* lea func(%rip), %rbp */
        {"\x48\x8d\x3d", 3},     /* lea func(%rip), %rdi */
        {"\xff\x15", 2},         /* call *func(%rip) */
        {"\xff\x25", 2},         /* jmp *func(%rip) */
        {"\xe7", 1},             /* one below call */
        {"\xea", 1},             /* one above jmp */
        {"\x0f\x7f", 2},         /* one below jo */
        {"\x0f\x90", 2},         /* one above jg */
        {"\x0e\x84", 2},         /* not 0F */
        {"\x84", 1},             /* behind 90 */
        {"\x0f\x84\x05", 3},     /* jcc, but not next to the field */
        {"\xe8\x00\x00\x0d", 4}, /* call, but not next to the field */
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        assert_false(binds_directly(rows[i].bytes, rows[i].length, 20, R_X86_64_PC32));
    }
    assert_false(binds_directly("", 0, 0, R_X86_64_PLT32));     /* no opcode in front */
    assert_false(binds_directly("\x84", 1, 1, R_X86_64_PLT32)); /* no room for the 0F */
}

static void test_relocation_only_relative_operands_in_code_are_branches(void **state)
{
    (void)state;
    static const uint32_t absolute[] = {R_X86_64_32S, R_X86_64_64};
    for (int i = 0; i < 2; i++) {
        struct bench bench;
        begin(&bench);
        bench.contents[19] = 0xe8;
        add(&bench, TEXT, 20, absolute[i], OTHER, 0);
        assert_int_equal(apply(&bench, TEXT), OK);
        assert_int_equal(field(&bench, 20, 4), (uint32_t)OTHER_ENTRY);
        assert_int_equal(bench.records[0].via_entry, 1);
        end(&bench);
    }
    struct bench bench;
    begin(&bench);
    bench.contents[19] = 0xe8;
    add(&bench, DATA, 20, R_X86_64_PC32, OTHER, 0); /* data: no bias, no opcodes */
    assert_int_equal(apply(&bench, DATA), OK);
    assert_int_equal(field(&bench, 20, 4), (uint32_t)(OTHER_ENTRY - (DATA_ADDRESS + 20)));
    assert_int_equal(bench.records[0].via_entry, 1);
    end(&bench);
    begin(&bench);
    bench.contents[19] = 0xe8;
    add(&bench, TEXT, 20, R_X86_64_PC64, OTHER, 0); /* no instruction has such an operand */
    assert_int_equal(apply(&bench, TEXT), OK);
    assert_int_equal(field(&bench, 20, 8), OTHER_ENTRY - (TEXT_ADDRESS + 20));
    assert_int_equal(bench.records[0].via_entry, 1);
    assert_int_equal(bench.records[0].target_offset, 0x40);
    end(&bench);
}

static void test_relocation_address_of_a_local_function_is_its_entry(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    add(&bench, DATA, 0, R_X86_64_64, TEXT_SECTION, 32);
    add(&bench, DATA, 8, R_X86_64_64, TEXT_SECTION, 0); /* at offset 0 of its section */
    add(&bench, DATA, 16, R_X86_64_64, ALIAS, 0);
    add(&bench, DATA, 24, R_X86_64_64, TEXT_SECTION, 16); /* the same function as `alias` */
    add(&bench, DATA, 32, R_X86_64_32S, TEXT_SECTION, 32);
    assert_int_equal(apply(&bench, DATA), OK);
    /* Slots are given out in the order in which addresses are first taken. */
    assert_int_equal(field(&bench, 0, 8), ENTRIES);
    assert_int_equal(field(&bench, 8, 8), ENTRIES + 8);
    assert_int_equal(field(&bench, 16, 8), ENTRIES + 16);
    assert_int_equal(field(&bench, 24, 8), ENTRIES + 16);
    assert_int_equal(field(&bench, 32, 4), (uint32_t)ENTRIES);
    assert_int_equal(bench.entry_count, 3);
    assert_int_equal(bench.functions[0].slot, 1);
    assert_int_equal(bench.functions[1].slot, 2);
    assert_int_equal(bench.functions[2].slot, 0);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(bench.records[i].via_entry, 1);
        assert_ptr_equal(bench.records[i].target, &bench.sections[TEXT]);
    }
    assert_int_equal(bench.records[0].target_offset, 32);
    assert_int_equal(bench.records[2].target_offset, 16);
    end(&bench);
}

static void test_relocation_function_that_has_a_slot_keeps_it(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    bench.functions[1].slot = 5; /* exported: planned before */
    bench.entry_count = 6;
    add(&bench, DATA, 0, R_X86_64_64, TEXT_SECTION, 16);
    add(&bench, DATA, 8, R_X86_64_64, TEXT_SECTION, 32);
    assert_int_equal(apply(&bench, DATA), OK);
    assert_int_equal(field(&bench, 0, 8), ENTRIES + 5 * 8);
    assert_int_equal(field(&bench, 8, 8), ENTRIES + 6 * 8);
    assert_int_equal(bench.entry_count, 7);
    end(&bench);
}

static void test_relocation_operand_counts_from_its_end(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    memcpy(bench.contents, "\x48\x8d\x05", 3);
    memcpy(bench.contents + 7, "\x48\x8d\x05", 3);
    add(&bench, TEXT, 3, R_X86_64_PC32, TEXT_SECTION, 16 - 4);  /* the function at 16 */
    add(&bench, TEXT, 10, R_X86_64_PC32, TEXT_SECTION, 20 - 4); /* the middle of it */
    assert_int_equal(apply(&bench, TEXT), OK);
    assert_int_equal(field(&bench, 3, 4), (uint32_t)(ENTRIES - 4 - (TEXT_ADDRESS + 3)));
    assert_int_equal(field(&bench, 10, 4), 20 - 4 - 10);
    assert_int_equal(bench.records[0].via_entry, 1);
    assert_int_equal(bench.records[0].target_offset, 16);
    assert_int_equal(bench.records[1].via_entry, 0);
    assert_int_equal(bench.records[1].target_offset, 20);
    end(&bench);
}

static void test_relocation_local_branch_takes_no_slot(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    bench.contents[3] = 0xe8;
    add(&bench, TEXT, 4, R_X86_64_PLT32, ALIAS, -4);
    assert_int_equal(apply(&bench, TEXT), OK);
    assert_int_equal(field(&bench, 4, 4), 16 - 8);
    assert_int_equal(bench.entry_count, 0);
    assert_int_equal(bench.functions[1].slot, FUNCTION_NO_SLOT);
    end(&bench);
}

static void test_relocation_into_the_middle_of_a_function_binds_to_the_place(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    static const int64_t addends[] = {1, 15, 17, 63, 64, -1, (1ll << 32) + 16};
    for (size_t i = 0; i < ARRAY_COUNT(addends); i++) {
        add(&bench, DATA, 8 * i, R_X86_64_64, TEXT_SECTION, addends[i]);
    }
    add(&bench, DATA, 56, R_X86_64_64, OTHER, 4);
    assert_int_equal(apply(&bench, DATA), OK);
    for (size_t i = 0; i < ARRAY_COUNT(addends); i++) {
        assert_int_equal(field(&bench, 8 * i, 8), TEXT_ADDRESS + (uint64_t)addends[i]);
        assert_int_equal(bench.records[i].via_entry, 0);
    }
    assert_int_equal(field(&bench, 56, 8), OTHER_ADDRESS + 4);
    assert_int_equal(bench.entry_count, 0);
    end(&bench);
}

static void test_relocation_frame_descriptions_bind_to_the_function(void **state)
{
    (void)state;
    static const uint32_t sections[] = {FRAME, NAMED_FRAME};
    for (int i = 0; i < 2; i++) {
        struct bench bench;
        begin(&bench);
        add(&bench, sections[i], 0, R_X86_64_PC32, TEXT_SECTION, 16);
        add(&bench, sections[i], 8, R_X86_64_64, OTHER, 0);
        assert_int_equal(apply(&bench, sections[i]), OK);
        assert_int_equal(field(&bench, 0, 4), (uint32_t)(TEXT_ADDRESS + 16 - DATA_ADDRESS));
        assert_int_equal(field(&bench, 8, 8), OTHER_ADDRESS);
        assert_int_equal(bench.records[0].via_entry, 0);
        assert_int_equal(bench.records[1].via_entry, 0);
        assert_int_equal(bench.entry_count, 0);
        end(&bench);
    }
}

static void test_relocation_code_of_other_cells_without_entry_binds_to_the_place(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    bench.symbols[OTHER].entry = 0; /* not a function: a label in assembly */
    add(&bench, DATA, 0, R_X86_64_64, OTHER, 0);
    assert_int_equal(apply(&bench, DATA), OK);
    assert_int_equal(field(&bench, 0, 8), OTHER_ADDRESS);
    assert_int_equal(bench.records[0].via_entry, 0);
    end(&bench);
}

static void test_relocation_extreme_addends_are_defined(void **state)
{
    (void)state;
    static const int64_t addends[] = {INT64_MAX, INT64_MIN, INT64_MAX - 3};
    for (size_t i = 0; i < ARRAY_COUNT(addends); i++) {
        struct bench bench;
        begin(&bench);
        add(&bench, TEXT, 0, R_X86_64_64, ALIAS, addends[i]);
        add(&bench, TEXT, 8, R_X86_64_64, OTHER, addends[i]);
        assert_int_equal(apply(&bench, TEXT), OK);
        assert_int_equal(field(&bench, 0, 8), TEXT_ADDRESS + 16 + (uint64_t)addends[i]);
        end(&bench);
        begin(&bench);
        add(&bench, TEXT, 4, R_X86_64_PC32, ALIAS, addends[i]);
        assert_int_equal(apply(&bench, TEXT), ERR_OVERFLOW);
        end(&bench);
    }
}

/* ---- what they refer to ---- */

static void test_relocation_description_says_source_and_target(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    bench.contents[3] = 0xe8;
    add(&bench, TEXT, 4, R_X86_64_PLT32, OTHER, -4);
    add(&bench, TEXT, 12, R_X86_64_32S, VARIABLE, 3);
    assert_int_equal(apply(&bench, TEXT), OK);
    const struct dependency *call = &bench.records[0];
    assert_ptr_equal(call->source, &bench.sections[TEXT]);
    assert_ptr_equal(call->target, &bench.other_section);
    assert_int_equal(call->offset, 4);
    assert_int_equal(call->target_offset, 0x40);
    assert_int_equal(call->symbol, OTHER);
    assert_int_equal(call->type, R_X86_64_PLT32);
    assert_int_equal(call->via_entry, 0);
    const struct dependency *load = &bench.records[1];
    assert_ptr_equal(load->target, &bench.sections[DATA]);
    assert_int_equal(load->offset, 12);
    assert_int_equal(load->target_offset, 0x13);
    assert_int_equal(load->symbol, VARIABLE);
    assert_int_equal(load->type, R_X86_64_32S);
    end(&bench);
}

static void test_relocation_walk_finds_the_uses_of_a_binding(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    add(&bench, DATA, 0, R_X86_64_64, OTHER, 0);
    add(&bench, DATA, 8, R_X86_64_64, VARIABLE, 0);
    add(&bench, DATA, 16, R_X86_64_NONE, OTHER, 0);
    add(&bench, DATA, 24, R_X86_64_64, OTHER, 4);
    assert_int_equal(apply(&bench, DATA), OK);
    assert_int_equal(bench.symbols[OTHER].is_via_entry, 1);
    assert_null(relocation_find_binding(&bench.cell, VARIABLE));
    const struct binding *binding = relocation_find_binding(&bench.cell, OTHER);
    assert_ptr_equal(binding, &bench.bindings[0]);
    struct relocation_walk walk = {0};
    struct dependency use;
    assert_true(relocation_next_use(binding, &walk, &use));
    assert_int_equal(use.offset, 0);
    assert_int_equal(use.via_entry, 1);
    assert_true(relocation_next_use(binding, &walk, &use));
    assert_int_equal(use.offset, 24);
    assert_int_equal(use.via_entry, 0);
    assert_false(relocation_next_use(binding, &walk, &use));
    uint32_t count = 0;
    for (walk = (struct relocation_walk){0}; relocation_next(&bench.cell, &walk, &use); count++) {
        assert_memory_equal(&use, &bench.records[count], sizeof(use));
    }
    assert_int_equal(count, 4);
    end(&bench);
}

static void test_relocation_marks_functions_whose_entry_is_written(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    bench.contents[3] = 0xe8;
    add(&bench, TEXT, 4, R_X86_64_PLT32, OTHER, -4); /* a call */
    add(&bench, TEXT, 12, R_X86_64_32S, TEXT_SECTION, 32);
    assert_int_equal(apply(&bench, TEXT), OK);
    assert_int_equal(bench.symbols[OTHER].is_via_entry, 0);
    assert_int_equal(bench.functions[1].is_via_entry, 0);
    assert_int_equal(bench.functions[2].is_via_entry, 1);
    end(&bench);
}

static void test_relocation_find_function_is_a_lower_bound(void **state)
{
    (void)state;
    struct function functions[] = {
        {.section = 2, .offset = 0}, {.section = 2, .offset = 16}, {.section = 5, .offset = 4}};
    assert_ptr_equal(relocation_find_function(functions, 3, 0, 99), &functions[0]);
    assert_ptr_equal(relocation_find_function(functions, 3, 2, 0), &functions[0]);
    assert_ptr_equal(relocation_find_function(functions, 3, 2, 1), &functions[1]);
    assert_ptr_equal(relocation_find_function(functions, 3, 2, 17), &functions[2]);
    assert_ptr_equal(relocation_find_function(functions, 3, 5, 4), &functions[2]);
    assert_ptr_equal(relocation_find_function(functions, 3, 5, 5), functions + 3);
    assert_ptr_equal(relocation_find_function(functions, 0, 2, 0), functions);
}

/* ---- the fast ways ---- */

static uint32_t random_state = 1;

static uint32_t random_below(uint32_t limit)
{
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % limit;
}

/* Many relocations of few kinds, in runs, inside and at the edges of sections and functions. */
static void add_random(struct bench *bench, uint32_t section, uint32_t seed)
{
    static const uint32_t types[] = {R_X86_64_64, R_X86_64_PC32, R_X86_64_PLT32, R_X86_64_32S,
                                     R_X86_64_NONE};
    static const uint8_t opcodes[] = {0xe8, 0xe9, 0x8b, 0x90};
    random_state = seed;
    uint32_t type = R_X86_64_PC32;
    uint32_t symbol = TEXT_SECTION;
    int64_t addend = 0;
    for (uint32_t i = 0; i < RECORDS; i++) {
        if (random_below(4) == 0) {
            type = types[random_below(ARRAY_COUNT(types))];
            symbol = random_below(50) == 0 ? UNLOADED : 1 + random_below(WEAK);
        }
        addend = random_below(6) == 0 ? (int64_t)random_below(SIZE + 8) - 4 : addend + 8;
        bool is_good = random_below(60) != 0;
        uint64_t offset = is_good ? 1 + random_below(SIZE - 8) : random_below(SIZE + 2);
        add(bench, section, offset, type, symbol, addend);
    }
    for (uint32_t i = 0; i < SIZE; i++) {
        bench->contents[i] = opcodes[random_below(ARRAY_COUNT(opcodes))];
    }
    bench->sections[TEXT].size = SIZE;
    bench->sections[DATA].size = SIZE;
    bench->other_section.size = 2 * (uint64_t)SIZE;
}

static void expect_records(struct bench *bench, uint32_t section)
{
    uint64_t count;
    const struct elf64_rela *rela = elf_object_relocations(
        &bench->object, elf_relocation_section(&bench->builder, section), &count);
    for (uint64_t i = 0; i < count; i++, rela++) {
        const struct dependency *record = &bench->records[i];
        const struct link_symbol *symbol = &bench->symbols[rela->r_sym];
        bool is_operand = section == TEXT && relocation_is_operand(rela->r_type);
        assert_ptr_equal(record->source, &bench->sections[section]);
        assert_ptr_equal(record->target, rela->r_type == R_X86_64_NONE ? NULL : symbol->section);
        assert_int_equal(record->offset, rela->r_offset);
        assert_int_equal(record->target_offset,
                         (int32_t)(symbol->offset + rela->r_addend + (is_operand ? 4 : 0)));
        assert_int_equal(record->type, rela->r_type);
        assert_int_equal(record->symbol, rela->r_sym);
        assert_in_range(record->via_entry, 0, 1);
    }
}

static void test_relocation_fast_and_general_ways_agree(void **state)
{
    (void)state;
    static const uint32_t sections[] = {TEXT, DATA, FRAME};
    static struct bench fast;
    static struct bench general;
    unsigned successes = 0;
    for (uint32_t seed = 0; seed < 6000; seed++) {
        const uint32_t section = sections[seed % ARRAY_COUNT(sections)];
        begin(&fast);
        begin(&general);
        general.is_general = true;
        add_random(&fast, section, seed);
        add_random(&general, section, seed);
        enum status status = apply(&fast, section);
        assert_int_equal(apply(&general, section), status);
        if (status == OK) {
            assert_memory_equal(fast.bytes, general.bytes, SIZE);
            assert_int_equal(fast.entry_count, general.entry_count);
            assert_memory_equal(fast.functions, general.functions, sizeof(fast.functions));
            expect_records(&fast, section);
            successes++;
        } else {
            assert_memory_equal(&fast.diag, &general.diag, sizeof(fast.diag));
        }
        end(&fast);
        end(&general);
    }
    assert_in_range(successes, 1000, 5900); /* both outcomes are tried often */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_relocation_values_at_the_bounds_of_their_fields),
        cmocka_unit_test(test_relocation_stores_into_its_field_alone),
        cmocka_unit_test(test_relocation_absolute_and_undefined_weak_symbols),
        cmocka_unit_test(test_relocation_field_must_lie_inside_its_section),
        cmocka_unit_test(test_relocation_none_may_be_anywhere),
        cmocka_unit_test(test_relocation_symbol_must_exist),
        cmocka_unit_test(test_relocation_to_a_section_that_is_not_loaded_is_refused),
        cmocka_unit_test(test_relocation_other_kinds_are_refused_by_name),
        cmocka_unit_test(test_relocation_long_symbol_name_is_cut_in_the_diag),
        cmocka_unit_test(test_relocation_every_number_of_the_standard_has_one_name),
        cmocka_unit_test(test_relocation_branches_are_direct),
        cmocka_unit_test(test_relocation_what_looks_like_a_branch_takes_the_address),
        cmocka_unit_test(test_relocation_only_relative_operands_in_code_are_branches),
        cmocka_unit_test(test_relocation_address_of_a_local_function_is_its_entry),
        cmocka_unit_test(test_relocation_function_that_has_a_slot_keeps_it),
        cmocka_unit_test(test_relocation_operand_counts_from_its_end),
        cmocka_unit_test(test_relocation_local_branch_takes_no_slot),
        cmocka_unit_test(test_relocation_into_the_middle_of_a_function_binds_to_the_place),
        cmocka_unit_test(test_relocation_frame_descriptions_bind_to_the_function),
        cmocka_unit_test(test_relocation_code_of_other_cells_without_entry_binds_to_the_place),
        cmocka_unit_test(test_relocation_extreme_addends_are_defined),
        cmocka_unit_test(test_relocation_description_says_source_and_target),
        cmocka_unit_test(test_relocation_walk_finds_the_uses_of_a_binding),
        cmocka_unit_test(test_relocation_marks_functions_whose_entry_is_written),
        cmocka_unit_test(test_relocation_find_function_is_a_lower_bound),
        cmocka_unit_test(test_relocation_fast_and_general_ways_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
