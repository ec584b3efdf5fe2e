/* SPDX-License-Identifier: MIT */
/*
 * A heap, whichever HEAP_SOURCE is: each block is free or where its owner's variable says, whatever
 * strikes. What is below it counts as one instruction here. The truth: what is in use is what
 * variables hold; all else can be allocated, once; and the memory of all slabs is accounted for.
 */
#include HEAP_SOURCE

#include "logger.h"
#include "mapped_pages.h"
#include "strike.h"

#include <string.h>

#define ARENA_PAGES 48u
#define HANDLES     64u
#define KEPT        24u
#define SIZE        1000u /* a class with few blocks in a slab */
#define LARGE       9000u
#define BLOCKS_MAX  256u

/* ---- memory ---- */

static ALIGNED(16384) uint8_t arena[ARENA_PAGES * PAGE_SIZE];
static bool is_taken[ARENA_PAGES];
static bool is_mapped[ARENA_PAGES];

/*
 * heap_safe reserves three ranges that are much larger than the arena. Each begins in a part of it,
 * and the frames end before one is used up.
 */
static const uint64_t range_starts[] = {0, 32, 38};
#define RANGES_END 42u
static unsigned range_count;
static uint64_t frames_limit = ARENA_PAGES;

struct frames {
    uint64_t count;
};
struct pages {
    uint64_t first;
    uint64_t count;
    bool is_used; /* the handle */
};
struct mapped_pages {
    uint64_t first;
    uint64_t count;
};

static struct frames frames_of_heap[HANDLES];
static struct pages pages_of_heap[HANDLES];
static struct mapped_pages mappings[HANDLES];
static uint64_t frames_count_in_use;

STRIKE_NOT enum status frame_allocator_take(uint64_t count, uint64_t alignment, struct frames **out)
{
    for (unsigned i = 0; i < HANDLES; i++) {
        if (!frames_of_heap[i].count && frames_count_in_use + count <= frames_limit) {
            frames_of_heap[i].count = count;
            frames_count_in_use += count;
            *out = &frames_of_heap[i];
            return OK;
        }
    }
    return ERR_NO_MEMORY;
}

STRIKE_NOT enum status frame_allocator_take_any(uint64_t count, struct frames **out)
{
    return ERR_NO_MEMORY;
}

STRIKE_NOT void frames_drop(struct frames **handle)
{
    if (*handle) {
        strike_demand((*handle)->count);
        frames_count_in_use -= (*handle)->count;
        (*handle)->count = 0;
        *handle = NULL;
    }
}

/* From the end on. */
STRIKE_NOT static bool find_pages(uint64_t count, uint64_t alignment, uint64_t *out_first)
{
    if (count > ARENA_PAGES) {
        return false;
    }
    for (uint64_t first = (ARENA_PAGES - count) / alignment * alignment;; first -= alignment) {
        uint64_t i = 0;
        while (i < count && !is_taken[first + i]) {
            i++;
        }
        if (i == count) {
            *out_first = first;
            return true;
        }
        if (first < alignment) {
            return false;
        }
    }
}

/* Those of the ranges are never given back. */
STRIKE_NOT static void mark_pages(uint64_t first, uint64_t count, bool taken)
{
    for (uint64_t i = 0; i < count; i++) {
        strike_demand(first + i < RANGES_END && range_count ? !taken
                                                            : is_taken[first + i] != taken);
        is_taken[first + i] = taken || (first + i < RANGES_END && range_count);
    }
}

STRIKE_NOT static void mark_mapped(uint64_t first, uint64_t count, bool mapped)
{
    for (uint64_t i = 0; i < count; i++) {
        strike_demand(is_mapped[first + i] != mapped);
        is_mapped[first + i] = mapped;
    }
}

STRIKE_NOT static enum status take_range(uint64_t count, struct pages **out)
{
    for (unsigned i = 0; i < HANDLES; i++) {
        if (!pages_of_heap[i].is_used) {
            pages_of_heap[i] = (struct pages){range_starts[range_count++], count, true};
            frames_limit = 36;
            for (unsigned k = 0; k < RANGES_END; k++) {
                is_taken[k] = true;
            }
            *out = &pages_of_heap[i];
            return OK;
        }
    }
    return ERR_NO_MEMORY;
}

STRIKE_NOT enum status page_allocator_take(enum page_zone zone, uint64_t count, uint64_t alignment,
                                           struct pages **out)
{
    uint64_t first;
    if (count > 1000) {
        return take_range(count, out);
    }
    for (unsigned i = 0; i < HANDLES; i++) {
        if (!pages_of_heap[i].is_used && find_pages(count, alignment, &first)) {
            pages_of_heap[i] = (struct pages){first, count, true};
            mark_pages(first, count, true);
            *out = &pages_of_heap[i];
            return OK;
        }
    }
    return ERR_NO_ADDRESS_SPACE;
}

