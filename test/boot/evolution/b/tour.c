/* SPDX-License-Identifier: MIT */
#include "tour_loop.h"

CELL(application, "2.0.0");

#define LAST 4u /* as far east as this version goes */

/* What the loop has counted, in its frame, and what the cell has, in its variable, are one. */
static void show(const struct route_point *point, void *count)
{
    if (point->steps != *(const uint64_t *)count) {
        console_print("tour: WRONG: %lu steps, the loop has made %lu\n",
                      (unsigned long)point->steps, (unsigned long)*(const uint64_t *)count);
    }
    if (point->from_here.east == 1) {
        console_print("tour: version 2 goes on, north %lu\n",
                      (unsigned long)point->from_here.north);
    }
    if (point->from_here.east == LAST) {
        console_print("tour: version 2 has arrived, north %lu\n",
                      (unsigned long)point->from_here.north);
        route_end();
    }
}

static void step(uint64_t *count)
{
    route_advance(&(struct route_leg){1, 2}, show, count);
}
