/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "cell_abi.h"
#include "cell_abi_maker.h"
#include "diag.h"
#include "elf_builder.h"

#define TASK "struct task{u64 id@0;struct queue* queue@8;s8[16] name@16;}32"

/*
 * A cell that exports `spawn`, imports `log_line` and keeps `tasks`: symbols 3, 4 and 1; 2 is a
 * local function.
 */
static void make_sample(struct cell_abi_maker *maker)
{
    *maker = (struct cell_abi_maker){0};
    cell_abi_add_symbol(maker, 2, "void(void*)");
    cell_abi_add_symbol(maker, 3, "enum status(struct task*,u64)");
    cell_abi_add_symbol(maker, 4, "void(s8 const*,...)");
    cell_abi_add_variable(maker, 1, "tasks", "struct list", 16);
    cell_abi_add_type(maker, TASK, CELL_ABI_TYPE_SHARED);
    cell_abi_add_type(maker, "struct queue", CELL_ABI_TYPE_SHARED);
    cell_abi_add_type(maker, "enum status{OK=0,ERR_BUSY=-7,}s32", CELL_ABI_TYPE_SHARED);
    cell_abi_add_type(maker, "struct list{struct task* first@0;u64 count@8;}16", 0);
}

static struct elf_object make_object(struct elf_builder *builder, struct span note)
{
    elf_builder_init(builder);
    uint32_t text = elf_add_text(builder, ".text", NULL, 32);
    uint32_t bss = elf_add_bss(builder, ".bss.tasks", 16);
    if (note.size) {
        elf_add_section(builder, CELL_ABI_SECTION, SHT_PROGBITS, 0, note.base, note.size);
    }
    elf_add_symbol(builder, "tasks", STB_LOCAL, STT_OBJECT, (uint16_t)bss, 0, 16);
    elf_add_symbol(builder, "run", STB_LOCAL, STT_FUNC, (uint16_t)text, 0, 16);
    elf_add_symbol(builder, "spawn", STB_GLOBAL, STT_FUNC, (uint16_t)text, 16, 16);
    elf_add_symbol(builder, "log_line", STB_GLOBAL, STT_NOTYPE, SHN_UNDEF, 0, 0);
    struct elf_object object;
    assert_int_equal(elf_object_open(elf_build(builder), &object, NULL), OK);
    return object;
}

static struct cell_abi open_note(struct span note)
{
    struct cell_abi abi;
    assert_int_equal(cell_abi_open(note, &abi, NULL), OK);
    return abi;
}

static void test_cell_abi_rows_are_found(void **state)
{
    (void)state;
    struct cell_abi_maker maker;
    struct elf_builder builder;
    make_sample(&maker);
    struct elf_object object = make_object(&builder, cell_abi_finish(&maker));
    struct cell_abi abi;
    assert_int_equal(cell_abi_read(&object, &abi, NULL), OK);
    assert_int_equal(cell_abi_check(&abi, &object, NULL), OK);

    const struct cell_abi_symbol *symbol = cell_abi_find_symbol(&abi, &object, "spawn");
    assert_ptr_equal(symbol, cell_abi_symbol_at(&abi, 3));
    assert_string_equal(cell_abi_text(&abi, symbol->text), "enum status(struct task*,u64)");
    assert_int_equal(symbol->signature, cell_abi_maker_hash("enum status(struct task*,u64)"));
    assert_non_null(cell_abi_symbol_at(&abi, 2));
    assert_non_null(cell_abi_symbol_at(&abi, 4));
    assert_null(cell_abi_symbol_at(&abi, 1));
    assert_null(cell_abi_symbol_at(&abi, 5));
    assert_null(cell_abi_find_symbol(&abi, &object, "run")); /* local: has no name outside */

    const struct cell_abi_variable *variable = cell_abi_find_variable(&abi, "tasks");
    assert_int_equal(variable->symbol, 1);
    assert_int_equal(variable->size, 16);
    assert_null(cell_abi_find_variable(&abi, "task"));

    const struct cell_abi_type *type = cell_abi_find_type(&abi, "struct task", 11);
    assert_int_equal(type->layout, cell_abi_maker_hash(TASK));
    assert_int_equal(cell_abi_find_type(&abi, "struct queue", 12)->layout, 0);
    assert_null(cell_abi_find_type(&abi, "union task", 10));
    elf_builder_fini(&builder);
    cell_abi_maker_fini(&maker);
}

