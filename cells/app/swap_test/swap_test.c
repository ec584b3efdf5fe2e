/* SPDX-License-Identifier: MIT */
/*
 * swap_test - swaps cells that are in use, and looks at what became of them.
 *
 * Two cells that can be told apart are swapped for each other while tasks on all CPUs call them; then cells
 * of the system are swapped for fresh copies of themselves, one by one and together.
 */
#include "application.h"
#include "cell_namespace.h"
#include "console.h"
#include "diag.h"
#include "entry_pool.h"
#include "frame_allocator.h"
#include "heap.h"
#include "loader.h"
#include "mutex.h"
#include "swap.h"
#include "swap_sample.h"
#include "task.h"

CELL(application, "1.0.0");

APPLICATION(swap_test);

#define ONE        "swap_sample_one"
#define TWO        "swap_sample_two"
#define CALLERS    4u
#define PAUSE_NS   2000000ull
#define TIMEOUT_NS 2000000000ull
#define LINE_SIZE  400u

static bool report_diag(const char *what, const struct diag *diag)
{
    char line[LINE_SIZE];
    diag_format(diag, line, sizeof(line));
    console_print("swap_test: %s FAILED: %s\n", what, line);
    return false;
}

/* Ends OK or prints why not. */
static bool swap(const struct swap_pair *pairs, uint32_t count, uint32_t flags,
                 struct swap_report *report)
{
    struct diag diag = {0};
    const struct swap_request request = {
        .namespace = cell_namespace_initial(),
        .pairs = pairs,
        .pair_count = count,
        .flags = flags,
        .timeout_ns = TIMEOUT_NS,
    };
    return swap_cells(&request, report, &diag) == OK || report_diag(pairs[0].old_name, &diag);
}

static void print_report(const char *what, const struct swap_report *report)
{
    console_print("swap_test: %s: %u to %u cells, %u checked, %u patches, %u entries, %u stores; "
                  "adopted %u variables, %u constants, new %u, removed %u; window %lu ticks\n",
                  what, report->old_cells, report->new_cells, report->checked, report->patches,
                  report->entries, report->stores, report->adopted_variables,
                  report->adopted_constants, report->new_variables, report->removed_variables,
                  (unsigned long)report->window_ticks);
    console_print(
        "swap_test: %s: ticks: load %lu, verify %lu, plan %lu, commit %lu, retire %lu\n", what,
        (unsigned long)report->ticks[SWAP_LOAD], (unsigned long)report->ticks[SWAP_VERIFY],
        (unsigned long)report->ticks[SWAP_PLAN], (unsigned long)report->ticks[SWAP_COMMIT],
        (unsigned long)report->ticks[SWAP_RETIRE]);
}

static bool check(const char *what, bool is_right)
{
    console_print("swap_test: %s: %s\n", what, is_right ? "OK" : "FAILED");
    return is_right;
}

/* ---- callers ---- */

struct shared {
    bool has_begun; /* the one that waits inside */
    bool is_over;
    uint64_t calls;
    uint64_t wrong;
};

/* Calls until it is over: versions are one of two, and the count never goes back. */
static int call_sample(struct shared **argument)
{
    struct shared *shared = *argument;
    uint64_t last = 0;
    uint64_t calls = 0;
    while (!__atomic_load_n(&shared->is_over, __ATOMIC_RELAXED)) {
        uint64_t version = swap_sample_version();
        uint64_t count = swap_sample_count();
        uint64_t answer = swap_sample_pointer()();
        bool is_right =
            count > last && version - 1 < 2 && answer - 1 < 2 && swap_sample_name()[0] == 's';
        last = count;
        calls++;
        if (!is_right) {
            __atomic_fetch_add(&shared->wrong, 1, __ATOMIC_RELAXED);
        }
        if (calls % 64 == 0) {
            task_yield();
        }
    }
    __atomic_fetch_add(&shared->calls, calls, __ATOMIC_RELAXED);
    return 0;
}
TASK_DEFINE(caller, struct shared *, int, call_sample);

static int wait_inside(struct shared **argument)
{
    return (int)swap_sample_wait(&(*argument)->has_begun, &(*argument)->is_over);
}
TASK_DEFINE(waiter, struct shared *, int, wait_inside);

/* ---- two cells for each other ---- */

