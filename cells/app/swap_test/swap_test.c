/* SPDX-License-Identifier: MIT */
/*
 * swap_test [callers [SWAPS]|system|all [SWAPS]|load [STEP]|refusals|failures|thousand] - swaps
 * cells that are in use, and looks at what became of them.
 *
 * callers: two cells that can be told apart are swapped for each other, SWAPS times, while tasks on
 * all CPUs call them; lines `figure NAME VALUE` say what the swaps cost (swap_figures.h). system:
 * all cells are swapped for fresh copies of themselves, one by one and together, and together once
 * more, which fails in the window and is taken back to the byte. all: together, SWAPS times, with
 * figures. load: as system, while tasks use memory, one by one only every STEP-th. refusals: what
 * must not be swapped is not; layouts are transferred; swaps are taken back. failures: every step
 * fails in turn. thousand: so many swaps, after which memory is as before.
 */
#include "application.h"
#include "cell_namespace.h"
#include "console.h"
#include "diag.h"
#include "entry_pool.h"
#include "frame_allocator.h"
#include "heap.h"
#include "loader.h"
#include "memory_load.h"
#include "mutex.h"
#include "swap.h"
#include "swap_figures.h"
#include "swap_sample.h"
#include "task.h"

CELL(application, "1.0.0");

APPLICATION(swap_test);

#define ONE           "swap_sample_one"
#define TWO           "swap_sample_two"
#define THREE         "swap_sample_three"
#define CALLERS       4u
#define CALLERS_SWAPS 3u
#define ALL_SWAPS     3u
#define THOUSAND      1000u
#define RETIRE_TRIES  5u /* what a stale word on a stack holds may be gone later */
#define WARM_UP       (4 * SWAP_RETIRE_AT) /* swaps, until tables have their size */
#define PAUSE_NS      2000000ull
#define TIMEOUT_NS    2000000000ull
#define LINE_SIZE     400u

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

/* Unchecked, as the next: tasks lie in an array, and what failed is told by a flag. */
static bool swap_under_callers(uint32_t swaps, struct swap_figures *figures) OWN_UNCHECKED
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
    for (uint64_t version = 2; version < 2 + swaps; version++) {
        const struct swap_pair pair = {version % 2 == 0 ? ONE : TWO, version % 2 == 0 ? TWO : ONE};
        struct swap_report report = {0};
        uint64_t count = swap_sample_count();
        is_right = is_right && swap(&pair, 1, 0, &report);
        print_report(pair.new_name, &report);
        swap_figures_add(figures, &report);
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
    is_right &=
        check("a frame of old code ends in old code",
              waiter_join(SLOT(waiter), &waited) == OK && waited == (swaps % 2 == 0 ? 11 : 12));
    console_print("swap_test: %lu calls, %lu of them wrong\n", (unsigned long)shared.calls,
                  (unsigned long)shared.wrong);
    swap_figures_print(figures, "callers");
    return is_right && shared.wrong == 0 && shared.calls > 0;
}

/* ---- refusals, transfers, and the way back ---- */

/* Swaps the sample, and expects this code; `to` is what is there afterwards. */
static bool expect(const char *from, const char *to, uint32_t code, struct swap_report *report)
{
    struct diag diag = {0};
    const struct swap_pair pair = {from, to};
    const struct swap_request request = {
        .namespace = cell_namespace_initial(),
        .pairs = &pair,
        .pair_count = 1,
        .flags = SWAP_PROVE,
    };
    enum status status = swap_cells(&request, report, &diag);
    char line[LINE_SIZE];
    diag_format(&diag, line, sizeof(line));
    bool is_right = (code == 0) == (status == OK) && (status == OK || diag.code == code) &&
                    (status == OK || report->hash_before == report->hash_after);
    console_print("swap_test: %s to %s: %s: %s\n", from, to, status == OK ? "done" : line,
                  is_right ? "OK" : "FAILED");
    return is_right;
}

