/* SPDX-License-Identifier: MIT */
/* One of two cells that call their variable alike. */
#include "cell.h"

CELL(library, "1.0.0");

#ifndef TWIN
    #define TWIN twin_one
#endif

static uint64_t count = 1;

CELL_API uint64_t TWIN(void);

uint64_t TWIN(void)
{
    return ++count;
}
