/* SPDX-License-Identifier: MIT */
/*
 * bounded_lock.h - a lock for which nobody waits for ever, reports and NMIs included.
 *
 * Why: a line of text must not be mixed with another, but a report of what went wrong must come out
 * even where the CPU that prints is the one that went wrong. So a wait ends when the lock is held
 * by the very CPU that waits, or for longer than anybody with good reason holds it; the caller then
 * decides whether to go on without.
 *
 * Rules: any context, also before there is anything else. Interrupts are off while it is held, and
 * as they were while it is waited for. Who holds it does little, waits for nobody, and makes no
 * remote call. It stands below all other locks, and the checker of orders (lock_order.h) does not
 * look at it, because that reports through it. Memory that is all zeros is an unlocked lock. A
 * guard is not moved. Safe at any instruction, as a spinlock is (spinlock.h): a guard whose lock
 * says otherwise holds nothing.
 *
 *      OWNED(bounded_lock, held);
 *      bool alone = bounded_lock_lock(&table->lock, SLOT(held));     to the end of the block
 */
#pragma once

#include "cpu_local.h"

/* Ticks of the time stamp counter after which one hold counts as stuck: 1 to 4 seconds. A full line
 * on a serial port takes 45 ms, and an emulated CPU may be left out for some hundred. */
#define BOUNDED_LOCK_TICKS (1ull << 32)

struct OWN_LOCK("bounded_lock") bounded_lock {
    struct bounded_lock **holder; /* the guard that holds it, NULL: nobody */
    struct cpu_local *cpu;        /* of the holder; NULL around its taking and letting go */
    uint64_t ended;               /* holds that have ended: the name of the present one */
    uint64_t stuck;               /* 1 + name of the hold that lasted too long; 0: none did */
    bool enable;                  /* of the holder: interrupts were enabled */
};
OWN_DECLARE_HOLDING_LOCK(bounded_lock);

/*
 * True: `*guard` is full, the caller is alone. False, `*guard` empty: this CPU holds the lock, and
 * the caller came in the middle; or one hold lasted BOUNDED_LOCK_TICKS. Nobody waits again for such
 * a hold; if it ends after all, the lock is as before.
 */
CELL_API MUST_CHECK bool bounded_lock_lock(struct bounded_lock *lock, struct bounded_lock **guard)
    OWN_MAY_LOCK(**guard);
