/* SPDX-License-Identifier: MIT */
/*
 * A mapping is a descriptor that keeps the pages and frames it was made of. Start, size and flags
 * are copied into it, so that access needs nothing else.
 *
 * The functions below are what the contracts stand for, so most are not checked against them.
 *
 * A mapping owns its pages and frames before the page tables are changed, and until after: it is in
 * its owner's variable from the first step on, as something that can be dropped. `bytes` is 0 as
 * long as it is a descriptor only, `start` as long as nothing may be mapped. Where a drop is
 * interrupted, what is left of the mapping says what is still to do: unmapping twice does no harm
 * while the pages are owned, and after that they are not there any more. Splits and merges happen
 * in one moment (commit.h).
 *
 * The descriptor pool is refilled here, before anything is begun, with a page that is mapped by
 * hand: the reserve of the pool is what that needs. `donation` owns that page until the pool does.
 */
#include "mapped_pages.h"
#include "mapped_pages_priv.h"
#include "commit.h"
#include "descriptor_pool.h"
#include "freestanding.h"
#include "page_table.h"
#include "spinlock.h"

CELL(library, "3.0.0");

/* Pages of one entry of level 2: runs that long are aligned to it, where there is room. */
#define LARGE_PAGES 512u

struct mapped_pages {
    vaddr_t start; /* 0: nothing is mapped */
    uint64_t flags;
    uint64_t bytes; /* 0: what follows means nothing */
    struct pages *pages;
    struct frames *frames;
};
static_assert(offsetof(struct mapped_pages, bytes) == DESCRIPTOR_COUNT_OFFSET,
              "a fresh descriptor maps nothing");
static_assert(sizeof(struct mapped_pages) <= DESCRIPTOR_SIZE, "a descriptor");

static struct spinlock lock = {.name = "mapped_pages"};
/* By the lock: what was donated to the descriptor pool belongs to it for ever. */
static struct mapped_pages *donated;
static uint64_t donated_count;
static uint64_t
    apart_count; /* pages of these that have no mapping any more, with a descriptor each */
static struct mapped_pages *donation; /* on its way there; NULL between operations */

/* ---- frames ---- */

/* Unmaps the first `count` pages; where nothing is cut in two that needs no memory. */
static void unmap(vaddr_t start, uint64_t count)
{
    if (count > 0) {
        (void)!page_table_unmap(start, count);
    }
}

static enum status check_flags(unsigned flags)
{
    if (flags & ~(unsigned)PAGE_FLAGS_ALL) {
        return ERR_INVALID_ARGUMENT;
    }
    return (flags & PAGE_WRITE) && (flags & PAGE_EXECUTE) ? ERR_PERMISSION : OK;
}

/* ---- descriptors ---- */

/* A mapping of nothing so far in *out, which can be dropped; for `count` pages. */
static inline bool begin_mapping(uint64_t count, unsigned flags, struct mapped_pages **out)
{
    OWN_DEMAND_(!*out);
    if (UNLIKELY(!descriptor_pool_take(out))) {
        return false;
    }
    struct mapped_pages *mapped = *out;
    mapped->start = 0;
    mapped->flags = flags;
    mapped->pages = NULL;
    mapped->frames = NULL;
    COMPILER_BARRIER();
    mapped->bytes = count << PAGE_SHIFT;
    COMPILER_BARRIER();
    return true;
}

/* Maps one page by hand, with as little as possible. */
OWN_UNCHECKED static enum status map_donation(void)
{
    if (!begin_mapping(1, PAGE_WRITE, &donation)) {
        return ERR_NO_MEMORY;
    }
    enum status status = frame_allocator_take_top(1, &donation->frames);
    if (status == OK) {
        status = page_allocator_take(PAGE_ZONE_DATA, 1, 1, &donation->pages);
    }
    if (status == OK) {
        donation->start = pages_start(STORED(donation->pages));
        COMPILER_BARRIER();
        status =
            page_table_map(donation->start, frames_start(STORED(donation->frames)), 1, PAGE_WRITE);
    }
    return status;
}

/*
 * What was donated before goes to the new one: frames come from the top, so it precedes them, and
 * it is short. It is the pool's then. False: it does not fit.
 */