static void test_cell_abi_object_without_section_has_no_rows(void **state)
{
    (void)state;
    struct elf_builder builder;
    struct elf_object object = make_object(&builder, span_of(NULL, 0));
    struct cell_abi abi;
    assert_int_equal(cell_abi_read(&object, &abi, NULL), OK);
    assert_int_equal(cell_abi_check(&abi, &object, NULL), OK);
    assert_int_equal(abi.symbol_count + abi.variable_count + abi.type_count, 0);
    assert_null(cell_abi_symbol_at(&abi, 3));
    assert_null(cell_abi_find_type(&abi, "struct task", 11));
    assert_string_equal(cell_abi_text(&abi, 0), "");
    elf_builder_fini(&builder);
}

static void test_cell_abi_damaged_header_is_refused(void **state)
{
    (void)state;
    struct cell_abi_maker maker;
    make_sample(&maker);
    struct span good = cell_abi_finish(&maker);
    struct cell_abi abi = {.symbol_count = 77};
    struct diag diag;
    for (size_t size = 1; size < good.size; size++) { /* cut anywhere */
        uint8_t *cut = malloc(size + 1);
        memcpy(cut, good.base, size);
        assert_int_equal(cell_abi_open(span_of(cut, size), &abi, &diag), ERR_BAD_FORMAT);
        assert_int_equal(diag.code, DIAG_CELL_ABI);
        assert_string_equal(diag.section, ".cell.abi");
        free(cut);
    }
    struct cell_abi_header *header = (struct cell_abi_header *)maker.note;
    static const struct {
        size_t offset;
        uint64_t found;
    } damage[] = {{0, 0}, {4, 4}, {6, 4}, {8, 0}, {12, 0}, {16, 0}, {20, 0}};
    for (size_t i = 0; i < ARRAY_COUNT(damage); i++) {
        struct cell_abi_header saved = *header;
        maker.note[damage[i].offset + (damage[i].offset >= 8 ? 3 : 0)] ^= 0x80;
        assert_int_equal(cell_abi_open(good, &abi, &diag), ERR_BAD_FORMAT);
        assert_int_equal(diag.offset, damage[i].found);
        *header = saved;
    }
    assert_int_equal(abi.symbol_count, 77);
    assert_int_equal(cell_abi_open(good, &abi, &diag), OK);
    cell_abi_maker_fini(&maker);
}

/* Each row's fields, one damaged at a time: the check says where the row is. */
static void test_cell_abi_damaged_row_is_refused_by_the_check(void **state)
{
    (void)state;
    struct cell_abi_maker maker;
    struct elf_builder builder;
    make_sample(&maker);
    struct elf_object object = make_object(&builder, cell_abi_finish(&maker));
    struct cell_abi abi = open_note(span_of(maker.note, maker.size));
    size_t texts = (size_t)(abi.texts.base - maker.note);
    size_t count = 0;
    for (size_t at = sizeof(struct cell_abi_header); at < texts; at += 4) {
        struct diag diag = {0};
        maker.note[at] ^= 0x40;
        enum status status = cell_abi_check(&abi, &object, &diag);
        /* The layout of a variable cannot be told from its text alone. */
        size_t in_variable = at - (size_t)((const uint8_t *)abi.variables - maker.note);
        bool is_layout = in_variable == 8 || in_variable == 12;
        assert_int_equal(status, is_layout ? OK : ERR_BAD_FORMAT);
        if (!is_layout) {
            assert_int_equal(diag.code, DIAG_CELL_ABI);
            assert_true(diag.offset >= sizeof(struct cell_abi_header) && diag.offset <= texts);
            count++;
        }
        maker.note[at] ^= 0x40;
    }
    assert_int_equal(count, (3 * 16 + 32 - 8 + 4 * 24) / 4);
    for (size_t at = texts; at < maker.size; at++) { /* any letter of any text */
        bool is_end = maker.note[at] == 0;
        maker.note[at] ^= 0x04;
        bool is_variable_name = strcmp(cell_abi_text(&abi, abi.variables[0].name), "tasks") != 0;
        assert_int_equal(cell_abi_check(&abi, &object, NULL),
                         is_variable_name && !is_end ? OK : ERR_BAD_FORMAT);
        maker.note[at] ^= 0x04;
    }
    assert_int_equal(cell_abi_check(&abi, &object, NULL), OK);
    elf_builder_fini(&builder);
    cell_abi_maker_fini(&maker);
}

static void expect_difference(const char *mine, const char *theirs, const char *expected)
{
    struct cell_abi_difference difference = cell_abi_compare(mine, theirs);
    char line[300];
    size_t length = cell_abi_format_difference(&difference, "here", "there", line, sizeof(line));
    assert_string_equal(line, expected);
    assert_int_equal(length, strlen(expected));
}

