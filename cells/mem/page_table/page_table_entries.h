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
 * Rules: pure; nothing here touches memory. The contracts are proven (docs/proofs.md), and provers
 * know sums and quotients where compilers know bits: shifts and masks by constants are therefore
 * written as divisions and remainders, which compile to the same instructions.
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
#define ENTRY_DIRTY      (1ull << 6) /* the CPU sets it when the page is written */
#define ENTRY_LARGE      (1ull << 7) /* level 2: a page of 2 MiB */
#define ENTRY_SEEN       (1ull << 9) /* ignored by the CPU: the page is watched since it was mapped */
#define ENTRY_NO_EXECUTE (1ull << 63)

/* Tables may be written; a root slot also keeps what it shows from being executed. */
#define ENTRY_TABLE (ENTRY_PRESENT | ENTRY_WRITABLE)
#define ENTRY_SLOT  (ENTRY_TABLE | ENTRY_NO_EXECUTE)

/* Present entries of the table that an entry points to; 0 to 512. */
#define ENTRY_USED_ONE   (1ull << 52)
#define ENTRY_USED_COUNT 2048ull

#define LARGE_PAGES 512ull /* in one entry of level 2 */
#define LARGE_SIZE  (LARGE_PAGES * PAGE_SIZE)

/* Bytes that one entry of a level stands for. */
#define SPAN_1 0x1000ull
#define SPAN_2 0x200000ull
#define SPAN_3 0x40000000ull
#define SPAN_4 0x8000000000ull

/* Bits 48 to 63 of an address repeat bit 47. */
#define ADDRESS_SPAN (SPAN_4 * ENTRY_COUNT)
#define UPPER_BITS   0xffff000000000000ull

/* The three slots' windows begin where the data zone ends. */
#define WINDOWS_END (UPPER_BITS + (SLOT_SELF + 1) * SPAN_4)

/*@ predicate has(integer entry, integer bit) = entry % (2 * bit) >= bit; */

/*@ logic integer span(integer level) =
  @   level == 1 ? SPAN_1 : level == 2 ? SPAN_2 : level == 3 ? SPAN_3 : SPAN_4;
  @
  @ // The way to a page: the entry of each level, and its place in its table.
  @ logic integer number(integer level, integer page) = (page % ADDRESS_SPAN) / span(level);
  @ logic integer index(integer level, integer page) = number(level, page) % ENTRY_COUNT;
  @
  @ predicate upper_page(integer page) =
  @   DATA_ZONE_START <= page <= 0xffffffffffffffff && page % PAGE_SIZE == 0;
  @
  @ // Step by step, for the provers.
  @ lemma upper_is_added: \forall integer p; DATA_ZONE_START <= p <= 0xffffffffffffffff ==>
  @     p % ADDRESS_SPAN == p - UPPER_BITS && p % ADDRESS_SPAN >= ADDRESS_SPAN / 2;
  @ lemma number_3: \forall integer p; 0 <= p ==>
  @     number(3, p) == number(4, p) * ENTRY_COUNT + index(3, p);
  @ lemma number_2: \forall integer p; 0 <= p ==>
  @     number(2, p) == number(3, p) * ENTRY_COUNT + index(2, p);
  @ lemma number_1: \forall integer p; 0 <= p ==>
  @     number(1, p) == number(2, p) * ENTRY_COUNT + index(1, p);
  @ lemma number_4: \forall integer p; 0 <= p ==>
  @     number(4, p) == index(4, p) && 0 <= number(4, p) < ENTRY_COUNT;
  @ lemma indices_are_small: \forall integer l, p; 1 <= l <= LEVELS && 0 <= p ==>
  @     0 <= index(l, p) < ENTRY_COUNT;
  @ lemma number_0: \forall integer p; 0 <= p && p % PAGE_SIZE == 0 ==>
  @     number(1, p) * SPAN_1 == p % ADDRESS_SPAN;
  @ lemma index_is_cut_off: \forall integer n; 0 <= n ==> (n - n % ENTRY_COUNT) % ENTRY_COUNT == 0;
  @
  @ lemma a_page_is_its_indices:
  @   \forall integer p; upper_page(p) ==>
  @     p == UPPER_BITS + index(4, p) * SPAN_4 + index(3, p) * SPAN_3 + index(2, p) * SPAN_2 +
  @          index(1, p) * SPAN_1;
  @
  @ // Two pages that lead to the same entry are the same page.
  @ lemma pages_never_alias:
  @   \forall integer p, q; upper_page(p) && upper_page(q) && index(4, p) == index(4, q) &&
  @     index(3, p) == index(3, q) && index(2, p) == index(2, q) && index(1, p) == index(1, q) ==>
  @     p == q;
  @*/

