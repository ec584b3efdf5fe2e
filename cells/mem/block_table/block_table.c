/* SPDX-License-Identifier: MIT */
/*
 * Linear probing. A removal moves the entries that follow back, so there are no graves, and a probe
 * ends at the first empty entry.
 */
#include "block_table.h"

CELL(library, "1.0.0");

#define FIRST_CAPACITY (PAGE_SIZE / sizeof(struct block))

static_assert((FIRST_CAPACITY & (FIRST_CAPACITY - 1)) == 0, "capacities are powers of two");

/* Addresses of blocks differ from bit 12 on at the latest; the multiplier is 2^64 / golden ratio. */
static uint64_t home_of(const struct block_table *table, uintptr_t address)
{
    return (((uint64_t)address >> 4) * 0x9e3779b97f4a7c15ull >> 20) & (table->capacity - 1);
}

static struct block *find_place(const struct block_table *table, uintptr_t address)
{
    uint64_t i = home_of(table, address);
    while (table->blocks[i].address && table->blocks[i].address != address) {
        i = (i + 1) & (table->capacity - 1);
    }
    return &table->blocks[i];
}

enum status block_table_reserve(struct block_table *table)
{
    if (table->count < table->capacity / 4 * 3) {
        return OK;
    }
    uint64_t capacity = table->capacity ? 2 * table->capacity : FIRST_CAPACITY;
    OWNED(mapped_pages, memory);
    enum status status = mapped_pages_create(PAGE_ZONE_DATA, capacity * sizeof(struct block),
                                             PAGE_WRITE, SLOT(memory));
    if (status != OK) {
        return status;
    }
    struct block_table larger = {
        .blocks = (struct block *)mapped_pages_start(REF(memory)),
        .capacity = capacity,
        .count = table->count,
    };
    for (struct block *block = block_table_next(table, NULL); block;
         block = block_table_next(table, block)) {
        *find_place(&larger, block->address) = *block;
    }
    OWNED(mapped_pages, old);
    LOAD(old, table->memory);
    *table = larger;
    STORE(table->memory, memory);
    return OK;
}

struct block *block_table_insert(struct block_table *table, uintptr_t address)
{
    struct block *block = find_place(table, address);
    *block = (struct block){.address = address};
    table->count++;
    return block;
}

struct block *block_table_find(const struct block_table *table, uintptr_t address)
{
    if (!address || !table->count) {
        return NULL;
    }
    struct block *block = find_place(table, address);
    return block->address ? block : NULL;
}

void block_table_remove(struct block_table *table, struct block *block)
{
    uint64_t mask = table->capacity - 1;
    uint64_t hole = (uint64_t)(block - table->blocks);
    if (block->memory) {
        mapped_pages_drop(&block->memory);
    }
    for (uint64_t i = (hole + 1) & mask; table->blocks[i].address; i = (i + 1) & mask) {
        uint64_t home = home_of(table, table->blocks[i].address);
        /* May it stand in the hole? Only if its home does not lie behind the hole, up to it. */
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            table->blocks[hole] = table->blocks[i];
            hole = i;
        }
    }
    table->blocks[hole] = (struct block){0};
    table->count--;
}

struct block *block_table_next(const struct block_table *table, const struct block *block)
{
    uint64_t i = block ? (uint64_t)(block - table->blocks) + 1 : 0;
    while (i < table->capacity && !table->blocks[i].address) {
        i++;
    }
    return i < table->capacity ? &table->blocks[i] : NULL;
}

uint64_t block_table_bytes(const struct block_table *table)
{
    return table->capacity * sizeof(struct block); /* whole pages */
}
