/* SPDX-License-Identifier: MIT */
/*
 * Three sets of free numbers, one a kind; the reserved and device sets hold what nobody owns of the rest
 * of the address space. A descriptor is a node of range_tree with a link to the next range of the same
 * handle; its `owner` field keeps the kind and whether the frames are stale.
 *
 * The firmware's map may overlap itself and is in no order. So the whole physical address space starts
 * as device frames; what the map mentions is moved to the reserved set; what it calls usable and nobody
 * else needs is moved to RAM. Moving is taking from whatever set has it: each number is in one set only.
 *
 * One lock protects the sets. Single frames of RAM go round it (range_cache.h).
 */
#include "frame_allocator.h"
#include "boot_info.h"
#include "descriptor_pool.h"
#include "range_cache.h"
#include "range_tree.h"
#include "spinlock.h"

CELL(library, "1.1.0");

#define FIRST_MEGABYTE 0x100000ull /* firmware data, and where other CPUs start */
#define ALL_FRAMES     (PHYSICAL_LIMIT >> PAGE_SHIFT)

#define HELD_SET FRAME_KIND_COUNT /* no set: owned by the running system */

#define OWNER_KIND  0x3u
#define OWNER_STALE 0x4u

struct frames {
    struct range_node node; /* node.owner: kind and OWNER_STALE */
    struct frames *next;    /* the next range of this handle */
};
static_assert(sizeof(struct frames) <= DESCRIPTOR_SIZE, "a descriptor");
static_assert(offsetof(struct frames, node) == 0, "range_cache.h");

static struct range_cache singles; /* of RAM */
static uint64_t total_ram;         /* written at the start only */

static struct spinlock lock = {.name = "frame_allocator"};
/* by the lock: */
static struct range_tree free_frames[FRAME_KIND_COUNT];
static struct frames *held;   /* the frames of the nano_core image, in no order */
static struct frames *tables; /* one for each frame taken for a table; which is no matter */
static uint64_t bad_drops;

static struct frames *frames_of(struct range_node *node)
{
    return CONTAINER_OF(node, struct frames, node);
}

static enum frame_kind kind_of(const struct frames *frames)
{
    return (enum frame_kind)(frames->node.owner & OWNER_KIND);
}

/* ---- spare descriptors ---- */

static bool get_spares(struct range_node *spare[2])
{
    struct frames *first = descriptor_pool_get();
    struct frames *second = descriptor_pool_get();
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
            descriptor_pool_put(frames_of(nodes[i]));
        }
    }
}

static struct frames *become_handle(struct range_node *node, enum frame_kind kind)
{
    struct frames *frames = frames_of(node);
    frames->node.owner = (uint32_t)kind | (kind == FRAMES_RAM ? OWNER_STALE : 0);
    frames->next = NULL;
    return frames;
}

/* Puts one range back into the set of its kind. */
static void give_range_locked(struct frames *frames)
{
    struct range_node *unused[2];
    uint64_t count = frames->node.range.count;
    if (range_tree_give(&free_frames[kind_of(frames)], &frames->node, unused) != OK) {
        bad_drops += count; /* free already: the descriptor alone is taken back */
        descriptor_pool_put(frames);
        return;
    }
    put_nodes(unused);
}

/* The run alone: it is the front of a free range, so that is one operation. */
static void give_run_back_locked(void)
{
    struct range_node *run = range_cache_pop_run_locked(&singles);
    if (run) {
        give_range_locked(frames_of(run));
    }
}

/* Puts the single frames back where they can join others. */
static void settle_locked(void)
{
    struct range_node *node;
    while ((node = range_cache_pop(&singles))) {
        give_range_locked(frames_of(node));
    }
    give_run_back_locked();
}

/* ---- the memory map ---- */

