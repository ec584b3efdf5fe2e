/* SPDX-License-Identifier: MIT */
/* Directed cases, then random operations against the simplest model there is: one flag a number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "range_set.h"

static void test_take_from_empty_set_finds_nothing(void **state)
{
    (void)state;
    struct range storage[4];
    struct range_set set;
    uint64_t start = 77;
    range_set_init(&set, storage, 4);
    assert_int_equal(range_set_take(&set, 1, 1, &start), ERR_NOT_FOUND);
    assert_int_equal(start, 77);
}

static void test_add_neighbours_merges(void **state)
{
    (void)state;
    struct range storage[4];
    struct range_set set;
    range_set_init(&set, storage, 4);
    assert_int_equal(range_set_add(&set, 10, 5), OK);
    assert_int_equal(range_set_add(&set, 20, 5), OK);
    assert_int_equal(set.used, 2);
    assert_int_equal(range_set_add(&set, 15, 5), OK);
    assert_int_equal(set.used, 1);
    assert_int_equal(set.ranges[0].start, 10);
    assert_int_equal(set.ranges[0].count, 15);
    assert_int_equal(set.total, 15);
}

static void test_add_what_is_there_is_refused(void **state)
{
    (void)state;
    struct range storage[4];
    struct range_set set;
    range_set_init(&set, storage, 4);
    assert_int_equal(range_set_add(&set, 10, 5), OK);
    assert_int_equal(range_set_add(&set, 14, 1), ERR_EXISTS);
    assert_int_equal(range_set_add(&set, 5, 6), ERR_EXISTS);
    assert_int_equal(range_set_add(&set, 0, 100), ERR_EXISTS);
    assert_int_equal(range_set_add(&set, 1, 0), ERR_INVALID_ARGUMENT);
    assert_int_equal(range_set_add(&set, UINT64_MAX, 2), ERR_INVALID_ARGUMENT);
    assert_int_equal(set.total, 5);
}

static void test_take_aligned_leaves_both_ends(void **state)
{
    (void)state;
    struct range storage[4];
    struct range_set set;
    uint64_t start;
    range_set_init(&set, storage, 4);
    assert_int_equal(range_set_add(&set, 3, 30), OK);
    assert_int_equal(range_set_take(&set, 4, 8, &start), OK);
    assert_int_equal(start, 8);
    assert_int_equal(set.used, 2);
    assert_true(range_set_holds(&set, 3, 5));
    assert_true(range_set_holds(&set, 12, 21));
    assert_int_equal(range_set_take(&set, 4, 3, &start), ERR_INVALID_ARGUMENT);
    assert_int_equal(range_set_take(&set, 0, 1, &start), ERR_INVALID_ARGUMENT);
}

static void test_take_skips_ranges_too_small(void **state)
{
    (void)state;
    struct range storage[4];
    struct range_set set;
    uint64_t start;
    range_set_init(&set, storage, 4);
    assert_int_equal(range_set_add(&set, 0, 3), OK);
    assert_int_equal(range_set_add(&set, 10, 4), OK);
    assert_int_equal(range_set_take(&set, 4, 1, &start), OK);
    assert_int_equal(start, 10);
    assert_int_equal(set.used, 1);
}

static void test_split_without_storage_changes_nothing(void **state)
{
    (void)state;
    struct range storage[2];
    struct range_set set;
    range_set_init(&set, storage, 2);
    assert_int_equal(range_set_add(&set, 0, 10), OK);
    assert_int_equal(range_set_add(&set, 20, 10), OK);
    assert_int_equal(range_set_add(&set, 40, 1), ERR_LIMIT);
    assert_int_equal(range_set_take_at(&set, 5, 1), ERR_LIMIT);
    assert_int_equal(range_set_remove(&set, 25, 1), ERR_LIMIT);
    assert_int_equal(set.total, 20);
    assert_true(range_set_holds(&set, 0, 10));
    assert_true(range_set_holds(&set, 20, 10));
    assert_int_equal(range_set_take_at(&set, 0, 1), OK);
    assert_int_equal(range_set_take_at(&set, 9, 1), OK);
    assert_int_equal(set.total, 18);
}

static void test_remove_spans_several_ranges(void **state)
{
    (void)state;
    struct range storage[4];
    struct range_set set;
    range_set_init(&set, storage, 4);
    assert_int_equal(range_set_add(&set, 0, 10), OK);
    assert_int_equal(range_set_add(&set, 20, 10), OK);
    assert_int_equal(range_set_add(&set, 40, 10), OK);
    assert_int_equal(range_set_remove(&set, 5, 40), OK);
    assert_int_equal(set.used, 2);
    assert_int_equal(set.total, 10);
    assert_true(range_set_holds(&set, 0, 5));
    assert_true(range_set_holds(&set, 45, 5));
    assert_int_equal(range_set_remove(&set, 100, 0), OK);
}

static void test_ends_of_the_number_line_are_usable(void **state)
{
    (void)state;
    struct range storage[4];
    struct range_set set;
    uint64_t start;
    range_set_init(&set, storage, 4);
    assert_int_equal(range_set_add(&set, UINT64_MAX, 1), OK);
    assert_int_equal(range_set_add(&set, 0, 1), OK);
    assert_int_equal(set.used, 2);
    assert_int_equal(range_set_take_at(&set, UINT64_MAX, 1), OK);
    assert_int_equal(range_set_take(&set, 1, 1ull << 63, &start), OK);
    assert_int_equal(start, 0);
    assert_int_equal(set.used, 0);
    assert_int_equal(range_set_add(&set, UINT64_MAX - 9, 10), OK);
    assert_int_equal(range_set_take_top(&set, 0, &start), ERR_INVALID_ARGUMENT);
    assert_int_equal(range_set_take_top(&set, 11, &start), ERR_NOT_FOUND);
    assert_int_equal(range_set_take_top(&set, 4, &start), OK);
    assert_int_equal(start, UINT64_MAX - 3);
    assert_int_equal(set.total, 6);
}

#define MODEL_SIZE 192
#define STORAGE    24

static size_t model_ranges(const bool *model)
{
    size_t ranges = 0;
    for (size_t i = 0; i < MODEL_SIZE; i++) {
        ranges += model[i] && (i == 0 || !model[i - 1]);
    }
    return ranges;
}

static uint64_t model_sum(const bool *model, uint64_t start, uint64_t count)
{
    uint64_t sum = 0;
    for (uint64_t i = start; i < start + count; i++) {
        sum += model[i];
    }
    return sum;
}

static void assert_same(const struct range_set *set, const bool *model)
{
    assert_int_equal(set->used, model_ranges(model));
    assert_int_equal(set->total, model_sum(model, 0, MODEL_SIZE));
    for (size_t i = 0; i < MODEL_SIZE; i++) {
        assert_int_equal(range_set_holds(set, i, 1), model[i]);
    }
}

/* What `take` must find: the lowest aligned run, or MODEL_SIZE. */
static uint64_t model_find(const bool *model, uint64_t count, uint64_t alignment)
{
    for (uint64_t i = 0; i + count <= MODEL_SIZE; i += alignment) {
        if (model_sum(model, i, count) == count) {
            return i;
        }
    }
    return MODEL_SIZE;
}

