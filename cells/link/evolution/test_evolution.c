/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "diag.h"
#include "evolution.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

#define HEAD   "theoris-evolution 1\nbundle new.a " B "\n"
#define HEAD_0 "theoris-evolution 1\nbundle -\n"

static const char whole[] = HEAD "set 1\n"
                                 "add gong " B "\n"
                                 "set 2 after 1\n"
                                 "because imports gong_ring, which is new in gong\n"
                                 "replace bell " A " bell " B "\n"
                                 "transfer bell old_queue queue widen\n"
                                 "fresh bell ring.count\n"
                                 "inherit bell clapper\n"
                                 "replace rope " A " cord " B "\n"
                                 "set 3 after 1 2\n"
                                 "remove clapper " A "\n"
                                 "end\n";

/* The text as a block of exactly its size, for the sanitizer. */
static enum status open_text(const char *text, struct evolution *out, struct diag *diag)
{
    static char *block;
    free(block);
    size_t size = strlen(text);
    block = malloc(size + (size == 0));
    memcpy(block, text, size);
    return evolution_open(span_of(block, size), out, diag);
}

static void test_evolution_lines_are_read(void **state)
{
    (void)state;
    struct evolution evolution;
    assert_int_equal(open_text(whole, &evolution, NULL), OK);
    assert_string_equal(evolution.bundle, "new.a");
    assert_int_equal(evolution.bundle_hash.bytes[1], 0x23);
    assert_int_equal(evolution.set_count, 3);
    assert_int_equal(evolution.cell_count, 4);
    static const enum evolution_kind kinds[] = {
        EVOLUTION_SET,     EVOLUTION_ADD,      EVOLUTION_SET,    EVOLUTION_BECAUSE,
        EVOLUTION_REPLACE, EVOLUTION_TRANSFER, EVOLUTION_FRESH,  EVOLUTION_INHERIT,
        EVOLUTION_REPLACE, EVOLUTION_SET,      EVOLUTION_REMOVE,
    };
    struct evolution_cursor cursor = {0};
    struct evolution_line lines[ARRAY_COUNT(kinds) + 1];
    size_t count = 0;
    while (evolution_next(&evolution, &cursor, &lines[count])) {
        assert_in_range(count, 0, ARRAY_COUNT(kinds) - 1);
        assert_int_equal(lines[count].kind, kinds[count]);
        assert_int_equal(lines[count].number, count + 3);
        count++;
    }
    assert_int_equal(count, ARRAY_COUNT(kinds));
    assert_string_equal(lines[1].new_name, "gong");
    assert_string_equal(lines[1].old_name, "");
    assert_int_equal(lines[3].text.size, strlen("imports gong_ring, which is new in gong"));
    assert_string_equal(lines[5].old_variable, "old_queue");
    assert_string_equal(lines[5].new_variable, "queue");
    assert_string_equal(lines[5].function, "widen");
    assert_string_equal(lines[6].new_variable, "ring.count");
    assert_string_equal(lines[7].old_name, "clapper");
    assert_string_equal(lines[7].new_name, "bell");
    assert_string_equal(lines[8].old_name, "rope");
    assert_string_equal(lines[8].new_name, "cord");
    assert_int_equal(lines[8].old_hash.bytes[31], 0xaa);
    assert_int_equal(lines[8].new_hash.bytes[31], 0xef);
    assert_int_equal(lines[8].set, 2);
    assert_int_equal(lines[10].set, 3);
    uint32_t before;
    assert_false(evolution_next_before(&lines[0], &before));
    assert_true(evolution_next_before(&lines[9], &before));
    assert_int_equal(before, 1);
    assert_true(evolution_next_before(&lines[9], &before));
    assert_int_equal(before, 2);
    assert_false(evolution_next_before(&lines[9], &before));
}

static void test_evolution_that_changes_nothing_is_one(void **state)
{
    (void)state;
    struct evolution evolution;
    struct evolution_cursor cursor = {0};
    struct evolution_line line;
    assert_int_equal(open_text(HEAD_0 "end\n", &evolution, NULL), OK);
    assert_int_equal(evolution.set_count, 0);
    assert_string_equal(evolution.bundle, "");
    assert_false(evolution_next(&evolution, &cursor, &line));
}

