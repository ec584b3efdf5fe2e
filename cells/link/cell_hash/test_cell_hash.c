/* SPDX-License-Identifier: MIT */
/*
 * One small cell is built in many ways: those that must not matter, and those that must, each by
 * one change. What GCC makes of sources is tested in packer/test_diff.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cell_abi.h"
#include "cell_hash.h"
#include "elf_builder.h"

#define NOTE "format=1\0name=bell\0version=1\0kind=library\0summary=rings"

/* Two FDEs of one CIE, as in a table of two functions; or the second one first. */
static const uint8_t table_of_two[] = {
    12, 0, 0, 0, 0,  0, 0, 0, 1, 'z', 'R', 0, 1, 0x78, 16, 1, /* CIE */
    16, 0, 0, 0, 20, 0, 0, 0, 0, 0,   0,   0, 4, 0,    0,  0, 0x41, 0, 0, 0,
    16, 0, 0, 0, 40, 0, 0, 0, 0, 0,   0,   0, 2, 0,    0,  0, 0x42, 0, 0, 0,
};

enum change {
    PLAIN,
    /* what must not matter */
    OTHER_ORDER,
    OTHER_FILE_NAME,
    OTHER_LOCATION,
    OTHER_UNWIND_INDEX,
    DEBUG_SECTION,
    LAST_THAT_DOES_NOT_MATTER = DEBUG_SECTION,
    /* what must */
    OTHER_CODE,
    OTHER_DATA,
    OTHER_ALIGNMENT,
    OTHER_FLAGS,
    LONGER_BSS,
    OTHER_SECTION_NAME,
    OTHER_ADDEND,
    OTHER_OFFSET,
    OTHER_TYPE,
    OTHER_IMPORT,
    WEAK_IMPORT,
    OTHER_TARGET,
    OTHER_SYMBOL_NAME,
    OTHER_SYMBOL_SIZE,
    WEAK_EXPORT,
    OTHER_FDE,
    SWAPPED_FDES,
    OTHER_NOTE,
    OTHER_SIGNATURE,
    OTHER_VARIABLE,
    OTHER_LAYOUT,
    UNREADABLE_ABI,
    CHANGE_COUNT
};

struct cell_parts {
    uint32_t file, caller, callee, import, export, location, limit;
    uint32_t text_a, text_b, data, bss, locations, frame;
};

static void add_contents(struct elf_builder *builder, enum change change, struct cell_parts *cell)
{
    const char *data = change == OTHER_DATA ? "4321" : "1234";
    bool turned = change == OTHER_ORDER;
    if (turned) {
        cell->bss = elf_add_bss(builder, ".bss.count", 8);
        cell->data = elf_add_data(builder, ".data.limit", data, 4);
        cell->text_b = elf_add_text(builder, ".text.callee", "\x90\xc3", 2);
    }
    if (change == DEBUG_SECTION) {
        elf_add_section(builder, ".debug_line", SHT_PROGBITS, 0, "lines", 5);
    }
    cell->text_a = elf_add_text(builder, ".text.caller",
                                change == OTHER_CODE ? "\xe9\0\0\0\0\x90" : "\xe8\0\0\0\0\xc3", 6);
    if (!turned) {
        cell->text_b = elf_add_text(
            builder, change == OTHER_SECTION_NAME ? ".text.other" : ".text.callee", "\x90\xc3", 2);
        cell->data = elf_add_data(builder, ".data.limit", data, 4);
        cell->bss = elf_add_bss(builder, ".bss.count", change == LONGER_BSS ? 16 : 8);
    }
    elf_section(builder, cell->data)->sh_addralign = change == OTHER_ALIGNMENT ? 8 : 4;
    elf_section(builder, cell->bss)->sh_flags |= change == OTHER_FLAGS ? SHF_MERGE : 0;
    cell->locations = elf_add_rodata(builder, ".rodata.cellloc.bell",
                                     change == OTHER_LOCATION ? "bell.c:1000" : "bell.c:10", 9);
    cell->frame = elf_add_rodata(builder, ".eh_frame", table_of_two, sizeof(table_of_two));
    elf_add_section(builder, ".cell.unwind", SHT_PROGBITS, 0,
                    change == OTHER_UNWIND_INDEX ? "DCBA" : "ABCD", 4);
    elf_add_section(builder, ".cell.info", SHT_PROGBITS, 0,
                    change == OTHER_NOTE ? NOTE " twice" : NOTE, sizeof(NOTE));
}

