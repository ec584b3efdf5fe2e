/* SPDX-License-Identifier: MIT */
#include "freestanding_hosted.h"
#include "freestanding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <sys/mman.h>

/* Around BULK_SIZE, and around every power of two below it. */
#define LARGEST 300
#define MARGIN  16

static uint32_t random_state = 12345;

static uint32_t random_number(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return random_state >> 8;
}

static void fill_randomly(uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)random_number();
    }
}

static void assert_same(const uint8_t *found, const uint8_t *expected, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (found[i] != expected[i]) {
            fail_msg("byte %zu is %02x, expected %02x", i, found[i], expected[i]);
        }
    }
}

static void test_memcpy_all_sizes_and_offsets_copies_exactly_that(void **state)
{
    (void)state;
    uint8_t source[LARGEST + MARGIN];
    uint8_t target[LARGEST + 2 * MARGIN];
    uint8_t expected[sizeof(target)];
    for (size_t size = 0; size <= LARGEST; size++) {
        for (size_t offset = 0; offset < 8; offset++) {
            fill_randomly(source, sizeof(source));
            fill_randomly(target, sizeof(target));
            for (size_t i = 0; i < sizeof(target); i++) {
                expected[i] = target[i];
            }
            assert_ptr_equal(memcpy(target + offset + 3, source + offset, size),
                             target + offset + 3);
            for (size_t i = 0; i < size; i++) {
                expected[offset + 3 + i] = source[offset + i];
            }
            assert_same(target, expected, sizeof(target));
        }
    }
}

static void test_memmove_every_overlap_keeps_the_bytes(void **state)
{
    (void)state;
    uint8_t bytes[2 * LARGEST];
    uint8_t expected[sizeof(bytes)];
    static const size_t sizes[] = {0, 1, 2, 3, 5, 8, 9, 15, 16, 17, 31, 40, 63, 127, 128, 200, 257};
    for (size_t s = 0; s < ARRAY_COUNT(sizes); s++) {
        for (int distance = -40; distance <= 40; distance++) {
            fill_randomly(bytes, sizeof(bytes));
            size_t from = 50;
            size_t to = (size_t)(50 + distance);
            for (size_t i = 0; i < sizeof(bytes); i++) {
                bool inside = i >= to && i < to + sizes[s];
                expected[i] = bytes[inside ? i - to + from : i];
            }
            assert_ptr_equal(memmove(bytes + to, bytes + from, sizes[s]), bytes + to);
            assert_same(bytes, expected, sizeof(bytes));
        }
    }
}

static void test_memset_all_sizes_sets_exactly_that(void **state)
{
    (void)state;
    uint8_t bytes[LARGEST + 2 * MARGIN];
    for (size_t size = 0; size <= LARGEST; size++) {
        for (size_t offset = 0; offset < 8; offset++) {
            fill_randomly(bytes, sizeof(bytes));
            uint8_t before = bytes[offset];
            uint8_t after = bytes[offset + 1 + size];
            assert_ptr_equal(memset(bytes + offset + 1, 0x1a5, size), bytes + offset + 1);
            for (size_t i = 0; i < size; i++) {
                assert_int_equal(bytes[offset + 1 + i], 0xa5);
            }
            assert_int_equal(bytes[offset], before);
            assert_int_equal(bytes[offset + 1 + size], after);
        }
    }
}

static int sign(int value)
{
    return (value > 0) - (value < 0);
}

static void test_memcmp_one_byte_differs_orders_by_it(void **state)
{
    (void)state;
    uint8_t left[64];
    uint8_t right[64];
    for (size_t size = 0; size <= sizeof(left); size++) {
        fill_randomly(left, size);
        for (size_t i = 0; i < size; i++) {
            right[i] = left[i];
        }
        assert_int_equal(memcmp(left, right, size), 0);
        for (size_t i = 0; i < size; i++) {
            for (size_t j = i + 1; j < size; j++) {
                right[j] = (uint8_t)random_number(); /* must not matter */
            }
            right[i] = (uint8_t)(left[i] + 1 + random_number() % 255);
            assert_int_equal(sign(memcmp(left, right, size)), left[i] < right[i] ? -1 : 1);
            for (size_t j = i; j < size; j++) {
                right[j] = left[j];
            }
        }
    }
}

static void test_memchr_first_match_or_null(void **state)
{
    (void)state;
    uint8_t bytes[40];
    for (size_t size = 0; size <= sizeof(bytes); size++) {
        for (size_t i = 0; i < size; i++) {
            bytes[i] = (uint8_t)(i % 2 ? 0x80 : 0x01); /* what confuses a zero-byte test */
        }
        assert_null(memchr(bytes, 0, size));
        assert_null(memchr(bytes, 0x7f, size));
        for (size_t i = size; i-- > 0;) {
            bytes[i] = 0x7f;
            assert_ptr_equal(memchr(bytes, 0x17f, size), bytes + i);
        }
    }
}

/* Two pages, the second without access: whoever reads past the end of a string dies here. */
static char *end_of_readable_page(void)
{
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(pages, MAP_FAILED);
    assert_int_equal(mprotect(pages + 4096, 4096, PROT_NONE), 0);
    return pages + 4096;
}

static void test_strlen_at_the_end_of_a_page_stays_inside(void **state)
{
    (void)state;
    char *end = end_of_readable_page();
    for (size_t length = 0; length < 40; length++) {
        char *text = end - length - 1;
        for (size_t i = 0; i < length; i++) {
            text[i] = i % 3 ? '\x01' : '\x80';
        }
        text[length] = '\0';
        assert_int_equal(strlen(text), length);
    }
    munmap(end - 4096, 8192);
}

static void test_strcmp_at_the_end_of_a_page_orders_as_unsigned_bytes(void **state)
{
    (void)state;
    char *end = end_of_readable_page();
    char other[64];
    for (size_t length = 0; length < 40; length++) {
        char *text = end - length - 1;
        for (size_t i = 0; i < length; i++) {
            text[i] = other[i] = (char)('a' + i % 26);
        }
        text[length] = other[length] = '\0';
        assert_int_equal(strcmp(text, other), 0);
        assert_int_equal(strncmp(text, other, 64), 0);
        other[length] = '\xff';
        other[length + 1] = '\0';
        assert_int_equal(sign(strcmp(text, other)), -1);
        assert_int_equal(sign(strcmp(other, text)), 1);
        assert_int_equal(strncmp(text, other, length), 0);
        assert_int_equal(sign(strncmp(text, other, length + 1)), -1);
        for (size_t i = 0; i < length; i++) {
            char saved = other[i];
            other[i] = '\xfe';
            assert_int_equal(sign(strcmp(text, other)), -1);
            assert_int_equal(sign(strcmp(other, text)), 1);
            other[i] = saved;
        }
    }
    munmap(end - 4096, 8192);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memcpy_all_sizes_and_offsets_copies_exactly_that),
        cmocka_unit_test(test_memmove_every_overlap_keeps_the_bytes),
        cmocka_unit_test(test_memset_all_sizes_sets_exactly_that),
        cmocka_unit_test(test_memcmp_one_byte_differs_orders_by_it),
        cmocka_unit_test(test_memchr_first_match_or_null),
        cmocka_unit_test(test_strlen_at_the_end_of_a_page_stays_inside),
        cmocka_unit_test(test_strcmp_at_the_end_of_a_page_orders_as_unsigned_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
