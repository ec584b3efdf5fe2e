/* SPDX-License-Identifier: MIT */
/* A part of the cell `counter` of build A, with its variable. */
#include "counter.h"

CELL(library, "2.0.0");

static uint64_t steps = 100;

uint64_t counter_step(void)
{
    return __atomic_add_fetch(&steps, 1, __ATOMIC_RELAXED);
}
