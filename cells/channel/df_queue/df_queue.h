/* SPDX-License-Identifier: MIT */
/*
 * df_queue.h - a queue of what its producers keep.
 *
 * Why: in a usual queue a message is the consumer's once it is sent, and gone with it if it fails.
 * Here (DFQueue, "A Characterization of State Spill in Modern Operating Systems" and its PLOS 2017
 * sequel) an item stays its producer's. The consumer only looks at the first one, handles it, and
 * marks it completed; if it fails on the way, the item is still the first. If the queue itself goes,
 * the producer sees that its items are lost, still has them, and can push them elsewhere.
 *
 * Rules: any number of producers, one consumer, a task at a time. Pushing takes no lock, does not
 * allocate, and may be done in interrupt handlers; everything else in tasks. Items are made beforehand,
 * and each is in one queue at most; its data is the producer's to write while it is in none.
 * Items are handled in the order in which they were pushed. One that its producer drops while it waits is
 * not handled; one that is being handled stays valid until that is over.
 *
 *      state of an item    goes to      by
 *      IDLE                QUEUED       push
 *      QUEUED              TAKEN        peek
 *                          LOST         the consumer's end is dropped
 *      TAKEN               COMPLETED    complete
 *                          FAILED       fail: the consumer cannot handle it, ever
 *                          LOST         the consumer's end is dropped
 *      COMPLETED, FAILED, LOST          QUEUED by push
 *
 * Whoever is killed at any instruction: no item is lost unseen, handled after it was completed, or
 * freed while another uses it, and nothing is lost. A producer killed in the middle of a push has
 * pushed, or not, and then the item is IDLE.
 *
 *      DF_QUEUE_DEFINE(events, struct event)
 *
 *      status = events_queue_create(SLOT(consumer), SLOT(producer));
 *      status = events_item_create(SLOT(item));           the producer
 *      *events_item_data(REF(item)) = event;
 *      status = events_push(REF(producer), REF(item));
 *
 *      status = events_wait(REF(consumer), deadline);     the consumer
 *      while ((event = events_peek(REF(consumer)))) { handle(event); events_complete(REF(consumer)); }
 *
 * Errors: of push: ERR_BUSY for an item that is in a queue, ERR_CLOSED when the consumer is gone. Of
 * wait: ERR_TIMEOUT; ERR_CLOSED when there are neither items nor producers; ERR_STATE before there are
 * tasks; ERR_LIMIT for the ninth task that waits for one queue. ERR_NO_MEMORY.
 */
#pragma once

#include "parking.h"

#define DF_QUEUE_TASKS_MAX \
    8u /* that wait for one queue, one after the other: consumers restarted */

enum df_item_state {
    DF_ITEM_IDLE,
    DF_ITEM_QUEUED,
    DF_ITEM_TAKEN,
    DF_ITEM_COMPLETED,
    DF_ITEM_FAILED,
    DF_ITEM_LOST,
};

struct OWN_CAPABILITY("consumer") df_consumer;
OWN_DECLARE(df_consumer);
struct OWN_CAPABILITY("producer") df_producer;
OWN_DECLARE(df_producer);
struct OWN_CAPABILITY("item of a queue") df_item;
OWN_DECLARE(df_item);

CELL_API enum status df_queue_create(struct df_consumer **consumer, struct df_producer **producer)
    OWN_ACQUIRES(**consumer, **producer);
CELL_API enum status df_producer_clone(struct df_producer *producer, struct df_producer **out)
    OWN_BORROWS(*producer) OWN_ACQUIRES(**out);

/* An item with `bytes` of data, cleared. */
CELL_API enum status df_item_create(size_t bytes, struct df_item **out) OWN_ACQUIRES(**out);
/* Aligned to 16. To be written while the item is in no queue. */
CELL_API void *df_item_data(struct df_item *item) OWN_BORROWS(*item);
CELL_API enum df_item_state df_item_state(const struct df_item *item) OWN_BORROWS(*item);
/* Is it in no queue, so that it can be written and pushed? */
CELL_API bool df_item_is_free(const struct df_item *item) OWN_BORROWS(*item);

/* Any context. Of several who push one item at once, one does, the others are told ERR_BUSY. */
CELL_API MUST_CHECK enum status df_queue_push(struct df_producer *producer, struct df_item *item)
    OWN_BORROWS(*producer) OWN_BORROWS(*item);

/* The data of the first item, the same until it is completed or failed; NULL: there is none. */
CELL_API const void *df_queue_peek(struct df_consumer *consumer) OWN_BORROWS(*consumer);
/* The item that was peeked at leaves the queue; nothing if there was none. */
CELL_API void df_queue_complete(struct df_consumer *consumer) OWN_BORROWS(*consumer);
CELL_API void df_queue_fail(struct df_consumer *consumer) OWN_BORROWS(*consumer);

/* Until there is an item. */
CELL_API MUST_CHECK enum status df_queue_wait(struct df_consumer *consumer, uint64_t deadline)
    OWN_BORROWS(*consumer);

