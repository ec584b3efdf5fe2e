/* SPDX-License-Identifier: MIT */
/*
 * CPUs come and tasks end here: what is done now and then. A run queue has room for every task that
 * was admitted, since all of them may be ready on one CPU. Where there is none left all queues are
 * replaced by larger ones, each under its CPU's lock, before the task that wants in is told that it
 * may.
 */
#include "dispatcher_priv.h"

#include "commit.h"
#include "context.h"
#include "format.h"
#include "heap.h"
#include "heap_block.h"

#define IDLE_STACK_SIZE 16384u
#define FIRST_CAPACITY  64u /* tasks */

const struct dispatcher_hardware *dispatcher_hardware;
struct cpu *dispatcher_cpus[DISPATCHER_CPUS];
uint32_t dispatcher_cpus_end;
uint32_t dispatcher_running;
uint64_t dispatcher_idle;

static struct spinlock growth;           /* of the next two; the first is read without it */
static size_t capacity = FIRST_CAPACITY; /* of every run queue */
static uint64_t admitted;                /* atomically */
static struct task *boot_task;           /* owned, for good */
static void (*undertaker)(void);
static dispatcher_base_t lay_base; /* NULL: nobody catches faults */

/* ---- idle CPUs ---- */

/* Takes out a task for another CPU, as run_queue_give() does. The CPU is locked. */
static struct task *give_away(struct cpu *cpu, struct task **out)
{
    struct task *task = cpu->alone;
    if (task == IN_QUEUE) {
        return run_queue_give(STORED(cpu->queue), out);
    }
    if (!task || task->is_pinned) {
        return NULL;
    }
    *out = task;
    COMPILER_BARRIER();
    cpu->alone = NULL;
    return task;
}

/* Takes a task that is ready elsewhere. Who is struck on the way: dispatcher_settle(). */
static bool take_over(struct cpu *cpu)
{
    for (uint32_t i = 1; i < DISPATCHER_CPUS; i++) {
        struct cpu *other = dispatcher_cpus[(cpu->index + i) % DISPATCHER_CPUS];
        if (!other || !other->is_running) {
            continue;
        }
        lock(other);
        struct task *task = give_away(other, &cpu->arriving);
        COMPILER_BARRIER();
        if (task) {
            other->statistics.moves++;
            __atomic_store_n(&task->home, (uint16_t)cpu->index, __ATOMIC_RELAXED);
        }
        unlock(other);
        if (task) {
            lock(cpu);
            enter(cpu, task);
            COMPILER_BARRIER();
            cpu->arriving = NULL;
            unlock(cpu);
            return true;
        }
    }
    return false;
}

static NORETURN void idle(struct cpu *cpu)
{
    uint64_t bit = 1ull << cpu->index;
    for (;;) {
        bool is_well = cpu->faults < DISPATCHER_IDLE_FAULTS_MAX;
        if (undertaker && cpu->dead && is_well) {
            undertaker();
        }
        disable_interrupts();
        __atomic_or_fetch(&dispatcher_idle, bit, __ATOMIC_SEQ_CST); /* and then looks */
        if (count_ready(cpu) || (is_well && take_over(cpu))) {
            __atomic_and_fetch(&dispatcher_idle, ~bit, __ATOMIC_RELAXED);
            enable_interrupts();
            dispatcher_yield();
            continue;
        }
        enable_interrupts_and_halt();
        __atomic_and_fetch(&dispatcher_idle, ~bit, __ATOMIC_RELAXED);
    }
}

static void enter_idle(void *unused)
{
    (void)unused;
    dispatcher_finish_switch();
    idle(this_cpu());
}

void dispatcher_idle_again(void)
{
    struct cpu *cpu = this_cpu();
    cpu->faults += cpu->faults < DISPATCHER_IDLE_FAULTS_MAX;
    __atomic_and_fetch(&dispatcher_idle, ~(1ull << cpu->index), __ATOMIC_RELAXED);
    end(true);
    idle(cpu);
}

void dispatcher_set_base(dispatcher_base_t base)
{
    lay_base = base;
}

/* ---- start ---- */

/* A record for a CPU, whose queue has room for as many as the others have. In one step record, task and
 * queue become those of `*out_cpu`. */
