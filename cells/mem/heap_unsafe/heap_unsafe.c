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
 *
 * Under the lock everything is done in changes with a commit (undo.h), after each of which the records are
 * whole; mappings are made and dropped between two, and `moving` owns them then. What is in free blocks
 * is not noted.
 */
#include "freestanding.h"
#include "heap.h"
#include "heap_slabs.h"
#include "mapped_pages.h"
#include "spinlock.h"

CELL(library, "3.0.0");

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
static uint64_t spare_count;
static struct heap_statistics statistics; /* what is not summed up from the slabs */
static struct mapped_pages *moving; /* on its way to or from a slab; NULL between operations */
static struct undo_note notes[HEAP_NOTES];
static struct undo changes = UNDO_INIT(notes);

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

static uint64_t moving_bytes(void)
{
    return mapped_pages_count(STORED(moving)) * PAGE_SIZE;
}

/* Maps memory for a slab, with the record that it begins with; NULL: there is none. */
static struct slab *map_slab(size_t bytes)
{
    return map_aligned(bytes, &moving) == OK ? (struct slab *)mapped_pages_start(STORED(moving))
                                             : NULL;
}

/* It is one. */
static void add_slab(struct slab *slab, struct commit_list *list)
{
    commit_add(list, &slab->memory, moving);
    commit_add(list, &moving, NULL);
    commit_add(list, &statistics.bytes_mapped, statistics.bytes_mapped + moving_bytes());
}

/* And is none any more: its memory is moving, and the record goes with it. */
static void remove_slab(struct slab *slab, struct commit_list *list)
{
    uint64_t bytes = mapped_pages_count(STORED(slab->memory)) * PAGE_SIZE;
    commit_add(list, &moving, slab->memory);
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
    slab->free = NULL; /* of a spare this means nothing */
    slab->countdown = 0;
    slab->class = (uint16_t)number;
    slab->is_full = false;
    slab->is_pinned = false;
    slab->capacity = heap_class_capacity(number);
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
    uint32_t end = slab->carved + CARVE_COUNT;
    end = end < slab->capacity ? end : slab->capacity;
    size_t size = heap_class_sizes[slab->class];
    void *first = slab->free;
    for (uint32_t i = end; i-- > slab->carved;) {
        void **block = (void **)((char *)slab + SLAB_FIRST + i * size);
        *block = first;
        first = block;
    }
    bool any = end > slab->carved;
    UNDO_SET(&changes, slab->free, first);
    UNDO_SET(&changes, slab->carved, end);
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
        UNDO_SET(&changes, slab->countdown, (slab->capacity - 1 + slab->is_pinned));
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
    struct commit_list list;
    list.count = 0;
    add_slab(slab, &list);
    commit_add(&list, &statistics.blocks_in_use, statistics.blocks_in_use + 1);
    commit_add(&list, &statistics.bytes_in_use,
               statistics.bytes_in_use + moving_bytes() - SLAB_FIRST);
    commit_add(&list, out, (char *)slab + SLAB_FIRST);
    commit_list(&list);
    return true;
}

static void free_large(void **slot)
{
    struct slab *slab = slab_of(*slot);
    struct commit_list list;
    list.count = 0;
    commit_add(&list, &statistics.blocks_in_use, statistics.blocks_in_use - 1);
    commit_add(&list, &statistics.bytes_in_use, statistics.bytes_in_use - size_of_large(slab));
    commit_add(&list, slot, NULL);
    remove_slab(slab, &list);
    commit_list(&list);
    mapped_pages_drop(&moving);
}

/* One from a magazine. The change is noted. */
static void give_block(void *block)
{
    struct slab *slab = slab_of(block);
    *(void **)block = slab->free;
    UNDO_SET(&changes, slab->free, block);
    UNDO_SET(&changes, slab->countdown, slab->countdown - 1);
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
    void *first = slab->free;
    void *block = *(void **)first;
    void *blocks[MAGAZINE_HALF];
    unsigned count = 0;
    for (; count < MAGAZINE_HALF && block; block = *(void **)block) {
        blocks[count++] = block;
    }
    for (unsigned i = 0; i < count; i++) { /* it was empty, or its blocks have been given back */
        magazine->blocks[magazine->count + i] = blocks[count - 1 - i];
    }
    UNDO_SET(&changes, slab->free, block);
    UNDO_SET(&changes, slab->countdown, slab->countdown + 1 + count);
    UNDO_SET(&changes, magazine->count, magazine->count + count);
    UNDO_SET(&changes, classes[number].allocations, classes[number].allocations + 1);
    UNDO_SET(&changes, *out, first);
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
    return LIKELY(!preemption_release_quietly()) ? block : magazine_switch(block);
}

void *heap_allocate_zeroed(size_t bytes)
{
    void *block = heap_allocate(bytes);
    return block ? memset(block, 0, bytes) : NULL;
}

bool heap_allocate_to(size_t bytes, void *out)
{
    OWN_DEMAND_(!*(void **)out);
    if (LIKELY(bytes <= HEAP_SMALL_MAX)) {
        preemption_hold();
        struct magazine *magazine =
            magazine_of(&magazines, heap_class_of[(bytes + GRANULE - 1) / GRANULE]);
        if (LIKELY(magazine->count > 0)) {
            magazine_pop_to(magazine, out);
            preemption_release();
            return true;
        }
        preemption_release();
    }
    return allocate_slowly(bytes, out);
}

/* ---- freeing ---- */

/* A large block, or one for a magazine that is full. */
NOINLINE static void free_slowly(void **slot)
{
    GUARD(spinlock, guard, &lock);
    GUARD(undo, noted, &changes);
    settle_locked();
    unsigned number = slab_of(*slot)->class;
    if (number == HEAP_CLASS_LARGE) {
        free_large(slot);
        return;
    }
    struct magazine *magazine = magazine_of(&magazines, number);
    if (magazine->count == MAGAZINE_SIZE) {
        empty_magazine(magazine, MAGAZINE_HALF);
    }
    (void)magazine_push_from(magazine, slot);
}

NOINLINE static void free_by_value(void *block)
{
    free_slowly(&block);
}

/* What the fast path ends in, with its hold. */
NOINLINE static void free_and_release(void *block)
{
    free_slowly(&block);
    preemption_release();
}

void heap_free(void *block)
{
    if (!block) {
        return;
    }
    unsigned number = slab_of(block)->class; /* it stays while a block is allocated */
    if (UNLIKELY(number == HEAP_CLASS_LARGE)) {
        free_by_value(block);
        return;
    }
    preemption_hold();
    if (UNLIKELY(!magazine_push(magazine_of(&magazines, number), block))) {
        free_and_release(block);
        return;
    }
    preemption_release();
}

void heap_free_from(void *slot)
{
    void *block = *(void **)slot;
    if (!block) {
        return;
    }
    unsigned number = slab_of(block)->class;
    if (LIKELY(number != HEAP_CLASS_LARGE)) {
        preemption_hold();
        bool is_kept = magazine_push_from(magazine_of(&magazines, number), slot);
        preemption_release();
        if (LIKELY(is_kept)) {
            return;
        }
    }
    free_slowly(slot);
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

bool heap_is_free(uintptr_t address)
{
    (void)address;
    return false;
}

uint64_t heap_check(void)
{
    return 0;
}
