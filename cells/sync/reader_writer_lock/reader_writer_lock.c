/* SPDX-License-Identifier: MIT */
/*
 * A writer is its guard's address in `holder`. Of readers there are many, and who is killed must
 * know whether he has been counted. So count and guard change by one store of one word, and before
 * the next change overwrites the guard there it is noted in the guard itself, as bit 0 of its
 * handle:
 *
 *      a guard is counted  <=>  it stands in the word, or its bit 0 is set
 *
 *      step of who comes                     step of who leaves
 *      note who stands in the word           note who stands in the word
 *      (count + 1, my guard)                 (count, my guard)
 *                                            clear my bit 0
 *                                            (count - 1, nobody)
 *
 * Between any two of these steps the equivalence holds, and others may change the lock in between.
 * A guard that stands in the word is alive, because it cannot be left before it has gone through
 * the last step.
 *
 * Who lets go admits those at the head of the queue that can go in: it changes the lock in their
 * name, having woken them first, so that whoever is woken by a hand that dies finds itself not
 * admitted and waits again. Each drop of a guard admits, also of one that only waited: it may have
 * stood in the way.
 */
#include "reader_writer_lock.h"
#include "lock_order.h"

CELL(library, "1.0.0");

#define COUNT_SHIFT 48
#define NOTED       ((uintptr_t)1)

/* What a waiter wants: context of its record. One of both is NULL. */
struct request {
    struct read_side **reader;
    struct write_side **writer;
};

static unsigned count_of(const struct reader_writer_lock *lock)
{
    return (unsigned)(__atomic_load_n(&lock->read.word, __ATOMIC_RELAXED) >> COUNT_SHIFT);
}

/* Canonical addresses: bit 47 is repeated above. */
static struct read_side **guard_in_word(const struct reader_writer_lock *lock)
{
    uint64_t shifted = lock->read.word << (64 - COUNT_SHIFT);
    return (struct read_side **)((int64_t)shifted >> (64 - COUNT_SHIFT));
}

/* The commit. */
static void set_word(struct reader_writer_lock *lock, unsigned count, struct read_side **guard)
{
    uint64_t address = (uint64_t)(uintptr_t)guard << (64 - COUNT_SHIFT) >> (64 - COUNT_SHIFT);
    COMPILER_BARRIER();
    __atomic_store_n(&lock->read.word, (uint64_t)count << COUNT_SHIFT | address, __ATOMIC_RELAXED);
    COMPILER_BARRIER();
}

static bool is_noted(struct read_side *const *guard)
{
    return (uintptr_t)*guard & NOTED;
}

static bool is_counted(const struct reader_writer_lock *lock, struct read_side *const *guard)
{
    return guard_in_word(lock) == guard || is_noted(guard);
}

static void note_guard_in_word(const struct reader_writer_lock *lock)
{
    struct read_side **guard = guard_in_word(lock);
    if (guard) {
        *guard = (struct read_side *)((uintptr_t)*guard | NOTED);
    }
}

static struct reader_writer_lock *lock_of_reader(struct read_side *handle)
{
    struct read_side *side = (struct read_side *)((uintptr_t)handle & ~NOTED);
    return CONTAINER_OF(side, struct reader_writer_lock, read);
}

static struct reader_writer_lock *lock_of_writer(struct write_side *side)
{
    return CONTAINER_OF(side, struct reader_writer_lock, write);
}

/* Both sides are of one kind: one lock. */
static const char *read_side_name(const void *side)
{
    return lock_of_reader((struct read_side *)(uintptr_t)side)->lock.name;
}

static const char *write_side_name(const void *side)
{
    return lock_of_writer((struct write_side *)(uintptr_t)side)->lock.name;
}

static const struct lock_type read_side_type = {.what = "reader_writer_lock",
                                                .drop = (own_drop_t)read_side_drop,
                                                .name = read_side_name,
                                                .parks = true};
static const struct lock_type write_side_type = {.what = "reader_writer_lock",
                                                 .drop = (own_drop_t)write_side_drop,
                                                 .name = write_side_name,
                                                 .parks = true};

/* ---- in and out; with the spinlock ---- */

static bool can_enter(const struct reader_writer_lock *lock, const struct request *request)
{
    if (lock->write.holder) {
        return false;
    }
    return request->writer ? count_of(lock) == 0 : count_of(lock) < READERS_MAX;
}

