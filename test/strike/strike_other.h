/* SPDX-License-Identifier: MIT */
/*
 * strike_other.h - another task, for cases in which somebody waits.
 *
 * Why: a case is one piece of code. Where it parks, or wherever it says so, the other task has its
 * turn: a function of the test, which is struck like the rest. The turn is a slot, so after a
 * strike the chain is popped as far as it is the other's, and then as this task.
 *
 * Rules: strike_other_begin() in prepare(). What the other owns over several turns is in variables.
 */
#pragma once

#include "own.h"
#include "parking.h"

struct strike_task {
    unsigned permits;
    unsigned lent;
    uint64_t references;
    uint64_t rest[64]; /* whoever looks into a task finds one that lives */
};

extern struct strike_task strike_self;  /* runs the case */
extern struct strike_task strike_other; /* has its turn when that one parks */
extern unsigned strike_parks;           /* how often the case has parked */

/* From now on there are tasks. `turn` is called at each park; NULL: nobody comes, the park times out. */
void strike_other_begin(void (*turn)(void));

/* A turn of the other, now. */
void strike_other_turn(void (*turn)(void));

static inline struct task *strike_task_of(struct strike_task *task)
{
    return (struct task *)(void *)task;
}
