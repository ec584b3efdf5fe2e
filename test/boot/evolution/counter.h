/* SPDX-License-Identifier: MIT */
/*
 * counter.h - what the two builds of test/boot/make_evolution have in common: a cell with a state,
 * and an application that shows it.
 */
#pragma once

#include "cell.h"

/* How often it was called, whichever version was. */
CELL_API uint64_t counter_next(void);

/* Likewise, for a count of its own. */
CELL_API uint64_t counter_step(void);
