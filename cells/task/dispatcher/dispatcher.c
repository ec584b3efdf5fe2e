/* SPDX-License-Identifier: MIT */
/*
 * A task's state changes only with its home's lock held. The home changes with it held too, so who
 * wants to change the state of a task elsewhere locks its home and looks again (lock_home).
 *
 * A switch: the task that leaves holds the lock of its CPU, has put itself where it belongs (run
 * queue, nowhere, or `previous` when it has ended) and goes over to the other's stack; the other unlocks. Between the two nobody else can pick the task that leaves, though it is in a queue:
 * picking needs the lock. So nobody ever runs on a stack that is still in use.
 *
 * The slice: a timer is armed when a task becomes ready while another runs, and not before. It
 * stays armed over switches, so those who hand the CPU to and fro by themselves never touch the
 * timer.
 *
 * A kill is a sign that the task itself looks at whenever it comes back from a switch, and before
 * it waits: all under the lock of its home, so none is overlooked. Where it runs, a switch is
 * requested there: the request is heard when nothing is held, which is just when a kill may strike,
 * and costs those who hold nothing.
 */
#include "dispatcher_priv.h"

#include "commit.h"
#include "context.h"

CELL(library, "1.0.0");

void (*dispatcher_switch_vectors)(struct task *previous, struct task *next);
static void (*release)(struct task **slot);
static void (*kill)(const struct kill_deferral **out_by);

/* The record of the task's home, locked. */
static inline struct cpu *lock_home(const struct task *task)
{
    for (;;) {
        uint32_t home = __atomic_load_n(&task->home, __ATOMIC_RELAXED);
        struct cpu *cpu = dispatcher_cpus[home];
        lock(cpu);
        if (LIKELY(task->home == home)) {
            return cpu;
        }
        unlock(cpu);
    }
}

/* ---- time; the CPU is this one, locked ---- */

void dispatcher_set_alarm(struct cpu *cpu)
{
    uint64_t next = timer_queue_next(&cpu->deadlines);
    next = cpu->slice_end < next ? cpu->slice_end : next;
    if (next < cpu->alarm) {
        cpu->alarm = next;
        dispatcher_hardware->set_timer(next);
    }
}

static NOINLINE void begin_slice(struct cpu *cpu)
{
    cpu->slice_end = dispatcher_hardware->now() + DISPATCHER_SLICE_NS;
    dispatcher_set_alarm(cpu);
}

/* ---- readiness; the CPU is locked ---- */

/* A CPU that halts and could take over what is ready here. */
static NOINLINE void wake_idle_cpu(const struct cpu *busy)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the queue before the mask; idle() in reverse */
    uint64_t others = ~(1ull << busy->index | 1ull << CPU_LOCAL(index)); /* this one looks anyway */
    uint64_t mask = __atomic_load_n(&dispatcher_idle, __ATOMIC_RELAXED) & others;
    if (mask) {
        dispatcher_hardware->wake((uint32_t)__builtin_ctzll(mask));
    }
}

/* Something became ready on a CPU that may have more than it can run at once. */
static NOINLINE void offer_to_idle_cpus(struct cpu *cpu)
{
    if (!cpu->current->is_idle && count_ready_locked(cpu) > 1) {
        wake_idle_cpu(cpu);
    }
}

static inline bool is_here(const struct cpu *cpu)
{
    return cpu->index == CPU_LOCAL(index);
}

void dispatcher_enter_queue(struct cpu *cpu, struct task *task)
{
    struct task *first = cpu->alone;
    if (first != IN_QUEUE) {
        run_queue_add(STORED(cpu->queue), first);
        COMPILER_BARRIER();
        cpu->alone = IN_QUEUE;
        COMPILER_BARRIER();
    } else if (run_queue_count(STORED(cpu->queue)) == 0) {
        cpu->alone = task;
        return;
    }
    run_queue_add(STORED(cpu->queue), task);
}

/* Of two ranks. */
static NOINLINE bool preempts(const struct task *task, const struct task *current)
{
    return current->is_idle || run_queue_preempts(task, current);
}

