/* SPDX-License-Identifier: MIT */
/*
 * processors.h - starts the other CPUs.
 *
 * Why: one CPU boots; the others wait for an interrupt that says where to begin, and begin in
 * 16-bit mode. Here they get page tables, stacks and tables of their own, and something to do. What
 * they need for that, the first CPU needs too: so its interrupts are brought up here as well.
 *
 * Rules: processors_start() once, on the CPU that booted, after acpi_init(), with interrupts
 * disabled. CPUs have an index, in the order in which they started; 0 is the one that booted. They
 * run with the page tables and control registers that it has at that time. At most CPU_LIMIT are
 * used; one that does not answer in PROCESSORS_LIMIT_NS is logged, reset and left out. Then each
 * halts in a loop, on a stack of its own, and serves interrupts, until there is a loop of the
 * scheduler's.
 */
#pragma once

#include "status.h"

/* From the startup interrupt to C; virtual CPUs may wait so long for a real one. */
#define PROCESSORS_LIMIT_NS 5000000000ull

/* Of the loop and all interrupts of a CPU that has nothing to do. */
#define PROCESSORS_STACK_SIZE (16u * 1024)

/*
 * Brings up the local interrupt controller, the clock and remote calls of this CPU, enables its
 * interrupts, and starts all CPUs that ACPI lists; without ACPI there is one. ERR_NO_DEVICE, or
 * what else clock_init() and local_apic_init_cpu() say: nothing has been started, interrupts are
 * disabled. ERR_STATE when called again. What keeps other CPUs from starting is logged: the system
 * goes on with those that run.
 */
CELL_API MUST_CHECK enum status processors_start(void);

/* That run, the one that booted included; at least 1. */
CELL_API unsigned processors_count(void);

/*
 * What each CPU but the first does from now on, with interrupts disabled at first; it does not
 * return. It is called on each CPU's own stack, at once on those that are halted.
 */
CELL_API void processors_set_loop(void (*loop)(void));

/*
 * Runs function(argument) on CPU `cpu`, with interrupts enabled, and does not wait for its end. For
 * tests, and before there is a scheduler: ERR_BUSY while that CPU has something to do, or when
 * there is a loop of the scheduler's; ERR_NO_DEVICE for a CPU that does not run, or the one that
 * booted.
 */
CELL_API MUST_CHECK enum status processors_run(unsigned cpu, void (*function)(void *argument),
                                               void *argument);

/* Has it nothing to do, in the sense of processors_run()? */
CELL_API bool processors_is_idle(unsigned cpu);
