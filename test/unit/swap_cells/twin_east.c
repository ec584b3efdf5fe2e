/* SPDX-License-Identifier: MIT */
/* A source of a cell, or of another cell together with a source that calls its variable alike. */
#include "cell.h"

static uint64_t count = 10;

CELL_API uint64_t twin_east(void);

uint64_t twin_east(void)
{
    return ++count;
}
