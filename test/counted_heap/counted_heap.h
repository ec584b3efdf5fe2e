/* SPDX-License-Identifier: MIT */
/*
 * counted_heap.h - a heap for tests, which is counted and can run out.
 *
 * Why: that nothing is lost, and that every request may fail, is tested alike wherever the heap is.
 *
 * Rules: included once in a program that is linked without a heap (TEST_STUBS heap).
 */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "heap.h"

static long heap_blocks;     /* in use */
static long heap_limit = -1; /* requests that still succeed; -1: all */

void *heap_allocate(size_t bytes)
{
    if (heap_limit == 0) {
        return NULL;
    }
    heap_limit -= heap_limit > 0;
    heap_blocks++;
    return malloc(bytes);
}

void *heap_allocate_zeroed(size_t bytes)
{
    void *block = heap_allocate(bytes);
    return block ? memset(block, 0, bytes) : NULL;
}

void heap_free(void *block)
{
    heap_blocks -= block != NULL;
    free(block);
}
