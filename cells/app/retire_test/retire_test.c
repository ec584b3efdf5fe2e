/* SPDX-License-Identifier: MIT */
/*
 * retire_test [SWAPS] - looks at when memory of replaced cells goes.
 *
 * A cell is swapped again and again, with fresh constants each time. The one that was replaced must
 * stay while a task is in it, while the heap, a stack or two words by turns point to its constants,
 * and be told to be kept by just that; and go as soon as that has ended. Then many swaps leave
 * memory as it was.
 */
#include "application.h"
#include "cell_namespace.h"
#include "cell_retirement.h"
#include "console.h"
#include "diag.h"
#include "entry_pool.h"
#include "frame_allocator.h"
#include "freestanding.h"
#include "heap.h"
#include "loader.h"
#include "mutex.h"
#include "page_table.h"
#include "swap.h"
#include "swap_sample.h"
#include "task.h"

CELL(application, "1.0.0");

APPLICATION(retire_test);

#define ONE           "swap_sample_one"
#define TWO           "swap_sample_two"
#define SECOND        1000000000ull
#define SWAPS_DEFAULT 20u
#define LINE_SIZE     400u
#define MOVES         5u          /* attempts while a pointer moves */
#define APART         (64u << 10) /* bytes between its two places */

/* ---- swapping ---- */

static bool swap_for(const char *from, const char *to)
{
    struct diag diag = {0};
    const struct swap_pair pair = {from, to};
    const struct swap_request request = {
        .namespace = cell_namespace_initial(),
        .pairs = &pair,
        .pair_count = 1,
        .flags = SWAP_FRESH_RODATA,
        .timeout_ns = SECOND,
    };
    if (swap_cells(&request, NULL, &diag) == OK) {
        return true;
    }
    char line[LINE_SIZE];
    diag_format(&diag, line, sizeof(line));
    console_print("retire_test: %s\n", line);
    return false;
}

static bool swap_over(void)
{
    return swap_sample_version() == 1 ? swap_for(ONE, TWO) : swap_for(TWO, ONE);
}

/* Old cells that stay; a task that has just been joined may still be on its way off its stack. */
static uint32_t wait_until_left(uint32_t wanted)
{
    uint32_t left = swap_retire();
    for (unsigned i = 0; i < 100 && left != wanted; i++) {
        task_sleep(SECOND / 100);
        left = swap_retire();
    }
    return left;
}

static bool get_finding(struct retirement_finding *out)
{
    GUARD(mutex, held, cell_namespace_mutex());
    return cell_retirement_finding(0, out);
}

static bool expect(const char *what, bool is_so)
{
    struct retirement_finding finding;
    char line[LINE_SIZE] = "nothing";
    if (get_finding(&finding)) {
        cell_retirement_describe(&finding, line, sizeof(line));
    }
    console_print("retire_test: %s: %s (last kept by %s)\n", what, is_so ? "OK" : "FAILED", line);
    return is_so;
}

/* ---- who keeps it ---- */

static bool test_nobody(void)
{
    return expect("nobody is in it", swap_over() && wait_until_left(0) == 0);
}

static bool test_heap(void)
{
    const char **block = heap_allocate(sizeof(*block));
    if (!block) {
        return false;
    }
    *block = swap_sample_name();
    struct retirement_finding finding = {.where = 0};
    bool is_right = swap_over() && swap_retire() == 1 && get_finding(&finding) &&
                    finding.keeper == RETIREMENT_POINTER && finding.where == (uintptr_t)block &&
                    finding.section &&
                    finding.section->address + finding.offset == (uintptr_t)*block &&
                    strcmp(*block, "sample") == 0;
    is_right = expect("a block of the heap points there", is_right);
    *block = NULL;
    is_right = expect("and does no more", wait_until_left(0) == 0) && is_right;
    heap_free(block);
    return is_right;
}