static void test_evolution_bad_text_is_refused_by_line(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum diag_code code;
        const char *place;
        unsigned offset;
        const char *word;
    } rows[] = {
        {"", DIAG_EVOLUTION_FORMAT, "line 0", 0, ""},
        {"theoris-evolution 2\n", DIAG_EVOLUTION_FORMAT, "line 1", 0, "theoris-evolution 2"},
        {"theoris-evolution 1 \n", DIAG_EVOLUTION_FORMAT, "line 1", 0, "theoris-evolution 1 "},
        {"theoris-evolution 1", DIAG_EVOLUTION_END, "line 1", 0, ""},
        {"theoris-evolution 1\nset 1\n", DIAG_EVOLUTION_LINE, "line 2", 0, "set 1"},
        {"theoris-evolution 1\nbundle ../x " A "\n", DIAG_EVOLUTION_WORD, "line 2", 7, "../x"},
        {"theoris-evolution 1\nbundle .x " A "\n", DIAG_EVOLUTION_WORD, "line 2", 7, ".x"},
        {"theoris-evolution 1\nbundle x.a\n", DIAG_EVOLUTION_WORD, "line 2", 10, ""},
        {"theoris-evolution 1\nbundle x.a abc\n", DIAG_EVOLUTION_WORD, "line 2", 11, "abc"},
        {"theoris-evolution 1\nbundle - " A "\n", DIAG_EVOLUTION_LINE, "line 2", 9, NULL},
        {HEAD_0, DIAG_EVOLUTION_END, "line 2", 0, ""},
        {HEAD_0 "end", DIAG_EVOLUTION_END, "line 3", 0, "end"},
        {HEAD_0 "end\n\n", DIAG_EVOLUTION_END, "line 3", 0, "end"},
        {HEAD_0 "\nend\n", DIAG_EVOLUTION_LINE, "line 3", 0, ""},
        {HEAD_0 "swap 1\nend\n", DIAG_EVOLUTION_ORDER, "line 3", 0, "swap"},
        {HEAD_0 "set 2\nend\n", DIAG_EVOLUTION_ORDER, "line 3", 4, "2"},
        {HEAD_0 "set 01\nend\n", DIAG_EVOLUTION_WORD, "line 3", 0, "set 01"},
        {HEAD_0 "set 1\nend\n", DIAG_EVOLUTION_ORDER, "line 4", 0, "end"},
        {HEAD_0 "set 1\nset 2\nend\n", DIAG_EVOLUTION_ORDER, "line 4", 0, "set 2"},
        {HEAD_0 "set 1 after 1\nend\n", DIAG_EVOLUTION_ORDER, "line 3", 12, "1"},
        {HEAD_0 "set 1 before 1\nend\n", DIAG_EVOLUTION_LINE, "line 3", 6, "before"},
        {HEAD_0 "set 1 after\nend\n", DIAG_EVOLUTION_LINE, "line 3", 6, "after"},
        {HEAD_0 "set 1\nremove a " A "\nset 2 after x\nend\n", DIAG_EVOLUTION_WORD, "line 5", 12,
         "x"},
        {HEAD_0 "set 1\nremove a " A "\nset 2 after 1 1\nend\n", DIAG_EVOLUTION_ORDER, "line 5", 14,
         "1"},
        {HEAD_0 "set 1\nremove A " A "\nend\n", DIAG_EVOLUTION_WORD, "line 4", 7, "A"},
        {HEAD_0 "set 1\nremove  " A "\nend\n", DIAG_EVOLUTION_WORD, "line 4", 7, ""},
        {HEAD_0 "set 1\nremove a " A " \nend\n", DIAG_EVOLUTION_LINE, "line 4", 0, NULL},
        {HEAD_0 "set 1\nremove a " A " b\nend\n", DIAG_EVOLUTION_LINE, "line 4", 74, "b"},
        {HEAD_0 "set 1\nremove a\nend\n", DIAG_EVOLUTION_LINE, "line 4", 0, "remove a"},
        {HEAD_0 "set 1\nremove a " A "a\nend\n", DIAG_EVOLUTION_WORD, "line 4", 9, NULL},
        {HEAD_0 "set 1\nremove abcdefghijklmnopqrstuvwxyz_abcdefghijklm " A "\nend\n",
         DIAG_EVOLUTION_WORD, "line 4", 7, NULL},
        {HEAD_0 "set 1\nremove a\t" A "\nend\n", DIAG_EVOLUTION_LINE, "line 4", 0, ""},
        {HEAD_0 "set 1\nbecause\nend\n", DIAG_EVOLUTION_LINE, "line 4", 0, "because"},
        {HEAD_0 "set 1\ntake a\nend\n", DIAG_EVOLUTION_LINE, "line 4", 0, "take"},
        {HEAD_0 "because so\nend\n", DIAG_EVOLUTION_ORDER, "line 3", 0, "because"},
        {HEAD_0 "set 1\nadd a " A "\nend\n", DIAG_EVOLUTION_ORDER, "line 4", 0, NULL},
        {HEAD "set 1\nadd a " A "\nadd a " A "\nend\n", DIAG_EVOLUTION_TWICE, "line 5", 0, NULL},
        {HEAD "set 1\nreplace a " A " b " A "\nset 2\nremove a " A "\nend\n", DIAG_EVOLUTION_TWICE,
         "line 6", 0, NULL},
        {HEAD "set 1\nfresh a x\nadd a " A "\nend\n", DIAG_EVOLUTION_ORDER, "line 4", 0,
         "fresh a x"},
        {HEAD "set 1\nadd a " A "\nset 2\nfresh a x\nend\n", DIAG_EVOLUTION_ORDER, "line 6", 0,
         "fresh a x"},
        {HEAD "set 1\nadd a " A "\nadd b " A "\nfresh a x\nend\n", DIAG_EVOLUTION_ORDER, "line 6",
         0, "fresh a x"},
        {HEAD "set 1\nadd a " A "\ninherit b a\nend\n", DIAG_EVOLUTION_ORDER, "line 5", 0,
         "inherit b a"},
        {HEAD "set 1\nadd a " A "\ntransfer a x y\nend\n", DIAG_EVOLUTION_LINE, "line 5", 0,
         "transfer a x y"},
        {HEAD "set 1\nadd a " A "\ntransfer a x y z!\nend\n", DIAG_EVOLUTION_WORD, "line 5", 15,
         "z!"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct evolution evolution = {.set_count = 99};
        struct diag diag = {0};
        enum status status = open_text(rows[i].text, &evolution, &diag);
        if (status == OK || diag.code != rows[i].code || diag.offset != rows[i].offset ||
            strcmp(diag.section, rows[i].place) != 0 ||
            (rows[i].word && strcmp(diag.symbol, rows[i].word) != 0)) {
            fail_msg("row %zu: C%04u %s+%u `%s`", i, diag.code, diag.section, (unsigned)diag.offset,
                     diag.symbol);
        }
        assert_int_equal(status, diag.status);
        assert_string_equal(diag.cell, "evolution");
        assert_int_equal(evolution.set_count, 99);
    }
}

