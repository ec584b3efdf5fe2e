/* SPDX-License-Identifier: MIT */
#include "aft.h"

CELL(library, "1.0.0");

int aft(void)
{
    return 1;
}
