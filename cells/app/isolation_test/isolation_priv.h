/* SPDX-License-Identifier: MIT */
/* isolation_priv.h - a way to fault, and what is to be expected of it. */
#pragma once

#include "own.h"

struct isolation_kind {
    const char *name;
    void (*provoke)(void);
    uint32_t lost;    /* frames that nobody can release */
    bool is_survived; /* the task itself goes on */
    uint8_t places;   /* where else it is tried */
};

#define IN_EXCEPTION 1u /* in a handler of exceptions: task and handler end */
#define IN_INTERRUPT 2u /* in a handler of interrupts, if callers can be traced: the task goes on */

/* Each ends with an entry without a name. */
extern const struct isolation_kind isolation_faults[];
extern const struct isolation_kind isolation_damages[];

/* Lets a task do it there; false, and a line, where that did not end as expected. */
bool isolation_try(const struct isolation_kind *kind, unsigned place);

/* Those of readers; how many failed, and in `*count` how many there were, more. */
unsigned isolation_try_readers(unsigned *count);

/* The same of tasks that fault outside of all code that is prepared for it. */
unsigned isolation_try_tasks(unsigned *count);

/* Calls it there, in a handler that this task registers. */
void isolation_in_exception(void (*provoke)(void));
void isolation_in_interrupt(void (*provoke)(void));

/* An invalid opcode. */
static inline void isolation_fault(void)
{
    __asm__ volatile("ud2" : : : "memory");
}
