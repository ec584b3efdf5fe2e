/* SPDX-License-Identifier: MIT */
/*
 * A task's state changes only with its home's lock held. The home changes with it held too, so who
 * wants to change the state of a task elsewhere locks its home and looks again (lock_home).
 *
 * A switch: the task that leaves holds the lock of its CPU, has put itself where it belongs (run
 * queue, nowhere, or `previous` when it has ended) and goes over to the other's stack; the other unlocks
 * (finish_switch). Between the two nobody else can pick the task that leaves, though it is in a queue:
 * picking needs the lock. So nobody ever runs on a stack that is still in use.
 *
 * The slice: a timer is armed when a task becomes ready while another runs, and not before. It stays
 * armed over switches, so those who hand the CPU to and fro by themselves never touch the timer.
 */
#include "dispatcher.h"

#include "context.h"
#include "format.h"
#include "heap.h"

CELL(library, "1.0.0");

#define IDLE_STACK_SIZE 16384u
#define FIRST_CAPACITY  64u /* tasks; grows by dispatcher_reserve() */
#define NO_SLICE        PARK_FOREVER

struct cpu {
    struct cpu *locked_by_guard;      /* this record while locked, else NULL */
    union task_standing blocked_here; /* of a task of this CPU that waits without a deadline */
    uint32_t index;
    bool is_running;              /* its idle task has begun */
    struct run_queue *queue;      /* owned */
    struct timer_queue deadlines; /* of tasks that are BLOCKED with this home */
    struct task *current;
    struct task *idle;
    struct task *dead;  /* ended, by next_dead */
    bool wants_switch;  /* another CPU has made ready what should run at once */
    uint64_t slice_end; /* NO_SLICE: not armed */
    uint64_t alarm;     /* what the hardware's timer is set to */
    struct dispatcher_statistics statistics;
};

static const struct dispatcher_hardware *hardware;
static struct cpu *cpus[DISPATCHER_CPUS]; /* owned; those that were added */
static uint32_t cpu_count;                /* of those whose idle task has begun */
static uint64_t idle_mask;                /* CPUs that halt; atomically */
static size_t capacity = FIRST_CAPACITY;  /* of every run queue */
static struct spinlock growth;            /* of the above */
static struct task *boot_task;            /* owned, for good */
static void (*switch_vectors)(struct task *previous, struct task *next);
static void (*undertaker)(void);
static void (*release)(struct task *task);

/* ---- locks; interrupts are off ---- */

static inline struct cpu *this_cpu(void)
{
    return CPU_LOCAL(dispatcher);
}

static inline void lock(struct cpu *cpu)
{
    struct cpu *nobody = NULL;
    while (UNLIKELY(!__atomic_compare_exchange_n(&cpu->locked_by_guard, &nobody, cpu, false,
                                                 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))) {
        nobody = NULL;
        cpu_relax();
    }
}

static inline void unlock(struct cpu *cpu)
{
    __atomic_store_n(&cpu->locked_by_guard, NULL, __ATOMIC_RELEASE);
}

/* The record of the task's home, locked. */
static inline struct cpu *lock_home(const struct task *task)
{
    for (;;) {
        uint32_t home = __atomic_load_n(&task->home, __ATOMIC_RELAXED);
        struct cpu *cpu = cpus[home];
        lock(cpu);
        if (LIKELY(task->home == home)) {
            return cpu;
        }
        unlock(cpu);
    }
}

static inline bool begin(void)
{
    bool enable = interrupts_enabled();
    disable_interrupts();
    return enable;
}

/* Interrupts as they were; a switch that was asked for meanwhile happens now. */
static inline void end(bool enable)
{
    if (enable) {
        enable_interrupts();
        if (UNLIKELY(CPU_LOCAL(hold) == 0)) {
            preemption_switch();
        }
    }
}

/* ---- time; the CPU is this one, locked ---- */

static void set_alarm(struct cpu *cpu)
{
    uint64_t next = timer_queue_next(&cpu->deadlines);
    next = cpu->slice_end < next ? cpu->slice_end : next;
    if (next < cpu->alarm) {
        cpu->alarm = next;
        hardware->set_timer(next);
    }
}

static NOINLINE void begin_slice(struct cpu *cpu)
{
    cpu->slice_end = hardware->now() + DISPATCHER_SLICE_NS;
    set_alarm(cpu);
}

/* ---- readiness; the CPU is locked ---- */