STRIKE_NOT void pages_drop(struct pages **handle)
{
    if (*handle) {
        strike_demand((*handle)->count < ARENA_PAGES);
        mark_pages((*handle)->first, (*handle)->count, false);
        (*handle)->is_used = false;
        *handle = NULL;
    }
}

STRIKE_NOT uint64_t pages_count(const struct pages *pages)
{
    return pages->count;
}

STRIKE_NOT vaddr_t pages_start(const struct pages *pages)
{
    return (vaddr_t)arena + pages->first * PAGE_SIZE;
}

STRIKE_NOT enum status pages_plan_split(struct pages *pages, uint64_t first_count,
                                        struct pages **out_rest, struct commit_list *list)
{
    for (unsigned i = 0; i < HANDLES; i++) {
        if (!pages_of_heap[i].is_used) {
            struct pages *rest = &pages_of_heap[i];
            *rest = (struct pages){pages->first + first_count, 0, true};
            *out_rest = rest;
            commit_add(list, &rest->count, pages->count - first_count);
            commit_add(list, &pages->count, first_count);
            return OK;
        }
    }
    return ERR_NO_MEMORY;
}

STRIKE_NOT enum status pages_merge(struct pages *pages, struct pages **rest)
{
    strike_demand(pages->first + pages->count == (*rest)->first);
    pages->count += (*rest)->count;
    (*rest)->is_used = false;
    *rest = NULL;
    return OK;
}

/* Not by a function of the C library: calls of these can be struck. */
STRIKE_NOT static void clear(void *start, uint64_t bytes)
{
    uint64_t words = bytes / 8;
    __asm__ volatile("rep stosq" : "+D"(start), "+c"(words) : "a"(0) : "memory");
}

STRIKE_NOT enum status mapped_pages_map(struct pages **pages, struct frames **frames,
                                        unsigned flags, struct mapped_pages **out)
{
    for (unsigned i = 0; i < HANDLES; i++) {
        if (!mappings[i].count) {
            clear(arena + (*pages)->first * PAGE_SIZE, (*pages)->count * PAGE_SIZE);
            mappings[i] = (struct mapped_pages){(*pages)->first, (*pages)->count};
            mark_mapped(mappings[i].first, mappings[i].count, true);
            (*pages)->is_used = false;
            (*frames)->count = 0;
            *pages = NULL;
            *frames = NULL;
            *out = &mappings[i];
            return OK;
        }
    }
    return ERR_NO_MEMORY;
}

STRIKE_NOT enum status mapped_pages_create(enum page_zone zone, size_t bytes, unsigned flags,
                                           struct mapped_pages **out)
{
    struct frames *frames = NULL;
    struct pages *pages = NULL;
    uint64_t count = page_count_of(bytes);
    if (frame_allocator_take(count, 1, &frames) == OK &&
        page_allocator_take(zone, count, 1, &pages) == OK) {
        return mapped_pages_map(&pages, &frames, flags, out);
    }
    frames_drop(&frames);
    return ERR_NO_MEMORY;
}

STRIKE_NOT void mapped_pages_drop(struct mapped_pages **handle)
{
    if (*handle) {
        strike_demand((*handle)->count);
        mark_pages((*handle)->first, (*handle)->count, false);
        mark_mapped((*handle)->first, (*handle)->count, false);
        frames_count_in_use -= (*handle)->count;
        (*handle)->count = 0;
        *handle = NULL;
    }
}

STRIKE_NOT vaddr_t mapped_pages_start(const struct mapped_pages *mapping)
{
    return (vaddr_t)arena + mapping->first * PAGE_SIZE;
}

STRIKE_NOT uint64_t mapped_pages_count(const struct mapped_pages *mapping)
{
    strike_demand(mapping->count);
    return mapping->count;
}

STRIKE_NOT enum status mapped_pages_remap(struct mapped_pages *mapping, unsigned flags)
{
    return OK;
}

STRIKE_NOT enum status mapped_pages_merge(struct mapped_pages *mapping, struct mapped_pages **rest)
{
    strike_demand(mapping->first + mapping->count == (*rest)->first);
    mapping->count += (*rest)->count;
    (*rest)->count = 0;
    *rest = NULL;
    return OK;
}

STRIKE_NOT void mapped_pages_take_apart(struct mapped_pages **handle, struct pages **out_pages,
                                        struct frames **out_frames)
{
    struct mapped_pages *mapping = *handle;
    unsigned i = 0;
    while (pages_of_heap[i].is_used) {
        i++;
    }
    unsigned k = 0;
    while (frames_of_heap[k].count) {
        k++;
    }
    pages_of_heap[i] = (struct pages){mapping->first, mapping->count, true};
    frames_of_heap[k] = (struct frames){mapping->count};
    mark_mapped(mapping->first, mapping->count, false);
    mapping->count = 0;
    *handle = NULL;
    *out_pages = &pages_of_heap[i];
    *out_frames = &frames_of_heap[k];
}

STRIKE_NOT void logger_write(enum log_level level, const char *cell, const char *format, ...)
{
}

