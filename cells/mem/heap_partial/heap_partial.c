/* SPDX-License-Identifier: MIT */
/*
 * A slab heap whose records are out of reach: each slab has one outside, which owns the slab's
 * mapping and lists its free blocks. The slab itself begins with a raw pointer to the record, found by
 * rounding a block's address down, and believed.
 *
 * The list of free blocks is an array of 16-bit links, one for each granule of the slab. A link is
 * the number of the granule where the next free block starts, doubled: its place in the array; 0 is
 * the end. Where an allocated block starts the high byte of the link is ALLOCATED, which is more than
 * that of any other link; in a magazine it is 0; the others are stale. So writing to a freed block changes nothing here, and
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
#include "spinlock.h"

CELL(library, "2.1.0");

#define ALLOCATED       0xffu /* atomic: of two who free a block at once, one is told */
#define ALLOCATED_LARGE 0xfdu /* has pages of its own */

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
    uint64_t allocations; /* that no magazine has answered */
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
static struct slab *chunks;  /* the first records of all chunks, through next */
static unsigned spare_count;
static struct heap_statistics statistics; /* what is not summed up from the slabs */

static struct spinlock lock = {.name = "heap"}; /* protects all of the above */
static struct magazines magazines;              /* each CPU its own */

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
    chunk->next = chunks;
    COMPILER_BARRIER(); /* heap_is_free() follows the list at any time */
    chunks = chunk;
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

static inline uint8_t *mark_of(struct slab *slab, void *block)
{
    return &slab->links[(uintptr_t)block % SLAB_SIZE / 8 + 1];
}