/* It has entered: what follows from that. */
static inline void announce(struct cpu *cpu, const struct task *task)
{
    const struct task *current = cpu->current;
    if (UNLIKELY(task->rank != current->rank) && preempts(task, current)) {
        if (is_here(cpu)) {
            preemption_request();
        } else {
            cpu->wants_switch = true;
            dispatcher_hardware->wake(cpu->index);
        }
    } else if (UNLIKELY(cpu->slice_end == NO_SLICE)) {
        if (is_here(cpu)) {
            begin_slice(cpu);
        } else {
            dispatcher_hardware->wake(cpu->index);
        }
    }
    if (UNLIKELY(dispatcher_running > 1)) {
        offer_to_idle_cpus(cpu);
    }
}

/* Nothing follows: the two take turns, a slice has begun, and no other CPU could take one of them over. */
static inline bool is_expected(const struct cpu *cpu, const struct task *task)
{
    return task->rank == cpu->current->rank && cpu->slice_end != NO_SLICE &&
           dispatcher_running == 1;
}

/* It was BLOCKED. Who has entered is ready, whatever its state says: dispatcher_settle(). */
static inline void make_ready(struct cpu *cpu, struct task *task)
{
    enter(cpu, task);
    COMPILER_BARRIER();
    withdraw_deadline(cpu, task);
    set_state(task, TASK_READY);
    announce(cpu, task);
}

/* ---- switching; this CPU is locked ---- */

void dispatcher_finish_switch(void)
{
    unlock(this_cpu());
}

/* From here on `current` changes, and the lock's word says who leaves: dispatcher_settle(). */
static inline void begin_switch(struct cpu *cpu, struct task *previous)
{
    previous->own_top = OWN_TOP;
    COMPILER_BARRIER();
    cpu->holder = (uintptr_t)previous;
    COMPILER_BARRIER();
}

/* The switch has begun, and `current` is `next`: what is left but for vector registers and the stacks. */
static inline void exchange_tasks(struct cpu *cpu, struct task *next)
{
    set_state(next, TASK_RUNNING);
    cpu->statistics.switches++;
    CPU_LOCAL(task) = next;
    OWN_TOP = next->own_top;
}

static inline bool has_vectors(const struct task *previous, const struct task *next)
{
    return ((uintptr_t)previous->vector_state | (uintptr_t)next->vector_state) != 0;
}

static inline void switch_to(struct cpu *cpu, struct task *previous, struct task *next)
{
    exchange_tasks(cpu, next);
    if (UNLIKELY(has_vectors(previous, next))) {
        dispatcher_switch_vectors(previous, next);
    }
    cpu =
        context_switch(previous->context, next->context, cpu); /* another one may be its home now */
    unlock(cpu);
}

/* The current task has another state than RUNNING now. */
static inline void switch_away(struct cpu *cpu)
{
    struct task *current = cpu->current;
    begin_switch(cpu, current);
    struct task *next = take_next(cpu, &cpu->current);
    if (!next) {
        next = cpu->idle;
        cpu->current = next;
    }
    preemption_clear_request();
    if (next == current) {
        set_state(next, TASK_RUNNING);
        unlock(cpu);
        return;
    }
    switch_to(cpu, current, next);
}

/* The order is the policy's. */
static NOINLINE void switch_by_policy(struct cpu *cpu, struct task *current)
{
    if (count_ready_locked(cpu) == 0) {
        preemption_clear_request();
        unlock(cpu);
        return;
    }
    set_state(current, TASK_READY);
    if (!current->is_idle) {
        enter(cpu, current);
    }
    switch_away(cpu);
}

/* Behind others. Within its callers, so that registers are saved once. */
static inline __attribute__((always_inline)) void switch_if_others(struct cpu *cpu)
{
    struct task *current = cpu->current;
    struct task *next = cpu->alone;
    if (UNLIKELY((uintptr_t)next <= (uintptr_t)IN_QUEUE || next->rank != current->rank)) {
        switch_by_policy(cpu, current);
        return;
    }
    set_state(current, TASK_READY); /* the two take turns */
    begin_switch(cpu, current);
    cpu->current = next;
    COMPILER_BARRIER();
    cpu->alone = current;
    preemption_clear_request();
    switch_to(cpu, current, next);
}

/* cpu_local's: interrupts are off, nobody holds preemption, and somebody asked for this. */
void dispatcher_reschedule(void)
{
    struct cpu *cpu = lock_this();
    cpu->statistics.preemptions += count_ready_locked(cpu) != 0;
    switch_if_others(cpu);
    if (UNLIKELY(CPU_LOCAL(task)->is_struck)) {
        dispatcher_strike();
    }
}

