/* SPDX-License-Identifier: MIT */
/*
 * A kill that strikes a task in the middle of a swap leaves the system before or after it: version
 * one or two, with a loader that is free; what would be left over each time would be seen in the
 * end.
 */
#include "cell_namespace.h"
#include "console.h"
#include "diag.h"
#include "entry_pool.h"
#include "loader.h"
#include "swap_sample.h"
#include "swap_storm.h"
#include "task.h"

#define KILL_LIMIT_NS \
    20000000000ull               /* whole rounds of retirement are waited for, on a busy machine */
#define DELAY_MAX_NS    4000000u /* longer than a swap of one cell takes */
#define FRAMES_LIMIT_NS 3600000000000ull
#define SEED            88172645463325252ull
#define STALE_MAX       3u /* old cells that stale words on stacks keep */
#define RETIRE_TRIES    5u

struct use {
    uint64_t cells;
    uint64_t entries;
};

struct swapper {
    uint64_t swaps;
    bool has_begun;
};

static bool swap_sample(const char *from, const char *to, uint64_t timeout_ns)
{
    struct diag diag = {0};
    const struct swap_pair pair = {from, to};
    const struct swap_request request = {
        .namespace = cell_namespace_initial(),
        .pairs = &pair,
        .pair_count = 1,
        .timeout_ns = timeout_ns,
    };
    return swap_cells(&request, NULL, &diag) == OK;
}

static bool swap_to(uint64_t version)
{
    if (swap_sample_version() == version) {
        return true;
    }
    return swap_sample(version == 1 ? TWO : ONE, version == 1 ? ONE : TWO, 0) &&
           swap_sample_version() == version;
}

/* One for two for one, until it is killed. */
static int swap_for_ever(struct swapper **argument)
{
    struct swapper *swapper = *argument;
    for (;;) {
        __atomic_store_n(&swapper->has_begun, true, __ATOMIC_RELEASE);
        if (swap_to(swap_sample_version() == 1 ? 2 : 1)) {
            __atomic_fetch_add(&swapper->swaps, 1, __ATOMIC_RELAXED);
        }
    }
    return 0;
}
TASK_DEFINE(swapping, struct swapper *, int, swap_for_ever);

static void wait_for(const bool *flag)
{
    while (!__atomic_load_n(flag, __ATOMIC_ACQUIRE)) {
        task_yield();
    }
}

/* Counts in `kept` whether a swap was in its middle. */
static bool kill_one(uint64_t delay_ns, struct swapper *swapper, uint32_t *kept)
{
    swapper->has_begun = false;
    OWNED(swapping_task, task);
    if (swapping_spawn(&swapper, NULL, SLOT(task)) != OK) {
        return false;
    }
    wait_for(&swapper->has_begun);
    uint64_t end = parking_deadline(delay_ns);
    while (parking_now() < end) {
        task_yield();
    }
    struct task_kill_report report = {.kept_by = NULL};
    if (swapping_kill_wait(REF(task), 1000, &report) == ERR_TIMEOUT) {
        *kept += report.kept_by && __builtin_strcmp(report.kept_by, "a swap") == 0;
        if (swapping_kill_wait(REF(task), KILL_LIMIT_NS, &report) != OK) {
            task_kill_report_log(&report);
            return false;
        }
    }
    int result;
    uint64_t version = swap_sample_version();
    return swapping_join(SLOT(task), &result) == ERR_KILLED && version - 1 < 2 &&
           swap_sample_pointer()() == version && swap_to(3 - version);
}

static struct use measure(void)
{
    struct use use = {0};
    for (unsigned i = 0; i < RETIRE_TRIES && swap_retire() > 0; i++) {
        task_sleep(PAUSE_NS);
    }
    use.cells = loader_statistics().cells;
    use.entries = entry_pool_statistics().taken;
    return use;
}

/* ---- in the middle, for certain ---- */

struct middle {
    bool is_reached;
    bool goes_on;
    bool was_committed;
};

static enum status stay(void *context, const struct swap_view *view)
{
    struct middle *middle = context;
    (void)view;
    __atomic_store_n(&middle->is_reached, true, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&middle->goes_on, __ATOMIC_ACQUIRE)) {
        task_sleep(PAUSE_NS);
    }
    return OK;
}

static void note_end(void *context, bool is_committed)
{
    ((struct middle *)context)->was_committed = is_committed;
}

