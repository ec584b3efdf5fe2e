/* SPDX-License-Identifier: MIT */
/*
 * stack.h - memory to run on, with a page at either end that nobody can touch.
 *
 * Why: a stack that is too small must not run into what lies beside it. Its guard pages are owned
 * and never mapped, so the first access beyond an end is an exception, and the report can say
 * which stack it was, by name, instead of naming an address.
 *
 * Rules: a stack grows down from its top; who drops one does not run on it. A function whose frame
 * is larger than a page touches every page of it in order (-fstack-clash-protection, as all cells
 * are compiled), so it cannot step over a guard. Stacks are found without lock or allocation, also
 * by an exception handler that interrupted any function here, on any CPU: a drop waits for those
 * who look. The name that is found is there as long as the stack. After a fault or a kill at any
 * instruction a stack is owned and in the list, or gone (docs/fault-safety.md); but for
 * stack_adopt(), at boot.
 */
#pragma once

#include "memory.h"
#include "own.h"

#define STACK_NAME_SIZE 64u /* with the NUL; longer names are cut */

struct OWN_CAPABILITY("stack") stack;
OWN_DECLARE(stack);

/*
 * Makes a stack of `bytes`, rounded up to pages, all zeros. The name is copied.
 * ERR_INVALID_ARGUMENT for 0 bytes, ERR_NO_MEMORY, ERR_NO_ADDRESS_SPACE.
 */
CELL_API enum status stack_create(size_t bytes, const char *name, struct stack **out)
    OWN_ACQUIRES(**out);

/*
 * Makes a stack of memory that is mapped already and stays, such as the one that the system starts
 * on: unmaps the page before and the page behind it, which must be nothing else, and keeps it among
 * the stacks for ever. ERR_MISALIGNED, ERR_INVALID_ARGUMENT for 0 bytes, ERR_NO_MEMORY.
 */
CELL_API MUST_CHECK enum status stack_adopt(vaddr_t bottom, size_t bytes, const char *name);

/* The lowest byte; and the byte behind the highest, where an empty stack's pointer is. */
CELL_API vaddr_t stack_bottom(const struct stack *stack) OWN_BORROWS(*stack);
CELL_API vaddr_t stack_top(const struct stack *stack) OWN_BORROWS(*stack);
CELL_API const char *stack_name(const struct stack *stack) OWN_BORROWS(*stack);

/* Calls function(argument) on this stack, which nobody uses, and comes back on the caller's. */
CELL_API void stack_call(vaddr_t top, void (*function)(void *argument), void *argument);

enum stack_part {
    STACK_INSIDE,
    STACK_GUARD_BELOW, /* where an overflow ends */
    STACK_GUARD_ABOVE, /* where an underflow ends */
};

struct stack_place {
    const char *name; /* of the stack: as long as there is one */
    enum stack_part part;
    vaddr_t bottom;
    vaddr_t top;
};

/* Which live stack, or guard page of one, `address` lies in. O(stacks). Any context. */
CELL_API bool stack_find(vaddr_t address, struct stack_place *out);

/* The same, for guard pages only. */
CELL_API bool stack_find_guard(vaddr_t address, struct stack_place *out);
