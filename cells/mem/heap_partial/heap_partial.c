/* SPDX-License-Identifier: MIT */
/*
 * A slab heap whose records are out of reach: each slab has one outside, which owns the slab's
 * mapping and lists its free blocks. The slab itself begins with a raw pointer to the record, found by
 * rounding a block's address down, and believed.
 *
 * The list of free blocks is an array of 16-bit links, one for each granule of the slab; a link is
 * the offset, in the record, of the link of the next free block, 0 at the end. So writing to a freed
 * block changes nothing here. That a block is allocated is not recorded, so freeing one twice, or
 * another granule of it, is seen only when more is freed than is in use: then the slab's list is
 * longer than the slab.
 *
 * Slabs live as those of heap_unsafe do: full ones leave their class's list, one a class is pinned,
 * the countdown finds both events. Records come from chunks of 7, which stay.
 */
#include "freestanding.h"
#include "heap.h"
#include "heap_slabs.h"
#include "logger.h"
#include "mapped_pages.h"

CELL(library, "2.0.0");

typedef uint16_t __attribute__((may_alias)) link_t;

/* The record of a slab. */
struct slab {
    uint16_t free; /* the first free block's link */
    uint16_t class;
    uint16_t countdown;
    uint16_t capacity;
    uintptr_t bias;  /* a block is at 8 times the address of its link, plus this */
    uint16_t carved; /* blocks that were free once: those behind are not in the list yet */
    bool is_full;
    bool is_pinned;
    struct slab *next;
    struct slab *previous;
    struct mapped_pages *memory; /* owned */
    link_t links[SLAB_GRANULES];
};

/* What a slab begins with. */
struct front {
    struct slab *slab;
};
static_assert(sizeof(struct front) <= SLAB_FIRST, "blocks follow");

#define CHUNK_SIZE    16384u
#define CHUNK_RECORDS (CHUNK_SIZE / sizeof(struct slab))

struct class {
    struct slab *first; /* never NULL: at the end, &nothing */
    struct slab *last;
    uint64_t allocations;
    uint32_t full_count;
    bool has_pinned;
};
static_assert(sizeof(struct class) == 32, "found by a shift");

static struct slab nothing; /* a slab without blocks */

static struct class classes[HEAP_CLASS_COUNT] = {
    [0 ... HEAP_CLASS_COUNT - 1] = {.first = &nothing, .last = &nothing},
};
static struct slab *spares;  /* through next */
static struct slab *records; /* without a slab, through next */
static unsigned spare_count;
static struct heap_statistics statistics; /* what is not summed up from the slabs */

static struct front *front_of(void *block)
{
    return (struct front *)((uintptr_t)block & ~(uintptr_t)(SLAB_SIZE - 1));
}

/* ---- memory ---- */

/* Fresh memory that begins at a multiple of SLAB_SIZE. */
static enum status map_aligned(size_t bytes, struct mapped_pages **out)
{
    OWNED(frames, frames);
    enum status status = frame_allocator_take_any(page_count_of(bytes), SLOT(frames));
    if (status != OK) {
        return status;
    }
    OWNED(pages, pages);
    status = page_allocator_take(PAGE_ZONE_DATA, page_count_of(bytes), SLAB_PAGES, SLOT(pages));
    if (status != OK) {
        return status;
    }
    return mapped_pages_map(SLOT(pages), SLOT(frames), PAGE_WRITE, out);
}

static bool make_records(void)
{
    /* The chunk owns itself: its first record, which is never used, holds its mapping. */
    OWNED(mapped_pages, memory);
    if (mapped_pages_create(PAGE_ZONE_DATA, CHUNK_SIZE, PAGE_WRITE, SLOT(memory)) != OK) {
        return false;
    }
    struct slab *chunk = (struct slab *)mapped_pages_start(REF(memory));
    for (unsigned i = CHUNK_RECORDS; --i > 0;) {
        chunk[i].next = records;
        records = &chunk[i];
    }
    statistics.bytes_metadata += CHUNK_SIZE;
    STORE(chunk->memory, memory);
    return true;
}

