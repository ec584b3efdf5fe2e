/* SPDX-License-Identifier: MIT */
/* A source of a cell, or of another cell together with a source that calls its variable alike. */
#include "cell.h"

static uint64_t count = 20;

CELL_API uint64_t twin_west(void);

uint64_t twin_west(void)
{
    return ++count;
}
