/* SPDX-License-Identifier: MIT */
/*
 * task_bench - measures tasks in ticks of the time stamp counter, one line `figure NAME VALUE`
 * each; in an emulator that counts instructions a tick is one (see bench).
 *
 * The queues are Figure 4 of the OSDI paper: a task has no field that says which queue it is in, so
 * removing it looks through the queues of all CPUs. Here the queues are made up, with one task in
 * each, and the task is in the last one.
 */
#include "application.h"
#include "console.h"
#include "spinlock.h"
#include "task.h"

CELL(application, "1.0.0");

APPLICATION(task_bench);

#define ROUNDS     1000u
#define QUEUES_MAX 64u

/* `ticks` for `count` times the same, with one decimal. */
static void say(const char *name, uint64_t ticks, uint64_t count)
{
    uint64_t tenths = (ticks * 10 + count / 2) / count;
    console_print("figure %s %lu.%lu\n", name, (unsigned long)(tenths / 10),
                  (unsigned long)(tenths % 10));
}

/* ---- switches ---- */

static int yield_often(int *rounds)
{
    for (int i = 0; i < *rounds; i++) {
        task_yield();
    }
    return 0;
}
TASK_DEFINE(yielder, int, int, yield_often);

/* All on one CPU. Two tasks yield in turn, so a round is two switches. */
static enum status measure_yield(void)
{
    struct task_options here = {.is_pinned = true, .cpu = CPU_LOCAL(index)};
    OWNED(yielder_task, other);
    enum status status = yielder_spawn(&(int){ROUNDS + 100}, &here, SLOT(other));
    if (status != OK) {
        return status;
    }
    task_yield();
    uint64_t start = read_tsc();
    for (unsigned i = 0; i < ROUNDS; i++) {
        task_yield();
    }
    say("task_switch", read_tsc() - start, 2 * ROUNDS);
    int result;
    return yielder_join(SLOT(other), &result);
}

static int hand_back(struct task **caller)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        enum status status = parking_hand_over(*caller, PARK_FOREVER, NULL);
        (void)status;
    }
    parking_unpark(*caller);
    return 0;
}
TASK_DEFINE(hander, struct task *, int, hand_back);

static enum status measure_hand_over(void)
{
    struct task_options here = {.is_pinned = true, .cpu = CPU_LOCAL(index)};
    struct task *self = parking_self();
    OWNED(hander_task, other);
    enum status status = hander_spawn(&self, &here, SLOT(other));
    if (status != OK) {
        return status;
    }
    status = parking_park(PARK_FOREVER, NULL); /* it has begun */
    struct task *partner = (struct task *)(void *)REF(other);
    uint64_t start = read_tsc();
    for (unsigned i = 1; i < ROUNDS && status == OK; i++) {
        status = parking_hand_over(partner, PARK_FOREVER, NULL);
    }
    say("task_hand_over", read_tsc() - start, 2 * (ROUNDS - 1));
    parking_unpark(partner);
    int result;
    return hander_join(SLOT(other), &result);
}

/* ---- spawning ---- */

static int do_nothing(int *argument)
{
    return *argument;
}
TASK_DEFINE(idler, int, int, do_nothing);

static enum status measure_spawn(const char *name, size_t stack_bytes)
{
    struct task_options here = {
        .is_pinned = true, .cpu = CPU_LOCAL(index), .stack_bytes = stack_bytes};
    enum status status = OK;
    uint64_t start = 0;
    for (unsigned i = 0; i <= ROUNDS / 10 && status == OK; i++) {
        start = i == 1 ? read_tsc() : start; /* the first one pays for what is kept */
        OWNED(idler_task, task);
        status = idler_spawn(&(int){1}, &here, SLOT(task));
        if (status != OK) {
            return status;
        }
        int result;
        status = idler_join(SLOT(task), &result);
    }
    say(name, read_tsc() - start, ROUNDS / 10);
    return status;
}

/* ---- kills ---- */

#define KILL_SLOTS  10u
#define KILL_ROUNDS 20u

/* Its drop notes when it is: the oldest one comes last. */
struct OWN_CAPABILITY("witness") witness;
OWN_DECLARE_LOCAL(witness);

struct witnesses {
    uint64_t killed;
    uint64_t released;
    bool kills_itself;
};

static NOINLINE void witness_drop(struct witness **handle)
{
    struct witnesses *witnesses = (struct witnesses *)*handle;
    if (witnesses) {
        witnesses->released = read_tsc();
        EMPTY(handle);
    }
}

static NOINLINE void own_witnesses(struct witnesses *witnesses, unsigned count)
{
    OWNED(witness, witness);
    FILL(SLOT(witness), (struct witness *)witnesses);
    if (count > 1) {
        own_witnesses(witnesses, count - 1);
    } else if (witnesses->kills_itself) {
        OWNED(task_handle, self);
        if (task_lookup(task_own_id(), SLOT(self)) == OK) {
            witnesses->killed = read_tsc();
            task_kill(REF(self));
        }
    } else {
        (void)!parking_park(PARK_FOREVER, NULL);
    }
    COMPILER_BARRIER(); /* no tail calls: each has a frame */
}