/* The block holds the address still, but is nobody's: it keeps nothing. */
static bool test_freed(void)
{
    const char **block = heap_allocate(sizeof(*block));
    if (!block) {
        return false;
    }
    *block = swap_sample_name();
    heap_free(block);
    return expect("a freed block points there", swap_over() && wait_until_left(0) == 0);
}

struct visitor {
    bool has_begun;
    bool is_over;
    uint64_t result;
};

static int wait_in_it(struct visitor **visitor)
{
    (*visitor)->result = swap_sample_wait(&(*visitor)->has_begun, &(*visitor)->is_over);
    return 0;
}
TASK_DEFINE(visit, struct visitor *, int, wait_in_it);

static void wait_for(const bool *flag)
{
    while (!__atomic_load_n(flag, __ATOMIC_ACQUIRE)) {
        task_sleep(SECOND / 1000);
    }
}

static bool test_frame(void)
{
    struct visitor visitor = {.has_begun = false};
    struct visitor *argument = &visitor;
    OWNED(visit_task, task);
    if (visit_spawn(&argument, NULL, SLOT(task)) != OK) {
        return false;
    }
    wait_for(&visitor.has_begun);
    struct retirement_finding finding = {.where = 0};
    bool is_right = swap_over() && swap_retire() == 1 && get_finding(&finding) &&
                    finding.keeper == RETIREMENT_FRAME && strcmp(finding.task, "visit") == 0 &&
                    finding.section && strcmp(finding.section->name, ".text.swap_sample_wait") == 0;
    is_right = expect("a task is in it", is_right);
    __atomic_store_n(&visitor.is_over, true, __ATOMIC_RELEASE);
    int result;
    is_right = visit_join(SLOT(task), &result) == OK && is_right;
    return expect("and comes out", wait_until_left(0) == 0) && is_right;
}

/* A task that keeps the address on its stack, or moves it to and fro. */
struct holder {
    bool has_begun;
    bool is_over;
    const char *volatile *places; /* two; NULL: on the stack */
};

static int hold_name(struct holder **argument)
{
    struct holder *holder = *argument;
    const char *volatile name = swap_sample_name();
    __atomic_store_n(&holder->has_begun, true, __ATOMIC_RELEASE);
    wait_for(&holder->is_over);
    return name[0];
}
TASK_DEFINE(holder, struct holder *, int, hold_name);

/* At every instruction in at least one of the places or a register. */
static int move_name(struct holder **argument)
{
    struct holder *holder = *argument;
    const char *volatile *there = holder->places + APART / sizeof(char *);
    holder->places[0] = swap_sample_name();
    __atomic_store_n(&holder->has_begun, true, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&holder->is_over, __ATOMIC_ACQUIRE)) {
        *there = holder->places[0];
        holder->places[0] = NULL;
        holder->places[0] = *there;
        *there = NULL;
    }
    holder->places[0] = NULL;
    return 0;
}
TASK_DEFINE(mover, struct holder *, int, move_name);

static bool test_stack(void)
{
    struct holder holder = {.has_begun = false};
    struct holder *argument = &holder;
    OWNED(holder_task, task);
    if (holder_spawn(&argument, NULL, SLOT(task)) != OK) {
        return false;
    }
    wait_for(&holder.has_begun);
    struct retirement_finding finding = {.where = 0};
    struct stack_place place = {.name = ""};
    bool is_right = swap_over() && swap_retire() == 1 && get_finding(&finding) &&
                    finding.keeper == RETIREMENT_POINTER && stack_find(finding.where, &place);
    is_right = expect("a stack points there", is_right);
    __atomic_store_n(&holder.is_over, true, __ATOMIC_RELEASE);
    int result;
    is_right = holder_join(SLOT(task), &result) == OK && result == 's' && is_right;
    return expect("and does no more", wait_until_left(0) == 0) && is_right;
}