/* What `take_top` must find: the highest run, or MODEL_SIZE. */
static uint64_t model_find_top(const bool *model, uint64_t count)
{
    for (uint64_t end = MODEL_SIZE; end >= count; end--) {
        if (model_sum(model, end - count, count) == count) {
            return end - count;
        }
    }
    return MODEL_SIZE;
}

/* Applies a change to the model unless the set would need more ranges than it has storage for. */
static enum status model_fill(bool *model, uint64_t start, uint64_t count, bool value)
{
    bool changed[MODEL_SIZE];
    memcpy(changed, model, sizeof(changed));
    memset(changed + start, value, count);
    if (model_ranges(changed) > STORAGE) {
        return ERR_LIMIT;
    }
    memcpy(model, changed, sizeof(changed));
    return OK;
}

static void step(struct range_set *set, bool *model)
{
    uint64_t start = (uint64_t)rand() % MODEL_SIZE;
    uint64_t count = 1 + (uint64_t)rand() % 12;
    uint64_t alignment = 1ull << (rand() % 5);
    uint64_t found = MODEL_SIZE;
    enum status expected;

    if (count > MODEL_SIZE - start) {
        count = MODEL_SIZE - start;
    }
    uint64_t present = model_sum(model, start, count);
    switch (rand() % 6) {
    case 0:
    case 1:
        expected = present ? ERR_EXISTS : model_fill(model, start, count, true);
        assert_int_equal(range_set_add(set, start, count), expected);
        break;
    case 2:
        start = model_find(model, count, alignment);
        expected = start == MODEL_SIZE ? ERR_NOT_FOUND : model_fill(model, start, count, false);
        assert_int_equal(range_set_take(set, count, alignment, &found), expected);
        assert_int_equal(found, expected == OK ? start : MODEL_SIZE);
        break;
    case 3:
        expected = present < count ? ERR_NOT_FOUND : model_fill(model, start, count, false);
        assert_int_equal(range_set_take_at(set, start, count), expected);
        break;
    case 4:
        start = model_find_top(model, count);
        expected = start == MODEL_SIZE ? ERR_NOT_FOUND : model_fill(model, start, count, false);
        assert_int_equal(range_set_take_top(set, count, &found), expected);
        assert_int_equal(found, start);
        break;
    default:
        expected = model_fill(model, start, count, false);
        assert_int_equal(range_set_remove(set, start, count), expected);
        break;
    }
    assert_same(set, model);
}

static void test_random_operations_match_the_model(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 40; seed++) {
        struct range storage[STORAGE];
        struct range_set set;
        bool model[MODEL_SIZE] = {false};
        srand(seed);
        range_set_init(&set, storage, STORAGE);
        for (int i = 0; i < 1500; i++) {
            step(&set, model);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_take_from_empty_set_finds_nothing),
        cmocka_unit_test(test_add_neighbours_merges),
        cmocka_unit_test(test_add_what_is_there_is_refused),
        cmocka_unit_test(test_take_aligned_leaves_both_ends),
        cmocka_unit_test(test_take_skips_ranges_too_small),
        cmocka_unit_test(test_split_without_storage_changes_nothing),
        cmocka_unit_test(test_remove_spans_several_ranges),
        cmocka_unit_test(test_ends_of_the_number_line_are_usable),
        cmocka_unit_test(test_random_operations_match_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
