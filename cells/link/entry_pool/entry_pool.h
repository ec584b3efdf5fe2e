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
 * text_write.h, each at once, while others of the page are in use. After a fault at any instruction
 * each entry is free or its owner's, by what the owner's variable says, and nothing is lost
 * (docs/fault-safety.md).
 */
#pragma once

#include "cell_metadata.h"

/*
 * Takes `count` consecutive entries; they are the variable's with one commit. ERR_NO_MEMORY,
 * ERR_NO_ADDRESS_SPACE, ERR_LIMIT.
 */
CELL_API MUST_CHECK enum status entry_pool_take(uint32_t count, uint64_t *out_address);

/* Writes `count` entries of `bytes` into taken ones. */
CELL_API MUST_CHECK enum status entry_pool_write(uint64_t address, const uint8_t *bytes,
                                                 uint32_t count);

/*
 * Of the *count entries at `address` all but the first `kept` go back, and are filled with traps;
 * *count is `kept` with the same commit. So who is interrupted begins again, and gives back nothing
 * twice. What is not in a page of the pool is forgotten only.
 */
CELL_API void entry_pool_give_back(uint64_t address, uint32_t *count, uint32_t kept);

/* The same of a single entry, also out of the middle of a run: *entry is 0 then. */
CELL_API void entry_pool_give_back_one(uint64_t *entry);

/* Does the address lie in a page of entries? Any context: pages are added, and stay. */
CELL_API bool entry_pool_holds(uint64_t address);

/* Entries that are taken, and bytes of pages that hold entries. */
struct entry_pool_statistics {
    uint64_t taken;
    uint64_t page_bytes;
};

CELL_API struct entry_pool_statistics entry_pool_statistics(void);