/* A set of `count` removals, each with `extra` lines of reasons behind it. */
static char *long_text(unsigned count, unsigned extra, unsigned width)
{
    size_t room = 256 + (size_t)count * (128 + (size_t)extra * (width + 16));
    char *text = malloc(room);
    size_t length = (size_t)sprintf(text, HEAD_0 "set 1\n");
    for (unsigned i = 0; i < count; i++) {
        length += (size_t)sprintf(text + length, "remove cell_%u " A "\n", i);
        for (unsigned k = 0; k < extra; k++) {
            length += (size_t)sprintf(text + length, "because %*s\n", (int)width, "x");
        }
    }
    sprintf(text + length, "end\n");
    return text;
}

static void test_evolution_limits_are_limits(void **state)
{
    (void)state;
    static const struct {
        unsigned count, extra, width;
        enum status status;
    } rows[] = {
        {EVOLUTION_MAX_CELLS, 0, 0, OK},     {EVOLUTION_MAX_CELLS + 1, 0, 0, ERR_LIMIT},
        {1, 1, EVOLUTION_MAX_LINE - 8, OK},  {1, 1, EVOLUTION_MAX_LINE - 7, ERR_LIMIT},
        {1, EVOLUTION_MAX_LINES - 5, 1, OK}, {1, EVOLUTION_MAX_LINES - 4, 1, ERR_LIMIT},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct evolution evolution;
        struct diag diag = {0};
        char *text = long_text(rows[i].count, rows[i].extra, rows[i].width);
        assert_int_equal(open_text(text, &evolution, &diag), rows[i].status);
        assert_int_equal(diag.code, rows[i].status ? DIAG_EVOLUTION_LIMIT : DIAG_NONE);
        free(text);
    }
    char *large = calloc(1, EVOLUTION_MAX_SIZE + 1);
    struct diag diag = {0};
    struct evolution evolution;
    assert_int_equal(evolution_open(span_of(large, EVOLUTION_MAX_SIZE + 1), &evolution, &diag),
                     ERR_LIMIT);
    free(large);
}

/* Each beginning of a good text is refused: nothing is carried out in part. */
static void test_evolution_that_was_cut_is_refused(void **state)
{
    (void)state;
    for (size_t size = 0; size < sizeof(whole) - 1; size++) {
        struct evolution evolution;
        struct diag diag = {0};
        char *part = malloc(size + 1);
        memcpy(part, whole, size);
        assert_int_not_equal(evolution_open(span_of(part, size), &evolution, &diag), OK);
        assert_int_not_equal(diag.code, DIAG_NONE);
        free(part);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_evolution_lines_are_read),
        cmocka_unit_test(test_evolution_that_changes_nothing_is_one),
        cmocka_unit_test(test_evolution_bad_text_is_refused_by_line),
        cmocka_unit_test(test_evolution_limits_are_limits),
        cmocka_unit_test(test_evolution_that_was_cut_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