static enum status create_cpu(uint32_t index, struct cpu **out_cpu) OWN_UNCHECKED
{
    OWNED(run_queue, queue);
    OWNED(heap_block, record);
    OWNED(heap_block, idle_record);
    enum status status = run_queue_create(capacity, SLOT(queue));
    if (status != OK) {
        return status;
    }
    if (!heap_block_take_zeroed(sizeof(struct cpu), SLOT(record)) ||
        !heap_block_take_zeroed(sizeof(struct task), SLOT(idle_record))) {
        return ERR_NO_MEMORY;
    }
    struct cpu *cpu = heap_block_of(*SLOT(record));
    struct task *idle_task = heap_block_of(*SLOT(idle_record));
    char idle_name[TASK_NAME_SIZE];
    format_into(idle_name, sizeof(idle_name), "idle %u", (unsigned)index);
    task_state_init(idle_task, idle_name, 0, index);
    idle_task->is_idle = true;
    idle_task->is_pinned = true;
    cpu->queue = *SLOT(queue);
    cpu->index = index;
    cpu->idle = idle_task;
    cpu->current = idle_task;
    cpu->slice_end = NO_SLICE;
    cpu->alarm = PARK_FOREVER;
    cpu->blocked_here =
        (union task_standing){.state = TASK_BLOCKED, .has_begun = true, .home = (uint16_t)index};
    struct commit_list list = {.count = 0};
    commit_add(&list, out_cpu, cpu);
    commit_add(&list, SLOT(record), NULL);
    commit_add(&list, SLOT(idle_record), NULL);
    commit_add(&list, SLOT(queue), NULL);
    commit_list(&list);
    return OK;
}

/* The calling CPU runs `task` and is part of the system. */
static void join_system(struct cpu *cpu, struct task *task)
{
    task->state = TASK_RUNNING;
    cpu->current = task;
    cpu->is_running = true;
    CPU_LOCAL(task) = task;
    CPU_LOCAL(dispatcher) = cpu;
    CPU_LOCAL(reschedule) = dispatcher_reschedule;
    __atomic_add_fetch(&dispatcher_running, 1, __ATOMIC_RELAXED);
}

static enum status start_boot_cpu(const char *boot_name)
{
    struct cpu *cpu;
    enum status status = create_cpu(0, &cpu);
    if (status != OK) {
        return status;
    }
    OWNED(stack, stack);
    status = stack_create(IDLE_STACK_SIZE, "idle, CPU 0", SLOT(stack));
    struct task *task = heap_allocate_zeroed(sizeof(*task));
    if (status != OK || !task) {
        heap_free(task);
        run_queue_drop(&cpu->queue);
        heap_free(cpu->idle);
        heap_free(cpu);
        return status != OK ? status : ERR_NO_MEMORY;
    }
    vaddr_t top = stack_top(REF(stack));
    top = lay_base ? lay_base(top, &cpu->idle->own_top) : top;
    context_prepare(top, enter_idle, NULL, cpu->idle->context);
    STORE(cpu->idle->stack, stack);
    task_state_init(task, boot_name, TASK_PRIORITY_BASE, 0);
    task->is_pinned = true;
    dispatcher_cpus[0] = cpu;
    dispatcher_cpus_end = 1;
    boot_task = task;
    admitted = 1;
    join_system(cpu, task);
    return OK;
}

const struct task *dispatcher_boot_task(void)
{
    return boot_task;
}

const struct task *dispatcher_idle_task(uint32_t index)
{
    struct cpu *cpu =
        index < DISPATCHER_CPUS ? __atomic_load_n(&dispatcher_cpus[index], __ATOMIC_ACQUIRE) : NULL;
    return cpu ? cpu->idle : NULL;
}

enum status dispatcher_start(const struct dispatcher_hardware *functions, const char *boot_name)
{
    if (dispatcher_cpus[0]) {
        return ERR_STATE;
    }
    growth = SPINLOCK_INIT("run queues");
    dispatcher_hardware = functions;
    enum status status = start_boot_cpu(boot_name);
    if (status != OK) {
        return status;
    }
    parking_set(&dispatcher_parking);
    return OK;
}

enum status dispatcher_add_cpu(uint32_t index)
{
    if (index >= DISPATCHER_CPUS) {
        return ERR_LIMIT;
    }
    GUARD(spinlock, held, &growth);
    if (dispatcher_cpus[index]) {
        return ERR_EXISTS;
    }
    if (dispatcher_cpus_end <= index) { /* those that are not there are NULL */
        __atomic_store_n(&dispatcher_cpus_end, index + 1, __ATOMIC_RELAXED);
    }
    return create_cpu(index, &dispatcher_cpus[index]);
}

