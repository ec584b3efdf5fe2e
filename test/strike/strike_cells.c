/* SPDX-License-Identifier: MIT */
/*
 * The heap and the machine's pages are stand-ins that know what is out. The archive is mapped, and
 * what is made of it at the start is left out of the state: no load changes it.
 */
#include "strike_cells.h"
#include "address_map.h"
#include "cell_namespace.h"
#include "commit.h"
#include "diag.h"
#include "entry_pool.h"
#include "heap_block.h"
#include "loader.h"
#include "logger.h"
#include "mapped_pages.h"
#include "memory.h"
#include "preemption.h"
#include "read_sections.h"
#include "strike.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- pages ---- */

#define PAGES      STRIKE_PAGES
#define LEAF_BYTES (256 * PAGE_SIZE) /* see address_map.c */

/* At the index of its first page. */
struct mapped_pages {
    uint64_t count;
};

static ALIGNED(PAGE_SIZE) uint8_t memory[PAGES][PAGE_SIZE];
static struct mapped_pages mappings[PAGES];
unsigned pages_left = PAGES;

/* What text_write() calls on the host: the pages may be written and executed all the time. */
STRIKE_NOT int mprotect(void *start, size_t bytes, int protection)
{
    return 0;
}

uint64_t last_page(void)
{
    return (uint64_t)memory[PAGES - 1];
}

unsigned pages_out(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < PAGES; i++) {
        count += (unsigned)mappings[i].count;
    }
    return count;
}

/* The first of `count` free pages in a row; PAGES: there are not as many. */
static unsigned find_pages(uint64_t count)
{
    unsigned run = 0;
    for (unsigned i = 0; i < PAGES; i++) {
        unsigned here = (unsigned)mappings[i].count;
        run = here ? 0 : run + 1;
        i += here ? here - 1 : 0;
        if (run == count) {
            return i + 1 - run;
        }
    }
    return PAGES;
}

STRIKE_NOT enum status mapped_pages_create(enum page_zone zone, size_t bytes, unsigned flags,
                                           struct mapped_pages **out)
{
    uint64_t count = page_count_of(bytes);
    unsigned first = find_pages(count);
    if (first == PAGES || pages_out() + count > pages_left) {
        return ERR_NO_MEMORY;
    }
    commit_two(&mappings[first].count, count, out, &mappings[first]);
    return OK;
}

STRIKE_NOT enum status mapped_pages_create_raw(enum page_zone zone, size_t bytes, unsigned flags,
                                               struct mapped_pages **out)
{
    return mapped_pages_create(zone, bytes, flags, out);
}

STRIKE_NOT void mapped_pages_drop(struct mapped_pages **handle)
{
    struct mapped_pages *pages = *handle;
    if (pages) {
        strike_demand(pages->count > 0);
        commit_two(&pages->count, 0, handle, NULL);
    }
}

/* Of constants: behind it are the commit, and what makes that ready. */
STRIKE_NOT enum status mapped_pages_remap(struct mapped_pages *mapped, unsigned flags)
{
    if (!(flags & PAGE_EXECUTE)) {
        strike_every(STRIKE_EVERY_LATE);
    }
    return OK;
}

STRIKE_NOT vaddr_t mapped_pages_start(const struct mapped_pages *mapped)
{
    return (vaddr_t)memory[mapped - mappings];
}

STRIKE_NOT uint64_t mapped_pages_count(const struct mapped_pages *mapped)
{
    return mapped->count;
}

/* ---- heap ---- */

#define HEAP_BYTES STRIKE_HEAP_BYTES
#define BLOCKS_MAX STRIKE_BLOCKS
#define KEPT_BYTES (256u << 10) /* of what is made of the archive */

struct block {
    uint64_t start; /* offset; the list is in this order */
    uint64_t size;  /* 0: free */
};

static ALIGNED(PAGE_SIZE) uint8_t kept[KEPT_BYTES];
static size_t kept_used;
static bool keeps; /* blocks come from there now */
static ALIGNED(16) uint8_t heap[HEAP_BYTES];
static struct block blocks[BLOCKS_MAX];

/* The first gap; blocks stay where they are, so their order in the table is not that of their
 * addresses. */
static uint64_t find_gap(uint64_t size)
{
    uint64_t start = 0;
    for (unsigned i = 0; i < BLOCKS_MAX; i++) {
        const struct block *block = &blocks[i];
        if (block->size && start < block->start + block->size && block->start < start + size) {
            start = block->start + block->size;
            i = (unsigned)-1;
        }
    }
    return start;
}

