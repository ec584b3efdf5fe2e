/* SPDX-License-Identifier: MIT */
/*
 * Three sets of free numbers, one a kind; the reserved and device sets hold what nobody owns of the
 * rest of the address space. A descriptor is a node of range_tree with a link to the next range of
 * the same handle; its `owner` field keeps the kind and whether the frames are stale.
 *
 * The firmware's map may overlap itself and is in no order. So the whole physical address space
 * starts as device frames; what the map mentions is moved to the reserved set; what it calls usable
 * and nobody else needs is moved to RAM. Moving is taking from whatever set has it: each number is
 * in one set only.
 *
 * One lock protects the sets. Single frames of RAM go round it (range_cache.h).
 *
 * Every operation under the lock is one change (undo.h) that ends in a commit: the set and the
 * variable of the owner change together. What a change needs or leaves over, and what is moved in
 * two changes, is in `spare`, `moved` and the cache's node: variables by the lock, looked at by
 * whoever comes next.
 */
#include "frame_allocator.h"
#include "boot_info.h"
#include "commit.h"
#include "descriptor_pool.h"
#include "range_cache.h"
#include "range_tree.h"
#include "spinlock.h"
#include "undo.h"

CELL(library, "2.0.0");

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
static_assert(offsetof(struct frames, node.range.count) == DESCRIPTOR_COUNT_OFFSET,
              "a fresh descriptor stands for no frames");

static struct range_cache singles; /* of RAM */
static uint64_t total_ram;         /* written at the start, and as the image is given back */

static struct spinlock lock = {.name = "frame_allocator"};
/* by the lock: */
static struct undo_note notes[RANGE_TREE_NOTES];
static struct undo changes = UNDO_INIT(notes);
static struct range_tree free_frames[FRAME_KIND_COUNT];
static struct range_node
    *spare[2]; /* on their way between the pool and the trees; NULL between operations */
static struct frames *moved;  /* on its way between the sets, or from the cache to one; the same */
static struct frames *held;   /* the frames of the nano_core image, in no order */
static struct frames *tables; /* one for each frame taken for a table; which is no matter */
static uint64_t bad_drops;

