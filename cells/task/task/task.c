/* SPDX-License-Identifier: MIT */
/*
 * A task has one reference for itself and one for its handle, from the beginning: a handle that goes
 * before the task has begun takes both. What it
 * leaves at its end is picked up by whoever runs on that CPU next: dispatcher_take_dead() hands out
 * tasks that are off their stacks. Spawning takes one of these first and uses its stack, which is
 * why spawn and join do not touch page tables.
 *
 * A record is all that a new task owns: room in the run queues, its stack, the count in its cell; each
 * enters its field in one step and leaves it in one. So whatever strikes, a handle that is dropped gives
 * back what there is. The last one says so in its lowest bit, and may be begun again.
 */
#include "catch.h"
#include "cell_tasks.h"
#include "commit.h"
#include "context.h"
#include "exceptions.h"
#include "freestanding.h"
#include "heap.h"
#include "heap_block.h"
#include "kill_deferral.h"
#include "logger.h"
#include "reclaimable.h"
#include "task_priv.h"

CELL(library, "1.0.0");

static_assert(CELL_TASKS_NAME_SIZE == TASK_NAME_SIZE, "a task's name is copied");

#define END_TRIES 3u /* of a task that fails in its end */

#define ALIGN_16(size) (((size) + 15) & ~(size_t)15)

/* Stacks of TASK_STACK_SIZE without a task. */
static struct spinlock stacks_lock = {.name = "kept stacks"}; /* for who adds one */
static struct reclaimable kept_stacks[TASK_STACKS_KEPT];

static bool is_introduced;

/* ---- references ---- */

#define IS_LAST ((uintptr_t)1) /* in a handle: nobody else knows of it, and it is being released */

static struct task *task_of(const void *handle)
{
    return (struct task *)((uintptr_t)handle & ~IS_LAST);
}

/* It is off its stack: its code and its vector registers may go. May begin again. */
static inline void leave(struct task_record *record)
{
    if (UNLIKELY(record->task.vector_state)) {
        heap_free_from(&record->task.vector_state);
    }
    if (record->cell) {
        cell_tasks_put(&record->cell);
    }
}

/* Of the last handle. May begin again. */
static void release(struct task_handle **handle) OWN_UNCHECKED
{
    OWNED(heap_block, block);
    struct task_record *record = (struct task_record *)task_of(*handle);
    if (UNLIKELY(record->owned)) {
        record->plan->drop(&record->owned); /* it has not begun */
    }
    task_list_remove(record);
    leave(record);
    if (UNLIKELY(record->task.stack)) {
        stack_drop(&record->task.stack);
    }
    if (record->admission) {
        dispatcher_dismiss(&record->admission);
    }
    commit_two(handle, NULL, SLOT(block), record);
    heap_free_from(SLOT(block));
}

void task_handle_drop(struct task_handle **handle) OWN_UNCHECKED
{
    if (!*handle) {
        return;
    }
    struct task *task = task_of(*handle);
    while (!((uintptr_t)*handle & IS_LAST)) {
        uint64_t references = __atomic_load_n(&task->references, __ATOMIC_RELAXED);
        uint64_t rest = references - (LIKELY(task->has_begun) ? 1 : 2);
        uintptr_t next = rest ? 0 : (uintptr_t)task | IS_LAST;
        if (commit_exchange(&task->references, references, rest, handle, next) && rest) {
            return;
        }
    }
    release(handle);
}

/* Of a field that others look at: so it is emptied first. */
static void release_from(struct task **slot) OWN_UNCHECKED
{
    OWNED(task_handle, last);
    commit_two(SLOT(last), *slot, slot, NULL);
}

static size_t size_of(const struct stack *stack) OWN_BORROWS(*stack);
static size_t size_of(const struct stack *stack)
{
    return stack_top(stack) - stack_bottom(stack);
}

/* Empties the field if there is a place for the stack. */
static void fill_place(struct stack **stack)
{
    GUARD(spinlock, held, &stacks_lock);
    for (unsigned i = 0; i < TASK_STACKS_KEPT && *stack; i++) {
        struct reclaimable_reference unused;
        (void)!reclaimable_fill(&kept_stacks[i], (own_drop_t)stack_drop, (void **)stack, &unused);
    }
}

/* Keeps the stack for the next task, or gives it back. */
static void keep_stack(struct stack **stack) OWN_CONSUMES(**stack);
static void keep_stack(struct stack **stack) OWN_UNCHECKED
{
    if (size_of(*stack) == TASK_STACK_SIZE) {
        fill_place(stack);
    }
    if (*stack) {
        stack_drop(stack);
    }
}

/* A task that is off its stack, with the reference that was its own. */
struct OWN_CAPABILITY("dead task") dead_task;
OWN_DECLARE_LOCAL(dead_task);

