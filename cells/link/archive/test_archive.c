/* SPDX-License-Identifier: MIT */
/* Archives are written here byte by byte; each test changes one thing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive.h"
#include "diag.h"

static uint8_t bytes[4096];
static size_t size;

static void put(const void *from, size_t length)
{
    assert_true(size + length <= sizeof(bytes));
    memcpy(bytes + size, from, length);
    size += length;
}

static uint64_t put_header(const char *name, const char *length)
{
    char header[128];
    uint64_t offset = size;
    snprintf(header, sizeof(header), "%-16s%-12s%-6s%-6s%-8s%-10s`\n", name, "0", "0", "0", "644",
             length);
    put(header, 60);
    return offset;
}

static uint64_t put_member(const char *name, const void *data, size_t length)
{
    char number[16];
    snprintf(number, sizeof(number), "%zu", length);
    uint64_t offset = put_header(name, number);
    put(data, length);
    if (length % 2) {
        put("\n", 1);
    }
    return offset;
}

static void start(void)
{
    size = 0;
    memset(bytes, 0, sizeof(bytes));
    put("!<arch>\n", 8);
}

#define LONG_NAME "a_cell_with_a_rather_long_name.cell"

/* Index (alpha -> first, beta and gamma -> second), long names, two members. Member offsets: */
#define INDEX_AT  8u
#define NAMES_AT  (INDEX_AT + 60 + 34)
#define FIRST_AT  (NAMES_AT + 60 + 38)
#define SECOND_AT (FIRST_AT + 60 + 6)

static void make_valid(void)
{
    static const char index[] = "\0\0\0\3"
                                "\0\0\0\310"
                                "\0\0\1\12"
                                "\0\0\1\12"
                                "alpha\0beta\0gamma";
    start();
    assert_int_equal(put_member("/", index, sizeof(index)), INDEX_AT);
    assert_int_equal(put_member("//", LONG_NAME "/\n", sizeof(LONG_NAME "/\n") - 1), NAMES_AT);
    assert_int_equal(put_member("first.cell/", "12345", 5), FIRST_AT);
    assert_int_equal(put_member("/0", "6789", 4), SECOND_AT);
    assert_int_equal(FIRST_AT, 0310);
    assert_int_equal(SECOND_AT, 0412);
}

/* A heap copy of exactly the size, so that the sanitizer sees every read beyond it. */
static struct span copy(void)
{
    uint8_t *block = malloc(size ? size : 1);
    memcpy(block, bytes, size);
    return span_of(block, size);
}

static void expect_refusal(enum diag_code code, const char *cell, uint64_t offset,
                           uint64_t expected, uint64_t found)
{
    struct span file = copy();
    struct archive archive;
    struct diag diag = {.code = DIAG_NONE};
    memset(&archive, 0xee, sizeof(archive));
    enum status status = archive_open(file, &archive, &diag);
    assert_int_equal(diag.code, code);
    assert_int_equal(status, diag.status);
    assert_string_equal(diag.cell, cell);
    assert_string_equal(diag.section, "");
    assert_int_equal(diag.offset, offset);
    assert_int_equal(diag.expected, expected);
    assert_int_equal(diag.found, found);
    assert_int_equal(archive.file.size, 0xeeeeeeeeeeeeeeee); /* written only on success */
    free((void *)file.base);
}

static void test_archive_valid_yields_members_and_symbols(void **state)
{
    (void)state;
    make_valid();
    struct span file = copy();
    struct archive archive;
    struct diag diag;
    assert_int_equal(archive_open(file, &archive, &diag), OK);
    assert_int_equal(archive_index_count(&archive), 3);
    assert_int_equal(archive.first_member, FIRST_AT);

    struct archive_member member;
    assert_int_equal(archive_member_at(&archive, archive.first_member, &member, &diag), OK);
    assert_string_equal(member.name, "first.cell");
    assert_int_equal(member.data.size, 5);
    assert_memory_equal(member.data.base, "12345", 5);
    assert_int_equal(member.offset, FIRST_AT);
    assert_int_equal(member.next, SECOND_AT);
    assert_int_equal(archive_member_at(&archive, member.next, &member, &diag), OK);
    assert_string_equal(member.name, LONG_NAME);
    assert_memory_equal(member.data.base, "6789", 4);
    assert_int_equal(archive_member_at(&archive, member.next, &member, &diag), ERR_NOT_FOUND);

    static const char *const symbols[] = {"alpha", "beta", "gamma"};
    static const uint64_t offsets[] = {FIRST_AT, SECOND_AT, SECOND_AT};
    struct archive_cursor cursor = {0};
    const char *symbol;
    uint64_t offset;
    for (int i = 0; i < 3; i++) {
        assert_true(archive_index_next(&archive, &cursor, &symbol, &offset));
        assert_string_equal(symbol, symbols[i]);
        assert_int_equal(offset, offsets[i]);
    }
    assert_false(archive_index_next(&archive, &cursor, &symbol, &offset));
    free((void *)file.base);
}