static enum frame_kind kind_of(const struct frames *frames)
{
    return (enum frame_kind)(frames->node.owner & OWNER_KIND);
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

/* Before it is handed out. */
static void become_handle(struct frames *frames, enum frame_kind kind)
{
    frames->node.owner = (uint32_t)kind | (kind == FRAMES_RAM ? OWNER_STALE : 0);
    frames->next = NULL;
}

/* For the cache: a descriptor that will be a single frame. */
static bool take_descriptor(void *out)
{
    if (!descriptor_pool_take(out)) {
        return false;
    }
    become_handle(*(struct frames **)out, FRAMES_RAM);
    return true;
}

/* ---- changes ---- */

/* The first range of *handle goes back into the set of its kind, and out of the handle. */
static void give_first_locked(struct frames **handle)
{
    struct frames *frames = *handle;
    uint64_t count = frames->node.range.count;
    struct frames *next = count > 0 ? frames->next : NULL; /* means nothing where there are none */
    {
        GUARD(undo, noted, &changes);
        if (count > 0 &&
            range_tree_give(&free_frames[kind_of(frames)], &frames->node, spare) != OK) {
            UNDO_SET(&changes, bad_drops, bad_drops + count); /* free already: a bug */
            UNDO_SET(&changes, frames->node.range.count, 0);
            count = 0;
        }
        if (count == 0) { /* the descriptor alone is taken back */
            UNDO_SET(&changes, spare[0], &frames->node);
        }
        UNDO_SET(&changes, *handle, next);
        undo_commit(&changes);
    }
    put_spares();
}

/* Who came before may have been interrupted. */
static void settle_moved_locked(void)
{
    put_spares();
    while (moved) {
        give_first_locked(&moved);
    }
}

/* The run alone: it is the front of a free range, so that is one operation. */
static void give_run_back_locked(void)
{
    range_cache_end_run_locked(&singles);
    if (singles.node) {
        give_first_locked((struct frames **)&singles.node);
    }
}

/* Puts the single frames back where they can join others. */
static void settle_singles_locked(void)
{
    while (range_cache_pop(&singles, &moved)) {
        give_first_locked(&moved);
    }
}

static void settle_locked(void)
{
    settle_singles_locked();
    give_run_back_locked();
}

/* What of a set is to be taken: where `count` fit, at the top, or exactly there. */
struct wish {
    enum frame_kind kind;
    enum { LOWEST, TOP, EXACTLY } where;
    uint64_t start;
    uint64_t count;
    uint64_t alignment;
};

static enum status take_from_tree(const struct wish *wish, struct range_node **out_taken)
{
    struct range_tree *tree = &free_frames[wish->kind];
    switch (wish->where) {
    case LOWEST:
        return range_tree_take(tree, wish->count, wish->alignment, spare, out_taken);
    case TOP:
        return range_tree_take_top(tree, wish->count, spare, out_taken);
    default:
        return range_tree_take_at(tree, (struct range){wish->start, wish->count}, spare, out_taken);
    }
}

/* From a set into *out. ERR_NO_MEMORY without descriptors, ERR_NOT_FOUND, ERR_INVALID_ARGUMENT. */
static enum status take_range_locked(const struct wish *wish, struct frames **out)
    OWN_ACQUIRES(**out);

OWN_UNCHECKED static enum status take_range_locked(const struct wish *wish, struct frames **out)
{
    OWN_DEMAND_(!*out);
    enum status status = ERR_NO_MEMORY;
    if (get_spares()) {
        GUARD(undo, noted, &changes);
        struct range_node *taken;
        status = take_from_tree(wish, &taken);
        if (status == OK) {
            become_handle((struct frames *)taken, wish->kind);
            UNDO_SET(&changes, *out, (struct frames *)taken);
            undo_commit(&changes);
        }
    }
    put_spares();
    return status;
}

/* ---- the memory map ---- */

/* Moves those frames of `wanted` that are in set `from` to set `to`, or, for HELD_SET, to the
 * system. */
OWN_UNCHECKED static enum status move_between(enum frame_kind from, unsigned to,
                                              struct range wanted)
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

        const struct wish wish = {from, EXACTLY, part.start, part.count, 1};
        enum status status = take_range_locked(&wish, &moved);
        if (status != OK) {
            return status;
        }
        if (to == HELD_SET) {
            commit_three(&moved->next, held, &held, moved, &moved, NULL);
        } else {
            become_handle(moved, (enum frame_kind)to);
            give_first_locked(&moved);
        }
        at = part.start + part.count;
    }
    return OK;
}

/*
 * The frames that `bytes` at `start` touch (outwards) or fill (inwards); count 0 if there are none.
 */
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
        free_frames[i] = (struct range_tree){.undo = &changes};
    }
    singles = (struct range_cache){0};
    bad_drops = 0;
    held = NULL;
    tables = NULL;
    GUARD(spinlock, guard, &lock);
    if (!descriptor_pool_take(&moved)) {
        return ERR_NO_MEMORY;
    }
    become_handle(moved, FRAMES_DEVICE);
    moved->node.range = (struct range){.start = 0, .count = ALL_FRAMES};
    give_first_locked(&moved);
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

/* The range of the image that holds these frames, or NULL. */
static struct frames *find_held(struct range wanted)
{
    struct frames *at = held;
    while (at && (wanted.start < at->node.range.start ||
                  wanted.start + wanted.count > at->node.range.start + at->node.range.count)) {
        at = at->next;
    }
    return at;
}

