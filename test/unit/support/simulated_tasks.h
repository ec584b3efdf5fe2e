/* SPDX-License-Identifier: MIT */
/*
 * simulated_tasks.h - tasks on a host, whose order a seed decides.
 *
 * Why: what goes wrong between tasks goes wrong in one order of a million. Here the tasks are
 * coroutines of one thread; which of them goes on is drawn at every place where the order matters,
 * so a run can be repeated by its seed, a thousand orders take a second, and nothing is missed
 * because a machine was idle. Behind parking.h stands this instead of a scheduler.
 *
 * Rules: a *point* is a place where another task may go on. They are: parking_park() and
 * parking_unpark(), simulated_yield(); with `locks` also each hold of preemption and each change of
 * the interrupt flag, and so each operation of a spinlock: tasks then run as if each had a CPU of
 * its own; and in sources that the test compiles with `accesses` (add_simulated_test,
 * cmake/tests.cmake) every access to memory. Each task has its own cpu_local, own_top and interrupt
 * flag. Time stands still but for a few nanoseconds a point, and jumps to the next deadline when
 * nobody can run. A task can be killed at any of its points: its slots are released by own_unwind()
 * while other tasks go on, and its function is never continued. What a rule of parking.h forbids
 * (parking with a hold, unparking a task that is gone without a reference to it) ends the program
 * with the seed, and so does a simulated_assert() that does not hold: cmocka's own may be used
 * outside of tasks only. One thread.
 *
 *      simulated_begin(&(struct simulated_options){.seed = seed, .locks = true});
 *      struct task *task = simulated_spawn("one", 1, function, argument);
 *      simulated_kill_at(task, 17);
 *      assert_int_equal(simulated_run(), SIMULATED_DONE);
 *      simulated_end();
 */
#pragma once

#include "cpu_local.h"

#define SIMULATED_TASKS_MAX 16 /* at once; tests want few tasks and many orders */

struct simulated_options {
    uint64_t seed;
    bool locks;       /* holds of preemption and of interrupts are points */
    bool by_priority; /* one CPU: of those who can run one of the highest priority does, and nobody
                         is taken off while he holds preemption */
    uint64_t limit;   /* of turns in one run; 0: a million */
};

enum simulated_result {
    SIMULATED_DONE,     /* all tasks have ended */
    SIMULATED_DEADLOCK, /* nobody can run, nobody waits for a point in time */
    SIMULATED_ENDLESS,  /* the limit is reached: somebody spins */
};

/* Nobody else may stand behind parking.h. */
void simulated_begin(const struct simulated_options *options);

/* Those who still wait are unwound, and parking.h is as before there are tasks. */
void simulated_end(void);

/* From the test or from a task. `name` is borrowed. */
struct task *simulated_spawn(const char *name, unsigned priority, void (*function)(void *argument),
                             void *argument);

/* Until all tasks have ended. May be called again, with what is left and what was spawned. A result
 * other than SIMULATED_DONE is explained by simulated_report(). */
enum simulated_result simulated_run(void);

/* Who waits for what, to stderr, with the seed. */
void simulated_report(void);

/* Another task may go on. */
void simulated_yield(void);
/* Waits for so long; not in a task that may be unparked meanwhile. */
void simulated_sleep(uint64_t duration_ns);

/* Below `bound`, from the seed. Also for what a test wants to be random. */
uint32_t simulated_random(uint32_t bound);

/* Kills a task where it is: at the point that it has reached. */
void simulated_kill(struct task *task);
/* Kills it at its point number `point`, counted from 0. A task that ends before is not killed. */
void simulated_kill_at(struct task *task, uint64_t point);
/* It was, and is unwound when simulated_has_ended() says so too. */
bool simulated_was_killed(const struct task *task);
bool simulated_has_ended(const struct task *task);
/* How many points it has come to. */
uint64_t simulated_points(const struct task *task);
/* Does a task hold preemption, so that what its spinlock protects may be half changed? */
bool simulated_anybody_holds(void);
/* What was lent to it last (parking.h). */
unsigned simulated_lent(const struct task *task);

/* A point, for simulated_accesses.c and simulated_tasks.c. */
void simulated_point(void);

/* Ends the program with the seed, the running task and this text. */
NORETURN void simulated_fail(const char *file, int line, const char *text);
#define simulated_assert(condition) \
    ((condition) ? (void)0 : simulated_fail(__FILE__, __LINE__, #condition))
