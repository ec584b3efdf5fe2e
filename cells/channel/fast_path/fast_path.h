/* SPDX-License-Identifier: MIT */
/*
 * fast_path.h - a word called and a word replied, between two tasks.
 *
 * Why: asking somebody and waiting for the answer is what most messages are for. If each side has
 * one task, then no queue, no lock and no run queue is needed: a word carries the message, one
 * store says whose turn it is, and the CPU goes over to the other task directly
 * (parking_hand_over).
 *
 * Rules: two ends, owned, not cloned; each is used by one task for good, the one that uses it first.
 * Requests and replies fit in 8 bytes. Tasks only, without holds. A request belongs to the
 * caller until it is replied to: a server that receives again without a reply gets it again. The
 * state is one word, and each step is one change of it, so a task may be killed at any
 * instruction; the other then gets ERR_CLOSED, at once or from the call in which it waits.
 *
 *      FAST_PATH_DEFINE(square, uint32_t, uint64_t)       request, reply
 *
 *      OWNED(square_caller, caller);
 *      OWNED(square_server, server);
 *      status = square_fast_path_create(SLOT(caller), SLOT(server));
 *      status = square_call(REF(caller), &number, &result);                   also _call_until
 *      status = square_receive(REF(server), &number);                         also _receive_until
 *      status = square_reply(REF(server), &result);
 *      status = square_reply_and_receive(REF(server), &result, &number);      the quick way
 *
 * Errors: ERR_CLOSED when the other end is gone; ERR_TIMEOUT, of a call: it is withdrawn, and a reply
 * that comes nevertheless is dropped; ERR_STATE for an end that is another task's, before there are
 * tasks, and for a reply that nobody waits for. Of create: ERR_NO_MEMORY.
 */
#pragma once

#include "parking.h"

/* Ends without types; both are the channel. */
struct OWN_CAPABILITY("caller") fast_path_caller;
OWN_DECLARE(fast_path_caller);
struct OWN_CAPABILITY("server") fast_path_server;
OWN_DECLARE(fast_path_server);

CELL_API enum status fast_path_create(struct fast_path_caller **caller,
                                      struct fast_path_server **server)
    OWN_ACQUIRES(**caller, **server);

CELL_API MUST_CHECK enum status fast_path_call(struct fast_path_caller *caller, uint64_t request,
                                               uint64_t *out_reply, uint64_t deadline)
    OWN_BORROWS(*caller);

CELL_API MUST_CHECK enum status fast_path_receive(struct fast_path_server *server,
                                                  uint64_t *out_request, uint64_t deadline)
    OWN_BORROWS(*server);

/* Does not wait. */
CELL_API MUST_CHECK enum status fast_path_reply(struct fast_path_server *server, uint64_t reply)
    OWN_BORROWS(*server);

/* Both in one. Where nobody waits for the reply any more, receives the next request. */
CELL_API MUST_CHECK enum status fast_path_reply_and_receive(struct fast_path_server *server,
                                                            uint64_t reply, uint64_t *out_request,
                                                            uint64_t deadline) OWN_BORROWS(*server);

/*
 * The same without deadlines, within their caller: a call that changes all registers, which the compiler saves where
 * they are in use, and that nothing waits behind (parking_call). Not called but by the next two.
 */
CELL_API struct parking_result fast_path_call_bare(struct fast_path_caller *caller,
                                                   uint64_t request) OWN_BORROWS(*caller);
CELL_API struct parking_result fast_path_reply_and_receive_bare(struct fast_path_server *server,
                                                                uint64_t reply)
    OWN_BORROWS(*server);

#if __STDC_HOSTED__
    #define FAST_PATH_CALL_(function, path, word, result) ((result) = function(path, word))
