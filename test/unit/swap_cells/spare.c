/* SPDX-License-Identifier: MIT */
#include "cell.h"

CELL(library, "1.0.0");

CELL_API uint64_t spare_wheel(void);

uint64_t spare_wheel(void)
{
    return 77;
}
