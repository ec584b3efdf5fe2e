/* SPDX-License-Identifier: MIT */
/*
 * context.h - switches from one stack to another.
 *
 * Why: a function that calls another one has saved what the callee may change already, so all that a
 * switch must keep is six registers and the stack pointer (psABI, "Registers").
 *
 * Rules: flags, segment bases and vector registers are not touched: who switches takes care of them.
 * Works in a process as well.
 */
#pragma once

#include "memory.h"

/*
 * Keeps the caller's registers on its stack and the pointer to them in `*save`, and goes on where the
 * stack pointer `next` was saved. Comes back when somebody switches to what it saved.
 */
CELL_API void context_switch(uint64_t *save, uint64_t next);

/*
 * Writes a first context below `top`, 16-byte aligned, and returns its stack pointer: switching there
 * calls entry(argument), which must not return. An unwinder finds no caller above it.
 */
CELL_API uint64_t context_prepare(vaddr_t top, void (*entry)(void *argument), void *argument);
