/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "counted_heap.h"
#include "heap_block.h"

static void test_heap_block_is_released_with_its_slot(void **state)
{
    (void)state;
    {
        OWNED(heap_block, block);
        assert_true(heap_block_take_zeroed(8, SLOT(block)));
        assert_int_equal(*(uint64_t *)heap_block_of(*SLOT(block)), 0);
        OWNED(heap_block, other);
        assert_true(heap_block_take(8, SLOT(other)));
        assert_int_equal(heap_blocks, 2);
    }
    assert_int_equal(heap_blocks, 0);
}

static void test_heap_block_without_memory_leaves_the_slot_empty(void **state)
{
    (void)state;
    OWNED(heap_block, block);
    heap_limit = 0;
    assert_false(heap_block_take(8, SLOT(block)));
    assert_false(heap_block_take_zeroed(8, SLOT(block)));
    heap_limit = -1;
    assert_false(HELD(block));
}

static void test_heap_give_empties_what_is_full(void **state)
{
    (void)state;
    void *field = NULL;
    heap_block_give(&field);
    assert_true(heap_block_take(8, &field));
    heap_block_give(&field);
    assert_null(field);
    assert_int_equal(heap_blocks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heap_block_is_released_with_its_slot),
        cmocka_unit_test(test_heap_block_without_memory_leaves_the_slot_empty),
        cmocka_unit_test(test_heap_give_empties_what_is_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
