/* SPDX-License-Identifier: MIT */
/*
 * As many counters as PARTS says, each a variable with a function: what cells are split and merged
 * of.
 */
#include "cell.h"

CELL(library, "1.0.0");

#define PART(name, start)                \
    static uint64_t name = (start);      \
    CELL_API uint64_t part_##name(void); \
    uint64_t part_##name(void)           \
    {                                    \
        return ++name;                   \
    }

PARTS