/* The address with these indices, bit 47 extended upwards. */
/*@ requires i4 < ENTRY_COUNT && i3 < ENTRY_COUNT && i2 < ENTRY_COUNT && i1 < ENTRY_COUNT;
  @ assigns \nothing;
  @ ensures \result % PAGE_SIZE == 0;
  @ ensures i4 >= SLOT_UPPER_HALF <==> upper_page(\result);
  @ ensures index(4, \result) == i4 && index(3, \result) == i3;
  @ ensures index(2, \result) == i2 && index(1, \result) == i1;
  @ ensures \result == (i4 >= SLOT_UPPER_HALF ? UPPER_BITS : 0) +
  @         i4 * SPAN_4 + i3 * SPAN_3 + i2 * SPAN_2 + i1 * SPAN_1;
  @*/
static inline vaddr_t address_of(uint64_t i4, uint64_t i3, uint64_t i2, uint64_t i1)
{
    uint64_t low = i4 * SPAN_4 + i3 * SPAN_3 + i2 * SPAN_2 + i1 * SPAN_1;
    uint64_t address = i4 >= SLOT_UPPER_HALF ? low + UPPER_BITS : low;
    //@ assert address % ADDRESS_SPAN == low;
    //@ assert number(4, address) == i4;
    //@ assert number(3, address) == i4 * ENTRY_COUNT + i3;
    //@ assert number(2, address) == (i4 * ENTRY_COUNT + i3) * ENTRY_COUNT + i2;
    //@ assert number(1, address) == ((i4 * ENTRY_COUNT + i3) * ENTRY_COUNT + i2) * ENTRY_COUNT + i1;
    return address;
}

/* The number of a page's entry among all entries of this level. */
/*@ requires 1 <= level <= LEVELS;
  @ assigns \nothing;
  @ ensures \result == number(level, page);
  @*/
static inline uint64_t number_at(unsigned level, vaddr_t page)
{
    switch (level) {
    case 4:
        return page % ADDRESS_SPAN / SPAN_4;
    case 3:
        return page % ADDRESS_SPAN / SPAN_3;
    case 2:
        return page % ADDRESS_SPAN / SPAN_2;
    default:
        return page % ADDRESS_SPAN / SPAN_1;
    }
}

/*@ requires 1 <= level <= LEVELS;
  @ assigns \nothing;
  @ ensures \result == index(level, page);
  @*/
static inline unsigned index_at(unsigned level, vaddr_t page)
{
    return (unsigned)(number_at(level, page) % ENTRY_COUNT);
}

/*@ // The entries of a level are seen as one array: where, for the tables behind slot `root`.
  @ logic integer window(integer root, integer level) =
  @   UPPER_BITS + root * SPAN_4 +
  @   (level == 1 ? 0 : SLOT_SELF * SPAN_3 +
  @    (level == 2 ? 0 : SLOT_SELF * SPAN_2 + (level == 3 ? 0 : SLOT_SELF * SPAN_1)));
  @*/

/* Where the root of the tables that `root` selects is seen, as if it were of this level. */
/*@ requires SLOT_UPPER_HALF <= root < ENTRY_COUNT && 1 <= level <= LEVELS;
  @ assigns \nothing;
  @ ensures \result == window(root, level);
  @*/
