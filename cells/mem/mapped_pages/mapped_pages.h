/* SPDX-License-Identifier: MIT */
/*
 * mapped_pages.h - memory that can be used: pages with frames behind them, owned as one thing.
 *
 * Why: this is the only way to get at memory (Theseus, section 4.3.1). Who maps gives his pages and
 * his frames away for a `struct mapped_pages`; this cell keeps no table of mappings. The
 * invariants:
 *
 *   M.1  bijective: a frame is mapped by one page at most, for both are owned and consumed by mapping;
 *   M.2  in bounds: access is given for a type at an offset, checked for bounds, overflow and alignment;
 *   M.3  unmapped exactly once, when the owner drops it or takes it apart;
 *   M.4  writable or executable only if mapped so, and never both.
 *
 * Rules: frames of RAM that are stale are cleared before anybody sees them. A range of 2 MiB whose
 * pages and frames are both aligned to that is mapped by one entry. Page tables that become empty
 * are freed. Pointers that the access functions give are borrowed from the mapping: they end with
 * it. O(pages) for the tables plus O(log n) for the allocators, independent of how many mappings
 * there are. Any CPU, also with preemption held; not in interrupt handlers, nor with interrupts off
 * (page_table.h). What one mapping is, its owner serialises. After a fault or a kill at any
 * instruction pages and frames have one owner each, and are not mapped once they have been given
 * back: the variable that is to hold a mapping does so from early on, and is empty again where an
 * error is returned (docs/fault-safety.md).
 */
#pragma once

#include "frame_allocator.h"
#include "memory.h"
#include "own.h"
#include "page_allocator.h"

struct OWN_CAPABILITY("mapped_pages") mapped_pages;
OWN_DECLARE(mapped_pages); /* unmaps, and gives pages and frames back */

/*
 * Maps `*pages` to `*frames`, as many, in order, and takes both. `flags`: enum page_flags.
 * ERR_MISMATCH when there are not equally many, ERR_PERMISSION for write and execute together,
 * ERR_INVALID_ARGUMENT for flags that do not exist, ERR_NO_MEMORY without a descriptor or a frame
 * for a page table. After a failure nothing is mapped and both slots are still full: their scopes
 * release them.
 */
CELL_API enum status mapped_pages_map(struct pages **pages, struct frames **frames, unsigned flags,
                                      struct mapped_pages **out) OWN_CONSUMES(**pages, **frames)
    OWN_ACQUIRES(**out);

/*
 * Takes pages of `zone` and frames for `bytes`, rounded up, and maps them; the memory reads as
 * zero.
 */
CELL_API enum status mapped_pages_create(enum page_zone zone, size_t bytes, unsigned flags,
                                         struct mapped_pages **out) OWN_ACQUIRES(**out);

/* The same, but the memory reads as what others left there: for who stores every byte of the pages
 * before anybody looks. */
CELL_API enum status mapped_pages_create_raw(enum page_zone zone, size_t bytes, unsigned flags,
                                             struct mapped_pages **out) OWN_ACQUIRES(**out);

/*
 * Takes the frames that hold `bytes` at `start`, and pages of `zone`, and maps them: for modules
 * and other memory that exists at a given place. The caller adds the offset of `start` in its
 * frame.
 */
CELL_API enum status mapped_pages_create_at(enum page_zone zone, paddr_t start, size_t bytes,
                                            unsigned flags, struct mapped_pages **out)
    OWN_ACQUIRES(**out);

/* Changes what may be done with all of it. ERR_PERMISSION, ERR_INVALID_ARGUMENT: nothing changed.
 */
CELL_API MUST_CHECK enum status mapped_pages_remap(struct mapped_pages *pages, unsigned flags)
    OWN_BORROWS(*pages);

/*
 * Cuts off what lies behind the first `first_count` pages. ERR_OUT_OF_BOUNDS, ERR_NO_MEMORY: no
 * change.
 */
CELL_API enum status mapped_pages_split(struct mapped_pages *pages, uint64_t first_count,
                                        struct mapped_pages **out_rest) OWN_BORROWS(*pages)
    OWN_ACQUIRES(**out_rest);

/*
 * Adds `*rest`, whose pages must follow and whose flags and kind of frames must be equal; else
 * ERR_MISMATCH, and *rest stays where it is.
 */
CELL_API MUST_CHECK enum status mapped_pages_merge(struct mapped_pages *pages,
                                                   struct mapped_pages **rest) OWN_BORROWS(*pages)
    OWN_CONSUMES(**rest);

/* Unmaps, and hands the parts to the caller. Cannot fail. The frames are not stale: they are his.
 */
CELL_API void mapped_pages_take_apart(struct mapped_pages **pages, struct pages **out_pages,
                                      struct frames **out_frames) OWN_CONSUMES(**pages)
    OWN_ALWAYS_ACQUIRES(**out_pages, **out_frames);

CELL_API vaddr_t mapped_pages_start(const struct mapped_pages *pages) OWN_BORROWS(*pages);
CELL_API uint64_t mapped_pages_count(const struct mapped_pages *pages) OWN_BORROWS(*pages);
CELL_API unsigned mapped_pages_flags(const struct mapped_pages *pages) OWN_BORROWS(*pages);
CELL_API const struct frames *mapped_pages_frames(const struct mapped_pages *pages)
    OWN_BORROWS(*pages);

struct mapped_pages_statistics {
    uint64_t descriptor_pages; /* given to the descriptor pool, for ever */
    uint64_t kept_descriptors; /* that these need themselves: neighbours share one */
};

CELL_API struct mapped_pages_statistics mapped_pages_statistics(void);

/* ---- access ---- */

/*
 * `count` elements of `size` bytes, aligned to `alignment`, at `offset`: NULL unless they lie
 * inside, nothing overflows, the address is aligned, and the mapping has all of `needed` (enum
 * page_flags). The macros below are what is meant to be used.
 */
CELL_API void *mapped_pages_access(const struct mapped_pages *pages, uint64_t offset, uint64_t size,
                                   uint64_t alignment, uint64_t count, unsigned needed)
    OWN_BORROWS(*pages);

/* A `const type *`, or NULL. */
#define MAPPED_PAGES_AS(type, pages, offset) \
    ((const type *)mapped_pages_access(pages, offset, sizeof(type), alignof(type), 1, PAGE_READ))

/* A `type *`, or NULL where the mapping is not writable. */
#define MAPPED_PAGES_AS_MUTABLE(type, pages, offset) \
    ((type *)mapped_pages_access(pages, offset, sizeof(type), alignof(type), 1, PAGE_WRITE))

/* The first of `count` elements. */
#define MAPPED_PAGES_SLICE(type, pages, offset, count)                                    \
    ((const type *)mapped_pages_access(pages, offset, sizeof(type), alignof(type), count, \
                                       PAGE_READ))
#define MAPPED_PAGES_SLICE_MUTABLE(type, pages, offset, count) \
    ((type *)mapped_pages_access(pages, offset, sizeof(type), alignof(type), count, PAGE_WRITE))

/* A function pointer of `type`, or NULL where the mapping is not executable. */
#define MAPPED_PAGES_AS_FUNCTION(type, pages, offset) \
    ((type)mapped_pages_access(pages, offset, 1, 1, 1, PAGE_EXECUTE))
