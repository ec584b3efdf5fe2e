/* SPDX-License-Identifier: MIT */
/*
 * mmio.h - registers of devices that are addressed like memory.
 *
 * Why: a register is no memory: each access counts, in its width and its order, and must not be
 * cached. So registers have a type of their own, whose accessors are volatile, and memory cannot be
 * had through it, nor registers through mapped_pages by mistake.
 *
 * Safe at every instruction: a fault or a kill loses neither frames nor pages nor the descriptor
 * (docs/fault-safety.md).
 *
 * Rules: whole frames are owned: two drivers whose registers share one cannot both have it. Frames
 * of RAM are refused. What comes back from MMIO_AS is borrowed and ends with the mmio.
 */
#pragma once

#include "memory.h"
#include "own.h"

struct OWN_CAPABILITY("mmio") mmio;
OWN_DECLARE(mmio); /* unmaps, and gives the frames back */

/*
 * Takes the frames that hold `bytes` of registers from `start` on. Offsets below count from
 * `start`. ERR_BUSY when somebody has one of them, ERR_PERMISSION for RAM, ERR_OUT_OF_BOUNDS,
 * ERR_INVALID_ARGUMENT for 0 bytes, ERR_NO_MEMORY, ERR_NO_ADDRESS_SPACE.
 */
CELL_API enum status mmio_create(paddr_t start, uint64_t bytes, struct mmio **out)
    OWN_ACQUIRES(**out);

CELL_API paddr_t mmio_physical(const struct mmio *mmio) OWN_BORROWS(*mmio);
CELL_API uint64_t mmio_size(const struct mmio *mmio) OWN_BORROWS(*mmio);

/* One access of that width. ERR_OUT_OF_BOUNDS, ERR_MISALIGNED: none has happened. */
CELL_API MUST_CHECK enum status mmio_read32(const struct mmio *mmio, uint64_t offset,
                                            uint32_t *out_value) OWN_BORROWS(*mmio);
CELL_API MUST_CHECK enum status mmio_read64(const struct mmio *mmio, uint64_t offset,
                                            uint64_t *out_value) OWN_BORROWS(*mmio);
CELL_API MUST_CHECK enum status mmio_write32(struct mmio *mmio, uint64_t offset, uint32_t value)
    OWN_BORROWS(*mmio);
CELL_API MUST_CHECK enum status mmio_write64(struct mmio *mmio, uint64_t offset, uint64_t value)
    OWN_BORROWS(*mmio);

/*
 * `size` bytes, aligned to `alignment`, at `offset`; on success writes their address. For MMIO_AS.
 */
CELL_API MUST_CHECK enum status mmio_find(const struct mmio *mmio, uint64_t offset, uint64_t size,
                                          uint64_t alignment, volatile void **out)
    OWN_BORROWS(*mmio);

static inline volatile void *mmio_at(const struct mmio *mmio, uint64_t offset, uint64_t size,
                                     uint64_t alignment) OWN_BORROWS(*mmio)
{
    volatile void *at = NULL;
    return mmio_find(mmio, offset, size, alignment, &at) == OK ? at : NULL;
}

/*
 * A block of registers as a structure: `volatile type *`, or NULL. The fields of `type` are then
 * accessed in the widths that they have.
 */
#define MMIO_AS(type, mmio, offset) \
    ((volatile type *)mmio_at(mmio, offset, sizeof(type), alignof(type)))