static void test_archive_open_needs_no_diag(void **state)
{
    (void)state;
    struct archive archive;
    assert_int_equal(archive_open(span_of(NULL, 0), &archive, NULL), ERR_BAD_MAGIC);
}

#define MAGIC_NUMBER 0x0a3e686372613c21ull /* "!<arch>\n" */

static void test_archive_wrong_magic_is_refused(void **state)
{
    (void)state;
    make_valid();
    bytes[1] = '>';
    expect_refusal(DIAG_ARCHIVE_MAGIC, "", 0, MAGIC_NUMBER, 0x0a3e686372613e21);
    size = 3;
    expect_refusal(DIAG_ARCHIVE_MAGIC, "", 0, MAGIC_NUMBER, 0x613e21);
    size = 0;
    expect_refusal(DIAG_ARCHIVE_MAGIC, "", 0, MAGIC_NUMBER, 0);
}

static void test_archive_thin_is_refused(void **state)
{
    (void)state;
    make_valid();
    memcpy(bytes, "!<thin>\n", 8);
    expect_refusal(DIAG_ARCHIVE_MAGIC, "", 0, MAGIC_NUMBER, 0x0a3e6e6968743c21);
}

static void test_archive_without_index_is_refused(void **state)
{
    (void)state;
    start();
    expect_refusal(DIAG_ARCHIVE_INDEX, "", 8, 1, 0);
    put_member("only.cell/", "12", 2);
    expect_refusal(DIAG_ARCHIVE_INDEX, "", 8, 1, 0);
}

static void test_archive_index_of_64_bits_is_refused(void **state)
{
    (void)state;
    start();
    put_member("/SYM64/", "\0\0\0\0\0\0\0\0", 8);
    expect_refusal(DIAG_ARCHIVE_NAME, "", 8, 0, 0);
}

static void test_archive_index_too_short_is_refused(void **state)
{
    (void)state;
    static const char *const contents[] = {"", "\0\0\1", "\0\0\0\1\0\0\0", "\377\377\377\377abcd"};
    static const size_t sizes[] = {0, 3, 7, 8};
    static const uint64_t expected[] = {4, 4, 8, 4 + 4 * 0xffffffffull};
    for (int i = 0; i < 4; i++) {
        start();
        put_member("/", contents[i], sizes[i]);
        expect_refusal(DIAG_ARCHIVE_INDEX, "/", 8, expected[i], sizes[i]);
    }
}

static void test_archive_index_with_too_few_names_is_refused(void **state)
{
    (void)state;
    start();
    put_member("/", "\0\0\0\2\0\0\0\0\0\0\0\0one\0two", 19); /* "two" has no NUL */
    expect_refusal(DIAG_ARCHIVE_INDEX, "/", 8, 2, 1);
}

static void test_archive_empty_index_is_accepted(void **state)
{
    (void)state;
    start();
    put_member("/", "\0\0\0\0", 4);
    struct span file = copy();
    struct archive archive;
    assert_int_equal(archive_open(file, &archive, NULL), OK);
    assert_int_equal(archive_index_count(&archive), 0);
    struct archive_member member;
    assert_int_equal(archive_member_at(&archive, archive.first_member, &member, NULL),
                     ERR_NOT_FOUND);
    free((void *)file.base);
}

static void test_archive_damage_in_front_of_the_index_is_refused(void **state)
{
    (void)state;
    make_valid();
    bytes[INDEX_AT + 58] = 'x'; /* the end of the header */
    expect_refusal(DIAG_ARCHIVE_HEADER, "", INDEX_AT, 0, 0);
    make_valid();
    size = INDEX_AT + 59;
    expect_refusal(DIAG_ARCHIVE_TRUNCATED, "", INDEX_AT, 60, 59);
    make_valid();
    size = INDEX_AT + 60 + 32;
    expect_refusal(DIAG_ARCHIVE_TRUNCATED, "/", INDEX_AT, 33, 32);
}