/* Moves those frames of `wanted` that are in set `from` to set `to`, or, for HELD_SET, to the system. */
static enum status move_between(enum frame_kind from, unsigned to, struct range wanted)
{
    uint64_t at = wanted.start;
    uint64_t end = wanted.start + wanted.count; /* below PHYSICAL_LIMIT: cannot wrap */
    while (at < end) {
        const struct range_node *node = range_tree_find(&free_frames[from], at);
        if (!node) {
            node = range_tree_next(&free_frames[from], at);
        }
        if (!node || node->range.start >= end) {
            return OK;
        }
        struct range part = {.start = node->range.start > at ? node->range.start : at};
        uint64_t part_end = node->range.start + node->range.count;
        part.count = (part_end < end ? part_end : end) - part.start;

        struct range_node *spare[2];
        struct range_node *taken;
        if (!get_spares(spare)) {
            return ERR_NO_MEMORY;
        }
        enum status status = range_tree_take_at(&free_frames[from], part, spare, &taken);
        put_nodes(spare);
        if (status != OK) {
            return status;
        }
        if (to == HELD_SET) {
            struct frames *frames = become_handle(taken, from);
            frames->next = held;
            held = frames;
        } else {
            give_range_locked(become_handle(taken, (enum frame_kind)to));
        }
        at = part.start + part.count;
    }
    return OK;
}

/* The frames that `bytes` at `start` touch (outwards) or fill (inwards); count 0 if there are none. */
static struct range frames_within(paddr_t start, uint64_t bytes, bool outwards)
{
    if (bytes == 0 || start >= PHYSICAL_LIMIT) {
        return (struct range){0};
    }
    uint64_t last =
        bytes - 1 < PHYSICAL_LIMIT - 1 - start ? start + (bytes - 1) : PHYSICAL_LIMIT - 1;
    uint64_t first_frame = start >> PAGE_SHIFT;
    uint64_t end_frame = (last >> PAGE_SHIFT) + 1;
    if (!outwards) {
        first_frame += !page_is_aligned(start);
        end_frame -= (last & (PAGE_SIZE - 1)) != PAGE_SIZE - 1;
    }
    return (struct range){
        .start = first_frame,
        .count = end_frame > first_frame ? end_frame - first_frame : 0,
    };
}

/* All that the map mentions becomes reserved; then the usable parts of it become RAM. */
static enum status enter_memory(const struct boot_info *boot)
{
    for (size_t i = 0; i < boot->memory_count; i++) {
        const struct boot_memory *memory = &boot->memory[i];
        enum status status = move_between(FRAMES_DEVICE, FRAMES_RESERVED,
                                          frames_within(memory->start, memory->bytes, true));
        if (status != OK) {
            return status;
        }
    }
    for (size_t i = 0; i < boot->memory_count; i++) {
        const struct boot_memory *memory = &boot->memory[i];
        if (memory->kind != BOOT_MEMORY_USABLE) {
            continue;
        }
        enum status status = move_between(FRAMES_RESERVED, FRAMES_RAM,
                                          frames_within(memory->start, memory->bytes, false));
        if (status != OK) {
            return status;
        }
    }
    return OK;
}

static enum status reserve(paddr_t start, uint64_t bytes)
{
    return move_between(FRAMES_RAM, FRAMES_RESERVED, frames_within(start, bytes, true));
}

static enum status reserve_all(const struct boot_info *boot)
{
    enum status status = reserve(0, FIRST_MEGABYTE);
    if (status == OK) {
        status = reserve(boot->information_start, boot->information_bytes);
    }
    for (size_t i = 0; i < boot->module_count && status == OK; i++) {
        status = reserve(boot->modules[i].start, boot->modules[i].bytes);
    }
    for (size_t i = 0; i < boot->memory_count && status == OK; i++) {
        const struct boot_memory *memory = &boot->memory[i];
        if (memory->kind != BOOT_MEMORY_USABLE) {
            status = reserve(memory->start, memory->bytes);
        }
    }
    return status;
}

