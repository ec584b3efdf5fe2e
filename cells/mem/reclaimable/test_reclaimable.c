/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "reclaimable.h"

struct OWN_CAPABILITY("thing") thing;
OWN_DECLARE(thing);

#define ALIVE 0x600d600d
#define DEAD  0xdeaddead

struct thing {
    uint32_t mark;
};

static uint64_t created;
static uint64_t dropped;

void thing_drop(struct thing **handle)
{
    struct thing *thing = *handle;
    if (thing) {
        thing->mark = DEAD;
        __atomic_add_fetch(&dropped, 1, __ATOMIC_RELAXED);
        EMPTY(handle);
        free(thing);
    }
}

static enum status thing_create(struct thing **out) OWN_ACQUIRES(**out);
static enum status thing_create(struct thing **out)
{
    struct thing *thing = malloc(sizeof(*thing));
    thing->mark = ALIVE;
    created++;
    FILL(out, thing);
    return OK;
}

static struct reclaimable place;
static struct reclaimable_reference reference;

static int start(void **state)
{
    (void)state;
    place = (struct reclaimable){.state = 0};
    created = dropped = 0;
    OWNED(thing, thing);
    assert_int_equal(thing_create(SLOT(thing)), OK);
    assert_int_equal(RECLAIMABLE_FILL(thing, &place, thing, &reference), OK);
    assert_false(HELD(thing));
    return 0;
}

static void test_reference_is_good_until_the_thing_is_revoked(void **state)
{
    (void)state;
    {
        OWNED(reclaimable_use, use);
        assert_int_equal(reclaimable_use_begin(reference, SLOT(use)), OK);
        struct thing *thing = reclaimable_use_thing(REF(use));
        assert_int_equal(thing->mark, ALIVE);
        assert_false(reclaimable_is_gone(REF(use)));
    }
    assert_int_equal(dropped, 0);
    assert_true(reclaimable_revoke(&place));
    assert_int_equal(dropped, 1);
    assert_false(reclaimable_revoke(&place));
    OWNED(reclaimable_use, late);
    assert_int_equal(reclaimable_use_begin(reference, SLOT(late)), ERR_CLOSED);
    assert_false(HELD(late));
}

static void test_user_sees_it_and_the_last_one_releases(void **state)
{
    (void)state;
    OWNED(reclaimable_use, first);
    OWNED(reclaimable_use, second);
    assert_int_equal(reclaimable_use_begin(reference, SLOT(first)), OK);
    assert_int_equal(reclaimable_use_begin(reference, SLOT(second)), OK);
    assert_true(reclaimable_revoke(&place));
    assert_true(reclaimable_is_gone(REF(first)));
    assert_int_equal(((struct thing *)reclaimable_use_thing(REF(first)))->mark, ALIVE);
    reclaimable_use_drop(SLOT(first));
    reclaimable_use_drop(SLOT(first)); /* again: nothing */
    assert_int_equal(dropped, 0);
    reclaimable_use_drop(SLOT(second));
    assert_int_equal(dropped, 1);
}

static void test_place_is_filled_again_and_old_references_stay_gone(void **state)
{
    (void)state;
    struct reclaimable_reference other;
    OWNED(thing, thing);
    assert_int_equal(thing_create(SLOT(thing)), OK);
    assert_int_equal(RECLAIMABLE_FILL(thing, &place, thing, &other), ERR_BUSY);
    assert_true(HELD(thing));
    assert_true(reclaimable_revoke(&place));
    assert_int_equal(RECLAIMABLE_FILL(thing, &place, thing, &other), OK);
    OWNED(reclaimable_use, use);
    assert_int_equal(reclaimable_use_begin(reference, SLOT(use)), ERR_CLOSED);
    assert_int_equal(reclaimable_use_begin(other, SLOT(use)), OK);
    assert_true(reclaimable_revoke(&place));
    OWNED(thing, third);
    assert_int_equal(thing_create(SLOT(third)), OK);
    assert_int_equal(RECLAIMABLE_FILL(thing, &place, third, &other), ERR_BUSY); /* in use */
    assert_int_equal(dropped, 1);
    static const struct reclaimable_reference nothing;
    OWNED(reclaimable_use, none);
    assert_int_equal(reclaimable_use_begin(nothing, SLOT(none)), ERR_CLOSED);
}