static void add_symbols(struct elf_builder *builder, enum change change, struct cell_parts *cell)
{
    cell->file = elf_add_symbol(builder, change == OTHER_FILE_NAME ? "a/bell.c" : "bell.c",
                                STB_LOCAL, STT_FILE, SHN_ABS, 0, 0);
    if (change == OTHER_ORDER) {
        elf_add_symbol(builder, "", STB_LOCAL, STT_SECTION, cell->data, 0,
                       0); /* shifts the others */
    }
    cell->callee = elf_add_symbol(builder, "", STB_LOCAL, STT_SECTION, cell->text_b, 0, 0);
    cell->caller = elf_add_symbol(builder, "", STB_LOCAL, STT_SECTION, cell->text_a, 0, 0);
    cell->location = elf_add_symbol(builder, "", STB_LOCAL, STT_SECTION, cell->locations, 0, 0);
    cell->limit =
        elf_add_symbol(builder, change == OTHER_SYMBOL_NAME ? "limits" : "limit", STB_LOCAL,
                       STT_OBJECT, cell->data, 0, change == OTHER_SYMBOL_SIZE ? 2 : 4);
    cell->export =
        elf_add_symbol(builder, "bell_ring", change == WEAK_EXPORT ? STB_WEAK : STB_GLOBAL,
                       STT_FUNC, cell->text_a, 0, 6);
    cell->import =
        elf_add_symbol(builder, change == OTHER_IMPORT ? "rope_drop" : "rope_pull",
                       change == WEAK_IMPORT ? STB_WEAK : STB_GLOBAL, STT_NOTYPE, SHN_UNDEF, 0, 0);
}

/* Rows name symbols by their indices. */
static void add_abi(struct elf_builder *builder, enum change change, const struct cell_parts *cell)
{
    struct PACKED {
        struct cell_abi_header header;
        struct cell_abi_symbol symbol;
        struct cell_abi_variable variable;
        struct cell_abi_type type;
        char texts[8];
    } abi = {
        .header = {CELL_ABI_MAGIC, CELL_ABI_VERSION, sizeof(abi.header), 1, 1, 1, 8},
        .symbol = {change == OTHER_SIGNATURE ? 12 : 11, cell->export, 0},
        .variable = {21, change == OTHER_VARIABLE ? 23 : 22, cell->limit, 1, 0, 4},
        .type = {31, change == OTHER_LAYOUT ? 33 : 32, 0, 0},
        .texts = "\0limit\0",
    };
    abi.header.version += change == UNREADABLE_ABI;
    elf_add_section(builder, CELL_ABI_SECTION, SHT_PROGBITS, 0, &abi, sizeof(abi));
}

static struct span build(struct elf_builder *builder, enum change change)
{
    struct cell_parts cell;
    elf_builder_init(builder);
    add_contents(builder, change, &cell);
    add_symbols(builder, change, &cell);
    add_abi(builder, change, &cell);
    elf_add_relocation(builder, cell.text_a, change == OTHER_OFFSET ? 2 : 1,
                       change == OTHER_TYPE ? R_X86_64_PC32 : R_X86_64_PLT32,
                       change == OTHER_TARGET ? cell.caller : cell.callee,
                       change == OTHER_ADDEND ? 0 : -4);
    elf_add_relocation(builder, cell.text_b, 0, R_X86_64_32S, cell.import, 0);
    elf_add_relocation(builder, cell.text_b, 0, R_X86_64_32S, cell.location,
                       change == OTHER_LOCATION ? 7 : 0);
    bool swapped = change == SWAPPED_FDES;
    elf_add_relocation(builder, cell.frame, 24, R_X86_64_PC32, swapped ? cell.callee : cell.caller,
                       0);
    elf_add_relocation(builder, cell.frame, 44, R_X86_64_PC32, swapped ? cell.caller : cell.callee,
                       0);
    if (change == OTHER_FDE) {
        builder->contents.base[elf_contents_position(builder, cell.frame) + 32] = 0x43;
    }
    return elf_build(builder);
}

static struct blake2b_digest hash_bytes(struct span bytes, enum cell_hash_scope scope)
{
    struct elf_object object;
    assert_int_equal(elf_object_open(bytes, &object, NULL), OK);
    struct blake2b_digest digest;
    void *scratch =
        malloc(cell_hash_scratch_size(&object)); /* exactly so much, for the sanitizer */
    assert_non_null(scratch);
    cell_hash_of(&object, scope, scratch, &digest);
    free(scratch);
    return digest;
}

static struct blake2b_digest hash_of(enum change change, enum cell_hash_scope scope)
{
    struct elf_builder builder;
    struct blake2b_digest digest = hash_bytes(build(&builder, change), scope);
    elf_builder_fini(&builder);
    return digest;
}

static bool are_equal(struct blake2b_digest a, struct blake2b_digest b)
{
    return memcmp(&a, &b, sizeof(a)) == 0;
}

static void test_cell_hash_is_equal_where_nothing_counts(void **state)
{
    (void)state;
    struct blake2b_digest plain = hash_of(PLAIN, CELL_HASH_CONTENT);
    for (enum change change = PLAIN; change <= LAST_THAT_DOES_NOT_MATTER; change++) {
        if (!are_equal(plain, hash_of(change, CELL_HASH_CONTENT))) {
            fail_msg("change %d", change);
        }
    }
}

