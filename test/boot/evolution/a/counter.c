/* SPDX-License-Identifier: MIT */
#include "counter.h"

CELL(library, "1.0.0");

static uint32_t count;
static uint64_t steps = 100;

uint64_t counter_next(void)
{
    return __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);
}

uint64_t counter_step(void)
{
    return __atomic_add_fetch(&steps, 1, __ATOMIC_RELAXED);
}
