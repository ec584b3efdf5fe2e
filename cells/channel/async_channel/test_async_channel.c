/* SPDX-License-Identifier: MIT */
/* One thread, no tasks: what does not wait. test/unit/test_simulated_channels.c has the rest. */
#include "async_channel.h"
#include "heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct number {
    uint16_t value;
};

struct letter {
    char text[100];
};

struct OWN_CAPABILITY("parcel") parcel {
    unsigned released;
};
OWN_DECLARE(parcel);

void parcel_drop(struct parcel **handle)
{
    if (*handle) {
        (*handle)->released++;
        EMPTY(handle);
    }
}

ASYNC_CHANNEL_DEFINE(numbers, struct number);
ASYNC_CHANNEL_DEFINE(letters, struct letter);
ASYNC_CHANNEL_DEFINE_OWNED(parcels, parcel);

static int blocks;
static bool is_memory_out;

void *heap_allocate(size_t bytes)
{
    void *block = is_memory_out ? NULL : malloc(bytes);
    blocks += block != NULL;
    return block;
}

void *heap_allocate_zeroed(size_t bytes)
{
    void *block = heap_allocate(bytes);
    return block ? memset(block, 0, bytes) : NULL;
}

void heap_free(void *block)
{
    blocks -= block != NULL;
    free(block);
}

static void test_async_channel_delivers_in_order_up_to_its_capacity(void **state)
{
    (void)state;
    OWNED(numbers_sender, to);
    OWNED(numbers_receiver, from);
    assert_int_equal(numbers_channel_create(3, SLOT(to), SLOT(from)), OK);
    struct number number = {0};
    for (uint16_t round = 0; round < 20; round++) {
        for (uint16_t i = 0; i < 3; i++) {
            assert_int_equal(numbers_send(REF(to), &(struct number){.value = i}), OK);
        }
        assert_int_equal(async_channel_count((struct channel_end *)REF(from)), 3);
        assert_int_equal(numbers_try_send(REF(to), &number), ERR_AGAIN);
        for (uint16_t i = 0; i < 3; i++) {
            assert_int_equal(numbers_receive(REF(from), &number), OK);
            assert_int_equal(number.value, i);
        }
        assert_int_equal(numbers_try_receive(REF(from), &number), ERR_AGAIN);
    }
}

static void test_async_channel_large_messages_arrive_whole(void **state)
{
    (void)state;
    OWNED(letters_sender, to);
    OWNED(letters_receiver, from);
    assert_int_equal(letters_channel_create(2, SLOT(to), SLOT(from)), OK);
    struct letter out = {{0}};
    for (char round = 0; round < 5; round++) {
        struct letter letter;
        memset(&letter, round, sizeof(letter));
        assert_int_equal(letters_send(REF(to), &letter), OK);
        assert_int_equal(letters_receive(REF(from), &out), OK);
        assert_memory_equal(&letter, &out, sizeof(out));
    }
}

static void test_async_channel_waiting_without_tasks_is_refused(void **state)
{
    (void)state;
    OWNED(numbers_sender, to);
    OWNED(numbers_receiver, from);
    assert_int_equal(numbers_channel_create(1, SLOT(to), SLOT(from)), OK);
    struct number number = {0};
    assert_int_equal(numbers_receive(REF(from), &number), ERR_STATE);
    assert_int_equal(numbers_send(REF(to), &number), OK);
    assert_int_equal(numbers_send_until(REF(to), &number, 5), ERR_STATE);
    assert_int_equal(preemption_count(), 0);
}

static void test_async_channel_without_senders_is_drained_then_closed(void **state)
{
    (void)state;
    OWNED(numbers_sender, to);
    OWNED(numbers_sender, clone);
    OWNED(numbers_receiver, from);
    assert_int_equal(numbers_channel_create(4, SLOT(to), SLOT(from)), OK);
    assert_int_equal(numbers_sender_clone(REF(to), SLOT(clone)), OK);
    assert_int_equal(numbers_receiver_peers(REF(from)), 2);
    numbers_sender_drop(SLOT(to));
    assert_int_equal(numbers_receiver_peers(REF(from)), 1);
    struct number number = {.value = 9};
    assert_int_equal(numbers_send(REF(clone), &number), OK);
    numbers_sender_drop(SLOT(clone));
    number.value = 0;
    assert_int_equal(numbers_receive(REF(from), &number), OK);
    assert_int_equal(number.value, 9);
    assert_int_equal(numbers_receive(REF(from), &number), ERR_CLOSED);
    assert_int_equal(numbers_try_receive(REF(from), &number), ERR_CLOSED);
}

static void test_async_channel_without_receivers_is_closed(void **state)
{
    (void)state;
    OWNED(numbers_sender, to);
    OWNED(numbers_receiver, from);
    assert_int_equal(numbers_channel_create(4, SLOT(to), SLOT(from)), OK);
    struct number number = {.value = 9};
    assert_int_equal(numbers_send(REF(to), &number), OK);
    numbers_receiver_drop(SLOT(from));
    assert_int_equal(numbers_send(REF(to), &number), ERR_CLOSED);
    assert_int_equal(numbers_sender_peers(REF(to)), 0);
}

