/* SPDX-License-Identifier: MIT */
/*
 * swap_sample.h - what cells offer that are swapped for each other.
 *
 * Why: tests and demonstrations of swapping need two cells that can be told apart, with one of
 * everything: exported and local functions, a pointer to a local one, variables in all kinds of
 * sections, and constants that are the same in both, or not.
 *
 * Rules: any task. What is kept across a swap says each function.
 */
#pragma once

#include "cell.h"

/* What the third one's function of transfer does when the count leaves this rest. */
#define SWAP_SAMPLE_ORDERS 16u
#define SWAP_SAMPLE_FAULT  13u
#define SWAP_SAMPLE_REFUSE 14u
#define SWAP_SAMPLE_SPIN   15u

/* 1, 2 or 3. */
CELL_API uint64_t swap_sample_version(void);

/* Counts its calls, whichever cell they go to. In one cell the count is zeroed memory, in the other
 * not. */
CELL_API uint64_t swap_sample_count(void);

/* The same address and text in both. */
CELL_API const char *swap_sample_name(void);

/*
 * A variable that points to the name in both; and what it is initialised with differs in text, too.
 */
CELL_API const char *swap_sample_title(void);

typedef uint64_t (*swap_sample_function_t)(void);

/* A local function that returns the version; its address is the same before and after. */
CELL_API swap_sample_function_t swap_sample_pointer(void);

/*
 * Says so in *has_begun, waits inside of the cell until *is_over, and returns the version that it
 * began in times 10, plus the one that it then finds behind the pointer above.
 */
CELL_API uint64_t swap_sample_wait(bool *has_begun, const bool *is_over);
