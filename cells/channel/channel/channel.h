/* SPDX-License-Identifier: MIT */
/*
 * channel.h - what all channels share: ends, a lock, and tasks that wait.
 *
 * Why: kinds of channels differ in where a message is between its sender and its receiver. How ends
 * are counted, how a task waits, and what is left when it is killed in the middle, is one and
 * the same. This is for those who implement channels; users include async_channel.h or rendezvous.h.
 *
 * Rules: a channel lives as long as it has ends. An end is an owned handle; clones are ends of their
 * own. What is done to a channel is an *operation*: a record on the stack of who does it, owned by a slot
 * there, so that a fault or a kill at any instruction finds it. The lock is the record's address in
 * `holder`; it holds preemption, so not in interrupt handlers. Under the lock each change is one
 * store, or is noted in the record first: the record's drop then undoes or finishes it, takes it
 * off the list of those who wait, wakes in its place whom it should have woken, and unlocks. Waiters
 * link and unlink themselves; others only mark and unpark them, and unpark first.
 *
 *      in the record            it means                                   its drop
 *      channel->holder == it    the lock is held                           unlocks, last
 *      queue                    linked there, or half so                   unlinks
 *      has_notes                the next four mean something               looks at them
 *      slot, partner            a message is on its way, from or to there  the kind's `settle`
 *      end                      this end is being taken from its handle    finishes that
 *      clone                    this end is being given to a handle        finishes it, or takes it back
 *      message                  a message that nobody can receive          drops it
 *      is_last                  no end is left                             frees the channel
 */
#pragma once

#include "parking.h"
#include "preemption.h"

struct heap_block;

enum channel_side {
    CHANNEL_SENDERS,
    CHANNEL_RECEIVERS,
    CHANNEL_SIDES,
};

/* A deadline for who does not want to wait: ERR_AGAIN instead. */
#define CHANNEL_TRY 0u

/* More clones of one end are a mistake. */
#define CHANNEL_ENDS_MAX 0x10000u

struct channel_operation;

struct channel_queue {
    struct channel_operation *first; /* oldest */
    struct channel_operation *last;
};

struct OWN_CAPABILITY("end of a channel") channel_end {
    struct channel *channel;
    struct channel_end *next; /* of those that are not in use */
    enum channel_side side;
    bool is_embedded; /* in its channel's memory */
};
OWN_DECLARE(channel_end);

/* A handle of any type, and how it is released. */
typedef void (*channel_drop_t)(void **message);

/* What a kind of channel does its own way. All are called with the lock held. */
struct channel_kind {
    const char *name; /* in reports: what a task waits for */
    /* The operation stopped at some instruction: undoes or finishes what it began. */
    void (*settle)(struct channel_operation *operation);
    /* May a task that waits on this side go on, as things are? */
    bool (*is_ready)(const struct channel *channel, enum channel_side side);
    /* Takes an owned message that nobody will receive into operation->message; false: there is none. */
    bool (*take_rest)(struct channel_operation *operation);
};

struct channel {
    struct channel_operation *holder; /* the lock */

    /* Under the lock. */
    struct channel_queue waiting[CHANNEL_SIDES];
    uint32_t open[CHANNEL_SIDES]; /* ends */
    bool is_closing;              /* its last receiver is being dropped: as if there were none */
    struct channel_end *unused;   /* ends */

    /* Constant. */
    const struct channel_kind *kind;
    channel_drop_t drop; /* of messages; NULL: they own nothing */
    struct parking_reason reason;
    struct channel_end ends[CHANNEL_SIDES]; /* the first of each */
};

struct OWN_CAPABILITY("operation on a channel") channel_operation {
    struct channel *channel;
    struct channel_queue *queue;
    union {
        struct {
            bool has_notes;
            bool is_last;
            bool is_taken; /* a partner has transferred its message */
            bool is_woken;
        };
        uint32_t flags; /* all of them */
    };

    /* Notes: NULL where there are none. */
    void **slot;
    struct channel_end *end;
    struct channel_end *clone;
    void *message;
    struct channel_operation *partner; /* of a rendezvous */

    /* These are set before they are used. */
    struct channel_end **end_slot; /* of end, of clone */
    bool is_sending;               /* of `slot` */
    struct channel_operation *next;
    struct channel_operation *previous;
    struct task *task;
    uint64_t position; /* for the kind */
    uint64_t word;     /* for the kind */
    uint32_t count;    /* of ends, when that is finished */
};
OWN_DECLARE_HOLDING(channel_operation);

/* An empty channel in `channel`, the beginning of the memory in *block, with one end on each side.
 * From now on *block is empty, and the channel frees itself when the ends are dropped. */
CELL_API void channel_init(struct channel *channel, const struct channel_kind *kind,
                           channel_drop_t drop, struct heap_block **block,
                           struct channel_end **sender, struct channel_end **receiver)
    OWN_ALWAYS_ACQUIRES(**sender, **receiver);

