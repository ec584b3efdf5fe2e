/* SPDX-License-Identifier: MIT */
/*
 * remote_call.h - functions that one CPU lets others run.
 *
 * Why: what belongs to one CPU (its TLB, its registers, its run queue) can be changed only by that
 * CPU, and some work wants all others to stand still. One CPU asks the others by an interrupt, and
 * knows when they have done it.
 *
 * Rules: remote_call_init() once, after local_apic_init_cpu() and clock_init(); then
 * remote_call_enter() on each CPU, the one that booted included, before it enables interrupts.
 * Calls may be made in any context but an NMI, with interrupts enabled or not, also by two CPUs of
 * one another at the same time: who waits serves the calls that come to it meanwhile. A function
 * runs with interrupts disabled, in any place where its CPU could be interrupted or waits as above;
 * so it is short, takes no spinlock (an irq_spinlock it may), and calls nobody. A call ends when
 * all have run the function, or by ERR_TIMEOUT after REMOTE_CALL_LIMIT_NS: then those that have not
 * begun never will, so what `argument` points to is the caller's again. Who spins with interrupts
 * disabled for longer than a few instructions calls remote_call_serve() in its loop. A lock that is
 * waited for with interrupts disabled (irq_spinlock) must not be held during a call.
 */
#pragma once

#include "own.h"
#include "x86.h"

/* No function runs for so long; virtual CPUs that wait for a real one do. */
#define REMOTE_CALL_LIMIT_NS 5000000000ull

/* Vectors: calls, which go before all but errors; and wishes for a reschedule. */
#define REMOTE_CALL_VECTOR   0xf8u
#define REMOTE_SWITCH_VECTOR 0xf0u

typedef void (*remote_function_t)(void *argument);

/* Registers the handlers. Once; or as interrupt_register() and exception_handler_register(). */
CELL_API MUST_CHECK enum status remote_call_init(void);

/* This CPU takes part from now on, and forgets what its TLB holds. */
CELL_API void remote_call_enter(void);

/* The CPUs that take part: bit i is the CPU of index i. */
CELL_API uint32_t remote_call_cpus(void);

/*
 * Runs function(argument) on CPU `cpu`, which may be this one. ERR_NO_DEVICE when it does not take
 * part, ERR_TIMEOUT: it was not run and will not be.
 */
CELL_API MUST_CHECK enum status remote_call(unsigned cpu, remote_function_t function,
                                            void *argument);

/* Runs it on all CPUs that take part, but this one, at once. ERR_TIMEOUT: not on all. */
CELL_API MUST_CHECK enum status remote_call_others(remote_function_t function, void *argument);

/* Runs what others want of this CPU. With interrupts disabled. */
CELL_API void remote_call_serve(void);

/*
 * Lets CPU `cpu` reschedule as soon as nothing holds preemption there (preemption.h), and wakes it
 * if it is halted. Does not wait. Nothing for one that does not take part.
 */
CELL_API void remote_call_switch(unsigned cpu);

/* ---- all others stand still ---- */

/* While it is held, all other CPUs that take part wait, with interrupts disabled. */
struct OWN_CAPABILITY("stop of all other CPUs") remote_stop;
OWN_DECLARE(remote_stop); /* lets them go on; each executes a serializing instruction first */

/*
 * Stops them, and disables interrupts on this CPU until the stop is dropped, on this CPU. They may
 * stand anywhere where they could be interrupted or waited for a call: who holds this takes no
 * lock. Two that want this at once get it one after the other. ERR_TIMEOUT: one did not stop, all
 * go on. ERR_STATE: this CPU holds it already.
 */
CELL_API enum status remote_stop_begin(struct remote_stop **out) OWN_ACQUIRES(**out);

/* How a CPU stands still; borrowed from the stop. */
struct remote_place {
    struct cpu_place place;
    struct task *task;        /* that it runs, or NULL */
    struct own_slot *own_top; /* of its chain */
};

/* Of CPU `cpu`; NULL if it is not among those that `stop` holds. */
CELL_API const struct remote_place *remote_stop_place(const struct remote_stop *stop, unsigned cpu)
    OWN_BORROWS(*stop);

/*
 * Stops all others for good, by a non-maskable interrupt, wherever they are. For the end of the
 * system; exceptions_set_stop_others() is told of it.
 */
CELL_API void remote_call_halt_others(void);
