/* SPDX-License-Identifier: MIT */
/*
 * page_table.h - which page is mapped to which frame, and what may be done there.
 *
 * Why: this is the only code that knows the format of the CPU's page tables.
 *
 * Rules: pages are 4 KiB, in the upper half of the address space, writable or executable but never
 * both, and not executable unless asked for. Neither pages nor frames are owned here: whoever maps
 * a frame keeps it, and gets it back by unmapping. Frames that hold tables come from the frame
 * allocator; they stay where they are when their last page is unmapped, for the next mapping there.
 * One CPU with interrupts off, for now: no lock, and only this CPU's TLB is told.
 */
#pragma once

#include "memory.h"
#include "status.h"

/*
 * Replaces the tables that the machine was started with by new ones, in which exactly `regions` are
 * mapped: call it once, with the image that is running. Until then all other functions fail with
 * ERR_STATE. On failure the old tables stay.
 */
MUST_CHECK CELL_API enum status page_table_init(const struct page_region *regions, size_t count);

/*
 * Maps `page` to `frame`. ERR_EXISTS when the page is mapped already, ERR_PERMISSION for write and
 * execute together, ERR_NO_MEMORY when a table is needed and there is no frame for it,
 * ERR_OUT_OF_BOUNDS for pages outside the upper half or in the page tables' own windows, and for
 * frames beyond PHYSICAL_LIMIT; ERR_MISALIGNED, ERR_INVALID_ARGUMENT for unknown flags.
 */
MUST_CHECK CELL_API enum status page_table_map(vaddr_t page, paddr_t frame, unsigned flags);

/* Ends a mapping; the frame is the caller's again. ERR_NOT_FOUND when the page is not mapped. */
MUST_CHECK CELL_API enum status page_table_unmap(vaddr_t page, paddr_t *out_frame);

/* Changes what may be done with a mapped page. Errors as for mapping; ERR_NOT_FOUND. */
MUST_CHECK CELL_API enum status page_table_protect(vaddr_t page, unsigned flags);

/* Is `page` mapped? If so, and where they are not NULL, writes its frame and flags. Any address. */
CELL_API bool page_table_find(vaddr_t page, paddr_t *out_frame, unsigned *out_flags);

/* Frames that hold tables. */
CELL_API uint64_t page_table_frame_count(void);
