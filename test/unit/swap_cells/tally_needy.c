/* SPDX-License-Identifier: MIT */
/* Needs what no cell has; or what `spare` has. */
#ifndef NEEDED
    #define NEEDED nobody_has_this
#endif
#include "cell.h"
CELL_API uint64_t NEEDED(void);
#define NEXT count + NEEDED()
#include "tally.c"
