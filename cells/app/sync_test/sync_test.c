/* SPDX-License-Identifier: MIT */
/*
 * sync_test - lets tasks work with and against each other by locks, on all CPUs: what is counted
 * under a lock is counted once, deadlines come, a cycle is refused, and an urgent task gets a lock
 * although a busy one keeps its owner from running. The orders of locks are told where they are
 * checked (lock_order.h). The line `figure mutex_uncontended VALUE` is what taking and letting go
 * costs in ticks.
 */
#include "application.h"
#include "condition.h"
#include "console.h"
#include "lock_order.h"
#include "mutex.h"
#include "reader_writer_lock.h"
#include "scheduler.h"
#include "task.h"

CELL(application, "1.0.0");

APPLICATION(sync_test);

#define ROUNDS    300u
#define ITEMS     500u
#define WAIT_NS   3000000u     /* a deadline */
#define LATE_NS   2000000000u  /* an emulator may be stopped for so long */
#define LIMIT_NS  10000000000u /* longer than anything here takes */
#define BUSY_NS   300000000u   /* the busy task gives up after so long */
#define SETTLE_NS 5000000u     /* the others have come where they wait */

/* What the tasks share; it lives on the stack of sync_test_main, which joins them all. */
struct shared {
    struct mutex mutex;
    struct mutex second;
    struct reader_writer_lock rw;
    struct condition changed;
    uint64_t count;   /* with mutex */
    uint64_t pair[2]; /* with rw; equal when nobody writes */
    uint64_t items;   /* with mutex: made, not yet taken */
    uint64_t torn;    /* pairs that were not equal; atomic */
    unsigned begun;   /* tasks that have reached a place; atomic */
    unsigned refused; /* atomic */
    bool done;        /* atomic */
};

struct job {
    struct shared *shared;
    unsigned number;
};

static enum status say(const char *what, bool good)
{
    console_print("sync_test: %s: %s\n", what, good ? "OK" : "FAILED");
    return good ? OK : ERR_FAILED;
}

/* ---- counting ---- */

static int count_under_mutex(struct job *job)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        GUARD(mutex, held, &job->shared->mutex);
        uint64_t count = job->shared->count;
        if (i % 16 == 0) {
            task_yield(); /* others come while it is held */
        }
        job->shared->count = count + 1;
    }
    return 0;
}
TASK_DEFINE(counter, struct job, int, count_under_mutex);

static int read_or_write_pair(struct job *job)
{
    struct shared *shared = job->shared;
    for (unsigned i = 0; i < ROUNDS; i++) {
        if ((i + job->number) % 4 == 0) {
            GUARD(write_side, held, &shared->rw.write);
            shared->pair[0]++;
            task_yield();
            shared->pair[1]++;
        } else {
            GUARD(read_side, held, &shared->rw.read);
            uint64_t first = shared->pair[0];
            task_yield();
            if (first != shared->pair[0] || first != shared->pair[1]) {
                __atomic_add_fetch(&shared->torn, 1, __ATOMIC_RELAXED);
            }
        }
    }
    return 0;
}
TASK_DEFINE(reader, struct job, int, read_or_write_pair);

/* Unchecked, like others below: clang does not follow guards that are lent, or tried for. */
static enum status make_or_take(struct job *job) OWN_UNCHECKED
{
    struct shared *shared = job->shared;
    for (unsigned i = 0; i < ITEMS; i++) {
        GUARD(mutex, held, &shared->mutex);
        if (job->number % 2) {
            shared->items++;
            (void)condition_wake_one(&shared->changed);
            continue;
        }
        uint64_t deadline = parking_deadline(LIMIT_NS);
        while (!shared->items) {
            enum status status = condition_wait(&shared->changed, SLOT(held), deadline);
            if (status != OK) {
                return status;
            }
        }
        shared->items--;
    }
    return OK;
}
TASK_DEFINE(worker, struct job, enum status, make_or_take);

static enum status test_mutex(struct shared *shared)
{
    OWNED(counter_task, a);
    OWNED(counter_task, b);
    OWNED(counter_task, c);
    OWNED(counter_task, d);
    struct job job = {shared, 0};
    if (counter_spawn(&job, NULL, SLOT(a)) != OK || counter_spawn(&job, NULL, SLOT(b)) != OK ||
        counter_spawn(&job, NULL, SLOT(c)) != OK || counter_spawn(&job, NULL, SLOT(d)) != OK) {
        return say("four tasks", false);
    }
    int result;
    bool good = counter_join(SLOT(a), &result) == OK;
    good &= counter_join(SLOT(b), &result) == OK;
    good &= counter_join(SLOT(c), &result) == OK;
    good &= counter_join(SLOT(d), &result) == OK;
    return say("four tasks count under a mutex",
               good && shared->count == 4 * ROUNDS && !mutex_is_held(&shared->mutex));
}