OWN_UNCHECKED static bool take_over(struct mapped_pages *former, struct mapped_pages *latter,
                                    struct commit_list *list)
{
    if (frames_plan_merge(latter->frames, &former->frames, list) != OK) {
        return false;
    }
    if (pages_plan_merge(former->pages, latter->pages, list) == OK) {
        commit_add(list, &former->pages, latter->pages); /* of no pages then */
        commit_add(list, &latter->pages, former->pages);
    } else { /* those before stay taken; nobody asks for them again */
        commit_add(list, &former->pages, NULL);
        commit_add(list, &apart_count, apart_count + 1);
    }
    commit_add(list, &former->start, 0);
    return true;
}

static void keep_donation(void)
{
    struct commit_list list;
    list.count = 0;
    if (donated && !take_over(donated, donation, &list)) {
        mapped_pages_drop(&donation);
        return;
    }
    void *memory = memory_at(donation->start);
    struct mapped_pages *former = donated;
    commit_add(&list, &donated, donation);
    commit_add(&list, &donation, former);
    commit_add(&list, &donated_count, donated_count + 1);
    descriptor_pool_offer(memory, PAGE_SIZE, &list);
    commit_list(&list);
    mapped_pages_drop(&donation); /* what it has left are descriptors */
    descriptor_pool_accept();
}

static NOINLINE void refill_descriptors_slowly(void)
{
    frame_allocator_settle();
    page_allocator_settle();
    if (descriptor_pool_available() >= DESCRIPTOR_RESERVE) {
        return;
    }
    GUARD(spinlock, guard, &lock);
    mapped_pages_drop(&donation); /* of who was interrupted here */
    descriptor_pool_accept();
    if (descriptor_pool_available() >= DESCRIPTOR_RESERVE) {
        return;
    }
    if (map_donation() == OK) {
        keep_donation();
    } else {
        mapped_pages_drop(&donation);
    }
}

/* Adds a page to the pool if it runs low. That it cannot be is no error yet. */
static inline void refill_descriptors(void)
{
    if (UNLIKELY(descriptor_pool_available() < DESCRIPTOR_RESERVE)) {
        refill_descriptors_slowly();
    }
}

/* Clears `count` pages, which are mapped to be written, and gives them the access that was asked
 * for. */
static inline enum status clear(vaddr_t start, uint64_t count, unsigned flags)
{
    for (uint64_t i = 0; i < count; i++) {
        memset(memory_at(start + (i << PAGE_SHIFT)), 0, PAGE_SIZE);
    }
    return flags == PAGE_WRITE ? OK : page_table_protect(start, count, flags);
}

/* ---- mapping ---- */

/*
 * Maps one range of frames, and clears it if it is stale. What it has mapped where it fails, it
 * unmaps.
 */
static inline enum status map_range(vaddr_t at, paddr_t frame, uint64_t count, bool is_stale,
                                    unsigned flags)
{
    enum status status = page_table_map(at, frame, count, is_stale ? PAGE_WRITE : flags);
    if (is_stale && LIKELY(status == OK)) {
        status = clear(at, count, flags);
        if (UNLIKELY(status != OK)) {
            unmap(at, count);
        }
    }
    return status;
}

/* Maps each range of the frames. */
static NOINLINE enum status map_ranges(vaddr_t start, struct frames *frames, unsigned flags)
    OWN_BORROWS(*frames);
static NOINLINE enum status map_ranges(vaddr_t start, struct frames *frames, unsigned flags)
{
    const struct frames *range = NULL;
    paddr_t frame;
    uint64_t count;
    vaddr_t at = start;
    while (frames_next_range(frames, &range, &frame, &count)) {
        enum status status = map_range(at, frame, count, frames_range_is_stale(range), flags);
        if (status != OK) {
            unmap(start, (at - start) >> PAGE_SHIFT);
            return status;
        }
        at += count << PAGE_SHIFT;
    }
    frames_set_clean(frames);
    return OK;
}

/* `count` frames. */
static inline enum status map_at(vaddr_t start, struct frames *frames, uint64_t count,
                                 unsigned flags) OWN_BORROWS(*frames);
