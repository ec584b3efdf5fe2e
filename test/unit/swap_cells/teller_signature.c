/* SPDX-License-Identifier: MIT */
/* `teller`, for another signature of tally_next(). */
#define tally_next tally_next_before
#include "tally.h"
#undef tally_next

CELL(library, "2.0.0");

CELL_API uint64_t tally_next(uint32_t by);
CELL_API uint64_t teller_ask(void);

uint64_t teller_ask(void)
{
    return tally_next(3) + 1000;
}
