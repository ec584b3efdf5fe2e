/* SPDX-License-Identifier: MIT */
/*
 * Entries of functions: each is free or is taken, the pages of each chunk have one owner, and no
 * node is lost, whatever strikes.
 */
#include "descriptor_pool.h"
#include "entry_pool.h"
#include "mapped_pages.h"
#include "memory.h"
#include "own.h"
#include "strike.h"
#include <sys/mman.h>

#define PAGE_ENTRIES (PAGE_SIZE / ENTRY_SIZE)
#define PAGES        4u

/* The machine's pages: each chunk takes the next free one. */
struct mapped_pages {
    bool is_out;
};

static ALIGNED(PAGE_SIZE) uint8_t memory[PAGES][PAGE_SIZE];
static struct mapped_pages pages[PAGES];

/* Entries that somebody owns: what he says of them, and the slot whose drop gives them back. */
struct OWN_CAPABILITY("run of entries") run {
    uint64_t address;
    uint32_t count;
};
OWN_DECLARE_LOCAL(run);

static struct run runs[2];
static uint64_t single; /* out of the middle of the second; 0: none */

/* What text_write() calls on the host: these pages are variables, and stay writable. */
STRIKE_NOT int mprotect(void *start, size_t bytes, int protection)
{
    return 0;
}

STRIKE_NOT enum status mapped_pages_create(enum page_zone zone, size_t bytes, unsigned flags,
                                           struct mapped_pages **out)
{
    for (unsigned i = 0; i < PAGES && bytes == PAGE_SIZE; i++) {
        if (!pages[i].is_out) {
            pages[i].is_out = true;
            *out = &pages[i];
            return OK;
        }
    }
    return ERR_NO_MEMORY;
}

STRIKE_NOT void mapped_pages_drop(struct mapped_pages **handle)
{
    if (*handle) {
        (*handle)->is_out = false;
        *handle = NULL;
    }
}

STRIKE_NOT enum status mapped_pages_remap(struct mapped_pages *mapped, unsigned flags)
{
    return OK;
}

STRIKE_NOT vaddr_t mapped_pages_start(const struct mapped_pages *mapped)
{
    return (vaddr_t)memory[mapped - pages];
}

STRIKE_NOT uint64_t mapped_pages_count(const struct mapped_pages *mapped)
{
    return 1;
}

static void run_drop(struct run **handle)
{
    if (*handle) {
        entry_pool_give_back((*handle)->address, &(*handle)->count, 0);
        EMPTY(handle);
    }
}

static enum status take(struct run *run, uint32_t count)
{
    run->count = count; /* until there is an address, of nothing */
    COMPILER_BARRIER();
    return entry_pool_take(count, &run->address);
}

static uint32_t count_of(const struct run *run)
{
    return run->address ? run->count : 0;
}

/* What is taken is what the owners say they have; and then nothing, and all can be had again. Of
 * the nodes each is in the pool or in the tree, which has one for each run of free entries. */
static void check(void)
{
    struct entry_pool_statistics figures = entry_pool_statistics();
    uint64_t chunks = 0;
    for (unsigned i = 0; i < PAGES; i++) {
        strike_demand(entry_pool_holds((uint64_t)memory[i]) == pages[i].is_out);
        chunks += pages[i].is_out;
    }
    strike_demand(figures.page_bytes == chunks * PAGE_SIZE);
    strike_demand(figures.taken == count_of(&runs[0]) + count_of(&runs[1]) + (single != 0));
    if (single) {
        entry_pool_give_back_one(&single);
    }
    entry_pool_give_back(runs[0].address, &runs[0].count, 0);
    entry_pool_give_back(runs[1].address, &runs[1].count, 0);
    strike_demand(runs[0].count == 0 && runs[1].count == 0 && single == 0);
    strike_demand(entry_pool_statistics().taken == 0);
    struct run all = {0};
    struct run again = {0};
    strike_demand(take(&all, PAGE_ENTRIES) == OK && all.address == (uint64_t)memory[0]);
    entry_pool_give_back(all.address, &all.count, 0);
    strike_demand(take(&again, 1) == OK && again.address == all.address);
    entry_pool_give_back(again.address, &again.count, 0);
    strike_demand(descriptor_pool_in_use() == 1); /* pages side by side are one run */
}

static void prepare_one(void)
{
    strike_demand(take(&runs[0], 8) == OK);
}

static void prepare_two(void)
{
    prepare_one();
    strike_demand(take(&runs[1], 5) == OK);
}

static void take_four(void)
{
    (void)!take(&runs[1], 4);
}

/* A page more is needed than there is: 505 entries do not fit behind the first 8. */
static void take_chunk(void)
{
    OWNED(run, owner);
    FILL(SLOT(owner), &runs[1]);
    (void)!take(&runs[1], PAGE_ENTRIES - 7);
}

/* Also where another one takes what has just gone back: the drop gives nothing back twice. */
static void give_back_and_take(void)
{
    OWNED(run, owner);
    FILL(SLOT(owner), &runs[0]);
    entry_pool_give_back(runs[0].address, &runs[0].count, 3);
    (void)!take(&runs[1], 5);
}

static void give_back(void)
{
    entry_pool_give_back(runs[0].address, &runs[0].count, 0);
}

/* The first of the second run and the one behind it are owned as a run and by itself. */
static void prepare_single(void)
{
    prepare_one();
    strike_demand(take(&runs[1], 3) == OK);
    runs[1].count = 1;
    single = runs[1].address + ENTRY_SIZE;
    uint64_t last = runs[1].address + 2 * ENTRY_SIZE;
    entry_pool_give_back_one(&last);
}

static void give_back_one(void)
{
    entry_pool_give_back_one(&single);
}

int main(void)
{
    static const struct strike_case cases[] = {
        {"take the first of all", NULL, take_four, check},
        {"take some", prepare_one, take_four, check},
        {"take more than there are", prepare_one, take_chunk, check},
        {"give back", prepare_two, give_back, check},
        {"give back some, and take them again", prepare_one, give_back_and_take, check},
        {"give back one", prepare_single, give_back_one, check},
    };
    return strike_run(cases, ARRAY_COUNT(cases));
}