/* A range of the image is cut in three; the first part keeps the descriptor, however long it is. */
enum status frame_allocator_give_image(paddr_t start, uint64_t count)
{
    GUARD(spinlock, guard, &lock);
    settle_moved_locked();
    struct range wanted = {.start = start >> PAGE_SHIFT, .count = count};
    struct frames *whole = find_held(wanted);
    if (!page_is_aligned(start) || count == 0 || !whole) {
        return ERR_NOT_FOUND;
    }
    if (!descriptor_pool_take(&moved) || !descriptor_pool_take(&spare[0])) {
        settle_moved_locked();
        return ERR_NO_MEMORY;
    }
    struct frames *rest = (struct frames *)spare[0];
    uint64_t first = wanted.start - whole->node.range.start;
    become_handle(rest, FRAMES_RAM);
    become_handle(moved, FRAMES_RAM);
    const struct commit_store stores[] = {
        {&rest->node.range.start, wanted.start + count},
        {&rest->node.range.count, whole->node.range.count - first - count},
        {&rest->next, (uintptr_t)held},
        {&held, (uintptr_t)rest},
        {&spare[0], 0},
        {&whole->node.range.count, first},
        {&moved->node.range.start, wanted.start},
        {&moved->node.range.count, count},
        {&total_ram, total_ram + count},
    };
    commit_all(stores, ARRAY_COUNT(stores));
    give_first_locked(&moved);
    return OK;
}

/* ---- taking ---- */

/* Takes a run, to be cut into single frames. */
OWN_UNCHECKED static bool refill_singles_locked(void)
{
    if (range_cache_run_left(&singles)) {
        return false;
    }
    if (singles.node && singles.node->range.count == 0) {
        give_run_back_locked(); /* it was cut up: only its descriptor is left */
    }
    if (!singles.node) {
        uint64_t count = range_cache_run_count_locked(&free_frames[FRAMES_RAM]);
        const struct wish wish = {FRAMES_RAM, LOWEST, 0, count, 1};
        if (count == 0 || take_range_locked(&wish, (struct frames **)&singles.node) != OK) {
            return false;
        }
    }
    range_cache_begin_run_locked(&singles);
    return true;
}

/* The last of a run goes to *out with the run's own descriptor. */
static bool take_last_locked(struct frames **out)
{
    if (range_cache_run_left(&singles) != 1) {
        return false;
    }
    range_cache_end_run_locked(&singles);
    commit_move(out, &singles.node);
    return true;
}

/* The last of a run, or the first of the next. */
static NOINLINE bool take_single_slowly(struct frames **out)
{
    GUARD(spinlock, guard, &lock);
    settle_moved_locked();
    for (;;) { /* again when others were quicker with the whole run */
        if (take_last_locked(out)) {
            return true;
        }
        bool has_run = refill_singles_locked() || range_cache_run_left(&singles) > 1;
        if (range_cache_take(&singles, out, take_descriptor, descriptor_pool_give) ||
            take_last_locked(out)) {
            return true;
        }
        if (!has_run || descriptor_pool_available() == 0) {
            return false;
        }
    }
}

static inline enum status take_single(struct frames **out) OWN_ACQUIRES(**out);

OWN_UNCHECKED static inline enum status take_single(struct frames **out)
{
    OWN_DEMAND_(!*out);
    bool is_taken =
        LIKELY(range_cache_take(&singles, out, take_descriptor, descriptor_pool_give)) ||
        take_single_slowly(out);
    return is_taken ? OK : ERR_NO_MEMORY;
}

static enum status take_locked(const struct wish *wish, struct frames **out) OWN_ACQUIRES(**out);

/* Where it is not found, what is in the cache may be what is missing. */
static enum status take_locked(const struct wish *wish, struct frames **out)
{
    enum status status = take_range_locked(wish, out);
    if (status == ERR_NOT_FOUND && range_cache_count_locked(&singles) > 0) {
        settle_locked();
        status = take_range_locked(wish, out);
    }
    return status;
}