static enum status test_reader_writer_lock(struct shared *shared)
{
    OWNED(reader_task, a);
    OWNED(reader_task, b);
    OWNED(reader_task, c);
    if (reader_spawn(&(struct job){shared, 0}, NULL, SLOT(a)) != OK ||
        reader_spawn(&(struct job){shared, 1}, NULL, SLOT(b)) != OK ||
        reader_spawn(&(struct job){shared, 2}, NULL, SLOT(c)) != OK) {
        return say("three tasks", false);
    }
    int result;
    bool good = reader_join(SLOT(a), &result) == OK;
    good &= reader_join(SLOT(b), &result) == OK;
    good &= reader_join(SLOT(c), &result) == OK;
    return say("readers see what writers have finished",
               good && !shared->torn && shared->pair[0] == 3 * ROUNDS / 4 &&
                   shared->pair[1] == shared->pair[0] && !reader_writer_lock_readers(&shared->rw));
}

static enum status test_condition(struct shared *shared)
{
    OWNED(worker_task, maker);
    OWNED(worker_task, taker);
    if (worker_spawn(&(struct job){shared, 0}, NULL, SLOT(taker)) != OK ||
        worker_spawn(&(struct job){shared, 1}, NULL, SLOT(maker)) != OK) {
        return say("two tasks", false);
    }
    enum status made = ERR_FAILED;
    enum status taken = ERR_FAILED;
    bool good = worker_join(SLOT(maker), &made) == OK;
    good &= worker_join(SLOT(taker), &taken) == OK;
    return say("what one makes another waits for and takes",
               good && made == OK && taken == OK && !shared->items);
}

/* ---- deadlines ---- */

static int hold_everything(struct job *job)
{
    GUARD(mutex, held, &job->shared->mutex);
    GUARD(write_side, written, &job->shared->rw.write);
    __atomic_add_fetch(&job->shared->begun, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&job->shared->done, __ATOMIC_ACQUIRE)) {
        task_sleep(WAIT_NS);
    }
    return 0;
}
TASK_DEFINE(holder, struct job, int, hold_everything);

static bool came_in_time(uint64_t start)
{
    uint64_t took = parking_now() - start;
    return took >= WAIT_NS && took < WAIT_NS + LATE_NS;
}

static enum status test_deadlines(struct shared *shared) OWN_UNCHECKED
{
    OWNED(holder_task, holder);
    if (holder_spawn(&(struct job){shared, 0}, NULL, SLOT(holder)) != OK) {
        return say("a task", false);
    }
    while (!__atomic_load_n(&shared->begun, __ATOMIC_ACQUIRE)) {
        task_yield();
    }
    OWNED(mutex, mutex);
    OWNED(read_side, read);
    OWNED(write_side, write);
    uint64_t start = parking_now();
    bool good = mutex_lock_until(&shared->mutex, SLOT(mutex), start + WAIT_NS) == ERR_TIMEOUT;
    good &= came_in_time(start);
    start = parking_now();
    good &= read_side_lock_until(&shared->rw.read, SLOT(read), start + WAIT_NS) == ERR_TIMEOUT;
    good &= came_in_time(start);
    start = parking_now();
    good &= write_side_lock_until(&shared->rw.write, SLOT(write), start + WAIT_NS) == ERR_TIMEOUT;
    good &= came_in_time(start);
    good &= !mutex_try_lock(&shared->mutex, SLOT(mutex));
    GUARD(mutex, other, &shared->second);
    start = parking_now();
    good &= condition_wait(&shared->changed, SLOT(other), start + WAIT_NS) == ERR_TIMEOUT;
    good &= came_in_time(start);
    __atomic_store_n(&shared->done, true, __ATOMIC_RELEASE);
    int result;
    good &= holder_join(SLOT(holder), &result) == OK;
    return say("deadlines come", good);
}

/* ---- deadlock ---- */

/* Each takes its first when both have, so both want what the other has. */
static int take_crosswise(struct job *job) OWN_UNCHECKED
{
    struct shared *shared = job->shared;
    GUARD(mutex, outer, job->number ? &shared->second : &shared->mutex);
    __atomic_add_fetch(&shared->begun, 1, __ATOMIC_RELEASE);
    while (__atomic_load_n(&shared->begun, __ATOMIC_ACQUIRE) < 2) {
        task_yield();
    }
    OWNED(mutex, inner);
    if (mutex_lock_until(job->number ? &shared->mutex : &shared->second, SLOT(inner),
                         parking_deadline(LIMIT_NS)) == ERR_DEADLOCK) {
        __atomic_add_fetch(&shared->refused, 1, __ATOMIC_RELAXED);
    }
    return 0;
}
TASK_DEFINE(crossing, struct job, int, take_crosswise);

