/* SPDX-License-Identifier: MIT */
/* Both twins in one, with one variable. */
#include "cell.h"

CELL(library, "2.0.0");

static uint64_t count = 1;

CELL_API uint64_t twin_one(void);
CELL_API uint64_t twin_two(void);

uint64_t twin_one(void)
{
    return ++count;
}

uint64_t twin_two(void)
{
    return ++count;
}