/* A CPU that halts and could take over what is ready here. */
static NOINLINE void wake_idle_cpu(const struct cpu *busy)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the queue before the mask; idle() in reverse */
    uint64_t mask = __atomic_load_n(&idle_mask, __ATOMIC_RELAXED) & ~(1ull << busy->index);
    if (mask) {
        hardware->wake((uint32_t)__builtin_ctzll(mask));
    }
}

static inline void make_ready(struct cpu *cpu, struct task *task)
{
    task->state = TASK_READY;
    run_queue_add(STORED(cpu->queue), task);
    struct task *current = cpu->current;
    bool is_here = cpu->index == CPU_LOCAL(index);
    if (current->is_idle || run_queue_preempts(task, current)) {
        if (is_here) {
            preemption_request();
        } else {
            cpu->wants_switch = true;
            hardware->wake(cpu->index);
        }
    } else if (cpu->slice_end == NO_SLICE) {
        if (is_here) {
            begin_slice(cpu);
        } else {
            hardware->wake(cpu->index);
        }
    }
    if (cpu_count > 1 && !current->is_idle && run_queue_count(STORED(cpu->queue)) > 1) {
        wake_idle_cpu(cpu);
    }
}

/* ---- switching; this CPU is locked ---- */

static inline void finish_switch(void)
{
    unlock(this_cpu());
}

static inline void switch_to(struct cpu *cpu, struct task *previous, struct task *next)
{
    next->state = TASK_RUNNING;
    cpu->statistics.switches++;
    cpu->current = next;
    CPU_LOCAL(task) = next;
    previous->own_top = OWN_TOP;
    OWN_TOP = next->own_top;
    if (UNLIKELY(((uintptr_t)previous->vector_state | (uintptr_t)next->vector_state) != 0)) {
        switch_vectors(previous, next);
    }
    context_switch(previous->context, next->context);
    finish_switch();
}

/* The current task has another state than RUNNING now. */
static inline void switch_away(struct cpu *cpu)
{
    struct task *next = run_queue_take(STORED(cpu->queue));
    if (!next) {
        next = cpu->idle;
    }
    preemption_clear_request();
    if (next == cpu->current) {
        next->state = TASK_RUNNING;
        unlock(cpu);
        return;
    }
    switch_to(cpu, cpu->current, next);
}

/* Back into the queue, behind others. Within its callers, so that registers are saved once. */
static inline __attribute__((always_inline)) void switch_if_others(struct cpu *cpu)
{
    struct task *current = cpu->current;
    if (run_queue_count(STORED(cpu->queue)) == 0) {
        preemption_clear_request();
        unlock(cpu);
        return;
    }
    current->state = TASK_READY;
    if (!current->is_idle) {
        run_queue_add(STORED(cpu->queue), current);
    }
    switch_away(cpu);
}

/* cpu_local's: interrupts are off, nobody holds preemption, and somebody asked for this. */
static void reschedule(void)
{
    struct cpu *cpu = this_cpu();
    lock(cpu);
    cpu->statistics.preemptions += run_queue_count(STORED(cpu->queue)) != 0;
    switch_if_others(cpu);
}

void dispatcher_yield(void)
{
    disable_interrupts();
    struct cpu *cpu = this_cpu();
    lock(cpu);
    switch_if_others(cpu);
    enable_interrupts();
}

void dispatcher_end(void)
{
    disable_interrupts();
    struct cpu *cpu = this_cpu();
    lock(cpu);
    struct task *task = cpu->current;
    task->state = TASK_ENDED;
    task->next_dead = cpu->dead; /* picked up by who has the lock, which is held until it is off */
    cpu->dead = task;
    switch_away(cpu);
    __builtin_unreachable();
}

/* ---- parking; operations of parking.h ---- */

/* Who waits while others wait for what it holds waits for ever. */
static inline void demand_no_holds(void)
{
    OWN_DEMAND_(preemption_count() == 0);
}

/* Interrupts are off, the CPU is locked, and there is no permit. */
static inline void block(struct cpu *cpu, struct task *task, struct timer_entry *timer,
                         uint64_t deadline, const struct parking_reason *reason)
{
    task->standing.word = cpu->blocked_here.word;
    task->reason = reason;
    if (UNLIKELY(deadline != PARK_FOREVER)) {
        timer->deadline = deadline;
        timer->context = task;
        task->timer = timer;
        task->has_timer = true;
        timer_queue_add(&cpu->deadlines, timer);
        set_alarm(cpu);
    }
}

