/* SPDX-License-Identifier: MIT */
/*
 * The heap owns a range of pages that nobody else can get, and in it slabs with frames behind them.
 * What it knows about them lies elsewhere, where no write to a block can reach: for each slab, in
 * the order of addresses, a record of 2 KiB.
 *
 *   pages of slabs      | slab 0, 16 KiB    | slab 1            | ... range.count slabs so far
 *   pages of records    | record 0, 2 KiB   | record 1          | ...
 *
 * A record is an array of 16-bit links, one for each granule of its slab. The first 32 granules of a
 * slab are not used, and in place of their links the record has the slab's head. The link of a
 * granule where a block starts is ALLOCATED, 0 in a magazine, or leads to the next free block; a link is the offset
 * in the record of the other link, so 0, where the head is, stands for none. The link of any other
 * granule is stale, but never ALLOCATED: all links of a class are before a slab changes its class.
 *
 * So a pointer is an allocated block if, and only if, it lies in the range, is a multiple of a
 * granule, and its link is ALLOCATED. Rotating its offset in the range by 3 gives the offset of its
 * link and makes the first two one comparison: what is not a multiple of 8 becomes huge. What is one
 * of 8 only leads between two links, and to the high byte of one and the low byte of the other: that
 * is not ALLOCATED, whose low byte is no high byte of a link. When a bad pointer leads to the head,
 * that is read as links as well: its fields are such that the same holds for them.
 *
 * Slabs live as those of heap_unsafe do: full ones leave their class's list, one a class is pinned,
 * the countdown finds both events. A slab without frames is *vacant*: it keeps its pages, so that
 * the range is never broken.
 *
 * Blocks that are too large for a slab have mappings of their own and are in a table by address.
 */
#include "block_table.h"
#include "freestanding.h"
#include "heap.h"
#include "heap_slabs.h"
#include "logger.h"
#include "mapped_pages.h"
#include "spinlock.h"

CELL(library, "2.1.0");

/* 64 GiB of small blocks: a number of pages, none of which is mapped before it is needed. */
#define SLABS_MAX (1ull << 22)

#define RECORD_SIZE      2048u
#define RECORDS_PER_PAGE (PAGE_SIZE / RECORD_SIZE)
#define ALLOCATED        0xfff1u /* a link; offsets of links end at RECORD_SIZE. Atomic */

/* Read where a pointer leads, which may be between two links. */
typedef uint16_t __attribute__((aligned(1), may_alias)) link_t;

/*
 * The head of a record. Slabs are named by their number plus 1, doubled: 0 is none, low words are
 * even and high words small, so no 16 bits of it, at any byte, are ALLOCATED, which is odd and whose
 * high byte no high word has.
 */
struct slab {
    uint16_t free; /* the first free block's link */
    uint16_t class;
    uint16_t countdown;
    uint16_t capacity;
    uint16_t carved;
    uint8_t is_full;
    uint8_t is_pinned;
    uint32_t next; /* in the class's list, or among spare or vacant ones */
    uint32_t previous;
};
static_assert(sizeof(struct slab) <= SLAB_FIRST / GRANULE * sizeof(link_t), "links follow");
static_assert(SLAB_GRANULES * sizeof(link_t) == RECORD_SIZE, "a link for each granule");
static_assert(2 * SLABS_MAX >> 16 < (ALLOCATED >> 8), "high words are small");

/* What a slab is made of: one of both, memory or pages. By number, in memory of its own. */
struct parts {
    struct mapped_pages *memory;
    struct pages *pages; /* of a vacant slab */
};

struct size_class {
    struct slab *first;   /* never NULL: &nothing if there is none */
    uint64_t allocations; /* that no magazine has answered */
    uint64_t full_count;
    uint32_t last;
    bool has_pinned;
};
static_assert(sizeof(struct size_class) == 32, "found by a shift");

/* The first fields are what freeing a block reads. */
static struct {
    uintptr_t start;
    uint64_t links_size; /* bytes of the records of `count` slabs */
    uintptr_t links;     /* address of that of granule 0 */
    uintptr_t bias;      /* a block is at 8 times the address of its link, plus this */
    uint64_t count;      /* slabs that were taken once */
    struct parts *parts;
    struct pages *slab_pages; /* of the slabs behind `count` */
    struct pages *record_pages;
    struct pages *parts_pages;
    struct mapped_pages *records; /* all that are mapped so far */
    struct mapped_pages *parts_memory;
    uint32_t spares;
    uint32_t vacant;
    unsigned spare_count;
} range;

