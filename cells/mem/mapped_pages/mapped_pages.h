/* SPDX-License-Identifier: MIT */
/*
 * mapped_pages.h - memory to use: pages with frames behind them.
 *
 * Why: pages, frames and the mapping between them are one resource to everybody else. They are
 * taken together, and given back together, once.
 *
 * Rules: the structure is the caller's storage and is not copied while it holds pages; all zero is
 * empty. Nobody else may hold pointers into the memory after mapped_pages_fini(). Memory is
 * writable or executable, never both. One CPU with interrupts off, for now: no lock.
 */
#pragma once

#include "memory.h"
#include "status.h"

struct mapped_pages {
    vaddr_t start; /* of the first page; 0: empty */
    size_t page_count;
    size_t offset; /* of the memory in the first page */
    size_t bytes;  /* usable, from `offset` */
    enum page_zone zone;
    unsigned flags;
    bool owns_frames; /* they go back to the frame allocator */
};

/*
 * At least `bytes` of zeroed memory, rounded up to pages. On failure *out is empty: ERR_NO_MEMORY,
 * ERR_NO_ADDRESS_SPACE, ERR_PERMISSION for write and execute together, ERR_INVALID_ARGUMENT for 0
 * bytes or unknown flags.
 */
MUST_CHECK CELL_API enum status mapped_pages_init(struct mapped_pages *out, enum page_zone zone,
                                                  size_t bytes, unsigned flags);

/*
 * The same, writable, but not zeroed: it holds what was there before. For those who write before
 * they read; zeroing a page is half of the work of mapping it.
 */
MUST_CHECK CELL_API enum status mapped_pages_init_uncleared(struct mapped_pages *out,
                                                            enum page_zone zone, size_t bytes);

/*
 * The given physical memory, which belongs to somebody else (a module, a device) and stays so:
 * frames are not given back. `start` need not be aligned; whatever shares its first and last page
 * is mapped, too. Errors as above, and ERR_OUT_OF_BOUNDS beyond PHYSICAL_LIMIT.
 */
MUST_CHECK CELL_API enum status mapped_pages_init_at_frames(struct mapped_pages *out,
                                                            enum page_zone zone, paddr_t start,
                                                            size_t bytes, unsigned flags);

/* Changes what may be done with the memory. ERR_PERMISSION for write and execute together. */
MUST_CHECK CELL_API enum status mapped_pages_protect(struct mapped_pages *pages, unsigned flags);

/* Gives everything back; *pages is empty afterwards. Does nothing when it is empty already. */
CELL_API void mapped_pages_fini(struct mapped_pages *pages);

/* NULL when empty. */
static inline void *mapped_pages_address(const struct mapped_pages *pages)
{
    return pages->start ? (void *)(pages->start + pages->offset) : NULL;
}

static inline size_t mapped_pages_size(const struct mapped_pages *pages)
{
    return pages->bytes;
}