enum status frame_allocator_init(const struct boot_info *boot, paddr_t image_start,
                                 uint64_t image_bytes)
{
    for (unsigned i = 0; i < FRAME_KIND_COUNT; i++) {
        free_frames[i] = (struct range_tree){0};
    }
    singles = (struct range_cache){0};
    bad_drops = 0;
    held = NULL;
    tables = NULL;
    GUARD(spinlock, guard, &lock);
    struct frames *all = descriptor_pool_get();
    if (!all) {
        return ERR_NO_MEMORY;
    }
    all->node.range = (struct range){.start = 0, .count = ALL_FRAMES};
    give_range_locked(become_handle(&all->node, FRAMES_DEVICE));
    enum status status = enter_memory(boot);
    if (status == OK) {
        status = reserve_all(boot);
    }
    if (status == OK) {
        status = move_between(FRAMES_RAM, HELD_SET, frames_within(image_start, image_bytes, true));
    }
    total_ram = free_frames[FRAMES_RAM].total;
    return status == OK && total_ram == 0 ? ERR_NO_MEMORY : status;
}

/* ---- taking ---- */

/* Takes a run, to be cut into single frames. */
static bool refill_singles_locked(void)
{
    struct range_tree *tree = &free_frames[FRAMES_RAM];
    uint64_t count = range_cache_run_count_locked(tree);
    struct range_node *spare[2];
    struct range_node *taken;
    if (range_cache_run_left(&singles) || count == 0 || !get_spares(spare)) {
        return false;
    }
    enum status status = range_tree_take(tree, count, 1, spare, &taken);
    put_nodes(spare);
    if (status == OK) {
        range_cache_set_run_locked(&singles, &become_handle(taken, FRAMES_RAM)->node);
    }
    return status == OK;
}

/* The last of a run, or the first of the next. */
static NOINLINE struct range_node *take_single_slowly(void)
{
    GUARD(spinlock, guard, &lock);
    for (;;) { /* again when others were quicker with the whole run */
        struct range_node *node = range_cache_pop_last_locked(&singles);
        if (!node) {
            bool has_run = refill_singles_locked() || range_cache_run_left(&singles) > 1;
            node = range_cache_take(&singles, descriptor_pool_get, descriptor_pool_put);
            node = node ? node : range_cache_pop_last_locked(&singles);
            if (!node && has_run && descriptor_pool_available() > 0) {
                continue;
            }
        }
        return node;
    }
}

static enum status take_single(struct frames **out) OWN_ACQUIRES(**out);

static enum status take_single(struct frames **out)
{
    struct range_node *node = range_cache_take(&singles, descriptor_pool_get, descriptor_pool_put);
    if (UNLIKELY(!node)) {
        node = take_single_slowly();
        if (!node) {
            return ERR_NO_MEMORY;
        }
    }
    FILL(out, become_handle(node, FRAMES_RAM));
    return OK;
}

static enum status take_locked(uint64_t count, uint64_t alignment, struct frames **out)
    OWN_ACQUIRES(**out);

static enum status take_locked(uint64_t count, uint64_t alignment, struct frames **out)
{
    struct range_node *spare[2];
    struct range_node *taken;
    if (!get_spares(spare)) {
        return ERR_NO_MEMORY;
    }
    give_run_back_locked();
    struct range_tree *tree = &free_frames[FRAMES_RAM];
    enum status status = range_tree_take(tree, count, alignment, spare, &taken);
    if (status == ERR_NOT_FOUND && range_cache_count(&singles) > 0) {
        settle_locked();
        status = range_tree_take(tree, count, alignment, spare, &taken);
    }
    put_nodes(spare);
    if (status != OK) {
        return status == ERR_NOT_FOUND ? ERR_NO_MEMORY : status;
    }
    FILL(out, become_handle(taken, FRAMES_RAM));
    return OK;
}

enum status frame_allocator_take(uint64_t count, uint64_t alignment, struct frames **out)
{
    if (LIKELY(count == 1 && alignment == 1)) {
        return take_single(out);
    }
    GUARD(spinlock, guard, &lock);
    return take_locked(count, alignment, out);
}

static enum status take_top_locked(uint64_t count, struct frames **out) OWN_ACQUIRES(**out);

