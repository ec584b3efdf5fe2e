/* SPDX-License-Identifier: MIT */
/* tally_next() has another signature. */
#define tally_next tally_next_before
#include "tally.h"
#undef tally_next
CELL_API uint64_t tally_next(uint32_t by);
#define PARAMETERS uint32_t by
#define NEXT       count += by
#include "tally.c"
