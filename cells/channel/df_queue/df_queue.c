/* SPDX-License-Identifier: MIT */
/*
 * Producers push onto a stack, newest first, by one compare-and-exchange. The consumer takes the
 * whole stack when it has handled what it took before, and walks it once to link it in order. It
 * changes no link that another step needs, so each step can begin again after it was interrupted:
 *
 *      batch   incoming         first    where the consumer stopped, and what it does next
 *      NULL    any              NULL     nothing taken: takes
 *      set     contains batch   NULL     not yet taken: takes, again
 *      set     does not         NULL     taken, not yet linked: links, again
 *      any     any              set      linked: handles `first`, and forgets the batch
 *
 * An item's word is its state with two flags. LINKED: the queue refers to it, its producer must
 * neither change nor free it. GONE: its producer has dropped it. Who finds the other's flag clears
 * up: the producer frees an item that is not LINKED, the consumer one that is GONE. What changes
 * its owner does so by an exchange of the word, together with the store of who has it then
 * (commit.h): a push is two of these, and a slot has the item in between.
 *
 * A waiting consumer says so before it looks, a producer looks at that after it has pushed; both are
 * atomic operations with a full barrier.
 */
#include "df_queue.h"

#include "commit.h"
#include "heap_block.h"

CELL(library, "1.0.0");

#define STATE  7ull
#define LINKED 8ull
#define GONE   16ull

struct df_item {
    struct df_item *older; /* of the stack */
    struct df_item *newer; /* of the order; the consumer's */
    uint64_t state;        /* atomically */
    char data[] ALIGNED(16);
};

/* What `incoming` is when there is no consumer. */
#define CLOSED ((struct df_item *)1)

/* Of `ends`: how many may touch the queue's memory; and how many of them are producers. */
#define ONE_END      1ull
#define ONE_PRODUCER (1ull << 32)

/* A handle whose end does not count as a producer any more: its drop was interrupted behind that.
 */
#define IS_LEAVING ((uintptr_t)1)

/* Both ends are this. */
struct df_queue {
    struct df_item *incoming; /* atomically */
    uint64_t ends;            /* atomically */
    bool is_waiting;          /* atomically: the consumer, in tasks[task_count - 1] */

    /* The consumer's. */
    struct df_item *batch;
    struct df_item *first;
    struct task *tasks[DF_QUEUE_TASKS_MAX]; /* referenced until the end */
    struct task *task;                      /* the latest of them; atomically */
    uint32_t task_count;
    struct parking_reason reason;
};

static uint64_t state_of(const struct df_item *item)
{
    return __atomic_load_n(&item->state, __ATOMIC_ACQUIRE);
}

static uint64_t ends_of(const struct df_queue *queue)
{
    return __atomic_load_n(&queue->ends, __ATOMIC_SEQ_CST);
}

/* Empties the handle, as a last step: of the last end the memory goes too. May be begun again. */
static void put_queue(struct df_queue *queue, void **handle)
{
    uint64_t ends;
    while ((ends = ends_of(queue)) != ONE_END) {
        if (commit_exchange(&queue->ends, ends, ends - ONE_END, handle, NULL)) {
            return;
        }
    }
    for (uint32_t i = 0; i < DF_QUEUE_TASKS_MAX; i++) {
        parking_put(&queue->tasks[i]);
    }
    OWNED(heap_block, block);
    commit_two(handle, NULL, SLOT(block), queue);
}

/* ---- items ---- */

enum status df_item_create(size_t bytes, struct df_item **out) OWN_UNCHECKED
{
    OWN_DEMAND_(!*out);
    return heap_block_take_zeroed(sizeof(struct df_item) + bytes, out) ? OK : ERR_NO_MEMORY;
}

void *df_item_data(struct df_item *item)
{
    return item->data;
}

enum df_item_state df_item_state(const struct df_item *item)
{
    return (enum df_item_state)(state_of(item) & STATE);
}

bool df_item_is_free(const struct df_item *item)
{
    return !(state_of(item) & LINKED);
}

void df_item_drop(struct df_item **handle)
{
    struct df_item *item = *handle;
    if (!item) {
        return;
    }
    uint64_t state;
    while ((state = state_of(item)) & LINKED) {
        if (commit_exchange(&item->state, state, state | GONE, handle, NULL)) {
            return; /* the queue's, which frees it */
        }
    }
    heap_block_give_thing(handle);
}

/* ---- producers ---- */

/*
 * A push under way: the item that is marked as queued, and is not in the queue yet; or the queue whose
 * consumer is still to be woken, with bit 0 set.
 */
struct OWN_CAPABILITY("push") df_push;
OWN_DECLARE_LOCAL(df_push);
#define IS_QUEUED ((uintptr_t)1)

