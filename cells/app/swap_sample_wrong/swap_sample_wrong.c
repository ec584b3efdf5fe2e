/* SPDX-License-Identifier: MIT */
/* Has one function of its interface, and no others. */
#include "swap_sample.h"

CELL(library, "1.0.0");

uint64_t swap_sample_version(void)
{
    return 4;
}