static void count_up_to(uint64_t rest)
{
    while (swap_sample_count() % SWAP_SAMPLE_ORDERS != rest) {
    }
}

/* From ONE. The state of all that a swap may change, data apart, which others write to. */
static bool refuse_all(void)
{
    static const struct {
        const char *from;
        const char *to;
        uint32_t code;
        uint32_t rest;
    } cases[] = {
        {ONE, "swap_sample_wrong", DIAG_SWAP_MISSING, 0},
        {ONE, "no_such_cell", DIAG_LINK_CELL, 0},
        {"no_such_cell", TWO, DIAG_SWAP_CELL, 0},
        {ONE, "hello", DIAG_SWAP_MISSING, 0},
        {ONE, THREE, DIAG_SWAP_TRANSFER_FAILED, SWAP_SAMPLE_FAULT},
        {ONE, THREE, DIAG_SWAP_TRANSFER_FAILED, SWAP_SAMPLE_REFUSE},
        {ONE, THREE, DIAG_SWAP_TRANSFER_LIMIT, SWAP_SAMPLE_SPIN},
    };
    bool is_right = true;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct swap_report report;
        count_up_to(cases[i].rest);
        uint64_t before = swap_state_hash(cell_namespace_initial(), false);
        is_right &= expect(cases[i].from, cases[i].to, cases[i].code, &report);
        is_right &= swap_state_hash(cell_namespace_initial(), false) == before;
        is_right &= swap_sample_version() == 1;
    }
    return is_right;
}

/* What the hook below was asked for. */
struct hook_calls {
    uint32_t transfers;
    uint32_t restores;
    uint32_t ends;
    bool is_committed;
};

static enum status never_end(void *context)
{
    struct hook_calls *calls = context;
    calls->transfers++;
    while (__atomic_load_n(&calls->transfers, __ATOMIC_RELAXED) > 0) {
        cpu_relax();
    }
    return OK;
}

static void count_restore(void *context)
{
    ((struct hook_calls *)context)->restores++;
}

static void count_end(void *context, bool is_committed)
{
    struct hook_calls *calls = context;
    calls->ends++;
    calls->is_committed |= is_committed;
}

/* In its middle all stores have been made: they are taken back. */
static bool end_hook(void)
{
    struct hook_calls calls = {0};
    const struct swap_hooks hooks = {
        .transfer = never_end, .restore = count_restore, .finish = count_end, .context = &calls};
    const struct swap_pair pair = {ONE, TWO};
    const struct swap_request request = {
        .namespace = cell_namespace_initial(),
        .pairs = &pair,
        .pair_count = 1,
        .flags = SWAP_PROVE,
        .hooks = &hooks,
    };
    struct diag diag = {0};
    struct swap_report report;
    uint64_t before = swap_state_hash(request.namespace, false);
    enum status status = swap_cells(&request, &report, &diag);
    return status == ERR_TIMEOUT && diag.code == DIAG_SWAP_HOOK && calls.transfers == 1 &&
           calls.restores == 1 && calls.ends == 1 && !calls.is_committed &&
           report.hash_before == report.hash_after &&
           swap_state_hash(request.namespace, false) == before && swap_sample_version() == 1;
}

static bool roll_back(const char *what, uint64_t id, uint32_t code)
{
    struct diag diag = {0};
    struct swap_report report;
    enum status status = swap_rollback(id, TIMEOUT_NS, &report, &diag);
    if (code == 0 && status != OK) {
        return report_diag(what, &diag);
    }
    return check(what, code == 0 ? status == OK : status != OK && diag.code == code);
}

