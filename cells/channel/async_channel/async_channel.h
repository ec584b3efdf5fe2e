/* SPDX-License-Identifier: MIT */
/*
 * async_channel.h - messages that wait in a ring until they are received.
 *
 * Why: who sends and who receives should not wait for each other more than they must. A ring of fixed
 * capacity lies between them; who sends waits only while it is full, who receives while it is empty.
 *
 * Rules: any number of senders and receivers, each with an end of its own. Ends are owned handles of
 * two types; an end may be cloned, given away and dropped, and is used by one task at a time. Tasks
 * only; not with preemption held, but for `try`. Messages are received in the order in which they were
 * sent. A message belongs to its sender until the call returns OK, to the channel until a
 * receiver has it, and then to that one: a task that is killed at any instruction loses and doubles
 * none. What nobody can receive any more is released when the last receiver goes. Who waits
 * longest is woken first, but who comes at that moment may be quicker.
 * docs/channels.md compares the kinds of channels.
 *
 *      ASYNC_CHANNEL_DEFINE(numbers, struct number)       in a header or a source
 *
 *      OWNED(numbers_sender, to);
 *      OWNED(numbers_receiver, from);
 *      status = numbers_channel_create(16, SLOT(to), SLOT(from));
 *      status = numbers_send(REF(to), &number);           also _try_send, _send_until
 *      status = numbers_receive(REF(from), &number);      also _try_receive, _receive_until
 *
 * Messages that are owned handles: ASYNC_CHANNEL_DEFINE_OWNED(parcels, parcel), for `struct parcel`
 * with parcel_drop(); parcels_send(to, SLOT(parcel)) takes it, unless it fails, and
 * parcels_receive(from, SLOT(parcel)) fills an empty slot.
 *
 * Errors: ERR_CLOSED when the other side has no end left (receivers get first what is in the
 * ring), ERR_AGAIN of `try`, ERR_TIMEOUT when the deadline (parking.h) has come, ERR_STATE when it would
 * wait before there are tasks. Of create: ERR_NO_MEMORY; ERR_INVALID_ARGUMENT for a capacity that is
 * 0 or above ASYNC_CHANNEL_CAPACITY_MAX.
 */
#pragma once

#include "channel_ends.h"

/* Rings are one block of memory; larger ones are a mistake. */
#define ASYNC_CHANNEL_CAPACITY_MAX     0x100000u
#define ASYNC_CHANNEL_MESSAGE_SIZE_MAX 0x10000u

/* What the macros call. A message is a word where it fits in one, else `size` bytes. */
CELL_API enum status async_channel_create(size_t capacity, size_t size, channel_drop_t drop,
                                          struct channel_end **sender,
                                          struct channel_end **receiver)
    OWN_ACQUIRES(**sender, **receiver);
CELL_API MUST_CHECK enum status async_channel_send_word(struct channel_end *end, uint64_t word,
                                                        uint64_t deadline);
CELL_API MUST_CHECK enum status async_channel_send_bytes(struct channel_end *end,
                                                         const void *message, uint64_t deadline);
CELL_API MUST_CHECK enum status async_channel_send_owned(struct channel_end *end, void **message,
                                                         uint64_t deadline);
CELL_API MUST_CHECK enum status async_channel_receive_word(struct channel_end *end,
                                                           uint64_t *out_word, uint64_t deadline);
CELL_API MUST_CHECK enum status async_channel_receive_bytes(struct channel_end *end,
                                                            void *out_message, uint64_t deadline);
CELL_API MUST_CHECK enum status async_channel_receive_owned(struct channel_end *end, void **out,
                                                            uint64_t deadline);

/* How many messages are in the ring, a moment ago; from either end. */
CELL_API size_t async_channel_count(const struct channel_end *end);

#define ASYNC_CHANNEL_DEFINE(name, type)                                                         \
    static_assert(sizeof(type) <= ASYNC_CHANNEL_MESSAGE_SIZE_MAX, "a message of " #name);        \
    CHANNEL_ENDS_DEFINE_(name)                                                                   \
    CHANNEL_MESSAGES_DEFINE_(name, type, async_channel)                                          \
    static inline UNUSED enum status name##_channel_create(                                      \
        size_t capacity, struct name##_sender **sender, struct name##_receiver **receiver)       \
        OWN_ACQUIRES(**sender, **receiver) OWN_UNCHECKED;                                        \
    static inline UNUSED enum status name##_channel_create(                                      \
        size_t capacity, struct name##_sender **sender, struct name##_receiver **receiver)       \
    {                                                                                            \
        return async_channel_create(capacity, sizeof(type), NULL, (struct channel_end **)sender, \
                                    (struct channel_end **)receiver);                            \
    }                                                                                            \
    static_assert(1, "")

#define ASYNC_CHANNEL_DEFINE_OWNED(name, type)                                             \
    CHANNEL_ENDS_DEFINE_(name)                                                             \
    CHANNEL_OWNED_MESSAGES_DEFINE_(name, type, async_channel)                              \
    static inline UNUSED enum status name##_channel_create(                                \
        size_t capacity, struct name##_sender **sender, struct name##_receiver **receiver) \
        OWN_ACQUIRES(**sender, **receiver) OWN_UNCHECKED;                                  \
    static inline UNUSED enum status name##_channel_create(                                \
        size_t capacity, struct name##_sender **sender, struct name##_receiver **receiver) \
    {                                                                                      \
        return async_channel_create(capacity, sizeof(void *), (channel_drop_t)type##_drop, \
                                    (struct channel_end **)sender,                         \
                                    (struct channel_end **)receiver);                      \
    }                                                                                      \
    static_assert(1, "")
