/* SPDX-License-Identifier: MIT */
#include "cup.h"

CELL(library, "1.0.0");

int cup(void)
{
    return 1;
}