/* Its home is locked; it is BLOCKED. */
static inline void unblock(struct cpu *cpu, struct task *task)
{
    if (UNLIKELY(task->has_timer)) {
        timer_queue_remove(&cpu->deadlines, task->timer);
        task->has_timer = false;
    }
}

static enum status park(uint64_t deadline, const struct parking_reason *reason)
{
    demand_no_holds();
    disable_interrupts();
    struct cpu *cpu = this_cpu();
    lock(cpu);
    struct task *task = cpu->current;
    if (task->has_permit) {
        task->has_permit = false;
        unlock(cpu);
        end(true);
        return OK;
    }
    struct timer_entry timer; /* block() fills it if there is a deadline */
    block(cpu, task, &timer, deadline, reason);
    switch_away(cpu);
    enum status status = task->timed_out ? ERR_TIMEOUT : OK;
    enable_interrupts();
    return status;
}

static void unpark(struct task *task)
{
    bool enable = begin();
    struct cpu *cpu = lock_home(task);
    if (task->state == TASK_BLOCKED) {
        unblock(cpu, task);
        make_ready(cpu, task);
    } else {
        task->has_permit = true;
    }
    unlock(cpu);
    end(enable);
}

/* The long way, also for tasks that wait with a deadline. */
static NOINLINE enum status unpark_and_park(struct task *task, uint64_t deadline,
                                            const struct parking_reason *reason)
{
    unpark(task);
    enable_interrupts();
    return park(deadline, reason);
}

static enum status hand_over(struct task *task, uint64_t deadline,
                             const struct parking_reason *reason)
{
    demand_no_holds();
    disable_interrupts();
    struct cpu *cpu = this_cpu();
    lock(cpu);
    struct task *self = cpu->current;
    if (UNLIKELY(task->standing.word != cpu->blocked_here.word || self->has_permit)) {
        unlock(cpu);
        return unpark_and_park(task, deadline, reason);
    }
    struct timer_entry timer; /* block() fills it if there is a deadline */
    block(cpu, self, &timer, deadline, reason);
    switch_to(cpu, self, task);
    bool timed_out = CPU_LOCAL(task)->timed_out; /* of `self`, which need not be kept */
    enable_interrupts();
    return LIKELY(!timed_out) ? OK : ERR_TIMEOUT;
}

static uint64_t now(void)
{
    return hardware->now();
}

static unsigned priority(const struct task *task)
{
    return task_state_priority(task);
}

static void lend(struct task *task, unsigned lent)
{
    bool enable = begin();
    struct cpu *cpu = lock_home(task);
    bool was_queued = task->state == TASK_READY && run_queue_remove(STORED(cpu->queue), task);
    task->lent = (uint8_t)(lent < TASK_PRIORITIES ? lent : TASK_PRIORITIES - 1);
    if (was_queued) {
        make_ready(cpu, task);
    }
    unlock(cpu);
    end(enable);
}

static bool find_reason(const struct task *task, struct parking_reason *out)
{
    bool enable = begin();
    struct cpu *cpu = lock_home(task);
    bool is_found = task->state == TASK_BLOCKED && task->reason;
    if (is_found) {
        *out = *task->reason;
    }
    unlock(cpu);
    end(enable);
    return is_found;
}

static const char *name(const struct task *task)
{
    return task->name;
}

static void get(struct task *task)
{
    __atomic_add_fetch(&task->references, 1, __ATOMIC_RELAXED);
}

static void put(struct task *task)
{
    if (__atomic_sub_fetch(&task->references, 1, __ATOMIC_ACQ_REL) == 0) {
        release(task);
    }
}

static const struct parking_operations operations = {
    .park = park,
    .unpark = unpark,
    .hand_over = hand_over,
    .now = now,
    .priority = priority,
    .lend = lend,
    .reason = find_reason,
    .name = name,
    .get = get,
    .put = put,
};

/* ---- interrupts ---- */

static void wake_expired(struct cpu *cpu, uint64_t time)
{
    struct timer_entry *entry;
    while ((entry = timer_queue_take_expired(&cpu->deadlines, time))) {
        struct task *task = entry->context;
        task->timed_out = true;
        task->has_timer = false;
        make_ready(cpu, task);
    }
}

void dispatcher_timer_interrupt(void)
{
    struct cpu *cpu = this_cpu();
    lock(cpu);
    uint64_t time = hardware->now();
    cpu->alarm = PARK_FOREVER;
    wake_expired(cpu, time);
    if (cpu->slice_end <= time) {
        cpu->slice_end = NO_SLICE;
        if (run_queue_count(STORED(cpu->queue))) {
            preemption_request();
            cpu->slice_end = time + DISPATCHER_SLICE_NS;
        }
    }
    set_alarm(cpu);
    unlock(cpu);
}