static struct slab nothing; /* a slab without blocks */

static struct size_class classes[HEAP_CLASS_COUNT] = {
    [0 ... HEAP_CLASS_COUNT - 1] = {.first = &nothing},
};
static struct block_table large_blocks;
static struct heap_statistics statistics; /* what is not summed up from the slabs */

static struct spinlock lock = {.name = "heap"}; /* protects all of the above */
static struct magazines magazines;              /* each CPU its own */

/* ---- names ---- */

static struct slab *slab_at(uint64_t number)
{
    return (struct slab *)(range.links + number * RECORD_SIZE);
}

static uint64_t number_of(const struct slab *slab)
{
    return ((uintptr_t)slab - range.links) / RECORD_SIZE;
}

static uint32_t name_of(const struct slab *slab)
{
    return slab == &nothing ? 0 : (uint32_t)(number_of(slab) + 1) * 2;
}

static struct slab *named(uint32_t name)
{
    return name ? slab_at(name / 2 - 1) : &nothing;
}

/* ---- the range ---- */

/* Reserves the pages; they stay ours. */
static enum status reserve_range(void)
{
    OWNED(pages, slabs);
    OWNED(pages, records);
    OWNED(pages, parts);
    enum status status =
        page_allocator_take(PAGE_ZONE_DATA, SLABS_MAX * SLAB_PAGES, SLAB_PAGES, SLOT(slabs));
    if (status != OK) {
        return status;
    }
    status = page_allocator_take(PAGE_ZONE_DATA, SLABS_MAX / RECORDS_PER_PAGE, 1, SLOT(records));
    if (status != OK) {
        return status;
    }
    status = page_allocator_take(PAGE_ZONE_DATA, page_count_of(SLABS_MAX * sizeof(struct parts)), 1,
                                 SLOT(parts));
    if (status != OK) {
        return status;
    }
    range.start = pages_start(REF(slabs));
    range.links = pages_start(REF(records));
    range.bias = range.start - 8 * range.links;
    range.parts = (struct parts *)pages_start(REF(parts));
    STORE(range.slab_pages, slabs);
    STORE(range.record_pages, records);
    STORE(range.parts_pages, parts);
    return OK;
}

/*
 * Maps pages that follow `*mapped`, all that were mapped before, and adds them to it. Where that
 * fails nothing has changed: the pages are merged with those behind them again.
 */
static enum status map_more(struct pages **unused, struct mapped_pages **mapped, uint64_t count)
{
    OWNED(frames, frames);
    enum status status = heap_take_frames(count, SLOT(frames));
    if (status != OK) {
        return status;
    }
    OWNED(pages, rest);
    status = pages_split(STORED(*unused), count, SLOT(rest));
    if (status != OK) {
        return status;
    }
    OWNED(mapped_pages, more);
    status = mapped_pages_map(unused, SLOT(frames), PAGE_WRITE, SLOT(more));
    if (status != OK) {
        status = pages_merge(STORED(*unused), SLOT(rest)) == OK ? status : ERR_STATE;
        return status;
    }
    STORE(*unused, rest);
    statistics.bytes_metadata += count * PAGE_SIZE;
    if (!*mapped) {
        STORE(*mapped, more);
        return OK;
    }
    return mapped_pages_merge(STORED(*mapped), SLOT(more)); /* neighbours of one kind */
}

/* Are there a record and parts for one more slab? */
static enum status describe_next_slab(void)
{
    uint64_t records = range.records ? mapped_pages_count(STORED(range.records)) : 0;
    if (range.count >= records * RECORDS_PER_PAGE) {
        enum status status = map_more(&range.record_pages, &range.records, 1 + records / 16);
        if (status != OK) {
            return status;
        }
    }
    uint64_t parts = range.parts_memory ? mapped_pages_count(STORED(range.parts_memory)) : 0;
    if (range.count >= parts * (PAGE_SIZE / sizeof(struct parts))) {
        return map_more(&range.parts_pages, &range.parts_memory, 1 + parts / 16);
    }
    return OK;
}