/* Opens an archive whose second member was damaged, and reads that. */
static enum status read_second(struct archive_member *member, struct diag *diag)
{
    struct span file = copy();
    struct archive archive;
    *diag = (struct diag){.code = DIAG_NONE};
    assert_int_equal(archive_open(file, &archive, diag), OK); /* what precedes it is usable */
    assert_int_equal(diag->code, DIAG_NONE);
    assert_int_equal(archive_member_at(&archive, FIRST_AT, member, diag), OK);
    *diag = (struct diag){.code = DIAG_NONE};
    enum status status = archive_member_at(&archive, SECOND_AT, member, diag);
    free((void *)file.base);
    return status;
}

static void test_archive_damaged_member_is_reported_when_it_is_read(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        char value;
        enum diag_code code;
    } table[] = {
        {58, 'x', DIAG_ARCHIVE_HEADER},
        {59, ' ', DIAG_ARCHIVE_HEADER},
        {48, '-', DIAG_ARCHIVE_HEADER},
        {48, ' ', DIAG_ARCHIVE_HEADER},
        {49, 'x', DIAG_ARCHIVE_HEADER},
        {57, '1', DIAG_ARCHIVE_HEADER}, /* "4        1" */
        {1, 'x', DIAG_ARCHIVE_NAME},
        {2, 'x', DIAG_ARCHIVE_NAME},
        {0, '9', DIAG_NONE}, /* a short name */
    };
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        struct archive_member member;
        struct diag diag;
        make_valid();
        bytes[SECOND_AT + table[i].at] = (uint8_t)table[i].value;
        enum status status = read_second(&member, &diag);
        assert_int_equal(diag.code, table[i].code);
        assert_int_equal(status, diag.status);
        assert_int_equal(diag.offset, table[i].code ? SECOND_AT : 0);
        assert_string_equal(diag.cell, "");
    }
}

static void test_archive_truncated_member_is_named(void **state)
{
    (void)state;
    struct archive_member member;
    struct diag diag;
    make_valid();
    size -= 1;
    assert_int_equal(read_second(&member, &diag), ERR_TRUNCATED);
    assert_int_equal(diag.code, DIAG_ARCHIVE_TRUNCATED);
    assert_string_equal(diag.cell, LONG_NAME);
    assert_int_equal(diag.offset, SECOND_AT);
    assert_int_equal(diag.expected, 4);
    assert_int_equal(diag.found, 3);
    size = SECOND_AT + 1;
    assert_int_equal(read_second(&member, &diag), ERR_TRUNCATED);
    assert_int_equal(diag.offset, SECOND_AT);
    assert_int_equal(diag.expected, 60);
    assert_int_equal(diag.found, 1);
}

static void test_archive_size_beyond_all_bounds_is_refused(void **state)
{
    (void)state;
    struct archive_member member;
    struct diag diag;
    make_valid();
    memcpy(bytes + SECOND_AT + 48, "9999999999", 10);
    assert_int_equal(read_second(&member, &diag), ERR_TRUNCATED);
    assert_int_equal(diag.expected, 9999999999);
    assert_int_equal(diag.found, 4);
}

static void test_archive_long_name_must_end_in_its_table(void **state)
{
    (void)state;
    struct archive_member member;
    struct diag diag;
    make_valid();
    memset(bytes + NAMES_AT + 60, 'n', 38); /* neither '/' nor newline */
    assert_int_equal(read_second(&member, &diag), ERR_BAD_FORMAT);
    assert_int_equal(diag.code, DIAG_ARCHIVE_NAME);
    make_valid();
    bytes[NAMES_AT + 60] = '/'; /* an empty name */
    assert_int_equal(read_second(&member, &diag), ERR_BAD_FORMAT);
    assert_int_equal(diag.code, DIAG_ARCHIVE_NAME);
    make_valid();
    memcpy(bytes + SECOND_AT, "/37", 3); /* the table has 37 bytes */
    assert_int_equal(read_second(&member, &diag), ERR_BAD_FORMAT);
    assert_int_equal(diag.code, DIAG_ARCHIVE_NAME);
    make_valid();
    memcpy(bytes + SECOND_AT, "/999999999999999", 16);
    assert_int_equal(read_second(&member, &diag), ERR_BAD_FORMAT);
    assert_int_equal(diag.code, DIAG_ARCHIVE_NAME);
}

