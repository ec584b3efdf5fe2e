/* SPDX-License-Identifier: MIT */
/* route.h, version 1 - goes along a line and tells its caller where it is. */
#pragma once

#include "cell.h"

CELL_API void route_advance(uint64_t distance, void (*show)(uint64_t position));
CELL_API void route_end(void);
CELL_API bool route_is_over(void);