static struct slab *map_slab(size_t bytes)
{
    OWNED(mapped_pages, memory);
    if ((!records && !make_records()) || map_aligned(bytes, SLOT(memory)) != OK) {
        return NULL;
    }
    struct slab *slab = records;
    records = slab->next;
    struct front *front = (struct front *)mapped_pages_start(REF(memory));
    front->slab = slab;
    slab->free = 0;
    slab->bias = (uintptr_t)front - 8 * (uintptr_t)slab->links;
    statistics.bytes_mapped += mapped_pages_count(REF(memory)) * PAGE_SIZE;
    STORE(slab->memory, memory);
    return slab;
}

static void unmap_slab(struct slab *slab)
{
    OWNED(mapped_pages, memory);
    LOAD(memory, slab->memory);
    statistics.bytes_mapped -= mapped_pages_count(REF(memory)) * PAGE_SIZE;
    slab->next = records;
    records = slab;
}

/* ---- lists ---- */

static void list_append(struct class *class, struct slab *slab)
{
    slab->next = &nothing;
    slab->previous = class->last;
    if (class->last == &nothing) {
        class->first = slab;
    } else {
        class->last->next = slab;
    }
    class->last = slab;
}

static void list_remove(struct class *class, struct slab *slab)
{
    if (slab->previous == &nothing) {
        class->first = slab->next;
    } else {
        slab->previous->next = slab->next;
    }
    if (slab->next == &nothing) {
        class->last = slab->previous;
    } else {
        slab->next->previous = slab->previous;
    }
}

/* ---- slabs ---- */

static struct slab *take_slab(unsigned number)
{
    struct slab *slab = spares;
    if (slab) {
        spares = slab->next;
        spare_count--;
    } else {
        slab = map_slab(SLAB_SIZE);
        if (!slab) {
            return NULL;
        }
    }
    slab->free = 0;
    slab->countdown = 0;
    slab->class = (uint16_t)number;
    slab->is_full = false;
    slab->is_pinned = false;
    slab->capacity = (uint16_t)heap_class_capacity(number);
    slab->carved = 0;
    return slab;
}

static void give_slab(struct slab *slab)
{
    if (spare_count == SPARE_SLABS_MAX) {
        unmap_slab(slab);
        return;
    }
    slab->next = spares;
    spares = slab;
    spare_count++;
}

/* Puts the next few blocks into the list, the lowest first. False when there are none left. */
static bool carve(struct slab *slab)
{
    unsigned end = slab->carved + CARVE_COUNT;
    end = end < slab->capacity ? end : slab->capacity;
    unsigned step = heap_class_sizes[slab->class] / GRANULE;
    for (unsigned i = end; i-- > slab->carved;) {
        link_t *link = &slab->links[SLAB_FIRST / GRANULE + i * step];
        *link = slab->free;
        slab->free = (uint16_t)((uintptr_t)link - (uintptr_t)slab);
    }
    bool any = end > slab->carved;
    slab->carved = (uint16_t)end;
    return any;
}

/* Makes the first slab one that has a free block. */
static bool refill(unsigned number)
{
    struct class *class = &classes[number];
    for (;;) {
        struct slab *slab = class->first;
        if (slab == &nothing) {
            slab = take_slab(number);
            if (!slab) {
                return false;
            }
            list_append(class, slab);
        }
        if (slab->free || carve(slab)) {
            return true;
        }
        list_remove(class, slab);
        slab->is_full = true;
        slab->countdown = 1;
        class->full_count++;
    }
}

