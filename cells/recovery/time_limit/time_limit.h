/* SPDX-License-Identifier: MIT */
/*
 * time_limit.h - ends a call that takes too long while all other CPUs stand still.
 *
 * Why: who has stopped all other CPUs, with interrupts off, and calls what somebody else has
 * written has nobody left who could end it. So one interrupt is let in, that of this CPU's own
 * timer: the local APIC's task priority keeps all devices out, and those that others could send do
 * not come, for they stand still. What the timer interrupts is ended as by a fault: its slots are
 * released, and the call returns ERR_TIMEOUT.
 *
 *      OWNED(time_limit, limit);
 *      status = time_limit_begin(SLOT(limit));
 *      if (status != OK) { return status; }
 *      status = time_limit_call(REF(limit), transfer, &call, LIMIT_NS);
 *
 * Rules: while all other CPUs are stopped (remote_stop_begin()), with interrupts off, which they
 * are again behind each call and nowhere else are not. Until the drop this CPU's timer is the
 * limit's; then its user is interrupted at once, early, as apic_timer.h allows. Functions neither
 * disable interrupts nor hold preemption, which spinlocks do: for so long they are not ended. Nor
 * are drops of what they own, and one that catches faults itself (catch.h) catches its end. Before
 * the CPU has a local APIC calls have no limit. Safe at any instruction: a drop puts back what was
 * noted before it was changed, and may be begun again.
 */
#pragma once

#include "own.h"

/* In the highest class of priority, beside calls of other CPUs and errors. */
#define TIME_LIMIT_VECTOR 0xf9u

struct OWN_CAPABILITY("time limit") time_limit;
OWN_DECLARE(time_limit); /* gives the timer back */

/*
 * Takes the timer, and lets in what has been waiting to interrupt with the highest priority. OK
 * also where there is no timer. Errors of interrupt_register() and apic_timer_init_cpu(): nothing
 * has changed.
 */
CELL_API enum status time_limit_begin(struct time_limit **out) OWN_ACQUIRES(**out);

/*
 * Calls function(argument), for at most `limit_ns`. OK when it has returned; ERR_TIMEOUT when it
 * was ended; ERR_FAULT when it has faulted, as catch_unwind().
 */
CELL_API MUST_CHECK enum status time_limit_call(struct time_limit *limit,
                                                void (*function)(void *argument), void *argument,
                                                uint64_t limit_ns) OWN_BORROWS(*limit);
