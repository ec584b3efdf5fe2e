/* SPDX-License-Identifier: MIT */
/*
 * A work is an item of a df_queue. Whoever pushes counts first, and then queues the item unless it
 * is queued. The task notes the count, calls the function, takes the item off the queue, and looks
 * at the count again: if it has changed, somebody may have found the item queued, and the function
 * is called once more. Both sides change one and then look at the other, so no push is missed.
 *
 * From before the first call until after that last look the work is `current`. A task that is
 * killed in between leaves it to its successor, which goes on with it. So an item that is neither
 * queued nor `current` is nobody's but its owner's: that is what a drop waits for. `current` is set
 * while the item is queued, and cleared with `lock` held, so who holds the lock sees one of both.
 *
 * `tried` holds how often the function was called and for which `handled`, in one word, so that it
 * starts anew with the store of `handled`, which is the commit of a call.
 *
 * The queue's own item `stop` is the last one that is done.
 */
#include "deferred.h"

#include "catch.h"
#include "commit.h"
#include "df_queue.h"
#include "heap_block.h"
#include "logger.h"

CELL(library, "1.0.0");

/* The data of an item. */
struct work {
    struct df_item *item;
    struct deferred_queue *queue; /* referenced; NULL: being made, or dropped */
    deferred_function_t function; /* NULL: the queue's `stop` */
    void *context;
    uint64_t pushed;   /* atomically */
    uint64_t handled;  /* of these; the task's */
    uint64_t tried;    /* `handled` shifted, and the number of calls since; the task's */
    uint64_t failures; /* atomically; written by the task */
};
#define TRIED_SHIFT 8

struct deferred_queue {
    uint64_t references;          /* of the owner and of works; atomically */
    const char *name;             /* borrowed */
    struct df_producer *producer; /* owned; for all who push */
    struct df_item *stop;         /* owned */

    /* The task's. */
    struct df_consumer *consumer; /* owned; of the task while there is one */
    struct df_item *current;      /* cleared with `lock` */
    bool is_stopped;              /* `stop` was the last one */

    /* The owner's. */
    struct task_handle *task; /* owned */
    unsigned restarts;

    struct spinlock lock;
    struct wait_queue droppers; /* with `lock` */
};

static const struct parking_reason reason = {.what = "deferred work"};

/* An item as its producer owns it, and as others see it. */
static struct work *work_of(struct df_item *item) OWN_UNCHECKED
{
    return df_item_data(item);
}

/* Gives up the reference in *slot, which is NULL then. May be begun again. */
static void put_queue(struct deferred_queue **slot) OWN_UNCHECKED
{
    struct deferred_queue *queue = *slot;
    uint64_t references;
    while ((references = __atomic_load_n(&queue->references, __ATOMIC_ACQUIRE)) > 1) {
        if (commit_exchange(&queue->references, references, references - 1, slot, NULL)) {
            return;
        }
    }
    df_item_drop(&queue->stop);
    df_producer_drop(&queue->producer);
    heap_block_give_thing(slot);
}

/* ---- the task ---- */

struct call {
    const struct work *work;
    uint64_t pushes;
    enum status status;
};

static void call_function(void *argument)
{
    struct call *call = argument;
    call->status = call->work->function(call->work->context, call->pushes);
}

/* Counts a call for `handled`: which one is it? */
static unsigned count_call(struct work *work)
{
    uint64_t tried = work->tried;
    if (tried >> TRIED_SHIFT != work->handled) {
        tried = work->handled << TRIED_SHIFT;
    }
    work->tried = ++tried;
    COMPILER_BARRIER();
    return tried & ((1u << TRIED_SHIFT) - 1);
}

/* Calls the function, if there are pushes to be answered, until it succeeds or is given up. */
static void answer(struct deferred_queue *queue, struct work *work)
{
    uint64_t pushed = __atomic_load_n(&work->pushed, __ATOMIC_SEQ_CST);
    if (pushed == work->handled) {
        return;
    }
    enum status status;
    unsigned number;
    do {
        status = ERR_FAULT;
        number = count_call(work);
        if (number <= DEFERRED_ATTEMPTS) { /* else the last call ended by a kill */
            struct call call = {.work = work, .pushes = pushed - work->handled};
            status = catch_unwind(call_function, &call, NULL);
            status = status == OK ? call.status : status;
        }
    } while (status != OK && number < DEFERRED_ATTEMPTS);
    if (status != OK) {
        log_error("deferred work of %s: given up after %u calls: %s", queue->name,
                  DEFERRED_ATTEMPTS, status_name(status));
        uint64_t failures = work->failures + (pushed - work->handled);
        __atomic_store_n(&work->failures, failures, __ATOMIC_RELAXED);
    }
    COMPILER_BARRIER();
    work->handled = pushed;
    COMPILER_BARRIER();
}

/* The item of `current` is off the queue. */
static void finish_current(struct deferred_queue *queue) OWN_UNCHECKED
{
    answer(queue, work_of(queue->current));
    GUARD(spinlock, held, &queue->lock);
    __atomic_store_n(&queue->current, NULL, __ATOMIC_RELEASE);
    wait_queue_wake_all(&queue->droppers);
}

/* Does what is there; false: `stop` has come. */
static bool drain(struct deferred_queue *queue) OWN_UNCHECKED
{
    const struct work *first;
    while ((first = df_queue_peek(queue->consumer))) {
        if (!first->function) {
            queue->is_stopped = true;
            COMPILER_BARRIER();
            df_queue_complete(queue->consumer);
            return false;
        }
        struct df_item *item = first->item;
        __atomic_store_n(&queue->current, item, __ATOMIC_RELEASE);
        answer(queue, work_of(item));
        df_queue_complete(queue->consumer);
        finish_current(queue);
    }
    return true;
}