static enum status take_top_locked(uint64_t count, struct frames **out)
{
    struct range_node *spare[2];
    struct range_node *taken;
    if (!get_spares(spare)) {
        return ERR_NO_MEMORY;
    }
    struct range_tree *tree = &free_frames[FRAMES_RAM];
    enum status status = range_tree_take_top(tree, count, spare, &taken);
    if (status == ERR_NOT_FOUND && range_cache_count(&singles) > 0) {
        settle_locked();
        status = range_tree_take_top(tree, count, spare, &taken);
    }
    put_nodes(spare);
    if (status != OK) {
        return status == ERR_NOT_FOUND ? ERR_NO_MEMORY : status;
    }
    FILL(out, become_handle(taken, FRAMES_RAM));
    return OK;
}

enum status frame_allocator_take_top(uint64_t count, struct frames **out)
{
    GUARD(spinlock, guard, &lock);
    return take_top_locked(count, out);
}

/* The handle ends here: what is kept of it is its descriptor. */
enum status frame_allocator_take_table(paddr_t *out_frame)
{
    GUARD(spinlock, guard, &lock);
    struct frames *frames = NULL;
    enum status status = take_top_locked(1, &frames);
    if (status != OK) {
        return status;
    }
    *out_frame = frames_start(frames);
    frames->next = tables;
    tables = frames;
    EMPTY(&frames);
    return OK;
}

void frame_allocator_give_table(paddr_t frame)
{
    GUARD(spinlock, guard, &lock);
    struct frames *frames = tables;
    if (!frames) {
        bad_drops++;
        return;
    }
    tables = frames->next;
    frames->next = NULL;
    frames->node.range = (struct range){.start = frame >> PAGE_SHIFT, .count = 1};
    give_range_locked(frames);
}

/* Unchecked: the handle is filled by its end. */
OWN_UNCHECKED enum status frame_allocator_take_any(uint64_t count, struct frames **out)
{
    struct range_tree *tree = &free_frames[FRAMES_RAM];
    if (count == 0) {
        return ERR_INVALID_ARGUMENT;
    }
    OWNED(frames, all);
    GUARD(spinlock, guard, &lock); /* let go before `all` is, which takes it to give back */
    give_run_back_locked();
    if (count > tree->total) {
        settle_locked();
    }
    if (count > tree->total) {
        return ERR_NO_MEMORY;
    }
    struct frames **end = SLOT(all);
    while (count > 0) {
        uint64_t longest = tree->root->largest; /* not empty: `count` are left in it */
        uint64_t part = count < longest ? count : longest;
        enum status status = take_locked(part, 1, end);
        if (status != OK) {
            return status;
        }
        end = &(*end)->next;
        count -= part;
    }
    MOVE(*out, all);
    return OK;
}

/* Takes exactly these from the set that has them, and says which that is. */
static enum status take_wanted(struct range wanted, struct range_node *spare[2],
                               struct range_node **out_taken, enum frame_kind *out_kind)
{
    for (unsigned kind = 0; kind < FRAME_KIND_COUNT; kind++) {
        enum status status = range_tree_take_at(&free_frames[kind], wanted, spare, out_taken);
        if (status != ERR_NOT_FOUND) {
            *out_kind = (enum frame_kind)kind;
            return status;
        }
    }
    return ERR_NOT_FOUND;
}

enum status frame_allocator_take_at(paddr_t start, uint64_t count, struct frames **out)
{
    struct range wanted = {.start = start >> PAGE_SHIFT, .count = count};
    if (!page_is_aligned(start)) {
        return ERR_MISALIGNED;
    }
    if (count == 0 || wanted.start >= ALL_FRAMES || count > ALL_FRAMES - wanted.start) {
        return ERR_OUT_OF_BOUNDS;
    }
    GUARD(spinlock, guard, &lock);
    struct range_node *spare[2];
    if (!get_spares(spare)) {
        return ERR_NO_MEMORY;
    }
    struct range_node *taken;
    enum frame_kind kind;
    enum status status = take_wanted(wanted, spare, &taken, &kind);
    if (status == ERR_NOT_FOUND && range_cache_count(&singles) > 0) {
        settle_locked();
        status = take_wanted(wanted, spare, &taken, &kind);
    }
    put_nodes(spare);
    if (status != OK) {
        return status == ERR_NOT_FOUND ? ERR_BUSY : status;
    }
    FILL(out, become_handle(taken, kind));
    return OK;
}

