/* SPDX-License-Identifier: MIT */
/*
 * The queues of two CPUs change their policy. After a strike, and after what a swap does then, all are of
 * the old policy with all tasks in the old order, or all of the new one; and no other queue is left.
 */
#include "cell_namespace.h"
#include "commit.h"
#include "diag.h"
#include "dispatcher.h"
#include "heap_block.h"
#include "mutex.h"
#include "own_collections.h"
#include "scheduler.h"
#include "scheduler_change.h"
#include "strike.h"
#include "strike_heap.h"

#define CPUS  2u
#define TASKS 3u /* of each CPU */
#define ROOM  16u

static struct task tasks[CPUS][TASKS];
static struct run_queue *queues[CPUS];

/* ---- what is called and is not there ---- */

static struct cell old_policy = {.name = "scheduler_round_robin", .interface = "scheduler"};
static struct cell_namespace namespace = {.first = &old_policy};

struct cell_namespace *cell_namespace_initial(void)
{
    return &namespace;
}

struct mutex *cell_namespace_mutex(void)
{
    static uint64_t mutex;
    return (struct mutex *)&mutex;
}

void mutex_lock(struct mutex *mutex, struct mutex **guard) OWN_UNCHECKED
{
    FILL(guard, mutex);
}

void mutex_drop(struct mutex **guard)
{
    EMPTY(guard);
}

uint32_t dispatcher_cpu_count(void)
{
    return CPUS;
}

struct run_queue **dispatcher_queue_slot(uint32_t cpu)
{
    return &queues[cpu];
}

/* ---- another policy: the last comes first ---- */

#define OTHER 0x0123456789abcdefull

struct other {
    uint64_t what; /* OTHER: no queue of the old policy begins like this */
    uint64_t count;
    struct task *tasks[ROOM];
};

static struct other *other_of(const struct run_queue *queue)
{
    struct other *other = (struct other *)queue;
    strike_demand(other->what == OTHER);
    return other;
}

static enum status other_create(size_t capacity, struct run_queue **out) OWN_UNCHECKED
{
    OWNED(heap_block, block);
    if (!heap_block_take_zeroed(sizeof(struct other), SLOT(block))) {
        return ERR_NO_MEMORY;
    }
    struct other *other = heap_block_of(*SLOT(block));
    other->what = OTHER;
    commit_two(out, other, SLOT(block), NULL);
    return OK;
}

static void other_drop(struct run_queue **handle)
{
    if (*handle) {
        (void)other_of(*handle);
        heap_block_give_thing(handle);
    }
}

static size_t other_capacity(const struct run_queue *queue)
{
    return ARRAY_COUNT(other_of(queue)->tasks);
}

static void other_inherit(struct run_queue *queue, const struct run_queue *from)
{
    strike_demand(!"the new policy's queues inherit nothing");
}

static void other_repair(struct run_queue *queue)
{
    (void)other_of(queue);
}

static void other_add(struct run_queue *queue, struct task *task)
{
    struct other *other = other_of(queue);
    strike_demand(other->count < ROOM);
    other->tasks[other->count] = task;
    COMPILER_BARRIER();
    other->count++;
}

static struct task *other_take(struct run_queue *queue, struct task **out)
{
    struct other *other = other_of(queue);
    if (other->count == 0) {
        return NULL;
    }
    *out = other->tasks[other->count - 1];
    COMPILER_BARRIER();
    other->count--;
    return *out;
}

/* ---- a swap ---- */

uint64_t swap_view_find(const struct swap_view *view, enum swap_side side, const char *symbol)
{
    static const struct {
        const char *name;
        uint64_t of[2]; /* by enum swap_side */
    } functions[] = {
#define BOTH(function)                                                  \
    {                                                                   \
        "run_queue_" #function,                                         \
        {                                                               \
            (uint64_t) run_queue_##function, (uint64_t)other_##function \
        }                                                               \
    }
        BOTH(create), BOTH(drop), BOTH(capacity), BOTH(inherit),
        BOTH(repair), BOTH(add),  BOTH(take),
#undef BOTH
    };
    for (size_t i = 0; i < ARRAY_COUNT(functions); i++) {
        if (__builtin_strcmp(functions[i].name, symbol) == 0) {
            return functions[i].of[side];
        }
    }
    return 0;
}

