/* SPDX-License-Identifier: MIT */
#include "anchor.h"

CELL(library, "1.0.0");

int anchor(void)
{
    return 1;
}
