/* SPDX-License-Identifier: MIT */
/*
 * channel_ends.h - types for the ends of one channel, and functions for its type of message.
 *
 * Why: the compiler should refuse what is sent into the wrong channel, or by the wrong end. All of
 * this is inline; behind it there is one implementation for all types.
 *
 * Rules: for the macros of async_channel.h and rendezvous.h, which say what the functions do. Where
 * a message fits in a register it travels in one. A macro may be used in several sources:
 * everything is static.
 */
#pragma once

#include "channel.h"

/* `struct NAME_sender`, `struct NAME_receiver`, their drops, and NAME_sender_clone(end, out). */
#define CHANNEL_ENDS_DEFINE_(name)     \
    CHANNEL_END_DEFINE_(name##_sender) \
    CHANNEL_END_DEFINE_(name##_receiver)

#define CHANNEL_END_DEFINE_(end_type)                                                              \
    struct OWN_CAPABILITY("end of a channel") end_type;                                            \
    OWN_DECLARE_LOCAL(end_type);                                                                   \
    static UNUSED void end_type##_drop(struct end_type **handle)                                   \
    {                                                                                              \
        channel_end_drop((struct channel_end **)handle);                                           \
    }                                                                                              \
    static inline UNUSED enum status end_type##_clone(struct end_type *end, struct end_type **out) \
        OWN_BORROWS(*end) OWN_ACQUIRES(**out) OWN_UNCHECKED;                                       \
    static inline UNUSED enum status end_type##_clone(struct end_type *end, struct end_type **out) \
    {                                                                                              \
        return channel_end_clone((struct channel_end *)end, (struct channel_end **)out);           \
    }                                                                                              \
    static inline UNUSED size_t end_type##_peers(const struct end_type *end) OWN_BORROWS(*end)     \
        OWN_UNCHECKED;                                                                             \
    static inline UNUSED size_t end_type##_peers(const struct end_type *end)                       \
    {                                                                                              \
        return channel_end_peers((const struct channel_end *)end);                                 \
    }

/* Plain messages. Reading a word from a smaller message would read behind it. */
#define CHANNEL_MESSAGES_DEFINE_(name, type, kind)                                                 \
    static inline UNUSED MUST_CHECK enum status name##_send_until(                                 \
        struct name##_sender *to, const type *message, uint64_t deadline) OWN_BORROWS(*to);        \
    static inline UNUSED enum status name##_send_until(struct name##_sender *to,                   \
                                                       const type *message, uint64_t deadline)     \
    {                                                                                              \
        if (sizeof(type) > sizeof(uint64_t)) {                                                     \
            return kind##_send_bytes((struct channel_end *)to, message, deadline);                 \
        }                                                                                          \
        uint64_t word = 0;                                                                         \
        __builtin_memcpy(&word, message, CHANNEL_WORD_BYTES_(type));                               \
        return kind##_send_word((struct channel_end *)to, word, deadline);                         \
    }                                                                                              \
    static inline UNUSED MUST_CHECK enum status name##_receive_until(                              \
        struct name##_receiver *from, type *out, uint64_t deadline) OWN_BORROWS(*from);            \
    static inline UNUSED enum status name##_receive_until(struct name##_receiver *from, type *out, \
                                                          uint64_t deadline)                       \
    {                                                                                              \
        if (sizeof(type) > sizeof(uint64_t)) {                                                     \
            return kind##_receive_bytes((struct channel_end *)from, out, deadline);                \
        }                                                                                          \
        uint64_t word = 0;                                                                         \
        enum status status = kind##_receive_word((struct channel_end *)from, &word, deadline);     \
        if (status == OK) {                                                                        \
            __builtin_memcpy(out, &word, CHANNEL_WORD_BYTES_(type));                               \
        }                                                                                          \
        return status;                                                                             \
    }                                                                                              \
    CHANNEL_VARIANTS_DEFINE_(name, send, struct name##_sender, const type *, )                     \
    CHANNEL_VARIANTS_DEFINE_(name, receive, struct name##_receiver, type *, )

#define CHANNEL_WORD_BYTES_(type) \
    (sizeof(type) < sizeof(uint64_t) ? sizeof(type) : sizeof(uint64_t))

/* Messages that are handles. */
#define CHANNEL_OWNED_MESSAGES_DEFINE_(name, type, kind)                                         \
    static inline UNUSED MUST_CHECK enum status name##_send_until(                               \
        struct name##_sender *to, struct type **message, uint64_t deadline) OWN_BORROWS(*to)     \
        OWN_CONSUMES(**message) OWN_UNCHECKED;                                                   \
    static inline UNUSED enum status name##_send_until(struct name##_sender *to,                 \
                                                       struct type **message, uint64_t deadline) \
    {                                                                                            \
        return kind##_send_owned((struct channel_end *)to, (void **)message, deadline);          \
    }                                                                                            \
    static inline UNUSED enum status name##_receive_until(struct name##_receiver *from,          \
                                                          struct type **out, uint64_t deadline)  \
        OWN_BORROWS(*from) OWN_ACQUIRES(**out) OWN_UNCHECKED;                                    \
    static inline UNUSED enum status name##_receive_until(struct name##_receiver *from,          \
                                                          struct type **out, uint64_t deadline)  \
    {                                                                                            \
        return kind##_receive_owned((struct channel_end *)from, (void **)out, deadline);         \
    }                                                                                            \
    CHANNEL_VARIANTS_DEFINE_(name, send, struct name##_sender, struct type **,                   \
                             OWN_CONSUMES(**message) OWN_UNCHECKED)                              \
    CHANNEL_VARIANTS_DEFINE_(name, receive, struct name##_receiver, struct type **,              \
                             OWN_ACQUIRES(**message) OWN_UNCHECKED)

/* Those that never wait, and those that wait as long as it takes. */
#define CHANNEL_VARIANTS_DEFINE_(name, verb, end_type, message_type, contract)                     \
    static inline UNUSED MUST_CHECK enum status name##_##verb(end_type *end, message_type message) \
        OWN_BORROWS(*end) contract;                                                                \
    static inline UNUSED enum status name##_##verb(end_type *end, message_type message)            \
    {                                                                                              \
        return name##_##verb##_until(end, message, PARK_FOREVER);                                  \
    }                                                                                              \
    static inline UNUSED MUST_CHECK enum status name##_try_##verb(                                 \
        end_type *end, message_type message) OWN_BORROWS(*end) contract;                           \
    static inline UNUSED enum status name##_try_##verb(end_type *end, message_type message)        \
    {                                                                                              \
        return name##_##verb##_until(end, message, CHANNEL_TRY);                                   \
    }
