/* SPDX-License-Identifier: MIT */
/*
 * A slab heap whose records are out of reach: each slab has one outside, which owns the slab's
 * mapping and lists its free blocks. The slab itself begins with a raw pointer to the record, found
 * by rounding a block's address down, and believed.
 *
 * The list of free blocks is an array of 16-bit links, one for each granule of the slab. A link is
 * the number of the granule where the next free block starts, doubled: its place in the array; 0 is
 * the end. Where an allocated block starts the high byte of the link is ALLOCATED, which is more than
 * that of any other link; in a magazine it is less; the others are stale. So writing to a freed block changes nothing here, and
 * freeing twice, or from a multiple of 8 inside of a block, is seen: such a multiple, where it is none
 * of 16, leads to the low byte of a link, which is even.
 *
 * Under the lock everything is done in changes with a commit (undo.h), after each of which the records are
 * whole; mappings are made and dropped between two, and `moving` owns them then. The links of blocks
 * that are not free are not noted: they mean nothing, but for their marks.
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

CELL(library, "3.0.0");

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
static uint64_t spare_count;
static struct heap_statistics statistics; /* what is not summed up from the slabs */
static struct mapped_pages *moving; /* on its way to or from a slab; NULL between operations */
static struct undo_note notes[HEAP_NOTES];
static struct undo changes = UNDO_INIT(notes);

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

static uint64_t moving_bytes(void)
{
    return mapped_pages_count(STORED(moving)) * PAGE_SIZE;
}

/* Unchecked, as what follows: fields that the lock protects own what is on its way. */
OWN_UNCHECKED static bool make_records(void)
{
    if (mapped_pages_create(PAGE_ZONE_DATA, CHUNK_SIZE, PAGE_WRITE, &moving) != OK) {
        return false;
    }
    struct slab *chunk = (struct slab *)mapped_pages_start(STORED(moving));
    for (unsigned i = 1; i < CHUNK_RECORDS; i++) {
        chunk[i].next = i + 1 < CHUNK_RECORDS ? &chunk[i + 1] : records;
    }
    /* The chunk owns itself: its first record, which is never used, holds its mapping. */
    chunk->memory = moving;
    COMPILER_BARRIER();
    commit_three(&records, &chunk[1], &statistics.bytes_metadata,
                 statistics.bytes_metadata + CHUNK_SIZE, &moving, NULL);
    chunk->next = chunks;
    COMPILER_BARRIER();
    chunks =
        chunk; /* heap_is_free() follows the list at any time; one that is missing is no matter */
    return true;
}

/* Maps memory for a slab, and prepares the record that it will have; NULL: there is none. */
OWN_UNCHECKED static struct slab *map_slab(size_t bytes)
{
    if ((!records && !make_records()) || map_aligned(bytes, &moving) != OK) {
        return NULL;
    }
    struct slab *slab = records;
    struct front *front = (struct front *)mapped_pages_start(STORED(moving));
    front->slab = slab;
    slab->free = 0;
    slab->start = (uintptr_t)front;
    return slab;
}

/* The prepared slab is one. */
static void add_slab(struct slab *slab, struct commit_list *list)
{
    commit_add(list, &records, slab->next);
    commit_add(list, &slab->memory, moving);
    commit_add(list, &moving, NULL);
    commit_add(list, &statistics.bytes_mapped, statistics.bytes_mapped + moving_bytes());
}

/* And is none any more: its memory is moving. */
static void remove_slab(struct slab *slab, struct commit_list *list)
{
    uint64_t bytes = mapped_pages_count(STORED(slab->memory)) * PAGE_SIZE;
    commit_add(list, &slab->next, records);
    commit_add(list, &records, slab);
    commit_add(list, &moving, slab->memory);
    commit_add(list, &slab->memory, NULL);
    commit_add(list, &statistics.bytes_mapped, statistics.bytes_mapped - bytes);
}

static bool make_spare(void)
{
    struct slab *slab = map_slab(SLAB_SIZE);
    if (!slab) {
        return false;
    }
    struct commit_list list;
    list.count = 0;
    add_slab(slab, &list);
    commit_add(&list, &slab->next, spares);
    commit_add(&list, &spares, slab);
    commit_add(&list, &spare_count, spare_count + 1);
    commit_list(&list);
    return true;
}

/* Gives memory back that was kept for too many slabs. */
static void trim_spares(void)
{
    while (UNLIKELY(spare_count > SPARE_SLABS_MAX)) {
        struct slab *slab = spares;
        struct commit_list list;
        list.count = 0;
        commit_add(&list, &spares, slab->next);
        commit_add(&list, &spare_count, spare_count - 1);
        remove_slab(slab, &list);
        commit_list(&list);
        mapped_pages_drop(&moving);
    }
}

