/* SPDX-License-Identifier: MIT */
/*
 * sort.h - sorts arrays.
 *
 * Why: tables that are searched by bisection must be sorted first, in code that may neither
 * allocate nor recurse.
 *
 * Rules: O(n log n) for every input; not stable. An array that is sorted already costs one pass.
 * `comes_before(a, b)` is a strict order and touches nothing else. Any context.
 */
#pragma once

#include "cell.h"

#define SORT_MAX_ELEMENT 64 /* bytes: one element is held on the stack */

/* Sorts `count` elements of `size` bytes, 1 to SORT_MAX_ELEMENT. */
CELL_API void sort_array(void *array, size_t count, size_t size,
                         bool (*comes_before)(const void *a, const void *b));

/*
 * Sorts numbers, faster: ascending runs are merged, so O(n log runs); many that differ in few bits
 * are distributed by these, O(n). `scratch` has room for `count` too, and is left with anything in
 * it.
 */
CELL_API void sort_keys(uint64_t *keys, uint64_t *scratch, size_t count);

/* The same by the bits from `lowest`, below 64, on; keys that agree in these come in any order. */
CELL_API void sort_keys_above(uint64_t *keys, uint64_t *scratch, size_t count, unsigned lowest);
