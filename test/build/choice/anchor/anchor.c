/* SPDX-License-Identifier: MIT */
#include "anchor.h"
#include "bell.h"

CELL(library, "1.0.0");

const char *anchor(void)
{
    return bell();
}
