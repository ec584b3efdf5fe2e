/* SPDX-License-Identifier: MIT */
/*
 * All memory comes in *runs* of pages, and each run begins with a header, so the header of a block
 * is found by rounding its address down to its page.
 *
 *   small run   one page: header, then blocks of one size class; a bit for each says which are taken
 *   large run   header, then one block, in as many pages as it needs
 *
 * Which blocks are free is kept in the header's bits and not in the free blocks themselves: writing
 * to freed memory then corrupts nothing here, and freeing twice is seen at once.
 *
 * Runs of a class that have a free block are in the class's list. A run that becomes empty is given
 * back, unless it is the only one in the list: a caller that allocates and frees one block over and
 * over would otherwise map and unmap each time.
 */
#include "heap.h"
#include "logger.h"
#include "mapped_pages.h"

CELL(library, "1.0.0");

#define RUN_MAGIC   0x7e4015u
#define HEADER_SIZE 128u
#define SMALL_BYTES ((unsigned)PAGE_SIZE - HEADER_SIZE)
#define CLASS_LARGE 0xffu

struct run {
    uint32_t magic;
    uint8_t class;
    uint16_t taken_count;
    uint64_t taken[4]; /* bit i: block i is in use */
    struct run *next;  /* in the class's list */
    struct run *previous;
    struct mapped_pages *pages; /* owned; this header lies in them */
};
static_assert(sizeof(struct run) <= HEADER_SIZE, "the first block follows the header");

/* Multiples of HEAP_ALIGNMENT; from 496 on, what divides a page best. */
static const uint16_t class_sizes[] = {16, 32, 48, 64, 96, 128, 192, 256, 384, 496, 656, 992, 1984};
#define CLASS_COUNT ARRAY_COUNT(class_sizes)
static_assert(SMALL_BYTES / 16 <= 4 * 64, "a bit for each block");

static struct run *lists[CLASS_COUNT];
static struct heap_statistics statistics;

static unsigned class_of(size_t bytes)
{
    unsigned class = 0;
    while (class < CLASS_COUNT && class_sizes[class] < bytes) {
        class ++;
    }
    return class;
}

static unsigned blocks_in(unsigned class)
{
    return SMALL_BYTES / class_sizes[class];
}

static void list_insert(struct run *run)
{
    run->previous = NULL;
    run->next = lists[run->class];
    if (run->next) {
        run->next->previous = run;
    }
    lists[run->class] = run;
}

static void list_remove(struct run *run)
{
    if (run->previous) {
        run->previous->next = run->next;
    } else {
        lists[run->class] = run->next;
    }
    if (run->next) {
        run->next->previous = run->previous;
    }
}

static uint64_t run_bytes(struct run *run)
{
    return mapped_pages_count(STORED(run->pages)) * PAGE_SIZE;
}

static struct run *map_run(size_t bytes, unsigned class)
{
    OWNED(mapped_pages, pages);
    if (mapped_pages_create(PAGE_ZONE_DATA, bytes, PAGE_WRITE, SLOT(pages)) != OK) {
        return NULL;
    }
    struct run *run = (struct run *)mapped_pages_start(REF(pages));
    *run = (struct run){.magic = RUN_MAGIC, .class = (uint8_t) class};
    STORE(run->pages, pages);
    statistics.bytes_mapped += run_bytes(run);
    return run;
}

static void unmap_run(struct run *run)
{
    statistics.bytes_mapped -= run_bytes(run);
    run->magic = 0;
    OWNED(mapped_pages, pages);
    LOAD(pages, run->pages); /* the header goes with them */
}

static void *block_at(struct run *run, unsigned index)
{
    return (char *)run + HEADER_SIZE + index * class_sizes[run->class];
}

/* Takes the first free block of a run that has one. */
static void *take_block(struct run *run)
{
    unsigned word = 0;
    while (run->taken[word] == UINT64_MAX) {
        word++;
    }
    unsigned bit = (unsigned)__builtin_ctzll(~run->taken[word]);
    run->taken[word] |= 1ull << bit;
    run->taken_count++;
    if (run->taken_count == blocks_in(run->class)) {
        list_remove(run);
    }
    statistics.bytes_in_use += class_sizes[run->class];
    return block_at(run, word * 64 + bit);
}

static void *allocate_small(unsigned class)
{
    struct run *run = lists[class];
    if (!run) {
        run = map_run(PAGE_SIZE, class);
        if (!run) {
            return NULL;
        }
        list_insert(run);
    }
    return take_block(run);
}

static void *allocate_large(size_t bytes)
{
    if (bytes > SIZE_MAX - HEADER_SIZE) {
        return NULL;
    }
    struct run *run = map_run(bytes + HEADER_SIZE, CLASS_LARGE);
    if (!run) {
        return NULL;
    }
    statistics.bytes_in_use += run_bytes(run) - HEADER_SIZE;
    return (char *)run + HEADER_SIZE;
}

void *heap_allocate(size_t bytes)
{
    unsigned class = class_of(bytes);
    void *block = class < CLASS_COUNT ? allocate_small(class) : allocate_large(bytes);
    statistics.allocations++;
    if (block) {
        statistics.blocks_in_use++;
    } else {
        statistics.failures++;
    }
    return block;
}

/* Is there a block in use at `offset` of this run? For small runs, also says which one. */
static bool is_block(const struct run *run, size_t offset, unsigned *out_index)
{
    if (run->magic != RUN_MAGIC || offset < HEADER_SIZE) {
        return false;
    }
    offset -= HEADER_SIZE;
    if (run->class == CLASS_LARGE) {
        return offset == 0;
    }
    if (run->class >= CLASS_COUNT || offset % class_sizes[run->class] != 0) {
        return false;
    }
    unsigned index = (unsigned)(offset / class_sizes[run->class]);
    *out_index = index;
    return (run->taken[index / 64] >> (index % 64)) & 1;
}

static void free_small(struct run *run, unsigned index)
{
    if (run->taken_count == blocks_in(run->class)) {
        list_insert(run);
    }
    run->taken[index / 64] &= ~(1ull << (index % 64));
    run->taken_count--;
    statistics.bytes_in_use -= class_sizes[run->class];
    bool alone = !run->next && !run->previous;
    if (run->taken_count == 0 && !alone) {
        list_remove(run);
        unmap_run(run);
    }
}

void heap_free(void *block)
{
    if (!block) {
        return;
    }
    struct run *run = (struct run *)page_align_down((uintptr_t)block);
    unsigned index;
    if (!is_block(run, (size_t)((uintptr_t)block - (uintptr_t)run), &index)) {
        statistics.bad_frees++;
        log_error("freed %p, which is not an allocated block", block);
        return;
    }
    statistics.blocks_in_use--;
    if (run->class == CLASS_LARGE) {
        statistics.bytes_in_use -= run_bytes(run) - HEADER_SIZE;
        unmap_run(run);
    } else {
        free_small(run, index);
    }
}

struct heap_statistics heap_statistics(void)
{
    return statistics;
}
