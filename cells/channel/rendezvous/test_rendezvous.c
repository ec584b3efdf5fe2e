/* SPDX-License-Identifier: MIT */
/* One thread, no tasks: what does not wait. test/unit/test_simulated_channels.c has the rest. */
#include "rendezvous.h"
#include "heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

RENDEZVOUS_DEFINE(numbers, uint32_t);

static bool is_memory_out;

void *heap_allocate(size_t bytes)
{
    return is_memory_out ? NULL : malloc(bytes);
}

void *heap_allocate_zeroed(size_t bytes)
{
    void *block = heap_allocate(bytes);
    return block ? memset(block, 0, bytes) : NULL;
}

void heap_free(void *block)
{
    free(block);
}

static void test_rendezvous_with_nobody_there_is_refused(void **state)
{
    (void)state;
    OWNED(numbers_sender, to);
    OWNED(numbers_receiver, from);
    assert_int_equal(numbers_rendezvous_create(SLOT(to), SLOT(from)), OK);
    uint32_t number = 7;
    assert_int_equal(numbers_try_send(REF(to), &number), ERR_AGAIN);
    assert_int_equal(numbers_try_receive(REF(from), &number), ERR_AGAIN);
    assert_int_equal(numbers_send(REF(to), &number), ERR_STATE);
    assert_int_equal(numbers_receive(REF(from), &number), ERR_STATE);
    assert_int_equal(number, 7);
    assert_int_equal(preemption_count(), 0);
}

static void test_rendezvous_without_the_other_side_is_closed(void **state)
{
    (void)state;
    uint32_t number = 7;
    {
        OWNED(numbers_sender, to);
        OWNED(numbers_receiver, from);
        assert_int_equal(numbers_rendezvous_create(SLOT(to), SLOT(from)), OK);
        numbers_receiver_drop(SLOT(from));
        assert_int_equal(numbers_send(REF(to), &number), ERR_CLOSED);
        assert_int_equal(numbers_try_send(REF(to), &number), ERR_CLOSED);
    }
    OWNED(numbers_sender, to);
    OWNED(numbers_receiver, from);
    assert_int_equal(numbers_rendezvous_create(SLOT(to), SLOT(from)), OK);
    numbers_sender_drop(SLOT(to));
    assert_int_equal(numbers_receive(REF(from), &number), ERR_CLOSED);
}

static void test_rendezvous_create_refuses_large_messages_and_no_memory(void **state)
{
    (void)state;
    OWNED(channel_end, to);
    OWNED(channel_end, from);
    assert_int_equal(rendezvous_create(RENDEZVOUS_MESSAGE_SIZE_MAX + 1, NULL, SLOT(to), SLOT(from)),
                     ERR_INVALID_ARGUMENT);
    is_memory_out = true;
    assert_int_equal(rendezvous_create(8, NULL, SLOT(to), SLOT(from)), ERR_NO_MEMORY);
    is_memory_out = false;
    assert_false(HELD(to));
    assert_false(HELD(from));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rendezvous_with_nobody_there_is_refused),
        cmocka_unit_test(test_rendezvous_without_the_other_side_is_closed),
        cmocka_unit_test(test_rendezvous_create_refuses_large_messages_and_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