static void test_archive_long_names_start_at_their_offsets(void **state)
{
    (void)state;
    struct archive archive;
    struct archive_member member;
    start();
    put_member("/", "\0\0\0\0", 4);
    put_member("//", "the_first_long_name/\nthe_second_one/\n", 37);
    uint64_t at = put_member("/21", "12", 2);
    struct span file = copy();
    assert_int_equal(archive_open(file, &archive, NULL), OK);
    assert_int_equal(archive.first_member, at);
    assert_int_equal(archive_member_at(&archive, at, &member, NULL), OK);
    assert_string_equal(member.name, "the_second_one");
    free((void *)file.base);
}

static void test_archive_name_of_limit_size_is_refused(void **state)
{
    (void)state;
    char names[ARCHIVE_NAME_SIZE + 2];
    for (size_t length = ARCHIVE_NAME_SIZE - 1; length <= ARCHIVE_NAME_SIZE; length++) {
        start();
        put_member("/", "\0\0\0\0", 4);
        memset(names, 'n', length);
        memcpy(names + length, "/\n", 2);
        put_member("//", names, length + 2);
        put_member("/0", "12", 2);
        struct span file = copy();
        struct archive archive;
        struct archive_member member;
        assert_int_equal(archive_open(file, &archive, NULL), OK);
        enum status status = archive_member_at(&archive, archive.first_member, &member, NULL);
        assert_int_equal(status, length < ARCHIVE_NAME_SIZE ? OK : ERR_BAD_FORMAT);
        free((void *)file.base);
    }
}

static void test_archive_last_member_of_odd_size_needs_no_padding(void **state)
{
    (void)state;
    start();
    put_member("/", "\0\0\0\0", 4);
    put_member("odd.cell/", "123", 3);
    size--; /* the padding */
    struct span file = copy();
    struct archive archive;
    struct archive_member member;
    assert_int_equal(archive_open(file, &archive, NULL), OK);
    assert_int_equal(archive_member_at(&archive, archive.first_member, &member, NULL), OK);
    assert_int_equal(member.data.size, 3);
    assert_int_equal(archive_member_at(&archive, member.next, &member, NULL), ERR_NOT_FOUND);
    free((void *)file.base);
}

static void test_archive_member_offset_near_the_end_of_all_numbers_is_absent(void **state)
{
    (void)state;
    make_valid();
    struct span file = copy();
    struct archive archive;
    struct archive_member member;
    assert_int_equal(archive_open(file, &archive, NULL), OK);
    assert_int_equal(archive_member_at(&archive, UINT64_MAX, &member, NULL), ERR_NOT_FOUND);
    assert_int_equal(archive_member_at(&archive, UINT64_MAX - 59, &member, NULL), ERR_NOT_FOUND);
    free((void *)file.base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_archive_valid_yields_members_and_symbols),
        cmocka_unit_test(test_archive_open_needs_no_diag),
        cmocka_unit_test(test_archive_wrong_magic_is_refused),
        cmocka_unit_test(test_archive_thin_is_refused),
        cmocka_unit_test(test_archive_without_index_is_refused),
        cmocka_unit_test(test_archive_index_of_64_bits_is_refused),
        cmocka_unit_test(test_archive_index_too_short_is_refused),
        cmocka_unit_test(test_archive_index_with_too_few_names_is_refused),
        cmocka_unit_test(test_archive_empty_index_is_accepted),
        cmocka_unit_test(test_archive_damage_in_front_of_the_index_is_refused),
        cmocka_unit_test(test_archive_damaged_member_is_reported_when_it_is_read),
        cmocka_unit_test(test_archive_truncated_member_is_named),
        cmocka_unit_test(test_archive_size_beyond_all_bounds_is_refused),
        cmocka_unit_test(test_archive_long_name_must_end_in_its_table),
        cmocka_unit_test(test_archive_long_names_start_at_their_offsets),
        cmocka_unit_test(test_archive_name_of_limit_size_is_refused),
        cmocka_unit_test(test_archive_last_member_of_odd_size_needs_no_padding),
        cmocka_unit_test(test_archive_member_offset_near_the_end_of_all_numbers_is_absent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
