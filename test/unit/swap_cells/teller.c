/* SPDX-License-Identifier: MIT */
/* Stays, and uses `tally` in every way: calls, addresses in text and in constants, a variable. */
#include "tally.h"

CELL(library, "1.0.0");

CELL_API uint64_t teller_ask(void);
CELL_API tally_function_t teller_holds(void);
CELL_API uint64_t teller_by_table(uint32_t index);
CELL_API uint64_t teller_slot(void);

static tally_function_t const table[] = {tally_next, tally_version};

uint64_t teller_ask(void)
{
    return tally_next() + 0; /* by a call, not a jump */
}

tally_function_t teller_holds(void)
{
    return tally_version;
}

uint64_t teller_by_table(uint32_t index)
{
    return table[index]();
}

uint64_t teller_slot(void)
{
    return tally_slots[1];
}