static NOINLINE void dead_task_drop(struct dead_task **handle) OWN_UNCHECKED
{
    if (!*handle) {
        return;
    }
    struct task *task = task_of(*handle);
    if (task == (struct task *)*handle) {
        leave((struct task_record *)task);
        if (task->stack) {
            keep_stack(STORED_SLOT(task->stack));
        }
    }
    task_handle_drop((struct task_handle **)handle);
}

/* Idle tasks too: who is preempted there lets all of it wait for long. */
static bool bury_one(bool of_any_cpu) OWN_UNCHECKED
{
    preemption_hold();
    bool is_there;
    {
        OWNED(dead_task, dead);
        is_there = dispatcher_take_dead(of_any_cpu, (struct task **)SLOT(dead));
    }
    preemption_release();
    return is_there;
}

static void bury_all(bool of_any_cpu)
{
    while (bury_one(of_any_cpu)) {
    }
}

static void undertaker(void)
{
    bury_all(false);
}

/* Who keeps the cell, once the dead are gone: cell_tasks.h. */
static void find_in_cell(const struct cell *cell, char name[CELL_TASKS_NAME_SIZE])
{
    bury_all(true);
    task_list_find_in_cell(cell, name);
}

/* ---- a task's life ---- */

/* Its end is the first that is decided; whoever waits for it is told, again if need be. */
static NORETURN void end_task(struct task *task, enum task_end end)
{
    {
        GUARD(spinlock, held, &task->lock);
        if (task->end == TASK_NOT_ENDED) {
            task->end = end;
        }
        wait_queue_wake_all(&task->joiners);
    }
    dispatcher_end();
}

/* No kill strikes any more, for its end is decided: before, there is no slot for what is owned here. */
static NOINLINE void release_argument(struct task_record *record)
{
    record->task.kill = TASK_KILL_BEGUN;
    record->plan->drop(&record->owned);
}

static NORETURN NOINLINE void run_entry(struct task_record *record)
{
    if (UNLIKELY(record->task.kill != TASK_NO_KILL)) {
        dispatcher_kill_check(); /* one that came before finds its way now */
    }
    record->plan->run(record->argument, record->result);
    record->end = TASK_RETURNED;
    if (UNLIKELY(record->owned)) {
        release_argument(record);
    }
    end_task(&record->task, TASK_RETURNED);
}

/* All but the end itself is left out when it has failed too often. */
static NORETURN void end_again(struct task_record *record)
{
    if (record->tries > 2 * END_TRIES) {
        record->task.end = record->end;
        dispatcher_end(); /* nobody is told, but the rest of the system goes on */
    }
    if (record->owned && record->tries > END_TRIES) {
        record->owned = NULL;
        log_error("what the argument of task `%s` owns is lost", record->task.name);
    } else if (record->owned) {
        release_argument(record);
    }
    end_task(&record->task, record->end);
}

static void tell_failure(const struct task *task, bool was_killed,
                         const struct catch_reason *reason)
{
    bool is_whole = reason->lost == 0 && reason->is_complete;
    if (!was_killed || reason->faults || !is_whole) {
        log_error("task `%s` %s; %lu resources released%s", task->name,
                  !was_killed         ? "has failed"
                  : reason->is_mended ? "was killed, with a broken chain of slots"
                                      : "was killed, and failed in a release",
                  (unsigned long)reason->released, is_whole ? "" : ", not all of what there was");
        catch_log_losses(task->name, reason);
    }
}

/* Interrupts as in any code, and what has been asked for meanwhile happens. */
static void let_interrupts_in(void)
{
    enable_interrupts();
    if (CPU_LOCAL(hold) == 0) {
        preemption_switch();
    }
}

/*
 * From its base, whatever has struck it wherever, with all that it owned released. Whatever ends it first is
 * its end, and no kill strikes it afterwards. Interrupts are off up to there.
 */
static void go_on(void *argument, enum status status, const struct catch_reason *reason)
{
    struct task_record *record = argument;
    bool was_killed = status == ERR_KILLED;
    if (record->restarts > 0 && !was_killed && record->end == TASK_NOT_ENDED) {
        record->restarts--;
        let_interrupts_in();
        tell_failure(&record->task, false, reason);
        run_entry(record);
    }
    record->task.kill = TASK_KILL_BEGUN;
    if (record->end == TASK_NOT_ENDED) {
        record->end = was_killed ? TASK_KILLED : TASK_FAILED;
    }
    uint8_t tries = record->tries;
    record->tries += tries < UINT8_MAX;
    let_interrupts_in();
    if (tries <= END_TRIES) {
        tell_failure(&record->task, was_killed, reason);
    }
    end_again(record);
}

static void run_task(void *argument)
{
    dispatcher_entered();
    run_entry(argument);
}

