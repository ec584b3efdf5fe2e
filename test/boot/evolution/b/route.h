/* SPDX-License-Identifier: MIT */
/* route.h, version 2 - the same way, seen as points of a plane: other arguments, here and of the
 * callback. */
#pragma once

#include "cell.h"

struct route_leg {
    uint64_t east;
    uint64_t north;
};

struct route_point {
    uint64_t steps; /* of both versions */
    struct route_leg from_here;
};

CELL_API void route_advance(const struct route_leg *leg,
                            void (*show)(const struct route_point *point, void *context),
                            void *context);
CELL_API void route_end(void);
CELL_API bool route_is_over(void);