static int be_killed(struct witnesses **witnesses)
{
    own_witnesses(*witnesses, KILL_SLOTS);
    return 0;
}
TASK_DEFINE(victim, struct witnesses *, int, be_killed);

/* From the kill until the last of its slots is released; the last of several, when all is warm. */
static enum status measure_kill(const char *name, bool kills_itself)
{
    struct task_options here = {.is_pinned = true, .cpu = CPU_LOCAL(index)};
    struct witnesses witnesses = {.kills_itself = kills_itself};
    struct witnesses *address = &witnesses;
    for (unsigned i = 0; i < KILL_ROUNDS; i++) {
        OWNED(victim_task, task);
        enum status status = victim_spawn(&address, &here, SLOT(task));
        if (status != OK) {
            return status;
        }
        task_yield();
        if (!kills_itself) {
            witnesses.killed = read_tsc();
            victim_kill(REF(task));
        }
        int result;
        status = victim_join(SLOT(task), &result);
        if (status != ERR_KILLED) {
            return ERR_FAILED;
        }
    }
    say(name, witnesses.released - witnesses.killed, 1);
    return OK;
}

/* ---- locks ---- */

static void measure_locks(void)
{
    static const char *const name = "bench";
    struct spinlock lock = SPINLOCK_INIT(name);
    struct irq_spinlock irq_lock = IRQ_SPINLOCK_INIT(name);
    uint64_t start = read_tsc();
    for (unsigned i = 0; i < ROUNDS; i++) {
        GUARD(spinlock, held, &lock);
    }
    say("spinlock", read_tsc() - start, ROUNDS);
    start = read_tsc();
    for (unsigned i = 0; i < ROUNDS; i++) {
        GUARD(irq_spinlock, held, &irq_lock);
    }
    say("irq_spinlock", read_tsc() - start, ROUNDS);
    start = read_tsc();
    for (unsigned i = 0; i < ROUNDS; i++) {
        GUARD(preemption, held, PREEMPTION);
    }
    say("preemption_guard", read_tsc() - start, ROUNDS);
}

/* ---- owned variables ---- */

/* The loop itself is taken off. */
static void measure_owned_variable(void)
{
    uint64_t start = read_tsc();
    for (unsigned i = 0; i < ROUNDS; i++) {
        COMPILER_BARRIER();
    }
    uint64_t loop = read_tsc() - start;
    start = read_tsc();
    for (unsigned i = 0; i < ROUNDS; i++) {
        OWNED(idler_task, nothing);
    }
    say("owned_variable", read_tsc() - start - loop, ROUNDS);
}

/* ---- Figure 4 ---- */

static enum status measure_removal(uint32_t cpus)
{
    struct run_queue *queues[QUEUES_MAX] = {0};
    struct task tasks[2] = {0};
    enum status status = OK;
    for (uint32_t i = 0; i < cpus && status == OK; i++) {
        OWNED(run_queue, queue);
        status = run_queue_create(1, SLOT(queue));
        if (status != OK) {
            break;
        }
        STORE(queues[i], queue);
        run_queue_add(STORED(queues[i]), &tasks[0]);
    }
    if (status == OK) {
        run_queue_add(STORED(queues[cpus - 1]), &tasks[1]);
        uint64_t start = read_tsc();
        uint32_t found = 0;
        for (uint32_t i = 0; i < cpus; i++) {
            found += run_queue_remove(STORED(queues[i]), &tasks[1]);
        }
        uint64_t ticks = read_tsc() - start;
        console_print("figure task_removal_%u_queues %lu\n", (unsigned)cpus, (unsigned long)ticks);
        status = found == 1 ? OK : ERR_FAILED;
    }
    for (uint32_t i = 0; i < cpus; i++) {
        run_queue_drop(&queues[i]);
    }
    return status;
}

enum status task_bench_main(const struct app_arguments *arguments)
{
    (void)arguments;
    enum status status = measure_yield();
    status = status == OK ? measure_hand_over() : status;
    status = status == OK ? measure_spawn("task_spawn_join", 0) : status;
    status =
        status == OK ? measure_spawn("task_spawn_join_large_stack", 2 * TASK_STACK_SIZE) : status;
    status = status == OK ? measure_kill("task_kill_blocked_10_slots", false) : status;
    status = status == OK ? measure_kill("task_kill_running_10_slots", true) : status;
    measure_locks();
    measure_owned_variable();
    for (uint32_t cpus = 2; cpus <= QUEUES_MAX && status == OK; cpus *= 2) {
        status = measure_removal(cpus);
    }
    return status;
}
