/* SPDX-License-Identifier: MIT */
/*
 * One tree of page numbers for each zone. Lowest first keeps mappings together, which keeps the
 * number of page tables small. Single pages of the data zone go through the cache: those that came
 * back are handed out first, in whatever order. Code is always lowest first, so that a cell that is
 * loaded again lies where it lay and in the same order: the map of addresses then need not be sorted
 * anew.
 *
 * One lock protects the trees. Single pages of the data zone go round it (range_cache.h).
 */
#include "page_allocator.h"
#include "descriptor_pool.h"
#include "range_cache.h"
#include "range_tree.h"
#include "spinlock.h"

CELL(library, "1.1.0");

struct pages {
    struct range_node node; /* node.owner: the zone */
};
static_assert(sizeof(struct pages) <= DESCRIPTOR_SIZE, "a descriptor");
static_assert(offsetof(struct pages, node) == 0, "range_cache.h");

static struct range_cache singles[PAGE_ZONE_COUNT]; /* unused for code, see above */

static struct spinlock lock = {.name = "page_allocator"};
/* by the lock: */
static struct range_tree free_pages[PAGE_ZONE_COUNT];
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

static struct pages *pages_of(struct range_node *node)
{
    return CONTAINER_OF(node, struct pages, node);
}

static bool get_spares(struct range_node *spare[2])
{
    struct pages *first = descriptor_pool_get();
    struct pages *second = descriptor_pool_get();
    if (!first || !second) {
        descriptor_pool_put(first);
        descriptor_pool_put(second);
        return false;
    }
    spare[0] = &first->node;
    spare[1] = &second->node;
    return true;
}

static void put_nodes(struct range_node *nodes[2])
{
    for (unsigned i = 0; i < 2; i++) {
        if (nodes[i]) {
            descriptor_pool_put(pages_of(nodes[i]));
        }
    }
}

static void give_range_locked(struct pages *pages)
{
    struct range_node *unused[2];
    unsigned zone = pages->node.owner;
    uint64_t count = pages->node.range.count;
    if (range_tree_give(&free_pages[zone], &pages->node, unused) != OK) {
        bad_drops[zone] += count;
        descriptor_pool_put(pages);
        return;
    }
    put_nodes(unused);
}

/* The run alone: it is the front of a free range, so that is one operation. */
static void give_run_back_locked(unsigned zone)
{
    struct range_node *run = range_cache_pop_run_locked(&singles[zone]);
    if (run) {
        give_range_locked(pages_of(run));
    }
}

/* Puts the single pages back where they can join others. */
static void settle_locked(unsigned zone)
{
    struct range_node *node;
    while ((node = range_cache_pop(&singles[zone]))) {
        give_range_locked(pages_of(node));
    }
    give_run_back_locked(zone);
}

enum status page_allocator_init(void)
{
    GUARD(spinlock, guard, &lock);
    for (unsigned zone = 0; zone < PAGE_ZONE_COUNT; zone++) {
        struct pages *all = descriptor_pool_get();
        if (!all) {
            return ERR_NO_MEMORY;
        }
        free_pages[zone] = (struct range_tree){0};
        singles[zone] = (struct range_cache){0};
        bad_drops[zone] = 0;
        all->node.owner = zone;
        all->node.range = (struct range){
            .start = bounds[zone].start >> PAGE_SHIFT,
            .count = zone_pages(zone),
        };
        give_range_locked(all);
    }
    return OK;
}

static struct pages *become_handle(struct range_node *node, unsigned zone)
{
    node->owner = zone;
    return pages_of(node);
}

/* Takes a run, to be cut into single pages. */
static bool refill_singles_locked(enum page_zone zone)
{
    uint64_t count = range_cache_run_count_locked(&free_pages[zone]);
    struct range_node *spare[2];
    struct range_node *taken;
    if (range_cache_run_left(&singles[zone]) || count == 0 || !get_spares(spare)) {
        return false;
    }
    enum status status = range_tree_take(&free_pages[zone], count, 1, spare, &taken);
    put_nodes(spare);
    if (status == OK) {
        range_cache_set_run_locked(&singles[zone], &become_handle(taken, zone)->node);
    }
    return status == OK;
}

/* The last of a run, or the first of the next. */
static NOINLINE struct range_node *take_single_slowly(enum page_zone zone)
{
    GUARD(spinlock, guard, &lock);
    struct range_cache *cache = &singles[zone];
    for (;;) { /* again when others were quicker with the whole run */
        struct range_node *node = range_cache_pop_last_locked(cache);
        if (!node) {
            bool has_run = refill_singles_locked(zone) || range_cache_run_left(cache) > 1;
            node = range_cache_take(cache, descriptor_pool_get, descriptor_pool_put);
            node = node ? node : range_cache_pop_last_locked(cache);
            if (!node && has_run && descriptor_pool_available() > 0) {
                continue;
            }
        }
        return node;
    }
}

