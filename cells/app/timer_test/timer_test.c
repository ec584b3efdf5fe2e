/* SPDX-License-Identifier: MIT */
/* timer_test - has timers call functions: in order, again, not after a drop, and beside one that
 * faults. */
#include "application.h"
#include "console.h"
#include "task.h"
#include "timer.h"

CELL(application, "1.0.0");

APPLICATION(timer_test);

#define MS       1000000ull
#define ONCE     5u
#define LIMIT_NS (10000 * MS)

struct record {
    unsigned calls; /* atomically */
    unsigned order[ONCE];
};

struct shot {
    struct record *record;
    unsigned number;
    uint64_t deadline;
    bool was_early;
};

static void note(void *context)
{
    struct shot *shot = context;
    shot->was_early = parking_now() < shot->deadline;
    unsigned call = __atomic_fetch_add(&shot->record->calls, 1, __ATOMIC_RELAXED);
    shot->record->order[call % ONCE] = shot->number;
}

static void count(void *context)
{
    __atomic_fetch_add((unsigned *)context, 1, __ATOMIC_RELAXED);
}

/* Long enough to be dropped meanwhile. */
static void count_slowly(void *context)
{
    unsigned *calls = context;
    __atomic_store_n(&calls[0], 1, __ATOMIC_RELEASE);
    task_sleep(30 * MS);
    __atomic_store_n(&calls[1], 1, __ATOMIC_RELEASE);
}

static void fault(void *unused)
{
    (void)unused;
    __asm__ volatile("ud2");
}

static bool wait_for(const unsigned *counter, unsigned value)
{
    uint64_t deadline = parking_deadline(LIMIT_NS);
    while (__atomic_load_n(counter, __ATOMIC_ACQUIRE) < value && parking_now() < deadline) {
        task_sleep(MS);
    }
    return __atomic_load_n(counter, __ATOMIC_ACQUIRE) >= value;
}

static bool say(const char *what, bool is_right)
{
    console_print("timer_test: %s: %s\n", what, is_right ? "OK" : "FAILED");
    return is_right;
}

static bool calls_come_in_order(void)
{
    struct record record = {0};
    struct shot shots[ONCE];
    struct timer *timers[ONCE] = {0};
    uint64_t now = parking_now();
    bool is_right = true;
    for (unsigned i = 0; i < ONCE; i++) { /* the last one first */
        shots[i] = (struct shot){&record, i, now + (ONCE - i) * 20 * MS, false};
        OWNED(timer, timer);
        enum status status = timer_create(shots[i].deadline, 0, note, &shots[i], SLOT(timer));
        if (status != OK) {
            is_right = false;
            continue;
        }
        STORE(timers[i], timer);
    }
    is_right &= wait_for(&record.calls, ONCE);
    for (unsigned i = 0; i < ONCE; i++) {
        timer_drop(&timers[i]);
        is_right &= record.order[i] == ONCE - 1 - i && !shots[i].was_early;
    }
    return is_right && record.calls == ONCE;
}

static bool periods_end_with_the_drop(void)
{
    unsigned calls = 0;
    bool is_right;
    {
        OWNED(timer, timer);
        if (timer_create(parking_now(), 2 * MS, count, &calls, SLOT(timer)) != OK) {
            return false;
        }
        is_right = wait_for(&calls, 10);
    }
    unsigned at_drop = calls;
    task_sleep(20 * MS);
    return is_right && __atomic_load_n(&calls, __ATOMIC_RELAXED) == at_drop;
}

static bool drops_wait_for_the_function(void)
{
    unsigned calls[2] = {0};
    bool is_right;
    {
        OWNED(timer, timer);
        if (timer_create(0, 5 * MS, count_slowly, calls, SLOT(timer)) != OK) {
            return false;
        }
        is_right = wait_for(calls, 1);
    }
    return is_right && calls[1] == 1;
}

static bool a_fault_is_of_one_timer(void)
{
    OWNED(timer, faulty);
    if (timer_create(0, MS, fault, NULL, SLOT(faulty)) != OK) {
        return false;
    }
    task_sleep(10 * MS);
    return periods_end_with_the_drop();
}

enum status timer_test_main(const struct app_arguments *arguments)
{
    (void)arguments;
    bool is_right = say("calls come in order, none too early", calls_come_in_order());
    is_right &= say("periods end with the drop", periods_end_with_the_drop());
    is_right &= say("drops wait for the function", drops_wait_for_the_function());
    is_right &= say("a fault is of one timer", a_fault_is_of_one_timer());
    return is_right ? OK : ERR_FAILED;
}
