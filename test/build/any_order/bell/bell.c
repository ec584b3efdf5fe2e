/* SPDX-License-Identifier: MIT */
#include "bell.h"

CELL(library, "1.0.0");

int bell(void)
{
    return 1;
}