static bool check_sample(uint64_t version, const char *name, swap_sample_function_t function,
                         uint64_t count)
{
    const char *title = version == 1 ? "version one" : "version two";
    return check("functions are the new ones", swap_sample_version() == version) &
           check("pointers to functions stay, and lead to the new ones",
                 swap_sample_pointer() == function && function() == version) &
           check("constants that are the same stay where they are", swap_sample_name() == name) &
           check("pointers to constants that are not the same lead to the new ones",
                 __builtin_strcmp(swap_sample_title(), title) == 0) &
           check("variables stay", swap_sample_count() > count);
}

static bool swap_under_callers(void)
{
    struct shared shared = {0};
    struct shared *argument = &shared;
    struct caller_task *callers[CALLERS] = {NULL};
    const char *name = swap_sample_name();
    swap_sample_function_t function = swap_sample_pointer();
    bool is_right = check("the first one is there", swap_sample_version() == 1);
    for (unsigned i = 0; i < CALLERS; i++) {
        OWNED(caller_task, task);
        if (caller_spawn(&argument, NULL, SLOT(task)) == OK) {
            STORE(callers[i], task);
        }
    }
    OWNED(waiter_task, waiter);
    is_right &= waiter_spawn(&argument, NULL, SLOT(waiter)) == OK;
    while (is_right && !__atomic_load_n(&shared.has_begun, __ATOMIC_ACQUIRE)) {
        task_sleep(PAUSE_NS);
    }
    for (uint64_t version = 2; version <= 4; version++) {
        const struct swap_pair pair = {version % 2 == 0 ? ONE : TWO, version % 2 == 0 ? TWO : ONE};
        struct swap_report report;
        uint64_t count = swap_sample_count();
        is_right = is_right && swap(&pair, 1, 0, &report);
        print_report(pair.new_name, &report);
        is_right &= check_sample(version % 2 == 0 ? 2 : 1, name, function, count);
        task_sleep(PAUSE_NS);
    }
    __atomic_store_n(&shared.is_over, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < CALLERS; i++) {
        OWNED(caller_task, task);
        LOAD(task, callers[i]);
        int ended;
        is_right &= HELD(task) && caller_join(SLOT(task), &ended) == OK;
    }
    int waited = 0;
    is_right &= check("a frame of old code ends in old code",
                      waiter_join(SLOT(waiter), &waited) == OK && waited == 12);
    console_print("swap_test: %lu calls, %lu of them wrong\n", (unsigned long)shared.calls,
                  (unsigned long)shared.wrong);
    return is_right && shared.wrong == 0 && shared.calls > 0;
}

/* ---- cells of the system, for copies of themselves ---- */

struct names {
    char names[SWAP_MAX_PAIRS][SWAP_NAME_SIZE];
    struct swap_pair pairs[SWAP_MAX_PAIRS];
    uint32_t count;
};

static void collect_names(struct names *names)
{
    GUARD(mutex, held, cell_namespace_mutex());
    names->count = 0;
    for (const struct cell *cell = cell_namespace_initial()->first;
         cell && names->count < SWAP_MAX_PAIRS; cell = cell->next) {
        char *name = names->names[names->count];
        __builtin_memcpy(name, cell->name, __builtin_strlen(cell->name) + 1);
        names->pairs[names->count++] = (struct swap_pair){name, name};
    }
}

static bool swap_each(const struct names *names)
{
    uint32_t swapped = 0;
    for (uint32_t i = 0; i < names->count; i++) {
        struct swap_report report;
        if (swap(&names->pairs[i], 1, 0, &report)) {
            swapped++;
        }
    }
    console_print("swap_test: %u of %u cells were swapped for themselves\n", swapped, names->count);
    return swapped == names->count;
}

static bool swap_system(void)
{
    struct names *names = heap_allocate(sizeof(*names));
    if (!names) {
        return false;
    }
    collect_names(names);
    bool is_right = check("each cell for itself", swap_each(names));
    struct swap_report report = {0};
    is_right &= check("all cells at once", swap(names->pairs, names->count, 0, &report));
    print_report("all", &report);
    heap_free(names);
    return is_right;
}

enum status swap_test_main(const struct app_arguments *arguments)
{
    const char *what = arguments->count > 1 ? arguments->values[1] : "sample";
    bool is_right = __builtin_strcmp(what, "system") == 0
                        ? check("cells of the system", swap_system())
                        : check("two cells for each other, in use", swap_under_callers());
    return is_right ? OK : ERR_FAILED;
}