/* What a task that was struck or killed has left, unless it is the first of the queue still. */
static void resume(struct deferred_queue *queue) OWN_UNCHECKED
{
    struct df_item *current = queue->current;
    const struct work *first = df_queue_peek(queue->consumer);
    if (current && (!first || first->item != current)) {
        finish_current(queue);
    }
}

static int run_queue(struct deferred_queue **argument) OWN_UNCHECKED
{
    struct deferred_queue *queue = *argument;
    resume(queue);
    while (!queue->is_stopped && drain(queue)) {
        enum status status = df_queue_wait(queue->consumer, PARK_FOREVER);
        if (status != OK) {
            log_error("deferred work of %s: its task ends: %s", queue->name, status_name(status));
            return 1;
        }
    }
    return 0;
}
TASK_DEFINE(drainer, struct deferred_queue *, int, run_queue);

/* ---- queues ---- */

static enum status spawn(struct deferred_queue *queue,
                         const struct task_options *options) OWN_UNCHECKED
{
    struct task_options chosen = options ? *options : (struct task_options){0};
    chosen.name = queue->name;
    chosen.is_service = true;
    return drainer_spawn(&queue, &chosen, (struct drainer_task **)&queue->task);
}

/* Restartable: each step does nothing when it was done. */
void deferred_queue_drop(struct deferred_queue **handle) OWN_UNCHECKED
{
    struct deferred_queue *queue = *handle;
    if (!queue) {
        return;
    }
    if (queue->task) {
        (void)!df_queue_push(queue->producer, queue->stop); /* ERR_BUSY: it is there */
        (void)!task_wait(queue->task, PARK_FOREVER);
        task_handle_drop(&queue->task);
    }
    df_consumer_drop(&queue->consumer); /* whatever came later is free from now on */
    {
        GUARD(spinlock, held, &queue->lock);
        __atomic_store_n(&queue->current, NULL, __ATOMIC_RELEASE);
        wait_queue_wake_all(&queue->droppers);
    }
    put_queue(handle);
}

enum status deferred_queue_create(const char *name, const struct task_options *options,
                                  struct deferred_queue **out) OWN_UNCHECKED
{
    OWNED(deferred_queue, queue);
    OWNED(heap_block, block);
    if (!heap_block_take_zeroed(sizeof(struct deferred_queue), SLOT(block))) {
        return ERR_NO_MEMORY;
    }
    struct deferred_queue *record = heap_block_of(*SLOT(block));
    record->references = 1;
    record->name = name;
    record->lock = SPINLOCK_INIT("deferred work");
    commit_move(SLOT(queue), SLOT(block)); /* its drop accepts what is not complete */
    enum status status = df_queue_create(&record->consumer, &record->producer);
    if (status != OK) {
        return status;
    }
    status = df_item_create(sizeof(struct work), &record->stop);
    if (status != OK) {
        return status;
    }
    status = spawn(record, options);
    if (status != OK) {
        return status;
    }
    MOVE(*out, queue);
    return OK;
}

enum status deferred_queue_restart(struct deferred_queue *queue,
                                   const struct task_options *options) OWN_UNCHECKED
{
    if (queue->task && task_wait(queue->task, 0) != OK) {
        return ERR_STATE;
    }
    if (queue->restarts == DEFERRED_RESTARTS_MAX) {
        return ERR_LIMIT;
    }
    task_handle_drop(&queue->task);
    enum status status = spawn(queue, options);
    queue->restarts += status == OK;
    return status;
}

/* ---- works ---- */

enum status deferred_work_create(struct deferred_queue *queue, deferred_function_t function,
                                 void *context, struct deferred_work **out) OWN_UNCHECKED
{
    OWNED(deferred_work, handle);
    struct df_item **item = (struct df_item **)SLOT(handle);
    enum status status = df_item_create(sizeof(struct work), item);
    if (status != OK) {
        return status;
    }
    struct work *work = work_of(*item);
    work->item = *item;
    work->function = function;
    work->context = context;
    uint64_t references;
    do {
        references = __atomic_load_n(&queue->references, __ATOMIC_RELAXED);
    } while (!commit_exchange(&queue->references, references, references + 1, &work->queue, queue));
    MOVE(*out, handle);
    return OK;
}

enum status deferred_work_push(struct deferred_work *handle) OWN_UNCHECKED
{
    struct df_item *item = (struct df_item *)handle;
    struct work *work = work_of(item);
    __atomic_add_fetch(&work->pushed, 1, __ATOMIC_SEQ_CST);
    enum status status = df_queue_push(work->queue->producer, item);
    return status == ERR_BUSY ? OK : status;
}

uint64_t deferred_work_failures(const struct deferred_work *handle) OWN_UNCHECKED
{
    return __atomic_load_n(&work_of((struct df_item *)handle)->failures, __ATOMIC_RELAXED);
}

/* Waits until the item is neither queued nor done. */
static void wait_for_item(struct deferred_queue *queue, const struct df_item *item) OWN_UNCHECKED
{
    GUARD(spinlock, held, &queue->lock);
    while (!df_item_is_free(item) || __atomic_load_n(&queue->current, __ATOMIC_ACQUIRE) == item) {
        if (wait_queue_wait(&queue->droppers, SLOT(held), PARK_FOREVER, &reason, NULL) ==
            ERR_STATE) {
            break; /* before there are tasks nothing was done, and the item stays valid */
        }
    }
}

void deferred_work_drop(struct deferred_work **handle) OWN_UNCHECKED
{
    struct df_item **item = (struct df_item **)handle;
    if (!*item) {
        return;
    }
    struct work *work = work_of(*item);
    if (work->queue) {
        wait_for_item(work->queue, *item);
        put_queue(&work->queue);
    }
    df_item_drop(item);
}