/* Makes the next slab of the range vacant. */
static enum status extend_range(void)
{
    enum status status = range.start ? OK : reserve_range();
    if (status == OK) {
        status = describe_next_slab();
    }
    if (status != OK) {
        return status;
    }
    OWNED(pages, pages);
    OWNED(pages, rest);
    status = pages_split(STORED(range.slab_pages), SLAB_PAGES, SLOT(rest));
    if (status != OK) {
        return status; /* at the end of the range, too */
    }
    LOAD(pages, range.slab_pages);
    STORE(range.slab_pages, rest);
    STORE(range.parts[range.count].pages, pages);
    struct slab *slab = slab_at(range.count++);
    slab->next = range.vacant;
    range.vacant = name_of(slab);
    __atomic_store_n(&range.links_size, range.count * RECORD_SIZE, __ATOMIC_RELEASE);
    return OK;
}

/* Gets a slab with frames behind it. Unchecked: where mapping fails, the pages stay where they are. */
OWN_UNCHECKED static struct slab *map_slab(void)
{
    if (!range.vacant && extend_range() != OK) {
        return NULL;
    }
    struct slab *slab = named(range.vacant);
    struct parts *parts = &range.parts[number_of(slab)];
    OWNED(frames, frames);
    if (heap_take_frames(SLAB_PAGES, SLOT(frames)) != OK ||
        mapped_pages_map(&parts->pages, SLOT(frames), PAGE_WRITE, &parts->memory) != OK) {
        return NULL;
    }
    range.vacant = slab->next;
    statistics.bytes_mapped += SLAB_SIZE;
    return slab;
}

/* Gives the frames back and keeps the pages. */
static void unmap_slab(struct slab *slab)
{
    struct parts *parts = &range.parts[number_of(slab)];
    OWNED(mapped_pages, memory);
    OWNED(pages, pages);
    OWNED(frames, frames);
    LOAD(memory, parts->memory);
    mapped_pages_take_apart(SLOT(memory), SLOT(pages), SLOT(frames));
    STORE(parts->pages, pages);
    statistics.bytes_mapped -= SLAB_SIZE;
    slab->next = range.vacant;
    range.vacant = name_of(slab);
}

/* ---- lists ---- */

static void list_append(struct size_class *class, struct slab *slab)
{
    slab->next = 0;
    slab->previous = class->last;
    if (class->last) {
        named(class->last)->next = name_of(slab);
    } else {
        class->first = slab;
    }
    class->last = name_of(slab);
}

static void list_remove(struct size_class *class, struct slab *slab)
{
    if (slab->previous) {
        named(slab->previous)->next = slab->next;
    } else {
        class->first = named(slab->next);
    }
    if (slab->next) {
        named(slab->next)->previous = slab->previous;
    } else {
        class->last = slab->previous;
    }
}

/* ---- slabs ---- */

static struct slab *take_slab(unsigned number)
{
    struct slab *slab = named(range.spares);
    if (slab != &nothing) {
        range.spares = slab->next;
        range.spare_count--;
    } else {
        slab = map_slab();
        if (!slab) {
            return NULL;
        }
    }
    *slab = (struct slab){
        .class = (uint16_t)number,
        .capacity = (uint16_t)heap_class_capacity(number),
    };
    return slab;
}

static void give_slab(struct slab *slab)
{
    if (range.spare_count == SPARE_SLABS_MAX) {
        unmap_slab(slab);
        return;
    }
    slab->next = range.spares;
    range.spares = name_of(slab);
    range.spare_count++;
}

