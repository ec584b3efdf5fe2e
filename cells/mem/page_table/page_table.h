/* SPDX-License-Identifier: MIT */
/*
 * page_table.h - which page is mapped to which frame, and what may be done there.
 *
 * Why: this is the only code that knows the format of the CPU's page tables.
 *
 * Rules: runs of pages in the upper half of the address space, writable or executable but never
 * both, and not executable unless asked for. Where 512 pages and their frames are both aligned to 2
 * MiB, one entry maps them. Neither pages nor frames are owned here: whoever maps frames keeps
 * them. Frames that hold tables come from the frame allocator and go back when their last entry is
 * gone; up to PAGE_TABLE_SPARES empty ones are kept for the next mapping. When a function returns,
 * no CPU that the shootdown hook reaches uses what is not mapped any more: only then may frames be
 * used for something else. O(pages), a few instructions each. One lock; not in interrupt handlers,
 * and where there are several CPUs not with interrupts off: another one may hold the lock and wait
 * for this one to answer. A fault or a kill at any instruction leaves whole tables, of which none
 * is lost; of the run some pages may be mapped, or have their new rights: unmapping it removes them
 * (docs/fault-safety.md).
 */
#pragma once

#include "memory.h"
#include "status.h"

/* More than the three tables that one page can need. */
#define PAGE_TABLE_SPARES 4u

/*
 * Replaces the tables that the machine was started with by new ones, in which exactly `regions` are
 * mapped: call it once, with the image that is running. Until then all other functions fail with
 * ERR_STATE. On failure the old tables stay.
 */
MUST_CHECK CELL_API enum status page_table_init(const struct page_region *regions, size_t count);

/*
 * Maps `count` pages to as many frames, from `page` and `frame` on. ERR_EXISTS when one of the
 * pages is mapped already, ERR_PERMISSION for write and execute together, ERR_NO_MEMORY when a
 * table is needed and there is no frame for it, ERR_OUT_OF_BOUNDS for pages outside the upper half
 * or in the page tables' own windows, for frames beyond PHYSICAL_LIMIT and for a count of 0;
 * ERR_MISALIGNED, ERR_INVALID_ARGUMENT for unknown flags. After a failure none of them is mapped.
 */
MUST_CHECK CELL_API enum status page_table_map(vaddr_t page, paddr_t frame, uint64_t count,
                                               unsigned flags);

/*
 * Ends mappings. ERR_NO_MEMORY when an end lies inside of an entry of 2 MiB and there is no frame
 * for a table to split it: nothing has changed then. ERR_NOT_FOUND when not all were mapped: those
 * that were are not any more.
 */
MUST_CHECK CELL_API enum status page_table_unmap(vaddr_t page, uint64_t count);

/* Changes what may be done. Errors as for mapping and unmapping. */
MUST_CHECK CELL_API enum status page_table_protect(vaddr_t page, uint64_t count, unsigned flags);

/*
 * Makes sure that no entry maps both the page and the one before it. Who cuts a run in two does
 * this first, then both parts can be unmapped without needing memory. ERR_NO_MEMORY.
 */
MUST_CHECK CELL_API enum status page_table_cut(vaddr_t page);

/*
 * Is the page of this address mapped? If so, writes its frame and flags where they are not NULL.
 * Any context: after many tries for the lock (its holder was interrupted here) it looks without it.
 */
CELL_API bool page_table_find(vaddr_t page, paddr_t *out_frame, unsigned *out_flags);

/*
 * For who has stopped all other CPUs: the same without the lock, whose holder may be one of those
 * that stand still, and so would be waited for in vain, page after page.
 */
CELL_API bool page_table_find_stopped(vaddr_t page, paddr_t *out_frame, unsigned *out_flags);

/* ---- who looks for something in all memory ---- */

/* Told of a page, or of 2 MiB; it is mapped until this returns. Waits for nobody. */
typedef void (*page_table_looker_t)(vaddr_t page, uint64_t size, unsigned flags, void *context);

/*
 * From now on what happens to up to `most` entries from `from` on is noted, on all CPUs. Returns
 * where to go on, 0 at the end. With the lock held.
 */
CELL_API vaddr_t page_table_watch(vaddr_t from, uint64_t most);

/*
 * Tells of up to `most` entries from `from` on, those of uncached memory left out. Returns where to
 * go on, 0 at the end. With the lock held; so this takes as long as `look` does.
 */
CELL_API vaddr_t page_table_look(vaddr_t from, uint64_t most, page_table_looker_t look,
                                 void *context);

/*
 * For who has stopped all other CPUs: tells of every writable page that was written, mapped or
 * protected since it was watched, or never was. Without the lock.
 */
CELL_API void page_table_look_at_changed(page_table_looker_t look, void *context);

/*
 * Copies the entries of the running root table, PAGE_SIZE bytes, without those of the tables' own
 * windows: for the root that another CPU starts with.
 */
CELL_API void page_table_copy_root(uint64_t *out_entries);

/*
 * Called with every run of pages whose old translation must be forgotten, when this CPU has done so
 * and before the frames or tables behind it are used for something else, with the tables locked, so
 * with preemption held. It comes back when all other CPUs have forgotten them too, and answers
 * others who ask meanwhile. NULL, as at first: there are no others.
 */
typedef void (*page_table_shootdown_t)(vaddr_t page, uint64_t count);
CELL_API void page_table_set_shootdown(page_table_shootdown_t shootdown);

/* Frames of the page tables: those that hold tables in use, and empty ones that are kept. */
struct page_table_statistics {
    uint64_t tables;
    uint64_t spares;
};

CELL_API struct page_table_statistics page_table_statistics(void);