static bool transfer_and_back(void)
{
    struct swap_report report;
    count_up_to(0);
    uint64_t count = swap_sample_count();
    bool is_right = expect(ONE, THREE, 0, &report) && swap_sample_version() == 3;
    is_right &= check("a count in another layout goes on", swap_sample_count() == count + 1);
    is_right &= check("what is to be fresh is",
                      report.fresh == 1 && report.transferred == 1 &&
                          __builtin_strcmp(swap_sample_title(), "version three") == 0);
    is_right &= roll_back("the way back is refused where nothing transfers back", report.id,
                          DIAG_SWAP_LAYOUT);
    is_right &= roll_back("a swap that never was", report.id + 1, DIAG_SWAP_UNKNOWN);
    return is_right && swap_sample_version() == 3;
}

/* A frame in the old cell, for as long as it is wanted there. */
static bool wait_for_frames(void)
{
    struct shared shared = {0};
    struct shared *argument = &shared;
    struct swap_report report;
    OWNED(waiter_task, waiter);
    if (waiter_spawn(&argument, NULL, SLOT(waiter)) != OK) {
        return false;
    }
    while (!__atomic_load_n(&shared.has_begun, __ATOMIC_ACQUIRE)) {
        task_sleep(PAUSE_NS);
    }
    bool is_right = check("a swap that changes layouts is refused while a frame is live",
                          expect(ONE, THREE, DIAG_SWAP_FRAMES, &report));
    struct swap_report two;
    is_right &= check("one that does not is not", expect(ONE, TWO, 0, &two));
    is_right &= roll_back("and is taken back", two.id, 0) && swap_sample_version() == 1;
    __atomic_store_n(&shared.is_over, true, __ATOMIC_RELEASE);
    int waited = 0;
    is_right &= waiter_join(SLOT(waiter), &waited) == OK && waited == 11;
    return is_right;
}

static bool test_refusals(void)
{
    return check("the first one is there", swap_sample_version() == 1) &
           check("refusals change nothing", refuse_all()) &
           check("a hook that never ends is ended", end_hook()) &
           check("frames of old cells", wait_for_frames()) &
           check("a changed layout is transferred", transfer_and_back());
}

/* ---- every step fails once ---- */

static bool fail_steps(const char *from, const char *to, uint64_t *out_steps)
{
    const struct swap_pair pair = {from, to};
    struct swap_request request = {
        .namespace = cell_namespace_initial(),
        .pairs = &pair,
        .pair_count = 1,
        .flags = SWAP_PROVE,
        .timeout_ns = TIMEOUT_NS,
    };
    enum status status = ERR_FAILED;
    uint64_t wrong = 0;
    struct swap_report report;
    while (status != OK) {
        struct diag diag = {0};
        uint64_t before = swap_state_hash(request.namespace, false);
        request.fail_step++;
        status = swap_cells(&request, &report, &diag);
        wrong += status != OK && (swap_state_hash(request.namespace, false) != before ||
                                  report.hash_before != report.hash_after);
    }
    *out_steps = request.fail_step - 1;
    return wrong == 0 && *out_steps > 0 && report.steps == *out_steps;
}

static bool test_failures(void)
{
    uint64_t first;
    uint64_t second;
    uint64_t third;
    count_up_to(0);
    bool is_right = check("each step of a swap fails", fail_steps(ONE, TWO, &first));
    is_right &= check("and of the way back", fail_steps(TWO, ONE, &second));
    count_up_to(0);
    is_right &= check("and of one with a transfer", fail_steps(ONE, THREE, &third));
    console_print("swap_test: %lu, %lu and %lu steps failed in turn, and left nothing\n",
                  (unsigned long)first, (unsigned long)second, (unsigned long)third);
    return is_right && swap_sample_version() == 3;
}

/* ---- a thousand swaps ---- */

struct use {
    uint64_t cells;
    uint64_t heap_bytes;
    uint64_t frames;
    uint64_t entries;
};

static struct use measure(void)
{
    for (unsigned i = 0; i < RETIRE_TRIES && swap_retire() > 0; i++) {
        task_sleep(PAUSE_NS);
    }
    task_release_stacks();
    return (struct use){
        .cells = loader_statistics().cells,
        .heap_bytes = heap_statistics().bytes_in_use,
        .frames = frame_allocator_statistics().free,
        .entries = entry_pool_statistics().taken,
    };
}

