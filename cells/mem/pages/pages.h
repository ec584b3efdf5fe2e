/* SPDX-License-Identifier: MIT */
/*
 * pages.h - owned pages of the address space.
 *
 * Why: who holds a `struct pages` owns these pages, one contiguous range, and nobody else does.
 *
 * Rules: page_allocator hands them out, implements what is here, and keeps no table of them. What
 * is owned can be cut in two and put together again, and goes back when it is dropped. O(log n) in
 * the number of free ranges for what goes back, else O(1). What one handle is, its owner
 * serialises; different ones are used on different CPUs at once.
 */
#pragma once

#include "memory.h"
#include "own.h"

struct commit_list;
struct OWN_CAPABILITY("pages") pages;
OWN_DECLARE(pages);

CELL_API vaddr_t pages_start(const struct pages *pages) OWN_BORROWS(*pages);
CELL_API uint64_t pages_count(const struct pages *pages) OWN_BORROWS(*pages);
CELL_API enum page_zone pages_zone(const struct pages *pages) OWN_BORROWS(*pages);

/* Cuts the pages behind the first `first_count` off. ERR_OUT_OF_BOUNDS, ERR_NO_MEMORY: no change.
 */
CELL_API enum status pages_split(struct pages *pages, uint64_t first_count, struct pages **out_rest)
    OWN_BORROWS(*pages) OWN_ACQUIRES(**out_rest);

/* Adds `*rest`, which must follow `pages`; else ERR_MISMATCH, and *rest stays where it is. */
CELL_API MUST_CHECK enum status pages_merge(struct pages *pages, struct pages **rest)
    OWN_BORROWS(*pages) OWN_CONSUMES(**rest);

/*
 * The same for who changes more than pages in the moment of `list` (commit.h): these do everything
 * that can fail, and add what is left to it. Until that is committed *out_rest has no pages, and
 * may be dropped; after it *rest has none, and is to be.
 */
CELL_API enum status pages_plan_split(struct pages *pages, uint64_t first_count,
                                      struct pages **out_rest, struct commit_list *list)
    OWN_BORROWS(*pages) OWN_ACQUIRES(**out_rest);
CELL_API MUST_CHECK enum status pages_plan_merge(struct pages *pages, struct pages *rest,
                                                 struct commit_list *list)
    OWN_BORROWS(*pages, *rest);
