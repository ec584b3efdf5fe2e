/* SPDX-License-Identifier: MIT */
/*
 * A conventional slab heap, as fast as we can make one; it shows what the checks of the others cost.
 *
 * A slab begins with its record, which rounding a block's address down finds. Free blocks hold the
 * pointers of their slab's list. Nothing is checked.
 *
 *   state     in the class's list   countdown
 *   listed    yes                   blocks in use, one more if pinned
 *   full      no                    1, so that the next free takes the slow path
 *
 * So one decrement finds both events that matter: a full slab gets a free block, and the last block
 * is freed. Each class pins one slab, which stays when it is empty. A class's first slab is where
 * blocks come from; a full one is dropped from the list when an allocation finds it there, and comes
 * back at the end. Blocks are cut from a fresh slab a few at a time.
 */
#include "freestanding.h"
#include "heap.h"
#include "heap_slabs.h"
#include "mapped_pages.h"
#include "spinlock.h"

CELL(library, "2.1.0");

struct slab {
    void *free; /* a list through the first words of the blocks */
    uint32_t countdown;
    uint16_t class;
    bool is_full;
    bool is_pinned;
    uint32_t capacity;
    uint32_t carved; /* blocks that were free once: those behind are not in the list yet */
    struct slab *next;
    struct slab *previous;
    struct mapped_pages *memory; /* this slab, record included */
};
static_assert(sizeof(struct slab) <= SLAB_FIRST, "blocks follow");

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
static struct slab *spares; /* through next */
static unsigned spare_count;
static struct heap_statistics statistics; /* what is not summed up from the slabs */

static struct spinlock lock = {.name = "heap"}; /* protects all of the above */
static struct magazines magazines;              /* each CPU its own */

static struct slab *slab_of(void *block)
{
    return (struct slab *)((uintptr_t)block & ~(uintptr_t)(SLAB_SIZE - 1));
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

static struct slab *map_slab(size_t bytes)
{
    OWNED(mapped_pages, memory);
    if (map_aligned(bytes, SLOT(memory)) != OK) {
        return NULL;
    }
    struct slab *slab = (struct slab *)mapped_pages_start(REF(memory));
    statistics.bytes_mapped += mapped_pages_count(REF(memory)) * PAGE_SIZE;
    STORE(slab->memory, memory);
    return slab;
}

static void unmap_slab(struct slab *slab)
{
    OWNED(mapped_pages, memory);
    LOAD(memory, slab->memory); /* the record goes with it */
    statistics.bytes_mapped -= mapped_pages_count(REF(memory)) * PAGE_SIZE;
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
    slab->free = NULL;
    slab->countdown = 0;
    slab->class = (uint16_t)number;
    slab->is_full = false;
    slab->is_pinned = false;
    slab->capacity = heap_class_capacity(number);
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
    uint32_t end = slab->carved + CARVE_COUNT;
    end = end < slab->capacity ? end : slab->capacity;
    size_t size = heap_class_sizes[slab->class];
    for (uint32_t i = end; i-- > slab->carved;) {
        void **block = (void **)((char *)slab + SLAB_FIRST + i * size);
        *block = slab->free;
        slab->free = block;
    }
    bool any = end > slab->carved;
    slab->carved = end;
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
        slab->countdown = slab->capacity - 1 + slab->is_pinned;
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
    if (!slab) {
        return NULL;
    }
    slab->class = HEAP_CLASS_LARGE;
    slab->countdown = 1;
    statistics.blocks_in_use++;
    statistics.bytes_in_use += mapped_pages_count(STORED(slab->memory)) * PAGE_SIZE - SLAB_FIRST;
    return (char *)slab + SLAB_FIRST;
}

/* Takes the first block of `slab`, which has one; it does not count as allocated yet. */
static inline void *take_block(struct slab *slab)
{
    void **block = slab->free;
    slab->free = *block;
    slab->countdown++;
    return block;
}

static void give_block(void *block)
{
    struct slab *slab = slab_of(block);
    *(void **)block = slab->free;
    slab->free = block;
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
    return LIKELY(!preemption_release_quietly()) ? block : magazine_switch(block);
}

void *heap_allocate_zeroed(size_t bytes)
{
    void *block = heap_allocate(bytes);
    return block ? memset(block, 0, bytes) : NULL;
}

/* A large block, or one for a magazine that is full. */
NOINLINE static void free_slowly(void *block)
{
    GUARD(spinlock, guard, &lock);
    unsigned number = slab_of(block)->class;
    if (number == HEAP_CLASS_LARGE) {
        give_block(block);
        return;
    }
    struct magazine *magazine = magazine_of(&magazines, number);
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
    if (!block) {
        return;
    }
    unsigned number = slab_of(block)->class; /* it stays while a block is allocated */
    if (UNLIKELY(number == HEAP_CLASS_LARGE)) {
        free_slowly(block);
        return;
    }
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

bool heap_is_free(uintptr_t address)
{
    (void)address;
    return false;
}

uint64_t heap_check(void)
{
    return 0;
}