/* False for what is not an allocated block of this kind. From here on nobody else frees it. */
static inline bool claim(struct slab *slab, void *block, uint8_t kind)
{
    uint8_t expected = kind;
    return __atomic_compare_exchange_n(mark_of(slab, block), &expected, 0, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

static void *allocate_large(size_t bytes)
{
    struct slab *slab = bytes > SIZE_MAX - SLAB_FIRST ? NULL : map_slab(bytes + SLAB_FIRST);
    if (!slab) {
        return NULL;
    }
    slab->class = HEAP_CLASS_LARGE;
    slab->countdown = 1;
    slab->links[SLAB_FIRST / 8 + 1] = ALLOCATED_LARGE;
    statistics.blocks_in_use++;
    statistics.bytes_in_use += mapped_pages_count(STORED(slab->memory)) * PAGE_SIZE - SLAB_FIRST;
    return (char *)mapped_pages_start(STORED(slab->memory)) + SLAB_FIRST;
}

/* Takes the first block of `slab`, which has one; it does not count as allocated yet. */
static inline void *take_block(struct slab *slab)
{
    uintptr_t place = slab->free;
    slab->free = *link_at(slab, place);
    *link_at(slab, place) = 0;
    slab->countdown++;
    return (void *)(slab->start + 8 * place);
}

/* One that has been claimed, or was in a magazine. */
static void give_block(void *block)
{
    struct front *front = front_of(block);
    struct slab *slab = front->slab;
    uintptr_t place = ((uintptr_t)block - (uintptr_t)front) / 8;
    *link_at(slab, place) = slab->free;
    slab->free = (uint16_t)place;
    if (--slab->countdown == 0) {
        leave(slab);
    }
}

/*
 * Takes a block and, if it has more at hand, some for this CPU's magazine, the lowest on top. No slab is
 * mapped for these.
 */
static void *take_several(unsigned number)
{
    struct magazine *magazine = magazine_of(&magazines, number);
    if (!refill(number)) {
        return NULL;
    }
    struct size_class *class = &classes[number];
    void *first = take_block(class->first);
    void *blocks[MAGAZINE_HALF];
    unsigned count = 0;
    while (count < MAGAZINE_HALF && class->first->free) {
        blocks[count++] = take_block(class->first);
    }
    while (count > 0) { /* it was empty, or its blocks have been given back */
        (void)magazine_push(magazine, blocks[--count]);
    }
    class->allocations++;
    return first;
}

/* Gives the older half of a magazine back, or all of it. */
static void empty_magazine(struct magazine *magazine, uint64_t count)
{
    uint64_t left = magazine->count - count;
    for (uint64_t i = 0; i < count; i++) {
        give_block(magazine->blocks[i]);
    }
    memmove(magazine->blocks, magazine->blocks + count, left * sizeof(void *));
    magazine->count = left;
}

static void empty_magazines_of_this_cpu(void)
{
    for (unsigned i = 0; i < HEAP_CLASS_COUNT; i++) {
        struct magazine *magazine = magazine_of(&magazines, i);
        empty_magazine(magazine, magazine->count);
    }
}

NOINLINE static void *allocate_slowly(size_t bytes)
{
    GUARD(spinlock, guard, &lock);
    bool is_large = bytes > HEAP_SMALL_MAX;
    unsigned number = is_large ? 0 : heap_class_of[(bytes + GRANULE - 1) / GRANULE];
    void *block = is_large ? allocate_large(bytes) : take_several(number);
    if (UNLIKELY(!block)) {
        empty_magazines_of_this_cpu();
        block = is_large ? allocate_large(bytes) : take_several(number);
    }
    if (!block || is_large) {
        statistics.allocations++;
        statistics.failures += !block;
    } else {
        __atomic_store_n(mark_of(front_of(block)->slab, block), ALLOCATED, __ATOMIC_RELEASE);
    }
    return block;
}

/* What the fast path ends in, with its hold. */
NOINLINE static void *allocate_and_release(size_t bytes)
{
    void *block = allocate_slowly(bytes);
    preemption_release();
    return block;
}

void *heap_allocate(size_t bytes)
{
    if (UNLIKELY(bytes > HEAP_SMALL_MAX)) {
        return allocate_slowly(bytes);
    }
    unsigned number = heap_class_of[(bytes + GRANULE - 1) / GRANULE];
    preemption_hold();
    void *block = magazine_pop(magazine_of(&magazines, number));
    if (UNLIKELY(!block)) {
        return allocate_and_release(bytes);
    }
    __atomic_store_n(mark_of(front_of(block)->slab, block), ALLOCATED, __ATOMIC_RELEASE);
    return LIKELY(!preemption_release_quietly()) ? block : magazine_switch(block);
}

void *heap_allocate_zeroed(size_t bytes)
{
    void *block = heap_allocate(bytes);
    return block ? memset(block, 0, bytes) : NULL;
}

/* What is not an allocated block of a slab. */
NOINLINE static void free_other(void *block, const void *caller)
{
    if (!block) {
        return;
    }
    GUARD(spinlock, guard, &lock);
    if (claim(front_of(block)->slab, block, ALLOCATED_LARGE)) {
        give_block(block);
        return;
    }
    statistics.bad_frees++;
    log_error("%p freed %p, which is not an allocated block", caller, block);
}

/* One for a magazine that is full. It has been claimed. */
NOINLINE static void free_slowly(void *block)
{
    GUARD(spinlock, guard, &lock);
    struct magazine *magazine = magazine_of(&magazines, front_of(block)->slab->class);
    if (!magazine_push(magazine, block)) {
        empty_magazine(magazine, MAGAZINE_HALF);
        (void)magazine_push(magazine, block);
    }
}

/* What the fast path ends in, with its hold. */
NOINLINE static void free_and_release(void *block)
{
    free_slowly(block);
    preemption_release();
}

void heap_free(void *block)
{
    if (UNLIKELY(!block)) {
        return;
    }
    struct slab *slab = front_of(block)->slab;
    if (UNLIKELY(!claim(slab, block, ALLOCATED))) {
        free_other(block, __builtin_return_address(0));
        return;
    }
    unsigned number = slab->class; /* it stays while a block is allocated */
    preemption_hold();
    if (UNLIKELY(!magazine_push(magazine_of(&magazines, number), block))) {
        free_and_release(block);
        return;
    }
    preemption_release();
}

/* ---- statistics ---- */

struct heap_statistics heap_statistics(void)
{
    GUARD(spinlock, guard, &lock);
    empty_magazines_of_this_cpu();
    struct heap_statistics sum = statistics;
    for (unsigned i = 0; i < HEAP_CLASS_COUNT; i++) {
        const struct size_class *class = &classes[i];
        uint64_t blocks = (uint64_t) class->full_count * heap_class_capacity(i);
        for (const struct slab *slab = class->first; slab != &nothing; slab = slab->next) {
            blocks += slab->countdown - slab->is_pinned;
        }
        uint64_t at_hand;
        uint64_t answered;
        magazines_sum(&magazines, i, &at_hand, &answered);
        blocks -= at_hand;
        sum.allocations += class->allocations + answered;
        sum.blocks_in_use += blocks;
        sum.bytes_in_use += blocks * heap_class_sizes[i];
    }
    return sum;
}

/* In the part of a slab that holds no allocated block? */
static bool is_free_in(const struct slab *slab, uintptr_t offset)
{
    if (slab->class >= HEAP_CLASS_LARGE || offset < SLAB_FIRST) {
        return offset < SLAB_FIRST;
    }
    uintptr_t size = heap_class_sizes[slab->class];
    uintptr_t number = (offset - SLAB_FIRST) / size;
    uintptr_t block = SLAB_FIRST + number * size;
    return number >= slab->capacity || slab->links[block / 8 + 1] != ALLOCATED;
}

bool heap_is_free(uintptr_t address)
{
    uintptr_t start = address & ~(uintptr_t)(SLAB_SIZE - 1);
    for (const struct slab *chunk = chunks; chunk; chunk = chunk->next) {
        for (unsigned i = 1; i < CHUNK_RECORDS; i++) {
            if (chunk[i].start == start && chunk[i].memory) {
                return is_free_in(&chunk[i], address - start);
            }
        }
    }
    return false;
}

uint64_t heap_check(void)
{
    return 0;
}
