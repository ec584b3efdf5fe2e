/* SPDX-License-Identifier: MIT */
/*
 * strike_heap.h - a small heap that knows its blocks, in place of the heap.
 *
 * Why: whether memory is lost is for the test to say, not for what is tested. Each operation is one
 * step (commit.h): a strike finds it not begun or done. What the heap itself does at each of its
 * instructions is tested elsewhere.
 */
#pragma once

#include "heap_block.h"

#ifndef STRIKE_BLOCKS
    #define STRIKE_BLOCKS 16u
#endif
#ifndef STRIKE_BLOCK_SIZE
    #define STRIKE_BLOCK_SIZE 512u
#endif

/* Blocks that are not free; and demands that all of them are. */
unsigned strike_heap_used(void);

/* From now on there is no memory. */
void strike_heap_refuse(bool refuse);
