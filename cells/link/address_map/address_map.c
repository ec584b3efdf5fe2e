/* SPDX-License-Identifier: MIT */
/*
 * The table has one row a region, not one a section: a load then copies three rows a cell, and the
 * second bisection runs over the cell's own `by_address`, which its layout has sorted already.
 * Sections that a cell has adopted lie within regions of others. They have rows of their own, which
 * are looked at first: the other cell may be gone, or know them as they were.
 */
#include "address_map.h"
#include "commit.h"
#include "heap_block.h"
#include "read_sections.h"
#include "sort.h"

CELL(library, "1.0.0");

struct row {
    uint64_t start;
    uint64_t end;
    const struct cell *cell;
    uint32_t region;
    uint32_t section; /* of an adopted one: its index */
};

struct address_table {
    size_t count;         /* of regions */
    size_t adopted_count; /* of adopted sections, behind the regions */
    struct row rows[];
};

static struct address_table *published; /* NULL: empty. Stored with release, loaded with acquire */
static uint64_t generation; /* raised when the table is there, so who sees the number sees it too */
static struct read_sections readers;
static struct address_table *replaced; /* by the last exchange, until it is retired */
static struct address_table *retired;  /* the one before; freed at the next publication */

/* The last section that starts at or before `address`; sections of one region do not overlap. */
static const struct section *find_section(const struct row *row, uint64_t address)
{
    const struct cell *cell = row->cell;
    uint32_t low = cell->region_first[row->region];
    uint32_t high = cell->region_first[row->region + 1];
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (cell->sections[cell->by_address[middle]].address <= address) {
            low = middle;
        } else {
            high = middle;
        }
    }
    /* Empty sections may share the address of the one that holds it: they stand before it. */
    const struct section *section = &cell->sections[cell->by_address[low]];
    return address - section->address < section->size ? section : NULL;
}

/* The row from `low` up to `high` that the address lies in, or NULL. */
static const struct row *find_row(const struct address_table *table, size_t low, size_t high,
                                  uint64_t address)
{
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct row *row = &table->rows[middle];
        if (address < row->start) {
            high = middle;
        } else if (address >= row->end) {
            low = middle + 1;
        } else {
            return row;
        }
    }
    return NULL;
}

static const struct section *find(uint64_t address)
{
    const struct address_table *table = __atomic_load_n(&published, __ATOMIC_ACQUIRE);
    if (!table) {
        return NULL;
    }
    const struct row *row =
        find_row(table, table->count, table->count + table->adopted_count, address);
    if (row) {
        return &row->cell->sections[row->section];
    }
    row = find_row(table, 0, table->count, address);
    return row ? find_section(row, address) : NULL;
}

uint64_t address_map_generation(void)
{
    return __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
}

const struct section *address_map_find(uint64_t address)
{
    struct read_section *reading = read_sections_enter(&readers);
    const struct section *section = find(address);
    read_sections_leave(reading);
    return section;
}

struct read_section *address_map_enter(void)
{
    return read_sections_enter(&readers);
}

void address_map_leave(struct read_section *section)
{
    read_sections_leave(section);
}

bool address_map_wait(void)
{
    return read_sections_wait(&readers);
}

static bool comes_before(const void *a, const void *b)
{
    return ((const struct row *)a)->start < ((const struct row *)b)->start;
}

static void add_adopted(struct address_table *table, const struct cell *cell)
{
    const uint32_t *indices = cell->by_address + cell->region_first[REGION_COUNT];
    for (uint32_t k = 0; k < cell->adopted_count; k++) {
        const struct section *section = &cell->sections[indices[k]];
        if (section->size > 0) {
            table->rows[table->count + table->adopted_count++] = (struct row){
                .start = section->address,
                .end = section->address + section->size,
                .cell = cell,
                .section = indices[k],
            };
        }
    }
}

static void add_rows(struct address_table *table, const struct cell *cell)
{
    for (uint32_t r = 0; r < REGION_COUNT; r++) {
        const struct region *region = &cell->regions[r];
        if (region->size > 0) {
            table->rows[table->count++] = (struct row){
                .start = region->address,
                .end = region->address + region->size,
                .cell = cell,
                .region = r,
            };
        }
    }
}

enum status address_map_prepare(struct cell *const *cells, uint32_t count,
                                const struct cell *without, struct address_table **out_table)
{
    if (replaced) { /* who exchanged it did not come so far */
        address_map_retire(replaced);
    }
    size_t old_count = published ? published->count : 0;
    size_t old_adopted = published ? published->adopted_count : 0;
    size_t capacity = old_count + old_adopted + (size_t)count * REGION_COUNT;
    for (uint32_t i = 0; i < count; i++) {
        capacity += cells[i]->adopted_count;
    }
    OWNED(heap_block, block);
    if (!heap_block_take(sizeof(struct address_table) + capacity * sizeof(struct row),
                         SLOT(block))) {
        return ERR_NO_MEMORY;
    }
    struct address_table *table = heap_block_of(*SLOT(block));
    table->count = 0;
    table->adopted_count = 0;
    for (size_t i = 0; i < old_count; i++) {
        if (published->rows[i].cell != without) {
            table->rows[table->count++] = published->rows[i];
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        add_rows(table, cells[i]);
    }
    sort_array(table->rows, table->count, sizeof(table->rows[0]), comes_before);
    for (size_t i = old_count; i < old_count + old_adopted; i++) {
        const struct row *row = &published->rows[i];
        if (row->cell != without && !row->cell->is_leaving) {
            table->rows[table->count + table->adopted_count++] = *row;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        add_adopted(table, cells[i]);
    }
    sort_array(table->rows + table->count, table->adopted_count, sizeof(table->rows[0]),
               comes_before);
    commit_move(out_table, SLOT(block));
    return OK;
}

/* The stores pair with address_map_find() and address_map_generation(): x86-64 keeps their order.
 */
struct address_table *address_map_exchange(struct address_table *table)
{
    struct address_table *old = published;
    commit_three(&published, table, &generation, generation + 1, &replaced, old);
    return old;
}

/* Where somebody does not come out of a section, what he may look at is never freed. */
void address_map_retire(struct address_table *table)
{
    OWNED(heap_block, old);
    bool may_free = retired && address_map_wait();
    commit_three(&retired, table, &replaced, NULL, SLOT(old), may_free ? retired : NULL);
}

void address_map_publish(struct address_table *table)
{
    address_map_retire(address_map_exchange(table));
}

void address_map_discard(struct address_table *table)
{
    heap_block_give(&table);
}
