/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "cell_info.h"
#include "diag.h"
#include "elf_builder.h"

/* A note without its final NUL, which the literal adds. */
#define NOTE(text) span_of(text, sizeof(text))

#define REST "version=1.2.3\0kind=library\0summary=says hello"

static void expect_refusal(struct span note, uint64_t offset)
{
    struct cell_info info = {.name = "untouched"};
    struct diag diag = {.code = DIAG_NONE};
    assert_int_equal(cell_info_parse(note, &info, &diag), ERR_BAD_FORMAT);
    assert_int_equal(diag.code, DIAG_CELL_INFO);
    assert_string_equal(diag.section, ".cell.info");
    assert_string_equal(diag.cell, "");
    assert_int_equal(diag.offset, offset);
    assert_string_equal(info.name, "untouched");
}

static void test_cell_info_complete_note_is_read(void **state)
{
    (void)state;
    struct cell_info info;
    assert_int_equal(
        cell_info_parse(NOTE("format=1\0name=hello\0" REST "\0interface=greeter"), &info, NULL),
        OK);
    assert_string_equal(info.name, "hello");
    assert_string_equal(info.version, "1.2.3");
    assert_string_equal(info.kind, "library");
    assert_string_equal(info.summary, "says hello");
    assert_string_equal(info.interface, "greeter");
}

static void test_cell_info_without_interface_has_none(void **state)
{
    (void)state;
    struct cell_info info;
    assert_int_equal(cell_info_parse(NOTE("format=1\0name=hello\0" REST), &info, NULL), OK);
    assert_null(info.interface);
}

static void test_cell_info_unknown_keys_and_padding_are_passed_over(void **state)
{
    (void)state;
    struct cell_info info;
    struct span note = NOTE("format=1\0colour=blue\0names=x\0nam=y\0name=hello\0nothing\0" REST
                            "\0\0\0after=padding");
    assert_int_equal(cell_info_parse(note, &info, NULL), OK);
    assert_string_equal(info.name, "hello");
}

static void test_cell_info_empty_values_but_the_name_are_values(void **state)
{
    (void)state;
    struct cell_info info;
    assert_int_equal(
        cell_info_parse(NOTE("format=1\0name=a\0version=\0kind=\0summary="), &info, NULL), OK);
    assert_string_equal(info.summary, "");
}

static void test_cell_info_other_format_is_refused(void **state)
{
    (void)state;
    expect_refusal(NOTE("format=2\0name=hello\0" REST), 0);
    expect_refusal(NOTE("format=10\0name=hello\0" REST), 0);
    expect_refusal(NOTE("name=hello\0format=1\0" REST), 0);
    expect_refusal(span_of(NULL, 0), 0);
    expect_refusal(span_of("format=1", 8), 0); /* without a NUL */
    expect_refusal(span_of("", 1), 0);
}

static void test_cell_info_missing_key_is_refused_at_the_end(void **state)
{
    (void)state;
    expect_refusal(NOTE("format=1\0" REST), 9 + sizeof(REST));
    expect_refusal(NOTE("format=1\0name=hello\0version=1\0kind=library"), 9 + 11 + 10 + 13);
    expect_refusal(NOTE("format=1\0name=hello\0version=1\0summary=x"), 9 + 11 + 10 + 10);
    expect_refusal(NOTE("format=1\0name=hello\0kind=library\0summary=x"), 9 + 11 + 13 + 10);
    expect_refusal(NOTE("format=1"), 9);
}

static void test_cell_info_key_stated_twice_is_refused(void **state)
{
    (void)state;
    expect_refusal(NOTE("format=1\0name=hello\0name=hello\0" REST), 9 + 11);
    expect_refusal(NOTE("format=1\0name=hello\0" REST "\0kind=driver"), 9 + 11 + sizeof(REST));
}

static void test_cell_info_string_without_end_is_refused(void **state)
{
    (void)state;
    static const char note[] = "format=1\0name=hello\0version=1";
    char *block = malloc(sizeof(note) - 1); /* exactly so long, for the sanitizer */
    memcpy(block, note, sizeof(note) - 1);
    expect_refusal(span_of(block, sizeof(note) - 1), 9 + 11);
    free(block);
}