static inline enum status map_at(vaddr_t start, struct frames *frames, uint64_t count,
                                 unsigned flags)
{
    paddr_t frame;
    bool is_stale;
    if (UNLIKELY(!frames_single_range(frames, &frame, &is_stale))) {
        return map_ranges(start, frames, flags);
    }
    enum status status = map_range(start, frame, count, is_stale, flags);
    if (is_stale && LIKELY(status == OK)) {
        frames_set_clean(frames);
    }
    return status;
}

/* What *mapped owns, `count` pages and frames, is mapped where its pages are. */
OWN_UNCHECKED static inline enum status map_own(struct mapped_pages *mapped, uint64_t count,
                                                unsigned flags)
{
    vaddr_t start = pages_start(mapped->pages);
    mapped->start = start;
    COMPILER_BARRIER();
    return map_at(start, mapped->frames, count, flags);
}

OWN_UNCHECKED enum status mapped_pages_map(struct pages **pages, struct frames **frames,
                                           unsigned flags, struct mapped_pages **out)
{
    enum status status = check_flags(flags);
    uint64_t count = pages_count(*pages);
    if (status != OK || count != frames_count(*frames)) {
        LEAVE(pages);
        LEAVE(frames);
        return status != OK ? status : ERR_MISMATCH;
    }
    refill_descriptors();
    if (!begin_mapping(count, flags, out)) {
        LEAVE(pages);
        LEAVE(frames);
        return ERR_NO_MEMORY;
    }
    struct mapped_pages *mapped = *out;
    commit_move(&mapped->pages, pages);
    commit_move(&mapped->frames, frames);
    status = map_own(mapped, count, flags);
    if (status != OK) {
        commit_move(pages, &mapped->pages);
        commit_move(frames, &mapped->frames);
        mapped_pages_drop(out);
    }
    return status;
}

/* Pages for `count` frames; aligned where entries of 2 MiB can then be used. */
static enum status take_pages(enum page_zone zone, uint64_t count, struct pages **out)
    OWN_ACQUIRES(**out);

static enum status take_pages(enum page_zone zone, uint64_t count, struct pages **out)
{
    if (count >= LARGE_PAGES) {
        enum status status = page_allocator_take(zone, count, LARGE_PAGES, out);
        if (status != ERR_NO_ADDRESS_SPACE) {
            return status;
        }
    }
    return page_allocator_take(zone, count, 1, out);
}

static enum status take_frames(uint64_t count, struct frames **out) OWN_ACQUIRES(**out);

static enum status take_frames(uint64_t count, struct frames **out)
{
    enum status status = ERR_NO_MEMORY;
    if (count == 1) {
        return frame_allocator_take(1, 1, out);
    }
    if (count > frame_allocator_statistics().free) {
        return status;
    }
    if (count >= LARGE_PAGES) {
        status = frame_allocator_take(count, LARGE_PAGES, out);
    }
    if (status == ERR_NO_MEMORY) {
        status = frame_allocator_take(count, 1, out);
    }
    return status == ERR_NO_MEMORY ? frame_allocator_take_any(count, out) : status;
}

/* It has its frames, if `status` says so; now its pages. Within its callers, so that registers are saved
 * once. */
__attribute__((always_inline)) static inline enum status finish_mapping(
    enum page_zone zone, uint64_t count, unsigned flags, enum status status,
    struct mapped_pages **out) OWN_ACQUIRES(**out);

OWN_UNCHECKED __attribute__((always_inline)) static inline enum status finish_mapping(
    enum page_zone zone, uint64_t count, unsigned flags, enum status status,
    struct mapped_pages **out)
{
    struct mapped_pages *mapped = *out;
    if (LIKELY(status == OK)) {
        status = take_pages(zone, count, &mapped->pages);
    }
    if (LIKELY(status == OK)) {
        status = map_own(mapped, count, flags);
    }
    if (UNLIKELY(status != OK)) {
        mapped_pages_drop(out);
    }
    return status;
}

/* `is_raw`: what the frames hold stays. */
static enum status create(enum page_zone zone, size_t bytes, unsigned flags, bool is_raw,
                          struct mapped_pages **out) OWN_ACQUIRES(**out);