static inline vaddr_t window_start(unsigned root, unsigned level)
{
    return address_of(root, level > 1 ? SLOT_SELF : 0, level > 2 ? SLOT_SELF : 0,
                      level > 3 ? SLOT_SELF : 0);
}

/*
 * Where the entry of `level` for `page` is seen, in the tables that `root` selects: the entries of
 * a level are one array, indexed by what of the page's number is above that level.
 */
/*@ requires SLOT_UPPER_HALF <= root < ENTRY_COUNT && 1 <= level <= LEVELS;
  @ assigns \nothing;
  @ ensures \result == window(root, level) + 8 * number(level, page);
  @ ensures index(4, \result) == root && DATA_ZONE_START <= \result;
  @*/
static inline vaddr_t entry_address(unsigned root, unsigned level, vaddr_t page)
{
    uint64_t number = number_at(level, page);
    vaddr_t start = window_start(root, level);
    //@ assert level == 1 || level == 2 || level == 3 || level == 4;
    //@ assert 0 <= window(root, level) - window(root, 1) && number * 8 < SPAN_4;
    vaddr_t entry = start + number * sizeof(uint64_t);
    //@ assert window(root, 1) <= entry < window(root, 1) + SPAN_4;
    return entry;
}

/*@ // So no entry of level 1 serves two pages, ...
  @ lemma entries_never_alias:
  @   \forall integer root, p, q; upper_page(p) && upper_page(q) &&
  @     window(root, 1) + 8 * number(1, p) == window(root, 1) + 8 * number(1, q) ==> p == q;
  @
  @ // ... and the windows agree: the table seen at an address is the one that the entry of level 1 for
  @ // that address, seen in the same way, points to.
  @ lemma windows_nest_1: \forall integer p; upper_page(p) ==>
  @     window(SLOT_SELF, 1) + 8 * number(1, window(SLOT_SELF, 1) + 8 * number(1, p)) ==
  @     window(SLOT_SELF, 2) + 8 * number(2, p);
  @ lemma windows_nest_2: \forall integer p; upper_page(p) ==>
  @     window(SLOT_SELF, 1) + 8 * number(1, window(SLOT_SELF, 2) + 8 * number(2, p)) ==
  @     window(SLOT_SELF, 3) + 8 * number(3, p);
  @ lemma windows_nest_3: \forall integer p; upper_page(p) ==>
  @     window(SLOT_SELF, 1) + 8 * number(1, window(SLOT_SELF, 3) + 8 * number(3, p)) ==
  @     window(SLOT_SELF, 4) + 8 * number(4, p);
  @*/

/* Where the table of `level` on the way to `page` is seen. */
/*@ requires SLOT_UPPER_HALF <= root < ENTRY_COUNT && 1 <= level <= LEVELS;
  @ assigns \nothing;
  @ ensures upper_page(\result) && index(4, \result) == root;
  @ ensures \result == window(root, level) + 8 * number(level, page) - 8 * index(level, page);
  @*/
static inline vaddr_t table_address(unsigned root, unsigned level, vaddr_t page)
{
    vaddr_t entry = entry_address(root, level, page);
    //@ assert level == 1 || level == 2 || level == 3 || level == 4;
    //@ assert (number(level, page) - index(level, page)) % ENTRY_COUNT == 0;
    //@ assert window(root, level) % PAGE_SIZE == 0;
    //@ assert (entry - 8 * index(level, page)) % PAGE_SIZE == 0;
    return page_align_down(entry);
}

/*@ // What may be done with a page, as the bits of its entry: never both to write and to execute.
  @ predicate right_bits(integer bits) =
  @   bits == ENTRY_PRESENT || bits == ENTRY_PRESENT + ENTRY_UNCACHED ||
  @   bits == ENTRY_PRESENT + ENTRY_NO_EXECUTE ||
  @   bits == ENTRY_PRESENT + ENTRY_NO_EXECUTE + ENTRY_UNCACHED ||
  @   bits == ENTRY_PRESENT + ENTRY_NO_EXECUTE + ENTRY_WRITABLE ||
  @   bits == ENTRY_PRESENT + ENTRY_NO_EXECUTE + ENTRY_WRITABLE + ENTRY_UNCACHED;
  @
  @ predicate frame_address(integer frame) = 0 <= frame < PHYSICAL_LIMIT && frame % PAGE_SIZE == 0;
  @*/