/* The item is its owner's again, as if nothing had been. */
static NOINLINE void take_back(struct df_push **push)
{
    struct df_item *item = (struct df_item *)(void *)*push;
    uint64_t state;
    while (!((state = state_of(item)) & GONE)) {
        if (commit_exchange(&item->state, state, DF_ITEM_IDLE, push, NULL)) {
            return;
        }
    }
    heap_block_give_thing(push);
}

static inline void wake_consumer(struct df_queue *queue)
{
    if (__atomic_load_n(&queue->is_waiting, __ATOMIC_SEQ_CST)) {
        parking_unpark(__atomic_load_n(&queue->task, __ATOMIC_ACQUIRE));
    }
}

static void df_push_drop(struct df_push **push)
{
    uintptr_t word = (uintptr_t)*push;
    if (word & IS_QUEUED) {
        wake_consumer((struct df_queue *)(word & ~IS_QUEUED));
        EMPTY(push);
    } else if (word) {
        take_back(push);
    }
}

enum status df_queue_push(struct df_producer *producer, struct df_item *item) OWN_UNCHECKED
{
    struct df_queue *queue = (struct df_queue *)producer;
    OWNED(df_push, push);
    uint64_t old = state_of(item);
    if ((old & LINKED) ||
        !commit_exchange(&item->state, old, DF_ITEM_QUEUED | LINKED, SLOT(push), item)) {
        return ERR_BUSY;
    }
    struct df_item *head;
    do {
        head = __atomic_load_n(&queue->incoming, __ATOMIC_RELAXED);
        if (head == CLOSED) {
            /* As it was; where its producer has just dropped it, it goes with the slot. */
            (void)!commit_exchange(&item->state, DF_ITEM_QUEUED | LINKED, old, SLOT(push), NULL);
            return ERR_CLOSED;
        }
        item->older = head;
    } while (!commit_exchange((uint64_t *)(void *)&queue->incoming, (uintptr_t)head,
                              (uintptr_t)item, SLOT(push), (uintptr_t)queue | IS_QUEUED));
    wake_consumer(queue);
    EMPTY(SLOT(push));
    return OK;
}

enum status df_producer_clone(struct df_producer *producer, struct df_producer **out) OWN_UNCHECKED
{
    struct df_queue *queue = (struct df_queue *)producer;
    OWN_DEMAND_(!*out);
    uint64_t ends;
    do {
        ends = ends_of(queue);
    } while (!commit_exchange(&queue->ends, ends, ends + ONE_PRODUCER + ONE_END, out, producer));
    return OK;
}

void df_producer_drop(struct df_producer **handle)
{
    uintptr_t word = (uintptr_t)*handle;
    if (!word) {
        return;
    }
    struct df_queue *queue = (struct df_queue *)(word & ~IS_LEAVING);
    while (!((uintptr_t)*handle & IS_LEAVING)) {
        uint64_t ends = ends_of(queue);
        (void)!commit_exchange(&queue->ends, ends, ends - ONE_PRODUCER, handle,
                               (uintptr_t)queue | IS_LEAVING);
    }
    if (ends_of(queue) < ONE_PRODUCER) {
        wake_consumer(queue);
    }
    put_queue(queue, (void **)handle);
}

/* ---- the consumer ---- */

static bool contains(struct df_item *newest, const struct df_item *wanted)
{
    while (newest && newest != CLOSED && newest != wanted) {
        newest = newest->older;
    }
    return newest == wanted;
}