/* The countdown is at 0. */
NOINLINE static void leave(struct slab *slab)
{
    if (slab->class == HEAP_CLASS_LARGE) {
        statistics.blocks_in_use--;
        statistics.bytes_in_use -=
            mapped_pages_count(STORED(slab->memory)) * PAGE_SIZE - SLAB_FIRST;
        unmap_slab(slab);
        return;
    }
    struct class *class = &classes[slab->class];
    if (slab->is_full) {
        slab->is_full = false;
        slab->countdown = (uint16_t)(slab->capacity - 1 + slab->is_pinned);
        class->full_count--;
        list_append(class, slab);
    }
    if (slab->countdown > 0) {
        return;
    }
    if (!class->has_pinned) {
        class->has_pinned = true;
        slab->is_pinned = true;
        slab->countdown = 1;
        return;
    }
    list_remove(class, slab);
    give_slab(slab);
}

/* ---- blocks ---- */

static void *allocate_large(size_t bytes)
{
    struct slab *slab = bytes > SIZE_MAX - SLAB_FIRST ? NULL : map_slab(bytes + SLAB_FIRST);
    statistics.allocations++;
    if (!slab) {
        statistics.failures++;
        return NULL;
    }
    slab->class = HEAP_CLASS_LARGE;
    slab->countdown = 1;
    statistics.blocks_in_use++;
    statistics.bytes_in_use += mapped_pages_count(STORED(slab->memory)) * PAGE_SIZE - SLAB_FIRST;
    return (char *)mapped_pages_start(STORED(slab->memory)) + SLAB_FIRST;
}

/* Takes the first block of `slab`, which has one. */
static inline void *take_block(struct class *class, struct slab *slab)
{
    link_t *link = (link_t *)((char *)slab + slab->free);
    slab->free = *link;
    slab->countdown++;
    class->allocations++;
    return (void *)(8 * (uintptr_t)link + slab->bias);
}

NOINLINE static void *allocate_slowly(size_t bytes)
{
    if (bytes > HEAP_SMALL_MAX) {
        return allocate_large(bytes);
    }
    unsigned number = heap_class_of[(bytes + GRANULE - 1) / GRANULE];
    if (!refill(number)) {
        statistics.allocations++;
        statistics.failures++;
        return NULL;
    }
    return take_block(&classes[number], classes[number].first);
}

void *heap_allocate(size_t bytes)
{
    if (UNLIKELY(bytes > HEAP_SMALL_MAX)) {
        return allocate_slowly(bytes);
    }
    struct class *class = &classes[heap_class_of[(bytes + GRANULE - 1) / GRANULE]];
    struct slab *slab = class->first;
    return LIKELY(slab->free) ? take_block(class, slab) : allocate_slowly(bytes);
}

void *heap_allocate_zeroed(size_t bytes)
{
    void *block = heap_allocate(bytes);
    return block ? memset(block, 0, bytes) : NULL;
}

void heap_free(void *block)
{
    if (!block) {
        return;
    }
    struct front *front = front_of(block);
    struct slab *slab = front->slab;
    link_t *link = (link_t *)((char *)slab->links + ((uintptr_t)block - (uintptr_t)front) / 8);
    *link = slab->free;
    slab->free = (uint16_t)((uintptr_t)link - (uintptr_t)slab);
    if (UNLIKELY(--slab->countdown == 0)) {
        leave(slab);
    }
}

/* ---- statistics ---- */

struct heap_statistics heap_statistics(void)
{
    struct heap_statistics sum = statistics;
    for (unsigned i = 0; i < HEAP_CLASS_COUNT; i++) {
        const struct class *class = &classes[i];
        uint64_t blocks = (uint64_t)class->full_count * heap_class_capacity(i);
        for (const struct slab *slab = class->first; slab != &nothing; slab = slab->next) {
            blocks += slab->countdown - slab->is_pinned;
        }
        sum.allocations += class->allocations;
        sum.blocks_in_use += blocks;
        sum.bytes_in_use += blocks * heap_class_sizes[i];
    }
    return sum;
}

uint64_t heap_check(void)
{
    return 0;
}
