/* SPDX-License-Identifier: MIT */
/* part_b, in a version that needs what no cell has. */
#include "cell.h"

CELL(library, "2.0.0");

CELL_API uint64_t part_beta(void);
CELL_API uint64_t part_gamma(void);
CELL_API uint64_t nobody_has_this(void);

static uint64_t beta = 2;
static uint64_t gamma = 3;

uint64_t part_beta(void)
{
    return beta += nobody_has_this();
}

uint64_t part_gamma(void)
{
    return ++gamma;
}
