/* SPDX-License-Identifier: MIT */
/*
 * The heap owns a range of pages that nobody else can get, and in it slabs with frames behind them.
 * What it knows about them lies elsewhere, where no write to a block can reach: for each slab, in
 * the order of addresses, a record of 2 KiB.
 *
 *   pages of slabs      | slab 0, 16 KiB    | slab 1            | ... range.count slabs so far
 *   pages of records    | record 0, 2 KiB   | record 1          | ...
 *
 * A record is an array of 16-bit links, one for each granule of its slab. The first 32 granules of
 * a slab are not used, and in place of their links the record has the slab's head. The link of a
 * granule where a block starts is ALLOCATED, another in a magazine, or leads to the next free
 * block; a link is the offset in the record of the other link, so 0, where the head is, stands for
 * none. The link of any other granule is stale, but never ALLOCATED: all links of a class are
 * before a slab changes its class.
 *
 * So a pointer is an allocated block if, and only if, it lies in the range, is a multiple of a
 * granule, and its link is ALLOCATED. Rotating its offset in the range by 3 gives the offset of its
 * link and makes the first two one comparison: what is not a multiple of 8 becomes huge. What is
 * one of 8 only leads between two links, and to the high byte of one and the low byte of the other:
 * that is not ALLOCATED, whose low byte is no high byte of a link. When a bad pointer leads to the
 * head, that is read as links as well: its fields are such that the same holds for them.
 *
 * A slab without frames is *vacant*: it keeps its pages, so that the range is never broken.
 *
 * Blocks that are too large for a slab have mappings of their own and are in a table by address.
 *
 * Between two changes with a commit (heap_slabs_life.h), pages that are to be mapped are in
 * `range.front`, mappings in `range.growth` (of records) and `moving` (of the first vacant slab, or
 * of a large block); who comes after an interruption puts them back.
 */
#include "block_table.h"
#include "freestanding.h"
#include "heap.h"
#include "heap_slabs.h"
#include "logger.h"
#include "mapped_pages.h"
#include "spinlock.h"

CELL(library, "3.0.0");

/* 64 GiB of small blocks: a number of pages, none of which is mapped before it is needed. */
#define SLABS_MAX (1ull << 22)

#define RECORD_SIZE      2048u
#define RECORDS_PER_PAGE (PAGE_SIZE / RECORD_SIZE)
#define ALLOCATED        0xfff1u /* a link; offsets of links end at RECORD_SIZE. Atomic */

/* Read where a pointer leads, which may be between two links. */
typedef uint16_t __attribute__((aligned(1), may_alias)) link_t;

#define BLOCK_LINK       link_t
#define BLOCK_LINK_BYTES (GRANULE / sizeof(link_t))
#define SLAB_LINK        uint32_t

/*
 * The head of a record. Slabs are named by their number plus 1, doubled: 0 is none, low words are
 * even and high words small, so no 16 bits of it, at any byte, are ALLOCATED, which is odd and
 * whose high byte no high word has.
 */
struct slab {
    uint16_t free;
    struct slab_state state;
    SLAB_LINK next; /* in the class's list, or among spare or vacant ones */
    SLAB_LINK previous;
};
static_assert(sizeof(struct slab) <= SLAB_FIRST / GRANULE * sizeof(link_t), "links follow");
static_assert(SLAB_GRANULES * sizeof(link_t) == RECORD_SIZE, "a link for each granule");
static_assert(2 * SLABS_MAX >> 16 < (ALLOCATED >> 8), "high words are small");

/* What a slab is made of: one of both, memory or pages. By number, in memory of its own. */
struct parts {
    struct mapped_pages *memory;
    struct pages *pages; /* of a vacant slab */
};

#include "heap_slabs_life.h"

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
    SLAB_LINK vacant;
    struct pages
        *front; /* cut off from what is not used; NULL between operations, as `growth` is */
    struct pages **front_of;     /* to be put before this again */
    struct mapped_pages *growth; /* of what was in front */
} range;

static struct block_table large_blocks;

/* ---- names ---- */

static inline struct slab *slab_at(uint64_t number)
{
    return (struct slab *)(range.links + number * RECORD_SIZE);
}

static uint64_t number_of(const struct slab *slab)
{
    return ((uintptr_t)slab - range.links) / RECORD_SIZE;
}

static inline SLAB_LINK name_of(const struct slab *slab)
{
    return slab == &nothing ? 0 : (uint32_t)(number_of(slab) + 1) * 2;
}

static inline struct slab *slab_named(SLAB_LINK name)
{
    return name ? slab_at(name / 2 - 1) : &nothing;
}

