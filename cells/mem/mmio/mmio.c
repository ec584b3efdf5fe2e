/* SPDX-License-Identifier: MIT */
#include "mmio.h"
#include "descriptor_pool.h"
#include "frame_allocator.h"
#include "mapped_pages.h"
#include "page_allocator.h"

CELL(library, "1.0.0");

/* A fresh descriptor has no bytes, and then the rest is anything. */
struct mmio {
    struct mapped_pages *pages;
    paddr_t physical;
    uint64_t bytes;
    vaddr_t start;
};
static_assert(sizeof(struct mmio) <= DESCRIPTOR_SIZE, "a descriptor");
static_assert(offsetof(struct mmio, bytes) == DESCRIPTOR_COUNT_OFFSET, "0 in a fresh one");

static enum status map_registers(paddr_t start, uint64_t bytes, struct mapped_pages **out)
    OWN_ACQUIRES(**out);

static enum status map_registers(paddr_t start, uint64_t bytes, struct mapped_pages **out)
{
    uint64_t count = page_count_of(start % PAGE_SIZE + bytes);
    OWNED(frames, frames);
    enum status status = frame_allocator_take_at(page_align_down(start), count, SLOT(frames));
    if (status != OK) {
        return status;
    }
    if (frames_kind(REF(frames)) == FRAMES_RAM) {
        return ERR_PERMISSION;
    }
    OWNED(pages, pages);
    status = page_allocator_take(PAGE_ZONE_DATA, count, 1, SLOT(pages));
    if (status != OK) {
        return status;
    }
    return mapped_pages_map(SLOT(pages), SLOT(frames), PAGE_WRITE | PAGE_UNCACHED, out);
}

/* Unchecked: handles begin here. */
OWN_UNCHECKED enum status mmio_create(paddr_t start, uint64_t bytes, struct mmio **out)
{
    if (bytes == 0) {
        return ERR_INVALID_ARGUMENT;
    }
    if (start >= PHYSICAL_LIMIT || bytes > PHYSICAL_LIMIT - start) {
        return ERR_OUT_OF_BOUNDS;
    }
    OWNED(mapped_pages, pages);
    enum status status = map_registers(start, bytes, SLOT(pages));
    if (status != OK) {
        return status;
    }
    OWNED(mmio, made);
    if (!descriptor_pool_take(SLOT(made))) {
        return ERR_NO_MEMORY;
    }
    struct mmio *mmio = *SLOT(made);
    mmio->pages = NULL;
    mmio->physical = start;
    mmio->start = mapped_pages_start(REF(pages)) + start % PAGE_SIZE;
    COMPILER_BARRIER();
    mmio->bytes = bytes;
    STORE(mmio->pages, pages);
    MOVE(*out, made);
    return OK;
}

void mmio_drop(struct mmio **handle)
{
    struct mmio *mmio = *handle;
    if (mmio) {
        if (mmio->bytes) {
            mapped_pages_drop(&mmio->pages);
        }
        descriptor_pool_give(handle);
    }
}

paddr_t mmio_physical(const struct mmio *mmio)
{
    return mmio->physical;
}

uint64_t mmio_size(const struct mmio *mmio)
{
    return mmio->bytes;
}

enum status mmio_find(const struct mmio *mmio, uint64_t offset, uint64_t size, uint64_t alignment,
                      volatile void **out)
{
    if (offset > mmio->bytes || size > mmio->bytes - offset) {
        return ERR_OUT_OF_BOUNDS;
    }
    if ((mmio->start + offset) & (alignment - 1)) {
        return ERR_MISALIGNED;
    }
    *out = (volatile void *)(mmio->start + offset);
    return OK;
}

/* ---- single registers ---- */

enum status mmio_read32(const struct mmio *mmio, uint64_t offset, uint32_t *out_value)
{
    volatile void *at;
    enum status status = mmio_find(mmio, offset, sizeof(*out_value), sizeof(*out_value), &at);
    if (status == OK) {
        *out_value = *(volatile uint32_t *)at;
    }
    return status;
}

enum status mmio_read64(const struct mmio *mmio, uint64_t offset, uint64_t *out_value)
{
    volatile void *at;
    enum status status = mmio_find(mmio, offset, sizeof(*out_value), sizeof(*out_value), &at);
    if (status == OK) {
        *out_value = *(volatile uint64_t *)at;
    }
    return status;
}

enum status mmio_write32(struct mmio *mmio, uint64_t offset, uint32_t value)
{
    volatile void *at;
    enum status status = mmio_find(mmio, offset, sizeof(value), sizeof(value), &at);
    if (status == OK) {
        *(volatile uint32_t *)at = value;
    }
    return status;
}

enum status mmio_write64(struct mmio *mmio, uint64_t offset, uint64_t value)
{
    volatile void *at;
    enum status status = mmio_find(mmio, offset, sizeof(value), sizeof(value), &at);
    if (status == OK) {
        *(volatile uint64_t *)at = value;
    }
    return status;
}
