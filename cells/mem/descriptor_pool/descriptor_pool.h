/* SPDX-License-Identifier: MIT */
/*
 * descriptor_pool.h - small blocks for the descriptors of owned memory.
 *
 * Why: who owns frames, pages or a mapping holds a descriptor of it. Descriptors cannot come from
 * the heap, for the heap is built on them. So they come from here: a static supply for the start,
 * and pages that mapped_pages donates when the supply runs low.
 *
 * Rules: one size for all, a cache line. Memory that was donated stays here. A block goes from the
 * pool into a variable of its new owner, and back from there, in one step: at every instruction one
 * of both has it (docs/fault-safety.md). Its third word is 0 when it comes, the rest is anything;
 * so a type of descriptors whose third word says how much it describes can be dropped from then on.
 * The forms by value are for who keeps a block by other means. Any CPU, any context, no lock; but
 * donating, for which its caller serialises. Figures are exact while nobody else takes or gives.
 */
#pragma once

#include "status.h"

#define DESCRIPTOR_SIZE 64u

/*
 * When fewer are left, mapped_pages donates a page: more than what one operation on frames, pages
 * and page tables can need while it maps that page (16), on four CPUs at the same moment. Where
 * more of them meet, some may be told ERR_NO_MEMORY.
 */
#define DESCRIPTOR_RESERVE 64u

/* Where the third word is, for static_assert. */
#define DESCRIPTOR_COUNT_OFFSET 16

/*
 * Puts a block of DESCRIPTOR_SIZE bytes, aligned to it, into *out, a pointer of any type; false,
 * and nothing is stored, when there is none. O(1).
 */
CELL_API MUST_CHECK bool descriptor_pool_take(void *out);

/* Takes back what is in *slot, which is NULL then, unless it was before. Its third word is set to
 * 0. */
CELL_API void descriptor_pool_give(void *slot);

/* The same by value. */
CELL_API MUST_CHECK void *descriptor_pool_get(void);
CELL_API void descriptor_pool_put(void *block);

/*
 * Adds `bytes` of page-aligned memory to the supply, for ever. Where it is interrupted, what has
 * not become part of the supply yet does when more is donated.
 */
CELL_API void descriptor_pool_donate(void *memory, size_t bytes);

/* The same in two parts: it is the pool's with the commit of `list` (commit.h); then accept it. */
struct commit_list;
CELL_API void descriptor_pool_offer(void *memory, size_t bytes, struct commit_list *list);
CELL_API void descriptor_pool_accept(void);

CELL_API uint64_t descriptor_pool_available(void);
CELL_API uint64_t descriptor_pool_in_use(void);
