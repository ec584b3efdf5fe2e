/* SPDX-License-Identifier: MIT */
/*
 * Locks: after a strike none is held, nobody stands in a queue, nothing is lent, and what waits for
 * them goes on. Contention is played by another task (strike_other.h); that many CPUs exclude each
 * other is tested elsewhere (test/sync).
 */
#include "bounded_lock.h"
#include "condition.h"
#include "free_stack.h"
#include "logger.h"
#include "mutex.h"
#include "read_sections.h"
#include "reader_writer_lock.h"
#include "spinlock.h"
#include "strike.h"
#include "strike_other.h"

void logger_write(enum log_level level, const char *cell, const char *format, ...)
{
}

static void check_calm(void)
{
    strike_demand(preemption_count() == 0);
    strike_demand(interrupts_enabled());
    strike_demand(CPU_LOCAL(task) == NULL || CPU_LOCAL(task) == strike_task_of(&strike_self));
}

/* ---- spinlocks ---- */

static struct spinlock lock = {.name = "one"};
static struct spinlock second = {.name = "two"};
static struct irq_spinlock irq_lock = {.name = "irq"};
static struct bounded_lock bounded;

static void nest_spinlocks(void)
{
    GUARD(spinlock, held, &lock);
    OWNED(spinlock, inner);
    if (spinlock_try_lock(&second, SLOT(inner))) {
        OWNED(spinlock, none);
        strike_demand(!spinlock_try_lock(&second, SLOT(none)));
    }
    spinlock_unlock(SLOT(held)); /* out of order */
    GUARD(spinlock, again, &lock);
}

static void check_spinlocks(void)
{
    check_calm();
    strike_demand(!spinlock_is_held(&lock) && !spinlock_is_held(&second));
}

static void nest_irq_spinlocks(void)
{
    GUARD(irq_spinlock, held, &irq_lock);
    {
        GUARD(interrupt_mask, masked, INTERRUPTS);
        OWNED(bounded_lock, text);
        strike_demand(bounded_lock_lock(&bounded, SLOT(text)));
        OWNED(bounded_lock, none);
        strike_demand(!bounded_lock_lock(&bounded, SLOT(none)));
    }
    strike_demand(!interrupts_enabled());
}

static void check_irq_spinlocks(void)
{
    check_calm();
    strike_demand(!irq_lock.holder && !irq_lock.enable);
    strike_demand(!bounded.holder && !bounded.enable && !bounded.cpu);
}

static void hold_and_mask(void)
{
    GUARD(preemption, held, PREEMPTION);
    GUARD(interrupt_mask, masked, INTERRUPTS);
    GUARD(preemption, more, PREEMPTION);
    GUARD(interrupt_mask, again, INTERRUPTS);
}

/* ---- a drop that waits ---- */

struct OWN_CAPABILITY("patient") patient;
OWN_DECLARE_LOCAL(patient);

static unsigned patients;

/* The park demands that nothing is held. */
static void patient_drop(struct patient **handle)
{
    if (*handle) {
        (void)!parking_park(0, NULL);
        EMPTY(handle);
        patients++;
    }
}

static void prepare_alone(void)
{
    strike_other_begin(NULL);
}

static void wait_in_drop(void)
{
    OWNED(patient, patient);
    FILL(SLOT(patient), (struct patient *)&lock);
    GUARD(spinlock, held, &lock);
    GUARD(preemption, still, PREEMPTION);
    spinlock_unlock(SLOT(held));
    GUARD(irq_spinlock, masked, &irq_lock);
}

static void check_patience(void)
{
    check_spinlocks();
    check_irq_spinlocks();
    strike_demand(patients <= 1 && (patients == 1 || strike_parks <= 1));
}

/* ---- mutexes ---- */

static struct mutex mutex = {.name = "one"};
static struct mutex inner_mutex = {.name = "two"};
static struct mutex *guard_of_other;
static struct mutex *inner_guard_of_other;

static void other_lets_go(void)
{
    mutex_drop(&guard_of_other);
    mutex_drop(&inner_guard_of_other);
}

static void other_takes_mutex(void)
{
    mutex_lock(&mutex, &guard_of_other);
    mutex_lock(&inner_mutex, &inner_guard_of_other);
}

static void prepare_mutexes(void)
{
    strike_other_begin(other_lets_go);
}

static void prepare_contended_mutexes(void)
{
    strike_other_begin(other_lets_go);
    strike_other_turn(other_takes_mutex);
}

static void lock_mutexes(void)
{
    GUARD(mutex, held, &mutex);
    OWNED(mutex, inner);
    if (mutex_try_lock(&inner_mutex, SLOT(inner))) {
        mutex_unlock(SLOT(held));
    }
}

static void wait_for_mutexes(void)
{
    OWNED(mutex, late);
    strike_demand(mutex_lock_until(&mutex, SLOT(late), 0) != OK || !guard_of_other);
    GUARD(mutex, held, &inner_mutex);
    mutex_unlock(SLOT(held));
}

static void check_mutexes(void)
{
    check_calm();
    strike_other_turn(other_lets_go);
    strike_demand(!mutex_is_held(&mutex) && !mutex.guard);
    strike_demand(!mutex_is_held(&inner_mutex) && !inner_mutex.guard);
    strike_demand(!strike_self.lent && !strike_other.lent);
    strike_self.permits = 0;
    lock_mutexes();
    strike_demand(!mutex_is_held(&mutex) && !mutex_is_held(&inner_mutex));
}

