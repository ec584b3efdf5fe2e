/* SPDX-License-Identifier: MIT */
/*
 * evolve_scheduler [SWAPS] - changes the scheduling policy while tasks of three priorities compute
 * on every CPU: from round robin to priority, and back, SWAPS times (default 2); then swaps that
 * fail at their last steps, when the tasks have moved already, change nothing. What a person sees
 * is who gets the time: first all three alike, then the highest alone, then all three again. Lines
 * `figure NAME VALUE` say what the swaps cost (swap_figures.h).
 */
#include "application.h"
#include "console.h"
#include "diag.h"
#include "heap.h"
#include "scheduler.h"
#include "scheduler_change.h"
#include "swap_figures.h"
#include "task.h"

CELL(application, "1.0.0");

APPLICATION(evolve_scheduler);

#define SWAPS_DEFAULT 2u
#define RANKS         3u
#define PHASE_NS      300000000u /* long beside a time slice */
#define LAST_STEPS    4u
#define LINE_SIZE     400 /* the longest diag */
#define FAIR_MIN      10u /* percent; a third, if the host that emulates gave every CPU its time */
#define ALONE_MIN     90u
#define TRIES         5u  /* when tasks were spawned meanwhile */
#define PHASES_MAX    20u /* in which a busy host may spoil what is measured */

static const char in_turn[] = "scheduler_round_robin";
static const char by_priority[] = "scheduler_priority";
static const char *const names[RANKS] = {"low", "middle", "high"};

struct world {
    uint64_t steps[DISPATCHER_CPUS][RANKS]; /* atomically */
    bool is_over;                           /* atomically */
    struct counter_task *tasks[DISPATCHER_CPUS][RANKS];
    uint32_t cpus;
    struct swap_figures figures;
};

struct place {
    struct world *world;
    uint32_t cpu;
    uint32_t rank;
};

static int count(struct place *place)
{
    uint64_t *steps = &place->world->steps[place->cpu][place->rank];
    while (!__atomic_load_n(&place->world->is_over, __ATOMIC_RELAXED)) {
        __atomic_add_fetch(steps, 1, __ATOMIC_RELAXED);
    }
    return 0;
}
TASK_DEFINE(counter, struct place, int, count);

static enum status spawn_all(struct world *world) OWN_UNCHECKED
{
    enum status status = OK;
    for (uint32_t cpu = 0; cpu < world->cpus; cpu++) {
        for (uint32_t rank = 0; status == OK && rank < RANKS; rank++) {
            struct place place = {world, cpu, rank};
            struct task_options options = {
                .name = names[rank], .is_pinned = true, .cpu = cpu, .priority = 1 + rank};
            status = counter_spawn(&place, &options, &world->tasks[cpu][rank]);
        }
    }
    return status;
}

static enum status join_all(struct world *world) OWN_UNCHECKED
{
    enum status status = OK;
    __atomic_store_n(&world->is_over, true, __ATOMIC_RELAXED);
    for (uint32_t cpu = 0; cpu < world->cpus; cpu++) {
        for (uint32_t rank = 0; rank < RANKS; rank++) {
            int result;
            enum status joined = OK;
            if (world->tasks[cpu][rank]) {
                joined = counter_join(&world->tasks[cpu][rank], &result);
            }
            status = status == OK ? joined : status;
        }
    }
    return status;
}

/* Each rank's share of the steps of a CPU, in percent, over one phase. */
static void measure(struct world *world, uint32_t cpu, uint64_t shares[RANKS],
                    uint64_t before[RANKS])
{
    uint64_t total = 0;
    for (uint32_t rank = 0; rank < RANKS; rank++) {
        uint64_t now = __atomic_load_n(&world->steps[cpu][rank], __ATOMIC_RELAXED);
        shares[rank] = now - before[rank];
        before[rank] = now;
        total += shares[rank];
    }
    for (uint32_t rank = 0; rank < RANKS; rank++) {
        shares[rank] = total ? shares[rank] * 100 / total : 0;
    }
}

static bool is_as_promised(const uint64_t shares[RANKS], bool is_fair)
{
    return is_fair ? shares[0] >= FAIR_MIN && shares[1] >= FAIR_MIN && shares[2] >= FAIR_MIN
                   : shares[2] >= ALONE_MIN;
}

/* Lets everybody compute for a while. */
static bool compute(struct world *world, uint64_t shares[][RANKS], bool is_fair)
{
    uint64_t before[DISPATCHER_CPUS][RANKS] = {{0}};
    for (uint32_t cpu = 0; cpu < world->cpus; cpu++) {
        measure(world, cpu, shares[cpu], before[cpu]);
    }
    task_sleep(PHASE_NS);
    bool is_right = true;
    for (uint32_t cpu = 0; cpu < world->cpus; cpu++) {
        measure(world, cpu, shares[cpu], before[cpu]);
        is_right &= is_as_promised(shares[cpu], is_fair);
    }
    return is_right;
}

