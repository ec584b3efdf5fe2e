/* SPDX-License-Identifier: MIT */
/*
 * reader_writer_lock.h - locks that many may hold to read, or one to write.
 *
 * Why: what is read often and for long, and changed seldom, should not make readers wait for each
 * other. Where reading is short a mutex is cheaper.
 *
 * Rules: tasks only, interrupts enabled, no hold of preemption, unless nobody else can have the
 * lock. *Fair*: nobody overtakes who came earlier; readers that stand together in the queue go in
 * together. So neither readers nor writers starve, and who already reads must not read again: a
 * writer that came meanwhile would stand between. Not recursive, no change from reading to writing.
 * No inheritance of priorities: a reader is one of many. Memory that is all zeros is an unlocked
 * lock without a name.
 *
 *      GUARD(read_side, held, &table->lock.read);    to the end of the block
 *      GUARD(write_side, held, &table->lock.write);
 *
 * Safe at any instruction, each change being one store; guards are not moved. The contracts that
 * clang checks know the two sides as two locks: data can be named as protected by the write side
 * only.
 */
#pragma once

#include "parking.h"
#include "spinlock.h"
#include "wait_queue.h"

/* How many may read at once; who comes then waits. It is what the word has room for. */
#define READERS_MAX UINT16_MAX

struct OWN_LOCK("read side") read_side {
    uint64_t word; /* how many read (16 bits), and the guard of the newest or of who leaves */
};
OWN_DECLARE_LOCK(read_side);

struct OWN_LOCK("write side") write_side {
    struct write_side **holder; /* the guard that writes, NULL: nobody */
};
OWN_DECLARE_LOCK(write_side);

struct reader_writer_lock {
    struct read_side read;
    struct write_side write;
    struct spinlock lock;      /* of all the others */
    struct wait_queue waiters; /* who waits longest is first */
};

#define READER_WRITER_LOCK_INIT(text) ((struct reader_writer_lock){.lock = {.name = (text)}})

CELL_API void read_side_lock(struct read_side *side, struct read_side **guard) OWN_LOCKS(*side);
CELL_API void write_side_lock(struct write_side *side, struct write_side **guard) OWN_LOCKS(*side);

/* `*guard` is full if it returns OK. ERR_TIMEOUT at `deadline` (parking.h; 0: only if it can be had at
 * once), ERR_STATE if it would have to wait before there are tasks. */
CELL_API MUST_CHECK enum status read_side_lock_until(struct read_side *side,
                                                     struct read_side **guard, uint64_t deadline);
CELL_API MUST_CHECK enum status write_side_lock_until(struct write_side *side,
                                                      struct write_side **guard, uint64_t deadline);

/* Before the end of the guard's scope. */
#define read_side_unlock(guard)  read_side_drop(guard)
#define write_side_unlock(guard) write_side_drop(guard)

/* How many read now, and does somebody write? For assertions: they may be others. */
CELL_API unsigned reader_writer_lock_readers(const struct reader_writer_lock *lock);
CELL_API bool reader_writer_lock_is_written(const struct reader_writer_lock *lock);