static int swap_with_hooks(struct middle **middle)
{
    static const struct swap_pair pair = {ONE, TWO};
    const struct swap_hooks hooks = {.prepare = stay, .finish = note_end, .context = *middle};
    const struct swap_request request = {
        .namespace = cell_namespace_initial(), .pairs = &pair, .pair_count = 1, .hooks = &hooks};
    struct diag diag = {0};
    return swap_cells(&request, NULL, &diag) == OK;
}
TASK_DEFINE(hooked, struct middle *, int, swap_with_hooks);

/* It is told what keeps the task, which ends when all is swapped. */
static bool kill_in_the_middle(void)
{
    struct middle middle = {0};
    struct middle *argument = &middle;
    struct task_kill_report report = {.kept_by = NULL};
    int result;
    OWNED(hooked_task, task);
    if (!swap_to(1) || hooked_spawn(&argument, NULL, SLOT(task)) != OK) {
        return false;
    }
    wait_for(&middle.is_reached);
    bool is_right = true;
    do { /* until it has looked at the sign, it runs on */
        is_right &= hooked_kill_wait(REF(task), PAUSE_NS, &report) == ERR_TIMEOUT;
    } while (is_right && !report.kept_by);
    is_right = is_right && __builtin_strcmp(report.kept_by, "a swap") == 0;
    __atomic_store_n(&middle.goes_on, true, __ATOMIC_RELEASE);
    is_right &= hooked_kill_wait(REF(task), KILL_LIMIT_NS, NULL) == OK;
    is_right = is_right && hooked_join(SLOT(task), &result) == ERR_KILLED;
    is_right &= middle.was_committed && swap_sample_version() == 2;
    return check("a kill in the middle of a swap waits for its end", is_right && swap_to(1));
}

/* ---- who waits for frames ---- */

struct inside {
    bool has_begun;
    bool is_over;
};

static int wait_inside(struct inside **argument)
{
    return (int)swap_sample_wait(&(*argument)->has_begun, &(*argument)->is_over);
}
TASK_DEFINE(waiter, struct inside *, int, wait_inside);

static int swap_layout(bool **has_begun)
{
    __atomic_store_n(*has_begun, true, __ATOMIC_RELEASE);
    return swap_sample(ONE, THREE, FRAMES_LIMIT_NS);
}
TASK_DEFINE(patient, bool *, int, swap_layout);

/* A swap that would wait for an hour ends with its task. */
static bool kill_who_waits(void)
{
    struct inside inside = {0};
    struct inside *argument = &inside;
    bool has_begun = false;
    bool *flag = &has_begun;
    int result;
    OWNED(waiter_task, waiter);
    if (waiter_spawn(&argument, NULL, SLOT(waiter)) != OK) {
        return false;
    }
    wait_for(&inside.has_begun);
    uint64_t before = swap_state_hash(cell_namespace_initial(), false);
    OWNED(patient_task, task);
    bool is_right = patient_spawn(&flag, NULL, SLOT(task)) == OK;
    if (is_right) {
        wait_for(&has_begun);
        task_sleep(PAUSE_NS);
        is_right = patient_kill_wait(REF(task), KILL_LIMIT_NS, NULL) == OK;
        is_right = is_right && patient_join(SLOT(task), &result) == ERR_KILLED;
    }
    is_right &= swap_state_hash(cell_namespace_initial(), false) == before;
    __atomic_store_n(&inside.is_over, true, __ATOMIC_RELEASE);
    is_right &= waiter_join(SLOT(waiter), &result) == OK && result == 11;
    return check("who waits for frames is killed", is_right);
}

bool test_kills(const struct load *load, uint32_t kills)
{
    (void)load;
    struct swapper swapper = {0};
    uint64_t seed = SEED;
    uint32_t kept = 0;
    uint32_t right = 0;
    bool is_right = swap_to(2) && swap_to(1);
    struct use before = measure();
    for (uint32_t i = 0; i < kills; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        right += kill_one(seed % DELAY_MAX_NS, &swapper, &kept);
    }
    is_right &= swap_to(2) && swap_to(1);
    struct use after = measure();
    console_print(
        "swap_storm: seed %lu: %u kills, %u right, %u in a swap's middle, %lu swaps done; "
        "cells %lu and %lu, entries %lu and %lu\n",
        (unsigned long)SEED, kills, right, kept, (unsigned long)swapper.swaps,
        (unsigned long)before.cells, (unsigned long)after.cells, (unsigned long)before.entries,
        (unsigned long)after.entries);
    is_right &= check("every kill leaves one version", right == kills);
    is_right &= check("kills leave nothing over",
                      after.cells <= before.cells + STALE_MAX && after.entries <= before.entries);
    is_right &= kill_in_the_middle();
    return kill_who_waits() && is_right;
}