/* ---- links ---- */

static inline link_t *mark_of(const void *block)
{
    return (link_t *)(range.links + ((uintptr_t)block - range.start) / 8);
}

static inline struct slab *slab_behind(const link_t *mark)
{
    return (struct slab *)((uintptr_t)mark & ~(uintptr_t)(RECORD_SIZE - 1));
}

static inline struct slab *slab_of(const void *block)
{
    return slab_behind(mark_of(block));
}

static inline link_t link_of(const struct slab *slab, const void *block)
{
    return (link_t)((uintptr_t)mark_of(block) - (uintptr_t)slab);
}

static inline link_t *link_at(struct slab *slab, link_t link)
{
    return (link_t *)((char *)slab + link);
}

static inline void *block_at(const struct slab *slab, link_t link)
{
    return (void *)(8 * ((uintptr_t)slab + link) + range.bias);
}

static inline link_t first_link(const struct slab *slab)
{
    (void)slab;
    return SLAB_FIRST / BLOCK_LINK_BYTES;
}

static inline void set_mark(void *block, link_t mark)
{
    __atomic_store_n(mark_of(block), mark, __ATOMIC_RELEASE);
}

static inline void mark_taken(struct slab *slab, link_t link)
{
    UNDO_SET(&changes, *link_at(slab, link), ALLOCATED);
}

static inline void mark_allocated(void *block)
{
    set_mark(block, ALLOCATED);
}

/* ---- the range ---- */

static enum status reserve(uint64_t count, uint64_t alignment, struct pages **field)
{
    return *field ? OK : page_allocator_take(PAGE_ZONE_DATA, count, alignment, field);
}

/* Reserves the pages; they stay ours. `start` says that all of it is done. */
static enum status reserve_range(void)
{
    enum status status = reserve(SLABS_MAX * SLAB_PAGES, SLAB_PAGES, &range.slab_pages);
    if (status == OK) {
        status = reserve(SLABS_MAX / RECORDS_PER_PAGE, 1, &range.record_pages);
    }
    if (status == OK) {
        status = reserve(page_count_of(SLABS_MAX * sizeof(struct parts)), 1, &range.parts_pages);
    }
    if (status != OK) {
        pages_drop(&range.slab_pages);
        pages_drop(&range.record_pages);
        pages_drop(&range.parts_pages);
        return status;
    }
    uint64_t start = pages_start(STORED(range.slab_pages));
    range.links = pages_start(STORED(range.record_pages));
    range.bias = start - 8 * range.links;
    range.parts = (struct parts *)pages_start(STORED(range.parts_pages));
    COMPILER_BARRIER();
    range.start = start;
    COMPILER_BARRIER();
    return OK;
}

/* The first `count` of *pages become *out, in one moment; what is left stays. */
OWN_UNCHECKED static enum status cut_front(struct pages **pages, uint64_t count, struct pages **out)
{
    struct commit_list list;
    list.count = 0;
    enum status status = pages_plan_split(*pages, count, out, &list);
    if (status != OK) {
        return status; /* at the end of the range, too */
    }
    struct pages *rest = *out;
    commit_add(&list, out, *pages);
    commit_add(&list, pages, rest);
    commit_list(&list);
    return OK;
}

/* Puts back what was cut off to grow, and is not mapped. */
OWN_UNCHECKED static void put_front_back(void)
{
    if (range.growth && mapped_pages_count(range.growth) && !range.front) {
        OWNED(frames, frames);
        mapped_pages_take_apart(&range.growth, &range.front, SLOT(frames));
    }
    mapped_pages_drop(&range.growth);
    if (range.front && pages_count(range.front) && *range.front_of &&
        pages_merge(range.front, range.front_of) == OK) {
        commit_move(range.front_of, &range.front);
    }
    pages_drop(&range.front); /* of no pages */
}

/* Maps pages that follow `*mapped`, all that were mapped before, and adds them to it. */
OWN_UNCHECKED static enum status map_more(struct pages **unused, struct mapped_pages **mapped,
                                          uint64_t count)
{
    OWNED(frames, frames);
    enum status status = heap_take_frames(count, SLOT(frames));
    if (status != OK) {
        return status;
    }
    range.front_of = unused;
    COMPILER_BARRIER();
    status = cut_front(unused, count, &range.front);
    if (status != OK) {
        return status;
    }
    status = mapped_pages_map(&range.front, SLOT(frames), PAGE_WRITE, &range.growth);
    if (status != OK) {
        put_front_back();
        return status;
    }
    if (!*mapped) {
        commit_move(mapped, &range.growth);
        return OK;
    }
    return mapped_pages_merge(*mapped, &range.growth); /* neighbours of one kind */
}