#define DF_QUEUE_DEFINE(name, type)                                                                \
    DF_QUEUE_HANDLE_DEFINE_(name##_consumer, df_consumer)                                          \
    DF_QUEUE_HANDLE_DEFINE_(name##_producer, df_producer)                                          \
    DF_QUEUE_HANDLE_DEFINE_(name##_item, df_item)                                                  \
    static_assert(alignof(type) <= 16, "an item of " #name);                                       \
    static inline UNUSED enum status name##_queue_create(struct name##_consumer **consumer,        \
                                                         struct name##_producer **producer)        \
        OWN_ACQUIRES(**consumer, **producer);                                                      \
    static inline enum status name##_queue_create(struct name##_consumer **consumer,               \
                                                  struct name##_producer **producer) OWN_UNCHECKED \
    {                                                                                              \
        return df_queue_create((struct df_consumer **)consumer, (struct df_producer **)producer);  \
    }                                                                                              \
    static inline UNUSED enum status name##_producer_clone(struct name##_producer *producer,       \
                                                           struct name##_producer **out)           \
        OWN_BORROWS(*producer) OWN_ACQUIRES(**out);                                                \
    static inline enum status name##_producer_clone(struct name##_producer *producer,              \
                                                    struct name##_producer **out) OWN_UNCHECKED    \
    {                                                                                              \
        return df_producer_clone((struct df_producer *)producer, (struct df_producer **)out);      \
    }                                                                                              \
    static inline UNUSED enum status name##_item_create(struct name##_item **out)                  \
        OWN_ACQUIRES(**out);                                                                       \
    static inline enum status name##_item_create(struct name##_item **out) OWN_UNCHECKED           \
    {                                                                                              \
        return df_item_create(sizeof(type), (struct df_item **)out);                               \
    }                                                                                              \
    static inline UNUSED type *name##_item_data(struct name##_item *item) OWN_BORROWS(*item);      \
    static inline type *name##_item_data(struct name##_item *item) OWN_UNCHECKED                   \
    {                                                                                              \
        return df_item_data((struct df_item *)item);                                               \
    }                                                                                              \
    static inline UNUSED enum df_item_state name##_item_state(const struct name##_item *item)      \
        OWN_BORROWS(*item);                                                                        \
    static inline enum df_item_state name##_item_state(const struct name##_item *item)             \
        OWN_UNCHECKED                                                                              \
    {                                                                                              \
        return df_item_state((const struct df_item *)item);                                        \
    }                                                                                              \
    static inline UNUSED MUST_CHECK enum status name##_push(struct name##_producer *producer,      \
                                                            struct name##_item *item)              \
        OWN_BORROWS(*producer) OWN_BORROWS(*item);                                                 \
    static inline enum status name##_push(struct name##_producer *producer,                        \
                                          struct name##_item *item) OWN_UNCHECKED                  \
    {                                                                                              \
        return df_queue_push((struct df_producer *)producer, (struct df_item *)item);              \
    }                                                                                              \
    static inline UNUSED const type *name##_peek(struct name##_consumer *consumer)                 \
        OWN_BORROWS(*consumer);                                                                    \
    static inline const type *name##_peek(struct name##_consumer *consumer) OWN_UNCHECKED          \
    {                                                                                              \
        return df_queue_peek((struct df_consumer *)consumer);                                      \
    }                                                                                              \
    static inline UNUSED void name##_complete(struct name##_consumer *consumer)                    \
        OWN_BORROWS(*consumer);                                                                    \
    static inline void name##_complete(struct name##_consumer *consumer) OWN_UNCHECKED             \
    {                                                                                              \
        df_queue_complete((struct df_consumer *)consumer);                                         \
    }                                                                                              \
    static inline UNUSED void name##_fail(struct name##_consumer *consumer)                        \
        OWN_BORROWS(*consumer);                                                                    \
    static inline void name##_fail(struct name##_consumer *consumer) OWN_UNCHECKED                 \
    {                                                                                              \
        df_queue_fail((struct df_consumer *)consumer);                                             \
    }                                                                                              \
    static inline UNUSED MUST_CHECK enum status name##_wait(                                       \
        struct name##_consumer *consumer, uint64_t deadline) OWN_BORROWS(*consumer);               \
    static inline enum status name##_wait(struct name##_consumer *consumer, uint64_t deadline)     \
        OWN_UNCHECKED                                                                              \
    {                                                                                              \
        return df_queue_wait((struct df_consumer *)consumer, deadline);                            \
    }                                                                                              \
    static_assert(1, "")

#define DF_QUEUE_HANDLE_DEFINE_(type, base)              \
    struct OWN_CAPABILITY("handle of a queue") type;     \
    OWN_DECLARE_LOCAL(type);                             \
    UNUSED static void type##_drop(struct type **handle) \
    {                                                    \
        base##_drop((struct base **)handle);             \
    }