/* Puts the next few blocks into the list, the lowest first. False when there are none left. */
static bool carve(struct slab *slab)
{
    unsigned end = slab->carved + CARVE_COUNT;
    end = end < slab->capacity ? end : slab->capacity;
    unsigned step = heap_class_sizes[slab->class] / GRANULE * sizeof(link_t);
    for (unsigned i = end; i-- > slab->carved;) {
        unsigned link = SLAB_FIRST / GRANULE * sizeof(link_t) + i * step;
        *(link_t *)((char *)slab + link) = slab->free;
        slab->free = (uint16_t)link;
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

/* ---- large blocks ---- */

static void *allocate_large(size_t bytes)
{
    if (block_table_reserve(&large_blocks) != OK) {
        return NULL;
    }
    OWNED(mapped_pages, memory);
    if (mapped_pages_create(PAGE_ZONE_DATA, bytes, PAGE_WRITE, SLOT(memory)) != OK) {
        return NULL;
    }
    size_t size = mapped_pages_count(REF(memory)) * PAGE_SIZE;
    struct block *block = block_table_insert(&large_blocks, mapped_pages_start(REF(memory)));
    block->bytes = size;
    STORE(block->memory, memory);
    statistics.blocks_in_use++;
    statistics.bytes_in_use += size;
    statistics.bytes_mapped += size;
    return (void *)block->address;
}

static bool free_large(void *address)
{
    struct block *block = block_table_find(&large_blocks, (uintptr_t)address);
    if (!block) {
        return false;
    }
    statistics.blocks_in_use--;
    statistics.bytes_in_use -= block->bytes;
    statistics.bytes_mapped -= block->bytes;
    block_table_remove(&large_blocks, block);
    return true;
}

/* ---- blocks ---- */

/* Takes the first block of `slab`, which has one; it does not count as allocated yet. */
static inline void *take_block(struct slab *slab)
{
    link_t *link = (link_t *)((char *)slab + slab->free);
    slab->free = *link;
    *link = 0;
    slab->countdown++;
    return (void *)(8 * (uintptr_t)link + range.bias);
}

static inline link_t *link_of(const void *block)
{
    return (link_t *)(range.links + ((uintptr_t)block - range.start) / 8);
}

/* One that has been claimed, or was in a magazine. */
static void give_block(void *block)
{
    link_t *link = link_of(block);
    struct slab *slab = (struct slab *)((uintptr_t)link & ~(uintptr_t)(RECORD_SIZE - 1));
    *link = slab->free;
    slab->free = (uint16_t)((uintptr_t)link - (uintptr_t)slab);
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
        __atomic_store_n(link_of(block), ALLOCATED, __ATOMIC_RELEASE);
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
    __atomic_store_n(link_of(block), ALLOCATED, __ATOMIC_RELEASE);
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
    if (!free_large(block)) {
        statistics.bad_frees++;
        log_error("%p freed %p, which is not an allocated block", caller, block);
    }
}

/* One for a magazine that is full. It has been claimed. */
NOINLINE static void free_slowly(void *block, unsigned number)
{
    GUARD(spinlock, guard, &lock);
    struct magazine *magazine = magazine_of(&magazines, number);
    if (!magazine_push(magazine, block)) {
        empty_magazine(magazine, MAGAZINE_HALF);
        (void)magazine_push(magazine, block);
    }
}

/* Only what reads ALLOCATED is exchanged: links that are none may lie across cache lines. */
static inline bool claim(link_t *link)
{
    uint16_t expected = ALLOCATED;
    return *(volatile link_t *)link == ALLOCATED &&
           __atomic_compare_exchange_n((uint16_t *)link, &expected, 0, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

/* What the fast path ends in, with its hold. */
NOINLINE static void free_and_release(void *block, unsigned number)
{
    free_slowly(block, number);
    preemption_release();
}

void heap_free(void *block)
{
    uint64_t offset = (uintptr_t)block - range.start;
    uint64_t place = offset >> 3 | offset << 61;
    if (UNLIKELY(place >= __atomic_load_n(&range.links_size, __ATOMIC_RELAXED))) {
        free_other(block, __builtin_return_address(0));
        return;
    }
    link_t *link = (link_t *)(range.links + place);
    if (UNLIKELY(!claim(link))) {
        free_other(block, __builtin_return_address(0));
        return;
    }
    const struct slab *slab = (struct slab *)((uintptr_t)link & ~(uintptr_t)(RECORD_SIZE - 1));
    unsigned number = slab->class; /* it stays while a block is allocated */
    preemption_hold();
    if (UNLIKELY(!magazine_push(magazine_of(&magazines, number), block))) {
        free_and_release(block, number);
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
    sum.bytes_metadata += block_table_bytes(&large_blocks);
    for (unsigned i = 0; i < HEAP_CLASS_COUNT; i++) {
        const struct size_class *class = &classes[i];
        uint64_t blocks = class->full_count * heap_class_capacity(i);
        for (const struct slab *slab = class->first; slab != &nothing; slab = named(slab->next)) {
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