static bool test_thousand(uint32_t rounds)
{
    struct use before = {0};
    struct swap_report report;
    for (uint32_t i = 0; i < rounds + WARM_UP; i++) {
        const struct swap_pair pair = {i % 2 ? TWO : ONE, i % 2 ? ONE : TWO};
        if (i % SWAP_RETIRE_AT == 0 && i <= WARM_UP) {
            before = measure();
        }
        if (!swap(&pair, 1, 0, &report)) {
            return false;
        }
    }
    struct use after = measure();
    console_print(
        "swap_test: %u swaps: cells %lu and %lu, heap %lu and %lu, free frames %lu and %lu, "
        "entries %lu and %lu\n",
        rounds, (unsigned long)before.cells, (unsigned long)after.cells,
        (unsigned long)before.heap_bytes, (unsigned long)after.heap_bytes,
        (unsigned long)before.frames, (unsigned long)after.frames, (unsigned long)before.entries,
        (unsigned long)after.entries);
    return before.cells == after.cells && before.heap_bytes == after.heap_bytes &&
           before.frames == after.frames && before.entries == after.entries;
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

/* Every `step`-th of them. */
static bool swap_each(const struct names *names, uint32_t step)
{
    uint32_t tried = 0;
    uint32_t swapped = 0;
    for (uint32_t i = 0; i < names->count; i += step) {
        struct swap_report report;
        tried++;
        if (swap(&names->pairs[i], 1, 0, &report)) {
            swapped++;
        }
    }
    console_print("swap_test: %u of %u cells were swapped for themselves\n", swapped, tried);
    return swapped == tried;
}

/* In the window, of whose stores most have been made, this step fails: data and all are what they
 * were. */
static bool take_back(const struct names *names, uint64_t step)
{
    struct diag diag = {0};
    struct swap_report report = {0};
    const struct swap_request request = {
        .namespace = cell_namespace_initial(),
        .pairs = names->pairs,
        .pair_count = names->count,
        .flags = SWAP_PROVE,
        .timeout_ns = TIMEOUT_NS,
        .fail_step = step,
    };
    return swap_cells(&request, &report, &diag) != OK && report.stage == SWAP_COMMIT &&
           report.hash_before != 0 && report.hash_before == report.hash_after;
}

static bool swap_system(uint32_t step)
{
    struct names *names = heap_allocate(sizeof(*names));
    if (!names) {
        return false;
    }
    collect_names(names);
    bool is_right = check("each cell for itself", swap_each(names, step));
    struct swap_report report = {0};
    is_right &= check("all cells at once", swap(names->pairs, names->count, 0, &report));
    print_report("all", &report);
    is_right &= check("all cells at once, taken back", take_back(names, report.steps / 4 * 3));
    heap_free(names);
    return is_right;
}

static bool swap_all(uint32_t swaps, struct swap_figures *figures)
{
    struct names *names = heap_allocate(sizeof(*names));
    if (!names) {
        return false;
    }
    collect_names(names);
    bool is_right = true;
    for (uint32_t i = 0; is_right && i < swaps; i++) {
        struct swap_report report = {0};
        is_right = swap(names->pairs, names->count, 0, &report);
        if (is_right) {
            swap_figures_add(figures, &report);
        }
    }
    console_print("swap_test: %u cells at once\n", (unsigned)names->count);
    swap_figures_print(figures, "all");
    heap_free(names);
    return is_right;
}

/* ---- the whole system, under load ---- */

#define ROUNDS_PER_MAPPING 4u
#define LOAD_PAUSE_NS      40000000ull

/*
 * Blocks of the heap with numbers in them, mapped pages, sleeps: each kind of thing while it is
 * replaced. Mappings are few. Who unmaps holds the page table's lock until every CPU has answered,
 * and the others spin for it: of 4 emulated CPUs on 2 real ones, those that spin keep those that
 * are to answer from running.
 */
static int use_memory(struct shared **argument)
{
    struct shared *shared = *argument;
    uint64_t seed = task_own_id();
    uint64_t rounds = 0;
    uint64_t wrong = 0;
    while (!__atomic_load_n(&shared->is_over, __ATOMIC_RELAXED)) {
        wrong += memory_load_blocks(&seed);
        wrong += rounds % ROUNDS_PER_MAPPING == 0 && !memory_load_mapping(seed);
        task_sleep(LOAD_PAUSE_NS);
        rounds++;
    }
    __atomic_fetch_add(&shared->calls, rounds, __ATOMIC_RELAXED);
    __atomic_fetch_add(&shared->wrong, wrong, __ATOMIC_RELAXED);
    return 0;
}
TASK_DEFINE(user, struct shared *, int, use_memory);

static bool swap_under_load(uint32_t step) OWN_UNCHECKED
{
    struct shared shared = {0};
    struct shared *argument = &shared;
    struct user_task *users[CALLERS] = {NULL};
    bool is_right = true;
    for (unsigned i = 0; i < CALLERS; i++) {
        OWNED(user_task, task);
        if (user_spawn(&argument, NULL, SLOT(task)) == OK) {
            STORE(users[i], task);
        }
    }
    task_sleep(PAUSE_NS);
    is_right &= swap_system(step);
    __atomic_store_n(&shared.is_over, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < CALLERS; i++) {
        int ended;
        OWNED(user_task, task);
        LOAD(task, users[i]);
        is_right &= HELD(task) && user_join(SLOT(task), &ended) == OK;
    }
    console_print("swap_test: %lu rounds of the load, %lu of them wrong\n",
                  (unsigned long)shared.calls, (unsigned long)shared.wrong);
    return is_right && shared.wrong == 0 && shared.calls > 0;
}

/* Runs a test that swaps again and again and notes what that cost. */
static bool with_figures(bool (*test)(uint32_t swaps, struct swap_figures *figures), uint32_t swaps)
{
    struct swap_figures *figures = swaps > 0 ? heap_allocate_zeroed(sizeof(*figures)) : NULL;
    bool is_right = figures && test(swaps, figures);
    heap_free(figures);
    return is_right;
}

enum status swap_test_main(const struct app_arguments *arguments)
{
    const char *what = arguments->count > 1 ? arguments->values[1] : "callers";
    bool is_right = false;
    if (__builtin_strcmp(what, "callers") == 0) {
        is_right = check("two cells for each other, in use",
                         with_figures(swap_under_callers, app_number(arguments, 2, CALLERS_SWAPS)));
    } else if (__builtin_strcmp(what, "all") == 0) {
        is_right = check("all cells at once, again and again",
                         with_figures(swap_all, app_number(arguments, 2, ALL_SWAPS)));
    } else if (__builtin_strcmp(what, "system") == 0) {
        is_right = check("cells of the system", swap_system(1));
    } else if (__builtin_strcmp(what, "load") == 0) {
        uint32_t step = app_number(arguments, 2, 1);
        is_right = step > 0 && check("cells of the system, under load", swap_under_load(step));
    } else if (__builtin_strcmp(what, "refusals") == 0) {
        is_right = check("refusals, frames and transfers", test_refusals());
    } else if (__builtin_strcmp(what, "failures") == 0) {
        is_right = check("failures", test_failures());
    } else if (__builtin_strcmp(what, "thousand") == 0) {
        is_right = check("a thousand swaps leave memory flat", test_thousand(THOUSAND));
    } else {
        console_print("swap_test: callers [SWAPS], system, all [SWAPS], load [STEP], refusals, "
                      "failures or thousand\n");
    }
    return is_right ? OK : ERR_FAILED;
}
