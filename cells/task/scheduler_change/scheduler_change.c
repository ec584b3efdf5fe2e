/* SPDX-License-Identifier: MIT */
/*
 * The new queues are made before the window, by the code of the new cell, which is loaded and not yet
 * linked to anybody. In the window each CPU's field is set to its new queue, after the tasks have
 * moved; a rollback moves them back, in the order in which they were taken. Afterwards the queues that
 * are not used any more, the old or the new ones, are dropped by their own code.
 */
#include "scheduler_change.h"

#include "cell_namespace.h"
#include "diag.h"
#include "dispatcher.h"
#include "mutex.h"

CELL(library, "1.0.0");

#define QUIET_NS 1000000000ull /* nobody is in a policy's code for long */

/* One policy's functions, by the names of scheduler.h. */
struct policy {
    enum status (*create)(size_t capacity, struct run_queue **out);
    void (*drop)(struct run_queue **handle);
    size_t (*capacity)(const struct run_queue *queue);
    size_t (*count)(const struct run_queue *queue);
    void (*add)(struct run_queue *queue, struct task *task);
    struct task *(*take)(struct run_queue *queue, struct task **out);
};

struct change {
    struct policy old;
    struct policy new;
    struct run_queue *queues[DISPATCHER_CPUS]; /* owned: first the new ones, then the old */
    uint32_t cpus;
    uint32_t moved; /* CPUs whose field has been set */
};

/* Fills `policy` with that side's functions. */
static enum status find_policy(const struct swap_view *view, enum swap_side side,
                               struct policy *policy)
{
    const struct {
        const char *name;
        void *field;
    } functions[] = {
        {"run_queue_create", &policy->create},     {"run_queue_drop", &policy->drop},
        {"run_queue_capacity", &policy->capacity}, {"run_queue_count", &policy->count},
        {"run_queue_add", &policy->add},           {"run_queue_take", &policy->take},
    };
    for (size_t i = 0; i < ARRAY_COUNT(functions); i++) {
        uint64_t address = swap_view_find(view, side, functions[i].name);
        if (address == 0) {
            return ERR_MISSING_SYMBOL;
        }
        *(uint64_t *)functions[i].field = address;
    }
    return OK;
}

static enum status prepare(void *context, const struct swap_view *view) OWN_UNCHECKED
{
    struct change *change = context;
    enum status status = find_policy(view, SWAP_OLD, &change->old);
    if (status == OK) {
        status = find_policy(view, SWAP_NEW, &change->new);
    }
    for (uint32_t cpu = 0; status == OK && cpu < change->cpus; cpu++) {
        size_t capacity = change->old.capacity(*dispatcher_queue_slot(cpu));
        status = change->new.create(capacity, &change->queues[cpu]);
    }
    return status;
}

static void move(const struct policy *from, const struct policy *to, struct run_queue *source,
                 struct run_queue *destination) OWN_UNCHECKED
{
    struct task *task;
    while (from->take(source, &task)) {
        to->add(destination, task);
    }
}

static void exchange(struct run_queue **a, struct run_queue **b)
{
    struct run_queue *was = *a;
    *a = *b;
    *b = was;
}

static enum status transfer(void *context) OWN_UNCHECKED
{
    struct change *change = context;
    if (dispatcher_cpu_count() != change->cpus) {
        return ERR_AGAIN;
    }
    for (uint32_t cpu = 0; cpu < change->cpus; cpu++) {
        struct run_queue **slot = dispatcher_queue_slot(cpu);
        if (change->old.capacity(*slot) > change->new.capacity(change->queues[cpu])) {
            return ERR_AGAIN; /* all queues were enlarged since, so there may be more tasks to come */
        }
        move(&change->old, &change->new, *slot, change->queues[cpu]);
        exchange(slot, &change->queues[cpu]);
        change->moved++;
    }
    return OK;
}

static void restore(void *context) OWN_UNCHECKED
{
    struct change *change = context;
    while (change->moved > 0) {
        uint32_t cpu = --change->moved;
        struct run_queue **slot = dispatcher_queue_slot(cpu);
        exchange(slot, &change->queues[cpu]);
        move(&change->new, &change->old, change->queues[cpu], *slot);
    }
}

static void finish(void *context, bool is_committed) OWN_UNCHECKED
{
    struct change *change = context;
    for (uint32_t cpu = 0; cpu < change->cpus; cpu++) {
        if (change->queues[cpu]) {
            (is_committed ? change->old : change->new).drop(&change->queues[cpu]);
        }
    }
}

/* The loaded cell that implements scheduler.h; "" if there is none. */
static void find_current(struct cell_namespace *namespace, char name[SWAP_NAME_SIZE])
{
    GUARD(mutex, held, cell_namespace_mutex());
    name[0] = '\0';
    for (const struct cell *cell = namespace->first; cell; cell = cell->next) {
        if (cell->interface && __builtin_strcmp(cell->interface, "scheduler") == 0) {
            for (size_t i = 0; i < SWAP_NAME_SIZE; i++) {
                name[i] = cell->name[i];
                if (!name[i]) {
                    break;
                }
            }
        }
    }
}

enum status scheduler_change(const char *policy, uint64_t fail_step, struct swap_report *out_report,
                             struct diag *diag)
{
    struct cell_namespace *namespace = cell_namespace_initial();
    char current[SWAP_NAME_SIZE];
    find_current(namespace, current);
    if (__builtin_strcmp(current, policy) == 0) {
        return ERR_EXISTS;
    }
    struct change change = {.cpus = dispatcher_cpu_count()};
    struct swap_pair pair = {.old_name = current, .new_name = policy};
    struct swap_hooks hooks = {.prepare = prepare,
                               .transfer = transfer,
                               .restore = restore,
                               .finish = finish,
                               .context = &change};
    struct swap_request request = {.namespace = namespace,
                                   .pairs = &pair,
                                   .pair_count = 1,
                                   .timeout_ns = QUIET_NS,
                                   .hooks = &hooks,
                                   .fail_step = fail_step};
    return swap_cells(&request, out_report, diag);
}