void dispatcher_yield(void)
{
    disable_interrupts();
    struct cpu *cpu = lock_this();
    switch_if_others(cpu);
    if (UNLIKELY(CPU_LOCAL(task)->is_struck)) {
        dispatcher_strike();
    }
    enable_interrupts();
}

void dispatcher_end(void)
{
    disable_interrupts();
    struct cpu *cpu = lock_this();
    struct task *task = cpu->current;
    set_state(task, TASK_ENDED);
    task->next_dead = cpu->dead; /* picked up by who has the lock, which is held until it is off */
    COMPILER_BARRIER();
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
static inline void block(struct cpu *cpu, struct task *task, const struct parking_reason *reason)
{
    DEMAND_STATE(task, TASK_BLOCKED);
    task->standing.word = cpu->blocked_here.word;
    task->reason = reason;
}

/* Then with a deadline; `timer` is its own while it waits. */
static void block_until(struct cpu *cpu, struct task *task, struct timer_entry *timer,
                        uint64_t deadline)
{
    timer->deadline = deadline;
    timer->context = task;
    task->timer = timer;
    list_timed(cpu, task);
    timer_queue_add(&cpu->deadlines, timer);
    dispatcher_set_alarm(cpu);
}

/*
 * Of who is about to wait, instead of lock_this() and begin_switch(): the word of the lock says from the
 * beginning who leaves.
 */
static inline struct cpu *lock_to_leave(struct task *self)
{
    struct cpu *cpu = this_cpu();
    self->own_top = OWN_TOP;
    COMPILER_BARRIER();
    lock_as(cpu, self);
    return cpu;
}

/* Its signs say that it does not wait. A kill that is deferred looks like a permit that was left
 * over. */
static NOINLINE enum status do_not_wait(struct cpu *cpu, struct task *task)
{
    task->has_permit = false;
    unlock(cpu);
    if (task->is_struck) {
        dispatcher_strike();
    }
    end(true);
    return OK;
}

enum status dispatcher_wake_up(struct task *task)
{
    bool timed_out = task->timed_out;
    if (task->is_struck) {
        dispatcher_strike();
    }
    enable_interrupts();
    return timed_out ? ERR_TIMEOUT : OK;
}

/* What delays a kill may wait by itself, and have another reason then. */
struct parking_result dispatcher_wake_up_call(struct task *task)
{
    const struct parking_call *call = (const struct parking_call *)task->reason;
    (void)dispatcher_wake_up(task);
    return call->resume(call);
}

/* Back from a wait, natively or with a deadline. */
static enum status come_back(void)
{
    struct task *self = CPU_LOCAL(task);
    if (UNLIKELY(self->standing.signs & TASK_SIGNS_AFTER_WAIT)) {
        return dispatcher_wake_up(self);
    }
    enable_interrupts();
    return OK;
}

#if __STDC_HOSTED__
enum status dispatcher_leave(struct task *next, struct task *previous, struct cpu *cpu)
{
    cpu = context_switch(previous->context, next->context, cpu);
    unlock(cpu);
    return come_back();
}
#endif

/* Out of the queue, or the idle task; `current` from now on. */
static inline struct task *choose_next(struct cpu *cpu)
{
    struct task *next = take_next(cpu, &cpu->current);
    if (UNLIKELY(!next)) {
        next = cpu->idle;
        cpu->current = next;
    }
    preemption_clear_request();
    return next;
}

static NOINLINE enum status leave_with_vectors(struct cpu *cpu, struct task *self,
                                               struct task *next)
{
    dispatcher_switch_vectors(self, next);
    return dispatcher_leave(next, self, cpu);
}

/* `current` is `next`. In functions that end so nothing else is called, and so nothing saved. */
static inline enum status leave_to(struct cpu *cpu, struct task *self, struct task *next)
{
    exchange_tasks(cpu, next);
    return LIKELY(!has_vectors(self, next)) ? dispatcher_leave(next, self, cpu)
                                            : leave_with_vectors(cpu, self, next);
}

static NOINLINE enum status park_by_policy(struct cpu *cpu, struct task *self)
{
    return leave_to(cpu, self, choose_next(cpu));
}

/* The timer lies on its stack. Otherwise as park(). */
static NOINLINE enum status park_until(struct cpu *cpu, struct task *self, uint64_t deadline)
{
    struct timer_entry timer;
    block_until(cpu, self, &timer, deadline);
    switch_to(cpu, self, choose_next(cpu));
    return come_back();
}

static enum status park(uint64_t deadline, const struct parking_reason *reason)
{
    demand_no_holds();
    disable_interrupts();
    struct task *self = CPU_LOCAL(task);
    struct cpu *cpu = lock_to_leave(self);
    if (UNLIKELY(self->standing.signs & TASK_SIGNS_BEFORE_WAIT)) {
        return do_not_wait(cpu, self);
    }
    block(cpu, self, reason);
    if (UNLIKELY(deadline != PARK_FOREVER)) {
        return park_until(cpu, self, deadline);
    }
    struct task *next = cpu->alone;
    if (UNLIKELY((uintptr_t)next <= (uintptr_t)IN_QUEUE)) {
        return park_by_policy(cpu, self);
    }
    cpu->current = next;
    COMPILER_BARRIER();
    cpu->alone = NULL;
    preemption_clear_request();
    return leave_to(cpu, self, next);
}

/* It does not wait, or with a deadline, or has moved meanwhile. */
static NOINLINE void unpark_any(struct task *task, bool enable)
{
    struct cpu *cpu = lock_home(task);
    if (task->state == TASK_BLOCKED) {
        make_ready(cpu, task);
    } else {
        task->has_permit = true;
    }
    unlock(cpu);
    end(enable);
}

/* It waited without a deadline, and others are ready, or must hear of it. */
static NOINLINE void unpark_and_announce(struct cpu *cpu, struct task *task, bool enable)
{
    enter(cpu, task);
    COMPILER_BARRIER();
    set_state(task, TASK_READY); /* as make_ready() without a deadline */
    announce(cpu, task);
    unlock(cpu);
    end(enable);
}

/*
 * One comparison says that it waits, that this is its home, and that there is nothing else to do. Where nothing
 * follows, no switch has been asked for meanwhile either, and nothing is called, so nothing is saved.
 */
static void unpark(struct task *task)
{
    bool enable = begin();
    struct cpu *cpu = dispatcher_cpus[__atomic_load_n(&task->home, __ATOMIC_RELAXED)];
    lock(cpu);
    if (UNLIKELY(task->standing.word != cpu->blocked_here.word)) {
        unlock(cpu);
        unpark_any(task, enable);
        return;
    }
    if (UNLIKELY(cpu->alone || !is_expected(cpu, task))) {
        unpark_and_announce(cpu, task, enable);
        return;
    }
    cpu->alone = task;
    COMPILER_BARRIER();
    set_state(task, TASK_READY);
    unlock(cpu);
    if (LIKELY(enable)) {
        enable_interrupts();
    }
}

/* The long way, also for tasks that wait with a deadline. */
static NOINLINE enum status unpark_and_park(struct task *task, uint64_t deadline,
                                            const struct parking_reason *reason)
{
    unpark(task);
    enable_interrupts();
    return park(deadline, reason);
}

/* As park_until(). */
static NOINLINE enum status hand_over_until(struct cpu *cpu, struct task *self, struct task *task,
                                            uint64_t deadline)
{
    struct timer_entry timer;
    block_until(cpu, self, &timer, deadline);
    cpu->current = task;
    COMPILER_BARRIER();
    switch_to(cpu, self, task);
    return come_back();
}

static enum status hand_over(struct task *task, uint64_t deadline,
                             const struct parking_reason *reason)
{
    demand_no_holds();
    disable_interrupts();
    struct task *self = CPU_LOCAL(task);
    struct cpu *cpu = lock_to_leave(self);
    if (UNLIKELY(task->standing.word != cpu->blocked_here.word ||
                 self->standing.signs & TASK_SIGNS_BEFORE_WAIT)) {
        unlock(cpu);
        return unpark_and_park(task, deadline, reason);
    }
    block(cpu, self, reason);
    if (UNLIKELY(deadline != PARK_FOREVER)) {
        return hand_over_until(cpu, self, task, deadline);
    }
    cpu->current = task;
    COMPILER_BARRIER();
    return leave_to(cpu, self, task);
}

#if !__STDC_HOSTED__
/* parking_hand_over() has saved what is needed afterwards. */
static NOINLINE struct parking_result call_slowly(struct task *task,
                                                  const struct parking_call *call)
{
    (void)!parking_hand_over(task, PARK_FOREVER, &call->reason);
    return call->resume(call);
}

static NOINLINE struct parking_result call_with_vectors(struct cpu *cpu, struct task *self,
                                                        struct task *task)
{
    dispatcher_switch_vectors(self, task);
    return dispatcher_leave_call(task, self, cpu);
}

/* As hand_over(). */
static struct parking_result call(struct task *task, const struct parking_call *call)
{
    if (UNLIKELY(!preemption_is_at_rest())) {
        return call_slowly(task, call);
    }
    disable_interrupts();
    struct task *self = CPU_LOCAL(task);
    struct cpu *cpu = lock_to_leave(self);
    if (UNLIKELY(task->standing.word != cpu->blocked_here.word ||
                 self->standing.signs & TASK_SIGNS_BEFORE_WAIT)) {
        unlock(cpu);
        enable_interrupts();
        return call_slowly(task, call);
    }
    block(cpu, self, &call->reason);
    cpu->current = task;
    COMPILER_BARRIER();
    exchange_tasks(cpu, task);
    return LIKELY(!has_vectors(self, task)) ? dispatcher_leave_call(task, self, cpu)
                                            : call_with_vectors(cpu, self, task);
}
#endif

static uint64_t now(void)
{
    return dispatcher_hardware->now();
}

static unsigned priority(const struct task *task)
{
    return task_state_priority(task);
}

/* False if it is not ready here. */
static bool leave(struct cpu *cpu, const struct task *task)
{
    if (cpu->alone == task) {
        cpu->alone = NULL;
        return true;
    }
    return cpu->alone == IN_QUEUE && run_queue_remove(STORED(cpu->queue), task);
}

static void lend(struct task *task, unsigned lent)
{
    bool enable = begin();
    struct cpu *cpu = lock_home(task);
    cpu->moving = task->state == TASK_READY ? task : NULL;
    COMPILER_BARRIER();
    bool was_queued = cpu->moving && leave(cpu, task);
    task->lent = (uint8_t)(lent < TASK_PRIORITIES ? lent : TASK_PRIORITIES - 1);
    if (was_queued) {
        enter(cpu, task);
        announce(cpu, task);
    }
    COMPILER_BARRIER();
    cpu->moving = NULL;
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

bool dispatcher_look(const struct task *task, void (*look)(const struct task *task, void *context),
                     void *context, uint32_t *out_cpu)
{
    bool enable = begin();
    struct cpu *cpu = lock_home(task);
    bool runs = task->state == TASK_RUNNING;
    if (runs) {
        *out_cpu = cpu->index;
    } else {
        look(task, context);
    }
    unlock(cpu);
    end(enable);
    return !runs;
}

static const char *name(const struct task *task)
{
    return task->name;
}

static void get(struct task *task, struct task **out)
{
    uint64_t references;
    do {
        references = __atomic_load_n(&task->references, __ATOMIC_RELAXED);
    } while (!commit_exchange(&task->references, references, references + 1, out, task));
}

/* The last one goes another way: nobody else can come to it any more. */
static void put(struct task **slot)
{
    struct task *task = *slot;
    for (;;) {
        uint64_t references = __atomic_load_n(&task->references, __ATOMIC_RELAXED);
        if (references == 1) {
            release(slot);
            return;
        }
        if (commit_exchange(&task->references, references, references - 1, slot, NULL)) {
            return;
        }
    }
}

const struct parking_operations dispatcher_parking = {
    .park = park,
    .unpark = unpark,
    .hand_over = hand_over,
#if !__STDC_HOSTED__
    .call = call,
#endif
    .now = now,
    .priority = priority,
    .lend = lend,
    .reason = find_reason,
    .name = name,
    .get = get,
    .put = put,
};

/* ---- kills ---- */

/*
 * The kill is its own now: others only ever make WANTED of nothing. It comes back only where
 * something defers it, and then the sign is gone until dispatcher_kill_check().
 */
void dispatcher_strike(void)
{
    struct task *self = CPU_LOCAL(task);
    self->is_struck = false;
    if (self->kill == TASK_KILL_BEGUN || !kill) {
        return;
    }
    self->kill = TASK_KILL_BEGUN;
    enable_interrupts();
    kill(&self->kept_by);
    disable_interrupts();
    self->kill = TASK_KILL_DEFERRED;
}

void dispatcher_kill_check(void)
{
    struct task *self = CPU_LOCAL(task);
    if (!self || LIKELY(self->kill == TASK_NO_KILL || self->kill == TASK_KILL_BEGUN)) {
        return;
    }
    bool enable = begin();
    self->kill = TASK_KILL_WANTED;
    self->is_struck = true;
    preemption_request(); /* heard now, or when the last hold ends */
    end(enable);
}

/* Its home is locked, and it is not the task that calls unless that runs here. */
static void wake_for_kill(struct cpu *cpu, struct task *task)
{
    if (task->state == TASK_BLOCKED) {
        make_ready(cpu, task);
    } else if (task->state == TASK_RUNNING) {
        if (cpu->index == CPU_LOCAL(index)) {
            preemption_request();
        } else {
            cpu->wants_switch = true;
            dispatcher_hardware->wake(cpu->index);
        }
    }
}

void dispatcher_kill(struct task *task)
{
    bool enable = begin();
    struct cpu *cpu = lock_home(task);
    if (task->kill == TASK_NO_KILL && task->state != TASK_ENDED) {
        task->kill_time = dispatcher_hardware->now();
        task->kill = TASK_KILL_WANTED;
        task->is_struck = true;
    }
    if (task->is_struck) {
        wake_for_kill(cpu, task);
    }
    unlock(cpu);
    end(enable);
}

void dispatcher_set_kill(void (*function)(const struct kill_deferral **out_by))
{
    kill = function;
}

bool dispatcher_examine(struct task *task, void (*look)(const struct task *task, void *context),
                        void *context)
{
    bool enable = begin();
    struct cpu *cpu = lock_home(task);
    bool is_still = task->state == TASK_READY || task->state == TASK_BLOCKED;
    if (is_still) {
        look(task, context);
    }
    unlock(cpu);
    end(enable);
    return is_still;
}

/* ---- interrupts ---- */

static void wake_expired(struct cpu *cpu, uint64_t time)
{
    while (timer_queue_next(&cpu->deadlines) <= time) {
        struct task *task = cpu->deadlines.earliest->context;
        task->timed_out = true;
        make_ready(cpu, task);
    }
}

void dispatcher_timer_interrupt(void)
{
    struct cpu *cpu = lock_this();
    uint64_t time = dispatcher_hardware->now();
    cpu->alarm = PARK_FOREVER;
    wake_expired(cpu, time);
    if (cpu->slice_end <= time) {
        cpu->slice_end = NO_SLICE;
        if (count_ready_locked(cpu)) {
            preemption_request();
            cpu->slice_end = time + DISPATCHER_SLICE_NS;
        }
    }
    dispatcher_set_alarm(cpu);
    unlock(cpu);
}

/* Something became ready here, by another CPU. */
void dispatcher_wake_interrupt(void)
{
    struct cpu *cpu = lock_this();
    if (cpu->wants_switch) {
        cpu->wants_switch = false;
        preemption_request();
    }
    if (count_ready_locked(cpu) && cpu->slice_end == NO_SLICE) {
        begin_slice(cpu);
    }
    unlock(cpu);
}

/* ---- new tasks ---- */

static size_t load_of(struct cpu *cpu)
{
    return count_ready(cpu) + !cpu->current->is_idle;
}

/* Where it is done soonest; here, if nowhere sooner. One looked at after the other: it is a guess. */
static struct cpu *choose_cpu(void)
{
    struct cpu *best = this_cpu();
    if (dispatcher_running == 1) {
        return best;
    }
    size_t least = load_of(best);
    for (uint32_t i = 0; i < dispatcher_cpus_end && least; i++) {
        struct cpu *cpu = dispatcher_cpus[i];
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
    struct cpu *cpu = index == DISPATCHER_ANY_CPU ? choose_cpu() : dispatcher_cpus[index];
    lock(cpu);
    task->home = (uint16_t)cpu->index;
    enter(cpu, task);
    COMPILER_BARRIER();
    task->has_begun = true;
    announce(cpu, task);
    unlock(cpu);
    end(enable);
}

void dispatcher_entered(void)
{
    dispatcher_finish_switch();
    enable_interrupts();
}

void dispatcher_set_vectors(void (*change)(struct task *previous, struct task *next))
{
    dispatcher_switch_vectors = change;
}

void dispatcher_set_release(void (*release_last)(struct task **slot))
{
    release = release_last;
}
