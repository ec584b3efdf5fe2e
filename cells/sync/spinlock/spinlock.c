/* SPDX-License-Identifier: MIT */
/*
 * The intent is the guard's handle, the commit is the store of the guard's address into the lock.
 * A drop looks at both, so it is right between any two instructions:
 *
 *      guard   lock.holder        meaning
 *      empty   anything           nothing is held
 *      full    another or NULL    wanted, not yet held; or just let go
 *      full    the guard          held
 *
 * The compare-and-exchange of the taker (acquire) pairs with the store of the holder (release).
 * Waiters watch by loads, so the line stays shared until it changes. There is no queue: where
 * virtual CPUs outnumber real ones, a ticket holder that is not running would stop all behind it.
 */
#include "spinlock.h"
#include "lock_order.h"

CELL(library, "1.1.0");

static const char *spinlock_name(const void *lock)
{
    return ((const struct spinlock *)lock)->name;
}

static const char *irq_spinlock_name(const void *lock)
{
    return ((const struct irq_spinlock *)lock)->name;
}

static const struct lock_type spinlock_type = {
    .what = "spinlock", .drop = (own_drop_t)spinlock_drop, .name = spinlock_name};
static const struct lock_type irq_spinlock_type = {.what = "irq_spinlock",
                                                   .drop = (own_drop_t)irq_spinlock_drop,
                                                   .name = irq_spinlock_name,
                                                   .masks = true};

static inline bool take(struct spinlock *lock, struct spinlock **guard)
{
    struct spinlock **nobody = NULL;
    return __atomic_compare_exchange_n(&lock->holder, &nobody, guard, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

NOINLINE void spinlock_wait(struct spinlock *lock, struct spinlock **guard)
{
    do {
        while (spinlock_is_held(lock)) {
            cpu_relax();
        }
    } while (!take(lock, guard));
}

void spinlock_lock(struct spinlock *lock, struct spinlock **guard) OWN_UNCHECKED
{
    lock_order_acquire(&spinlock_type, lock, guard, __builtin_return_address(0));
    preemption_hold();
    FILL(guard, lock);
    if (UNLIKELY(!take(lock, guard))) {
        spinlock_wait(lock, guard);
    }
}

bool spinlock_try_lock(struct spinlock *lock, struct spinlock **guard)
{
    preemption_hold();
    FILL(guard, lock);
    if (take(lock, guard)) {
        return true;
    }
    EMPTY(guard);
    preemption_release();
    return false;
}

void spinlock_drop(struct spinlock **guard)
{
    struct spinlock *lock = *guard;
    if (!lock) {
        return;
    }
    bool held = lock->holder == guard;
    if (held) {
        __atomic_store_n(&lock->holder, NULL, __ATOMIC_RELEASE);
    }
    EMPTY(guard);
    if (held) {
        preemption_release();
    }
}

static inline bool irq_take(struct irq_spinlock *lock, struct irq_spinlock **guard)
{
    struct irq_spinlock **nobody = NULL;
    return __atomic_compare_exchange_n(&lock->holder, &nobody, guard, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

/* Interrupts stay off while it waits: a handler that came now would make all others wait longer. */
void irq_spinlock_lock(struct irq_spinlock *lock, struct irq_spinlock **guard) OWN_UNCHECKED
{
    lock_order_acquire(&irq_spinlock_type, lock, guard, __builtin_return_address(0));
    bool enable = interrupts_enabled();
    disable_interrupts();
    FILL(guard, lock);
    while (UNLIKELY(!irq_take(lock, guard))) {
        while (__atomic_load_n(&lock->holder, __ATOMIC_RELAXED)) {
            cpu_relax();
        }
    }
    lock->enable = enable;
}

void irq_spinlock_drop(struct irq_spinlock **guard)
{
    struct irq_spinlock *lock = *guard;
    if (!lock) {
        return;
    }
    bool enable = false;
    if (lock->holder == guard) {
        enable = lock->enable;
        lock->enable = false;
        __atomic_store_n(&lock->holder, NULL, __ATOMIC_RELEASE);
    }
    EMPTY(guard);
    if (enable) {
        enable_interrupts();
        if (CPU_LOCAL(hold) == 0) {
            preemption_switch();
        }
    }
}