static enum status take_single(enum page_zone zone, struct pages **out) OWN_ACQUIRES(**out);

static enum status take_single(enum page_zone zone, struct pages **out)
{
    struct range_node *node =
        range_cache_take(&singles[zone], descriptor_pool_get, descriptor_pool_put);
    if (UNLIKELY(!node)) {
        node = take_single_slowly(zone);
        if (!node) {
            return page_allocator_statistics(zone).free > 0 ? ERR_NO_MEMORY : ERR_NO_ADDRESS_SPACE;
        }
    }
    FILL(out, become_handle(node, zone));
    return OK;
}

enum status page_allocator_take(enum page_zone zone, uint64_t count, uint64_t alignment,
                                struct pages **out)
{
    if (LIKELY(count == 1 && alignment == 1 && zone == PAGE_ZONE_DATA)) {
        return take_single(zone, out);
    }
    GUARD(spinlock, guard, &lock);
    struct range_node *spare[2];
    struct range_node *taken;
    if (!get_spares(spare)) {
        return ERR_NO_MEMORY;
    }
    give_run_back_locked(zone);
    enum status status = range_tree_take(&free_pages[zone], count, alignment, spare, &taken);
    if (status == ERR_NOT_FOUND && range_cache_count(&singles[zone]) > 0) {
        settle_locked(zone);
        status = range_tree_take(&free_pages[zone], count, alignment, spare, &taken);
    }
    put_nodes(spare);
    if (status != OK) {
        return status == ERR_NOT_FOUND ? ERR_NO_ADDRESS_SPACE : status;
    }
    FILL(out, become_handle(taken, zone));
    return OK;
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
    struct range_node *spare[2];
    struct range_node *taken;
    if (!get_spares(spare)) {
        return ERR_NO_MEMORY;
    }
    settle_locked(zone);
    struct range wanted = {.start = start >> PAGE_SHIFT, .count = count};
    enum status status = range_tree_take_at(&free_pages[zone], wanted, spare, &taken);
    put_nodes(spare);
    if (status != OK) {
        return status == ERR_NOT_FOUND ? ERR_BUSY : status;
    }
    FILL(out, become_handle(taken, zone));
    return OK;
}

static NOINLINE void give_range(struct pages *pages)
{
    GUARD(spinlock, guard, &lock);
    give_range_locked(pages);
}

void pages_drop(struct pages **handle)
{
    struct pages *pages = *handle;
    if (pages) {
        *handle = NULL;
        COMPILER_BARRIER();
        bool is_kept = pages->node.owner == PAGE_ZONE_DATA &&
                       range_cache_push(&singles[PAGE_ZONE_DATA], &pages->node);
        if (!is_kept) {
            give_range(pages);
        }
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

enum status pages_split(struct pages *pages, uint64_t first_count, struct pages **out_rest)
{
    struct pages *rest = descriptor_pool_get();
    if (!rest) {
        return ERR_NO_MEMORY;
    }
    enum status status =
        range_split(pages->node.range, first_count, &pages->node.range, &rest->node.range);
    if (status != OK) {
        descriptor_pool_put(rest);
        return status;
    }
    rest->node.owner = pages->node.owner;
    FILL(out_rest, rest);
    return OK;
}

enum status pages_merge(struct pages *pages, struct pages **rest)
{
    struct pages *added = *rest;
    if (!added) {
        LEAVE(rest);
        return ERR_INVALID_ARGUMENT;
    }
    if (pages->node.owner != added->node.owner) {
        LEAVE(rest);
        return ERR_MISMATCH;
    }
    struct range joined;
    enum status status = range_join(pages->node.range, added->node.range, &joined);
    if (status != OK) {
        LEAVE(rest);
        return status;
    }
    EMPTY(rest);
    pages->node.range = joined;
    descriptor_pool_put(added);
    return OK;
}

void page_allocator_settle(void)
{
    GUARD(spinlock, guard, &lock);
    for (unsigned zone = 0; zone < PAGE_ZONE_COUNT; zone++) {
        struct range_node *node;
        while ((node = range_cache_pop(&singles[zone]))) {
            give_range_locked(pages_of(node));
        }
    }
}

struct page_statistics page_allocator_statistics(enum page_zone zone)
{
    GUARD(spinlock, guard, &lock);
    return (struct page_statistics){
        .total = zone_pages(zone),
        .free = free_pages[zone].total + range_cache_count(&singles[zone]),
        .ranges = free_pages[zone].ranges + range_cache_ranges(&singles[zone]),
        .bad_drops = bad_drops[zone],
    };
}