static enum status no_memory_if_not_found(enum status status)
{
    return status == ERR_NOT_FOUND ? ERR_NO_MEMORY : status;
}

enum status frame_allocator_take(uint64_t count, uint64_t alignment, struct frames **out)
{
    if (LIKELY(count == 1 && alignment == 1)) {
        return take_single(out);
    }
    GUARD(spinlock, guard, &lock);
    settle_moved_locked();
    give_run_back_locked();
    const struct wish wish = {FRAMES_RAM, LOWEST, 0, count, alignment};
    enum status status = take_locked(&wish, out);
    return no_memory_if_not_found(status);
}

enum status frame_allocator_take_top(uint64_t count, struct frames **out)
{
    GUARD(spinlock, guard, &lock);
    settle_moved_locked();
    const struct wish wish = {FRAMES_RAM, TOP, 0, count, 1};
    enum status status = take_locked(&wish, out);
    return no_memory_if_not_found(status);
}

/* The handle ends here: what is kept of it is its descriptor. */
OWN_UNCHECKED enum status frame_allocator_take_table(paddr_t *out_frame)
{
    GUARD(spinlock, guard, &lock);
    settle_moved_locked();
    const struct wish wish = {FRAMES_RAM, TOP, 0, 1, 1};
    enum status status = take_locked(&wish, &moved);
    if (status != OK) {
        return no_memory_if_not_found(status);
    }
    const struct commit_store stores[] = {
        {out_frame, moved->node.range.start << PAGE_SHIFT},
        {&moved->next, (uintptr_t)tables},
        {&tables, (uintptr_t)moved},
        {&moved, 0},
    };
    commit_all(stores, ARRAY_COUNT(stores));
    return OK;
}

void frame_allocator_give_table(paddr_t *frame)
{
    GUARD(spinlock, guard, &lock);
    settle_moved_locked();
    struct frames *frames = tables;
    if (!frames) {
        bad_drops++;
        *frame = 0;
        return;
    }
    frames->node.range = (struct range){.start = *frame >> PAGE_SHIFT, .count = 1};
    const struct commit_store stores[] = {
        {&tables, (uintptr_t)frames->next},
        {&frames->next, 0},
        {&moved, (uintptr_t)frames},
        {frame, 0},
    };
    commit_all(stores, ARRAY_COUNT(stores));
    give_first_locked(&moved);
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
    settle_moved_locked();
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
        const struct wish wish = {FRAMES_RAM, LOWEST, 0, part, 1};
        enum status status = take_locked(&wish, end);
        if (status != OK) {
            return no_memory_if_not_found(status);
        }
        end = &(*end)->next;
        count -= part;
    }
    MOVE(*out, all);
    return OK;
}

/* Takes exactly these from the set that has them. */
static enum status take_wanted(struct range wanted, struct frames **out) OWN_ACQUIRES(**out);

OWN_UNCHECKED static enum status take_wanted(struct range wanted, struct frames **out)
{
    enum status status = ERR_NOT_FOUND;
    for (unsigned kind = 0; kind < FRAME_KIND_COUNT && status == ERR_NOT_FOUND; kind++) {
        const struct wish wish = {(enum frame_kind)kind, EXACTLY, wanted.start, wanted.count, 1};
        status = take_range_locked(&wish, out);
    }
    return status;
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
    settle_moved_locked();
    enum status status = take_wanted(wanted, out);
    if (status == ERR_NOT_FOUND && range_cache_count_locked(&singles) > 0) {
        settle_locked();
        status = take_wanted(wanted, out);
    }
    return status == ERR_NOT_FOUND ? ERR_BUSY : status;
}

static NOINLINE void give_ranges(struct frames **handle)
{
    GUARD(spinlock, guard, &lock);
    settle_moved_locked();
    while (*handle) {
        give_first_locked(handle);
    }
}

