/* SPDX-License-Identifier: MIT */
#include "tour_loop.h"

CELL(application, "1.0.0");

static void show(uint64_t position)
{
    if (position == 1) {
        console_print("tour: version 1 is at %lu\n", (unsigned long)position);
    }
}

static void step(uint64_t *count)
{
    (void)count;
    route_advance(1, show);
}
