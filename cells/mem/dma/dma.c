/* SPDX-License-Identifier: MIT */
/*
 * The frame allocator prefers low frames, so what it gives first is nearly always within the limit.
 * Where it is not, every place below the limit is asked for: slow, and only then.
 */
#include "dma.h"
#include "descriptor_pool.h"
#include "frame_allocator.h"
#include "mapped_pages.h"
#include "page_allocator.h"

CELL(library, "1.0.0");

/* A fresh descriptor is not complete, and then the rest is anything. */
struct dma_buffer {
    struct mapped_pages *pages;
    paddr_t physical;
    uint64_t is_complete;
};
static_assert(sizeof(struct dma_buffer) <= DESCRIPTOR_SIZE, "a descriptor");
static_assert(offsetof(struct dma_buffer, is_complete) == DESCRIPTOR_COUNT_OFFSET,
              "0 in a fresh one");

static enum status take_below(uint64_t count, uint64_t alignment, paddr_t limit,
                              struct frames **out) OWN_ACQUIRES(**out);

static enum status take_low(uint64_t count, uint64_t step, paddr_t limit, struct frames **out)
    OWN_ACQUIRES(**out);

/* Looks at every place. `step` is in bytes. */
static enum status take_low(uint64_t count, uint64_t step, paddr_t limit, struct frames **out)
{
    uint64_t bytes = count << PAGE_SHIFT;
    for (paddr_t at = step; bytes <= limit && at <= limit - bytes; at += step) {
        OWNED(frames, frames);
        if (frame_allocator_take_at(at, count, SLOT(frames)) == OK) {
            if (frames_kind(REF(frames)) == FRAMES_RAM) {
                MOVE(*out, frames);
                return OK;
            }
        }
    }
    return ERR_NO_MEMORY;
}

/* `alignment` is in bytes, at least a page. */
static enum status take_below(uint64_t count, uint64_t alignment, paddr_t limit,
                              struct frames **out)
{
    OWNED(frames, frames);
    enum status status = frame_allocator_take(count, alignment >> PAGE_SHIFT, SLOT(frames));
    if (status != OK) {
        return status;
    }
    if (frames_start(REF(frames)) + (count << PAGE_SHIFT) > limit) {
        frames_drop(SLOT(frames));
        return take_low(count, alignment, limit, out);
    }
    MOVE(*out, frames);
    return OK;
}

static enum status check_request(uint64_t bytes, uint64_t alignment, paddr_t limit)
{
    if (bytes == 0 || alignment == 0 || (alignment & (alignment - 1)) || limit > PHYSICAL_LIMIT) {
        return ERR_INVALID_ARGUMENT;
    }
    return bytes > limit || alignment > limit ? ERR_NO_MEMORY : OK;
}

/* Unchecked: handles begin here. */
OWN_UNCHECKED enum status dma_buffer_create(uint64_t bytes, uint64_t alignment, paddr_t limit,
                                            struct dma_buffer **out)
{
    enum status status = check_request(bytes, alignment, limit);
    if (status != OK) {
        return status;
    }
    uint64_t count = page_count_of(bytes);
    OWNED(frames, frames);
    status = take_below(count, alignment < PAGE_SIZE ? PAGE_SIZE : alignment, limit, SLOT(frames));
    if (status != OK) {
        return status;
    }
    OWNED(pages, pages);
    status = page_allocator_take(PAGE_ZONE_DATA, count, 1, SLOT(pages));
    if (status != OK) {
        return status;
    }
    paddr_t physical = frames_start(REF(frames));
    OWNED(mapped_pages, mapped);
    status = mapped_pages_map(SLOT(pages), SLOT(frames), PAGE_WRITE, SLOT(mapped));
    if (status != OK) {
        return status;
    }
    OWNED(dma_buffer, made);
    if (!descriptor_pool_take(SLOT(made))) {
        return ERR_NO_MEMORY;
    }
    struct dma_buffer *buffer = *SLOT(made);
    buffer->pages = NULL;
    buffer->physical = physical;
    COMPILER_BARRIER();
    buffer->is_complete = true;
    STORE(buffer->pages, mapped);
    MOVE(*out, made);
    return OK;
}

void dma_buffer_drop(struct dma_buffer **handle)
{
    struct dma_buffer *buffer = *handle;
    if (buffer) {
        if (buffer->is_complete) {
            mapped_pages_drop(&buffer->pages);
        }
        descriptor_pool_give(handle);
    }
}

paddr_t dma_buffer_physical(const struct dma_buffer *buffer)
{
    return buffer->physical;
}

uint64_t dma_buffer_size(const struct dma_buffer *buffer)
{
    struct mapped_pages *pages = buffer->pages;
    return mapped_pages_count(STORED(pages)) << PAGE_SHIFT;
}

volatile void *dma_buffer_access(const struct dma_buffer *buffer, uint64_t offset, uint64_t size,
                                 uint64_t alignment, uint64_t count)
{
    struct mapped_pages *pages = buffer->pages;
    return mapped_pages_access(STORED(pages), offset, size, alignment, count, PAGE_WRITE);
}