/* Who had the lock before may have been interrupted. */
static inline void settle_locked(void)
{
    if (UNLIKELY(moving != NULL)) {
        mapped_pages_drop(&moving);
    }
    trim_spares();
}

/* ---- lists; changes are noted ---- */

static void list_append(struct size_class *class, struct slab *slab)
{
    UNDO_SET(&changes, slab->next, &nothing);
    UNDO_SET(&changes, slab->previous, class->last);
    if (class->last == &nothing) {
        UNDO_SET(&changes, class->first, slab);
    } else {
        UNDO_SET(&changes, class->last->next, slab);
    }
    UNDO_SET(&changes, class->last, slab);
}

static void list_remove(struct size_class *class, struct slab *slab)
{
    if (slab->previous == &nothing) {
        UNDO_SET(&changes, class->first, slab->next);
    } else {
        UNDO_SET(&changes, slab->previous->next, slab->next);
    }
    if (slab->next == &nothing) {
        UNDO_SET(&changes, class->last, slab->previous);
    } else {
        UNDO_SET(&changes, slab->next->previous, slab->previous);
    }
}

/* ---- slabs; changes are noted ---- */

/* The first spare slab is one of this class. */
static void use_spare(unsigned number)
{
    struct slab *slab = spares;
    UNDO_SET(&changes, spares, slab->next);
    UNDO_SET(&changes, spare_count, spare_count - 1);
    slab->free = 0; /* of a spare this means nothing */
    slab->countdown = 0;
    slab->class = (uint16_t)number;
    slab->is_full = false;
    slab->is_pinned = false;
    slab->capacity = (uint16_t)heap_class_capacity(number);
    slab->carved = 0;
    list_append(&classes[number], slab);
}

static void give_slab(struct slab *slab)
{
    UNDO_SET(&changes, slab->next, spares);
    UNDO_SET(&changes, spares, slab);
    UNDO_SET(&changes, spare_count, spare_count + 1);
}

/* Puts the next few blocks into the list, the lowest first. False when there are none left. */
static bool carve(struct slab *slab)
{
    unsigned end = slab->carved + CARVE_COUNT;
    end = end < slab->capacity ? end : slab->capacity;
    unsigned step = heap_class_sizes[slab->class] / 8;
    uint16_t first = slab->free;
    for (unsigned i = end; i-- > slab->carved;) {
        unsigned place = SLAB_FIRST / 8 + i * step;
        *link_at(slab, place) = first;
        first = (uint16_t)place;
    }
    bool any = end > slab->carved;
    UNDO_SET(&changes, slab->free, first);
    UNDO_SET(&changes, slab->carved, (uint16_t)end);
    return any;
}

/* Makes the first slab one that has a free block. Each step is a change of its own. */
static bool refill(unsigned number)
{
    struct size_class *class = &classes[number];
    for (;;) {
        struct slab *slab = class->first;
        if (slab == &nothing) {
            if (!spares && !make_spare()) {
                return false;
            }
            use_spare(number);
            undo_commit(&changes);
            continue;
        }
        if (slab->free) {
            return true;
        }
        if (!carve(slab)) {
            list_remove(class, slab);
            UNDO_SET(&changes, slab->is_full, true);
            UNDO_SET(&changes, slab->countdown, 1);
            UNDO_SET(&changes, class->full_count, class->full_count + 1);
        }
        undo_commit(&changes);
    }
}

