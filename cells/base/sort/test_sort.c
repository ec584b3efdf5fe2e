/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sort.h"

struct item {
    uint32_t key;
    uint32_t payload; /* always ~key: shows torn elements */
    uint32_t more[3];
};

static bool by_key(const void *a, const void *b)
{
    return ((const struct item *)a)->key < ((const struct item *)b)->key;
}

static int compare_keys(const void *a, const void *b)
{
    uint32_t x = ((const struct item *)a)->key;
    uint32_t y = ((const struct item *)b)->key;
    return (x > y) - (x < y);
}

static void check_against_qsort(size_t count, uint32_t range)
{
    struct item *items = calloc(count + 1, sizeof(*items));
    struct item *expected = calloc(count + 1, sizeof(*expected));
    for (size_t i = 0; i < count; i++) {
        uint32_t key = (uint32_t)rand() % range;
        items[i] = expected[i] = (struct item){.key = key, .payload = ~key, .more = {key, key, 1}};
    }
    sort_array(items, count, sizeof(*items), by_key);
    qsort(expected, count, sizeof(*expected), compare_keys);
    assert_memory_equal(items, expected, count * sizeof(*items));
    free(items);
    free(expected);
}

static void test_sort_random_equals_qsort(void **state)
{
    (void)state;
    srand(1);
    for (size_t count = 0; count < 70; count++) {
        check_against_qsort(count, 1000);
        check_against_qsort(count, 3); /* many equal keys */
    }
    check_against_qsort(5000, UINT32_MAX);
}

static size_t comparisons;

static bool counting_by_key(const void *a, const void *b)
{
    comparisons++;
    return by_key(a, b);
}

static void test_sort_sorted_input_costs_one_pass(void **state)
{
    (void)state;
    struct item items[100] = {0};
    for (uint32_t i = 0; i < 100; i++) {
        items[i].key = i / 2;
    }
    comparisons = 0;
    sort_array(items, 100, sizeof(items[0]), counting_by_key);
    assert_int_equal(comparisons, 99);
}

static void test_sort_reverse_input_stays_n_log_n(void **state)
{
    (void)state;
    enum { COUNT = 1024 };
    struct item items[COUNT] = {0};
    for (uint32_t i = 0; i < COUNT; i++) {
        items[i].key = COUNT - i;
    }
    comparisons = 0;
    sort_array(items, COUNT, sizeof(items[0]), counting_by_key);
    assert_true(comparisons < 2 * COUNT * 11);
    assert_int_equal(items[0].key, 1);
    assert_int_equal(items[COUNT - 1].key, COUNT);
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Numbers that rise by chance, with a break about every `run` of them. */
static void check_keys(size_t count, uint32_t run)
{
    uint64_t *keys = calloc(count + 1, sizeof(*keys));
    uint64_t *expected = calloc(count + 1, sizeof(*expected));
    uint64_t *scratch = calloc(count, sizeof(*scratch)); /* exactly: the sanitizer looks */
    uint64_t key = 0;
    for (size_t i = 0; i < count; i++) {
        key = (uint32_t)rand() % run == 0 ? (uint32_t)rand() : key + ((uint64_t)rand() << 20);
        keys[i] = expected[i] = key;
    }
    sort_keys(keys, scratch, count);
    qsort(expected, count, sizeof(*expected), compare_numbers);
    assert_memory_equal(keys, expected, (count + 1) * sizeof(*keys));
    free(keys);
    free(expected);
    free(scratch);
}

static void test_sort_keys_agrees_with_qsort(void **state)
{
    (void)state;
    for (size_t count = 0; count < 70; count++) {
        check_keys(count, 1);
        check_keys(count, 3);
        check_keys(count, 1000);
    }
    check_keys(10000, 1);
    check_keys(10001, 50);
}

/* As offsets in sections are: they differ in some bits only. */
static void test_sort_keys_differing_in_few_bits(void **state)
{
    (void)state;
    static const uint64_t masks[] = {0xff,
                                     0xf0f0,
                                     0x3fffff0,
                                     0x700fffff0,
                                     0xff000000000000ff,
                                     0xff00ff00ff00ff,
                                     0x8000000000000001,
                                     0xff00ff00ff00ff00};
    enum { MOST = 500 };
    uint64_t keys[MOST];
    uint64_t expected[MOST];
    uint64_t scratch[MOST];
    for (size_t m = 0; m < ARRAY_COUNT(masks); m++) {
        for (size_t count = 90; count <= MOST; count += 41) {
            for (size_t i = 0; i < count; i++) {
                uint64_t random =
                    (uint64_t)rand() << 33 ^ (uint64_t)rand() << 11 ^ (uint64_t)rand();
                keys[i] = expected[i] = 0x123456789abcdef0 ^ (random & masks[m]);
            }
            sort_keys(keys, scratch, count);
            qsort(expected, count, sizeof(*expected), compare_numbers);
            assert_memory_equal(keys, expected, count * sizeof(*keys));
        }
    }
}

/* Sorted by what stands above `lowest`, and still the same keys. */
static void test_sort_keys_above_looks_at_the_upper_bits(void **state)
{
    (void)state;
    enum { MOST = 300 };
    uint64_t keys[MOST];
    uint64_t expected[MOST];
    uint64_t scratch[MOST];
    for (unsigned lowest = 0; lowest < 64; lowest += 7) {
        for (size_t count = 0; count <= MOST; count += 30) {
            for (size_t i = 0; i < count; i++) {
                keys[i] = expected[i] = (uint64_t)rand() % 99 << lowest ^ (uint64_t)rand() % 1000;
            }
            sort_keys_above(keys, scratch, count, lowest);
            for (size_t i = 1; i < count; i++) {
                assert_true(keys[i - 1] >> lowest <= keys[i] >> lowest);
            }
            qsort(keys, count, sizeof(*keys), compare_numbers);
            qsort(expected, count, sizeof(*expected), compare_numbers);
            assert_memory_equal(keys, expected, count * sizeof(*keys));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sort_random_equals_qsort),
        cmocka_unit_test(test_sort_sorted_input_costs_one_pass),
        cmocka_unit_test(test_sort_reverse_input_stays_n_log_n),
        cmocka_unit_test(test_sort_keys_agrees_with_qsort),
        cmocka_unit_test(test_sort_keys_differing_in_few_bits),
        cmocka_unit_test(test_sort_keys_above_looks_at_the_upper_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