static void test_take_wants_it_alone(void **state)
{
    (void)state;
    OWNED(thing, thing);
    {
        OWNED(reclaimable_use, use);
        assert_int_equal(reclaimable_use_begin(reference, SLOT(use)), OK);
        assert_int_equal(reclaimable_take(&place, (void **)SLOT(thing)), ERR_BUSY);
    }
    assert_int_equal(reclaimable_take(&place, (void **)SLOT(thing)), OK);
    assert_int_equal(REF(thing)->mark, ALIVE);
    OWNED(thing, none);
    assert_int_equal(reclaimable_take(&place, (void **)SLOT(none)), ERR_NOT_FOUND);
    assert_int_equal(dropped, 0);
    assert_false(reclaimable_is_there(&place));
}

/* ---- many threads ---- */

#define ROUNDS  20000
#define THREADS 3

static uint64_t published; /* the filling that can be used */
static uint32_t stop;
static uint32_t wrong;
static uint64_t uses;

static void *use_again_and_again(void *unused)
{
    (void)unused;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        struct reclaimable_reference at = {&place,
                                           (uint32_t)__atomic_load_n(&published, __ATOMIC_RELAXED)};
        OWNED(reclaimable_use, use);
        if (reclaimable_use_begin(at, SLOT(use)) != OK) {
            continue;
        }
        const volatile struct thing *thing = reclaimable_use_thing(REF(use));
        for (int i = 0; i < 10; i++) {
            if (thing->mark != ALIVE) {
                __atomic_store_n(&wrong, 1, __ATOMIC_RELAXED);
            }
        }
        __atomic_add_fetch(&uses, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void test_nobody_meets_what_was_released(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    stop = wrong = 0;
    uses = 0;
    published = reference.filling;
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, use_again_and_again, NULL), 0);
    }
    for (int i = 0; i < ROUNDS; i++) {
        assert_true(reclaimable_revoke(&place));
        OWNED(thing, thing);
        assert_int_equal(thing_create(SLOT(thing)), OK);
        while (RECLAIMABLE_FILL(thing, &place, thing, &reference) != OK) {
            sched_yield(); /* the last user is still there */
        }
        __atomic_store_n(&published, reference.filling, __ATOMIC_RELAXED);
    }
    while (__atomic_load_n(&uses, __ATOMIC_RELAXED) == 0) {
        sched_yield(); /* a busy machine may not have run any of them yet */
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_true(reclaimable_revoke(&place));
    assert_int_equal(wrong, 0);
    assert_int_equal(created, ROUNDS + 1);
    assert_int_equal(dropped, created);
}

/* ---- caches ---- */

static uint64_t give_two(void)
{
    return 2;
}

static uint64_t give_place(void)
{
    return reclaimable_revoke(&place);
}

static void test_relieve_asks_all_caches(void **state)
{
    (void)state;
    static struct reclaimable_cache two = {.name = "two", .reclaim = give_two};
    static struct reclaimable_cache one = {.name = "one", .reclaim = give_place};
    assert_int_equal(reclaimable_relieve(), 0);
    reclaimable_register(&two);
    reclaimable_register(&one);
    assert_int_equal(reclaimable_relieve(), 3);
    assert_int_equal(reclaimable_relieve(), 2);
    assert_int_equal(dropped, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_reference_is_good_until_the_thing_is_revoked, start),
        cmocka_unit_test_setup(test_user_sees_it_and_the_last_one_releases, start),
        cmocka_unit_test_setup(test_place_is_filled_again_and_old_references_stay_gone, start),
        cmocka_unit_test_setup(test_take_wants_it_alone, start),
        cmocka_unit_test_setup(test_nobody_meets_what_was_released, start),
        cmocka_unit_test_setup(test_relieve_asks_all_caches, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
