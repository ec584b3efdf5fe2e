/* SPDX-License-Identifier: MIT */
/*
 * block_table.h - who is behind an address: blocks with memory of their own.
 *
 * Why: a heap that trusts no pointer it is given looks it up in what it owns. This is that, for
 * blocks that have a mapping each: the entry of a block owns its mapping.
 *
 * Rules: a hash table with open addressing in memory of its own, at most three quarters full; all
 * is O(1) on average. It grows, and never shrinks. Entries move: a pointer to one is good until the
 * next insertion or removal. A table that is zeroed is empty. The caller serialises. Insertions and
 * removals happen with the commit of a list of stores, which may hold others (commit.h); after a
 * fault or a kill at any instruction, block_table_settle() makes the table whole before anything
 * else is asked of it.
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
    uint64_t hole;                /* 1 + the place of an entry that is being removed, or 0 */
    struct mapped_pages *removed; /* its mapping */
};

/* Makes room for one more. ERR_NO_MEMORY: no change. */
CELL_API MUST_CHECK enum status block_table_reserve(struct block_table *table);

/*
 * An entry for this address, which is not in the table; there is room for it. Its other fields are
 * 0, and may be written. It is in the table when `list` is committed, to which more can be added.
 */
struct commit_list;
CELL_API struct block *block_table_plan_insert(struct block_table *table, uintptr_t address,
                                               struct commit_list *list);

/* The same, at once. */
CELL_API struct block *block_table_insert(struct block_table *table, uintptr_t address);

/* NULL when there is none. */
CELL_API struct block *block_table_find(const struct block_table *table, uintptr_t address);

/*
 * With the commit of `list` the entry is out of the table; its mapping is dropped when that is
 * settled.
 */
CELL_API void block_table_plan_remove(struct block_table *table, struct block *block,
                                      struct commit_list *list);

/* The same, and settles it. */
CELL_API void block_table_remove(struct block_table *table, struct block *block);

/* Ends a removal that was committed; does nothing where there is none. */
CELL_API void block_table_settle(struct block_table *table);

/* The next entry behind `block`, the first for NULL; NULL at the end. In no order. */
CELL_API struct block *block_table_next(const struct block_table *table, const struct block *block);

/* Of memory that describes, not of the blocks'. */
CELL_API uint64_t block_table_bytes(const struct block_table *table);
