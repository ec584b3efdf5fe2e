/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "timer_queue.h"

#define ENTRIES 200
#define ROUNDS  100000
#define SEED    0x2545f4914f6cdd1dull

static uint64_t random_state = SEED;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void test_timer_queue_empty_has_no_deadline(void **state)
{
    (void)state;
    struct timer_queue queue = {0};
    assert_int_equal(timer_queue_next(&queue), UINT64_MAX);
    assert_null(timer_queue_take_expired(&queue, UINT64_MAX));
    struct timer_entry entry = {.deadline = 1};
    timer_queue_remove(&queue, &entry);
    assert_null(queue.earliest);
}

static void test_timer_queue_gives_only_what_has_expired(void **state)
{
    (void)state;
    struct timer_queue queue = {0};
    struct timer_entry late = {.deadline = 20};
    struct timer_entry early = {.deadline = 10};
    timer_queue_add(&queue, &late);
    timer_queue_add(&queue, &early);
    assert_null(timer_queue_take_expired(&queue, 9));
    assert_ptr_equal(timer_queue_take_expired(&queue, 10), &early);
    assert_null(timer_queue_take_expired(&queue, 19));
    assert_ptr_equal(timer_queue_take_expired(&queue, 20), &late);
}

/* The reference: look at all of them. */
static uint64_t earliest_of(const struct timer_entry *entries)
{
    uint64_t earliest = UINT64_MAX;
    for (size_t i = 0; i < ENTRIES; i++) {
        if (entries[i].link && entries[i].deadline < earliest) {
            earliest = entries[i].deadline;
        }
    }
    return earliest;
}

static void test_timer_queue_random_operations_agree_with_reference(void **state)
{
    (void)state;
    static struct timer_entry entries[ENTRIES];
    struct timer_queue queue = {0};
    uint64_t now = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct timer_entry *entry = &entries[next_random() % ENTRIES];
        unsigned choice = next_random() % 4;
        if (choice == 3) {
            now += next_random() % 50;
            struct timer_entry *expired = timer_queue_take_expired(&queue, now);
            assert_true(!expired || (expired->deadline <= now && !expired->link));
            assert_true(!expired || earliest_of(entries) >= expired->deadline);
        } else if (entry->link) {
            timer_queue_remove(&queue, entry);
        } else {
            entry->deadline = now + next_random() % 1000;
            timer_queue_add(&queue, entry);
        }
        assert_int_equal(timer_queue_next(&queue), earliest_of(entries));
    }
    uint64_t last = 0;
    struct timer_entry *expired;
    while ((expired = timer_queue_take_expired(&queue, UINT64_MAX))) {
        assert_true(expired->deadline >= last);
        last = expired->deadline;
    }
    assert_int_equal(earliest_of(entries), UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timer_queue_empty_has_no_deadline),
        cmocka_unit_test(test_timer_queue_gives_only_what_has_expired),
        cmocka_unit_test(test_timer_queue_random_operations_agree_with_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