#else
    #define FAST_PATH_CALL_(function, path, given, result)                                     \
        __asm__ volatile("call %P[called]"                                                     \
                         : "=a"((result).status), "=d"((result).word), "+D"(path), "+S"(given) \
                         : [called] "i"(function)                                              \
                         : "rbx", "rcx", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", \
                           "r15", "memory", "cc")
#endif

static inline UNUSED struct parking_result fast_path_call_inline(struct fast_path_caller *caller,
                                                                 uint64_t request)
    OWN_BORROWS(*caller);
static inline __attribute__((always_inline)) struct parking_result fast_path_call_inline(
    struct fast_path_caller *caller, uint64_t request)
{
    struct parking_result result;
    FAST_PATH_CALL_(fast_path_call_bare, caller, request, result);
    return result;
}

static inline UNUSED struct parking_result fast_path_reply_and_receive_inline(
    struct fast_path_server *server, uint64_t reply) OWN_BORROWS(*server);
static inline __attribute__((always_inline)) struct parking_result
fast_path_reply_and_receive_inline(struct fast_path_server *server, uint64_t reply)
{
    struct parking_result result;
    FAST_PATH_CALL_(fast_path_reply_and_receive_bare, server, reply, result);
    return result;
}

#define FAST_PATH_DEFINE(name, request_t, reply_t)                                                 \
    static_assert(sizeof(request_t) <= sizeof(uint64_t), "a request of " #name);                   \
    static_assert(sizeof(reply_t) <= sizeof(uint64_t), "a reply of " #name);                       \
    FAST_PATH_END_DEFINE_(name##_caller, fast_path_caller)                                         \
    FAST_PATH_END_DEFINE_(name##_server, fast_path_server)                                         \
    static inline UNUSED enum status name##_fast_path_create(struct name##_caller **caller,        \
                                                             struct name##_server **server)        \
        OWN_ACQUIRES(**caller, **server);                                                          \
    static inline enum status name##_fast_path_create(struct name##_caller **caller,               \
                                                      struct name##_server **server) OWN_UNCHECKED \
    {                                                                                              \
        return fast_path_create((struct fast_path_caller **)caller,                                \
                                (struct fast_path_server **)server);                               \
    }                                                                                              \
    static inline UNUSED MUST_CHECK enum status name##_call_until(                                 \
        struct name##_caller *caller, const request_t *request, reply_t *out_reply,                \
        uint64_t deadline) OWN_BORROWS(*caller);                                                   \
    static inline enum status name##_call_until(struct name##_caller *caller,                      \
                                                const request_t *request, reply_t *out_reply,      \
                                                uint64_t deadline) OWN_UNCHECKED                   \
    {                                                                                              \
        uint64_t word = 0;                                                                         \
        __builtin_memcpy(&word, request, sizeof(*request));                                        \
        enum status status =                                                                       \
            fast_path_call((struct fast_path_caller *)caller, word, &word, deadline);              \
        if (status == OK) {                                                                        \
            __builtin_memcpy(out_reply, &word, sizeof(*out_reply));                                \
        }                                                                                          \
        return status;                                                                             \
    }                                                                                              \
    static inline UNUSED MUST_CHECK enum status name##_call(                                       \
        struct name##_caller *caller, const request_t *request, reply_t *out_reply)                \
        OWN_BORROWS(*caller);                                                                      \
    static inline enum status name##_call(struct name##_caller *caller, const request_t *request,  \
                                          reply_t *out_reply) OWN_UNCHECKED                        \
    {                                                                                              \
        uint64_t word = 0;                                                                         \
        __builtin_memcpy(&word, request, sizeof(*request));                                        \
        struct parking_result result =                                                             \
            fast_path_call_inline((struct fast_path_caller *)caller, word);                        \
        if (result.status == OK) {                                                                 \
            __builtin_memcpy(out_reply, &result.word, sizeof(*out_reply));                         \
        }                                                                                          \
        return result.status;                                                                      \
    }                                                                                              \
    static inline UNUSED MUST_CHECK enum status name##_receive_until(                              \
        struct name##_server *server, request_t *out_request, uint64_t deadline)                   \
        OWN_BORROWS(*server);                                                                      \
    static inline enum status name##_receive_until(                                                \
        struct name##_server *server, request_t *out_request, uint64_t deadline) OWN_UNCHECKED     \
    {                                                                                              \
        uint64_t word = 0;                                                                         \
        enum status status =                                                                       \
            fast_path_receive((struct fast_path_server *)server, &word, deadline);                 \
        if (status == OK) {                                                                        \
            __builtin_memcpy(out_request, &word, sizeof(*out_request));                            \
        }                                                                                          \
        return status;                                                                             \
    }                                                                                              \
    static inline UNUSED MUST_CHECK enum status name##_receive(                                    \
        struct name##_server *server, request_t *out_request) OWN_BORROWS(*server);                \
    static inline enum status name##_receive(struct name##_server *server, request_t *out_request) \
        OWN_UNCHECKED                                                                              \
    {                                                                                              \
        return name##_receive_until(server, out_request, PARK_FOREVER);                            \
    }                                                                                              \
    static inline UNUSED MUST_CHECK enum status name##_reply(                                      \
        struct name##_server *server, const reply_t *reply) OWN_BORROWS(*server);                  \
    static inline enum status name##_reply(struct name##_server *server, const reply_t *reply)     \
        OWN_UNCHECKED                                                                              \
    {                                                                                              \
        uint64_t word = 0;                                                                         \
        __builtin_memcpy(&word, reply, sizeof(*reply));                                            \
        return fast_path_reply((struct fast_path_server *)server, word);                           \
    }                                                                                              \
    static inline UNUSED MUST_CHECK enum status name##_reply_and_receive(                          \
        struct name##_server *server, const reply_t *reply, request_t *out_request)                \
        OWN_BORROWS(*server);                                                                      \
    static inline enum status name##_reply_and_receive(                                            \
        struct name##_server *server, const reply_t *reply, request_t *out_request) OWN_UNCHECKED  \
    {                                                                                              \
        uint64_t word = 0;                                                                         \
        __builtin_memcpy(&word, reply, sizeof(*reply));                                            \
        struct parking_result result =                                                             \
            fast_path_reply_and_receive_inline((struct fast_path_server *)server, word);           \
        if (result.status == OK) {                                                                 \
            __builtin_memcpy(out_request, &result.word, sizeof(*out_request));                     \
        }                                                                                          \
        return result.status;                                                                      \
    }                                                                                              \
    static_assert(1, "")

#define FAST_PATH_END_DEFINE_(type, base)                \
    struct OWN_CAPABILITY("end of a fast path") type;    \
    OWN_DECLARE_LOCAL(type);                             \
    UNUSED static void type##_drop(struct type **handle) \
    {                                                    \
        base##_drop((struct base **)handle);             \
    }
