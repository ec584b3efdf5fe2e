/* SPDX-License-Identifier: MIT */
/*
 * What is needed is made before the window: by the code of the new cell, which is loaded and not yet
 * linked to anybody, a queue for each CPU, and by the code of the old one a copy of its queue, empty as
 * yet. In the window the old queue is copied, the tasks are taken out of the copy, in the old order, and
 * added to the new queue, and one store makes that the CPU's. The old queue itself is not changed, so a
 * rollback is one store, too, and no fault can lose a task. Afterwards the queues that are not used are
 * dropped by their own code.
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
    void (*inherit)(struct run_queue *queue, const struct run_queue *from);
    void (*repair)(struct run_queue *queue);
    void (*add)(struct run_queue *queue, struct task *task);
    struct task *(*take)(struct run_queue *queue, struct task **out);
};

struct change {
    struct policy old;
    struct policy new;
    uint32_t cpus;
    struct {                   /* owned, each, unless it is the one that the CPU uses */
        struct run_queue *old; /* NULL until the new one is the CPU's */
        struct run_queue *copy;
        struct run_queue *new;
    } queues[DISPATCHER_CPUS];
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
        {"run_queue_capacity", &policy->capacity}, {"run_queue_inherit", &policy->inherit},
        {"run_queue_repair", &policy->repair},     {"run_queue_add", &policy->add},
        {"run_queue_take", &policy->take},
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
        status = change->old.create(capacity, &change->queues[cpu].copy);
        if (status == OK) {
            status = change->new.create(capacity, &change->queues[cpu].new);
        }
    }
    return status;
}

/* An earlier attempt, which may have been struck, has left some. */
static void make_empty(const struct policy *policy, struct run_queue *queue) OWN_UNCHECKED
{
    struct task *task;
    policy->repair(queue);
    while (policy->take(queue, &task)) {
    }
}

static enum status transfer(void *context) OWN_UNCHECKED
{
    struct change *change = context;
    if (dispatcher_cpu_count() != change->cpus) {
        return ERR_AGAIN;
    }
    for (uint32_t cpu = 0; cpu < change->cpus; cpu++) {
        struct run_queue **slot = dispatcher_queue_slot(cpu);
        struct run_queue *copy = change->queues[cpu].copy;
        struct run_queue *new = change->queues[cpu].new;
        size_t capacity = change->old.capacity(*slot);
        if (capacity > change->old.capacity(copy) || capacity > change->new.capacity(new)) {
            return ERR_AGAIN; /* all queues were enlarged since, so there may be more tasks to come */
        }
        make_empty(&change->old, copy);
        make_empty(&change->new, new);
        change->old.inherit(copy, *slot);
        struct task *task;
        while (change->old.take(copy, &task)) {
            change->new.add(new, task);
        }
        change->queues[cpu].old = *slot;
        COMPILER_BARRIER();
        *slot = new;
    }
    return OK;
}

static void restore(void *context) OWN_UNCHECKED
{
    struct change *change = context;
    for (uint32_t cpu = 0; cpu < change->cpus; cpu++) {
        if (change->queues[cpu].old) {
            *dispatcher_queue_slot(cpu) = change->queues[cpu].old;
            COMPILER_BARRIER();
            change->queues[cpu].old = NULL;
        }
    }
}

/* There may be none, and no policy either. */
static void drop(const struct policy *policy, struct run_queue **queue) OWN_UNCHECKED
{
    if (*queue) {
        policy->drop(queue);
    }
}

static void finish(void *context, bool is_committed) OWN_UNCHECKED
{
    struct change *change = context;
    for (uint32_t cpu = 0; cpu < change->cpus; cpu++) {
        drop(&change->old, &change->queues[cpu].copy);
        if (is_committed) {
            drop(&change->old, &change->queues[cpu].old);
        } else {
            drop(&change->new, &change->queues[cpu].new);
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
