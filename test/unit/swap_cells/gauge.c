/* SPDX-License-Identifier: MIT */
/* Stays, and calls all counters of `part`. */
#include "cell.h"

CELL(library, "1.0.0");

CELL_API uint64_t part_alpha(void);
CELL_API uint64_t part_beta(void);
CELL_API uint64_t part_gamma(void);
CELL_API uint64_t part_delta(void);
CELL_API uint64_t gauge_all(void);

/* A digit each. */
uint64_t gauge_all(void)
{
    uint64_t all = part_alpha();
    all = all * 10 + part_beta();
    all = all * 10 + part_gamma();
    return all * 10 + part_delta();
}
