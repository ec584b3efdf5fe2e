/* SPDX-License-Identifier: MIT */
#include "console_recorder.h"
#include "logger.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct console_recorder console;

/* The ring is one for all tests; each starts behind what is there. */
static struct logger_cursor skip_all(void)
{
    struct logger_cursor cursor = {0};
    struct logger_record record;
    while (logger_next(&cursor, &record)) {
    }
    console_recorder_clear(&console);
    return cursor;
}

static int reset(void **state)
{
    (void)state;
    logger_set_levels(LOG_DEBUG, LOG_INFO);
    return 0;
}

static void test_logger_message_is_kept_with_its_values(void **state)
{
    (void)state;
    struct logger_cursor cursor = skip_all();
    log_info("loaded %d cells", 7);
    log_error("no\nline\nends");
    struct logger_record first;
    struct logger_record second;
    struct logger_record none;
    assert_true(logger_next(&cursor, &first));
    assert_true(logger_next(&cursor, &second));
    assert_false(logger_next(&cursor, &none));
    assert_string_equal(first.text, "loaded 7 cells");
    assert_string_equal(first.cell, "logger");
    assert_int_equal(first.level, LOG_INFO);
    assert_false(first.cut);
    assert_string_equal(second.text, "no line ends");
    assert_int_equal(second.level, LOG_ERROR);
    assert_true(second.ticks >= first.ticks);
    log_debug("later");
    assert_true(logger_next(&cursor, &none));
    assert_string_equal(none.text, "later");
}

static void test_logger_levels_decide_what_is_kept_and_printed(void **state)
{
    (void)state;
    struct logger_cursor cursor = skip_all();
    struct logger_record record;
    log_debug("kept only");
    assert_string_equal(console.text, "");
    log_warning("both");
    assert_non_null(strstr(console.text, "] warning logger: both\n"));
    logger_set_levels(LOG_ERROR, LOG_DEBUG);
    log_debug("printed only");
    assert_non_null(strstr(console.text, "] debug   logger: printed only\n"));
    logger_set_levels(LOG_WARNING, LOG_WARNING);
    log_info("neither");
    assert_null(strstr(console.text, "neither"));
    assert_true(logger_next(&cursor, &record));
    assert_string_equal(record.text, "kept only");
    assert_true(logger_next(&cursor, &record));
    assert_string_equal(record.text, "both");
    assert_false(logger_next(&cursor, &record));
}

static void test_logger_long_message_is_cut_and_says_so(void **state)
{
    (void)state;
    struct logger_cursor cursor = skip_all();
    struct logger_record record;
    char cell[200];
    memset(cell, 'c', sizeof(cell) - 1);
    cell[sizeof(cell) - 1] = '\0';
    logger_write(LOG_INFO, cell, "%*d", (int)LOGGER_TEXT_MAX, 1);
    logger_write(LOG_INFO, cell, "%*d", (int)LOGGER_TEXT_MAX + 1, 1);
    assert_true(logger_next(&cursor, &record));
    assert_false(record.cut);
    assert_int_equal(strlen(record.text), LOGGER_TEXT_MAX);
    assert_int_equal(strlen(record.cell), LOGGER_CELL_MAX);
    assert_true(logger_next(&cursor, &record));
    assert_true(record.cut);
    assert_int_equal(strlen(record.text), LOGGER_TEXT_MAX);
    assert_non_null(strstr(console.text, " ...[cut]\n"));
}

