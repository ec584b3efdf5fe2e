/* SPDX-License-Identifier: MIT */
/*
 * spinlock.h - locks that are held for a few instructions, also against interrupt handlers.
 *
 * Why: structures that several CPUs use need one of them at a time. Who waits for so short a while
 * does best to watch the lock.
 *
 * Rules: `spinlock` holds preemption while it is held (or waited for); interrupt handlers must not
 * take one. `irq_spinlock` also keeps interrupts off, and may be taken anywhere. Held by scope
 * guards, in the order of docs/locking.md; not recursive; who holds one does not wait (parking.h),
 * load cells or take a page fault that is not the end. Memory that is all zeros is an unlocked lock
 * without a name. Safe at any instruction: the lock's word is the address of its guard, so taking
 * it and letting it go are one store each, and a guard whose lock says otherwise holds nothing. The
 * counts of holds are restored by who catches the fault (preemption.h). A guard is not moved.
 *
 *      GUARD(spinlock, held, &table->lock);          to the end of the block
 */
#pragma once

#include "preemption.h"

struct OWN_LOCK("spinlock") spinlock {
    struct spinlock **holder; /* the guard that holds it, NULL: nobody */
    const char *name; /* what locks are called in reports; locks of one name are of one kind */
};
OWN_DECLARE_HOLDING_LOCK(spinlock);

struct OWN_LOCK("irq_spinlock") irq_spinlock {
    struct irq_spinlock **holder;
    const char *name;
    bool enable; /* of the holder: interrupts were enabled */
};
OWN_DECLARE_HOLDING_LOCK(irq_spinlock);

#define SPINLOCK_INIT(text)     ((struct spinlock){.name = (text)})
#define IRQ_SPINLOCK_INIT(text) ((struct irq_spinlock){.name = (text)})

/* Waits until it has the lock. Taking a lock that this very guard's CPU holds never ends. */
CELL_API void spinlock_lock(struct spinlock *lock, struct spinlock **guard) OWN_LOCKS(*lock);
CELL_API void irq_spinlock_lock(struct irq_spinlock *lock, struct irq_spinlock **guard)
    OWN_LOCKS(*lock);

/* Takes it if nobody has it: `*guard` is full then, and true is returned. */
CELL_API MUST_CHECK bool spinlock_try_lock(struct spinlock *lock, struct spinlock **guard)
    OWN_MAY_LOCK(**guard);

/* Before the end of the guard's scope. What spinlock_drop does, with the contract of an unlock. */
#define spinlock_unlock(guard)     spinlock_drop(guard)
#define irq_spinlock_unlock(guard) irq_spinlock_drop(guard)

/* Does anybody hold it? For assertions: it may be another. */
static inline bool spinlock_is_held(const struct spinlock *lock)
{
    return __atomic_load_n(&lock->holder, __ATOMIC_RELAXED) != NULL;
}

/* Waits and takes it for a guard that is full; preemption is held. */
CELL_API void spinlock_wait(struct spinlock *lock, struct spinlock **guard);

/*
 * For the inside of primitives, as OWN_BEGIN (own.h): from SPINLOCK_BEGIN to SPINLOCK_END, which
 * every way out passes, the lock is held, by a slot like any other. Without calls, a third cheaper
 * than a guard.
 */
#if OWN_CONTRACTS
    #define SPINLOCK_BEGIN(name, lock) GUARD(spinlock, name, lock)
    #define SPINLOCK_END(name)         ((void)0) /* here the scope ends */
#elif OWN_PLAIN || defined(PROFILE_DEBUG) || (__STDC_HOSTED__ && !defined(LOCK_ORDER_CHECKED))
    #define SPINLOCK_BEGIN(name, lock) GUARD(spinlock, name, lock)
    #define SPINLOCK_END(name)         spinlock_unlock(SLOT(name))
#else
    #define SPINLOCK_BEGIN(name, lock)   \
        OWN_BEGIN(spinlock, name, lock); \
        spinlock_begin(lock, SLOT(name))
    #define SPINLOCK_END(name) spinlock_end(&(name))

static inline void spinlock_begin(struct spinlock *lock, struct spinlock **guard)
{
    struct spinlock **nobody = NULL;
    preemption_hold();
    if (UNLIKELY(!__atomic_compare_exchange_n(&lock->holder, &nobody, guard, false,
                                              __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))) {
        spinlock_wait(lock, guard);
    }
}

static inline void spinlock_end(struct spinlock_slot *slot)
{
    __atomic_store_n(&slot->typed.handle->holder, NULL, __ATOMIC_RELEASE);
    own_leave_done(&slot->slot);
    preemption_release();
}
#endif
