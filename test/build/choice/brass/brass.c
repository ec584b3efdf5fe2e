/* SPDX-License-Identifier: MIT */
#include "bell.h"

CELL(library, "1.0.0");

const char *bell(void)
{
    return "brass";
}
