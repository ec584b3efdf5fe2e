/* SPDX-License-Identifier: MIT */
/*
 * message_channel.h - messages between tasks, by a way that can be replaced while they are sent.
 *
 * Why: who sends messages need not know whether the receiver takes them from the sender's hands or
 * from a ring in between: the choice is one of latency against memory, and it may prove wrong
 * while the system runs. Both ways are cells that implement this interface, with one layout of
 * channels and one protocol of those who wait, so that one can be swapped for the other in the
 * middle of calls, in both directions, as often as one likes.
 *
 * Rules: as in async_channel.h: any number of senders and receivers with owned ends of two types,
 * tasks only. Messages are received in the order in which they were sent, each once, also across
 * swaps and kills. Implementations:
 *
 *      message_channel_rendezvous   when a call to send returns OK, a receiver has the message; the
 *                                   ring is not used (what a swap left in it is received first)
 *      message_channel_buffered     a send that finds nobody waiting leaves its message in the ring
 *
 *      MESSAGE_CHANNEL_DEFINE(numbers, struct number)     in a header or a source
 *
 *      OWNED(numbers_sender, to);
 *      OWNED(numbers_receiver, from);
 *      status = numbers_channel_create(16, SLOT(to), SLOT(from));
 *      status = numbers_send(REF(to), &number);           also _try_send, _send_until
 *      status = numbers_receive(REF(from), &number);      also _try_receive, _receive_until
 *
 * Messages that are owned handles: MESSAGE_CHANNEL_DEFINE_OWNED(parcels, parcel), as in
 * async_channel.h.
 *
 * Errors: ERR_CLOSED when the other side has no end left (receivers get first what is in the ring);
 * ERR_AGAIN of `try`; ERR_TIMEOUT; ERR_STATE when it would wait before there are tasks. Of create:
 * ERR_NO_MEMORY; ERR_INVALID_ARGUMENT for a capacity that is 0 or above MESSAGE_CHANNEL_CAPACITY_MAX, or
 * a message above MESSAGE_CHANNEL_MESSAGE_SIZE_MAX.
 */
#pragma once

#include "channel_ends.h"

/* Rings are one block of memory; larger ones are a mistake. */
#define MESSAGE_CHANNEL_CAPACITY_MAX     0x10000u
#define MESSAGE_CHANNEL_MESSAGE_SIZE_MAX 0x10000u

/* What the macros call. A message is a word where it fits in one, else `size` bytes. */
CELL_API enum status message_channel_create(size_t capacity, size_t size, channel_drop_t drop,
                                            struct channel_end **sender,
                                            struct channel_end **receiver)
    OWN_ACQUIRES(**sender, **receiver);
CELL_API MUST_CHECK enum status message_channel_send_word(struct channel_end *end, uint64_t word,
                                                          uint64_t deadline);
CELL_API MUST_CHECK enum status message_channel_send_bytes(struct channel_end *end,
                                                           const void *message, uint64_t deadline);
CELL_API MUST_CHECK enum status message_channel_send_owned(struct channel_end *end, void **message,
                                                           uint64_t deadline);
CELL_API MUST_CHECK enum status message_channel_receive_word(struct channel_end *end,
                                                             uint64_t *out_word, uint64_t deadline);
CELL_API MUST_CHECK enum status message_channel_receive_bytes(struct channel_end *end,
                                                              void *out_message, uint64_t deadline);
CELL_API MUST_CHECK enum status message_channel_receive_owned(struct channel_end *end, void **out,
                                                              uint64_t deadline);

/* "rendezvous", "buffered". */
CELL_API const char *message_channel_way(void);

#define MESSAGE_CHANNEL_DEFINE(name, type)                                                  \
    static_assert(sizeof(type) <= MESSAGE_CHANNEL_MESSAGE_SIZE_MAX, "a message of " #name); \
    CHANNEL_ENDS_DEFINE_(name)                                                              \
    CHANNEL_MESSAGES_DEFINE_(name, type, message_channel)                                   \
    MESSAGE_CHANNEL_CREATE_DEFINE_(name, sizeof(type), NULL)

#define MESSAGE_CHANNEL_DEFINE_OWNED(name, type)                \
    CHANNEL_ENDS_DEFINE_(name)                                  \
    CHANNEL_OWNED_MESSAGES_DEFINE_(name, type, message_channel) \
    MESSAGE_CHANNEL_CREATE_DEFINE_(name, sizeof(void *), (channel_drop_t)type##_drop)

#define MESSAGE_CHANNEL_CREATE_DEFINE_(name, size, drop)                                   \
    static inline UNUSED enum status name##_channel_create(                                \
        size_t capacity, struct name##_sender **sender, struct name##_receiver **receiver) \
        OWN_ACQUIRES(**sender, **receiver) OWN_UNCHECKED;                                  \
    static inline UNUSED enum status name##_channel_create(                                \
        size_t capacity, struct name##_sender **sender, struct name##_receiver **receiver) \
    {                                                                                      \
        return message_channel_create(capacity, size, drop, (struct channel_end **)sender, \
                                      (struct channel_end **)receiver);                    \
    }                                                                                      \
    static_assert(1, "")