/* ---- spawning ---- */

static enum status check_options(const struct task_options *options)
{
    if (options->priority >= TASK_PRIORITIES) {
        return ERR_INVALID_ARGUMENT;
    }
    return options->is_pinned && !dispatcher_has_cpu(options->cpu) ? ERR_INVALID_ARGUMENT : OK;
}

/* What the dead have left, and what is kept of it; for who needs the memory more. */
static uint64_t reclaim_stacks(void)
{
    uint64_t count = 0;
    while (bury_one(true)) {
        count++;
    }
    for (unsigned i = 0; i < TASK_STACKS_KEPT; i++) {
        count += reclaimable_revoke(&kept_stacks[i]);
    }
    return count;
}

/* Others call back into this cell from now on. */
static NOINLINE void introduce(void)
{
    static struct reclaimable_cache cache = {.name = "stacks of tasks", .reclaim = reclaim_stacks};
    dispatcher_set_undertaker(undertaker);
    dispatcher_set_release(release_from);
    dispatcher_set_kill(catch_kill);
    catch_set_settle(dispatcher_settle);
    kill_deferral_set_check(dispatcher_kill_check);
    cell_tasks_set_finder(find_in_cell);
    GUARD(spinlock, held, &stacks_lock);
    reclaimable_register(&cache);
    is_introduced = true;
}

static bool take_kept_stack(struct stack **out)
{
    for (unsigned i = 0; i < TASK_STACKS_KEPT; i++) {
        if (reclaimable_is_there(&kept_stacks[i]) &&
            reclaimable_take(&kept_stacks[i], (void **)out) == OK) {
            return true;
        }
    }
    return false;
}

/*
 * What a new task needs and a dead one has. One comes, one goes: the dead do not pile up. As long as the
 * dead one is counted in the cell of its plan no other plan is at that address.
 */
static void reuse(size_t bytes, struct task_record *record) OWN_UNCHECKED
{
    OWNED(dead_task, dead);
    if (dispatcher_take_dead(false, (struct task **)SLOT(dead))) {
        struct task_record *old = (struct task_record *)task_of(*SLOT(dead));
        commit_move(&record->admission, &old->admission);
        if (old->plan == record->plan) {
            commit_move(&record->cell, &old->cell);
        }
        if (old->task.stack && size_of(old->task.stack) == bytes) {
            commit_move(&record->task.stack, &old->task.stack);
            return;
        }
    }
    if (bytes == TASK_STACK_SIZE) {
        (void)take_kept_stack(&record->task.stack);
    }
}

static bool create_record(const struct task_plan *plan, const void *argument,
                          const struct task_options *options,
                          struct task_handle **out) OWN_UNCHECKED
{
    OWNED(heap_block, block);
    size_t argument_size = ALIGN_16(plan->argument_size);
    size_t result_size = ALIGN_16(plan->result_size);
    if (!heap_allocate_to(ALIGN_16(sizeof(struct task_record)) + argument_size + result_size,
                          SLOT(block))) {
        return false;
    }
    struct task_record *record = heap_block_of(*SLOT(block));
    void *behind = (char *)record + ALIGN_16(sizeof(*record));
    *record = (struct task_record){
        .plan = plan,
        .argument = behind,
        .result = (char *)behind + argument_size,
    };
    memcpy(record->argument, argument, plan->argument_size);
    task_state_init(&record->task, options->name ? options->name : plan->name,
                    options->priority ? options->priority : TASK_PRIORITY_BASE,
                    options->is_pinned ? options->cpu : 0);
    record->task.is_pinned = options->is_pinned;
    record->task.references = 2;
    record->restarts = options->is_service ? TASK_RESTARTS_MAX : 0;
    commit_two(out, record, SLOT(block), NULL);
    return true;
}

static size_t stack_bytes(const struct task_options *options)
{
    return options->stack_bytes ? options->stack_bytes : TASK_STACK_SIZE;
}

/* With room in the run queues, and with a stack if one is at hand. */
static enum status create_task(const struct task_plan *plan, const void *argument,
                               const struct task_options *options, struct task_handle **out)
    OWN_ACQUIRES(**out);
static enum status create_task(const struct task_plan *plan, const void *argument,
                               const struct task_options *options,
                               struct task_handle **out) OWN_UNCHECKED
{
    if (!create_record(plan, argument, options, out)) {
        return ERR_NO_MEMORY;
    }
    struct task_record *record = (struct task_record *)task_of(*out);
    reuse(stack_bytes(options), record);
    enum status status = record->admission ? OK : dispatcher_admit(&record->admission);
    if (status != OK) {
        task_handle_drop(out);
    }
    return status;
}

