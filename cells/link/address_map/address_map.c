/* SPDX-License-Identifier: MIT */
/*
 * A page belongs to one region of one cell, so there is a word for each page of the 2 GiB that
 * cells lie in: the cell, and which of its regions. The words are in leaves that are there as long
 * as one of them is in use. The sections of a region stand in the cell's `by_address`, sorted by
 * its layout. So a change stores one word a page, however many cells there are.
 *
 * Sections that a cell has adopted lie in pages of other cells, which may be gone, or know them as
 * they were. They have rows in a table of their own, immutable and sorted, which is made anew when
 * they change; a mark at the page says that it has to be looked at first. Marks are made when a
 * change is prepared and taken off when nobody needs the old table: a swap publishes its table
 * while all other CPUs stand still.
 */
#include "address_map.h"
#include "commit.h"
#include "heap_block.h"
#include "memory.h"
#include "read_sections.h"
#include "sort.h"

CELL(library, "2.0.0");

/* A page's word: the address of its cell, its region, and whether adopted sections lie in it. */
#define WORD_REGION  3ull
#define WORD_ADOPTED 4ull
#define WORD_MARKS   7ull
static_assert(alignof(struct cell) > WORD_MARKS, "room for the marks");

#define LEAF_PAGES 256u
#define LEAF_COUNT ((1u << 31) / PAGE_SIZE / LEAF_PAGES)

struct leaf {
    struct leaf *next; /* of all that there are, or of a change's own */
    uint64_t number;
    uint64_t used; /* the index of a word that was in use when this was last asked */
    uint64_t words[LEAF_PAGES];
};

/* An adopted section. */
struct row {
    uint64_t start;
    uint64_t end;
    const struct cell *cell;
    uint64_t section;
};

/* A change; where it has rows it is the table of adopted sections afterwards. */
struct address_table {
    struct leaf *leaves;        /* owned: those that it needs and that are not there */
    const struct cell *without; /* or NULL */
    struct cell *const *cells;  /* that are added, behind the rows */
    size_t cell_count;
    size_t row_count;
    bool has_rows;  /* else adopted sections are what they were */
    bool is_marked; /* the pages of all rows */
    struct row rows[];
};

static struct leaf *leaves[LEAF_COUNT]; /* by page; stored with release, loaded with acquire */
static struct leaf *first_leaf;
static struct address_table *published; /* adopted sections; NULL: none. As the leaves */
static uint64_t generation; /* raised when all is there, so who sees the number sees it too */
static struct address_table *pending;  /* is being made */
static struct address_table *replaced; /* nobody finds it any more; readers may still look at it */
static struct leaf *emptied;           /* the same for leaves */

/* ---- finding ---- */

/* Cells lie in the top 2 GiB; in a process of the host, in the lowest. */
static inline uint64_t page_of(uint64_t address)
{
    return (address & INT32_MAX) >> PAGE_SHIFT;
}

static inline uint64_t word_of(uint64_t page)
{
    const struct leaf *leaf = __atomic_load_n(&leaves[page / LEAF_PAGES], __ATOMIC_ACQUIRE);
    return leaf ? __atomic_load_n(&leaf->words[page % LEAF_PAGES], __ATOMIC_ACQUIRE) : 0;
}

static inline const struct cell *cell_of(uint64_t word)
{
    return (const struct cell *)(word & ~WORD_MARKS);
}

/* The last section that starts at or before `address`; sections of one region do not overlap. */
static inline const struct section *find_section(uint64_t word, uint64_t address)
{
    const struct cell *cell = cell_of(word);
    const uint32_t *first = cell->region_first + (word & WORD_REGION);
    const struct section *sections = cell->sections;
    const uint32_t *low = cell->by_address + first[0];
    uint32_t count = first[1] - first[0];
    while (count > 1) {
        uint32_t half = count / 2;
        low += sections[low[half]].address <= address ? half : 0;
        count -= half;
    }
    /* Empty sections may share the address of the one that holds it: they stand before it. */
    const struct section *section = &sections[*low];
    return address - section->address < section->size ? section : NULL;
}