STRIKE_NOT bool heap_block_take(size_t bytes, void *out)
{
    uint64_t size = (bytes + 15) & ~15ull;
    if (keeps) {
        strike_demand(kept_used + size <= KEPT_BYTES);
        *(void **)out = kept + kept_used;
        kept_used += size;
        return true;
    }
    uint64_t start = find_gap(size);
    strike_demand(start + size <= HEAP_BYTES); /* HEAP_BYTES is too small */
    for (unsigned i = 0; i < BLOCKS_MAX; i++) {
        if (blocks[i].size == 0) {
            blocks[i].start = start;
            commit_two(&blocks[i].size, size, (void **)out, (uintptr_t)(heap + start));
            return true;
        }
    }
    strike_demand(!"BLOCKS_MAX is too small");
    return false;
}

STRIKE_NOT bool heap_block_take_zeroed(size_t bytes, void *out)
{
    OWNED(heap_block, block);
    if (!heap_block_take(bytes, SLOT(block))) {
        return false;
    }
    memset(REF(block), 0, bytes);
    commit_two((void **)out, REF(block), SLOT(block), NULL);
    return true;
}

STRIKE_NOT void heap_block_give(void *slot)
{
    uint8_t *block = *(uint8_t **)slot;
    if (!block) {
        return;
    }
    for (unsigned i = 0; i < BLOCKS_MAX; i++) {
        if (blocks[i].size && block == heap + blocks[i].start) {
            commit_two(&blocks[i].size, 0, (void **)slot, 0);
            return;
        }
    }
    strike_demand(!"a block of this heap");
}

void heap_block_drop(struct heap_block **handle)
{
    heap_block_give(handle);
}

void heap_block_give_thing(void *handle)
{
    OWNED(heap_block, block);
    commit_two((void **)handle, NULL, SLOT(block), *(void **)handle);
}

unsigned blocks_out(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < BLOCKS_MAX; i++) {
        count += blocks[i].size != 0;
    }
    return count;
}

void logger_write(enum log_level level, const char *cell, const char *format, ...)
{
}

/* ---- the truth ---- */

struct cell_namespace *strike_here(void)
{
    return cell_namespace_initial();
}

bool is_there(const char *name)
{
    return cell_namespace_find_cell(strike_here(), name) != NULL;
}

enum status load(const char *name)
{
    struct cell *cell;
    struct diag diag = {0};
    return loader_load(strike_here(), name, &cell, &diag);
}

void must_load(const char *name)
{
    strike_demand(load(name) == OK);
    strike_demand(is_there(name));
}

void must_unload(const char *name)
{
    struct diag diag = {0};
    if (is_there(name)) {
        strike_demand(loader_unload_named(strike_here(), name, &diag) == OK);
    }
    strike_demand(!is_there(name));
}

/* All cells, those that run first. */
static const struct cell *first_cell(void)
{
    return strike_here()->first ? strike_here()->first : strike_here()->retired;
}

static const struct cell *next_cell(const struct cell *cell)
{
    return cell->next || cell->is_retired ? cell->next : strike_here()->retired;
}

static bool is_listed(const struct cell *cell)
{
    const struct cell *at = first_cell();
    while (at && at != cell) {
        at = next_cell(at);
    }
    return at != NULL;
}

void check_names(void)
{
    uint32_t cells = 0;
    uint32_t symbols = 0;
    const struct cell *last = NULL;
    for (const struct cell *cell = strike_here()->first; cell; cell = cell->next) {
        strike_demand(cell_namespace_find_cell(strike_here(), cell->name) == cell);
        strike_demand(cell->namespace == strike_here() && !cell->is_leaving);
        for (uint32_t i = 0; i < cell->symbol_count; i++) {
            const struct symbol *symbol = &cell->symbols[i];
            strike_demand(cell_namespace_find_own(strike_here(), symbol->key.name,
                                                  symbol->key.hash) == symbol);
        }
        cells++;
        symbols += cell->symbol_count;
        last = cell;
    }
    strike_demand(strike_here()->last == last && strike_here()->cell_count == cells);
    strike_demand(strike_here()->names.count == cells && strike_here()->symbols.count == symbols);
}

/* Each binding of a loaded cell is in one list, that of its target, and no other is in any. */
void check_bindings(void)
{
    uint64_t recorded = 0;
    uint64_t listed = 0;
    for (const struct cell *cell = first_cell(); cell; cell = next_cell(cell)) {
        for (uint32_t i = 0; i < cell->binding_count; i++) {
            recorded += cell->bindings[i].target != NULL;
        }
        for (uint32_t i = 0; i < cell->object.section_count; i++) {
            const struct section *section = &cell->sections[i];
            for (const struct binding *at = section->incoming; at; at = at->next_incoming) {
                strike_demand(at->target == section && is_listed(at->cell));
                strike_demand(++listed < 10000);
            }
        }
    }
    strike_demand(recorded == listed);
}

static void check_sections(const struct cell *cell, bool in_use[PAGES])
{
    for (uint32_t i = 0; i < cell->object.section_count; i++) {
        const struct section *section = &cell->sections[i];
        if (section->address && section->size) {
            strike_demand(cell->is_retired || address_map_find(section->address) == section);
            in_use[(section->address - (uint64_t)memory) / PAGE_SIZE] = true;
        }
    }
}

