/* SPDX-License-Identifier: MIT */
/*
 * The holder's interrupts are off, so `cpu` is this CPU's only where the holder was interrupted by
 * an exception or an NMI, or calls itself. `cpu` is set after the lock is taken and cleared before
 * it is let go: who comes in these moments, in the middle of an instruction's neighbours, waits for
 * the bounded time.
 *
 * `ended` is increased before the lock is let go. So it is constant while the lock is held and
 * another in each hold, and a waiter knows for how long it has seen one and the same.
 */
#include "bounded_lock.h"
#include "x86.h"

CELL(library, "1.0.0");

static inline bool take(struct bounded_lock *lock, struct bounded_lock **guard)
{
    struct bounded_lock **nobody = NULL;
    return __atomic_compare_exchange_n(&lock->holder, &nobody, guard, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

static bool is_held_here(struct bounded_lock *lock)
{
    return __atomic_load_n(&lock->cpu, __ATOMIC_RELAXED) == cpu_local_get();
}

/* Until it is free: true; or the hold that there is has lasted too long. */
static bool wait_until_free(struct bounded_lock *lock)
{
    uint64_t name = __atomic_load_n(&lock->ended, __ATOMIC_RELAXED);
    uint64_t start = read_tsc();
    while (__atomic_load_n(&lock->holder, __ATOMIC_RELAXED)) {
        cpu_relax();
        uint64_t now = __atomic_load_n(&lock->ended, __ATOMIC_RELAXED);
        if (now != name) {
            name = now;
            start = read_tsc();
        }
        if (__atomic_load_n(&lock->stuck, __ATOMIC_RELAXED) == name + 1) {
            return false;
        }
        if (read_tsc() - start > BOUNDED_LOCK_TICKS) {
            __atomic_store_n(&lock->stuck, name + 1, __ATOMIC_RELAXED);
            return false;
        }
    }
    return true;
}

bool bounded_lock_lock(struct bounded_lock *lock, struct bounded_lock **guard)
{
    bool enable = interrupts_enabled();
    FILL(guard, lock);
    for (;;) {
        disable_interrupts();
        if (LIKELY(take(lock, guard))) {
            lock->enable = enable;
            __atomic_store_n(&lock->cpu, cpu_local_get(), __ATOMIC_RELAXED);
            return true;
        }
        bool in_the_middle = is_held_here(lock);
        if (enable) {
            enable_interrupts();
        }
        if (in_the_middle || !wait_until_free(lock)) {
            EMPTY(guard);
            return false;
        }
    }
}

void bounded_lock_drop(struct bounded_lock **guard)
{
    struct bounded_lock *lock = *guard;
    if (!lock) {
        return;
    }
    bool enable = false;
    if (lock->holder == guard) {
        enable = lock->enable;
        lock->enable = false;
        __atomic_store_n(&lock->cpu, NULL, __ATOMIC_RELAXED);
        __atomic_store_n(&lock->ended, lock->ended + 1, __ATOMIC_RELAXED);
        __atomic_store_n(&lock->holder, NULL, __ATOMIC_RELEASE); /* pairs with take() */
    }
    EMPTY(guard);
    if (enable) {
        enable_interrupts();
    }
}