/* Range by range: at every step the handle owns exactly what was not given back yet. */
void frames_drop(struct frames **handle)
{
    struct frames *frames = *handle;
    if (!frames) {
        return;
    }
    if (LIKELY(frames->node.range.count == 1 && kind_of(frames) == FRAMES_RAM && !frames->next)) {
        frames->node.owner = FRAMES_RAM | OWNER_STALE;
        range_cache_push(&singles, &frames->node, handle);
        return;
    }
    give_ranges(handle);
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

bool frames_single_range(const struct frames *frames, paddr_t *out_start, bool *out_is_stale)
{
    if (frames->next) {
        return false;
    }
    *out_start = frames->node.range.start << PAGE_SHIFT;
    *out_is_stale = (frames->node.owner & OWNER_STALE) != 0;
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

OWN_UNCHECKED enum status frames_plan_split(struct frames *frames, uint64_t first_count,
                                            struct frames **out_rest, struct commit_list *list)
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
    OWN_DEMAND_(!*out_rest);
    if (before == at->node.range.count) { /* between two ranges */
        commit_add(list, out_rest, at->next);
        commit_add(list, &at->next, NULL);
        return OK;
    }
    struct range first;
    struct range second;
    enum status status = range_split(at->node.range, before, &first, &second);
    if (status != OK) {
        return status;
    }
    if (!descriptor_pool_take(out_rest)) { /* of no frames so far */
        return ERR_NO_MEMORY;
    }
    struct frames *rest = *out_rest;
    rest->node.owner = at->node.owner;
    rest->next = at->next;
    rest->node.range.start = second.start;
    commit_add(list, &at->node.range.count, first.count);
    commit_add(list, &at->next, NULL);
    commit_add(list, &rest->node.range.count, second.count);
    return OK;
}

OWN_UNCHECKED enum status frames_split(struct frames *frames, uint64_t first_count,
                                       struct frames **out_rest)
{
    struct commit_list list;
    list.count = 0;
    enum status status = frames_plan_split(frames, first_count, out_rest, &list);
    if (status == OK) {
        commit_list(&list);
    }
    return status;
}

OWN_UNCHECKED enum status frames_plan_merge(struct frames *frames, struct frames **rest,
                                            struct commit_list *list)
{
    struct frames *last = frames;
    struct frames *added = *rest;
    if (kind_of(frames) != kind_of(added)) {
        return ERR_MISMATCH;
    }
    while (last->next) {
        last = last->next;
    }
    bool is_alike = last->node.owner == added->node.owner;
    struct range joined;
    if (is_alike && range_join(last->node.range, added->node.range, &joined) == OK) {
        commit_add(list, &last->node.range.count, joined.count);
        commit_add(list, &last->next, added->next);
        commit_add(list, &added->node.range.count, 0);
    } else {
        commit_add(list, &last->next, added);
        commit_add(list, rest, NULL);
    }
    return OK;
}

OWN_UNCHECKED enum status frames_merge(struct frames *frames, struct frames **rest)
{
    struct commit_list list;
    list.count = 0;
    enum status status = *rest ? frames_plan_merge(frames, rest, &list) : ERR_INVALID_ARGUMENT;
    if (status != OK) {
        LEAVE(rest);
        return status;
    }
    commit_list(&list);
    descriptor_pool_give(rest); /* where it has been joined */
    return OK;
}

void frame_allocator_settle(void)
{
    GUARD(spinlock, guard, &lock);
    settle_moved_locked();
    settle_singles_locked();
}

struct frame_statistics frame_allocator_statistics(void)
{
    GUARD(spinlock, guard, &lock);
    settle_moved_locked();
    return (struct frame_statistics){
        .total = total_ram,
        .free = free_frames[FRAMES_RAM].total + range_cache_count_locked(&singles),
        .ranges = free_frames[FRAMES_RAM].ranges + range_cache_ranges_locked(&singles),
        .bad_drops = bad_drops,
    };
}