static enum status test_deadlock(struct shared *shared)
{
    OWNED(crossing_task, a);
    OWNED(crossing_task, b);
    shared->begun = 0;
    if (crossing_spawn(&(struct job){shared, 0}, NULL, SLOT(a)) != OK ||
        crossing_spawn(&(struct job){shared, 1}, NULL, SLOT(b)) != OK) {
        return say("two tasks", false);
    }
    int result;
    bool good = crossing_join(SLOT(a), &result) == OK;
    good &= crossing_join(SLOT(b), &result) == OK;
    return say("one of two that would wait for each other is refused",
               good && shared->refused == 1 && !mutex_is_held(&shared->mutex) &&
                   !mutex_is_held(&shared->second));
}

/* ---- inversion; all on one CPU ---- */

static int hold_and_sleep(struct job *job)
{
    GUARD(mutex, held, &job->shared->mutex);
    __atomic_add_fetch(&job->shared->begun, 1, __ATOMIC_RELEASE);
    task_sleep(SETTLE_NS);
    return 0;
}
TASK_DEFINE(low, struct job, int, hold_and_sleep);

static int want_and_tell(struct job *job)
{
    GUARD(mutex, held, &job->shared->mutex);
    __atomic_store_n(&job->shared->done, true, __ATOMIC_RELEASE);
    return 0;
}
TASK_DEFINE(high, struct job, int, want_and_tell);

/* Keeps the CPU; true if the urgent task got through meanwhile. */
static bool be_busy(struct job *job)
{
    uint64_t end = parking_deadline(BUSY_NS);
    while (parking_now() < end) {
        if (__atomic_load_n(&job->shared->done, __ATOMIC_ACQUIRE)) {
            return true;
        }
    }
    return false;
}
TASK_DEFINE(busy, struct job, bool, be_busy);

static enum status test_inversion(struct shared *shared)
{
    OWNED(low_task, low);
    OWNED(busy_task, busy);
    OWNED(high_task, high);
    shared->begun = 0;
    shared->done = false;
    struct job job = {shared, 0};
    struct task_options options = {.is_pinned = true, .cpu = CPU_LOCAL(index), .priority = 2};
    if (low_spawn(&job, &options, SLOT(low)) != OK) {
        return say("a task", false);
    }
    while (!__atomic_load_n(&shared->begun, __ATOMIC_ACQUIRE)) {
        task_sleep(SETTLE_NS / 10);
    }
    options.priority = 20;
    if (high_spawn(&job, &options, SLOT(high)) != OK) {
        return say("a task", false);
    }
    options.priority = 10;
    if (busy_spawn(&job, &options, SLOT(busy)) != OK) {
        return say("a task", false);
    }
    int result;
    bool came_through = false;
    bool good = busy_join(SLOT(busy), &came_through) == OK;
    good &= high_join(SLOT(high), &result) == OK;
    good &= low_join(SLOT(low), &result) == OK;
    return say("an urgent task is not delayed by a busy one", good && came_through);
}

/* ---- what it costs ---- */

static void measure_mutex(struct shared *shared)
{
    uint64_t start = read_tsc();
    for (unsigned i = 0; i < ROUNDS; i++) {
        GUARD(mutex, held, &shared->mutex);
    }
    uint64_t tenths = (read_tsc() - start) * 10 / ROUNDS;
    console_print("figure mutex_uncontended %lu.%lu\n", (unsigned long)(tenths / 10),
                  (unsigned long)(tenths % 10));
}

static void print_lock_order(void)
{
    if (!LOCK_ORDER_CHECKED) {
        console_print("sync_test: the order of locks is not checked in this build\n");
        return;
    }
    struct lock_order_statistics order = lock_order_statistics();
    console_print("sync_test: %u kinds of locks, %u orders, %u findings\n", order.kinds,
                  order.orders, order.findings);
}

enum status sync_test_main(const struct app_arguments *arguments)
{
    (void)arguments;
    if (!parking_self()) {
        console_print("sync_test: needs tasks\n");
        return ERR_STATE;
    }
    struct shared shared = {
        .mutex = {.name = "first"},
        .second = {.name = "second"},
        .rw = {.lock = {.name = "pair"}},
        .changed = {.lock = {.name = "changed"}},
    };
    static enum status (*const tests[])(struct shared *) = {
        test_mutex,     test_reader_writer_lock, test_condition,
        test_deadlines, test_deadlock,           test_inversion,
    };
    enum status status = OK;
    for (unsigned i = 0; i < ARRAY_COUNT(tests); i++) {
        enum status failed = tests[i](&shared);
        status = status == OK ? failed : status;
    }
    measure_mutex(&shared);
    print_lock_order();
    return status;
}
