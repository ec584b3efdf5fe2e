/* SPDX-License-Identifier: MIT */
/*
 * interrupt_catch.h - goes on behind a handler of interrupts that faults.
 *
 * Why: a handler runs on the stack of a task that has nothing to do with it. So when it faults that
 * task must go on, and only the handler may end. A catch point around each handler would cost every
 * interrupt its price; instead the unwinder finds, at the fault, the frame that called the handler,
 * and its registers.
 *
 * Rules: what the handler owns in slots is released first, on a stack of this CPU's for that, with
 * interrupts off as they are in a handler; drops must not wait. Holds of preemption and read
 * sections are as when it was called; what else it holds outside of slots is lost. Registers that
 * calls preserve are restored from where the frames on the way keep them: what has destroyed one
 * that it had not saved has destroyed it for the interrupted code too.
 *
 * The handler stays registered and is called again, INTERRUPT_CATCHES_MAX times in all: a device
 * that it fails to quiet interrupts at once again. A fault that cannot be traced to a handler, or
 * whose chain of slots is broken, is not taken, and ends the system with its report.
 */
#pragma once

#include "cfi.h"
#include "own.h"

#define INTERRUPT_CATCHES_MAX      32u /* of each vector, since boot */
#define INTERRUPT_CATCH_FAULTS_MAX 16u /* of one handler, those of its drops included */
#define INTERRUPT_CATCH_STACK_SIZE 8192u

/*
 * Makes a stack for each of the CPUs 0 .. cpu_count - 1. Again: for those that have none. Errors of
 * stack_create(): then those that have one are served.
 */
CELL_API MUST_CHECK enum status interrupt_catch_enable(uint32_t cpu_count);

/*
 * For the handler of exceptions, which owns no slots when it asks: is a handler of interrupts at
 * fault? Then `registers`, of the faulting code, are changed so that going on there releases what
 * it owns and goes on behind its call; `*out_is_first` says that this is not the fault of a drop.
 */
CELL_API bool interrupt_catch_take(uint64_t registers[CFI_REGISTER_COUNT], bool *out_is_first);
