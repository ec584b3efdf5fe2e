/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "own.h"
#include "own_collections.h"

/* A resource that counts: how many there are, and how often one was released. */
struct OWN_CAPABILITY("thing") thing;
OWN_DECLARE(thing);

struct thing {
    int releases;
    struct thing *next;
};

static int alive;
static int order[8];
static int order_count;

static enum status thing_create(struct thing **out) OWN_ACQUIRES(**out);
static enum status thing_create(struct thing **out)
{
    struct thing *thing = calloc(1, sizeof(*thing));
    alive++;
    FILL(out, thing);
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
    EMPTY(handle);
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

/*
 * A fault is handled on another stack; here, this much room keeps own_unwind() off the dead slots.
 */
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

static void test_own_unwind_interrupted_move_to_newer_slot_has_one_owner(void **state)
{
    (void)state;
    OWNED(thing, from);
    OWNED(thing, to);
    assert_int_equal(thing_create(SLOT(from)), OK);
    from.typed.peer = SLOT(to);
    to.typed.handle = from.typed.handle;
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    assert_int_equal(own_unwind(from.slot.below, here - 65536, here + 65536), 1);
    assert_int_equal(alive, 0);
    OWN_TOP = &to.slot; /* the frame is still there */
}

static void test_own_store_and_load_change_the_owner(void **state)
{
    (void)state;
    static struct thing *field;
    {
        OWNED(thing, first);
        OWNED(thing, second);
        assert_false(HELD(first));
        assert_int_equal(thing_create(SLOT(first)), OK);
        assert_true(HELD(first));
        STORE(field, first);
        assert_false(HELD(first));
        LOAD(second, field);
        assert_null(field);
        assert_true(HELD(second));
        STORE(field, second);
    }
    assert_int_equal(alive, 1);
    OWNED(thing, taken);
    TAKE(taken, &field);
    assert_null(field);
    thing_drop(SLOT(taken));
    assert_int_equal(alive, 0);
}

static void test_own_unwind_interrupted_load_leaves_the_field_its_owner(void **state)
{
    (void)state;
    static struct thing *field;
    OWNED(thing, slot);
    assert_int_equal(thing_create(&field), OK);
    slot.typed.peer = &field;
    slot.typed.handle = field;
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    assert_int_equal(own_unwind(slot.slot.below, here - 65536, here + 65536), 0);
    assert_int_equal(alive, 1);
    OWN_TOP = &slot.slot;
    thing_drop(&field);
    assert_int_equal(alive, 0);
}

/* ---- a second fault ---- */

struct OWN_CAPABILITY("fragile thing") fragile {
    unsigned faults; /* of its drop, still to come */
    unsigned drops;
    struct thing *content;
};
OWN_DECLARE(fragile);

/* Takes its content into a slot of its own, and then may fail. */
void fragile_drop(struct fragile **handle)
{
    struct fragile *fragile = *handle;
    OWNED(thing, content);
    if (fragile->content) {
        LOAD(content, fragile->content);
    }
    if (fragile->faults > 0) {
        fragile->faults--;
        longjmp(fault, 1);
    }
    fragile->drops++;
    EMPTY(handle);
}

/* Far below, so that what own_unwind() does keeps off the slots of a drop that failed. */
__attribute__((no_sanitize("address"))) static NOINLINE void unwind_far_below(
    struct own_slot *until, unsigned depth)
{
    char room[4096];
    __asm__ volatile("" : : "r"(room) : "memory");
    if (depth > 0) {
        unwind_far_below(until, depth - 1);
    } else {
        uintptr_t here = (uintptr_t)__builtin_frame_address(0);
        own_unwind(until, here - 65536, here + 65536);
    }
    __asm__ volatile("" : : "r"(room) : "memory");
}

static unsigned unwind_until_done(struct own_slot *until)
{
    static volatile unsigned faults;
    static struct own_slot *kept;
    faults = 0;
    kept = until;
    if (setjmp(fault) != 0) {
        faults++;
    }
    unwind_far_below(kept, faults + 1);
    return faults;
}

static void test_own_unwind_begins_a_drop_that_faults_once_more(void **state)
{
    (void)state;
    static struct fragile fragile;
    fragile = (struct fragile){.faults = OWN_TRIES - 1};
    struct own_slot *top = OWN_TOP;
    struct fragile_slot slot;
    assert_int_equal(thing_create(&fragile.content), OK);
    own_enter(&slot.slot, (own_drop_t)fragile_drop);
    FILL(SLOT(slot), &fragile);
    assert_int_equal(unwind_until_done(top), OWN_TRIES - 1);
    assert_ptr_equal(OWN_TOP, top);
    assert_int_equal(fragile.drops, 1);
    assert_int_equal(alive, 0);
}

static void test_own_unwind_skips_a_drop_that_goes_on_faulting(void **state)
{
    (void)state;
    static struct fragile fragile;
    fragile = (struct fragile){.faults = 100};
    struct own_slot *top = OWN_TOP;
    struct thing_slot older;
    struct fragile_slot slot;
    own_enter(&older.slot, (own_drop_t)thing_drop);
    assert_int_equal(thing_create(SLOT(older)), OK);
    assert_int_equal(thing_create(&fragile.content), OK);
    own_enter(&slot.slot, (own_drop_t)fragile_drop);
    FILL(SLOT(slot), &fragile);
    assert_int_equal(unwind_until_done(top), OWN_TRIES);
    assert_ptr_equal(OWN_TOP, top);
    assert_int_equal(fragile.drops, 0);
    assert_int_equal(alive, 0);
}

/* ---- collections ---- */

OWN_ARRAY_DEFINE(things, thing, 3);
OWN_LIST_DEFINE(thing_list, thing, next);

static void test_own_array_is_released_from_the_last_to_the_first(void **state)
{
    (void)state;
    {
        OWNED_HERE(things, all);
        for (int i = 0; i < 3; i += 2) {
            OWNED(thing, thing);
            assert_int_equal(thing_create(SLOT(thing)), OK);
            REF(thing)->releases = i + 1;
            STORE(REF(all)->at[i], thing);
        }
        assert_int_equal(alive, 2);
    }
    assert_int_equal(alive, 0);
    assert_int_equal(order[0], 3);
    assert_int_equal(order[1], 1);
}

static void fill_list(struct thing_list *list, int count)
{
    for (int i = 1; i <= count; i++) {
        OWNED(thing, thing);
        assert_int_equal(thing_create(SLOT(thing)), OK);
        REF(thing)->releases = i;
        thing_list_push(list, SLOT(thing));
        assert_false(HELD(thing));
    }
}

static void test_own_list_gives_back_what_was_pushed_last(void **state)
{
    (void)state;
    {
        OWNED_HERE(thing_list, list);
        fill_list(REF(list), 3);
        OWNED(thing, thing);
        assert_int_equal(thing_list_pop(REF(list), SLOT(thing)), OK);
        assert_int_equal(REF(thing)->releases, 3);
        OWNED(thing, none);
        assert_int_equal(thing_list_remove(REF(list), REF(thing), SLOT(none)), ERR_NOT_FOUND);
        assert_int_equal(thing_list_remove(REF(list), REF(list)->first->next, SLOT(none)), OK);
        assert_int_equal(REF(none)->releases, 1);
        assert_int_equal(REF(list)->first->releases, 2);
        assert_null(REF(list)->first->next);
    }
    assert_int_equal(alive, 0);
    assert_int_equal(order_count, 3);
}

static void test_own_list_that_is_empty_gives_nothing(void **state)
{
    (void)state;
    OWNED_HERE(thing_list, list);
    OWNED(thing, thing);
    assert_int_equal(thing_list_pop(REF(list), SLOT(thing)), ERR_NOT_FOUND);
    assert_false(HELD(thing));
}

/* ---- a programmer's errors end the program ---- */

static void fill_full(void)
{
    OWNED(thing, full);
    (void)!thing_create(SLOT(full));
    (void)!thing_create(SLOT(full));
}

static void move_onto_full(void)
{
    OWNED(thing, one);
    OWNED(thing, two);
    (void)!thing_create(SLOT(one));
    (void)!thing_create(SLOT(two));
    MOVE(*SLOT(one), two);
}

static void load_onto_full(void)
{
    static struct thing *field;
    OWNED(thing, one);
    (void)!thing_create(SLOT(one));
    (void)!thing_create(&field);
    LOAD(one, field);
}

static void leave_out_of_order(void)
{
    OWNED(thing, one);
    OWNED(thing, two);
    (void)!thing_create(SLOT(two));
    OWN_TOP = &one.slot;
}

static void test_own_error_traps(void **state)
{
    (void)state;
    static void (*const errors[])(void) = {fill_full, move_onto_full, load_onto_full,
                                           leave_out_of_order};
    for (size_t i = 0; i < ARRAY_COUNT(errors); i++) {
        pid_t child = fork();
        assert_int_not_equal(child, -1);
        if (child == 0) {
            signal(SIGILL, SIG_DFL); /* neither cmocka nor a sanitizer has a say */
            errors[i]();
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGILL);
    }
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

static uintptr_t known_drop;

static bool is_known(uintptr_t drop)
{
    return drop == known_drop;
}

static void test_own_find_slot_knows_slots_by_their_tags(void **state)
{
    (void)state;
    struct own_slot slots[4] = {{.tag = 0}};
    known_drop = (uintptr_t)thing_drop;
    uintptr_t low = (uintptr_t)slots;
    uintptr_t high = (uintptr_t)(slots + 4);
    assert_null(own_find_slot(low, high, is_known));
    slots[1].tag = (uintptr_t)&slots[1] ^ known_drop;
    slots[2].tag = (uintptr_t)&slots[1] ^ known_drop; /* copied from there: no slot */
    slots[3].tag = ((uintptr_t)&slots[3] ^ known_drop) + OWN_TRY;
    assert_ptr_equal(own_find_slot(low, high, is_known), &slots[1]);
    assert_ptr_equal(own_find_slot(low + 1, high, is_known), &slots[1]);
    assert_ptr_equal(own_find_slot((uintptr_t)&slots[2], high, is_known), &slots[3]);
    assert_null(own_find_slot((uintptr_t)&slots[2], high - 1, is_known)); /* not all of it */
    assert_null(own_find_slot(high, low, is_known));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_own_scope_end_releases_once, reset),
        cmocka_unit_test_setup(test_own_move_leaves_one_owner, reset),
        cmocka_unit_test_setup(test_own_loop_releases_each_time, reset),
        cmocka_unit_test_setup(test_own_unwind_releases_newest_first, reset),
        cmocka_unit_test_setup(test_own_unwind_interrupted_move_has_one_owner, reset),
        cmocka_unit_test_setup(test_own_unwind_interrupted_move_to_newer_slot_has_one_owner, reset),
        cmocka_unit_test_setup(test_own_store_and_load_change_the_owner, reset),
        cmocka_unit_test_setup(test_own_unwind_interrupted_load_leaves_the_field_its_owner, reset),
        cmocka_unit_test_setup(test_own_unwind_begins_a_drop_that_faults_once_more, reset),
        cmocka_unit_test_setup(test_own_unwind_skips_a_drop_that_goes_on_faulting, reset),
        cmocka_unit_test_setup(test_own_array_is_released_from_the_last_to_the_first, reset),
        cmocka_unit_test_setup(test_own_list_gives_back_what_was_pushed_last, reset),
        cmocka_unit_test_setup(test_own_list_that_is_empty_gives_nothing, reset),
        cmocka_unit_test_setup(test_own_error_traps, reset),
        cmocka_unit_test_setup(test_own_unwind_stops_at_what_is_no_slot, reset),
        cmocka_unit_test_setup(test_own_find_slot_knows_slots_by_their_tags, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