/* The adopted section that the address lies in, or NULL. */
static const struct section *find_adopted(const struct address_table *table, uint64_t address)
{
    size_t low = 0;
    size_t high = table ? table->row_count : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct row *row = &table->rows[middle];
        if (address < row->start) {
            high = middle;
        } else if (address >= row->end) {
            low = middle + 1;
        } else {
            return &row->cell->sections[row->section];
        }
    }
    return NULL;
}

static NOINLINE const struct section *find_in_shared(uint64_t word, uint64_t address)
{
    const struct section *section =
        find_adopted(__atomic_load_n(&published, __ATOMIC_ACQUIRE), address);
    return section || !cell_of(word) ? section : find_section(word, address);
}

const struct section *address_map_find(uint64_t address)
{
    read_sections_enter();
    const struct section *section = NULL;
    uint64_t word = word_of(page_of(address));
    if (UNLIKELY(word & WORD_ADOPTED)) {
        section = find_in_shared(word, address);
    } else if (LIKELY(word)) {
        section = find_section(word, address);
    }
    read_sections_leave();
    return section;
}

uint64_t address_map_generation(void)
{
    return __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
}

void address_map_enter(void)
{
    read_sections_enter();
}

void address_map_leave(void)
{
    read_sections_leave();
}

bool address_map_wait(void)
{
    return read_sections_wait();
}

/* ---- making a change ---- */