static enum {
    COMMITS,
    TRIES_TWICE,
    TAKES_BACK,
} kind;

/* What a swap's slots do when it ends, however it ends. */
struct window {
    const struct swap_hooks *hooks; /* constant once it is there */
    enum {
        CLOSED,
        PREPARED,
        OPEN,
        COMMITTED,
    } phase;
};
OWN_DECLARE_LOCAL(window);

static void close_window(struct window *window)
{
    if (window->phase == OPEN) {
        window->hooks->restore(window->hooks->context);
        COMPILER_BARRIER();
        window->phase = PREPARED;
    }
}

static NOINLINE void window_drop(struct window **handle)
{
    struct window *window = *handle;
    if (window && window->phase != CLOSED) {
        close_window(window);
        window->hooks->finish(window->hooks->context, window->phase == COMMITTED);
        COMPILER_BARRIER();
        window->phase = CLOSED;
    }
    EMPTY(handle);
}

static void set_phase(struct window *window, unsigned phase)
{
    COMPILER_BARRIER();
    window->phase = phase;
    COMPILER_BARRIER();
}

enum status swap_cells(const struct swap_request *request, struct swap_report *out_report,
                       struct diag *diag)
{
    OWNED_HERE(window, window);
    const struct swap_hooks *hooks = request->hooks;
    REF(window)->hooks = hooks;
    set_phase(REF(window), PREPARED);
    strike_demand(hooks->prepare(hooks->context, NULL) == OK);
    for (unsigned i = kind == TRIES_TWICE ? 2 : 1; i > 0; i--) {
        close_window(REF(window)); /* the first attempt is taken back */
        set_phase(REF(window), OPEN);
        strike_demand(hooks->transfer(hooks->context) == OK);
    }
    if (kind != TAKES_BACK) {
        set_phase(REF(window), COMMITTED);
    }
    return kind == TAKES_BACK ? ERR_BUSY : OK;
}

/* ---- cases ---- */

static void prepare(void)
{
    for (uint32_t cpu = 0; cpu < CPUS; cpu++) {
        strike_demand(run_queue_create(TASKS, &queues[cpu]) == OK);
        for (size_t i = 0; i < TASKS; i++) {
            run_queue_add(queues[cpu], &tasks[cpu][i]);
        }
    }
}

static void prepare_twice(void)
{
    kind = TRIES_TWICE;
    prepare();
}

static void prepare_back(void)
{
    kind = TAKES_BACK;
    prepare();
}

static void operate(void)
{
    struct diag diag;
    enum status status = scheduler_change("scheduler_other", 0, NULL, &diag);
    strike_demand(status == (kind == TAKES_BACK ? ERR_BUSY : OK));
}

static bool is_other(const struct run_queue *queue)
{
    return *(const uint64_t *)queue == OTHER;
}

static void check(void)
{
    bool is_new = is_other(queues[0]);
    strike_demand(strike_has_struck() || is_new == (kind != TAKES_BACK));
    strike_demand(!is_new || kind != TAKES_BACK);
    strike_demand(strike_heap_used() == CPUS); /* no third queue */
    for (uint32_t cpu = 0; cpu < CPUS; cpu++) {
        struct run_queue *queue = queues[cpu];
        strike_demand(is_other(queue) == is_new);
        for (size_t i = 0; i < TASKS; i++) {
            struct task *task = NULL;
            strike_demand((is_new ? other_take : run_queue_take)(queue, &task));
            strike_demand(task == &tasks[cpu][is_new ? TASKS - 1 - i : i]);
        }
        struct task *more;
        strike_demand(!(is_new ? other_take : run_queue_take)(queue, &more));
        (is_new ? other_drop : run_queue_drop)(&queues[cpu]);
    }
    strike_demand(strike_heap_used() == 0);
}

int main(void)
{
    static const struct strike_case cases[] = {
        {"change", prepare, operate, check},
        {"a second attempt", prepare_twice, operate, check},
        {"a change that is taken back", prepare_back, operate, check},
    };
    return strike_run(cases, ARRAY_COUNT(cases));
}