/* ---- the truth ---- */

static void *kept[KEPT];
static void *by_value;
static unsigned lost_max; /* blocks that a function by value may have lost */

static uint64_t mapped_bytes(void)
{
    uint64_t pages = 0;
    for (unsigned i = 0; i < HANDLES; i++) {
        pages += mappings[i].count;
    }
    return pages * PAGE_SIZE;
}

static uint64_t count_kept(void)
{
    uint64_t count = by_value != NULL;
    for (unsigned i = 0; i < KEPT; i++) {
        count += kept[i] != NULL;
    }
    return count;
}

static void check_statistics(uint64_t expected)
{
    struct heap_statistics now = heap_statistics();
    strike_demand(now.blocks_in_use >= expected && now.blocks_in_use <= expected + lost_max);
    strike_demand(now.bytes_mapped + now.bytes_metadata == mapped_bytes());
    strike_demand(frames_count_in_use * PAGE_SIZE == mapped_bytes());
    strike_demand(now.bad_frees == 0 && now.damaged == 0);
}

/* Everything that there is, each once. */
static void check_all_blocks(void)
{
    static void *all[BLOCKS_MAX];
    unsigned count = 0;
    while (count < BLOCKS_MAX && (all[count] = heap_allocate(SIZE))) {
        memset(all[count], 1 + count % 200, SIZE);
        count++;
    }
    strike_demand(count < BLOCKS_MAX);
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *block = all[i];
        uint8_t value = (uint8_t)(1 + i % 200);
        strike_demand(block[0] == value && block[SIZE / 2] == value && block[SIZE - 1] == value);
    }
    for (unsigned i = 0; i < KEPT; i++) {
        strike_demand(!kept[i] || *(uint8_t *)kept[i] == 0xee);
    }
    for (unsigned i = 0; i < count; i++) {
        heap_free(all[i]);
    }
}

static void check(void)
{
    uint64_t expected = count_kept();
    for (unsigned i = 0; i < KEPT; i++) {
        if (kept[i]) {
            memset(kept[i], 0xee, SIZE);
        }
    }
    check_statistics(expected);
    check_all_blocks();
    check_statistics(expected);
    for (unsigned i = 0; i < KEPT; i++) {
        heap_free_from(&kept[i]);
    }
    heap_free(by_value);
    by_value = NULL;
    check_statistics(0);
}

static void check_by_value(void)
{
    lost_max = 1;
    check();
}

/* ---- what is struck ---- */

struct OWN_CAPABILITY("block") block;
OWN_DECLARE_LOCAL(block);

static void block_drop(struct block **handle)
{
    heap_free_from(handle);
}

static void allocate_and_drop(void)
{
    OWNED(block, block);
    (void)!heap_allocate_to(SIZE, SLOT(block));
}

static void allocate_and_keep(void)
{
    OWNED(block, block);
    (void)!heap_allocate_to(SIZE, SLOT(block));
    commit_move(&kept[0], SLOT(block));
}

static void allocate_large_block(void)
{
    OWNED(block, block);
    (void)!heap_allocate_to(LARGE, SLOT(block));
}

static void use_once(void)
{
    allocate_and_drop();
}

static void keep_some(void)
{
    for (unsigned i = 0; i < KEPT; i++) {
        strike_demand(heap_allocate_to(SIZE, &kept[i]));
    }
}

/* The magazine gets full, and slabs empty, so that one of them goes. */
static void drop_kept(void)
{
    for (unsigned i = 0; i < KEPT; i++) {
        OWNED(block, block);
        commit_move(SLOT(block), &kept[i]);
    }
}

static void allocate_by_value_and_free(void)
{
    by_value = heap_allocate(SIZE);
    COMPILER_BARRIER();
    void *block = by_value;
    by_value = NULL;
    COMPILER_BARRIER();
    heap_free(block);
}

static void ask_for_statistics(void)
{
    (void)heap_statistics();
}

static void use_up(void)
{
    keep_some();
    for (unsigned i = 0; i < KEPT; i += 2) {
        heap_free_from(&kept[i]);
    }
}

/* Nothing is left: it looks into the magazines before it says so. */
static void allocate_too_much(void)
{
    OWNED(block, block);
    (void)!heap_allocate_to(1 << 20, SLOT(block));
}

int main(void)
{
    static const struct strike_case cases[] = {
        {"the first block", NULL, allocate_and_drop, check},
        {"a block at hand", use_once, allocate_and_drop, check},
        {"a block that is kept", use_once, allocate_and_keep, check},
        {"a large block", use_once, allocate_large_block, check},
        {"the first, which is large", NULL, allocate_large_block, check},
        {"drop many", keep_some, drop_kept, check},
        {"by value", use_once, allocate_by_value_and_free, check_by_value},
        {"statistics", use_up, ask_for_statistics, check},
        {"too much", use_up, allocate_too_much, check},
    };
    return strike_run(cases, ARRAY_COUNT(cases));
}