static inline uint64_t page_count(const struct region *region)
{
    return (region->size + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

static void store_word(uint64_t page, uint64_t word)
{
    struct leaf *leaf = leaves[page / LEAF_PAGES];
    __atomic_store_n(&leaf->words[page % LEAF_PAGES], word, __ATOMIC_RELEASE);
}

static void enter_cell(const struct cell *cell)
{
    for (uint32_t r = 0; r < REGION_COUNT; r++) {
        const struct region *region = &cell->regions[r];
        uint64_t first = page_of(region->address);
        uint64_t word = (uintptr_t)cell | r;
        for (uint64_t i = 0; i < page_count(region); i++) {
            store_word(first + i, word | (word_of(first + i) & WORD_ADOPTED));
        }
    }
}

static void erase_cell(const struct cell *cell)
{
    for (uint32_t r = 0; r < REGION_COUNT; r++) {
        const struct region *region = &cell->regions[r];
        uint64_t first = page_of(region->address);
        for (uint64_t i = 0; i < page_count(region); i++) {
            uint64_t word = word_of(first + i);
            if (cell_of(word) == cell) {
                store_word(first + i, word & WORD_ADOPTED);
            }
        }
    }
}

/* Are there rows in the page? */
static bool has_adopted(const struct address_table *table, uint64_t page)
{
    size_t low = 0;
    for (size_t count = table->row_count; count > 0;) {
        size_t half = count / 2;
        if (page_of(table->rows[low + half].end - 1) < page) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return low < table->row_count && page_of(table->rows[low].start) <= page;
}

/*
 * Marks the pages of the rows. One mark too many costs whoever looks there a few instructions, so
 * this may come before the rows are found. False: a leaf is not there yet.
 */
static bool mark_rows(const struct address_table *table)
{
    bool has_all = true;
    for (size_t i = 0; i < table->row_count; i++) {
        uint64_t last = page_of(table->rows[i].end - 1);
        for (uint64_t page = page_of(table->rows[i].start); page <= last; page++) {
            if (!leaves[page / LEAF_PAGES]) {
                has_all = false;
            } else if (!(word_of(page) & WORD_ADOPTED)) {
                store_word(page, word_of(page) | WORD_ADOPTED);
            }
        }
    }
    return has_all;
}

/* Takes the marks off the pages of the rows where `still`, or NULL, has none. */
static void unmark_rows(const struct address_table *table, const struct address_table *still)
{
    for (size_t i = 0; i < table->row_count; i++) {
        uint64_t last = page_of(table->rows[i].end - 1);
        for (uint64_t page = page_of(table->rows[i].start); page <= last; page++) {
            uint64_t word = word_of(page);
            if (word & WORD_ADOPTED && !(still && has_adopted(still, page))) {
                store_word(page, word & ~WORD_ADOPTED);
            }
        }
    }
}

static void enter_leaves(struct address_table *change)
{
    while (change->leaves) {
        struct leaf *leaf = change->leaves;
        struct leaf *next = leaf->next;
        const struct commit_store stores[] = {
            {&change->leaves, (uintptr_t)next},
            {&leaf->next, (uintptr_t)first_leaf},
            {&first_leaf, (uintptr_t)leaf},
            {&leaves[leaf->number], (uintptr_t)leaf},
        };
        commit_all(stores, ARRAY_COUNT(stores));
    }
}

/*
 * Makes the change that is pending. Each store says what is to be, so it may be begun again, by the
 * next who prepares, when somebody was struck here.
 */
static void make_change(void)
{
    struct address_table *change = pending;
    struct address_table *old = published;
    enter_leaves(change);
    if (change->without) {
        erase_cell(change->without);
    }
    for (size_t i = 0; i < change->cell_count; i++) {
        enter_cell(change->cells[i]);
    }
    if (!change->has_rows) {
        commit_three(&generation, generation + 1, &replaced, change, &pending, NULL);
        return;
    }
    if (!change->is_marked) {
        (void)mark_rows(change);
    }
    if (old != change) {
        commit_two(&replaced, old, &published, change);
    }
    commit_two(&generation, generation + 1, &pending, NULL);
}

/*
 * The stores pair with address_map_find() and address_map_generation(): x86-64 keeps their order.
 */
void address_map_exchange(struct address_table **table)
{
    if (*table) {
        commit_move(&pending, table);
    } else if (!pending) {
        return;
    }
    make_change();
}

static bool is_empty(struct leaf *leaf)
{
    if (LIKELY(leaf->words[leaf->used])) {
        return false;
    }
    for (uint64_t i = 0; i < LEAF_PAGES; i++) {
        if (leaf->words[i]) {
            leaf->used = i;
            return false;
        }
    }
    return true;
}

/* As address_map_retire(). */
static void give_emptied(void)
{
    if (!address_map_wait()) {
        emptied = NULL;
    }
    heap_block_give(&emptied);
}

/* Leaves without a page go. */
static void drop_empty_leaves(void)
{
    if (emptied) { /* by who was struck here */
        give_emptied();
    }
    struct leaf **link = &first_leaf;
    while (*link) {
        struct leaf *leaf = *link;
        if (!is_empty(leaf)) {
            link = &leaf->next;
            continue;
        }
        commit_three(&leaves[leaf->number], NULL, link, leaf->next, &emptied, leaf);
        give_emptied();
    }
}

/* Where somebody does not come out of a section, what he may look at is never freed. */
void address_map_retire(void)
{
    bool was_seen = replaced && replaced->has_rows;
    if (was_seen) {
        unmark_rows(replaced, published);
    }
    if (was_seen && !address_map_wait()) {
        replaced = NULL;
    }
    heap_block_give(&replaced);
    drop_empty_leaves();
}

void address_map_settle(void)
{
    if (pending) {
        make_change();
    }
    address_map_retire();
}

void address_map_plan_publish(struct address_table **table, struct commit_list *list)
{
    commit_add(list, &pending, *table);
    commit_add(list, table, NULL);
}

void address_map_publish(struct address_table **table)
{
    commit_move(&pending, table);
    address_map_settle();
}

void address_map_discard(struct address_table **table)
{
    struct address_table *change = *table;
    if (change && change->has_rows) {
        unmark_rows(change, published);
    }
    while (change && change->leaves) {
        OWNED(heap_block, leaf);
        commit_two(SLOT(leaf), change->leaves, &change->leaves, change->leaves->next);
    }
    heap_block_give(table);
}

/* ---- preparing one ---- */

/* Makes sure that there will be a leaf for the page. */
static bool need_leaf(struct address_table *change, uint64_t page)
{
    uint64_t number = page / LEAF_PAGES;
    const struct leaf *at = leaves[number] ? leaves[number] : change->leaves;
    while (at && at->number != number) {
        at = at->next;
    }
    if (at) {
        return true;
    }
    OWNED(heap_block, block);
    if (!heap_block_take_zeroed(sizeof(struct leaf), SLOT(block))) {
        return false;
    }
    struct leaf *leaf = heap_block_of(*SLOT(block));
    leaf->number = number;
    leaf->next = change->leaves;
    commit_move(&change->leaves, SLOT(block));
    return true;
}

/* The same for all pages from that of `start` to that of `last`. */
static bool need_leaves(struct address_table *change, uint64_t start, uint64_t last)
{
    for (uint64_t page = page_of(start); page <= page_of(last);
         page = (page / LEAF_PAGES + 1) * LEAF_PAGES) {
        if (!need_leaf(change, page)) {
            return false;
        }
    }
    return true;
}

static bool need_all_leaves(struct address_table *change)
{
    bool has_all = true;
    for (size_t i = 0; i < change->cell_count; i++) {
        for (uint32_t r = 0; r < REGION_COUNT; r++) {
            const struct region *region = &change->cells[i]->regions[r];
            has_all &= region->size == 0 ||
                       need_leaves(change, region->address, region->address + region->size - 1);
        }
    }
    for (size_t i = 0; i < change->row_count; i++) {
        has_all &= need_leaves(change, change->rows[i].start, change->rows[i].end - 1);
    }
    return has_all;
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
            table->rows[table->row_count++] = (struct row){
                .start = section->address,
                .end = section->address + section->size,
                .cell = cell,
                .section = indices[k],
            };
        }
    }
}

/* The rows afterwards; room for them is there. */
static void make_rows(struct address_table *change)
{
    for (size_t i = 0; published && i < published->row_count; i++) {
        const struct row *row = &published->rows[i];
        if (row->cell != change->without && !row->cell->is_leaving) {
            change->rows[change->row_count++] = *row;
        }
    }
    for (size_t i = 0; i < change->cell_count; i++) {
        add_adopted(change, change->cells[i]);
    }
    sort_array(change->rows, change->row_count, sizeof(change->rows[0]), comes_before);
    change->has_rows = true;
}

static enum status prepare(struct cell *const *cells, uint32_t count, const struct cell *without,
                           bool has_rows, struct address_table **out_table)
{
    if (pending) { /* who made it did not come to its end */
        make_change();
    }
    if (replaced || emptied) {
        address_map_retire();
    }
    size_t rows = published ? published->row_count : 0;
    for (uint32_t i = 0; i < count; i++) {
        rows += cells[i]->adopted_count;
    }
    size_t rows_size = has_rows ? rows * sizeof(struct row) : 0;
    size_t cells_size = count * sizeof(cells[0]);
    OWNED(heap_block, block);
    if (!heap_block_take(sizeof(struct address_table) + rows_size + cells_size, SLOT(block))) {
        return ERR_NO_MEMORY;
    }
    struct address_table *change = heap_block_of(*SLOT(block));
    void *list = (uint8_t *)change->rows + rows_size;
    *change = (struct address_table){.without = without, .cells = list, .cell_count = count};
    for (uint32_t i = 0; i < count; i++) {
        ((struct cell **)list)[i] = cells[i];
    }
    commit_move(out_table, SLOT(block));
    if (has_rows) {
        make_rows(change);
    }
    if (!need_all_leaves(change)) {
        address_map_discard(out_table);
        return ERR_NO_MEMORY;
    }
    if (has_rows) {
        change->is_marked = mark_rows(change);
    }
    return OK;
}

enum status address_map_prepare(struct cell *const *cells, uint32_t count,
                                const struct cell *without, struct address_table **out_table)
{
    return prepare(cells, count, without, without && without->adopted_count > 0, out_table);
}

enum status address_map_prepare_swap(struct cell *const *cells, uint32_t count,
                                     struct address_table **out_table)
{
    return prepare(cells, count, NULL, true, out_table);
}