void check_addresses(void)
{
    bool is_in_use[PAGES] = {false};
    for (const struct cell *cell = first_cell(); cell; cell = next_cell(cell)) {
        check_sections(cell, is_in_use);
    }
    for (unsigned i = 0; i < PAGES; i++) {
        strike_demand(is_in_use[i] || !address_map_find((uint64_t)memory[i]));
    }
}

/* As the next load does, where a strike left something to do. */
static void settle_address_map(void)
{
    struct address_table *change = NULL;
    strike_demand(address_map_prepare(NULL, 0, NULL, &change) == OK);
    address_map_publish(&change);
}

/* The address map has a block for each 256 pages in which there are cells. */
static unsigned count_leaves(void)
{
    bool has_leaf[PAGES + 2] = {false};
    unsigned count = 0;
    for (const struct cell *cell = strike_here()->first; cell; cell = cell->next) {
        for (unsigned r = 0; r < REGION_COUNT; r++) {
            const struct region *region = &cell->regions[r];
            for (uint64_t at = 0; at < region->size; at += PAGE_SIZE) {
                uint64_t leaf = (region->address + at) / LEAF_BYTES - (uint64_t)memory / LEAF_BYTES;
                count += !has_leaf[leaf];
                has_leaf[leaf] = true;
            }
        }
    }
    return count;
}

void check_memory(void)
{
    settle_address_map();
    unsigned expected = 1 + count_leaves(); /* the parent's symbols */
    uint64_t pages = entry_pool_statistics().page_bytes / PAGE_SIZE;
    uint64_t entries = 0;
    uint64_t metadata = 0;
    uint64_t region_pages = 0;
    for (const struct cell *cell = strike_here()->first; cell; cell = cell->next) {
        expected++;
        entries += cell->entry_count;
        metadata += cell->metadata_size;
        for (unsigned r = 0; r < REGION_COUNT; r++) {
            region_pages += page_count_of(cell->regions[r].size);
        }
        for (const void *at = cell->references; at; at = NULL) {
            expected++;
        }
    }
    expected += (strike_here()->names.slots != NULL) + (strike_here()->symbols.slots != NULL);
    strike_demand(blocks_out() == expected);
    strike_demand(pages_out() == pages + region_pages);
    strike_demand(entry_pool_statistics().taken == entries);
    struct loader_statistics figures = loader_statistics();
    strike_demand(figures.cells == strike_here()->cell_count);
    strike_demand(figures.metadata_bytes == metadata);
    strike_demand(figures.region_bytes == region_pages * PAGE_SIZE);
}

void *demand(const char *symbol)
{
    uint64_t address = 0;
    struct diag diag = {0};
    strike_demand(loader_demand(strike_here(), symbol, &address, &diag) == OK);
    return (void *)address;
}

void check_all(void)
{
    strike_demand(preemption_count() == 0 && read_sections_wait());
    strike_demand(interrupts_enabled());
    check_names();
    check_bindings();
    check_addresses();
    check_memory();
}

/* ---- the start ---- */

/* Samples need task_sleep(), which the parent has. */
static struct cell_namespace machine = {.name = "machine"};
static struct symbol sleep_symbol = {
    .key = {.name = "task_sleep"}, .type = STT_FUNC, .binding = STB_GLOBAL};
static struct span archive; /* mapped */

STRIKE_NOT static void sleep_not(uint64_t nanoseconds)
{
}

void strike_cells_prepare(void)
{
    struct diag diag = {0};
    strike_leave_out(kept, sizeof(kept));
    cell_namespace_init(strike_here(), "here", &machine);
    keeps = true;
    strike_demand(loader_init(archive, &diag) == OK);
    keeps = false;
    sleep_symbol.key.hash = symbol_map_hash(sleep_symbol.key.name);
    sleep_symbol.address = (uint64_t)sleep_not;
    strike_demand(cell_namespace_reserve(&machine, 0, 1) == OK);
    cell_namespace_publish_symbols(&machine, &sleep_symbol, 1);
    OWNED(heap_block, block); /* the parent has one map too many: no cells */
    *SLOT(block) = (struct heap_block *)machine.names.slots;
    machine.names = (struct symbol_map){0};
}

static bool map_archive(const char *path)
{
    struct stat info;
    int file = open(path, O_RDONLY);
    if (file < 0 || fstat(file, &info) != 0) {
        return false;
    }
    void *base = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    archive = span_of(base, (size_t)info.st_size);
    return base != MAP_FAILED;
}

bool strike_cells_start(int argc, char **argv)
{
    if (argc == 2 && map_archive(argv[1]) &&
        syscall(SYS_mprotect, memory, sizeof(memory), PROT_READ | PROT_WRITE | PROT_EXEC) == 0) {
        return true;
    }
    fprintf(stderr, "usage: %s CELLS_ARCHIVE\n", argv[0]);
    return false;
}
