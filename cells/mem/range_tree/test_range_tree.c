/* SPDX-License-Identifier: MIT */
/*
 * The tree against the simplest model there is: a bitmap. Every number is free or taken; every
 * operation is tried on both; after each the tree must be whole and hold exactly the bitmap's free
 * numbers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "range_tree.h"

enum { NUMBERS = 512, NODES = NUMBERS + 8, STEPS = 200000 };

static struct range_tree tree;
static struct range_node nodes[NODES];
static struct range_node *pool[NODES];
static size_t pool_count;
static bool is_free[NUMBERS];
static struct range_node *taken[NUMBERS];
static size_t taken_count;

static void put(struct range_node *node)
{
    if (node) {
        pool[pool_count++] = node;
    }
}

static void get_spares(struct range_node *spare[2])
{
    spare[0] = pool[--pool_count];
    spare[1] = pool[--pool_count];
}

static int start(void **state)
{
    (void)state;
    memset(&tree, 0, sizeof(tree));
    pool_count = 0;
    taken_count = 0;
    for (size_t i = 0; i < NODES; i++) {
        put(&nodes[i]);
    }
    struct range_node *all = pool[--pool_count];
    all->range = (struct range){.start = 0, .count = NUMBERS};
    struct range_node *unused[2];
    assert_int_equal(range_tree_give(&tree, all, unused), OK);
    memset(is_free, true, sizeof(is_free));
    return 0;
}

/* The lowest start of `count` free numbers that is a multiple of `alignment`; NUMBERS if none. */
static size_t model_fit(size_t count, size_t alignment)
{
    for (size_t at = 0; at + count <= NUMBERS; at += alignment) {
        size_t run = 0;
        while (run < count && is_free[at + run]) {
            run++;
        }
        if (run == count) {
            return at;
        }
    }
    return NUMBERS;
}

static void note_taken(struct range_node *node)
{
    for (uint64_t i = 0; i < node->range.count; i++) {
        assert_true(is_free[node->range.start + i]);
        is_free[node->range.start + i] = false;
    }
    taken[taken_count++] = node;
}

static void try_take(uint64_t count, uint64_t alignment)
{
    struct range_node *spare[2];
    struct range_node *node = NULL;
    get_spares(spare);
    enum status status = range_tree_take(&tree, count, alignment, spare, &node);
    size_t expected = model_fit(count, alignment);
    put(spare[0]);
    put(spare[1]);
    if (expected == NUMBERS) {
        assert_int_equal(status, ERR_NOT_FOUND);
        return;
    }
    assert_int_equal(status, OK);
    assert_int_equal(node->range.count, count);
    assert_int_equal(node->range.start % alignment, 0);
    if (alignment == 1) {
        assert_int_equal(node->range.start, expected);
    }
    note_taken(node);
}

static void try_take_at(uint64_t from, uint64_t count)
{
    struct range_node *spare[2];
    struct range_node *node = NULL;
    get_spares(spare);
    bool all_free = true;
    for (uint64_t i = 0; i < count; i++) {
        all_free = all_free && from + i < NUMBERS && is_free[from + i];
    }
    enum status status =
        range_tree_take_at(&tree, (struct range){.start = from, .count = count}, spare, &node);
    put(spare[0]);
    put(spare[1]);
    assert_int_equal(status, all_free ? OK : ERR_NOT_FOUND);
    if (all_free) {
        assert_int_equal(node->range.start, from);
        note_taken(node);
    }
}

static void give_back(size_t index)
{
    struct range_node *unused[2];
    struct range_node *node = taken[index];
    taken[index] = taken[--taken_count];
    for (uint64_t i = 0; i < node->range.count; i++) {
        is_free[node->range.start + i] = true;
    }
    assert_int_equal(range_tree_give(&tree, node, unused), OK);
    put(unused[0]);
    put(unused[1]);
}