/* When memory is short, caches give back what they keep. */
static enum status make_stack(struct task *task, size_t bytes)
{
    enum status status = stack_create(bytes, task->name, &task->stack);
    if (status == ERR_NO_MEMORY && reclaimable_relieve() > 0) {
        status = stack_create(bytes, task->name, &task->stack);
    }
    return status;
}

/* `argument`: NULL, or who owns it so far. */
static inline void begin_task(struct task_record *record, const struct task_options *options,
                              void **argument)
{
    struct task *task = &record->task;
    if (!record->cell) {
        cell_tasks_get((uintptr_t)record->plan, &record->cell);
    }
    vaddr_t top = catch_base(stack_top(STORED(task->stack)), go_on, record, &task->own_top);
    context_prepare(top, run_task, record, task->context);
    if (argument) {
        commit_two(&record->owned, record->argument, argument, NULL);
    }
    task_list_add(record);
    dispatcher_add(task, options->is_pinned ? options->cpu : DISPATCHER_ANY_CPU);
}

static inline __attribute__((always_inline)) enum status spawn(
    const struct task_plan *plan, const void *argument, void **owner,
    const struct task_options *options, struct task_handle **out) OWN_UNCHECKED
{
    static const struct task_options defaults = {0};
    options = options ? options : &defaults;
    enum status status = check_options(options);
    if (status != OK) {
        return status;
    }
    if (plan->argument_size > TASK_ARGUMENT_MAX || plan->result_size > TASK_ARGUMENT_MAX) {
        return ERR_LIMIT;
    }
    OWNED(task_handle, handle);
    status = create_task(plan, argument, options, SLOT(handle));
    if (status != OK) {
        return status;
    }
    struct task_record *record = (struct task_record *)REF(handle);
    if (!record->task.stack) {
        status = make_stack(&record->task, stack_bytes(options));
        if (status != OK) {
            return status;
        }
    }
    if (UNLIKELY(!is_introduced)) {
        introduce();
    }
    begin_task(record, options, owner);
    MOVE(*out, handle);
    return OK;
}

enum status task_spawn(const struct task_plan *plan, const void *argument,
                       const struct task_options *options, struct task_handle **out) OWN_UNCHECKED
{
    return spawn(plan, argument, NULL, options, out);
}

enum status task_spawn_owning(const struct task_plan *plan, void **argument,
                              const struct task_options *options,
                              struct task_handle **out) OWN_UNCHECKED
{
    return spawn(plan, *argument, argument, options, out);
}

/* ---- joining ---- */

/* Unchecked: the guard's address is lent in a loop, and clang loses sight of it. */
static enum status wait_for_end(struct task *task, uint64_t deadline) OWN_UNCHECKED
{
    static const struct parking_reason reason = {.what = "task"};
    enum status status = OK;
    GUARD(spinlock, held, &task->lock);
    while (task->end == TASK_NOT_ENDED && status == OK) {
        status = wait_queue_wait(&task->joiners, SLOT(held), deadline, &reason, NULL);
    }
    return task->end == TASK_NOT_ENDED ? status : OK;
}

enum status task_wait(struct task_handle *handle, uint64_t deadline)
{
    return wait_for_end((struct task *)handle, deadline);
}

enum status task_join(struct task_handle **handle, void *out_result)
{
    OWNED(task_handle, task);
    TAKE(task, handle);
    struct task_record *record = (struct task_record *)REF(task);
    enum status status = wait_for_end(&record->task, PARK_FOREVER);
    if (status != OK) {
        return status;
    }
    switch (record->task.end) {
    case TASK_RETURNED:
        memcpy(out_result, record->result, record->plan->result_size);
        return OK;
    case TASK_KILLED:
        return ERR_KILLED;
    default:
        return ERR_FAULT;
    }
}

/* ---- the task that calls ---- */

uint64_t task_own_id(void)
{
    const struct task *self = parking_self();
    return self ? self->id : 0;
}

void task_yield(void)
{
    dispatcher_yield();
}

void task_sleep_until(uint64_t deadline)
{
    static const struct parking_reason reason = {.what = "sleep"};
    while (parking_now() < deadline) {
        (void)!parking_park(deadline, &reason); /* permits of earlier waits end nothing */
    }
}

void task_sleep(uint64_t duration_ns)
{
    task_sleep_until(parking_deadline(duration_ns));
}

/* ---- all tasks ---- */

static uint64_t count_kept_stacks(void)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < TASK_STACKS_KEPT; i++) {
        count += reclaimable_is_there(&kept_stacks[i]);
    }
    return count;
}

struct task_statistics task_statistics(void)
{
    bury_all(true);
    return (struct task_statistics){
        .tasks = task_list_count(),
        .spawned = task_list_spawned(),
        .stacks = count_kept_stacks(),
    };
}

void task_release_stacks(void)
{
    (void)reclaim_stacks();
}