OWN_UNCHECKED static enum status create(enum page_zone zone, size_t bytes, unsigned flags,
                                        bool is_raw, struct mapped_pages **out)
{
    enum status status = bytes == 0 ? ERR_INVALID_ARGUMENT : check_flags(flags);
    if (status != OK) {
        return status;
    }
    uint64_t count = page_count_of(bytes);
    refill_descriptors();
    if (!begin_mapping(count, flags, out)) {
        return ERR_NO_MEMORY;
    }
    status = take_frames(count, &(*out)->frames);
    if (is_raw && status == OK) {
        frames_set_clean((*out)->frames);
    }
    return finish_mapping(zone, count, flags, status, out);
}

enum status mapped_pages_create(enum page_zone zone, size_t bytes, unsigned flags,
                                struct mapped_pages **out)
{
    return create(zone, bytes, flags, false, out);
}

enum status mapped_pages_create_raw(enum page_zone zone, size_t bytes, unsigned flags,
                                    struct mapped_pages **out)
{
    return create(zone, bytes, flags, true, out);
}

OWN_UNCHECKED enum status mapped_pages_create_at(enum page_zone zone, paddr_t start, size_t bytes,
                                                 unsigned flags, struct mapped_pages **out)
{
    enum status status = bytes == 0 ? ERR_INVALID_ARGUMENT : check_flags(flags);
    if (status != OK) {
        return status;
    }
    if (start >= PHYSICAL_LIMIT || bytes > PHYSICAL_LIMIT - start) {
        return ERR_OUT_OF_BOUNDS;
    }
    uint64_t count = page_count_of((size_t)(start - page_align_down(start)) + bytes);
    refill_descriptors();
    if (!begin_mapping(count, flags, out)) {
        return ERR_NO_MEMORY;
    }
    status = frame_allocator_take_at(page_align_down(start), count, &(*out)->frames);
    return finish_mapping(zone, count, flags, status, out);
}

void mapped_pages_drop(struct mapped_pages **handle)
{
    struct mapped_pages *mapped = *handle;
    if (!mapped) {
        return;
    }
    if (LIKELY(mapped->bytes)) {
        if (mapped->start && mapped->pages) {
            unmap(mapped->start, mapped->bytes >> PAGE_SHIFT);
        }
        pages_drop(&mapped->pages);
        frames_drop(&mapped->frames);
    }
    descriptor_pool_give(handle);
}

OWN_UNCHECKED void mapped_pages_take_apart(struct mapped_pages **handle, struct pages **out_pages,
                                           struct frames **out_frames)
{
    struct mapped_pages *mapped = *handle;
    OWN_DEMAND_(!*out_pages && !*out_frames);
    unmap(mapped->start, mapped->bytes >> PAGE_SHIFT);
    const struct commit_store stores[] = {
        {out_pages, (uintptr_t)mapped->pages},
        {&mapped->pages, 0},
        {out_frames, (uintptr_t)mapped->frames},
        {&mapped->frames, 0},
    };
    commit_all(stores, ARRAY_COUNT(stores));
    descriptor_pool_give(handle);
}

/* What may be done is said to be less before it is, and more after it is. */
enum status mapped_pages_remap(struct mapped_pages *mapped, unsigned flags)
{
    enum status status = check_flags(flags);
    uint64_t before = mapped->flags;
    if (status == OK) {
        mapped->flags = before & flags;
        COMPILER_BARRIER();
        status = page_table_protect(mapped->start, mapped->bytes >> PAGE_SHIFT, flags);
        COMPILER_BARRIER();
        mapped->flags = status == OK ? flags : before;
    }
    return status;
}

/* ---- parts ---- */

/*
 * Cuts pages, frames and tables; `rest`, which has neither so far, is to be dropped where that
 * fails.
 */
static enum status plan_split(struct mapped_pages *mapped, uint64_t first_count,
                              struct mapped_pages *rest, struct commit_list *list)
    OWN_BORROWS(*mapped);
