/* SPDX-License-Identifier: MIT */
/* Knows arrays of `tally`, but not how long they are. */
#include "cell.h"

CELL(library, "1.0.0");

extern CELL_API const uint64_t tally_row[];
extern CELL_API uint64_t tally_slots[];
CELL_API uint64_t reader_sum(void);

uint64_t reader_sum(void)
{
    return tally_row[0] + tally_row[2] + tally_slots[0];
}
