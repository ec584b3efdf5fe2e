/* SPDX-License-Identifier: MIT */
/*
 * tally.h - what `tally` and its variants offer: one of everything that a swap takes over.
 *
 * Why: a variant differs from `tally` in one thing only, so a test of what a swap makes of it can
 * say exactly what it must be (CMakeLists.txt lists them).
 *
 * Rules: for tests on a host. What is counted goes on where it was if the variable is adopted.
 */
#pragma once

#include "cell.h"

typedef uint64_t (*tally_function_t)(void);

/* 1, or what the variant says. */
CELL_API uint64_t tally_version(void);

/* Counts its calls, from 5 on: an initialised variable. */
CELL_API uint64_t tally_next(void);

/* The same from 0 on: a zeroed variable. */
CELL_API uint64_t tally_zeroed(void);

/* A local function that returns the version, through a variable. */
CELL_API tally_function_t tally_local(void);

/* A constant; and a variable that points to it. */
CELL_API const char *tally_title(void);
CELL_API const char *tally_heading(void);

/* Numbers that are a constant. */
CELL_API const uint64_t *tally_limits(void);

extern CELL_API const uint64_t tally_row[3];
extern CELL_API uint64_t tally_slots[2];