static void test_async_channel_moves_handles(void **state)
{
    (void)state;
    OWNED(parcels_sender, to);
    OWNED(parcels_receiver, from);
    assert_int_equal(parcels_channel_create(1, SLOT(to), SLOT(from)), OK);
    struct parcel things[2] = {{0}};
    OWNED(parcel, first);
    OWNED(parcel, second);
    FILL(SLOT(first), &things[0]);
    FILL(SLOT(second), &things[1]);
    assert_int_equal(parcels_send(REF(to), SLOT(first)), OK);
    assert_false(HELD(first));
    assert_int_equal(parcels_try_send(REF(to), SLOT(second)), ERR_AGAIN);
    assert_true(HELD(second));
    assert_int_equal(parcels_receive(REF(from), SLOT(first)), OK);
    assert_ptr_equal(REF(first), &things[0]);
    assert_int_equal(things[0].released, 0);
}

static void test_async_channel_releases_what_nobody_can_receive(void **state)
{
    (void)state;
    struct parcel things[3] = {{0}};
    {
        OWNED(parcels_sender, to);
        OWNED(parcels_receiver, from);
        OWNED(parcels_receiver, clone);
        assert_int_equal(parcels_channel_create(8, SLOT(to), SLOT(from)), OK);
        assert_int_equal(parcels_receiver_clone(REF(from), SLOT(clone)), OK);
        for (unsigned i = 0; i < 3; i++) {
            OWNED(parcel, parcel);
            FILL(SLOT(parcel), &things[i]);
            assert_int_equal(parcels_send(REF(to), SLOT(parcel)), OK);
        }
        parcels_receiver_drop(SLOT(from));
        assert_int_equal(things[0].released, 0);
        parcels_receiver_drop(SLOT(clone));
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(things[i].released, 1);
        }
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(things[i].released, 1);
    }
}

/* A message may be an end of the channel that it is in. */
static void test_async_channel_that_holds_its_own_sender_is_released(void **state)
{
    (void)state;
    OWNED(channel_end, to);
    OWNED(channel_end, clone);
    OWNED(channel_end, from);
    assert_int_equal(async_channel_create(2, sizeof(void *), (channel_drop_t)channel_end_drop,
                                          SLOT(to), SLOT(from)),
                     OK);
    assert_int_equal(channel_end_clone(REF(to), SLOT(clone)), OK);
    assert_int_equal(async_channel_send_owned(REF(to), (void **)SLOT(clone), PARK_FOREVER), OK);
    channel_end_drop(SLOT(to));
    assert_int_equal(channel_end_peers(REF(from)), 1);
    channel_end_drop(SLOT(from));
    assert_int_equal(blocks, 0);
}

static void test_async_channel_create_refuses_bad_capacities_and_no_memory(void **state)
{
    (void)state;
    OWNED(numbers_sender, to);
    OWNED(numbers_receiver, from);
    assert_int_equal(numbers_channel_create(0, SLOT(to), SLOT(from)), ERR_INVALID_ARGUMENT);
    assert_int_equal(numbers_channel_create(ASYNC_CHANNEL_CAPACITY_MAX + 1, SLOT(to), SLOT(from)),
                     ERR_INVALID_ARGUMENT);
    is_memory_out = true;
    assert_int_equal(numbers_channel_create(1, SLOT(to), SLOT(from)), ERR_NO_MEMORY);
    is_memory_out = false;
    assert_false(HELD(to));
    assert_false(HELD(from));
    assert_int_equal(numbers_channel_create(1, SLOT(to), SLOT(from)), OK);
    is_memory_out = true;
    OWNED(numbers_sender, clone);
    assert_int_equal(numbers_sender_clone(REF(to), SLOT(clone)), ERR_NO_MEMORY);
    is_memory_out = false;
    assert_false(HELD(clone));
}

static void test_async_channel_ends_are_limited_and_reused(void **state)
{
    (void)state;
    {
        OWNED(numbers_sender, to);
        OWNED(numbers_receiver, from);
        assert_int_equal(numbers_channel_create(1, SLOT(to), SLOT(from)), OK);
        for (unsigned i = 0; i < 100; i++) {
            OWNED(numbers_sender, clone);
            assert_int_equal(numbers_sender_clone(REF(to), SLOT(clone)), OK);
            assert_int_equal(blocks, 2); /* the channel and one end more */
        }
        struct channel *channel = ((struct channel_end *)REF(to))->channel;
        channel->open[CHANNEL_SENDERS] = CHANNEL_ENDS_MAX;
        OWNED(numbers_sender, clone);
        assert_int_equal(numbers_sender_clone(REF(to), SLOT(clone)), ERR_LIMIT);
        channel->open[CHANNEL_SENDERS] = 1;
    }
    assert_int_equal(blocks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_async_channel_delivers_in_order_up_to_its_capacity),
        cmocka_unit_test(test_async_channel_large_messages_arrive_whole),
        cmocka_unit_test(test_async_channel_waiting_without_tasks_is_refused),
        cmocka_unit_test(test_async_channel_without_senders_is_drained_then_closed),
        cmocka_unit_test(test_async_channel_without_receivers_is_closed),
        cmocka_unit_test(test_async_channel_moves_handles),
        cmocka_unit_test(test_async_channel_releases_what_nobody_can_receive),
        cmocka_unit_test(test_async_channel_that_holds_its_own_sender_is_released),
        cmocka_unit_test(test_async_channel_create_refuses_bad_capacities_and_no_memory),
        cmocka_unit_test(test_async_channel_ends_are_limited_and_reused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
