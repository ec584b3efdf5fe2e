/* SPDX-License-Identifier: MIT */
/*
 * page_table_entries.h - the arithmetic of the page tables: entries, indices, windows.
 *
 * Intel SDM volume 3, "4-Level Paging". Level 4 is the root, level 1 holds the entries of pages of
 * 4 KiB, and an entry of level 2 is either a table of these or a page of 2 MiB. An address is four
 * indices of 9 bits, from level 4 down, and 12 bits within the page.
 *
 * The root's entry SLOT_SELF points to the root itself. An address whose first index is SLOT_SELF
 * therefore ends one level early, in a table instead of in a page: repeat SLOT_SELF to stop
 * earlier. SLOT_BUILD points to the root of other tables, whose own SLOT_SELF makes the same work
 * there.
 *
 * Bits 52 to 62 of an entry that points to a table are ignored by the CPU (there are no protection
 * keys here, CR4.PKE and CR4.PKS are 0). They hold how many entries of that table are present, so
 * that nobody has to look through a table to find that it is empty.
 *
 * Rules: pure; nothing here touches memory. What is proven about it is in docs/proofs.md.
 */
#pragma once

#include "memory.h"

#define ENTRY_COUNT 512u
#define LEVELS      4u

#define SLOT_SHOW       508u
#define SLOT_BUILD      509u
#define SLOT_SELF       510u
#define SLOT_UPPER_HALF 256u

#define ENTRY_PRESENT    (1ull << 0)
#define ENTRY_WRITABLE   (1ull << 1)
#define ENTRY_UNCACHED   (3ull << 3) /* PWT and PCD */
#define ENTRY_LARGE      (1ull << 7) /* level 2: a page of 2 MiB */
#define ENTRY_NO_EXECUTE (1ull << 63)
#define ENTRY_FRAME      0x000ffffffffff000ull

/* Tables may be written; a root slot also keeps what it shows from being executed. */
#define ENTRY_TABLE (ENTRY_PRESENT | ENTRY_WRITABLE)
#define ENTRY_SLOT  (ENTRY_TABLE | ENTRY_NO_EXECUTE)

/* Present entries of the table that an entry points to; 0 to 512. */
#define ENTRY_USED_SHIFT 52
#define ENTRY_USED_ONE   (1ull << ENTRY_USED_SHIFT)
#define ENTRY_USED       (0x7ffull << ENTRY_USED_SHIFT)

#define LARGE_PAGES 512ull /* in one entry of level 2 */
#define LARGE_SIZE  (LARGE_PAGES * PAGE_SIZE)

#define UPPER_BITS 0xffff000000000000ull
#define INDEX_BITS 9u

/* The address with these indices, bit 47 extended upwards. */
static inline vaddr_t address_of(uint64_t i4, uint64_t i3, uint64_t i2, uint64_t i1)
{
    uint64_t bits = i4 << 39 | i3 << 30 | i2 << 21 | i1 << 12;
    return i4 >= SLOT_UPPER_HALF ? bits | UPPER_BITS : bits;
}

static inline unsigned index_at(unsigned level, vaddr_t page)
{
    return (unsigned)(page >> (PAGE_SHIFT + INDEX_BITS * (level - 1))) & (ENTRY_COUNT - 1);
}

/* Where the root of the tables that `root` selects is seen, as if it were of this level. */
static inline vaddr_t window_start(unsigned root, unsigned level)
{
    switch (level) {
    case 4:
        return address_of(root, SLOT_SELF, SLOT_SELF, SLOT_SELF);
    case 3:
        return address_of(root, SLOT_SELF, SLOT_SELF, 0);
    case 2:
        return address_of(root, SLOT_SELF, 0, 0);
    default:
        return address_of(root, 0, 0, 0);
    }
}

/*
 * Where the entry of `level` for `page` is seen, in the tables that `root` selects: the entries of a
 * level are one array, indexed by what of the page's number is above that level.
 */
static inline vaddr_t entry_address(unsigned root, unsigned level, vaddr_t page)
{
    uint64_t number = (page & ~UPPER_BITS) >> (PAGE_SHIFT + INDEX_BITS * (level - 1));
    return window_start(root, level) + number * sizeof(uint64_t);
}

/* Where the table of `level` on the way to `page` is seen. */
static inline vaddr_t table_address(unsigned root, unsigned level, vaddr_t page)
{
    return page_align_down(entry_address(root, level, page));
}

/* The bits of an entry that say what may be done. */
static inline uint64_t bits_of(unsigned flags)
{
    return ENTRY_PRESENT | (flags & PAGE_WRITE ? ENTRY_WRITABLE : 0) |
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

static inline unsigned used_of(uint64_t entry)
{
    return (unsigned)((entry & ENTRY_USED) >> ENTRY_USED_SHIFT);
}

/* Is this entry of level 2 a page of 2 MiB? */
static inline bool is_large(uint64_t entry)
{
    return (entry & (ENTRY_PRESENT | ENTRY_LARGE)) == (ENTRY_PRESENT | ENTRY_LARGE);
}

/* Pages from `page` to where the next entry of level 2 begins. */
static inline uint64_t pages_to_boundary(vaddr_t page)
{
    return LARGE_PAGES - index_at(1, page);
}

/* Are all of these pages in the upper half, and none in a window onto the tables themselves? */
static inline bool is_mappable(vaddr_t page, uint64_t count)
{
    if (count == 0 || page < DATA_ZONE_START || count - 1 > (UINT64_MAX - page) >> PAGE_SHIFT) {
        return false;
    }
    vaddr_t last = page + ((count - 1) << PAGE_SHIFT);
    return index_at(4, last) < SLOT_SHOW || index_at(4, page) > SLOT_SELF;
}