static NOINLINE void give_range(struct frames *frames)
{
    GUARD(spinlock, guard, &lock);
    give_range_locked(frames);
}

/* Range by range: at every step the handle owns exactly what was not given back yet. */
void frames_drop(struct frames **handle)
{
    while (*handle) {
        struct frames *first = *handle;
        *handle = first->next;
        COMPILER_BARRIER();
        if (kind_of(first) != FRAMES_RAM || !range_cache_push(&singles, &first->node)) {
            give_range(first);
        }
    }
}

/* ---- what owners do ---- */

uint64_t frames_count(const struct frames *frames)
{
    uint64_t count = 0;
    for (; frames; frames = frames->next) {
        count += frames->node.range.count;
    }
    return count;
}

enum frame_kind frames_kind(const struct frames *frames)
{
    return kind_of(frames);
}

paddr_t frames_start(const struct frames *frames)
{
    return frames->node.range.start << PAGE_SHIFT;
}

bool frames_next_range(const struct frames *frames, const struct frames **cursor,
                       paddr_t *out_start, uint64_t *out_count)
{
    const struct frames *at = *cursor ? (*cursor)->next : frames;
    if (!at) {
        return false;
    }
    *cursor = at;
    *out_start = at->node.range.start << PAGE_SHIFT;
    *out_count = at->node.range.count;
    return true;
}

bool frames_are_stale(const struct frames *frames)
{
    for (; frames; frames = frames->next) {
        if (frames->node.owner & OWNER_STALE) {
            return true;
        }
    }
    return false;
}

bool frames_range_is_stale(const struct frames *cursor)
{
    return (cursor->node.owner & OWNER_STALE) != 0;
}

void frames_set_clean(struct frames *frames)
{
    for (; frames; frames = frames->next) {
        frames->node.owner &= ~OWNER_STALE;
    }
}

enum status frames_split(struct frames *frames, uint64_t first_count, struct frames **out_rest)
{
    struct frames *at = frames;
    uint64_t before = first_count;
    while (at && before > at->node.range.count) {
        before -= at->node.range.count;
        at = at->next;
    }
    if (!at || before == 0 || (before == at->node.range.count && !at->next)) {
        return ERR_OUT_OF_BOUNDS;
    }
    if (before == at->node.range.count) { /* between two ranges */
        struct frames *rest = at->next;
        at->next = NULL;
        FILL(out_rest, rest);
        return OK;
    }
    struct frames *rest = descriptor_pool_get();
    if (!rest) {
        return ERR_NO_MEMORY;
    }
    rest->node.owner = at->node.owner;
    rest->next = at->next;
    enum status status = range_split(at->node.range, before, &at->node.range, &rest->node.range);
    if (status != OK) {
        descriptor_pool_put(rest);
        return status;
    }
    at->next = NULL;
    FILL(out_rest, rest);
    return OK;
}

enum status frames_merge(struct frames *frames, struct frames **rest)
{
    struct frames *last = frames;
    struct frames *added = *rest;
    if (!added) {
        LEAVE(rest);
        return ERR_INVALID_ARGUMENT;
    }
    if (kind_of(frames) != kind_of(added)) {
        LEAVE(rest);
        return ERR_MISMATCH;
    }
    while (last->next) {
        last = last->next;
    }
    EMPTY(rest);
    last->next = added;
    bool is_alike = last->node.owner == added->node.owner;
    if (is_alike && range_join(last->node.range, added->node.range, &last->node.range) == OK) {
        last->next = added->next;
        descriptor_pool_put(added);
    }
    return OK;
}

void frame_allocator_settle(void)
{
    GUARD(spinlock, guard, &lock);
    struct range_node *node;
    while ((node = range_cache_pop(&singles))) {
        give_range_locked(frames_of(node));
    }
}

struct frame_statistics frame_allocator_statistics(void)
{
    GUARD(spinlock, guard, &lock);
    return (struct frame_statistics){
        .total = total_ram,
        .free = free_frames[FRAMES_RAM].total + range_cache_count(&singles),
        .ranges = free_frames[FRAMES_RAM].ranges + range_cache_ranges(&singles),
        .bad_drops = bad_drops,
    };
}
