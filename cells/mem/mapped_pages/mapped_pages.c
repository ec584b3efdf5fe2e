/* SPDX-License-Identifier: MIT */
/*
 * A mapping is a descriptor that keeps the pages and frames it was made of. Start, size and flags are
 * copied into it, so that access needs nothing else.
 *
 * The functions below are what the contracts stand for, so most are not checked against them.
 *
 * Everything that can fail comes first. The last step fills the caller's slot, or empties it, in one
 * store. Where a drop is interrupted, what is left of the mapping says what is still to do: unmapping
 * twice does no harm while the pages are owned, and after that they are not there any more.
 *
 * The descriptor pool is refilled here, before anything is begun, with a page that is mapped by hand:
 * the reserve of the pool is what that needs.
 */
#include "mapped_pages.h"
#include "mapped_pages_priv.h"
#include "descriptor_pool.h"
#include "freestanding.h"
#include "page_table.h"
#include "spinlock.h"

CELL(library, "2.1.0");

/* Pages of one entry of level 2: runs that long are aligned to it, where there is room. */
#define LARGE_PAGES 512u

struct mapped_pages {
    vaddr_t start;
    uint64_t bytes;
    unsigned flags;
    struct pages *pages;
    struct frames *frames;
};
static_assert(sizeof(struct mapped_pages) <= DESCRIPTOR_SIZE, "a descriptor");

static struct spinlock lock = {.name = "mapped_pages"};
/* By the lock: what was donated to the descriptor pool belongs to it for ever. */
static struct frames *donated_frames;
static struct pages *donated_pages;
static uint64_t donated_count;

/* ---- descriptors ---- */

/* Unchecked: what pages_merge() refuses is still there. */
OWN_UNCHECKED static bool keep_donation(struct pages **pages, struct frames **frames)
{
    /* In this order, as frames come from the top: the new one precedes those before, and it is short. */
    if (donated_frames && frames_merge(*frames, &donated_frames) != OK) {
        return false;
    }
    donated_frames = *frames;
    *frames = NULL;
    if (donated_pages && pages_merge(donated_pages, pages) == OK) {
        return true;
    }
    donated_pages = *pages; /* those before stay taken; nobody asks for them again */
    *pages = NULL;
    return true;
}

static NOINLINE void refill_descriptors_slowly(void)
{
    frame_allocator_settle();
    page_allocator_settle();
    if (descriptor_pool_available() >= DESCRIPTOR_RESERVE) {
        return;
    }
    OWNED(pages, pages);
    OWNED(frames, frames);
    GUARD(spinlock, guard, &lock);
    if (frame_allocator_take_top(1, SLOT(frames)) != OK) {
        return;
    }
    if (page_allocator_take(PAGE_ZONE_DATA, 1, 1, SLOT(pages)) != OK) {
        return;
    }
    vaddr_t page = pages_start(REF(pages));
    if (page_table_map(page, frames_start(REF(frames)), 1, PAGE_WRITE) != OK) {
        return;
    }
    if (keep_donation(SLOT(pages), SLOT(frames))) {
        donated_count++;
        descriptor_pool_donate(memory_at(page), PAGE_SIZE);
    } else {
        (void)!page_table_unmap(page, 1);
    }
}

/* Adds a page to the pool if it runs low. That it cannot be is no error yet. */
static inline void refill_descriptors(void)
{
    if (UNLIKELY(descriptor_pool_available() < DESCRIPTOR_RESERVE)) {
        refill_descriptors_slowly();
    }
}

/* ---- frames ---- */

/* Unmaps the first `count` pages; where nothing is cut in two that needs no memory. */
static void unmap(vaddr_t start, uint64_t count)
{
    if (count > 0) {
        (void)!page_table_unmap(start, count);
    }
}

/* Clears `count` pages, which are mapped to be written, and gives them the access that was asked for. */
static enum status clear(vaddr_t start, uint64_t count, unsigned flags)
{
    for (uint64_t i = 0; i < count; i++) {
        memset(memory_at(start + (i << PAGE_SHIFT)), 0, PAGE_SIZE);
    }
    return flags == PAGE_WRITE ? OK : page_table_protect(start, count, flags);
}

static enum status check_flags(unsigned flags)
{
    if (flags & ~(unsigned)PAGE_FLAGS_ALL) {
        return ERR_INVALID_ARGUMENT;
    }
    return (flags & PAGE_WRITE) && (flags & PAGE_EXECUTE) ? ERR_PERMISSION : OK;
}

