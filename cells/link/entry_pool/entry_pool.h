/* SPDX-License-Identifier: MIT */
/*
 * entry_pool.h - the stable addresses of functions.
 *
 * Why: an address that is taken must stay right when its function is replaced. It is therefore the
 * address of an *entry*: eight bytes that jump to the function and that belong to the cell's
 * lineage, not to one version of its text. Entries lie in pages of their own, in reach of all
 * cells.
 *
 * Rules: used by the loader, which serialises. Addresses are multiples of ENTRY_SIZE; counts are
 * entries. A free entry holds int3 instructions, so a stale pointer to one traps instead of running
 * something else. Pages are executable and never writable: entries are written through
 * text_write.h, each at once, while others of the page are in use.
 */
#pragma once

#include "cell_metadata.h"

/* Takes `count` consecutive entries. ERR_NO_MEMORY, ERR_NO_ADDRESS_SPACE, ERR_LIMIT. */
CELL_API MUST_CHECK enum status entry_pool_take(uint32_t count, uint64_t *out_address);

/* Writes `count` entries of `bytes` into taken ones. */
CELL_API MUST_CHECK enum status entry_pool_write(uint64_t address, const uint8_t *bytes,
                                                 uint32_t count);

/* Gives entries back, whole runs or parts; fills them with traps. */
CELL_API void entry_pool_give_back(uint64_t address, uint32_t count);

/* Does the address lie in a page of entries? Any context: pages are added, and stay. */
CELL_API bool entry_pool_holds(uint64_t address);

/* Entries that are taken, and bytes of pages that hold entries. */
struct entry_pool_statistics {
    uint64_t taken;
    uint64_t page_bytes;
};

CELL_API struct entry_pool_statistics entry_pool_statistics(void);