static void test_cell_hash_differs_for_each_change(void **state)
{
    (void)state;
    struct blake2b_digest seen[CHANGE_COUNT] = {hash_of(PLAIN, CELL_HASH_CONTENT)};
    size_t count = 1;
    for (enum change change = LAST_THAT_DOES_NOT_MATTER + 1; change < CHANGE_COUNT; change++) {
        seen[count] = hash_of(change, CELL_HASH_CONTENT);
        for (size_t i = 0; i < count; i++) {
            if (are_equal(seen[i], seen[count])) {
                fail_msg("change %d is not seen", change);
            }
        }
        count++;
    }
}

static void test_cell_hash_of_the_body_leaves_the_note_out(void **state)
{
    (void)state;
    struct blake2b_digest plain = hash_of(PLAIN, CELL_HASH_BODY);
    assert_false(are_equal(plain, hash_of(PLAIN, CELL_HASH_CONTENT)));
    assert_true(are_equal(plain, hash_of(OTHER_NOTE, CELL_HASH_BODY)));
    assert_false(are_equal(plain, hash_of(OTHER_CODE, CELL_HASH_BODY)));
}

/* Two sources with a static function of one name, and who calls which. */
static struct blake2b_digest hash_twins(bool crossed, unsigned depth)
{
    struct elf_builder builder;
    elf_builder_init(&builder);
    uint32_t ends[2];
    for (unsigned i = 0; i < 2; i++) {
        uint32_t text = elf_add_text(&builder, ".text.end", i ? "\x90" : "\xc3", 1);
        ends[i] = elf_add_symbol(&builder, "", STB_LOCAL, STT_SECTION, text, 0, 0);
    }
    for (unsigned k = 0; k < depth; k++) {
        for (unsigned i = 0; i < 2; i++) {
            uint32_t text = elf_add_text(&builder, ".text.way", "\xe9\0\0\0\0", 5);
            elf_add_relocation(&builder, text, 1, R_X86_64_PLT32, ends[i], -4);
            ends[i] = elf_add_symbol(&builder, "", STB_LOCAL, STT_SECTION, text, 0, 0);
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        uint32_t text = elf_add_text(&builder, i ? ".text.one" : ".text.other", "\xe9\0\0\0\0", 5);
        elf_add_relocation(&builder, text, 1, R_X86_64_PLT32, ends[crossed ? 1 - i : i], -4);
    }
    struct blake2b_digest digest = hash_bytes(elf_build(&builder), CELL_HASH_CONTENT);
    elf_builder_fini(&builder);
    return digest;
}

static void test_cell_hash_tells_sections_of_one_name_apart(void **state)
{
    (void)state;
    for (unsigned depth = 0; depth < CELL_HASH_ROUNDS; depth++) {
        assert_true(are_equal(hash_twins(false, depth), hash_twins(false, depth)));
        assert_false(are_equal(hash_twins(false, depth), hash_twins(true, depth)));
    }
}

static void test_cell_hash_of_a_table_without_records_counts_all_of_it(void **state)
{
    (void)state;
    static const uint8_t tables[][8] = {
        {4, 0, 0, 0, 9, 0, 0, 0},    /* an FDE whose CIE would lie before the table */
        {4, 0, 0, 0, 4, 0, 0, 0},    /* an FDE that is too short, and its own CIE */
        {9, 0, 0, 0, 0, 0, 0, 0},    /* longer than the table */
        {0, 0, 0, 0, 0, 0, 0, 0},    /* a terminator */
        {0xff, 0xff, 0xff, 0xff, 0}, /* a 64-bit length */
    };
    struct blake2b_digest seen[ARRAY_COUNT(tables)];
    for (size_t i = 0; i < ARRAY_COUNT(tables); i++) {
        struct elf_builder builder;
        elf_builder_init(&builder);
        elf_add_rodata(&builder, ".eh_frame", tables[i], sizeof(tables[i]));
        seen[i] = hash_bytes(elf_build(&builder), CELL_HASH_CONTENT);
        elf_builder_fini(&builder);
        for (size_t k = 0; k < i; k++) {
            assert_false(are_equal(seen[k], seen[i]));
        }
    }
}

static void test_cell_hash_reference_to_no_symbol_does_no_harm(void **state)
{
    (void)state;
    struct elf_builder builder;
    elf_builder_init(&builder);
    uint32_t text = elf_add_text(&builder, ".text.f", "\0\0\0\0", 4);
    elf_add_relocation(&builder, text, 0, R_X86_64_32S, 0, 0);
    elf_add_relocation(&builder, text, 0, R_X86_64_32S, 99, 0);
    hash_bytes(elf_build(&builder), CELL_HASH_CONTENT);
    elf_builder_fini(&builder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cell_hash_is_equal_where_nothing_counts),
        cmocka_unit_test(test_cell_hash_differs_for_each_change),
        cmocka_unit_test(test_cell_hash_of_the_body_leaves_the_note_out),
        cmocka_unit_test(test_cell_hash_tells_sections_of_one_name_apart),
        cmocka_unit_test(test_cell_hash_of_a_table_without_records_counts_all_of_it),
        cmocka_unit_test(test_cell_hash_reference_to_no_symbol_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
