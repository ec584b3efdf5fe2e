/* SPDX-License-Identifier: MIT */
/*
 * backtrace.h - who called whom, by cell and section.
 *
 * Why: here the unwinder learns what this system is made of: address_map says which cell an address
 * belongs to, the cell's index where its unwind table describes it, and `stack` which memory may
 * be read. Rows that were evaluated are kept, for each CPU.
 *
 * Rules: no lock, no allocation; any context, exception handlers too. Who walks stays on its CPU:
 * preemption is held, or interrupts are off. A walk that is interrupted by another one on the same
 * CPU goes on rightly. Before the static cells are adopted nothing is known, so every walk
 * is unreliable at once.
 */
#pragma once

#include "unwind.h"

/* Frames of one walk through the kernel; lives as long as its cursor is used. */
struct backtrace {
    struct unwind_source source;
    struct unwind_cursor cursor; /* unwind_step() takes it on */
};

/* Starts a walk; registers and is_exact as for unwind_begin(). */
CELL_API void backtrace_begin(struct backtrace *backtrace,
                              const uint64_t registers[CFI_REGISTER_COUNT], bool is_exact);

/*
 * Prints the callers of what these registers belong to, at most about `most` lines to the console:
 * address, cell, section and offset. The last line says why there are no more, unless the outermost
 * frame was reached. `int` is where an interrupt or exception struck, `by?` is a guess.
 */
CELL_API void backtrace_print(const uint64_t registers[CFI_REGISTER_COUNT], bool is_exact,
                              unsigned most);

/* Of this CPU: steps whose row was there, and all others. */
CELL_API void backtrace_counts(uint64_t *out_hits, uint64_t *out_misses);