static void test_logger_full_ring_forgets_the_oldest_only(void **state)
{
    (void)state;
    logger_set_levels(LOG_DEBUG, LOG_ERROR);
    skip_all();
    const unsigned total = 20000;
    for (unsigned i = 0; i < total; i++) {
        log_info("%u %.*s", i, (int)(i * 7 % (LOGGER_TEXT_MAX - 10)),
                 "........................................................................"
                 "........................................................................"
                 "........................................................................"
                 "........................................................................");
    }
    struct logger_cursor cursor = {0};
    struct logger_record record;
    unsigned count = 0;
    unsigned expected = 0;
    while (logger_next(&cursor, &record)) {
        unsigned number = (unsigned)strtoul(record.text, NULL, 10);
        assert_int_equal(number, count ? expected : number);
        size_t digits = (size_t)snprintf(NULL, 0, "%u ", number);
        assert_int_equal(strlen(record.text), digits + number * 7 % (LOGGER_TEXT_MAX - 10));
        expected = number + 1;
        count++;
    }
    assert_int_equal(expected, total);
    /* a record is at most one header, a name, a text and padding: so many must be left */
    assert_in_range(count, LOGGER_RING_SIZE / (16 + 6 + LOGGER_TEXT_MAX + 16) - 2, total);
    struct logger_statistics statistics = logger_statistics();
    assert_int_equal(statistics.written - statistics.forgotten, count);
    assert_int_equal(statistics.not_kept, 0);
}

static void test_logger_overtaken_reader_goes_on_with_the_oldest(void **state)
{
    (void)state;
    logger_set_levels(LOG_DEBUG, LOG_ERROR);
    struct logger_cursor slow = skip_all();
    log_info("the first");
    for (int i = 0; i < 5000; i++) {
        log_info("message %d", i);
    }
    struct logger_cursor fresh = {0};
    struct logger_record of_slow;
    struct logger_record of_fresh;
    assert_true(logger_next(&slow, &of_slow));
    assert_true(logger_next(&fresh, &of_fresh));
    assert_string_equal(of_slow.text, of_fresh.text);
    assert_int_equal(of_slow.level, LOG_INFO);
    assert_string_not_equal(of_slow.text, "the first");
}

static void *write_many(void *argument)
{
    (void)argument;
    for (int i = 0; i < 50000; i++) {
        log_info("%d", i);
    }
    return NULL;
}

static void test_logger_two_writers_at_once_lose_nothing(void **state)
{
    (void)state;
    logger_set_levels(LOG_DEBUG, LOG_ERROR);
    struct logger_statistics before = logger_statistics();
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, write_many, NULL), 0);
    write_many(NULL);
    assert_int_equal(pthread_join(other, NULL), 0);
    struct logger_statistics after = logger_statistics();
    uint64_t kept = after.written - before.written;
    assert_int_equal(kept, 100000);
    assert_int_equal(after.not_kept, before.not_kept);
    struct logger_cursor cursor = {0};
    struct logger_record record;
    while (logger_next(&cursor, &record)) {
        assert_string_equal(record.cell, "logger");
        assert_in_range(strlen(record.text), 1, 5);
    }
}

static void test_logger_level_names_are_found(void **state)
{
    (void)state;
    enum log_level level = LOG_ERROR;
    assert_true(logger_level_find("debug", &level));
    assert_int_equal(level, LOG_DEBUG);
    assert_true(logger_level_find("w", &level));
    assert_int_equal(level, LOG_WARNING);
    assert_false(logger_level_find("", &level));
    assert_false(logger_level_find("inf", &level));
    assert_int_equal(level, LOG_WARNING);
    assert_string_equal(logger_level_name(LOG_INFO), "info");
    assert_string_equal(logger_level_name((enum log_level)9), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_logger_message_is_kept_with_its_values, reset),
        cmocka_unit_test_setup(test_logger_levels_decide_what_is_kept_and_printed, reset),
        cmocka_unit_test_setup(test_logger_long_message_is_cut_and_says_so, reset),
        cmocka_unit_test_setup(test_logger_full_ring_forgets_the_oldest_only, reset),
        cmocka_unit_test_setup(test_logger_overtaken_reader_goes_on_with_the_oldest, reset),
        cmocka_unit_test_setup(test_logger_two_writers_at_once_lose_nothing, reset),
        cmocka_unit_test(test_logger_level_names_are_found),
    };
    console_recorder_start(&console);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