/* Whoever looks at one place at a time may find the pointer in none. */
static bool test_moving(void)
{
    struct holder holder = {.places = heap_allocate_zeroed(APART + sizeof(char *))};
    struct holder *argument = &holder;
    OWNED(mover_task, task);
    if (!holder.places || mover_spawn(&argument, NULL, SLOT(task)) != OK) {
        heap_free((void *)(uintptr_t)holder.places);
        return false;
    }
    wait_for(&holder.has_begun);
    bool is_right = swap_over();
    for (unsigned i = 0; i < MOVES && is_right; i++) {
        is_right = swap_retire() == 1;
    }
    is_right = expect("a pointer that moves", is_right);
    __atomic_store_n(&holder.is_over, true, __ATOMIC_RELEASE);
    int result;
    is_right = mover_join(SLOT(task), &result) == OK && is_right;
    is_right = expect("and is gone", wait_until_left(0) == 0) && is_right;
    heap_free((void *)(uintptr_t)holder.places);
    return is_right;
}

/* ---- many ---- */

struct counts {
    uint64_t frames;
    uint64_t blocks;
    uint64_t entries;
    uint64_t cells;
    uint64_t region_bytes;
};

static struct counts count(void)
{
    task_release_stacks();
    struct loader_statistics loader = loader_statistics();
    return (struct counts){
        .frames = frame_allocator_statistics().free,
        .blocks = heap_statistics().blocks_in_use,
        .entries = entry_pool_statistics().taken,
        .cells = loader.cells,
        .region_bytes = loader.region_bytes,
    };
}

static bool test_many(uint64_t swaps)
{
    bool is_right = true;
    struct counts before = {0};
    for (uint64_t i = 0; i < SWAP_REMEMBERED + swaps && is_right; i++) {
        if (i == SWAP_REMEMBERED) { /* what is remembered is remembered now, and what is old gone */
            is_right = wait_until_left(0) == 0;
            before = count();
        }
        is_right = is_right && swap_over();
    }
    is_right = is_right && wait_until_left(0) == 0;
    struct counts after = count();
    console_print(
        "retire_test: %lu swaps: %ld frames, %ld blocks, %ld entries, %ld cells, %ld bytes more\n",
        (unsigned long)swaps, (long)(before.frames - after.frames),
        (long)(after.blocks - before.blocks), (long)(after.entries - before.entries),
        (long)(after.cells - before.cells), (long)(after.region_bytes - before.region_bytes));
    is_right = is_right && after.blocks == before.blocks && after.entries == before.entries &&
               after.cells == before.cells && after.region_bytes == before.region_bytes;
    return expect("many swaps leave memory as it was", is_right);
}

static void print_statistics(void)
{
    struct retirement_statistics sums = cell_retirement_statistics();
    uint64_t passes = sums.passes ? sums.passes : 1;
    console_print(
        "retire_test: %lu passes; each %lu stacks, %lu pages, %lu of them again; ticks: %lu for "
        "stacks, %lu for memory, %lu in the window, %lu at most\n",
        (unsigned long)sums.passes, (unsigned long)(sums.stacks / passes),
        (unsigned long)(sums.pages / passes), (unsigned long)(sums.changed_pages / passes),
        (unsigned long)(sums.sweep_ticks / passes), (unsigned long)(sums.scan_ticks / passes),
        (unsigned long)(sums.window_ticks / passes), (unsigned long)sums.longest_window);
}

static uint64_t number(const char *text, uint64_t otherwise)
{
    uint64_t value = 0;
    for (; text && *text >= '0' && *text <= '9'; text++) {
        value = value * 10 + (uint64_t)(*text - '0');
    }
    return value ? value : otherwise;
}

enum status retire_test_main(const struct app_arguments *arguments)
{
    bool is_right = test_nobody() && test_heap() && test_freed() && test_frame() && test_stack() &&
                    test_moving() && test_many(number(arguments->values[1], SWAPS_DEFAULT));
    print_statistics();
    return is_right ? OK : ERR_FAILED;
}