/* Something became ready here, by another CPU. */
void dispatcher_wake_interrupt(void)
{
    struct cpu *cpu = this_cpu();
    lock(cpu);
    if (cpu->wants_switch) {
        cpu->wants_switch = false;
        preemption_request();
    }
    if (run_queue_count(STORED(cpu->queue)) && cpu->slice_end == NO_SLICE) {
        begin_slice(cpu);
    }
    unlock(cpu);
}

/* ---- idle CPUs ---- */

/* Takes a task that is ready elsewhere. */
static bool take_over(struct cpu *cpu)
{
    for (uint32_t i = 1; i < DISPATCHER_CPUS; i++) {
        struct cpu *other = cpus[(cpu->index + i) % DISPATCHER_CPUS];
        if (!other || run_queue_count(STORED(other->queue)) == 0) {
            continue;
        }
        lock(other);
        struct task *task = other->is_running ? run_queue_give(STORED(other->queue)) : NULL;
        if (task) {
            other->statistics.moves++;
            __atomic_store_n(&task->home, cpu->index, __ATOMIC_RELAXED);
        }
        unlock(other);
        if (task) {
            lock(cpu);
            run_queue_add(STORED(cpu->queue), task);
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
        if (undertaker && cpu->dead) {
            undertaker();
        }
        disable_interrupts();
        __atomic_or_fetch(&idle_mask, bit, __ATOMIC_SEQ_CST); /* and then looks */
        if (run_queue_count(STORED(cpu->queue)) || take_over(cpu)) {
            __atomic_and_fetch(&idle_mask, ~bit, __ATOMIC_RELAXED);
            enable_interrupts();
            dispatcher_yield();
            continue;
        }
        enable_interrupts_and_halt();
        __atomic_and_fetch(&idle_mask, ~bit, __ATOMIC_RELAXED);
    }
}

static void enter_idle(void *unused)
{
    (void)unused;
    finish_switch();
    idle(this_cpu());
}

/* ---- start ---- */

/* A record for a CPU, not yet in the table; its queue has room for as many as the others have. */
static enum status create_cpu(uint32_t index, struct cpu **out_cpu)
{
    OWNED(run_queue, queue);
    enum status status = run_queue_create(capacity, SLOT(queue));
    if (status != OK) {
        return status;
    }
    struct cpu *cpu = heap_allocate_zeroed(sizeof(*cpu));
    struct task *idle_task = heap_allocate_zeroed(sizeof(*idle_task));
    if (!cpu || !idle_task) {
        heap_free(cpu);
        heap_free(idle_task);
        return ERR_NO_MEMORY;
    }
    char idle_name[TASK_NAME_SIZE];
    format_into(idle_name, sizeof(idle_name), "idle %u", (unsigned)index);
    task_state_init(idle_task, idle_name, 0, index);
    idle_task->is_idle = true;
    idle_task->is_pinned = true;
    STORE(cpu->queue, queue);
    cpu->index = index;
    cpu->idle = idle_task;
    cpu->current = idle_task;
    cpu->slice_end = NO_SLICE;
    cpu->alarm = PARK_FOREVER;
    cpu->blocked_here = (union task_standing){.state = TASK_BLOCKED, .home = index};
    *out_cpu = cpu;
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
    CPU_LOCAL(reschedule) = reschedule;
    __atomic_add_fetch(&cpu_count, 1, __ATOMIC_RELAXED);
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
    context_prepare(stack_top(REF(stack)), enter_idle, NULL, cpu->idle->context);
    STORE(cpu->idle->stack, stack);
    task_state_init(task, boot_name, TASK_PRIORITY_BASE, 0);
    task->is_pinned = true;
    cpus[0] = cpu;
    boot_task = task;
    join_system(cpu, task);
    return OK;
}

const struct task *dispatcher_boot_task(void)
{
    return boot_task;
}

enum status dispatcher_start(const struct dispatcher_hardware *functions, const char *boot_name)
{
    if (cpus[0]) {
        return ERR_STATE;
    }
    growth = SPINLOCK_INIT("run queues");
    hardware = functions;
    enum status status = start_boot_cpu(boot_name);
    if (status != OK) {
        return status;
    }
    parking_set(&operations);
    return OK;
}

enum status dispatcher_add_cpu(uint32_t index)
{
    if (index >= DISPATCHER_CPUS) {
        return ERR_LIMIT;
    }
    GUARD(spinlock, held, &growth);
    if (cpus[index]) {
        return ERR_EXISTS;
    }
    struct cpu *cpu;
    enum status status = create_cpu(index, &cpu);
    if (status == OK) {
        __atomic_store_n(&cpus[index], cpu, __ATOMIC_RELEASE);
    }
    return status;
}

void dispatcher_run_cpu(void)
{
    struct cpu *cpu = cpus[CPU_LOCAL(index)];
    join_system(cpu, cpu->idle);
    idle(cpu);
}

uint32_t dispatcher_cpu_count(void)
{
    return cpu_count;
}

bool dispatcher_has_cpu(uint32_t index)
{
    return index < DISPATCHER_CPUS && cpus[index] && cpus[index]->is_running;
}

/* ---- tasks ---- */

static enum status enlarge(struct cpu *cpu, size_t count)
{
    OWNED(run_queue, larger);
    OWNED(run_queue, old);
    enum status status = run_queue_create(count, SLOT(larger));
    if (status != OK) {
        return status;
    }
    bool enable = begin();
    lock(cpu);
    run_queue_inherit(REF(larger), STORED(cpu->queue));
    LOAD(old, cpu->queue);
    STORE(cpu->queue, larger);
    unlock(cpu);
    end(enable);
    return OK;
}

enum status dispatcher_reserve(size_t count)
{
    if (LIKELY(count <= __atomic_load_n(&capacity, __ATOMIC_RELAXED))) {
        return OK;
    }
    GUARD(spinlock, held, &growth);
    size_t wanted = capacity;
    while (wanted < count) {
        wanted *= 2;
    }
    for (uint32_t i = 0; i < DISPATCHER_CPUS; i++) {
        if (cpus[i] && run_queue_capacity(STORED(cpus[i]->queue)) < wanted) {
            enum status status = enlarge(cpus[i], wanted);
            if (status != OK) {
                return status; /* those that are larger now stay so */
            }
        }
    }
    __atomic_store_n(&capacity, wanted, __ATOMIC_RELAXED);
    return OK;
}

static size_t load_of(struct cpu *cpu)
{
    return run_queue_count(STORED(cpu->queue)) + !cpu->current->is_idle;
}

/* Where it is done soonest; here, if nowhere sooner. Looks without locks: it is a guess. */
static struct cpu *choose_cpu(void)
{
    struct cpu *best = this_cpu();
    if (cpu_count == 1) {
        return best;
    }
    size_t least = load_of(best);
    for (uint32_t i = 0; i < DISPATCHER_CPUS && least; i++) {
        struct cpu *cpu = cpus[i];
        if (cpu && cpu->is_running && load_of(cpu) < least) {
            best = cpu;
            least = load_of(cpu);
        }
    }
    return best;
}

void dispatcher_add(struct task *task, uint32_t index)
{
    bool enable = begin();
    struct cpu *cpu = index == DISPATCHER_ANY_CPU ? choose_cpu() : cpus[index];
    lock(cpu);
    task->home = cpu->index;
    make_ready(cpu, task);
    unlock(cpu);
    end(enable);
}

void dispatcher_entered(void)
{
    finish_switch();
    enable_interrupts();
}

static struct task *take_dead_of(struct cpu *cpu)
{
    if (!cpu->dead) {
        return NULL;
    }
    bool enable = begin();
    lock(cpu);
    struct task *task = cpu->dead;
    if (task) {
        cpu->dead = task->next_dead;
        task->next_dead = NULL;
    }
    unlock(cpu);
    end(enable);
    return task;
}

struct task *dispatcher_take_dead(bool of_any_cpu)
{
    struct task *task = take_dead_of(this_cpu());
    for (uint32_t i = 0; !task && of_any_cpu && i < DISPATCHER_CPUS; i++) {
        task = cpus[i] ? take_dead_of(cpus[i]) : NULL;
    }
    return task;
}

void dispatcher_set_vectors(void (*change)(struct task *previous, struct task *next))
{
    switch_vectors = change;
}

void dispatcher_set_undertaker(void (*bury)(void), void (*release_record)(struct task *task))
{
    release = release_record;
    undertaker = bury;
}

struct dispatcher_statistics dispatcher_statistics(uint32_t index)
{
    struct dispatcher_statistics result = {0};
    struct cpu *cpu = index < DISPATCHER_CPUS ? cpus[index] : NULL;
    if (cpu) {
        result = cpu->statistics;
        result.ready = run_queue_count(STORED(cpu->queue));
    }
    return result;
}
