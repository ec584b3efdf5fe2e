/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "own.h"

/* A resource that counts: how many there are, and how often one was released. */
struct OWN_CAPABILITY("thing") thing;
OWN_DECLARE(thing);

struct thing {
    int releases;
};

static int alive;
static int order[8];
static int order_count;

static enum status thing_create(struct thing **out) OWN_ACQUIRES(**out);
static enum status thing_create(struct thing **out)
{
    *out = calloc(1, sizeof(**out));
    alive++;
    return OK;
}

void thing_drop(struct thing **handle)
{
    struct thing *thing = *handle;
    if (!thing) {
        return;
    }
    if (order_count < 8) {
        order[order_count++] = thing->releases;
    }
    *handle = NULL;
    free(thing);
    alive--;
}

static int reset(void **state)
{
    (void)state;
    alive = 0;
    order_count = 0;
    return 0;
}

static void make_and_return_early(bool early)
{
    OWNED(thing, a);
    assert_int_equal(thing_create(SLOT(a)), OK);
    if (early) {
        return;
    }
    OWNED(thing, b);
    assert_int_equal(thing_create(SLOT(b)), OK);
    assert_int_equal(alive, 2);
}

static void test_own_scope_end_releases_once(void **state)
{
    (void)state;
    make_and_return_early(true);
    assert_int_equal(alive, 0);
    make_and_return_early(false);
    assert_int_equal(alive, 0);
    assert_int_equal(order_count, 3);
    assert_null(OWN_TOP);
}

static enum status make_for_caller(struct thing **out)
{
    OWNED(thing, local);
    assert_int_equal(thing_create(SLOT(local)), OK);
    MOVE(*out, local);
    assert_null(REF(local));
    return OK;
}

static void test_own_move_leaves_one_owner(void **state)
{
    (void)state;
    {
        OWNED(thing, mine);
        assert_int_equal(make_for_caller(SLOT(mine)), OK);
        assert_non_null(REF(mine));
        assert_int_equal(alive, 1);
    }
    assert_int_equal(alive, 0);
    assert_int_equal(order_count, 1);
}

static void test_own_loop_releases_each_time(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        OWNED(thing, each);
        if (i % 2) {
            continue;
        }
        assert_int_equal(thing_create(SLOT(each)), OK);
        assert_int_equal(alive, 1);
    }
    assert_int_equal(alive, 0);
    assert_int_equal(order_count, 3);
    assert_null(OWN_TOP);
}

static jmp_buf fault;

static void fail_with_three(uintptr_t *low)
{
    OWNED(thing, a);
    OWNED(thing, b);
    OWNED(thing, empty);
    OWNED(thing, c);
    *low = (uintptr_t)__builtin_frame_address(0) - 65536;
    assert_int_equal(thing_create(SLOT(a)), OK);
    assert_int_equal(thing_create(SLOT(b)), OK);
    assert_int_equal(thing_create(SLOT(c)), OK);
    REF(a)->releases = 1;
    REF(b)->releases = 2;
    REF(c)->releases = 3;
    longjmp(fault, 1); /* as a fault would leave: no cleanup runs */
}

/* A fault is handled on another stack; here, this much room keeps own_unwind() off the dead slots. */
static NOINLINE void fail_far_below(uintptr_t *low)
{
    char room[4096];
    __asm__ volatile("" : : "r"(room) : "memory");
    fail_with_three(low);
    __asm__ volatile("" : : "r"(room) : "memory");
}

static void test_own_unwind_releases_newest_first(void **state)
{
    (void)state;
    OWNED(thing, kept);
    assert_int_equal(thing_create(SLOT(kept)), OK);
    static uintptr_t low;
    if (setjmp(fault) == 0) {
        fail_far_below(&low);
    }
    uintptr_t high = (uintptr_t)__builtin_frame_address(0) + 65536;
    assert_int_equal(own_unwind(&kept.slot, low, high), 3);
    assert_int_equal(alive, 1);
    assert_int_equal(order[0], 3);
    assert_int_equal(order[1], 2);
    assert_int_equal(order[2], 1);
    assert_ptr_equal(OWN_TOP, &kept.slot);
}

static void test_own_unwind_interrupted_move_has_one_owner(void **state)
{
    (void)state;
    struct thing *destination = NULL;
    OWNED(thing, from);
    assert_int_equal(thing_create(SLOT(from)), OK);
    /* Between the two stores of a move: both hold the handle, the peer says whose it is. */
    from.typed.peer = &destination;
    destination = REF(from);
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    own_unwind(from.slot.below, here - 65536, here + 65536);
    assert_int_equal(alive, 1);
    OWN_TOP = &from.slot; /* the frame is still there: let its scope end as usual */
    from.typed.handle = NULL;
    thing_drop(&destination);
    assert_int_equal(alive, 0);
}

static void test_own_unwind_stops_at_what_is_no_slot(void **state)
{
    (void)state;
    struct own_slot stray = {.below = NULL, .tag = 0};
    struct own_slot *top = OWN_TOP;
    OWN_TOP = &stray;
    uintptr_t here = (uintptr_t)&stray;
    assert_int_equal(own_unwind(NULL, here - 65536, here + 65536), 0);
    assert_ptr_equal(OWN_TOP, &stray);
    stray.tag = 1;
    assert_int_equal(own_unwind(NULL, here + 64, here + 65536), 0); /* outside the stack */
    OWN_TOP = top;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_own_scope_end_releases_once, reset),
        cmocka_unit_test_setup(test_own_move_leaves_one_owner, reset),
        cmocka_unit_test_setup(test_own_loop_releases_each_time, reset),
        cmocka_unit_test_setup(test_own_unwind_releases_newest_first, reset),
        cmocka_unit_test_setup(test_own_unwind_interrupted_move_has_one_owner, reset),
        cmocka_unit_test_setup(test_own_unwind_stops_at_what_is_no_slot, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