/* What lies below `room` is free again when it comes back to its base: this function does not return. */
void dispatcher_run_cpu(void)
{
    struct cpu *cpu = dispatcher_cpus[CPU_LOCAL(index)];
    ALIGNED(16) uint8_t room[DISPATCHER_BASE_ROOM];
    if (lay_base) {
        struct own_slot *top;
        (void)lay_base((uintptr_t)room + sizeof(room), &top);
        OWN_TOP = top;
    }
    join_system(cpu, cpu->idle);
    idle(cpu);
}

struct run_queue **dispatcher_queue_slot(uint32_t cpu)
{
    return &dispatcher_cpus[cpu]->queue;
}

uint32_t dispatcher_cpu_count(void)
{
    return dispatcher_running;
}

bool dispatcher_has_cpu(uint32_t index)
{
    return index < DISPATCHER_CPUS && dispatcher_cpus[index] && dispatcher_cpus[index]->is_running;
}

/* ---- room ---- */

static enum status enlarge(struct cpu *cpu, size_t count) OWN_UNCHECKED
{
    OWNED(run_queue, larger); /* and then the one that it replaces */
    enum status status = run_queue_create(count, SLOT(larger));
    if (status != OK) {
        return status;
    }
    bool enable = begin();
    lock(cpu);
    run_queue_inherit(REF(larger), STORED(cpu->queue));
    commit_two(&cpu->queue, *SLOT(larger), SLOT(larger), cpu->queue);
    unlock(cpu);
    end(enable);
    return OK;
}

/* With `growth`: every queue gets room for so many. Those that are larger stay so if it fails. */
static enum status grow(size_t count)
{
    size_t wanted = capacity;
    while (wanted < count) {
        wanted *= 2;
    }
    for (uint32_t i = 0; i < DISPATCHER_CPUS; i++) {
        struct cpu *cpu = dispatcher_cpus[i];
        if (cpu && run_queue_capacity(STORED(cpu->queue)) < wanted) {
            enum status status = enlarge(cpu, wanted);
            if (status != OK) {
                return status;
            }
        }
    }
    __atomic_store_n(&capacity, wanted, __ATOMIC_RELEASE);
    return OK;
}

static NOINLINE enum status admit_by_growing(size_t count, uint64_t *out)
{
    GUARD(spinlock, held, &growth);
    enum status status = grow(count);
    if (status != OK) {
        dispatcher_dismiss(out);
    }
    return status;
}

enum status dispatcher_admit(uint64_t *out)
{
    uint64_t count;
    do {
        count = __atomic_load_n(&admitted, __ATOMIC_RELAXED);
    } while (!commit_exchange(&admitted, count, count + 1, out, 1));
    if (LIKELY(count < __atomic_load_n(&capacity, __ATOMIC_ACQUIRE))) {
        return OK;
    }
    return admit_by_growing(count + 1, out);
}

void dispatcher_dismiss(uint64_t *field)
{
    while (*field) {
        uint64_t count = __atomic_load_n(&admitted, __ATOMIC_RELAXED);
        if (commit_exchange(&admitted, count, count - 1, field, 0)) {
            return;
        }
    }
}

/* ---- the dead ---- */

static bool take_dead_of(struct cpu *cpu, struct task **out)
{
    if (!cpu->dead) {
        return false;
    }
    bool enable = begin();
    lock(cpu);
    struct task *task = cpu->dead;
    if (task) {
        commit_two(&cpu->dead, task->next_dead, out, task);
    }
    unlock(cpu);
    end(enable);
    return task;
}

bool dispatcher_take_dead(bool of_any_cpu, struct task **out)
{
    bool is_taken = take_dead_of(this_cpu(), out);
    for (uint32_t i = 0; !is_taken && of_any_cpu && i < dispatcher_cpus_end; i++) {
        is_taken = dispatcher_cpus[i] && take_dead_of(dispatcher_cpus[i], out);
    }
    return is_taken;
}

void dispatcher_set_undertaker(void (*bury)(void))
{
    undertaker = bury;
}

struct dispatcher_statistics dispatcher_statistics(uint32_t index)
{
    struct dispatcher_statistics result = {0};
    struct cpu *cpu = index < DISPATCHER_CPUS ? dispatcher_cpus[index] : NULL;
    if (cpu) {
        bool enable = begin();
        result = cpu->statistics;
        result.ready = count_ready(cpu);
        end(enable);
    }
    return result;
}
