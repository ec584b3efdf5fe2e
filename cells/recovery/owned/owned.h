/* SPDX-License-Identifier: MIT */
/*
 * owned.h - what the slots of a chain hold, by type, and which of them can be believed.
 *
 * Why: after a fault the chain of slots (own.h) is all that is known of what a task owned, and the
 * fault may have destroyed parts of it. A slot's tag gives its drop function; this cell says
 * whether that is one, before anybody calls it, and what it is called, for reports.
 *
 * Rules: no lock, no allocation, no recursion; any context, exception handlers too. Memory is read
 * only between the bounds of stacks and in the text of cells that are loaded. A chain of any
 * length, in a circle or with wild links, is looked at for a bounded time.
 */
#pragma once

#include "own.h"

#define OWNED_SLOTS_MAX 100000u /* more than the largest stack holds */
#define OWNED_TYPES_MAX 8u      /* that are told apart in one description */
#define OWNED_NAME_SIZE 48u
#define OWNED_LINE_SIZE 256u

/*
 * Can `drop`, what a tag says, be called as a drop function? It must be the entry or the first byte
 * of a function of a cell that is loaded, whose name ends in `_drop`. Of what was found to be one
 * it is remembered until cells are loaded or unloaded. A few instructions then, else O(log
 * sections).
 */
CELL_API bool owned_is_drop(uintptr_t drop);

/*
 * The same for a tag that was found by looking for one: its text must also be what the pristine
 * object says, but for the fields that were relocated. Nothing is remembered. O(bytes of the
 * function).
 */
CELL_API bool owned_is_intact_drop(uintptr_t drop);

/* "frames" for frames_drop(), "?" for what is no function. Returns the length, as snprintf does. */
CELL_API size_t owned_name(uintptr_t drop, char *buffer, size_t size);

/*
 * "3 frames, 1 stack, 1 spinlock": what is held in the slots from `top` on to the oldest, whatever
 * catch points there are on the way; "nothing". Where the chain is broken that is said. As
 * snprintf.
 */
CELL_API size_t owned_describe(const struct own_slot *top, char *buffer, size_t size);
