/* SPDX-License-Identifier: MIT */
/*
 * The owner's word says who has the mutex; `guard` says by which guard, so that a drop can tell
 * what it has to let go:
 *
 *      owner        mutex->guard     the guard's drop
 *      any          this guard       lets go
 *      this task    NULL             lets go: just taken, handed over, or in the middle of letting go
 *      other cases                   holds nothing; if it waited, it has left the queue before
 *
 * `guard` is written by the owner only, after it came and before it goes.
 *
 * All who wait are in one queue under one spinlock, with what they wait for. So chains of tasks
 * that wait for each other can be followed without locking them one by one, and a mutex is three
 * words. An owner behind MUTEX_WAITED can neither go nor end while the spinlock is held: letting go
 * takes it.
 *
 *      task --waits for (claim)--> mutex --owner--> task --> ... ends with a task that does not wait
 *
 * There is never a cycle, because who would close one does not wait. What a task is lent is the
 * highest priority of the claims on its mutexes, computed anew whenever one of them changes.
 *
 * The handover wakes first and stores the owner then: who was woken looks only when the spinlock is
 * free, and one that was woken for nothing, because the hand that wakes was killed, waits again.
 */
#include "mutex.h"

#include "lock_order.h"
#include "logger.h"
#include "wait_queue.h"

CELL(library, "1.0.0");

/* The owner before there are tasks. */
#define BOOT ((uintptr_t)2)

/* What a waiter wants: context of its record. */
struct claim {
    struct mutex *mutex;
    unsigned base;     /* priority of the task, by itself */
    unsigned priority; /* the same with what is lent to it */
};

static const char *mutex_name(const void *mutex)
{
    return ((const struct mutex *)mutex)->name;
}

static const struct lock_type mutex_type = {
    .what = "mutex", .drop = (own_drop_t)mutex_drop, .name = mutex_name, .parks = true};

static struct spinlock waiting_lock = {.name = "waiters of mutexes"};
static struct wait_queue waiting; /* with waiting_lock */

static inline uintptr_t identity(void)
{
    struct task *self = parking_self();
    return LIKELY(self) ? (uintptr_t)self : BOOT;
}

static inline uintptr_t owner_word(const struct mutex *mutex)
{
    return __atomic_load_n(&mutex->owner, __ATOMIC_RELAXED);
}

