/* SPDX-License-Identifier: MIT */
/*
 * One tree of page numbers for each zone. Lowest first keeps mappings together, which keeps the
 * number of page tables small. Single pages of the data zone go through the cache: those that came
 * back are handed out first, in whatever order. Code is always lowest first, so that a cell that is
 * loaded again lies where it lay and in the same order: the map of addresses then need not be
 * sorted anew.
 *
 * One lock protects the trees. Single pages of the data zone go round it (range_cache.h).
 * Operations under the lock are changes with a commit, as those of frame_allocator.
 */
#include "page_allocator.h"
#include "commit.h"
#include "descriptor_pool.h"
#include "range_cache.h"
#include "range_tree.h"
#include "spinlock.h"
#include "undo.h"

CELL(library, "2.0.0");

struct pages {
    struct range_node node; /* node.owner: the zone */
};
static_assert(sizeof(struct pages) <= DESCRIPTOR_SIZE, "a descriptor");
static_assert(offsetof(struct pages, node) == 0, "range_cache.h");
static_assert(offsetof(struct pages, node.range.count) == DESCRIPTOR_COUNT_OFFSET,
              "a fresh descriptor stands for no pages");

static struct range_cache singles[PAGE_ZONE_COUNT]; /* unused for code, see above */

static struct spinlock lock = {.name = "page_allocator"};
/* by the lock: */
static struct undo_note notes[RANGE_TREE_NOTES];
static struct undo changes = UNDO_INIT(notes);
static struct range_tree free_pages[PAGE_ZONE_COUNT];
static struct range_node
    *spare[2]; /* on their way between the pool and the trees; NULL between operations */
static struct pages *moved; /* on its way from the cache to a tree; the same */
static uint64_t bad_drops[PAGE_ZONE_COUNT];

static const struct {
    vaddr_t start;
    vaddr_t end;
} bounds[PAGE_ZONE_COUNT] = {
    [PAGE_ZONE_CODE] = {CODE_ZONE_START, CODE_ZONE_END},
    [PAGE_ZONE_DATA] = {DATA_ZONE_START, DATA_ZONE_END},
};

static uint64_t zone_pages(unsigned zone)
{
    return (bounds[zone].end - bounds[zone].start) >> PAGE_SHIFT;
}

/* ---- descriptors ---- */

static bool get_spares(void)
{
    for (unsigned i = 0; i < 2; i++) {
        if (!spare[i] && !descriptor_pool_take(&spare[i])) {
            return false;
        }
    }
    return true;
}

static void put_spares(void)
{
    for (unsigned i = 0; i < 2; i++) {
        descriptor_pool_give(&spare[i]);
    }
}

/* For the cache: a descriptor that will be a single page. */
static bool take_descriptor(void *out)
{
    if (!descriptor_pool_take(out)) {
        return false;
    }
    (*(struct pages **)out)->node.owner = PAGE_ZONE_DATA;
    return true;
}

/* ---- changes ---- */

/* Into the tree of its zone, and out of *handle. */
static void give_locked(struct pages **handle)
{
    struct pages *pages = *handle;
    unsigned zone = pages->node.owner;
    uint64_t count = pages->node.range.count;
    {
        GUARD(undo, noted, &changes);
        if (count > 0 && range_tree_give(&free_pages[zone], &pages->node, spare) != OK) {
            UNDO_SET(&changes, bad_drops[zone], bad_drops[zone] + count); /* free already: a bug */
            UNDO_SET(&changes, pages->node.range.count, 0);
            count = 0;
        }
        if (count == 0) { /* the descriptor alone is taken back */
            UNDO_SET(&changes, spare[0], &pages->node);
        }
        UNDO_SET(&changes, *handle, NULL);
        undo_commit(&changes);
    }
    put_spares();
}

/* Who came before may have been interrupted. */
static void settle_moved_locked(void)
{
    put_spares();
    if (moved) {
        give_locked(&moved);
    }
}

/* The run alone: it is the front of a free range, so that is one operation. */
static void give_run_back_locked(unsigned zone)
{
    range_cache_end_run_locked(&singles[zone]);
    if (singles[zone].node) {
        give_locked((struct pages **)&singles[zone].node);
    }
}

/* Puts the single pages back where they can join others. */
static void settle_singles_locked(unsigned zone)
{
    while (range_cache_pop(&singles[zone], &moved)) {
        give_locked(&moved);
    }
}

static void settle_locked(unsigned zone)
{
    settle_singles_locked(zone);
    give_run_back_locked(zone);
}

/* What of a zone is to be taken: as low as possible, or exactly there if `alignment` is 0. */
struct wish {
    unsigned zone;
    uint64_t start;
    uint64_t count;
    uint64_t alignment;
};

