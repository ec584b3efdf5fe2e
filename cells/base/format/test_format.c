/* SPDX-License-Identifier: MIT */
#include "format.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Formats made at random are not literals, and texts are cut on purpose; GCC checks all others. */
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
#pragma GCC diagnostic ignored "-Wformat-truncation"
#pragma GCC diagnostic ignored "-Wformat-overflow"

#define RANDOM_ROUNDS 200000

/* Our text and that of the C library must be equal, whole and cut to 12 bytes. */
#define assert_like_printf(...)                                         \
    do {                                                                \
        char ours[9000];                                                \
        char theirs[sizeof(ours)];                                      \
        size_t length = format_into(ours, sizeof(ours), __VA_ARGS__);   \
        int expected = snprintf(theirs, sizeof(theirs), __VA_ARGS__);   \
        assert_string_equal(ours, theirs);                              \
        assert_int_equal(length, expected);                             \
        memset(ours, '~', 13);                                          \
        assert_int_equal(format_into(ours, 12, __VA_ARGS__), expected); \
        snprintf(theirs, 12, __VA_ARGS__);                              \
        assert_string_equal(ours, theirs);                              \
        assert_int_equal(ours[12], '~');                                \
    } while (0)

static uint64_t random_state = 88172645463325252u;

static uint64_t random_number(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Small, large and special values all come often. */
static uint64_t random_value(void)
{
    static const uint64_t special[] = {0,
                                       1,
                                       UINT64_MAX,
                                       INT64_MAX,
                                       (uint64_t)INT64_MIN,
                                       INT_MAX,
                                       UINT_MAX,
                                       (uint64_t)INT_MIN,
                                       8,
                                       10,
                                       16,
                                       127,
                                       128,
                                       255,
                                       256};
    uint64_t number = random_number();
    switch (random_number() % 3) {
    case 0:
        return special[number % ARRAY_COUNT(special)];
    case 1:
        return number >> (random_number() % 64);
    default:
        return 0 - (number >> (random_number() % 64));
    }
}

/* `%`, flags, width and precision, without a conversion; the returned end is not terminated. */
static char *random_prefix(char *at)
{
    *at++ = '%';
    for (const char *flag = "-0+ #"; *flag; flag++) {
        if (random_number() % 3 == 0) {
            *at++ = *flag;
        }
    }
    if (random_number() % 2) {
        at += sprintf(at, "%u", (unsigned)(random_number() % 40));
    }
    if (random_number() % 2) {
        at += sprintf(at, ".%u", (unsigned)(random_number() % 30));
    }
    return at;
}

static void test_format_random_numbers_equal_printf(void **state)
{
    (void)state;
    static const char *const lengths[] = {"hh", "h", "", "l", "ll", "z", "j", "t"};
    static const char kinds[] = "diuxXo";
    for (int i = 0; i < RANDOM_ROUNDS; i++) {
        char format[64] = "<";
        char *at = random_prefix(format + 1);
        size_t length = random_number() % ARRAY_COUNT(lengths);
        at += sprintf(at, "%s%c>", lengths[length], kinds[random_number() % 6]);
        uint64_t value = random_value();
        char ours[128];
        char theirs[128];
        size_t size = 1 + random_number() % sizeof(ours);
        size_t found;
        int expected;
        if (length < 3) {
            found = format_into(ours, size, format, (int)value);
            expected = snprintf(theirs, size, format, (int)value);
        } else {
            found = format_into(ours, size, format, (long)value);
            expected = snprintf(theirs, size, format, (long)value);
        }
        if (found != (size_t)expected || strcmp(ours, theirs) != 0) {
            fail_msg("%s of 0x%lx in %zu: '%s', expected '%s'", format, value, size, ours, theirs);
        }
    }
}

static void test_format_random_strings_equal_printf(void **state)
{
    (void)state;
    for (int i = 0; i < RANDOM_ROUNDS / 10; i++) {
        char format[64] = "<";
        char *at = random_prefix(format + 1);
        sprintf(at, "s|%s>", random_number() % 2 ? "%c" : "%-5c");
        char string[30];
        size_t length = random_number() % sizeof(string);
        memset(string, 'a', length);
        string[length] = '\0';
        char ours[128];
        char theirs[128];
        size_t size = 1 + random_number() % sizeof(ours);
        int byte = 'A' + (int)(random_number() % 26);
        size_t found = format_into(ours, size, format, string, byte);
        int expected = snprintf(theirs, size, format, string, byte);
        if (found != (size_t)expected || strcmp(ours, theirs) != 0) {
            fail_msg("%s of %s in %zu: '%s', expected '%s'", format, string, size, ours, theirs);
        }
    }
}

static void test_format_limits_of_types_equal_printf(void **state)
{
    (void)state;
    assert_like_printf("%d %d %d", INT_MIN, INT_MAX, 0);
    assert_like_printf("%ld %lu %lx", LONG_MIN, ULONG_MAX, ULONG_MAX);
    assert_like_printf("%lo %#lo %#o", ULONG_MAX, ULONG_MAX, 0u);
    assert_like_printf("%hhd %hd %hhu", (signed char)-128, (short)-32768, (unsigned char)255);
    assert_like_printf("%zu %jd %td", SIZE_MAX, INTMAX_MIN, PTRDIFF_MAX);
    assert_like_printf("%.0d|%.0x|%#.0o|%5.0d|%+.0d", 0, 0u, 0u, 0, 0);
    assert_like_printf("%#x %#X %#x %#08x %-#8x| %#.5x", 255u, 255u, 0u, 255u, 255u, 255u);
}

static void test_format_star_takes_width_and_precision_from_arguments(void **state)
{
    (void)state;
    assert_like_printf("<%*d>", 8, 42);
    assert_like_printf("<%*d>", -8, 42);
    assert_like_printf("<%0*d>", 8, -42);
    assert_like_printf("<%.*s>", 3, "abcdef");
    assert_like_printf("<%.*s>", -1, "abcdef");
    assert_like_printf("<%-*.*s>", 10, 2, "abcdef");
    assert_like_printf("<%.*d>", 0, 0);
}

static void test_format_string_with_precision_needs_no_terminator(void **state)
{
    (void)state;
    char *bytes = malloc(4);
    assert_non_null(bytes);
    memcpy(bytes, "abcd", 4);
    char text[16];
    format_into(text, sizeof(text), "%.4s", bytes);
    assert_string_equal(text, "abcd");
    free(bytes);
}

static void test_format_percent_and_text_are_copied(void **state)
{
    (void)state;
    assert_like_printf("100%% of it, %s.", "all");
    assert_like_printf("%s", "");
    char text[32];
    const char *empty = "";
    assert_int_equal(format_into(text, sizeof(text), empty), 0);
    assert_string_equal(text, "");
}

static void test_format_pointer_is_hexadecimal_and_null_is_zero(void **state)
{
    (void)state;
    char text[64];
    format_into(text, sizeof(text), "%p %p|%20p|", (void *)0xffffffff80100000u, NULL,
                (void *)0x10u);
    assert_string_equal(text, "0xffffffff80100000 0x0|                0x10|");
}

static void test_format_null_string_says_so(void **state)
{
    (void)state;
    char text[64];
    const char *volatile nothing = NULL;
    format_into(text, sizeof(text), "%s|%8s|%.2s", nothing, nothing, nothing);
    assert_string_equal(text, "(null)|  (null)|(n");
}

static void test_format_unknown_conversion_is_copied(void **state)
{
    (void)state;
    char text[64];
    const char *wrong = "%d %-5.2lq %y";
    format_into(text, sizeof(text), wrong, 7);
    assert_string_equal(text, "7 %-5.2lq %y");
    const char *unfinished = "abc%-08.3l";
    assert_int_equal(format_into(text, sizeof(text), unfinished), 10);
    assert_string_equal(text, "abc%-08.3l");
}

static void test_format_monstrous_width_is_cut(void **state)
{
    (void)state;
    assert_int_equal(format_into(NULL, 0, "%99999999999999999999d", 1), FORMAT_WIDTH_MAX);
    assert_int_equal(format_into(NULL, 0, "%*d", INT_MIN, 1), FORMAT_WIDTH_MAX);
    assert_int_equal(format_into(NULL, 0, "%.*d", INT_MAX, 1), FORMAT_WIDTH_MAX);
}

static void test_format_size_zero_and_one_write_no_text(void **state)
{
    (void)state;
    char byte = 'x';
    assert_int_equal(format_into(&byte, 0, "%d", 12345), 5);
    assert_int_equal(byte, 'x');
    assert_int_equal(format_into(&byte, 1, "%d", 12345), 5);
    assert_int_equal(byte, '\0');
}

static void test_format_append_continues_and_counts_what_was_cut(void **state)
{
    (void)state;
    char data[10];
    struct format_buffer text = format_buffer_of(data, sizeof(data));
    assert_string_equal(data, "");
    format_append(&text, "%s-", "abc");
    format_append(&text, "%d", 42);
    assert_string_equal(data, "abc-42");
    assert_false(format_was_cut(&text));
    assert_int_equal(format_held(&text), 6);
    format_append_bytes(&text, "XYZ", 3);
    assert_false(format_was_cut(&text));
    format_append(&text, "%6d", 7);
    assert_string_equal(data, "abc-42XYZ");
    assert_true(format_was_cut(&text));
    assert_int_equal(text.length, 15);
    assert_int_equal(format_held(&text), 9);
    format_append_bytes(&text, "more", 4);
    assert_string_equal(data, "abc-42XYZ");
    assert_int_equal(text.length, 19);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format_random_numbers_equal_printf),
        cmocka_unit_test(test_format_random_strings_equal_printf),
        cmocka_unit_test(test_format_limits_of_types_equal_printf),
        cmocka_unit_test(test_format_star_takes_width_and_precision_from_arguments),
        cmocka_unit_test(test_format_string_with_precision_needs_no_terminator),
        cmocka_unit_test(test_format_percent_and_text_are_copied),
        cmocka_unit_test(test_format_pointer_is_hexadecimal_and_null_is_zero),
        cmocka_unit_test(test_format_null_string_says_so),
        cmocka_unit_test(test_format_unknown_conversion_is_copied),
        cmocka_unit_test(test_format_monstrous_width_is_cut),
        cmocka_unit_test(test_format_size_zero_and_one_write_no_text),
        cmocka_unit_test(test_format_append_continues_and_counts_what_was_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
