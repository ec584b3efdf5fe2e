/* SPDX-License-Identifier: MIT */
/*
 * memory_storm [ROUNDS] - allocates, maps, loads and unloads on all CPUs at once, and counts what
 * is left.
 *
 * There is a task on each CPU; each does the same things in an order of its own, from a seed that
 * is printed. Blocks are passed on: what one has allocated another one frees. Everything holds a
 * pattern that only its owner knows, so memory that two have at once is seen. In the end there must
 * be as much of everything as before.
 */
#include "application.h"
#include "cell_namespace.h"
#include "console.h"
#include "descriptor_pool.h"
#include "diag.h"
#include "frame_allocator.h"
#include "heap.h"
#include "loader.h"
#include "mapped_pages.h"
#include "page_allocator.h"
#include "page_table.h"
#include "stack.h"
#include "task.h"

CELL(application, "1.0.0");

APPLICATION(memory_storm);

#define ROUNDS_DEFAULT 8u
#define SEED           0x9e3779b9u
#define PLACES         64u /* where blocks lie between CPUs */
#define STEPS          50u /* of a round that are not loads */
#define BLOCK_MAX      6000u
#define PAGES_MAX      40u
#define SUBJECT        "hello"
#define SUBJECT_SYMBOL "hello_main"

struct block {
    uint64_t size;
    uint64_t pattern;
};

struct storm {
    unsigned rounds;
    struct block *places[PLACES]; /* atomic; each block has one owner: a place or a CPU */
    uint64_t failures;
    uint64_t loads;
    uint64_t refusals; /* of unloading what another CPU holds */
};

static unsigned choose(uint32_t *state, unsigned below)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state % below;
}

static void fail(struct storm *storm, const char *what)
{
    __atomic_fetch_add(&storm->failures, 1, __ATOMIC_RELAXED);
    console_print("memory_storm: CPU %u: %s\n", CPU_LOCAL(index), what);
}

/* ---- steps ---- */

static void end_block(struct storm *storm, struct block *block)
{
    if (!block) {
        return;
    }
    const uint8_t *last = (const uint8_t *)block + block->size - 1;
    if (block->pattern != ((uint64_t)block ^ SEED) || *last != (uint8_t)block->size) {
        fail(storm, "a block was written by somebody else");
    }
    heap_free(block);
}

static void pass_block(struct storm *storm, uint32_t *state)
{
    size_t size = sizeof(struct block) + 1 + choose(state, BLOCK_MAX);
    struct block *block = heap_allocate(size);
    if (!block) {
        fail(storm, "no memory for a block");
        return;
    }
    block->size = size;
    block->pattern = (uint64_t)block ^ SEED;
    *((uint8_t *)block + size - 1) = (uint8_t)size;
    struct block **place = &storm->places[choose(state, PLACES)];
    end_block(storm, __atomic_exchange_n(place, block, __ATOMIC_ACQ_REL));
}

static void map_pages(struct storm *storm, uint32_t *state)
{
    uint64_t count = choose(state, 4) ? 1 : 1 + choose(state, PAGES_MAX);
    OWNED(mapped_pages, pages);
    if (mapped_pages_create(PAGE_ZONE_DATA, count * PAGE_SIZE, PAGE_WRITE, SLOT(pages)) != OK) {
        fail(storm, "no memory for pages");
        return;
    }
    uint64_t words = count * PAGE_SIZE / sizeof(uint64_t);
    uint64_t *memory = MAPPED_PAGES_SLICE_MUTABLE(uint64_t, REF(pages), 0, words);
    uint64_t pattern = (uint64_t)memory ^ CPU_LOCAL(index);
    for (uint64_t i = 0; i < words; i += 64) {
        if (memory[i]) {
            fail(storm, "a new page is not clear");
        }
        memory[i] = pattern + i;
    }
    if (mapped_pages_remap(REF(pages), PAGE_READ) != OK) {
        fail(storm, "pages cannot be protected");
    }
    for (uint64_t i = 0; i < words; i += 64) {
        if (memory[i] != pattern + i) {
            fail(storm, "a page was written by somebody else");
        }
    }
}

static void make_stack(struct storm *storm, uint32_t *state)
{
    OWNED(stack, stack);
    if (stack_create((1 + choose(state, 3)) * PAGE_SIZE, "storm", SLOT(stack)) != OK) {
        fail(storm, "no memory for a stack");
        return;
    }
    struct stack_place place;
    if (!stack_find(stack_top(REF(stack)) - 8, &place) || place.part != STACK_INSIDE) {
        fail(storm, "a stack is not found");
    }
}

/* Loads the subject, holds it, and tries to unload it; whoever is last succeeds. */
static void load_and_unload(struct storm *storm)
{
    struct cell_namespace *namespace = cell_namespace_initial();
    struct diag diag = {0};
    uint64_t address;
    struct cell *cell;
    {
        OWNED(cell_reference, held);
        if (loader_demand_held(namespace, SUBJECT_SYMBOL, &address, SLOT(held), &diag) != OK) {
            fail(storm, "the cell cannot be loaded");
            return;
        }
        cell = (struct cell *)cell_reference_cell(REF(held));
        if (loader_unload(cell, &diag) != ERR_BUSY || diag.code != DIAG_LINK_HELD) {
            fail(storm, "a held cell was unloaded");
        }
        __atomic_fetch_add(&storm->loads, 1, __ATOMIC_RELAXED);
    }
    if (loader_unload_named(namespace, SUBJECT, &diag) == ERR_BUSY) {
        __atomic_fetch_add(&storm->refusals, 1, __ATOMIC_RELAXED);
    }
}