static inline bool exchange_owner(struct mutex *mutex, uintptr_t from, uintptr_t to)
{
    return __atomic_compare_exchange_n(&mutex->owner, &from, to, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}

/* NULL: nobody, or the system before there were tasks. */
static struct task *owner_task(const struct mutex *mutex)
{
    uintptr_t owner = owner_word(mutex) & ~MUTEX_WAITED;
    return owner == BOOT ? NULL : (struct task *)owner;
}

static const char *name_of(const struct mutex *mutex)
{
    return mutex->name ? mutex->name : "(without a name)";
}

/* ---- who waits; with waiting_lock ---- */

static struct claim *claim_of(const struct task *task)
{
    for (struct waiter *waiter = wait_queue_first(&waiting); waiter;
         waiter = wait_queue_next(waiter)) {
        if (waiter->task == task) {
            return waiter->context;
        }
    }
    return NULL;
}

/* The highest priority among those who wait for a mutex of this task; 0: nobody does. */
static unsigned wanted_priority(const struct task *task)
{
    unsigned highest = 0;
    for (struct waiter *waiter = wait_queue_first(&waiting); waiter;
         waiter = wait_queue_next(waiter)) {
        const struct claim *claim = waiter->context;
        if (claim->priority > highest && owner_task(claim->mutex) == task) {
            highest = claim->priority;
        }
    }
    return highest;
}

/* The highest waiter of a mutex, NULL if there is none; and whether there is another. */
static struct waiter *next_owner(const struct mutex *mutex, bool *others)
{
    struct waiter *best = NULL;
    *others = false;
    for (struct waiter *waiter = wait_queue_first(&waiting); waiter;
         waiter = wait_queue_next(waiter)) {
        const struct claim *claim = waiter->context;
        if (claim->mutex != mutex) {
            continue;
        }
        *others |= best != NULL;
        if (!best || claim->priority > ((const struct claim *)best->context)->priority) {
            best = waiter;
        }
    }
    return best;
}

/* Lends along the chain from `task` on, which is the owner of what is waited for, what is wanted of
 * each now, at least `floor` of all. */
static void settle_priorities(struct task *task, unsigned floor)
{
    while (task) {
        unsigned wanted = wanted_priority(task);
        wanted = wanted > floor ? wanted : floor;
        parking_lend(task, wanted);
        struct claim *claim = claim_of(task);
        if (!claim) {
            return;
        }
        unsigned priority = wanted > claim->base ? wanted : claim->base;
        if (priority == claim->priority) {
            return;
        }
        claim->priority = priority;
        task = owner_task(claim->mutex);
    }
}

/* Would `self`, waiting for the mutex, wait for itself? */
static bool closes_cycle(const struct mutex *mutex, const struct task *self)
{
    const struct task *owner = owner_task(mutex);
    while (owner && owner != self) {
        const struct claim *claim = claim_of(owner);
        owner = claim ? owner_task(claim->mutex) : NULL;
    }
    return owner == self;
}

/* One line a task. The cycle is there: it ends, and who is in it has a claim. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wanalyzer-null-dereference"
static void report_cycle(const struct mutex *mutex, const struct task *self)
{
    const struct task *task = self;
    log_error("deadlock: each of these tasks waits for the next, the last for the first");
    do {
        log_error("task %s wants mutex %s", parking_name(task), name_of(mutex));
        task = owner_task(mutex);
        if (task != self) {
            mutex = claim_of(task)->mutex;
        }
    } while (task != self);
}
#pragma GCC diagnostic pop

/* ---- waiting ---- */

/* Takes the mutex if nobody has it, else makes sure that its owner hands it over. */
static bool take_or_announce(struct mutex *mutex, uintptr_t self)
{
    for (;;) {
        uintptr_t owner = owner_word(mutex);
        if (!owner && exchange_owner(mutex, 0, self)) {
            return true;
        }
        if (owner && exchange_owner(mutex, owner, owner | MUTEX_WAITED)) {
            return false;
        }
    }
}

/* Its priority without what is lent to it. */
static unsigned base_priority(struct task *self)
{
    unsigned lent = wanted_priority(self);
    if (!lent) {
        return parking_priority(self);
    }
    parking_lend(self, 0);
    unsigned base = parking_priority(self);
    parking_lend(self, lent);
    return base;
}

static enum status wait_for_handover(struct mutex *mutex, struct task *self,
                                     struct spinlock **guard, uint64_t deadline)
{
    const struct parking_reason reason = {.what = "mutex", .object = mutex};
    struct claim claim = {.mutex = mutex, .base = base_priority(self)};
    enum status status = OK;
    while (!take_or_announce(mutex, (uintptr_t)self)) {
        if (status != OK) {
            settle_priorities(owner_task(mutex), 0);
            return status;
        }
        if (closes_cycle(mutex, self)) {
            report_cycle(mutex, self);
            return ERR_DEADLOCK;
        }
        unsigned lent = wanted_priority(self);
        claim.priority = lent > claim.base ? lent : claim.base;
        settle_priorities(owner_task(mutex), claim.priority);
        status = wait_queue_wait(&waiting, guard, deadline, &reason, &claim);
        if (owner_task(mutex) == self) {
            break;
        }
    }
    parking_lend(self, wanted_priority(self));
    return OK;
}

/* Unchecked: the guard's address is lent, and clang loses sight of it. */
static NOINLINE enum status lock_contended(struct mutex *mutex, uint64_t deadline) OWN_UNCHECKED
{
    struct task *self = parking_self();
    if (!self) {
        log_error("mutex %s is held, and there are no tasks to let it go", name_of(mutex));
        return ERR_DEADLOCK;
    }
    GUARD(spinlock, held, &waiting_lock);
    return wait_for_handover(mutex, self, SLOT(held), deadline);
}

/* ---- letting go ---- */

/* The caller is the owner, but its guard is not in the mutex any more. Can be begun again until the
 * owner has changed. */
static NOINLINE void hand_over(struct mutex *mutex)
{
    GUARD(spinlock, held, &waiting_lock);
    bool others;
    struct waiter *next = next_owner(mutex, &others);
    uintptr_t owner = 0;
    if (next) {
        owner = (uintptr_t)next->task | (others ? MUTEX_WAITED : 0);
        wait_queue_wake(next);
    }
    __atomic_store_n(&mutex->owner, owner, __ATOMIC_RELEASE);
    struct task *self = parking_self();
    if (self) {
        parking_lend(self, wanted_priority(self));
    }
}

/*
 * A guard that was unwound while it waited may have lent something: the owner gives it back. One
 * that was unwound behind the store of hand_over() may have something that was lent to it.
 */
static NOINLINE void take_back(struct mutex *mutex)
{
    struct task *self = parking_self();
    if (self) {
        GUARD(spinlock, held, &waiting_lock);
        if (owner_word(mutex) & MUTEX_WAITED) {
            settle_priorities(owner_task(mutex), 0);
        }
        parking_lend(self, wanted_priority(self));
    }
}

static inline bool holds(const struct mutex *mutex, struct mutex **guard)
{
    return mutex->guard == guard ||
           (!mutex->guard && (owner_word(mutex) & ~MUTEX_WAITED) == identity());
}

void mutex_drop(struct mutex **guard)
{
    struct mutex *mutex = *guard;
    if (!mutex) {
        return;
    }
    if (LIKELY(holds(mutex, guard))) {
        mutex->guard = NULL;
        COMPILER_BARRIER();
        uintptr_t owner = owner_word(mutex);
        if (UNLIKELY((owner & MUTEX_WAITED) || !exchange_owner(mutex, owner, 0))) {
            hand_over(mutex);
        }
    } else {
        take_back(mutex);
    }
    EMPTY(guard);
}

/* ---- taking ---- */

static inline bool take(struct mutex *mutex, struct mutex **guard)
{
    FILL(guard, mutex);
    if (UNLIKELY(!exchange_owner(mutex, 0, identity()))) {
        return false;
    }
    mutex->guard = guard;
    return true;
}

void mutex_lock(struct mutex *mutex, struct mutex **guard) OWN_UNCHECKED
{
    lock_order_acquire(&mutex_type, mutex, guard, __builtin_return_address(0));
    if (UNLIKELY(!take(mutex, guard))) {
        OWN_DEMAND_(lock_contended(mutex, PARK_FOREVER) == OK);
        mutex->guard = guard;
    }
}

bool mutex_try_lock(struct mutex *mutex, struct mutex **guard)
{
    if (LIKELY(take(mutex, guard))) {
        return true;
    }
    EMPTY(guard);
    return false;
}

enum status mutex_lock_until(struct mutex *mutex, struct mutex **guard, uint64_t deadline)
{
    lock_order_acquire(&mutex_type, mutex, guard, __builtin_return_address(0));
    if (LIKELY(take(mutex, guard))) {
        return OK;
    }
    enum status status = lock_contended(mutex, deadline);
    if (status == OK) {
        mutex->guard = guard;
    } else {
        EMPTY(guard);
    }
    return status;
}

bool mutex_is_mine(const struct mutex *mutex)
{
    return (owner_word(mutex) & ~MUTEX_WAITED) == identity();
}