static void enter(struct reader_writer_lock *lock, const struct request *request)
{
    if (request->writer) {
        lock->write.holder = request->writer;
    } else {
        note_guard_in_word(lock);
        set_word(lock, count_of(lock) + 1, request->reader);
    }
}

static bool has_entered(const struct reader_writer_lock *lock, const struct request *request)
{
    return request->writer ? lock->write.holder == request->writer
                           : is_counted(lock, request->reader);
}

static void leave(struct reader_writer_lock *lock, const struct request *request)
{
    if (!has_entered(lock, request)) {
        return;
    }
    if (request->writer) {
        lock->write.holder = NULL;
    } else {
        note_guard_in_word(lock);
        set_word(lock, count_of(lock), request->reader);
        *request->reader = &lock->read;
        set_word(lock, count_of(lock) - 1, NULL);
    }
}

static void admit_waiters(struct reader_writer_lock *lock)
{
    struct waiter *waiter;
    while ((waiter = wait_queue_first(&lock->waiters)) && can_enter(lock, waiter->context)) {
        const struct request *request = waiter->context;
        wait_queue_wake(waiter);
        enter(lock, request);
    }
}

/* ---- what both sides do ---- */

/* Unchecked: the guard's address is lent, and clang loses sight of it. */
static enum status enter_or_wait(struct reader_writer_lock *lock, struct request *request,
                                 uint64_t deadline) OWN_UNCHECKED
{
    const struct parking_reason reason = {.what = request->writer ? "write side" : "read side",
                                          .object = lock};
    GUARD(spinlock, held, &lock->lock);
    enum status status = OK;
    for (;;) {
        if (!wait_queue_first(&lock->waiters) && can_enter(lock, request)) {
            enter(lock, request);
            return OK;
        }
        if (status == OK && !deadline) {
            status = ERR_TIMEOUT;
        }
        if (status != OK) {
            admit_waiters(lock);
            return status;
        }
        status = wait_queue_wait(&lock->waiters, SLOT(held), deadline, &reason, request);
        if (has_entered(lock, request)) {
            return OK;
        }
    }
}

static void leave_and_admit(struct reader_writer_lock *lock, const struct request *request)
{
    GUARD(spinlock, held, &lock->lock);
    leave(lock, request);
    admit_waiters(lock);
}

/* ---- reading ---- */

void read_side_drop(struct read_side **guard)
{
    if (*guard) {
        leave_and_admit(lock_of_reader(*guard), &(struct request){.reader = guard});
        EMPTY(guard);
    }
}

enum status read_side_lock_until(struct read_side *side, struct read_side **guard,
                                 uint64_t deadline)
{
    if (deadline) {
        lock_order_acquire(&read_side_type, side, guard, __builtin_return_address(0));
    }
    FILL(guard, side);
    enum status status =
        enter_or_wait(lock_of_reader(side), &(struct request){.reader = guard}, deadline);
    if (status != OK) {
        EMPTY(guard);
    }
    return status;
}

void read_side_lock(struct read_side *side, struct read_side **guard) OWN_UNCHECKED
{
    OWN_DEMAND_(read_side_lock_until(side, guard, PARK_FOREVER) == OK);
}

/* ---- writing ---- */

void write_side_drop(struct write_side **guard)
{
    if (*guard) {
        leave_and_admit(lock_of_writer(*guard), &(struct request){.writer = guard});
        EMPTY(guard);
    }
}

enum status write_side_lock_until(struct write_side *side, struct write_side **guard,
                                  uint64_t deadline)
{
    if (deadline) {
        lock_order_acquire(&write_side_type, side, guard, __builtin_return_address(0));
    }
    FILL(guard, side);
    enum status status =
        enter_or_wait(lock_of_writer(side), &(struct request){.writer = guard}, deadline);
    if (status != OK) {
        EMPTY(guard);
    }
    return status;
}

void write_side_lock(struct write_side *side, struct write_side **guard) OWN_UNCHECKED
{
    OWN_DEMAND_(write_side_lock_until(side, guard, PARK_FOREVER) == OK);
}

unsigned reader_writer_lock_readers(const struct reader_writer_lock *lock)
{
    return count_of(lock);
}

bool reader_writer_lock_is_written(const struct reader_writer_lock *lock)
{
    return __atomic_load_n(&lock->write.holder, __ATOMIC_RELAXED) != NULL;
}