/* ---- mapping ---- */

/* Maps each range of the frames, and clears those that are stale. */
static enum status map_at(vaddr_t start, struct frames *frames, unsigned flags)
    OWN_BORROWS(*frames);
static enum status map_at(vaddr_t start, struct frames *frames, unsigned flags)
{
    const struct frames *range = NULL;
    paddr_t frame;
    uint64_t count;
    vaddr_t at = start;
    while (frames_next_range(frames, &range, &frame, &count)) {
        bool is_stale = frames_range_is_stale(range);
        enum status status = page_table_map(at, frame, count, is_stale ? PAGE_WRITE : flags);
        if (status != OK) {
            unmap(start, (at - start) >> PAGE_SHIFT);
            return status;
        }
        vaddr_t mapped = at;
        at += count << PAGE_SHIFT;
        status = is_stale ? clear(mapped, count, flags) : OK;
        if (status != OK) {
            unmap(start, (at - start) >> PAGE_SHIFT);
            return status;
        }
    }
    frames_set_clean(frames);
    return OK;
}

/* Maps, and makes the descriptor, which does not own anything yet. */
static enum status make_mapping(const struct pages *pages, struct frames *frames, unsigned flags,
                                struct mapped_pages **out_mapped) OWN_BORROWS(*pages, *frames);
static enum status make_mapping(const struct pages *pages, struct frames *frames, unsigned flags,
                                struct mapped_pages **out_mapped)
{
    enum status status = check_flags(flags);
    if (status != OK) {
        return status;
    }
    uint64_t count = pages_count(pages);
    if (count != frames_count(frames)) {
        return ERR_MISMATCH;
    }
    refill_descriptors();
    struct mapped_pages *mapped = descriptor_pool_get();
    if (!mapped) {
        return ERR_NO_MEMORY;
    }
    vaddr_t start = pages_start(pages);
    status = map_at(start, frames, flags);
    if (status != OK) {
        descriptor_pool_put(mapped);
        return status;
    }
    mapped->start = start;
    mapped->bytes = count << PAGE_SHIFT;
    mapped->flags = flags;
    *out_mapped = mapped;
    return OK;
}

