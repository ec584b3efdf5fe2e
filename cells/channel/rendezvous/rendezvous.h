/* SPDX-License-Identifier: MIT */
/*
 * rendezvous.h - messages that are handed over in person.
 *
 * Why: who sends often must know that somebody has the message, and nothing should be under way
 * then. There is no buffer: a message goes from the sender's memory into the receiver's.
 *
 * Rules: as in async_channel.h: any number of senders and receivers with owned ends of two types, one
 * task at a time for each, tasks only. When a call to send returns OK, a receiver has the message;
 * when it returns an error, none has and none will, and the message is the sender's. A task that is
 * killed at any instruction loses and doubles none: the message is the receiver's, or still the
 * sender's. Those who wait are served in the order in which they came.
 *
 *      RENDEZVOUS_DEFINE(numbers, struct number)          in a header or a source
 *
 *      OWNED(numbers_sender, to);
 *      OWNED(numbers_receiver, from);
 *      status = numbers_rendezvous_create(SLOT(to), SLOT(from));
 *      status = numbers_send(REF(to), &number);           also _try_send, _send_until
 *      status = numbers_receive(REF(from), &number);      also _try_receive, _receive_until
 *
 * Messages that are owned handles: RENDEZVOUS_DEFINE_OWNED(parcels, parcel), as in async_channel.h.
 *
 * Errors: ERR_CLOSED when the other side has no end left; ERR_AGAIN of `try` when nobody waits on the
 * other side; ERR_TIMEOUT; ERR_STATE when it would wait before there are tasks. Of create:
 * ERR_NO_MEMORY; ERR_INVALID_ARGUMENT for a message above RENDEZVOUS_MESSAGE_SIZE_MAX.
 */
#pragma once

#include "channel_ends.h"

#define RENDEZVOUS_MESSAGE_SIZE_MAX 0x10000u

/* What the macros call. A message is a word where it fits in one, else `size` bytes. */
CELL_API enum status rendezvous_create(size_t size, channel_drop_t drop,
                                       struct channel_end **sender, struct channel_end **receiver)
    OWN_ACQUIRES(**sender, **receiver);
CELL_API MUST_CHECK enum status rendezvous_send_word(struct channel_end *end, uint64_t word,
                                                     uint64_t deadline);
CELL_API MUST_CHECK enum status rendezvous_send_bytes(struct channel_end *end, const void *message,
                                                      uint64_t deadline);
CELL_API MUST_CHECK enum status rendezvous_send_owned(struct channel_end *end, void **message,
                                                      uint64_t deadline);
CELL_API MUST_CHECK enum status rendezvous_receive_word(struct channel_end *end, uint64_t *out_word,
                                                        uint64_t deadline);
CELL_API MUST_CHECK enum status rendezvous_receive_bytes(struct channel_end *end, void *out_message,
                                                         uint64_t deadline);
CELL_API MUST_CHECK enum status rendezvous_receive_owned(struct channel_end *end, void **out,
                                                         uint64_t deadline);

#define RENDEZVOUS_DEFINE(name, type)                                                            \
    static_assert(sizeof(type) <= RENDEZVOUS_MESSAGE_SIZE_MAX, "a message of " #name);           \
    CHANNEL_ENDS_DEFINE_(name)                                                                   \
    CHANNEL_MESSAGES_DEFINE_(name, type, rendezvous)                                             \
    static inline UNUSED enum status name##_rendezvous_create(struct name##_sender **sender,     \
                                                              struct name##_receiver **receiver) \
        OWN_ACQUIRES(**sender, **receiver) OWN_UNCHECKED;                                        \
    static inline UNUSED enum status name##_rendezvous_create(struct name##_sender **sender,     \
                                                              struct name##_receiver **receiver) \
    {                                                                                            \
        return rendezvous_create(sizeof(type), NULL, (struct channel_end **)sender,              \
                                 (struct channel_end **)receiver);                               \
    }                                                                                            \
    static_assert(1, "")

#define RENDEZVOUS_DEFINE_OWNED(name, type)                                                       \
    CHANNEL_ENDS_DEFINE_(name)                                                                    \
    CHANNEL_OWNED_MESSAGES_DEFINE_(name, type, rendezvous)                                        \
    static inline UNUSED enum status name##_rendezvous_create(struct name##_sender **sender,      \
                                                              struct name##_receiver **receiver)  \
        OWN_ACQUIRES(**sender, **receiver) OWN_UNCHECKED;                                         \
    static inline UNUSED enum status name##_rendezvous_create(struct name##_sender **sender,      \
                                                              struct name##_receiver **receiver)  \
    {                                                                                             \
        return rendezvous_create(sizeof(void *), (channel_drop_t)type##_drop,                     \
                                 (struct channel_end **)sender, (struct channel_end **)receiver); \
    }                                                                                             \
    static_assert(1, "")
