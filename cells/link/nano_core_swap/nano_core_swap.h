/* SPDX-License-Identifier: MIT */
/*
 * nano_core_swap.h - replaces the cells of the static image by loaded ones.
 *
 * Why: the nano_core is what had to be linked beforehand so that anything could be linked at run
 * time. Once its cells have their metadata (loader_adopt) they are cells like others, so they are
 * swapped like others, all at once, for copies of themselves from the archive. Then the static text
 * and constants are nobody's, and their pages go back to the frame allocator. What stays of the
 * image: its data, where variables are adopted in place; its entries, which are pointed to from
 * everywhere; and the table that describes it.
 *
 * Rules: at boot, on the one CPU that runs, before there are tasks: then there is one stack to be
 * looked at, and little memory. The option `nano_core=keep` leaves the static cells where they are.
 */
#pragma once

#include "status.h"

/*
 * Swaps them and calls `nano_core_go_on`, a function of the fresh nano_core, which does not return;
 * returns if that was not wanted or was refused, which is logged: the system is then as it was.
 */
CELL_API void nano_core_swap(void);

/*
 * Called by the fresh nano_core, on a stack that nobody of the old one is on: frees what was
 * replaced, and logs what is kept, and by what.
 */
CELL_API void nano_core_swap_finish(void);
