/* SPDX-License-Identifier: MIT */
/*
 * Linear probing. A removal moves the entries that follow back, so there are no graves, and a probe
 * ends at the first empty entry. While they move, `hole` says where the entry is that counts for
 * nothing: moving goes on from there, and copying the same entry again does no harm.
 */
#include "block_table.h"
#include "commit.h"

CELL(library, "2.0.0");

#define FIRST_CAPACITY (PAGE_SIZE / sizeof(struct block))

static_assert((FIRST_CAPACITY & (FIRST_CAPACITY - 1)) == 0, "capacities are powers of two");

/*
 * Addresses of blocks differ from bit 12 on at the latest; the multiplier is 2^64 / golden ratio.
 */
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

OWN_UNCHECKED enum status block_table_reserve(struct block_table *table)
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
    const struct block_table larger = {
        .blocks = (struct block *)mapped_pages_start(REF(memory)),
        .capacity = capacity,
    };
    for (struct block *block = block_table_next(table, NULL); block;
         block = block_table_next(table, block)) {
        *find_place(&larger, block->address) = *block;
    }
    const struct commit_store stores[] = {
        {&table->blocks, (uintptr_t)larger.blocks},
        {&table->capacity, capacity},
        {&table->removed, (uintptr_t)table->memory},
        {&table->memory, (uintptr_t)REF(memory)},
        {SLOT(memory), 0},
    };
    commit_all(stores, ARRAY_COUNT(stores));
    mapped_pages_drop(&table->removed);
    return OK;
}

struct block *block_table_plan_insert(struct block_table *table, uintptr_t address,
                                      struct commit_list *list)
{
    struct block *block = find_place(table, address);
    *block = (struct block){0};
    commit_add(list, &block->address, address);
    commit_add(list, &table->count, table->count + 1);
    return block;
}

struct block *block_table_insert(struct block_table *table, uintptr_t address)
{
    struct commit_list list;
    list.count = 0;
    struct block *block = block_table_plan_insert(table, address, &list);
    commit_list(&list);
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

void block_table_plan_remove(struct block_table *table, struct block *block,
                             struct commit_list *list)
{
    commit_add(list, &table->removed, block->memory);
    commit_add(list, &table->hole, block - table->blocks + 1);
    commit_add(list, &table->count, table->count - 1);
}

static void fill_hole(struct block_table *table)
{
    uint64_t mask = table->capacity - 1;
    uint64_t hole = table->hole - 1;
    for (uint64_t i = (hole + 1) & mask; table->blocks[i].address; i = (i + 1) & mask) {
        uint64_t home = home_of(table, table->blocks[i].address);
        /* May it stand in the hole? Only if its home does not lie behind the hole, up to it. */
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            table->blocks[hole] = table->blocks[i];
            COMPILER_BARRIER();
            hole = i;
            table->hole = hole + 1;
            COMPILER_BARRIER();
        }
    }
    commit_two(&table->blocks[hole].address, 0, &table->hole, 0);
}

void block_table_settle(struct block_table *table)
{
    if (table->hole) {
        fill_hole(table);
    }
    mapped_pages_drop(&table->removed);
}

void block_table_remove(struct block_table *table, struct block *block)
{
    struct commit_list list;
    list.count = 0;
    block_table_plan_remove(table, block, &list);
    commit_list(&list);
    block_table_settle(table);
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