/* Another end of the same side. ERR_NO_MEMORY, ERR_LIMIT. */
CELL_API enum status channel_end_clone(struct channel_end *end, struct channel_end **out)
    OWN_BORROWS(*end) OWN_ACQUIRES(**out);

/* How many ends the other side of this one has, a moment ago. 0 stays 0. */
CELL_API size_t channel_end_peers(const struct channel_end *end) OWN_BORROWS(*end);

/* Begins an operation; its record is to be owned by a slot of the caller from now on. */
static inline void channel_begin(struct channel_operation *record, struct channel *channel)
{
    record->channel = channel;
    record->queue = NULL;
    record->flags = 0;
}

/* Before the first note. */
static inline void channel_begin_notes(struct channel_operation *record)
{
    record->slot = NULL;
    record->end = NULL;
    record->clone = NULL;
    record->message = NULL;
    record->partner = NULL;
    COMPILER_BARRIER();
    record->has_notes = true;
    COMPILER_BARRIER();
}

CELL_API void channel_lock_contended(struct channel_operation *operation);

/* Of the operation's channel, which the caller knows. */
static inline void channel_lock_of(struct channel *channel, struct channel_operation *operation)
{
    struct channel_operation *nobody = NULL;
    preemption_hold();
    if (UNLIKELY(!__atomic_compare_exchange_n(&channel->holder, &nobody, operation, false,
                                              __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))) {
        channel_lock_contended(operation);
    }
}

static inline void channel_lock(struct channel_operation *operation)
{
    channel_lock_of(operation->channel, operation);
}

static inline void channel_unlock_of(struct channel *channel)
{
    __atomic_store_n(&channel->holder, NULL, __ATOMIC_RELEASE);
    preemption_release();
}

static inline void channel_unlock(const struct channel_operation *operation)
{
    channel_unlock_of(operation->channel);
}

/* Of a handle of any type, one store. */
static inline void channel_set_handle(void **slot, void *handle)
{
    COMPILER_BARRIER();
    *slot = handle;
    COMPILER_BARRIER();
}

/* ---- the lock is held ---- */

static inline bool channel_is_closed(const struct channel *channel, enum channel_side side)
{
    return channel->open[side] == 0 || (side == CHANNEL_RECEIVERS && channel->is_closing);
}

/*
 * Waits for its turn, linked on that side, the lock let go meanwhile. Whatever is returned, the
 * caller looks at its condition again, and calls channel_leave() in the end. ERR_AGAIN for
 * CHANNEL_TRY, ERR_TIMEOUT, ERR_STATE before there are tasks.
 */
CELL_API enum status channel_wait(struct channel_operation *operation, enum channel_side side,
                                  uint64_t deadline);

/* Links an operation that is not linked. ERR_STATE. */
static inline enum status channel_link(struct channel_operation *operation, struct channel *channel,
                                       enum channel_side side)
{
    struct channel_queue *queue = &channel->waiting[side];
    struct channel_operation *last = queue->last;
    operation->task = parking_self();
    if (UNLIKELY(!operation->task)) {
        return ERR_STATE;
    }
    operation->previous = last;
    operation->next = NULL;
    COMPILER_BARRIER();
    operation->queue = queue;
    __asm__ volatile(
        ""
        : "+r"(operation)::"memory"); /* it outlives its scope, says GCC: that is the idea */
    if (UNLIKELY(last)) {
        last->next = operation;
    } else {
        queue->first = operation;
    }
    COMPILER_BARRIER();
    queue->last = operation;
    COMPILER_BARRIER();
    return OK;
}

/* The half of channel_wait() before the lock is let go: links it, if it is not. ERR_AGAIN, ERR_STATE. */
static inline enum status channel_prepare_wait(struct channel_operation *operation,
                                               struct channel *channel, enum channel_side side,
                                               uint64_t deadline)
{
    if (UNLIKELY(deadline == CHANNEL_TRY)) {
        return ERR_AGAIN;
    }
    operation->is_woken = false;
    return operation->queue ? OK : channel_link(operation, channel, side);
}

CELL_API void channel_unlink(struct channel_operation *operation);

/*
 * Of an operation that was linked: a kind may take it off the list and wake it in one step, after which it is not
 * to be touched, for it may find that out, here, without the lock and be gone.
 */
static inline bool channel_was_served(const struct channel_operation *operation)
{
    return !__atomic_load_n(&operation->queue, __ATOMIC_ACQUIRE);
}

/* Off the list of those who wait, if it is on it. */
static inline void channel_leave(struct channel_operation *operation)
{
    if (operation->queue) {
        channel_unlink(operation);
    }
}

/* Wakes the oldest that has not been woken yet. Who changes the channel in favour of a side does it
 * once a message: then no more wait than must, and none that can go on is forgotten. */
CELL_API void channel_wake_next(struct channel_operation *first);

static inline void channel_wake(struct channel *channel, enum channel_side side)
{
    if (channel->waiting[side].first) {
        channel_wake_next(channel->waiting[side].first);
    }
}
