/* SPDX-License-Identifier: MIT */
/*
 * block_table.h - who is behind an address: blocks with memory of their own.
 *
 * Why: a heap that trusts no pointer it is given looks it up in what it owns. This is that, for
 * blocks that have a mapping each: the entry of a block owns its mapping.
 *
 * Rules: a hash table with open addressing in memory of its own, at most three quarters full; all is
 * O(1) on average. It grows, and never shrinks. Entries move: a pointer to one is good until the
 * next insertion or removal. A table that is zeroed is empty. The caller serialises.
 */
#pragma once

#include "mapped_pages.h"

/* An entry; `address` is the key and is not 0. */
struct block {
    uintptr_t address;
    struct mapped_pages *memory; /* owned */
    size_t bytes;                /* as asked for */
    uint64_t note;               /* the heap's */
};

struct block_table {
    struct mapped_pages *memory;
    struct block *blocks;
    uint64_t capacity; /* a power of two, or 0 */
    uint64_t count;
};

/* Makes room for one more. ERR_NO_MEMORY: no change. */
CELL_API MUST_CHECK enum status block_table_reserve(struct block_table *table);

/* An entry with this address, which is not in the table, and nothing else; there is room for it. */
CELL_API struct block *block_table_insert(struct block_table *table, uintptr_t address);

/* NULL when there is none. */
CELL_API struct block *block_table_find(const struct block_table *table, uintptr_t address);

/* The entry's mapping has been moved out, or is dropped. */
CELL_API void block_table_remove(struct block_table *table, struct block *block);

/* The next entry behind `block`, the first for NULL; NULL at the end. In no order. */
CELL_API struct block *block_table_next(const struct block_table *table, const struct block *block);

/* Of memory that describes, not of the blocks'. */
CELL_API uint64_t block_table_bytes(const struct block_table *table);