OWN_UNCHECKED static uint64_t mapped_of(const struct mapped_pages *mapping)
{
    return mapping ? mapped_pages_count(mapping) : 0;
}

/* Are there a record and parts for one more slab? */
static enum status describe_next_slab(void)
{
    uint64_t records = mapped_of(range.records);
    if (range.count >= records * RECORDS_PER_PAGE) {
        enum status status = map_more(&range.record_pages, &range.records, 1 + records / 16);
        if (status != OK) {
            return status;
        }
    }
    uint64_t parts = mapped_of(range.parts_memory);
    if (range.count >= parts * (PAGE_SIZE / sizeof(struct parts))) {
        return map_more(&range.parts_pages, &range.parts_memory, 1 + parts / 16);
    }
    return OK;
}

/* The pages of the next slab. Who was interrupted here has them, or a handle of no pages. */
OWN_UNCHECKED static enum status cut_next_slab(struct pages **out)
{
    if (*out && pages_count(*out)) {
        return OK;
    }
    pages_drop(out);
    return cut_front(&range.slab_pages, SLAB_PAGES, out);
}

/* Makes the next slab of the range vacant. */
static enum status extend_range(void)
{
    enum status status = range.start ? OK : reserve_range();
    if (status == OK) {
        status = describe_next_slab();
    }
    if (status == OK) {
        status = cut_next_slab(&range.parts[range.count].pages);
    }
    if (status != OK) {
        return status;
    }
    struct slab *slab = slab_at(range.count);
    slab->next = range.vacant;
    UNDO_SET(&changes, range.count, range.count + 1);
    UNDO_SET(&changes, range.vacant, name_of(slab));
    UNDO_SET(&changes, range.links_size, range.count * RECORD_SIZE); /* atomic: a word */
    undo_commit(&changes);
    return OK;
}

/* Gives the first vacant slab frames, and it is a spare one. */
OWN_UNCHECKED static bool make_spare(void)
{
    if (!range.vacant && extend_range() != OK) {
        return false;
    }
    struct slab *slab = slab_named(range.vacant);
    struct parts *parts = &range.parts[number_of(slab)];
    OWNED(frames, frames);
    if (heap_take_frames(SLAB_PAGES, SLOT(frames)) != OK ||
        mapped_pages_map(&parts->pages, SLOT(frames), PAGE_WRITE, &moving) != OK) {
        return false;
    }
    UNDO_SET(&changes, parts->memory, moving);
    UNDO_SET(&changes, moving, NULL);
    UNDO_SET(&changes, range.vacant, slab->next);
    give_slab(slab);
    UNDO_SET(&changes, statistics.bytes_mapped, statistics.bytes_mapped + SLAB_SIZE);
    undo_commit(&changes);
    return true;
}

/* What is moving goes back: pages to the first vacant slab, if that has none; the frames go. */
OWN_UNCHECKED static void put_moving_back(void)
{
    struct parts *parts = range.vacant ? &range.parts[number_of(slab_named(range.vacant))] : NULL;
    if (parts && !parts->pages && mapped_pages_count(moving)) {
        OWNED(frames, frames);
        mapped_pages_take_apart(&moving, &parts->pages, SLOT(frames));
    }
    mapped_pages_drop(&moving);
}

/* Gives its frames back, and keeps the pages. */
static void drop_spare(void)
{
    struct slab *slab = spares;
    struct parts *parts = &range.parts[number_of(slab)];
    UNDO_SET(&changes, spares, slab_named(slab->next));
    UNDO_SET(&changes, spare_count, spare_count - 1);
    UNDO_SET(&changes, slab->next, range.vacant);
    UNDO_SET(&changes, range.vacant, name_of(slab));
    UNDO_SET(&changes, moving, parts->memory);
    UNDO_SET(&changes, parts->memory, NULL);
    UNDO_SET(&changes, statistics.bytes_mapped, statistics.bytes_mapped - SLAB_SIZE);
    undo_commit(&changes);
    put_moving_back();
}

static inline void settle_memory(void)
{
    if (UNLIKELY(range.front || range.growth)) {
        put_front_back();
    }
    if (UNLIKELY(moving != NULL)) {
        put_moving_back();
    }
    block_table_settle(&large_blocks);
}

static uint64_t metadata_bytes(void)
{
    return block_table_bytes(&large_blocks) +
           (mapped_of(range.records) + mapped_of(range.parts_memory)) * PAGE_SIZE;
}