/* The countdown is at 0. */
NOINLINE static void leave(struct slab *slab)
{
    struct size_class *class = &classes[slab->class];
    if (slab->is_full) {
        UNDO_SET(&changes, slab->is_full, false);
        UNDO_SET(&changes, slab->countdown, (uint16_t)(slab->capacity - 1 + slab->is_pinned));
        UNDO_SET(&changes, class->full_count, class->full_count - 1);
        list_append(class, slab);
    }
    if (slab->countdown > 0) {
        return;
    }
    if (!class->has_pinned) {
        UNDO_SET(&changes, class->has_pinned, true);
        UNDO_SET(&changes, slab->is_pinned, true);
        UNDO_SET(&changes, slab->countdown, 1);
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

static inline void set_mark(void *block, uint8_t mark)
{
    __atomic_store_n(mark_of(front_of(block)->slab, block), mark, __ATOMIC_RELEASE);
}

/* False for what is not an allocated block of this kind. From here on nobody else frees it. */
static inline bool claim(struct slab *slab, void *block, uint8_t kind)
{
    uint8_t expected = kind;
    return __atomic_compare_exchange_n(mark_of(slab, block), &expected, 0, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

static uint64_t size_of_large(struct slab *slab)
{
    return mapped_pages_count(STORED(slab->memory)) * PAGE_SIZE - SLAB_FIRST;
}

static bool allocate_large(size_t bytes, void **out)
{
    struct slab *slab = bytes > SIZE_MAX - SLAB_FIRST ? NULL : map_slab(bytes + SLAB_FIRST);
    if (!slab) {
        return false;
    }
    slab->class = HEAP_CLASS_LARGE;
    slab->links[SLAB_FIRST / 8 + 1] = ALLOCATED_LARGE;
    struct commit_list list;
    list.count = 0;
    add_slab(slab, &list);
    commit_add(&list, &statistics.blocks_in_use, statistics.blocks_in_use + 1);
    commit_add(&list, &statistics.bytes_in_use,
               statistics.bytes_in_use + moving_bytes() - SLAB_FIRST);
    commit_add(&list, out, slab->start + SLAB_FIRST);
    commit_list(&list);
    return true;
}

/* It has been claimed, or nobody else frees it. */
static void free_large(void **slot)
{
    struct slab *slab = front_of(*slot)->slab;
    struct commit_list list;
    list.count = 0;
    commit_add(&list, &statistics.blocks_in_use, statistics.blocks_in_use - 1);
    commit_add(&list, &statistics.bytes_in_use, statistics.bytes_in_use - size_of_large(slab));
    commit_add(&list, slot, NULL);
    remove_slab(slab, &list);
    commit_list(&list);
    mapped_pages_drop(&moving);
}

/* One that has been claimed, or is in a magazine. The change is noted. */
static void give_block(void *block)
{
    struct front *front = front_of(block);
    struct slab *slab = front->slab;
    uintptr_t place = ((uintptr_t)block - (uintptr_t)front) / 8;
    *link_at(slab, place) = slab->free;
    UNDO_SET(&changes, slab->free, (uint16_t)place);
    UNDO_SET(&changes, slab->countdown, (uint16_t)(slab->countdown - 1));
    if (slab->countdown == 0) {
        leave(slab);
    }
}

/*
 * Takes a block and, if it has more at hand, some for this CPU's magazine, the lowest on top. No
 * slab is mapped for these.
 */
static bool take_several(unsigned number, void **out)
{
    struct magazine *magazine = magazine_of(&magazines, number);
    if (!refill(number)) {
        return false;
    }
    struct slab *slab = classes[number].first;
    uintptr_t first = slab->free;
    uintptr_t place = *link_at(slab, first);
    uintptr_t blocks[MAGAZINE_HALF];
    unsigned count = 0;
    for (; count < MAGAZINE_HALF && place; place = *link_at(slab, place)) {
        blocks[count++] = slab->start + 8 * place;
    }
    for (unsigned i = 0; i < count; i++) { /* it was empty, or its blocks have been given back */
        magazine->blocks[magazine->count + i] = (void *)blocks[count - 1 - i];
    }
    UNDO_SET(&changes, *link_at(slab, first), (link_t)(ALLOCATED << 8));
    UNDO_SET(&changes, slab->free, (uint16_t)place);
    UNDO_SET(&changes, slab->countdown, (uint16_t)(slab->countdown + 1 + count));
    UNDO_SET(&changes, magazine->count, magazine->count + count);
    UNDO_SET(&changes, classes[number].allocations, classes[number].allocations + 1);
    UNDO_SET(&changes, *out, (void *)(slab->start + 8 * first));
    undo_commit(&changes);
    return true;
}

/* Gives the older half of a magazine back, or all of it. */
static void empty_magazine(struct magazine *magazine, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        give_block(magazine->blocks[i]);
    }
    magazine_forget(magazine, count, &changes);
    undo_commit(&changes);
    trim_spares();
}

static void empty_magazines_of_this_cpu(void)
{
    for (unsigned i = 0; i < HEAP_CLASS_COUNT; i++) {
        struct magazine *magazine = magazine_of(&magazines, i);
        empty_magazine(magazine, magazine->count);
    }
}

/* ---- allocating ---- */

static bool allocate_locked(size_t bytes, void **out)
{
    return bytes > HEAP_SMALL_MAX
               ? allocate_large(bytes, out)
               : take_several(heap_class_of[(bytes + GRANULE - 1) / GRANULE], out);
}

/* Into *out, which is left as it is where there is no memory. */
NOINLINE static bool allocate_slowly(size_t bytes, void **out)
{
    GUARD(spinlock, guard, &lock);
    GUARD(undo, noted, &changes);
    settle_locked();
    bool is_done = allocate_locked(bytes, out);
    if (UNLIKELY(!is_done)) {
        empty_magazines_of_this_cpu();
        is_done = allocate_locked(bytes, out);
    }
    if (!is_done || bytes > HEAP_SMALL_MAX) {
        statistics.allocations++;
        statistics.failures += !is_done;
    }
    return is_done;
}

/* What the fast path ends in, with its hold. */
NOINLINE static void *allocate_and_release(size_t bytes)
{
    void *block = NULL;
    (void)!allocate_slowly(bytes, &block);
    preemption_release();
    return block;
}

NOINLINE static void *allocate_by_value(size_t bytes)
{
    void *block = NULL;
    return allocate_slowly(bytes, &block) ? block : NULL;
}

void *heap_allocate(size_t bytes)
{
    if (UNLIKELY(bytes > HEAP_SMALL_MAX)) {
        return allocate_by_value(bytes);
    }
    unsigned number = heap_class_of[(bytes + GRANULE - 1) / GRANULE];
    preemption_hold();
    void *block = magazine_pop(magazine_of(&magazines, number));
    if (UNLIKELY(!block)) {
        return allocate_and_release(bytes);
    }
    set_mark(block, ALLOCATED);
    return LIKELY(!preemption_release_quietly()) ? block : magazine_switch(block);
}

void *heap_allocate_zeroed(size_t bytes)
{
    void *block = heap_allocate(bytes);
    return block ? memset(block, 0, bytes) : NULL;
}

/* What goes to the owner is marked before it leaves the magazine. */
bool heap_allocate_to(size_t bytes, void *out)
{
    OWN_DEMAND_(!*(void **)out);
    if (LIKELY(bytes <= HEAP_SMALL_MAX)) {
        preemption_hold();
        struct magazine *magazine =
            magazine_of(&magazines, heap_class_of[(bytes + GRANULE - 1) / GRANULE]);
        void *block = magazine_top(magazine);
        if (LIKELY(block != NULL)) {
            set_mark(block, ALLOCATED);
            magazine_pop_to(magazine, out);
            preemption_release();
            return true;
        }
        preemption_release();
    }
    return allocate_slowly(bytes, out);
}

/* ---- freeing ---- */

/* What is not an allocated block of a slab. */
NOINLINE static void free_other(void *block, const void *caller)
{
    if (!block) {
        return;
    }
    GUARD(spinlock, guard, &lock);
    settle_locked();
    if (claim(front_of(block)->slab, block, ALLOCATED_LARGE)) {
        void *large = block;
        free_large(&large);
        return;
    }
    statistics.bad_frees++;
    log_error("%p freed %p, which is not an allocated block", caller, block);
}

/* One for a magazine that is full. It has been claimed. */
NOINLINE static void free_slowly(void *block)
{
    GUARD(spinlock, guard, &lock);
    GUARD(undo, noted, &changes);
    settle_locked();
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

/* A large block, one for a magazine that is full, or none at all. */
NOINLINE static void drop_slowly(void **slot, const void *caller)
{
    void *block = *slot;
    GUARD(spinlock, guard, &lock);
    GUARD(undo, noted, &changes);
    settle_locked();
    struct slab *slab = front_of(block)->slab;
    uint8_t mark = *mark_of(slab, block);
    if (mark == ALLOCATED_LARGE) {
        free_large(slot);
    } else if (mark == ALLOCATED) {
        struct magazine *magazine = magazine_of(&magazines, slab->class);
        if (magazine->count == MAGAZINE_SIZE) {
            empty_magazine(magazine, MAGAZINE_HALF);
        }
        (void)magazine_push_from(magazine, slot);
        set_mark(block, 0);
    } else {
        statistics.bad_frees++;
        log_error("%p freed %p, which is not an allocated block", caller, block);
        *slot = NULL;
    }
}

/* The mark goes last: until then the block is in the magazine, or the drop can be begun again. */
void heap_free_from(void *slot)
{
    void *block = *(void **)slot;
    if (!block) {
        return;
    }
    struct slab *slab = front_of(block)->slab;
    if (LIKELY(*mark_of(slab, block) == ALLOCATED)) {
        preemption_hold();
        bool is_kept = magazine_push_from(magazine_of(&magazines, slab->class), slot);
        if (LIKELY(is_kept)) {
            set_mark(block, 0);
        }
        preemption_release();
        if (LIKELY(is_kept)) {
            return;
        }
    }
    drop_slowly(slot, __builtin_return_address(0));
}

/* ---- statistics ---- */

struct heap_statistics heap_statistics(void)
{
    GUARD(spinlock, guard, &lock);
    GUARD(undo, noted, &changes);
    settle_locked();
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