/* Until they get what the policy promises. */
static enum status watch(struct world *world, bool is_fair)
{
    uint64_t shares[DISPATCHER_CPUS][RANKS];
    bool is_right = false;
    for (unsigned phase = 0; !is_right && phase < PHASES_MAX; phase++) {
        is_right = compute(world, shares, is_fair);
    }
    for (uint32_t cpu = 0; cpu < world->cpus; cpu++) {
        console_print("evolve_scheduler: %s: CPU %u: low %lu %%, middle %lu %%, high %lu %%\n",
                      run_queue_policy(), (unsigned)cpu, (unsigned long)shares[cpu][0],
                      (unsigned long)shares[cpu][1], (unsigned long)shares[cpu][2]);
    }
    return is_right ? OK : ERR_MISMATCH;
}

static enum status change_to(const char *policy, struct swap_report *out_report)
{
    struct diag diag;
    enum status status;
    unsigned tries = 0;
    do {
        diag = (struct diag){0};
        status = scheduler_change(policy, 0, out_report, &diag);
    } while (status == ERR_AGAIN && ++tries < TRIES);
    if (status != OK) {
        char line[LINE_SIZE];
        diag_format(&diag, line, sizeof(line));
        console_print("evolve_scheduler: %s refused: %s: %s\n", policy, status_name(status), line);
        return status;
    }
    return OK;
}

/* Swaps to `policy` that are to fail at one of their last steps; one that had more is undone. */
static enum status fail_to(const char *policy, const char *current, uint64_t steps)
{
    unsigned refused = 0;
    enum status status = OK;
    for (uint64_t step = steps; status == OK && step + LAST_STEPS > steps; step--) {
        struct swap_report report;
        struct diag diag = {0};
        enum status failed = scheduler_change(policy, step, &report, &diag);
        refused += failed != OK && diag.code == DIAG_SWAP_STEP;
        if (failed == OK) {
            status = change_to(current, &report);
        }
    }
    console_print(
        "evolve_scheduler: %u of %u swaps failed at their last steps and were taken back\n",
        refused, LAST_STEPS);
    return status == OK && refused == 0 ? ERR_MISMATCH : status;
}

/* From one policy to the other and back; what the last two bring is shown. */
static enum status change(struct world *world, uint32_t swaps, uint64_t *out_steps_to_priority)
{
    struct swap_report report;
    enum status status = OK;
    for (uint32_t i = 0; status == OK && i < swaps; i++) {
        status = change_to(i % 2 == 0 ? by_priority : in_turn, &report);
        if (status != OK) {
            break;
        }
        if (i % 2 == 0) {
            *out_steps_to_priority = report.steps;
        }
        swap_figures_add(&world->figures, &report);
        if (i + 2 >= swaps) {
            console_print(
                "evolve_scheduler: swapped: %u fields patched, %u entries, window %lu ticks\n",
                (unsigned)report.patches, (unsigned)report.entries,
                (unsigned long)report.window_ticks);
            status = watch(world, i % 2 != 0);
        }
    }
    return status;
}

enum status evolve_scheduler_main(const struct app_arguments *arguments)
{
    uint32_t swaps = app_number(arguments, 1, SWAPS_DEFAULT);
    if (swaps == 0 || swaps % 2 != 0) {
        console_print("usage: evolve_scheduler [SWAPS], an even number\n");
        return ERR_INVALID_ARGUMENT;
    }
    if (!parking_self() || __builtin_strcmp(run_queue_policy(), "round robin") != 0) {
        console_print("evolve_scheduler: wants tasks, and round robin to begin with\n");
        return ERR_STATE;
    }
    struct world *world = heap_allocate_zeroed(sizeof(*world));
    if (!world) {
        return ERR_NO_MEMORY;
    }
    world->cpus = dispatcher_cpu_count();
    uint64_t steps = 0;
    enum status status = spawn_all(world);
    status = status == OK ? watch(world, true) : status;
    status = status == OK ? change(world, swaps, &steps) : status;
    status = status == OK ? fail_to(by_priority, in_turn, steps) : status;
    status = status == OK ? watch(world, true) : status;
    enum status joined = join_all(world);
    swap_figures_print(&world->figures, "scheduler");
    heap_free(world);
    status = status == OK ? joined : status;
    console_print("evolve_scheduler: %s\n", status_name(status));
    return status;
}