static void test_cell_info_every_letter_of_a_name_is_accepted(void **state)
{
    (void)state;
    struct cell_info info;
    assert_int_equal(
        cell_info_parse(NOTE("format=1\0name=_abcdefghijklmnopqrstuvwxyz_0123456789\0" REST), &info,
                        NULL),
        OK);
    assert_string_equal(info.name, "_abcdefghijklmnopqrstuvwxyz_0123456789");
}

static void test_cell_info_unusable_name_is_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"",          "Hello", "he-llo", "he llo", "../x",
                                        "h\xc3\xa9", "a`",    "a{",     "a:"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        char note[200] = "format=1";
        size_t size = 9;
        size += (size_t)sprintf(note + size, "name=%s", names[i]) + 1;
        memcpy(note + size, REST, sizeof(REST));
        expect_refusal(span_of(note, size + sizeof(REST)), size + sizeof(REST));
    }
}

static void test_cell_info_name_of_limit_size_is_refused(void **state)
{
    (void)state;
    for (size_t length = CELL_INFO_NAME_SIZE - 1; length <= CELL_INFO_NAME_SIZE; length++) {
        char note[200] = "format=1\0name=";
        memset(note + 14, 'n', length);
        size_t size = 14 + length + 1;
        memcpy(note + size, REST, sizeof(REST));
        size += sizeof(REST);
        struct cell_info info;
        enum status status = cell_info_parse(span_of(note, size), &info, NULL);
        assert_int_equal(status, length < CELL_INFO_NAME_SIZE ? OK : ERR_BAD_FORMAT);
    }
}

static enum status read_note(uint32_t type, const void *note, size_t size, struct diag *diag)
{
    struct elf_builder builder;
    elf_builder_init(&builder);
    if (note) {
        elf_add_section(&builder, ".cell.info", type, 0, note, size);
    }
    struct elf_object object;
    assert_int_equal(elf_object_open(elf_build(&builder), &object, NULL), OK);
    struct cell_info info;
    enum status status = cell_info_read(&object, &info, diag);
    if (status == OK) {
        assert_string_equal(info.name, "hello");
    }
    elf_builder_fini(&builder);
    return status;
}

static void test_cell_info_read_finds_the_section(void **state)
{
    (void)state;
    static const char note[] = "format=1\0name=hello\0" REST;
    struct diag diag = {.code = DIAG_NONE};
    assert_int_equal(read_note(SHT_PROGBITS, note, sizeof(note), &diag), OK);
    assert_int_equal(read_note(SHT_NOBITS, note, sizeof(note), &diag), ERR_BAD_FORMAT);
    assert_int_equal(diag.code, DIAG_CELL_INFO);
    diag.code = DIAG_NONE;
    assert_int_equal(read_note(SHT_PROGBITS, NULL, 0, &diag), ERR_BAD_FORMAT);
    assert_int_equal(diag.code, DIAG_CELL_INFO);
    assert_string_equal(diag.section, ".cell.info");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cell_info_complete_note_is_read),
        cmocka_unit_test(test_cell_info_without_interface_has_none),
        cmocka_unit_test(test_cell_info_unknown_keys_and_padding_are_passed_over),
        cmocka_unit_test(test_cell_info_empty_values_but_the_name_are_values),
        cmocka_unit_test(test_cell_info_other_format_is_refused),
        cmocka_unit_test(test_cell_info_missing_key_is_refused_at_the_end),
        cmocka_unit_test(test_cell_info_key_stated_twice_is_refused),
        cmocka_unit_test(test_cell_info_string_without_end_is_refused),
        cmocka_unit_test(test_cell_info_every_letter_of_a_name_is_accepted),
        cmocka_unit_test(test_cell_info_unusable_name_is_refused),
        cmocka_unit_test(test_cell_info_name_of_limit_size_is_refused),
        cmocka_unit_test(test_cell_info_read_finds_the_section),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