/*@ requires 0 < bit <= ENTRY_NO_EXECUTE;
  @ assigns \nothing;
  @ ensures \result <==> has(entry, bit);
  @*/
static inline bool has_bit(uint64_t entry, uint64_t bit)
{
    return (bit == ENTRY_NO_EXECUTE ? entry : entry % (2 * bit)) >= bit;
}

/* The bits of an entry that say what may be done. Who may write may not execute, whatever is asked.
 */
/*@ assigns \nothing;
  @ ensures right_bits(\result);
  @ ensures has(\result, ENTRY_WRITABLE) <==> has(flags, PAGE_WRITE);
  @ ensures !has(\result, ENTRY_NO_EXECUTE) <==> has(flags, PAGE_EXECUTE) && !has(flags, PAGE_WRITE);
  @ ensures has(\result, 8) <==> has(flags, PAGE_UNCACHED);
  @*/
static inline uint64_t bits_of(unsigned flags)
{
    bool writable = has_bit(flags, PAGE_WRITE);
    bool executable = has_bit(flags, PAGE_EXECUTE) && !writable;
    return ENTRY_PRESENT + (writable ? ENTRY_WRITABLE : 0) + (executable ? 0 : ENTRY_NO_EXECUTE) +
           (has_bit(flags, PAGE_UNCACHED) ? ENTRY_UNCACHED : 0);
}

/* An entry of level 1. */
/*@ requires frame_address(frame) && right_bits(bits);
  @ assigns \nothing;
  @ ensures \result == frame + bits;
  @*/
static inline uint64_t entry_of(paddr_t frame, uint64_t bits)
{
    return frame + bits;
}

/*@ assigns \nothing;
  @ ensures frame_address(\result);
  @ ensures \result == (entry % PHYSICAL_LIMIT) - (entry % PAGE_SIZE);
  @*/
static inline paddr_t frame_of(uint64_t entry)
{
    return entry % PHYSICAL_LIMIT / PAGE_SIZE * PAGE_SIZE;
}

/*@ assigns \nothing;
  @ ensures \result <= PAGE_FLAGS_ALL;
  @ ensures has(\result, PAGE_WRITE) <==> has(entry, ENTRY_WRITABLE);
  @ ensures has(\result, PAGE_EXECUTE) <==> !has(entry, ENTRY_NO_EXECUTE);
  @ ensures has(\result, PAGE_UNCACHED) <==> has(entry, 8);
  @*/
static inline unsigned flags_of(uint64_t entry)
{
    return (has_bit(entry, ENTRY_WRITABLE) ? PAGE_WRITE : 0u) +
           (has_bit(entry, ENTRY_NO_EXECUTE) ? 0u : PAGE_EXECUTE) +
           (has_bit(entry, 8) ? PAGE_UNCACHED : 0u);
}