static void test_cell_abi_first_different_parameter_is_named(void **state)
{
    (void)state;
    expect_difference("s32(u64,u8*)", "s32(u64,u8*)", "nothing");
    expect_difference("s32(u64)", "u32(u64)", "result: s32 in here, u32 in there");
    expect_difference("s32(u64,u8*)", "s32(u64,u8 const*)",
                      "parameter 2: u8* in here, u8 const* in there");
    expect_difference("s32(u64)", "s32(u64,u8*)", "parameter 2: none in here, u8* in there");
    expect_difference("s32()", "s32(u64)", "parameter 1: none in here, u64 in there");
    expect_difference("s32(u64,...)", "s32(u64)", "parameter 2: ... in here, none in there");
    expect_difference("s32(void(u8,u16)*,u64)", "s32(void(u8,u16)*,u32)",
                      "parameter 2: u64 in here, u32 in there");
    expect_difference("s32(void(u8,u16)*,u64)", "s32(void(u8,u32)*,u64)",
                      "parameter 1: void(u8,u16)* in here, void(u8,u32)* in there");
    expect_difference("void(u8)*(u16)", "void(u8)*(u32)", "parameter 1: u16 in here, u32 in there");
    expect_difference("u64", "u32", "type: u64 in here, u32 in there");
    expect_difference("u64", "u64()", "type: u64 in here, u64() in there");
    expect_difference("s32(struct{u8 a@0;u8 b@1;}2,u8)", "s32(struct{u8 a@0;u8 b@1;}2,u16)",
                      "parameter 2: u8 in here, u16 in there");
}

static void test_cell_abi_array_without_bound_is_any_array(void **state)
{
    (void)state;
    expect_difference("u8[]", "u8[4]", "nothing");
    expect_difference("u8[4][2]", "u8[][2]", "nothing");
    expect_difference("u8[3]", "u8[4]", "type: u8[3] in here, u8[4] in there");
    expect_difference("u8[]", "u16[4]", "type: u8[] in here, u16[4] in there");
    expect_difference("u8[][2]", "u8[4][3]", "type: u8[][2] in here, u8[4][3] in there");
    expect_difference("u8[]*", "u8[4]*", "type: u8[]* in here, u8[4]* in there");
    expect_difference("u8[2][]", "u8[2][2]", "nothing"); /* is no type of C */
    expect_difference("struct a{u8[] x@0;}4", "struct a{u8[4] x@0;}4",
                      "field 1: u8[] x@0 in here, u8[4] x@0 in there");
}

static void test_cell_abi_first_different_field_is_named(void **state)
{
    (void)state;
    expect_difference("struct a{u8 x@0;u64 y@8;}16", "struct a{u8 x@0;u32 y@4;}8",
                      "field 2: u64 y@8 in here, u32 y@4 in there");
    expect_difference("struct a{u8 x@0;}1", "struct a{u8 x@0;u8 y@1;}2",
                      "field 2: none in here, u8 y@1 in there");
    expect_difference("struct a{u8 x@0;}1", "struct a{u8 x@0;}64 align 64",
                      "size: 1 in here, 64 align 64 in there");
    expect_difference("struct a{union{u8 x@0;u16 y@0;}2 @0;u8 z@2;}4",
                      "struct a{union{u8 x@0;u16 y@0;}2 @0;u8 w@2;}4",
                      "field 2: u8 z@2 in here, u8 w@2 in there");
    expect_difference("enum e{A=0,B=1,}u32", "enum e{A=0,C=1,}u32",
                      "enumerator 2: B=1 in here, C=1 in there");
    expect_difference("enum e{A=0,}u32", "enum e{A=0,}s32", "size: u32 in here, s32 in there");
    expect_difference("struct a{}0", "struct b{}0",
                      "type: struct a{}0 in here, struct b{}0 in there");
}

static void test_cell_abi_parts_of_a_layout(void **state)
{
    (void)state;
    static const char layout[] = "struct a{u32 f@0.3:5;struct{u8 x@0;}1[2] n@4;u8[] t@6;}8 align 2";
    static const char *const expected[] = {"u32 f@0.3:5", "struct{u8 x@0;}1[2] n@4", "u8[] t@6"};
    uint64_t cursor = 0;
    struct span part;
    for (size_t i = 0; i < ARRAY_COUNT(expected); i++) {
        assert_true(cell_abi_next_part(layout, &cursor, &part));
        assert_int_equal(part.size, strlen(expected[i]));
        assert_memory_equal(part.base, expected[i], part.size);
    }
    assert_false(cell_abi_next_part(layout, &cursor, &part));
    assert_string_equal((const char *)part.base, "8 align 2");
}

