/* SPDX-License-Identifier: MIT */
/*
 * fpu.h - x87, SSE and AVX registers for the tasks that use them.
 *
 * Why: cells are compiled without vector instructions, so nearly no task ever needs these
 * registers, which are larger than all else that a task has. A task that does not use them pays
 * nothing for them but one test in each switch.
 *
 * Rules: the first instruction of a task that needs them raises #NM (CR0.TS is set). Then the task
 * gets an area on the heap, `vector_state`, and registers in their initial state, and the
 * instruction is executed again. From then on they are saved when the task leaves its CPU and
 * restored when it comes to one, any one. The area is freed when the task is off its stack. Where
 * there is no memory the exception goes on to older handlers: the task fails as by any other. The
 * same in handlers and with interrupts off, where there are no vector registers. What the CPU has
 * decides what is saved: by XSAVE x87, SSE, AVX and AVX-512, else by FXSAVE x87 and SSE.
 *
 * A fault or a kill while an area is being made leaves the task with it or without any, and none is
 * lost; a fault within a switch that is taken back leaves the task that stays with the registers
 * that it had.
 */
#pragma once

#include "own.h"
#include "task_state.h"

/* Registers the handler; on the CPU that booted, once. Errors of exception_handler_register(). */
CELL_API MUST_CHECK enum status fpu_init(void);

/* On each CPU, after fpu_init(), before tasks run there. */
CELL_API void fpu_init_cpu(void);

/*
 * Of two tasks, one of which at least has a `vector_state`. NULL: a fault struck with interrupts
 * off, and `next` is who goes on: CR0.TS and the registers become what they have to be for it.
 * Again: the same. Interrupts are off. For the dispatcher.
 */
CELL_API void fpu_switch(struct task *previous, struct task *next);

/* Bytes that are saved and restored; 0 before fpu_init_cpu(). */
CELL_API size_t fpu_state_size(void);