static int run(struct storm **argument)
{
    struct storm *storm = *argument;
    uint32_t state = SEED * (CPU_LOCAL(index) + 1);
    for (unsigned round = 0; round < storm->rounds; round++) {
        for (unsigned step = 0; step < STEPS; step++) {
            switch (choose(&state, 8)) {
            case 0:
                make_stack(storm, &state);
                break;
            case 1:
            case 2:
                map_pages(storm, &state);
                break;
            default:
                pass_block(storm, &state);
            }
        }
        load_and_unload(storm);
    }
    (void)heap_statistics(); /* this CPU gives back what it keeps at hand */
    return 0;
}
TASK_DEFINE(storm_runner, struct storm *, int, run);

/* ---- what is left ---- */

struct counts {
    uint64_t frames;
    uint64_t code_pages;
    uint64_t blocks;
    uint64_t block_bytes;
    uint64_t cells;
    uint64_t bad_drops;
};

/* As memory_test counts; slabs and tables that are kept are in `frames` of what is used. */
static struct counts count(void)
{
    (void)task_statistics(); /* ended tasks leave nothing but stacks that are kept */
    task_release_stacks();
    struct heap_statistics heap = heap_statistics();
    struct frame_statistics frames = frame_allocator_statistics();
    struct page_table_statistics tables = page_table_statistics();
    return (struct counts){
        .frames = frames.free + tables.tables + tables.spares +
                  (heap.bytes_mapped + heap.bytes_metadata) / PAGE_SIZE +
                  mapped_pages_statistics().descriptor_pages,
        .code_pages = page_allocator_statistics(PAGE_ZONE_CODE).free,
        .blocks = heap.blocks_in_use,
        .block_bytes = heap.bytes_in_use,
        .cells = loader_statistics().cells,
        .bad_drops = frames.bad_drops + heap.bad_frees,
    };
}

static bool compare(const char *what, uint64_t before, uint64_t after)
{
    console_print("  %-12s %12lu before %12lu after%s\n", what, (unsigned long)before,
                  (unsigned long)after, before == after ? "" : "  DIFFERENT");
    return before == after;
}

static bool compare_all(struct counts before, struct counts after)
{
    bool is_same = compare("frames", before.frames, after.frames);
    is_same &= compare("code pages", before.code_pages, after.code_pages);
    is_same &= compare("heap blocks", before.blocks, after.blocks);
    is_same &= compare("heap bytes", before.block_bytes, after.block_bytes);
    is_same &= compare("cells", before.cells, after.cells);
    is_same &= compare("bad drops", before.bad_drops, after.bad_drops);
    return is_same;
}

/* ---- all CPUs ---- */

static enum status run_on_all(struct storm *storm)
{
    struct storm_runner_task *runners[CPU_LIMIT] = {0};
    enum status status = OK;
    for (unsigned cpu = 0; cpu < dispatcher_cpu_count() && status == OK; cpu++) {
        struct task_options options = {.is_pinned = true, .cpu = cpu};
        OWNED(storm_runner_task, runner);
        status = storm_runner_spawn(&storm, &options, SLOT(runner));
        if (status == OK) {
            STORE(runners[cpu], runner);
        }
    }
    for (unsigned cpu = 0; cpu < CPU_LIMIT; cpu++) {
        if (!runners[cpu]) {
            continue;
        }
        OWNED(storm_runner_task, runner);
        LOAD(runner, runners[cpu]);
        int result;
        enum status joined = storm_runner_join(SLOT(runner), &result);
        status = status == OK ? joined : status;
    }
    for (unsigned i = 0; i < PLACES; i++) {
        end_block(storm, storm->places[i]);
        storm->places[i] = NULL;
    }
    return status;
}

enum status memory_storm_main(const struct app_arguments *arguments)
{
    struct storm storm = {
        .rounds = app_number(arguments, 1, ROUNDS_DEFAULT),
    };
    console_print("memory_storm: %u CPUs, %u rounds, seed 0x%x\n", dispatcher_cpu_count(),
                  storm.rounds, SEED);
    unsigned rounds = storm.rounds;
    storm.rounds = 1; /* what stays stays from now on */
    enum status status = run_on_all(&storm);
    storm.rounds = rounds;
    struct counts before = count();
    status = status == OK ? run_on_all(&storm) : status;
    if (status != OK) {
        return status;
    }
    console_print("memory_storm: %lu loads, %lu refused to unload, %lu failures\n",
                  (unsigned long)storm.loads, (unsigned long)storm.refusals,
                  (unsigned long)storm.failures);
    bool is_same = compare_all(before, count());
    console_print("memory_storm: %s\n", is_same ? "nothing is lost" : "something is lost");
    return is_same && storm.failures == 0 ? OK : ERR_FAILED;
}