/*@ // An entry says what it was made of, whatever the CPU notes in it (bits 5 and 6, accessed and dirty).
  @ lemma entry_keeps_its_frame:
  @   \forall integer frame, bits, noted; frame_address(frame) && right_bits(bits) &&
  @     (noted == 0 || noted == 0x20 || noted == 0x40 || noted == 0x60) ==>
  @     \let entry = frame + bits + noted;
  @     (entry % PHYSICAL_LIMIT) - (entry % PAGE_SIZE) == frame;
  @ lemma entry_keeps_present:
  @   \forall integer frame, bits, noted; frame_address(frame) && right_bits(bits) &&
  @     (noted == 0 || noted == 0x20 || noted == 0x40 || noted == 0x60) ==>
  @     has(frame + bits + noted, ENTRY_PRESENT);
  @ lemma entry_keeps_writable:
  @   \forall integer n, bits, noted; 0 <= n < PHYSICAL_LIMIT / PAGE_SIZE && right_bits(bits) &&
  @     (noted == 0 || noted == 0x20 || noted == 0x40 || noted == 0x60) ==>
  @     (has(n * PAGE_SIZE + bits + noted, ENTRY_WRITABLE) <==> has(bits, ENTRY_WRITABLE));
  @ lemma entry_keeps_uncached:
  @   \forall integer frame, bits, noted; frame_address(frame) && right_bits(bits) &&
  @     (noted == 0 || noted == 0x20 || noted == 0x40 || noted == 0x60) ==>
  @     (has(frame + bits + noted, 8) <==> has(bits, 8));
  @ lemma entry_keeps_executable:
  @   \forall integer frame, bits, noted; frame_address(frame) && right_bits(bits) &&
  @     (noted == 0 || noted == 0x20 || noted == 0x40 || noted == 0x60) ==>
  @     (has(frame + bits + noted, ENTRY_NO_EXECUTE) <==> has(bits, ENTRY_NO_EXECUTE));
  @ lemma never_writable_and_executable:
  @   \forall integer frame, bits; frame_address(frame) && right_bits(bits) ==>
  @     !(has(frame + bits, ENTRY_WRITABLE) && !has(frame + bits, ENTRY_NO_EXECUTE));
  @*/

/*@ assigns \nothing;
  @ ensures \result == (entry / ENTRY_USED_ONE) % ENTRY_USED_COUNT;
  @*/
static inline unsigned used_of(uint64_t entry)
{
    return (unsigned)(entry / ENTRY_USED_ONE % ENTRY_USED_COUNT);
}

/* Is this entry of level 2 a page of 2 MiB? */
/*@ assigns \nothing;
  @ ensures \result <==> has(entry, ENTRY_PRESENT) && has(entry, ENTRY_LARGE);
  @*/
static inline bool is_large(uint64_t entry)
{
    return has_bit(entry, ENTRY_PRESENT) && has_bit(entry, ENTRY_LARGE);
}

/* The entry of level 2 that maps 2 MiB. */
/*@ requires frame_address(frame) && frame % LARGE_SIZE == 0 && right_bits(bits);
  @ assigns \nothing;
  @ ensures \result == frame + bits + ENTRY_LARGE;
  @ ensures has(\result, ENTRY_PRESENT) && has(\result, ENTRY_LARGE);
  @*/
static inline uint64_t large_entry_of(paddr_t frame, uint64_t bits)
{
    return frame + bits + ENTRY_LARGE;
}

/* The entry of level 1 for page `i` of the 512 that the entry of level 2 maps. */
/*@ requires has(entry, ENTRY_LARGE) && entry % LARGE_SIZE < PAGE_SIZE && i < LARGE_PAGES;
  @ assigns \nothing;
  @ ensures \result == entry - ENTRY_LARGE + i * PAGE_SIZE;
  @ ensures (\result % PHYSICAL_LIMIT) - (\result % PAGE_SIZE) ==
  @         (entry % PHYSICAL_LIMIT) - (entry % PAGE_SIZE) + i * PAGE_SIZE;
  @ ensures \result % PAGE_SIZE == entry % PAGE_SIZE - ENTRY_LARGE;
  @ ensures \result / PHYSICAL_LIMIT == entry / PHYSICAL_LIMIT;
  @*/
static inline uint64_t small_entry_of(uint64_t entry, unsigned i)
{
    //@ assert entry % PAGE_SIZE == entry % LARGE_SIZE && entry % PAGE_SIZE >= ENTRY_LARGE;
    //@ assert entry % PHYSICAL_LIMIT <= PHYSICAL_LIMIT - LARGE_SIZE + entry % LARGE_SIZE;
    uint64_t small = entry - ENTRY_LARGE + i * PAGE_SIZE;
    //@ assert small % PHYSICAL_LIMIT == entry % PHYSICAL_LIMIT - ENTRY_LARGE + i * PAGE_SIZE;
    return small;
}