bool heap_is_free(uintptr_t address)
{
    (void)address;
    return false;
}

/* ---- large blocks ---- */

/* Unchecked: `moving` owns what is on its way. */
OWN_UNCHECKED static bool allocate_large(size_t bytes, void **out)
{
    if (block_table_reserve(&large_blocks) != OK ||
        mapped_pages_create(PAGE_ZONE_DATA, bytes, PAGE_WRITE, &moving) != OK) {
        return false;
    }
    size_t size = mapped_pages_count(STORED(moving)) * PAGE_SIZE;
    uintptr_t address = mapped_pages_start(STORED(moving));
    struct commit_list list;
    list.count = 0;
    struct block *block = block_table_plan_insert(&large_blocks, address, &list);
    block->bytes = size;
    commit_add(&list, &block->memory, moving);
    commit_add(&list, &moving, NULL);
    commit_add(&list, &statistics.blocks_in_use, statistics.blocks_in_use + 1);
    commit_add(&list, &statistics.bytes_in_use, statistics.bytes_in_use + size);
    commit_add(&list, &statistics.bytes_mapped, statistics.bytes_mapped + size);
    commit_add(&list, out, address);
    commit_list(&list);
    return true;
}

static bool free_large(void **slot)
{
    struct block *block = block_table_find(&large_blocks, (uintptr_t)*slot);
    if (!block) {
        return false;
    }
    struct commit_list list;
    list.count = 0;
    commit_add(&list, &statistics.blocks_in_use, statistics.blocks_in_use - 1);
    commit_add(&list, &statistics.bytes_in_use, statistics.bytes_in_use - block->bytes);
    commit_add(&list, &statistics.bytes_mapped, statistics.bytes_mapped - block->bytes);
    commit_add(&list, slot, NULL);
    block_table_plan_remove(&large_blocks, block, &list);
    commit_list(&list);
    block_table_settle(&large_blocks);
    return true;
}

/* ---- freeing ---- */

/* What is not an allocated block of a slab. */
NOINLINE static void free_other(void **slot, const void *caller)
{
    if (!*slot) {
        return;
    }
    GUARD(spinlock, guard, &lock);
    GUARD(undo, noted, &changes);
    settle_locked();
    if (!free_large(slot)) {
        statistics.bad_frees++;
        log_error("%p freed %p, which is not an allocated block", caller, *slot);
        *slot = NULL;
    }
}

NOINLINE static void free_other_by_value(void *block, const void *caller)
{
    free_other(&block, caller);
}

/* One for a magazine that is full; by value it has been claimed. */
NOINLINE static void free_slowly(void **slot, unsigned number)
{
    GUARD(spinlock, guard, &lock);
    GUARD(undo, noted, &changes);
    settle_locked();
    void *block = *slot;
    keep_block(number, slot);
    set_mark(block, 0);
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
    free_slowly(&block, number);
    preemption_release();
}

/* The link of what may be a block, or NULL. */
static inline link_t *find_link(const void *block)
{
    uint64_t offset = (uintptr_t)block - range.start;
    uint64_t place = offset >> 3 | offset << 61;
    return UNLIKELY(place >= __atomic_load_n(&range.links_size, __ATOMIC_RELAXED))
               ? NULL
               : (link_t *)(range.links + place);
}

void heap_free(void *block)
{
    link_t *link = find_link(block);
    if (UNLIKELY(!link) || UNLIKELY(!claim(link))) {
        free_other_by_value(block, __builtin_return_address(0));
        return;
    }
    unsigned number = slab_behind(link)->state.class; /* it stays while a block is allocated */
    preemption_hold();
    if (UNLIKELY(!magazine_push(magazine_of(&magazines, number), block))) {
        free_and_release(block, number);
        return;
    }
    preemption_release();
}

/* The mark goes last: until then the block is in the magazine, or this can be begun again. */
void heap_free_from(void *slot)
{
    void *block = *(void **)slot;
    link_t *link = find_link(block);
    if (UNLIKELY(!link) || UNLIKELY(*(volatile link_t *)link != ALLOCATED)) {
        free_other(slot, __builtin_return_address(0));
        return;
    }
    unsigned number = slab_behind(link)->state.class;
    preemption_hold();
    bool is_kept = magazine_push_from(magazine_of(&magazines, number), slot);
    if (LIKELY(is_kept)) {
        set_mark(block, 0);
    }
    preemption_release();
    if (UNLIKELY(!is_kept)) {
        free_slowly(slot, number);
    }
}