static enum status take_from_tree(const struct wish *wish, struct range_node **out_taken)
{
    struct range_tree *tree = &free_pages[wish->zone];
    return wish->alignment ? range_tree_take(tree, wish->count, wish->alignment, spare, out_taken)
                           : range_tree_take_at(tree, (struct range){wish->start, wish->count},
                                                spare, out_taken);
}

/* From a tree into *out. ERR_NO_MEMORY without descriptors, ERR_NOT_FOUND, ERR_INVALID_ARGUMENT. */
static enum status take_range_locked(const struct wish *wish, struct pages **out)
    OWN_ACQUIRES(**out);

OWN_UNCHECKED static enum status take_range_locked(const struct wish *wish, struct pages **out)
{
    OWN_DEMAND_(!*out);
    enum status status = ERR_NO_MEMORY;
    if (get_spares()) {
        GUARD(undo, noted, &changes);
        struct range_node *taken;
        status = take_from_tree(wish, &taken);
        if (status == OK) {
            taken->owner = wish->zone;
            UNDO_SET(&changes, *out, (struct pages *)taken);
            undo_commit(&changes);
        }
    }
    put_spares();
    return status;
}

enum status page_allocator_init(void)
{
    GUARD(spinlock, guard, &lock);
    for (unsigned zone = 0; zone < PAGE_ZONE_COUNT; zone++) {
        free_pages[zone] = (struct range_tree){.undo = &changes};
        singles[zone] = (struct range_cache){0};
        bad_drops[zone] = 0;
        if (!descriptor_pool_take(&moved)) {
            return ERR_NO_MEMORY;
        }
        moved->node.owner = zone;
        moved->node.range = (struct range){
            .start = bounds[zone].start >> PAGE_SHIFT,
            .count = zone_pages(zone),
        };
        give_locked(&moved);
    }
    return OK;
}

/* Takes a run, to be cut into single pages. */
OWN_UNCHECKED static bool refill_singles_locked(enum page_zone zone)
{
    struct range_cache *cache = &singles[zone];
    if (range_cache_run_left(cache)) {
        return false;
    }
    if (cache->node && cache->node->range.count == 0) {
        give_run_back_locked(zone); /* it was cut up: only its descriptor is left */
    }
    if (!cache->node) {
        uint64_t count = range_cache_run_count_locked(&free_pages[zone]);
        const struct wish wish = {zone, 0, count, 1};
        if (count == 0 || take_range_locked(&wish, (struct pages **)&cache->node) != OK) {
            return false;
        }
    }
    range_cache_begin_run_locked(cache);
    return true;
}

/* The last of a run goes to *out with the run's own descriptor. */
static bool take_last_locked(struct range_cache *cache, struct pages **out)
{
    if (range_cache_run_left(cache) != 1) {
        return false;
    }
    range_cache_end_run_locked(cache);
    commit_move(out, &cache->node);
    return true;
}

/* The last of a run, or the first of the next. */
static NOINLINE bool take_single_slowly(enum page_zone zone, struct pages **out)
{
    GUARD(spinlock, guard, &lock);
    settle_moved_locked();
    struct range_cache *cache = &singles[zone];
    for (;;) { /* again when others were quicker with the whole run */
        if (take_last_locked(cache, out)) {
            return true;
        }
        bool has_run = refill_singles_locked(zone) || range_cache_run_left(cache) > 1;
        if (range_cache_take(cache, out, take_descriptor, descriptor_pool_give) ||
            take_last_locked(cache, out)) {
            return true;
        }
        if (!has_run || descriptor_pool_available() == 0) {
            return false;
        }
    }
}

static inline enum status take_single(enum page_zone zone, struct pages **out) OWN_ACQUIRES(**out);

OWN_UNCHECKED static inline enum status take_single(enum page_zone zone, struct pages **out)
{
    OWN_DEMAND_(!*out);
    if (LIKELY(range_cache_take(&singles[zone], out, take_descriptor, descriptor_pool_give)) ||
        take_single_slowly(zone, out)) {
        return OK;
    }
    return page_allocator_statistics(zone).free > 0 ? ERR_NO_MEMORY : ERR_NO_ADDRESS_SPACE;
}

enum status page_allocator_take(enum page_zone zone, uint64_t count, uint64_t alignment,
                                struct pages **out)
{
    if (LIKELY(count == 1 && alignment == 1 && zone == PAGE_ZONE_DATA)) {
        return take_single(zone, out);
    }
    if (alignment == 0) {
        return ERR_INVALID_ARGUMENT;
    }
    GUARD(spinlock, guard, &lock);
    settle_moved_locked();
    give_run_back_locked(zone);
    const struct wish wish = {zone, 0, count, alignment};
    enum status status = take_range_locked(&wish, out);
    if (status == ERR_NOT_FOUND && range_cache_count_locked(&singles[zone]) > 0) {
        settle_locked(zone);
        status = take_range_locked(&wish, out);
    }
    return status == ERR_NOT_FOUND ? ERR_NO_ADDRESS_SPACE : status;
}

