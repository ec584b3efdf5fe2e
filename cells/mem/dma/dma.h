/* SPDX-License-Identifier: MIT */
/*
 * dma.h - memory that a device reads and writes too.
 *
 * Why: a device knows no pages. What it is given must be one run of physical memory, aligned as it
 * demands and within the addresses that it can form; and the driver must know where that is.
 *
 * Rules: cached, for devices of this architecture see what the CPUs see. The buffer reads as zero
 * at first. Who drops one has told the device to stop before: nothing keeps a device from memory
 * that was given back, while there is no IOMMU. Accesses of the driver go through volatile
 * pointers, for the contents change without it.
 */
#pragma once

#include "memory.h"
#include "own.h"

struct OWN_CAPABILITY("dma_buffer") dma_buffer;
OWN_DECLARE(dma_buffer);

/* What a device with 32 address lines reaches: the `limit` below. */
#define DMA_LIMIT_32 (1ull << 32)

/*
 * Takes `bytes`, rounded up to pages, whose physical address is a multiple of `alignment`, a power
 * of two, and which end at or below `limit` (PHYSICAL_LIMIT: anywhere). ERR_INVALID_ARGUMENT,
 * ERR_NO_MEMORY when there is no such run, ERR_NO_ADDRESS_SPACE.
 */
CELL_API enum status dma_buffer_create(uint64_t bytes, uint64_t alignment, paddr_t limit,
                                       struct dma_buffer **out) OWN_ACQUIRES(**out);

/* What the device is told. */
CELL_API paddr_t dma_buffer_physical(const struct dma_buffer *buffer) OWN_BORROWS(*buffer);
CELL_API uint64_t dma_buffer_size(const struct dma_buffer *buffer) OWN_BORROWS(*buffer);

/* As mapped_pages_access(). For the macros below. */
CELL_API volatile void *dma_buffer_access(const struct dma_buffer *buffer, uint64_t offset,
                                          uint64_t size, uint64_t alignment, uint64_t count)
    OWN_BORROWS(*buffer);

/* A `volatile type *`, or the first of `count` of them; NULL unless inside and aligned. */
#define DMA_AS(type, buffer, offset) \
    ((volatile type *)dma_buffer_access(buffer, offset, sizeof(type), alignof(type), 1))
#define DMA_SLICE(type, buffer, offset, count) \
    ((volatile type *)dma_buffer_access(buffer, offset, sizeof(type), alignof(type), count))