OWN_UNCHECKED static enum status plan_split(struct mapped_pages *mapped, uint64_t first_count,
                                            struct mapped_pages *rest, struct commit_list *list)
{
    uint64_t first_bytes = first_count << PAGE_SHIFT;
    enum status status = page_table_cut(mapped->start + first_bytes);
    if (status == OK) {
        status = pages_plan_split(mapped->pages, first_count, &rest->pages, list);
    }
    if (status == OK) {
        status = frames_plan_split(mapped->frames, first_count, &rest->frames, list);
    }
    commit_add(list, &mapped->bytes, first_bytes);
    commit_add(list, &rest->start, mapped->start + first_bytes);
    return status;
}

OWN_UNCHECKED enum status mapped_pages_split(struct mapped_pages *mapped, uint64_t first_count,
                                             struct mapped_pages **out_rest)
{
    uint64_t count = mapped->bytes >> PAGE_SHIFT;
    if (first_count == 0 || first_count >= count) {
        return ERR_OUT_OF_BOUNDS;
    }
    refill_descriptors();
    if (!begin_mapping(count - first_count, (unsigned)mapped->flags, out_rest)) {
        return ERR_NO_MEMORY;
    }
    struct commit_list list;
    list.count = 0;
    enum status status = plan_split(mapped, first_count, *out_rest, &list);
    if (status == OK) {
        commit_list(&list);
    } else {
        mapped_pages_drop(out_rest);
    }
    return status;
}

OWN_UNCHECKED enum status mapped_pages_merge(struct mapped_pages *mapped,
                                             struct mapped_pages **rest)
{
    struct mapped_pages *added = *rest;
    if (!added) {
        LEAVE(rest);
        return ERR_INVALID_ARGUMENT;
    }
    struct commit_list list;
    list.count = 0;
    enum status status = mapped->flags == added->flags
                             ? frames_plan_merge(mapped->frames, &added->frames, &list)
                             : ERR_MISMATCH;
    if (status == OK) {
        status = pages_plan_merge(mapped->pages, added->pages, &list);
    }
    if (status != OK) {
        LEAVE(rest);
        return status;
    }
    commit_add(&list, &mapped->bytes, mapped->bytes + added->bytes);
    commit_add(&list, &added->start, 0);
    commit_list(&list);
    mapped_pages_drop(rest); /* what it has left are descriptors */
    return OK;
}

/* ---- access ---- */

vaddr_t mapped_pages_start(const struct mapped_pages *mapped)
{
    return mapped->start;
}

uint64_t mapped_pages_count(const struct mapped_pages *mapped)
{
    return mapped->bytes >> PAGE_SHIFT;
}

unsigned mapped_pages_flags(const struct mapped_pages *mapped)
{
    return (unsigned)mapped->flags;
}

const struct frames *mapped_pages_frames(const struct mapped_pages *mapped)
{
    return mapped->frames;
}

void *mapped_pages_access(const struct mapped_pages *mapped, uint64_t offset, uint64_t size,
                          uint64_t alignment, uint64_t count, unsigned needed)
{
    uint64_t bytes;
    if (!mapped || __builtin_mul_overflow(size, count, &bytes)) {
        return NULL;
    }
    bool is_inside = offset <= mapped->bytes && bytes <= mapped->bytes - offset;
    bool is_aligned = ((mapped->start + offset) & (alignment - 1)) == 0;
    if (!is_inside || !is_aligned || (mapped->flags & needed) != needed) {
        return NULL;
    }
    return (void *)(mapped->start + offset);
}

/* What was donated: the mapping, its pages, and each range of its frames. */
static uint64_t count_kept_descriptors_locked(void)
{
    if (!donated) {
        return 0;
    }
    uint64_t kept = 2 + apart_count;
    const struct frames *cursor = NULL;
    paddr_t start;
    uint64_t count;
    while (frames_next_range(STORED(donated->frames), &cursor, &start, &count)) {
        kept++;
    }
    return kept;
}

struct mapped_pages_statistics mapped_pages_statistics(void)
{
    GUARD(spinlock, guard, &lock);
    return (struct mapped_pages_statistics){.descriptor_pages = donated_count,
                                            .kept_descriptors = count_kept_descriptors_locked()};
}