/* Moves what has come to `batch`, and leaves `instead`. */
static void take_batch(struct df_queue *queue, struct df_item *instead)
{
    struct df_item *incoming = __atomic_load_n(&queue->incoming, __ATOMIC_ACQUIRE);
    if (queue->batch && !contains(incoming, queue->batch)) {
        return;
    }
    do {
        queue->batch = incoming == CLOSED ? NULL : incoming;
        COMPILER_BARRIER();
    } while (incoming != instead &&
             !__atomic_compare_exchange_n(&queue->incoming, &incoming, instead, false,
                                          __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
}

static void link_batch(struct df_queue *queue)
{
    struct df_item *item = queue->batch;
    if (!item) {
        return;
    }
    item->newer = NULL;
    while (item->older) {
        item->older->newer = item;
        item = item->older;
    }
    COMPILER_BARRIER();
    queue->first = item;
    COMPILER_BARRIER();
}

/* Of the first item, which its producer has dropped. */
static NOINLINE void free_first(struct df_queue *queue)
{
    OWNED(heap_block, block);
    commit_two(&queue->first, queue->first->newer, SLOT(block), queue->first);
}

/* The first item leaves, with this state; may be begun again. */
static void finish_first(struct df_queue *queue, enum df_item_state state)
{
    struct df_item *item = queue->first;
    struct df_item *newer = item->newer;
    queue->batch = NULL;
    COMPILER_BARRIER();
    uint64_t old;
    while (!((old = state_of(item)) & GONE)) {
        if (commit_exchange(&item->state, old, state, &queue->first, newer)) {
            return;
        }
    }
    free_first(queue);
}

/* The first item that is to be handled, after those that are not; NULL: none. */
static struct df_item *find_first(struct df_queue *queue)
{
    for (;;) {
        if (!queue->first) {
            take_batch(queue, NULL);
            link_batch(queue);
        }
        struct df_item *item = queue->first;
        if (!item) {
            return NULL;
        }
        uint64_t state = state_of(item);
        if ((state & STATE) == DF_ITEM_TAKEN) {
            return item;
        }
        if (state == (DF_ITEM_QUEUED | LINKED)) {
            if (__atomic_compare_exchange_n(&item->state, &state, DF_ITEM_TAKEN | LINKED, false,
                                            __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
                return item;
            }
            continue; /* its producer has just gone */
        }
        bool is_over = (state & STATE) == DF_ITEM_COMPLETED || (state & STATE) == DF_ITEM_FAILED;
        finish_first(queue, is_over ? (enum df_item_state)(state & STATE) : DF_ITEM_LOST);
    }
}

const void *df_queue_peek(struct df_consumer *consumer)
{
    const struct df_item *item = find_first((struct df_queue *)consumer);
    return item ? item->data : NULL;
}

static void finish_taken(struct df_consumer *consumer, enum df_item_state state)
{
    struct df_queue *queue = (struct df_queue *)consumer;
    if (queue->first && (state_of(queue->first) & STATE) == DF_ITEM_TAKEN) {
        finish_first(queue, state);
    }
}

void df_queue_complete(struct df_consumer *consumer)
{
    finish_taken(consumer, DF_ITEM_COMPLETED);
}

void df_queue_fail(struct df_consumer *consumer)
{
    finish_taken(consumer, DF_ITEM_FAILED);
}

/* `task` is woken from now on. */
static enum status bind(struct df_queue *queue, struct task *task)
{
    for (uint32_t i = 0; i < queue->task_count; i++) {
        if (queue->tasks[i] == task) {
            __atomic_store_n(&queue->task, task, __ATOMIC_RELEASE);
            return OK;
        }
    }
    if (queue->task_count == DF_QUEUE_TASKS_MAX) {
        return ERR_LIMIT;
    }
    parking_put(&queue->tasks[queue->task_count]); /* of one that came so far and no further */
    parking_get(task, &queue->tasks[queue->task_count]);
    COMPILER_BARRIER();
    queue->task_count++;
    __atomic_store_n(&queue->task, task, __ATOMIC_RELEASE);
    return OK;
}

static bool has_items(const struct df_queue *queue)
{
    return queue->first || queue->batch ||
           __atomic_load_n(&queue->incoming, __ATOMIC_SEQ_CST) != NULL;
}

enum status df_queue_wait(struct df_consumer *consumer, uint64_t deadline)
{
    struct df_queue *queue = (struct df_queue *)consumer;
    if (!parking_self()) {
        return ERR_STATE;
    }
    enum status status = bind(queue, parking_self());
    while (status == OK && !has_items(queue)) {
        __atomic_store_n(&queue->is_waiting, true, __ATOMIC_SEQ_CST);
        if (has_items(queue)) {
            break;
        }
        if (ends_of(queue) < ONE_PRODUCER) {
            status = has_items(queue) ? OK : ERR_CLOSED;
            break;
        }
        status = parking_park(deadline, &queue->reason);
    }
    __atomic_store_n(&queue->is_waiting, false, __ATOMIC_RELAXED);
    return status == ERR_TIMEOUT && has_items(queue) ? OK : status;
}

/* Tells the producers of all that is queued. May be begun again. */
static void lose_all(struct df_queue *queue)
{
    do {
        while (queue->first) {
            uint64_t state = state_of(queue->first) & STATE;
            bool is_over = state == DF_ITEM_COMPLETED || state == DF_ITEM_FAILED;
            finish_first(queue, is_over ? (enum df_item_state)state : DF_ITEM_LOST);
        }
        take_batch(queue, CLOSED);
        link_batch(queue);
    } while (queue->first);
}

void df_consumer_drop(struct df_consumer **handle)
{
    struct df_queue *queue = (struct df_queue *)*handle;
    if (!queue) {
        return;
    }
    __atomic_store_n(&queue->is_waiting, false, __ATOMIC_SEQ_CST);
    lose_all(queue);
    put_queue(queue, (void **)handle);
}

enum status df_queue_create(struct df_consumer **consumer,
                            struct df_producer **producer) OWN_UNCHECKED
{
    OWN_DEMAND_(!*consumer && !*producer);
    OWNED(heap_block, block);
    if (!heap_block_take_zeroed(sizeof(struct df_queue), SLOT(block))) {
        return ERR_NO_MEMORY;
    }
    struct df_queue *queue = heap_block_of(*SLOT(block));
    queue->ends = 2 * ONE_END + ONE_PRODUCER;
    queue->reason = (struct parking_reason){.what = "queue", .object = queue};
    commit_three(consumer, queue, producer, queue, SLOT(block), NULL);
    return OK;
}