enum status page_allocator_take_at(vaddr_t start, uint64_t count, struct pages **out)
{
    if (!page_is_aligned(start)) {
        return ERR_MISALIGNED;
    }
    unsigned zone = 0;
    while (zone < PAGE_ZONE_COUNT && (start < bounds[zone].start || start >= bounds[zone].end)) {
        zone++;
    }
    if (zone == PAGE_ZONE_COUNT || count == 0 || count > (bounds[zone].end - start) >> PAGE_SHIFT) {
        return ERR_OUT_OF_BOUNDS;
    }
    GUARD(spinlock, guard, &lock);
    settle_moved_locked();
    settle_locked(zone);
    const struct wish wish = {zone, start >> PAGE_SHIFT, count, 0};
    enum status status = take_range_locked(&wish, out);
    return status == ERR_NOT_FOUND ? ERR_BUSY : status;
}

static NOINLINE void give_range(struct pages **handle)
{
    GUARD(spinlock, guard, &lock);
    settle_moved_locked();
    give_locked(handle);
}

void pages_drop(struct pages **handle)
{
    struct pages *pages = *handle;
    if (!pages) {
        return;
    }
    if (LIKELY(pages->node.range.count == 1 && pages->node.owner == PAGE_ZONE_DATA)) {
        range_cache_push(&singles[PAGE_ZONE_DATA], &pages->node, handle);
    } else {
        give_range(handle);
    }
}

vaddr_t pages_start(const struct pages *pages)
{
    return pages->node.range.start << PAGE_SHIFT;
}

uint64_t pages_count(const struct pages *pages)
{
    return pages->node.range.count;
}

enum page_zone pages_zone(const struct pages *pages)
{
    return (enum page_zone)pages->node.owner;
}

enum status pages_plan_split(struct pages *pages, uint64_t first_count, struct pages **out_rest,
                             struct commit_list *list)
{
    struct range first;
    struct range second;
    enum status status = range_split(pages->node.range, first_count, &first, &second);
    if (status != OK) {
        return status;
    }
    OWN_DEMAND_(!*out_rest);
    if (!descriptor_pool_take(out_rest)) { /* of no pages so far */
        return ERR_NO_MEMORY;
    }
    struct pages *rest = *out_rest;
    rest->node.owner = pages->node.owner;
    rest->node.range.start = second.start;
    commit_add(list, &pages->node.range.count, first.count);
    commit_add(list, &rest->node.range.count, second.count);
    return OK;
}

enum status pages_split(struct pages *pages, uint64_t first_count, struct pages **out_rest)
{
    struct commit_list list;
    list.count = 0;
    enum status status = pages_plan_split(pages, first_count, out_rest, &list);
    if (status != OK) {
        return status;
    }
    commit_list(&list);
    return OK;
}

enum status pages_plan_merge(struct pages *pages, struct pages *rest, struct commit_list *list)
{
    if (pages->node.owner != rest->node.owner) {
        return ERR_MISMATCH;
    }
    struct range joined;
    enum status status = range_join(pages->node.range, rest->node.range, &joined);
    if (status != OK) {
        return status;
    }
    commit_add(list, &pages->node.range.count, joined.count);
    commit_add(list, &rest->node.range.count, 0);
    return OK;
}

OWN_UNCHECKED enum status pages_merge(struct pages *pages, struct pages **rest)
{
    struct commit_list list;
    list.count = 0;
    enum status status = *rest ? pages_plan_merge(pages, *rest, &list) : ERR_INVALID_ARGUMENT;
    if (status != OK) {
        LEAVE(rest);
        return status;
    }
    commit_list(&list);
    descriptor_pool_give(rest);
    return OK;
}

void page_allocator_settle(void)
{
    GUARD(spinlock, guard, &lock);
    settle_moved_locked();
    for (unsigned zone = 0; zone < PAGE_ZONE_COUNT; zone++) {
        settle_singles_locked(zone);
    }
}

struct page_statistics page_allocator_statistics(enum page_zone zone)
{
    GUARD(spinlock, guard, &lock);
    settle_moved_locked();
    return (struct page_statistics){
        .total = zone_pages(zone),
        .free = free_pages[zone].total + range_cache_count_locked(&singles[zone]),
        .ranges = free_pages[zone].ranges + range_cache_ranges_locked(&singles[zone]),
        .bad_drops = bad_drops[zone],
    };
}