static void compare_with_model(void)
{
    assert_true(range_tree_is_whole(&tree));
    uint64_t total = 0;
    for (size_t i = 0; i < NUMBERS; i++) {
        assert_int_equal(range_tree_find(&tree, i) != NULL, is_free[i]);
        total += is_free[i];
    }
    assert_int_equal(tree.total, total);
    assert_int_equal(pool_count + taken_count + tree.ranges, NODES); /* no node lost or doubled */
}

static void random_steps(unsigned seed, unsigned give_weight)
{
    srand(seed);
    for (int step = 0; step < STEPS; step++) {
        unsigned choice = (unsigned)rand() % 100;
        if (choice < give_weight && taken_count > 0) {
            give_back((size_t)rand() % taken_count);
        } else if (choice % 3 == 0) {
            try_take_at((uint64_t)rand() % NUMBERS, 1 + (uint64_t)rand() % 6);
        } else {
            try_take(1 + (uint64_t)rand() % 12, 1ull << (rand() % 5));
        }
        if (step % 64 == 0) {
            compare_with_model();
        }
    }
    while (taken_count > 0) {
        give_back(taken_count - 1);
    }
    compare_with_model();
    assert_int_equal(tree.ranges, 1);
}

static void test_range_tree_random_operations_equal_bitmap(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 3; seed++) {
        print_message("seed %u\n", seed);
        random_steps(seed, 30 + 15 * seed);
    }
}

static void test_range_tree_double_give_is_refused(void **state)
{
    (void)state;
    struct range_node *unused[2];
    try_take(4, 1);
    struct range_node copy = *taken[0];
    give_back(0);
    assert_int_equal(range_tree_give(&tree, &copy, unused), ERR_EXISTS);
    compare_with_model();
}

static void test_range_tree_take_top_takes_highest(void **state)
{
    (void)state;
    struct range_node *spare[2];
    struct range_node *node;
    get_spares(spare);
    assert_int_equal(range_tree_take_top(&tree, 3, spare, &node), OK);
    put(spare[0]);
    put(spare[1]);
    assert_int_equal(node->range.start, NUMBERS - 3);
    note_taken(node);
    compare_with_model();
}

static void test_range_tree_ends_of_the_number_line(void **state)
{
    (void)state;
    struct range_tree edge = {0};
    struct range_node a = {.range = {.start = UINT64_MAX, .count = 1}};
    struct range_node b = {.range = {.start = 0, .count = 1}};
    struct range_node *unused[2];
    assert_int_equal(range_tree_give(&edge, &a, unused), ERR_INVALID_ARGUMENT);
    a.range.count = 0;
    assert_int_equal(range_tree_give(&edge, &a, unused), ERR_INVALID_ARGUMENT);
    assert_null(edge.root);
    a.range = (struct range){.start = UINT64_MAX - 1, .count = 1};
    assert_int_equal(range_tree_give(&edge, &a, unused), OK);
    assert_int_equal(range_tree_give(&edge, &b, unused), OK); /* the ends do not touch */
    assert_int_equal(edge.ranges, 2);
    assert_true(range_tree_is_whole(&edge));
    struct range_node *spare[2] = {NULL, NULL};
    struct range_node *node;
    assert_int_equal(range_tree_take(&edge, 1, 2, spare, &node), OK);
    assert_ptr_equal(node, &b);
    assert_int_equal(range_tree_take(&edge, 1, 4, spare, &node), ERR_NOT_FOUND);
    assert_int_equal(range_tree_take(&edge, UINT64_MAX, 2, spare, &node), ERR_NOT_FOUND);
    assert_int_equal(range_tree_take(&edge, 1, 3, spare, &node), ERR_INVALID_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_range_tree_random_operations_equal_bitmap, start),
        cmocka_unit_test_setup(test_range_tree_double_give_is_refused, start),
        cmocka_unit_test_setup(test_range_tree_take_top_takes_highest, start),
        cmocka_unit_test(test_range_tree_ends_of_the_number_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
