/* SPDX-License-Identifier: MIT */
/*
 * A slab heap whose records are out of reach: each slab has one outside, which owns the slab's
 * mapping and lists its free blocks. The slab itself begins with a raw pointer to the record, found by
 * rounding a block's address down, and believed.
 *
 * The list of free blocks is an array of 16-bit links, one for each granule of the slab. A link is
 * the number of the granule where the next free block starts, doubled: its place in the array; 0 is
 * the end. Where an allocated block starts the high byte of the link is ALLOCATED, which is more than
 * that of any other link; the others are stale. So writing to a freed block changes nothing here, and
 * freeing twice, or from a multiple of 8 inside of a block, is seen: such a multiple, where it is none
 * of 16, leads to the low byte of a link, which is even.
 *
 * Slabs live as those of heap_unsafe do: full ones leave their class's list, one a class is pinned,
 * the countdown finds both events. Records come from chunks of 7, the first of which only holds the
 * chunk's own mapping; chunks stay.
 */
#include "freestanding.h"
#include "heap.h"
#include "heap_slabs.h"
#include "logger.h"
#include "mapped_pages.h"

CELL(library, "2.0.0");

#define ALLOCATED 0xffu

/* The record of a slab. */
struct slab {
    uint16_t free; /* as a link */
    uint16_t class;
    uint16_t countdown;
    uint16_t capacity;
    uintptr_t start; /* of the slab; a block is at 8 times its link from there */
    uint16_t carved; /* blocks that were free once: those behind are not in the list yet */
    bool is_full;
    bool is_pinned;
    struct slab *next;
    struct slab *previous;
    struct mapped_pages *memory;      /* owned */
    uint8_t links[2 * SLAB_GRANULES]; /* little-endian */
};

/* What a slab begins with. */
struct front {
    struct slab *slab;
};
static_assert(sizeof(struct front) <= SLAB_FIRST, "blocks follow");

#define CHUNK_SIZE    16384u
#define CHUNK_RECORDS (CHUNK_SIZE / sizeof(struct slab))

struct size_class {
    struct slab *first; /* never NULL: at the end, &nothing */
    struct slab *last;
    uint64_t allocations;
    uint32_t full_count;
    bool has_pinned;
};
static_assert(sizeof(struct size_class) == 32, "found by a shift");

static struct slab nothing; /* a slab without blocks */

static struct size_class classes[HEAP_CLASS_COUNT] = {
    [0 ... HEAP_CLASS_COUNT - 1] = {.first = &nothing, .last = &nothing},
};
static struct slab *spares;  /* through next */
static struct slab *records; /* without a slab, through next */
static unsigned spare_count;
static struct heap_statistics statistics; /* what is not summed up from the slabs */

typedef uint16_t __attribute__((may_alias)) link_t;

static inline link_t *link_at(struct slab *slab, uintptr_t place)
{
    return (link_t *)&slab->links[place];
}

static struct front *front_of(void *block)
{
    return (struct front *)((uintptr_t)block & ~(uintptr_t)(SLAB_SIZE - 1));
}

/* ---- memory ---- */

/* Fresh memory that begins at a multiple of SLAB_SIZE. */
static enum status map_aligned(size_t bytes, struct mapped_pages **out) OWN_ACQUIRES(**out);

static enum status map_aligned(size_t bytes, struct mapped_pages **out)
{
    OWNED(frames, frames);
    enum status status = heap_take_frames(page_count_of(bytes), SLOT(frames));
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
    if (!records && !make_records()) {
        return NULL;
    }
    OWNED(mapped_pages, memory);
    if (map_aligned(bytes, SLOT(memory)) != OK) {
        return NULL;
    }
    struct slab *slab = records;
    records = slab->next;
    struct front *front = (struct front *)mapped_pages_start(REF(memory));
    front->slab = slab;
    slab->free = 0;
    slab->start = (uintptr_t)front;
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

static void list_append(struct size_class *class, struct slab *slab)
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

static void list_remove(struct size_class *class, struct slab *slab)
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
    unsigned step = heap_class_sizes[slab->class] / 8;
    for (unsigned i = end; i-- > slab->carved;) {
        unsigned place = SLAB_FIRST / 8 + i * step;
        *link_at(slab, place) = slab->free;
        slab->free = (uint16_t)place;
    }
    bool any = end > slab->carved;
    slab->carved = (uint16_t)end;
    return any;
}

/* Makes the first slab one that has a free block. */
static bool refill(unsigned number)
{
    struct size_class *class = &classes[number];
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
    struct size_class *class = &classes[slab->class];
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
    slab->links[SLAB_FIRST / 8 + 1] = ALLOCATED;
    statistics.blocks_in_use++;
    statistics.bytes_in_use += mapped_pages_count(STORED(slab->memory)) * PAGE_SIZE - SLAB_FIRST;
    return (char *)mapped_pages_start(STORED(slab->memory)) + SLAB_FIRST;
}

/* Takes the first block of `slab`, which has one. */
static inline void *take_block(struct size_class *class, struct slab *slab)
{
    uintptr_t place = slab->free;
    slab->free = *link_at(slab, place);
    slab->links[place + 1] = ALLOCATED;
    slab->countdown++;
    class->allocations++;
    return (void *)(slab->start + 8 * place);
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
    struct size_class *class = &classes[heap_class_of[(bytes + GRANULE - 1) / GRANULE]];
    struct slab *slab = class->first;
    return LIKELY(slab->free) ? take_block(class, slab) : allocate_slowly(bytes);
}

void *heap_allocate_zeroed(size_t bytes)
{
    void *block = heap_allocate(bytes);
    return block ? memset(block, 0, bytes) : NULL;
}

NOINLINE static void complain(const void *block, const void *caller)
{
    statistics.bad_frees++;
    log_error("%p freed %p, which is not an allocated block", caller, block);
}

void heap_free(void *block)
{
    if (!block) {
        return;
    }
    struct front *front = front_of(block);
    struct slab *slab = front->slab;
    uintptr_t place = ((uintptr_t)block - (uintptr_t)front) / 8;
    if (UNLIKELY(slab->links[place + 1] != ALLOCATED)) {
        complain(block, __builtin_return_address(0));
        return;
    }
    *link_at(slab, place) = slab->free;
    slab->free = (uint16_t)place;
    if (UNLIKELY(--slab->countdown == 0)) {
        leave(slab);
    }
}

/* ---- statistics ---- */

struct heap_statistics heap_statistics(void)
{
    struct heap_statistics sum = statistics;
    for (unsigned i = 0; i < HEAP_CLASS_COUNT; i++) {
        const struct size_class *class = &classes[i];
        uint64_t blocks = (uint64_t) class->full_count * heap_class_capacity(i);
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
