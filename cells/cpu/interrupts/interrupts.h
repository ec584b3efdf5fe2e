/* SPDX-License-Identifier: MIT */
/*
 * interrupts.h - who is called when a device, or another CPU, interrupts.
 *
 * Why: drivers come and go, and with them their handlers; and every instruction between an
 * interrupt and its handler is paid thousands of times a second. So a handler is owned, and found
 * by one load.
 *
 * Rules: interrupts_init() once, before interrupts are enabled. A vector has one handler, for all
 * CPUs. Handlers run with interrupts disabled and preemption held, on the stack of what was
 * interrupted; they are short, do not wait for other CPUs, return, and do not drop themselves.
 * Slots that they own nest on the interrupted chain, and end with them. After the handler comes the
 * end-of-interrupt hook, and then, where a reschedule is wanted and nobody holds preemption, the
 * scheduler (cpu_local.h, `reschedule`): it may come back late and on another CPU.
 * Vectors without a handler are counted, said once in the log, and ended like others. Vector
 * INTERRUPT_SPURIOUS is the local APIC's for interrupts that went away: it is counted, not ended.
 */
#pragma once

#include "own.h"

#define INTERRUPT_FIRST    32u /* those below are exceptions */
#define INTERRUPT_SPURIOUS 255u
#define INTERRUPT_COUNT    224u /* vectors FIRST .. SPURIOUS */

/*
 * interrupt_register_any() picks among these: those below are left to the legacy controllers, which
 * may send some even when they are masked; those above are for who needs a certain one. A vector
 * with a higher number has priority in the local APIC, by groups of 16.
 */
#define INTERRUPT_ANY_FIRST 48u
#define INTERRUPT_ANY_LAST  238u
#define INTERRUPT_SOFTWARE  239u /* for who interrupts himself by the instruction `int` */

/* A handler that is registered; dropping it returns when no CPU is still in it. */
struct OWN_CAPABILITY("interrupt") interrupt;
OWN_DECLARE(interrupt);

typedef void (*interrupt_function_t)(void *context);

/* Fills the gates of all vectors, on all CPUs. Again: does nothing. */
CELL_API void interrupts_init(void);

/*
 * Registers the handler of `vector`; `name`, for people, is borrowed. ERR_OUT_OF_BOUNDS for one
 * that is no interrupt's or the spurious one, ERR_BUSY when it has a handler, ERR_STATE before
 * interrupts_init(). Any context but an interrupt. A fault between its first and last instruction
 * may lose the vector, nothing else.
 */
CELL_API enum status interrupt_register(unsigned vector, const char *name,
                                        interrupt_function_t function, void *context,
                                        struct interrupt **out) OWN_ACQUIRES(**out);

/* The same, of the lowest vector that is free. ERR_LIMIT when all have handlers. */
CELL_API enum status interrupt_register_any(const char *name, interrupt_function_t function,
                                            void *context, struct interrupt **out)
    OWN_ACQUIRES(**out);

CELL_API unsigned interrupt_vector(const struct interrupt *interrupt) OWN_BORROWS(*interrupt);

/*
 * What tells the interrupt controller that the handler is done; called after each, on that CPU.
 * Until it is set, nothing is told. It is read without a lock: set it before interrupts come.
 */
CELL_API void interrupts_set_end(void (*end)(void));

/* How often `vector` has interrupted CPU `cpu`, handler or not; 0 for those that do not exist. */
CELL_API uint64_t interrupts_count(unsigned vector, unsigned cpu);

/* The vector whose handler runs on this CPU, which the caller stays on; 0: none. */
CELL_API unsigned interrupts_current(void);

/* preemption_count() when that handler was called. */
CELL_API uint32_t interrupts_hold(void);

/* The section of the function that calls handlers, for who looks for its frame. */
#define INTERRUPTS_DISPATCH ".text.interrupts_dispatch"

/* The name of the handler, or NULL: there is none. */
CELL_API const char *interrupts_name(unsigned vector);