enum status mapped_pages_map(struct pages **pages, struct frames **frames, unsigned flags,
                             struct mapped_pages **out)
{
    struct mapped_pages *mapped = NULL;
    enum status status = make_mapping(*pages, *frames, flags, &mapped);
    if (status != OK) {
        LEAVE(pages);
        LEAVE(frames);
        return status;
    }
    mapped->pages = *pages;
    mapped->frames = *frames;
    EMPTY(pages);
    EMPTY(frames);
    FILL(out, mapped);
    return OK;
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

enum status mapped_pages_create(enum page_zone zone, size_t bytes, unsigned flags,
                                struct mapped_pages **out)
{
    enum status status = bytes == 0 ? ERR_INVALID_ARGUMENT : check_flags(flags);
    if (status != OK) {
        return status;
    }
    refill_descriptors();
    OWNED(frames, frames);
    status = take_frames(page_count_of(bytes), SLOT(frames));
    if (status != OK) {
        return status;
    }
    OWNED(pages, pages);
    status = take_pages(zone, page_count_of(bytes), SLOT(pages));
    if (status != OK) {
        return status;
    }
    return mapped_pages_map(SLOT(pages), SLOT(frames), flags, out);
}

enum status mapped_pages_create_at(enum page_zone zone, paddr_t start, size_t bytes, unsigned flags,
                                   struct mapped_pages **out)
{
    enum status status = bytes == 0 ? ERR_INVALID_ARGUMENT : check_flags(flags);
    if (status != OK) {
        return status;
    }
    if (start >= PHYSICAL_LIMIT || bytes > PHYSICAL_LIMIT - start) {
        return ERR_OUT_OF_BOUNDS;
    }
    refill_descriptors();
    uint64_t count = page_count_of((size_t)(start - page_align_down(start)) + bytes);
    OWNED(frames, frames);
    status = frame_allocator_take_at(page_align_down(start), count, SLOT(frames));
    if (status != OK) {
        return status;
    }
    OWNED(pages, pages);
    status = take_pages(zone, count, SLOT(pages));
    if (status != OK) {
        return status;
    }
    return mapped_pages_map(SLOT(pages), SLOT(frames), flags, out);
}

void mapped_pages_drop(struct mapped_pages **handle)
{
    struct mapped_pages *mapped = *handle;
    if (!mapped) {
        return;
    }
    if (mapped->pages) {
        unmap(mapped->start, mapped->bytes >> PAGE_SHIFT);
        pages_drop(&mapped->pages);
    }
    frames_drop(&mapped->frames);
    EMPTY(handle);
    descriptor_pool_put(mapped);
}

void mapped_pages_take_apart(struct mapped_pages **handle, struct pages **out_pages,
                             struct frames **out_frames)
{
    struct mapped_pages *mapped = *handle;
    unmap(mapped->start, mapped->bytes >> PAGE_SHIFT);
    EMPTY(handle);
    FILL(out_pages, mapped->pages);
    FILL(out_frames, mapped->frames);
    descriptor_pool_put(mapped);
}

enum status mapped_pages_remap(struct mapped_pages *mapped, unsigned flags)
{
    enum status status = check_flags(flags);
    if (status == OK) {
        status = page_table_protect(mapped->start, mapped->bytes >> PAGE_SHIFT, flags);
    }
    if (status == OK) {
        mapped->flags = flags;
    }
    return status;
}

/* ---- parts ---- */

/* Cuts pages, frames and tables; all or nothing. */
static enum status split_parts(struct mapped_pages *mapped, uint64_t first_count,
                               struct pages **out_pages, struct frames **out_frames)
    OWN_ACQUIRES(**out_pages, **out_frames);
static enum status split_parts(struct mapped_pages *mapped, uint64_t first_count,
                               struct pages **out_pages, struct frames **out_frames)
{
    enum status status = page_table_cut(mapped->start + (first_count << PAGE_SHIFT));
    if (status != OK) {
        return status;
    }
    status = pages_split(STORED(mapped->pages), first_count, out_pages);
    if (status != OK) {
        return status;
    }
    status = frames_split(STORED(mapped->frames), first_count, out_frames);
    if (status != OK) {
        (void)!pages_merge(STORED(mapped->pages), out_pages); /* neighbours: cannot fail */
    }
    return status;
}

enum status mapped_pages_split(struct mapped_pages *mapped, uint64_t first_count,
                               struct mapped_pages **out_rest)
{
    if (first_count == 0 || first_count >= mapped->bytes >> PAGE_SHIFT) {
        return ERR_OUT_OF_BOUNDS;
    }
    refill_descriptors();
    struct mapped_pages *rest = descriptor_pool_get();
    if (!rest) {
        return ERR_NO_MEMORY;
    }
    *rest = (struct mapped_pages){0};
    enum status status = split_parts(mapped, first_count, &rest->pages, &rest->frames);
    if (status != OK) {
        descriptor_pool_put(rest);
        return status;
    }
    uint64_t first_bytes = first_count << PAGE_SHIFT;
    rest->start = mapped->start + first_bytes;
    rest->bytes = mapped->bytes - first_bytes;
    rest->flags = mapped->flags;
    mapped->bytes = first_bytes;
    FILL(out_rest, rest);
    return OK;
}

enum status mapped_pages_merge(struct mapped_pages *mapped, struct mapped_pages **rest)
{
    struct mapped_pages *added = *rest;
    if (!added) {
        LEAVE(rest);
        return ERR_INVALID_ARGUMENT;
    }
    if (mapped->flags != added->flags ||
        frames_kind(STORED(mapped->frames)) != frames_kind(STORED(added->frames))) {
        LEAVE(rest);
        return ERR_MISMATCH;
    }
    enum status status = pages_merge(STORED(mapped->pages), STORED_SLOT(added->pages));
    if (status != OK) {
        LEAVE(rest);
        return status;
    }
    EMPTY(rest);
    /* Of one kind: cannot fail. */
    (void)!frames_merge(STORED(mapped->frames), STORED_SLOT(added->frames));
    mapped->bytes += added->bytes;
    descriptor_pool_put(added);
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
    return mapped->flags;
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

struct mapped_pages_statistics mapped_pages_statistics(void)
{
    GUARD(spinlock, guard, &lock);
    return (struct mapped_pages_statistics){.descriptor_pages = donated_count};
}