static void test_cell_abi_mentions_tell_what_lies_inside(void **state)
{
    (void)state;
    static const char layout[] =
        "struct a{struct b b@0;struct c* c@8;struct d[4] d@16;enum e const volatile e@80;"
        "union f[2] const* f@88;void(struct g)* g@96;struct h(u8)* h@104;struct{struct i i@0;}8 "
        "@112;}120";
    static const struct {
        const char *name;
        bool is_inside;
    } expected[] = {{"struct b", true},  {"struct c", false}, {"struct d", true},
                    {"enum e", true},    {"union f", false},  {"struct g", false},
                    {"struct h", false}, {"struct i", true}};
    uint64_t cursor = 0;
    struct span name;
    bool is_inside;
    for (size_t i = 0; i < ARRAY_COUNT(expected); i++) {
        assert_true(cell_abi_next_mention(layout, &cursor, &name, &is_inside));
        assert_int_equal(name.size, strlen(expected[i].name));
        assert_memory_equal(name.base, expected[i].name, name.size);
        assert_int_equal(is_inside, expected[i].is_inside);
    }
    assert_false(cell_abi_next_mention(layout, &cursor, &name, &is_inside));
    cursor = 0;
    assert_true(cell_abi_next_mention("struct a", &cursor, &name, &is_inside));
    assert_false(cell_abi_next_mention("struct a", &cursor, &name, &is_inside));
}

static void test_cell_abi_conflicts_are_shared_complete_and_different(void **state)
{
    (void)state;
    struct cell_abi_maker one = {0};
    struct cell_abi_maker two = {0};
    static const char *const same = "struct same{u8 a@0;}1";
    cell_abi_add_type(&one, same, CELL_ABI_TYPE_SHARED);
    cell_abi_add_type(&two, same, CELL_ABI_TYPE_SHARED);
    cell_abi_add_type(&one, "struct open{u8 a@0;}1", CELL_ABI_TYPE_SHARED);
    cell_abi_add_type(&two, "struct open", CELL_ABI_TYPE_SHARED);
    cell_abi_add_type(&one, "struct mine{u8 a@0;}1", CELL_ABI_TYPE_SHARED);
    cell_abi_add_type(&two, "struct theirs{u8 a@0;}1", CELL_ABI_TYPE_SHARED);
    cell_abi_add_type(&one, "struct private{u8 a@0;}1", 0);
    cell_abi_add_type(&two, "struct private{u8 b@0;}1", CELL_ABI_TYPE_SHARED);
    cell_abi_add_type(&one, "struct other{u8 a@0;}1", CELL_ABI_TYPE_SHARED);
    cell_abi_add_type(&two, "struct other{s8 a@0;}1", CELL_ABI_TYPE_SHARED);
    struct cell_abi a = open_note(cell_abi_finish(&one));
    struct cell_abi b = open_note(cell_abi_finish(&two));
    static const struct {
        uint32_t flags;
        size_t count;
    } walks[] = {{CELL_ABI_TYPE_SHARED, 1}, {0, 2}};
    for (size_t i = 0; i < ARRAY_COUNT(walks); i++) {
        struct cell_abi_cursor cursor = {0};
        const struct cell_abi_type *mine;
        const struct cell_abi_type *theirs = NULL;
        size_t count = 0;
        while ((mine = cell_abi_next_conflict(&a, &b, walks[i].flags, &cursor, &theirs))) {
            assert_int_equal(mine->key, theirs->key);
            const char *text = cell_abi_text(&a, mine->text);
            assert_true(strncmp(text, "struct other{", 13) == 0 ||
                        (walks[i].flags == 0 && strncmp(text, "struct private{", 15) == 0));
            count++;
        }
        assert_int_equal(count, walks[i].count);
    }
    cell_abi_maker_fini(&one);
    cell_abi_maker_fini(&two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cell_abi_rows_are_found),
        cmocka_unit_test(test_cell_abi_object_without_section_has_no_rows),
        cmocka_unit_test(test_cell_abi_damaged_header_is_refused),
        cmocka_unit_test(test_cell_abi_damaged_row_is_refused_by_the_check),
        cmocka_unit_test(test_cell_abi_first_different_parameter_is_named),
        cmocka_unit_test(test_cell_abi_array_without_bound_is_any_array),
        cmocka_unit_test(test_cell_abi_first_different_field_is_named),
        cmocka_unit_test(test_cell_abi_parts_of_a_layout),
        cmocka_unit_test(test_cell_abi_mentions_tell_what_lies_inside),
        cmocka_unit_test(test_cell_abi_conflicts_are_shared_complete_and_different),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
