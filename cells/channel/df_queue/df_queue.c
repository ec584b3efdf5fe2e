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
 * up: the producer frees an item that is not LINKED, the consumer one that is GONE, after it has
 * unlinked it. An item that was completed, but not unlinked, is found at the head and unlinked.
 *
 * A waiting consumer says so before it looks, a producer looks at that after it has pushed; both are
 * atomic operations with a full barrier.
 */
#include "df_queue.h"

#include "heap.h"

CELL(library, "1.0.0");

#define STATE  7u
#define LINKED 8u
#define GONE   16u

struct df_item {
    struct df_item *older; /* of the stack */
    struct df_item *newer; /* of the order; the consumer's */
    uint32_t state;        /* atomically */
    char data[] ALIGNED(16);
};

/* What `incoming` is when there is no consumer. */
#define CLOSED ((struct df_item *)1)

/* Both ends are this. */
struct df_queue {
    struct df_item *incoming; /* atomically */
    uint32_t ends;            /* that may touch this memory; atomically */
    uint32_t producers;       /* atomically */
    bool is_waiting;          /* atomically: the consumer, in tasks[task_count - 1] */

    /* The consumer's. */
    struct df_item *batch;
    struct df_item *first;
    struct task *tasks[DF_QUEUE_TASKS_MAX]; /* referenced until the end */
    struct task *task;                      /* the latest of them; atomically */
    uint32_t task_count;
    struct parking_reason reason;
};

static uint32_t state_of(const struct df_item *item)
{
    return __atomic_load_n(&item->state, __ATOMIC_ACQUIRE);
}

static void put_queue(struct df_queue *queue)
{
    if (__atomic_sub_fetch(&queue->ends, 1, __ATOMIC_ACQ_REL) == 0) {
        for (uint32_t i = 0; i < queue->task_count; i++) {
            parking_put(queue->tasks[i]);
        }
        heap_free(queue);
    }
}

static void wake_consumer(struct df_queue *queue)
{
    if (__atomic_load_n(&queue->is_waiting, __ATOMIC_SEQ_CST)) {
        parking_unpark(__atomic_load_n(&queue->task, __ATOMIC_ACQUIRE));
    }
}

/* ---- items ---- */

enum status df_item_create(size_t bytes, struct df_item **out) OWN_UNCHECKED
{
    struct df_item *item = heap_allocate_zeroed(sizeof(*item) + bytes);
    if (!item) {
        return ERR_NO_MEMORY;
    }
    FILL(out, item);
    return OK;
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

/* The handle is emptied before the item can be freed by the other side. */
void df_item_drop(struct df_item **handle)
{
    struct df_item *item = *handle;
    if (!item) {
        return;
    }
    EMPTY(handle);
    uint32_t old = __atomic_fetch_or(&item->state, GONE, __ATOMIC_ACQ_REL);
    if (!(old & LINKED)) {
        heap_free(item);
    }
}

/* ---- producers ---- */

enum status df_queue_push(struct df_producer *producer, struct df_item *item)
{
    struct df_queue *queue = (struct df_queue *)producer;
    uint32_t old = state_of(item);
    if ((old & LINKED) || !__atomic_compare_exchange_n(&item->state, &old, DF_ITEM_QUEUED | LINKED,
                                                       false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
        return ERR_BUSY;
    }
    struct df_item *head = __atomic_load_n(&queue->incoming, __ATOMIC_RELAXED);
    do {
        if (head == CLOSED) {
            __atomic_store_n(&item->state, old, __ATOMIC_RELAXED);
            return ERR_CLOSED;
        }
        item->older = head;
    } while (!__atomic_compare_exchange_n(&queue->incoming, &head, item, false, __ATOMIC_SEQ_CST,
                                          __ATOMIC_RELAXED));
    wake_consumer(queue);
    return OK;
}

enum status df_producer_clone(struct df_producer *producer, struct df_producer **out) OWN_UNCHECKED
{
    struct df_queue *queue = (struct df_queue *)producer;
    __atomic_add_fetch(&queue->ends, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&queue->producers, 1, __ATOMIC_RELAXED);
    FILL(out, producer);
    return OK;
}

void df_producer_drop(struct df_producer **handle)
{
    struct df_queue *queue = (struct df_queue *)*handle;
    if (!queue) {
        return;
    }
    EMPTY(handle);
    if (__atomic_sub_fetch(&queue->producers, 1, __ATOMIC_SEQ_CST) == 0) {
        wake_consumer(queue);
    }
    put_queue(queue);
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

/* The first item leaves, with this state; may be begun again. */
static void finish_first(struct df_queue *queue, enum df_item_state state)
{
    struct df_item *item = queue->first;
    uint32_t old = state_of(item);
    while (!__atomic_compare_exchange_n(&item->state, &old, (old & ~STATE) | state, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
    }
    queue->batch = NULL;
    COMPILER_BARRIER();
    queue->first = item->newer;
    COMPILER_BARRIER();
    old = __atomic_fetch_and(&item->state, ~LINKED, __ATOMIC_ACQ_REL);
    if (old & GONE) {
        heap_free(item);
    }
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
        uint32_t state = state_of(item);
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

/* Pushing it again changes its state, so what is over and LINKED was not let go. */
void df_queue_mend(struct df_consumer *consumer, struct df_item *item)
{
    struct df_queue *queue = (struct df_queue *)consumer;
    uint32_t state = state_of(item);
    bool is_over = (state & STATE) == DF_ITEM_COMPLETED || (state & STATE) == DF_ITEM_FAILED;
    if (is_over && (state & LINKED) && queue->first != item) {
        __atomic_fetch_and(&item->state, ~LINKED, __ATOMIC_ACQ_REL);
    }
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
    parking_get(task);
    queue->tasks[queue->task_count] = task;
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
        if (__atomic_load_n(&queue->producers, __ATOMIC_SEQ_CST) == 0) {
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
            uint32_t state = state_of(queue->first) & STATE;
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
    EMPTY(handle);
    put_queue(queue);
}

enum status df_queue_create(struct df_consumer **consumer,
                            struct df_producer **producer) OWN_UNCHECKED
{
    struct df_queue *queue = heap_allocate_zeroed(sizeof(*queue));
    if (!queue) {
        return ERR_NO_MEMORY;
    }
    queue->ends = 2;
    queue->producers = 1;
    queue->reason = (struct parking_reason){.what = "queue", .object = queue};
    FILL(consumer, (struct df_consumer *)queue);
    FILL(producer, (struct df_producer *)queue);
    return OK;
}
