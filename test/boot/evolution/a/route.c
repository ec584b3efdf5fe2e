/* SPDX-License-Identifier: MIT */
#include "route.h"

CELL(library, "1.0.0");

static uint64_t position;
static bool is_over;

void route_advance(uint64_t distance, void (*show)(uint64_t position))
{
    position += distance;
    show(position);
}

void route_end(void)
{
    __atomic_store_n(&is_over, true, __ATOMIC_RELAXED);
}

bool route_is_over(void)
{
    return __atomic_load_n(&is_over, __ATOMIC_RELAXED);
}
