/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "diag.h"

static const struct {
    enum diag_code code;
    int number;
    enum status status;
    const char *rule;
} table[] = {
#define ROW(name, number, status, text) {DIAG_##name, number, status, text},
    DIAG_TABLE(ROW)
#undef ROW
};

static void test_diag_set_fills_every_field(void **state)
{
    (void)state;
    struct diag diag;
    memset(&diag, 0xee, sizeof(diag));
    enum status status = diag_set(&diag, DIAG_LINK_OVERFLOW,
                                  &(struct diag_site){
                                      .cell = "hello",
                                      .section = ".text.hello_main",
                                      .symbol = "R_X86_64_32 printer",
                                      .offset = 0x1c,
                                      .expected = 0xffffffff,
                                      .found = 0x123456789,
                                  });
    assert_int_equal(status, ERR_OVERFLOW);
    assert_int_equal(diag.code, DIAG_LINK_OVERFLOW);
    assert_int_equal(diag.status, ERR_OVERFLOW);
    assert_string_equal(diag.cell, "hello");
    assert_string_equal(diag.section, ".text.hello_main");
    assert_string_equal(diag.symbol, "R_X86_64_32 printer");
    assert_int_equal(diag.offset, 0x1c);
    assert_int_equal(diag.expected, 0xffffffff);
    assert_int_equal(diag.found, 0x123456789);
}

static void test_diag_set_without_names_leaves_them_empty(void **state)
{
    (void)state;
    struct diag diag;
    memset(&diag, 0xee, sizeof(diag));
    assert_int_equal(diag_set(&diag, DIAG_ELF_MAGIC, &(struct diag_site){0}), ERR_BAD_MAGIC);
    assert_string_equal(diag.cell, "");
    assert_string_equal(diag.section, "");
    assert_string_equal(diag.symbol, "");
    assert_int_equal(diag.offset, 0);
}

static void test_diag_set_without_diag_returns_the_status(void **state)
{
    (void)state;
    assert_int_equal(diag_set(NULL, DIAG_ELF_TRUNCATED, &(struct diag_site){0}), ERR_TRUNCATED);
    diag_name_cell(NULL, "hello");
}

static void test_diag_codes_have_status_and_rule_of_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        assert_int_equal(diag_set(NULL, table[i].code, &(struct diag_site){0}), table[i].status);
        assert_string_equal(diag_rule(table[i].code), table[i].rule);
        assert_true(table[i].status < 0);
        assert_true(i == 0 || table[i].number > table[i - 1].number);
    }
    assert_string_equal(diag_rule(DIAG_NONE), "no error");
    assert_int_equal(diag_set(NULL, DIAG_NONE, &(struct diag_site){0}), OK);
}

static void test_diag_unknown_code_is_an_error_all_the_same(void **state)
{
    (void)state;
    struct diag diag;
    assert_string_equal(diag_rule((enum diag_code)999), "unknown error");
    assert_int_equal(diag_set(&diag, (enum diag_code)999, &(struct diag_site){0}), ERR_FAILED);
}

static void test_diag_names_too_long_are_cut_and_terminated(void **state)
{
    (void)state;
    char longer[200];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    struct diag diag;
    memset(&diag, 0xee, sizeof(diag));
    (void)diag_set(&diag, DIAG_ELF_NAME,
                   &(struct diag_site){.cell = longer, .section = longer, .symbol = longer});
    assert_int_equal(strlen(diag.cell), DIAG_CELL_SIZE - 1);
    assert_int_equal(strlen(diag.section), DIAG_SECTION_SIZE - 1);
    assert_int_equal(strlen(diag.symbol), DIAG_SYMBOL_SIZE - 1);
    longer[DIAG_CELL_SIZE - 1] = '\0'; /* the longest that is not cut */
    (void)diag_set(&diag, DIAG_ELF_NAME, &(struct diag_site){.cell = longer});
    assert_string_equal(diag.cell, longer);
}

static void test_diag_name_cell_keeps_the_first_name(void **state)
{
    (void)state;
    struct diag diag;
    (void)diag_set(&diag, DIAG_ELF_MAGIC, &(struct diag_site){0});
    diag_name_cell(&diag, "first");
    diag_name_cell(&diag, "second");
    assert_string_equal(diag.cell, "first");
}

static const char *line_of(enum diag_code code, const struct diag_site *site)
{
    static char line[400];
    struct diag diag;
    (void)diag_set(&diag, code, site);
    size_t length = diag_format(&diag, line, sizeof(line));
    assert_int_equal(length, strlen(line));
    return line;
}

static void test_diag_format_says_what_is_known(void **state)
{
    (void)state;
    assert_string_equal(line_of(DIAG_LINK_OVERFLOW, &(struct diag_site){.cell = "hello",
                                                                        .section = ".text.main",
                                                                        .symbol = "R_X86_64_32 x",
                                                                        .offset = 0x1c,
                                                                        .expected = 0xffffffff,
                                                                        .found = 0x1000000ff}),
                        "C0204 hello:.text.main+0x1c: relocated value does not fit its field: "
                        "R_X86_64_32 x (expected 0xffffffff, found 0x1000000ff)");
    assert_string_equal(line_of(DIAG_LINK_MISSING_SYMBOL,
                                &(struct diag_site){.cell = "hello", .symbol = "printer"}),
                        "C0205 hello: symbol is not defined by any cell: printer");
    assert_string_equal(line_of(DIAG_ELF_TLS, &(struct diag_site){.section = ".tdata"}),
                        "C0126 ?:.tdata+0x0: thread-local storage");
    assert_string_equal(line_of(DIAG_ARCHIVE_ABSENT, &(struct diag_site){0}),
                        "C0306: there is no archive of cells");
    assert_string_equal(line_of(DIAG_ELF_LIMIT, &(struct diag_site){.found = UINT64_MAX}),
                        "C0130: object exceeds a limit of the format (expected 0x0, found "
                        "0xffffffffffffffff)");
}

static void test_diag_format_buffer_too_small_is_terminated(void **state)
{
    (void)state;
    struct diag diag;
    (void)diag_set(&diag, DIAG_ARCHIVE_ABSENT, &(struct diag_site){0});
    char line[8];
    memset(line, 'x', sizeof(line));
    size_t length = diag_format(&diag, line, sizeof(line));
    assert_int_equal(length, strlen("C0306: there is no archive of cells"));
    assert_string_equal(line, "C0306: ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_diag_set_fills_every_field),
        cmocka_unit_test(test_diag_set_without_names_leaves_them_empty),
        cmocka_unit_test(test_diag_set_without_diag_returns_the_status),
        cmocka_unit_test(test_diag_codes_have_status_and_rule_of_the_table),
        cmocka_unit_test(test_diag_unknown_code_is_an_error_all_the_same),
        cmocka_unit_test(test_diag_names_too_long_are_cut_and_terminated),
        cmocka_unit_test(test_diag_name_cell_keeps_the_first_name),
        cmocka_unit_test(test_diag_format_says_what_is_known),
        cmocka_unit_test(test_diag_format_buffer_too_small_is_terminated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