/* As if somebody had wanted it, and has given up. */
static void hand_mutex_over(void)
{
    GUARD(mutex, held, &mutex);
    mutex.owner |= MUTEX_WAITED;
}

/* ---- conditions ---- */

static struct condition condition = CONDITION_INIT("condition");
static bool is_set;

static void other_sets(void)
{
    OWNED(mutex, held);
    if (mutex_lock_until(&mutex, SLOT(held), 0) == OK) {
        is_set = true;
        condition_wake_one(&condition);
    }
}

static void prepare_condition(void)
{
    strike_other_begin(other_sets);
}

static void wait_for_condition(void)
{
    GUARD(mutex, held, &mutex);
    enum status status = OK;
    while (!is_set && status == OK) {
        status = condition_wait(&condition, SLOT(held), PARK_FOREVER);
    }
    strike_demand(status == OK);
}

static void wait_in_vain(void)
{
    GUARD(mutex, held, &mutex);
    strike_demand(condition_wait(&condition, SLOT(held), 0) == ERR_TIMEOUT);
    condition_wake_all(&condition);
}

static void check_condition(void)
{
    check_calm();
    strike_demand(!mutex_is_held(&mutex) && !mutex.guard);
    strike_demand(!spinlock_is_held(&condition.lock));
    strike_demand(!condition.waiters.first && !condition.waiters.last);
}

/* ---- reader-writer locks ---- */

static struct reader_writer_lock shared = READER_WRITER_LOCK_INIT("shared");
static struct write_side *write_of_other;
static struct read_side *read_of_other;

static void other_leaves(void)
{
    write_side_drop(&write_of_other);
    read_side_drop(&read_of_other);
}

static void other_writes(void)
{
    write_side_lock(&shared.write, &write_of_other);
}

static void other_reads(void)
{
    read_side_lock(&shared.read, &read_of_other);
}

static void prepare_shared(void)
{
    strike_other_begin(other_leaves);
}

static void prepare_written(void)
{
    strike_other_begin(other_leaves);
    strike_other_turn(other_writes);
}

static void prepare_read(void)
{
    strike_other_begin(other_leaves);
    strike_other_turn(other_reads);
}

static void read_and_write(void)
{
    {
        GUARD(read_side, one, &shared.read);
        GUARD(read_side, two, &shared.read);
        OWNED(write_side, none);
        strike_demand(write_side_lock_until(&shared.write, SLOT(none), 0) == ERR_TIMEOUT);
        read_side_unlock(SLOT(one));
    }
    GUARD(write_side, alone, &shared.write);
    OWNED(read_side, none);
    strike_demand(read_side_lock_until(&shared.read, SLOT(none), 0) == ERR_TIMEOUT);
}

static void check_shared(void)
{
    check_calm();
    strike_other_turn(other_leaves);
    strike_demand(!reader_writer_lock_is_written(&shared));
    strike_demand(reader_writer_lock_readers(&shared) == 0);
    strike_demand(!spinlock_is_held(&shared.lock));
    strike_demand(!shared.waiters.first && !shared.waiters.last);
}

static void wait_to_read(void)
{
    GUARD(read_side, held, &shared.read);
}

static void wait_to_write(void)
{
    GUARD(write_side, held, &shared.write);
}

/* ---- wait queues ---- */

static struct wait_queue queue;
static bool is_open;

static void other_opens(void)
{
    GUARD(spinlock, held, &lock);
    is_open = true;
    (void)wait_queue_wake_one(&queue);
}

static void prepare_queue(void)
{
    strike_other_begin(other_opens);
}

static void wait_in_queue(void)
{
    GUARD(spinlock, held, &lock);
    while (!is_open) {
        strike_demand(wait_queue_wait(&queue, SLOT(held), PARK_FOREVER, NULL, NULL) == OK);
    }
    (void)wait_queue_wake_all(&queue);
}

static void check_queue(void)
{
    check_spinlocks();
    strike_demand(!queue.first && !queue.last);
}

int main(void)
{
    static const struct strike_case cases[] = {
        {"spinlocks", NULL, nest_spinlocks, check_spinlocks},
        {"irq_spinlock, bounded_lock, interrupt_mask", NULL, nest_irq_spinlocks,
         check_irq_spinlocks},
        {"preemption, interrupt_mask", NULL, hold_and_mask, check_calm},
        {"a drop that waits below guards", prepare_alone, wait_in_drop, check_patience},
        {"mutex before there are tasks", NULL, lock_mutexes, check_mutexes},
        {"mutex", prepare_mutexes, lock_mutexes, check_mutexes},
        {"mutex that is waited for", prepare_contended_mutexes, wait_for_mutexes, check_mutexes},
        {"mutex that others have wanted", prepare_mutexes, hand_mutex_over, check_mutexes},
        {"condition", prepare_condition, wait_for_condition, check_condition},
        {"condition in vain", prepare_alone, wait_in_vain, check_condition},
        {"reader_writer_lock", prepare_shared, read_and_write, check_shared},
        {"read side that is waited for", prepare_written, wait_to_read, check_shared},
        {"write side that is waited for", prepare_read, wait_to_write, check_shared},
        {"wait_queue", prepare_queue, wait_in_queue, check_queue},
    };
    return strike_run(cases, ARRAY_COUNT(cases));
}