/* Pages from `page` to where the next entry of level 2 begins. */
/*@ requires page % PAGE_SIZE == 0;
  @ assigns \nothing;
  @ ensures 0 < \result <= LARGE_PAGES && (page + \result * PAGE_SIZE) % LARGE_SIZE == 0;
  @ ensures \result == LARGE_PAGES - index(1, page);
  @*/
static inline uint64_t pages_to_boundary(vaddr_t page)
{
    //@ assert page % LARGE_SIZE == index(1, page) * PAGE_SIZE;
    return LARGE_PAGES - index_at(1, page);
}

/*
 * A run of pages is worked on in steps, none of which crosses a multiple of 2 MiB: each is one
 * entry of level 2 or a part of one table of level 1. The first step of `count` pages from `page`
 * on.
 */
/*@ requires page % PAGE_SIZE == 0 && count > 0;
  @ assigns \nothing;
  @ ensures 0 < \result <= count && \result <= LARGE_PAGES;
  @ ensures \forall integer x; page <= x < page + \result * PAGE_SIZE ==>
  @         x / LARGE_SIZE == page / LARGE_SIZE;
  @ ensures \result == count || (page + \result * PAGE_SIZE) % LARGE_SIZE == 0;
  @ ensures \result == LARGE_PAGES ==> page % LARGE_SIZE == 0;
  @*/
static inline uint64_t step_of(vaddr_t page, uint64_t count)
{
    uint64_t step = pages_to_boundary(page);
    return step < count ? step : count;
}

/* May one entry of level 2 map this step? */
/*@ assigns \nothing;
  @ ensures \result <==> step == LARGE_PAGES && frame % LARGE_SIZE == 0;
  @*/
static inline bool is_large_step(uint64_t step, paddr_t frame)
{
    return step == LARGE_PAGES && frame % LARGE_SIZE == 0;
}

/*@ // The windows onto the tables are what the three slots stand for.
  @ lemma windows_are_three_slots:
  @   \forall integer x; DATA_ZONE_START <= x <= 0xffffffffffffffff ==>
  @     (SLOT_SHOW <= index(4, x) <= SLOT_SELF <==> DATA_ZONE_END <= x < WINDOWS_END);
  @
  @ predicate mappable(integer page, integer count) =
  @   count > 0 && DATA_ZONE_START <= page && page + count * PAGE_SIZE <= 0xffffffffffffffff + 1 &&
  @   (page + count * PAGE_SIZE <= DATA_ZONE_END || WINDOWS_END <= page);
  @*/

/* Are all of these pages in the upper half, and none in a window onto the tables themselves? */
/*@ requires page % PAGE_SIZE == 0;
  @ assigns \nothing;
  @ ensures \result <==> mappable(page, count);
  @*/
static inline bool is_mappable(vaddr_t page, uint64_t count)
{
    if (count == 0 || page < DATA_ZONE_START || count - 1 > (UINT64_MAX - page) / PAGE_SIZE) {
        return false;
    }
    return page >= WINDOWS_END || page + (count - 1) * PAGE_SIZE < DATA_ZONE_END;
}

/* The same for a run within one entry of level 2, and quicker; false also for longer runs. */
/*@ requires page % PAGE_SIZE == 0;
  @ assigns \nothing;
  @ ensures \result ==> mappable(page, count) && count <= LARGE_PAGES - index(1, page);
  @*/
static inline bool is_mappable_step(vaddr_t page, uint64_t count)
{
    bool is_inside = (page >= DATA_ZONE_START && page < DATA_ZONE_END) || page >= WINDOWS_END;
    uint64_t limit = pages_to_boundary(page);
    //@ assert page < DATA_ZONE_END ==> page + limit * PAGE_SIZE <= DATA_ZONE_END;
    //@ assert page + limit * PAGE_SIZE <= 0xffffffffffffffff + 1;
    if (!is_inside || count == 0 || count > limit) {
        return false;
    }
    //@ assert page + count * PAGE_SIZE <= page + limit * PAGE_SIZE;
    return true;
}
