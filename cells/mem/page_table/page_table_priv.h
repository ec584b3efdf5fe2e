/* SPDX-License-Identifier: MIT */
/*
 * page_table_priv.h - the arithmetic of the page tables: entries, indices, windows.
 *
 * Intel SDM volume 3, "4-Level Paging". Level 4 is the root, level 1 holds the pages' entries. An
 * address is four indices of 9 bits, from level 4 down, and 12 bits within the page.
 *
 * The root's entry SLOT_SELF points to the root itself. An address whose first index is SLOT_SELF
 * therefore ends one level early, in a table instead of in a page: repeat SLOT_SELF to stop
 * earlier. SLOT_BUILD points to the root of other tables, whose own SLOT_SELF makes the same work
 * there.
 */
#pragma once

#include "memory.h"

#define ENTRY_COUNT 512
#define LEVELS      4

#define SLOT_SHOW       508u
#define SLOT_BUILD      509u
#define SLOT_SELF       510u
#define SLOT_UPPER_HALF 256u

#define ENTRY_PRESENT    (1ull << 0)
#define ENTRY_WRITABLE   (1ull << 1)
#define ENTRY_UNCACHED   (3ull << 3) /* PWT and PCD */
#define ENTRY_LARGE      (1ull << 7)
#define ENTRY_NO_EXECUTE (1ull << 63)
#define ENTRY_FRAME      0x000ffffffffff000ull

/* Tables may be written; a root slot also keeps what it shows from being executed. */
#define ENTRY_TABLE (ENTRY_PRESENT | ENTRY_WRITABLE)
#define ENTRY_SLOT  (ENTRY_TABLE | ENTRY_NO_EXECUTE)

/* The address with these indices, bit 47 extended upwards. */
static inline vaddr_t address_of(uint64_t i4, uint64_t i3, uint64_t i2, uint64_t i1)
{
    uint64_t bits = i4 << 39 | i3 << 30 | i2 << 21 | i1 << 12;
    return i4 >= SLOT_UPPER_HALF ? bits | 0xffff000000000000ull : bits;
}

static inline unsigned index_at(unsigned level, vaddr_t page)
{
    return (unsigned)(page >> (PAGE_SHIFT + 9 * (level - 1))) & (ENTRY_COUNT - 1);
}

/* Where the table of `level` on the way to `page` can be seen, in the tables that `root` selects.
 */
static inline vaddr_t table_at(unsigned root, unsigned level, vaddr_t page)
{
    switch (level) {
    case 4:
        return address_of(root, SLOT_SELF, SLOT_SELF, SLOT_SELF);
    case 3:
        return address_of(root, SLOT_SELF, SLOT_SELF, index_at(4, page));
    case 2:
        return address_of(root, SLOT_SELF, index_at(4, page), index_at(3, page));
    default:
        return address_of(root, index_at(4, page), index_at(3, page), index_at(2, page));
    }
}

#if __STDC_HOSTED__
/* The memory that an address leads to. On a host the test does the walk. */
void *window_at(vaddr_t address);
#else

static inline void *window_at(vaddr_t address)
{
    return (void *)address;
}

#endif

static inline uint64_t entry_of(paddr_t frame, unsigned flags)
{
    return frame | ENTRY_PRESENT | (flags & PAGE_WRITE ? ENTRY_WRITABLE : 0) |
           (flags & PAGE_EXECUTE ? 0 : ENTRY_NO_EXECUTE) |
           (flags & PAGE_UNCACHED ? ENTRY_UNCACHED : 0);
}

static inline paddr_t frame_of(uint64_t entry)
{
    return entry & ENTRY_FRAME;
}

static inline unsigned flags_of(uint64_t entry)
{
    return (entry & ENTRY_WRITABLE ? PAGE_WRITE : PAGE_READ) |
           (entry & ENTRY_NO_EXECUTE ? 0u : PAGE_EXECUTE) |
           (entry & ENTRY_UNCACHED ? PAGE_UNCACHED : 0u);
}

/* In the upper half, and not in a window onto the tables themselves? */
static inline bool is_mappable(vaddr_t page)
{
    unsigned slot = index_at(4, page);
    return page >= DATA_ZONE_START && (slot < SLOT_SHOW || slot > SLOT_SELF);
}
