/* SPDX-License-Identifier: MIT */
/* The count begins anew. */
#define MORE CELL_FRESH(count);
#include "tally.c"
