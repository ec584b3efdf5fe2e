/* SPDX-License-Identifier: MIT */
/*
 * Whose turn it is, and who is still there, is one word. `turn`:
 *
 *      READY       the caller's turn; `word` is the last reply        CALLED      by the caller
 *      CALLED      the server's turn; `word` is the request           READY       by the server, replying
 *                                                                     WITHDRAWN   by the caller: timeout
 *      WITHDRAWN   the request is void; the caller waits for READY    READY       by the server
 *
 * `word` is written by whose turn it is, before the turn is given away. A flag for each end says that
 * it is gone, another that it has left: it will not touch the memory again, and the second to leave
 * frees it. An end's drop may begin again as long as its handle is full, so leaving and emptying the handle
 * are one step (commit.h); who finds that the other has left has the memory for itself.
 *
 * Each side is woken by its task, which is noted, and referenced, before the first turn is given
 * away, and never changes: that is why waking needs no lock.
 */
#include "fast_path.h"

#include "commit.h"
#include "heap_block.h"

CELL(library, "1.0.0");

#define CALLER 0u
#define SERVER 1u

/* Of the word. */
#define READY         0ull
#define CALLED        1ull
#define WITHDRAWN     2ull
#define TURN          3ull
#define IS_GONE(end)  (4ull << (end))
#define HAS_LEFT(end) (16ull << (end))

struct fast_path {
    uint64_t state;
    uint64_t word;
    struct task *tasks[2];        /* referenced; NULL: the end has not been used */
    struct parking_call calls[2]; /* how each end waits */
};

static inline uint64_t state_of(const struct fast_path *path)
{
    return __atomic_load_n(&path->state, __ATOMIC_ACQUIRE);
}

/* One step: only if the turn is `from`, and the other end is there. */
static inline bool step(struct fast_path *path, uint64_t from, uint64_t to)
{
    return __atomic_compare_exchange_n(&path->state, &from, to, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

static NOINLINE enum status bind(struct fast_path *path, unsigned end)
{
    struct task *self = parking_self();
    if (path->tasks[end] || !self) {
        return ERR_STATE;
    }
    parking_get(self, &path->tasks[end]);
    (void)__atomic_fetch_or(&path->state, 0, __ATOMIC_SEQ_CST); /* and then looks at the state */
    return OK;
}

/* Is the end this task's? */
static inline enum status check_task(struct fast_path *path, unsigned end)
{
    struct task *self = parking_self();
    return LIKELY(self && path->tasks[end] == self) ? OK : bind(path, end);
}

/* Goes over to the other side's task, or just waits if that has not come yet. */
static inline enum status go_over(struct fast_path *path, unsigned end, uint64_t deadline)
{
    struct task *other = __atomic_load_n(&path->tasks[1 - end], __ATOMIC_ACQUIRE);
    return LIKELY(other) ? parking_hand_over(other, deadline, &path->calls[end].reason)
                         : parking_park(deadline, &path->calls[end].reason);
}

static void wake(const struct fast_path *path, unsigned end)
{
    struct task *task = __atomic_load_n(&path->tasks[end], __ATOMIC_ACQUIRE);
    if (task) {
        parking_unpark(task);
    }
}

/* ---- the caller ---- */

/* Until it is the caller's turn. */
static NOINLINE enum status wait_for_turn(struct fast_path *path, uint64_t deadline)
{
    enum status status = OK;
    for (;;) {
        uint64_t state = state_of(path);
        if ((state & TURN) == READY) {
            return OK;
        }
        if (state & IS_GONE(SERVER)) {
            return ERR_CLOSED;
        }
        if (status != OK) {
            return status;
        }
        status = parking_park(deadline, &path->calls[CALLER].reason);
    }
}

/* The call could not be made, or was not answered in time. */
static NOINLINE enum status withdraw(struct fast_path *path, enum status status,
                                     uint64_t *out_reply)
{
    if (step(path, CALLED, WITHDRAWN)) {
        wake(path, SERVER);
        return status;
    }
    uint64_t state = state_of(path);
    if ((state & TURN) == READY) {
        *out_reply = path->word; /* just in time */
        return OK;
    }
    return ERR_CLOSED;
}

/* The other has the turn; `status` is that of the wait so far. */
static enum status wait_for_reply(struct fast_path *path, uint64_t *out_reply, uint64_t deadline,
                                  enum status status)
{
    for (;;) {
        uint64_t state = state_of(path);
        if (LIKELY((state & TURN) == READY)) {
            *out_reply = path->word;
            return OK;
        }
        if (state & IS_GONE(SERVER)) {
            return ERR_CLOSED;
        }
        if (status != OK) {
            return withdraw(path, status, out_reply);
        }
        status = parking_park(deadline, &path->calls[CALLER].reason);
    }
}

enum status fast_path_call(struct fast_path_caller *caller, uint64_t request, uint64_t *out_reply,
                           uint64_t deadline)
{
    struct fast_path *path = (struct fast_path *)caller;
    enum status status = check_task(path, CALLER);
    if (UNLIKELY(status != OK)) {
        return status;
    }
    if (UNLIKELY(state_of(path) != READY)) {
        status = wait_for_turn(path, deadline);
        if (status != OK) {
            return status;
        }
    }
    path->word = request;
    if (UNLIKELY(!step(path, READY, CALLED))) {
        return ERR_CLOSED;
    }
    return wait_for_reply(path, out_reply, deadline, go_over(path, CALLER, deadline));
}

/* Unchecked, this and reply_slowly(): the path is the end. */
static NOINLINE struct parking_result call_slowly(struct fast_path *path,
                                                  uint64_t request) OWN_UNCHECKED
{
    struct parking_result result = {0};
    result.status =
        fast_path_call((struct fast_path_caller *)path, request, &result.word, PARK_FOREVER);
    return result;
}

static NOINLINE struct parking_result wait_again_for_reply(struct fast_path *path)
{
    struct parking_result result = {0};
    result.status = wait_for_reply(path, &result.word, PARK_FOREVER, OK);
    return result;
}

/* What is left of a call when its task goes on. */
static struct parking_result finish_call(const struct parking_call *call)
{
    struct fast_path *path = CONTAINER_OF(call, struct fast_path, calls[CALLER]);
    if (UNLIKELY((state_of(path) & TURN) != READY)) {
        return wait_again_for_reply(path);
    }
    return (struct parking_result){.word = path->word};
}

/* Here and below a plain look at the state is enough: the step is what counts. */
struct parking_result fast_path_call_bare(struct fast_path_caller *caller, uint64_t request)
{
    struct fast_path *path = (struct fast_path *)caller;
    struct task *other = __atomic_load_n(&path->tasks[SERVER], __ATOMIC_ACQUIRE);
    if (UNLIKELY(parking_self() != path->tasks[CALLER] || !other || path->state != READY)) {
        return call_slowly(path, request);
    }
    path->word = request;
    if (UNLIKELY(!step(path, READY, CALLED))) {
        return call_slowly(path, request);
    }
    return parking_call(other, &path->calls[CALLER]);
}

/* ---- the server ---- */

/* A request that was withdrawn is none: it is the caller's turn again. */
static NOINLINE void drop_withdrawn(struct fast_path *path)
{
    if (step(path, WITHDRAWN, READY)) {
        wake(path, CALLER);
    }
}

static inline enum status receive(struct fast_path *path, uint64_t *out_request, uint64_t deadline,
                                  enum status status)
{
    for (;;) {
        uint64_t state = state_of(path);
        if (LIKELY(state == CALLED)) {
            *out_request = path->word;
            return OK;
        }
        if (state & IS_GONE(CALLER)) {
            return ERR_CLOSED;
        }
        if (state == WITHDRAWN) {
            drop_withdrawn(path);
        }
        if (status != OK) {
            return status;
        }
        status = parking_park(deadline, &path->calls[SERVER].reason);
    }
}

enum status fast_path_receive(struct fast_path_server *server, uint64_t *out_request,
                              uint64_t deadline)
{
    struct fast_path *path = (struct fast_path *)server;
    enum status status = check_task(path, SERVER);
    return status == OK ? receive(path, out_request, deadline, OK) : status;
}

enum status fast_path_reply(struct fast_path_server *server, uint64_t reply)
{
    struct fast_path *path = (struct fast_path *)server;
    enum status status = check_task(path, SERVER);
    if (status != OK) {
        return status;
    }
    uint64_t state = state_of(path);
    if (state == CALLED) {
        path->word = reply;
        if (step(path, CALLED, READY)) {
            wake(path, CALLER);
            return OK;
        }
        state = state_of(path);
    }
    if (state & IS_GONE(CALLER)) {
        return ERR_CLOSED;
    }
    drop_withdrawn(path);
    return ERR_STATE;
}

enum status fast_path_reply_and_receive(struct fast_path_server *server, uint64_t reply,
                                        uint64_t *out_request, uint64_t deadline)
{
    struct fast_path *path = (struct fast_path *)server;
    enum status status = check_task(path, SERVER);
    if (UNLIKELY(status != OK)) {
        return status;
    }
    if (LIKELY(state_of(path) == CALLED)) {
        path->word = reply;
        if (LIKELY(step(path, CALLED, READY))) {
            status = go_over(path, SERVER, deadline);
        }
    }
    return receive(path, out_request, deadline, status);
}

static NOINLINE struct parking_result reply_slowly(struct fast_path *path,
                                                   uint64_t reply) OWN_UNCHECKED
{
    struct parking_result result = {0};
    result.status = fast_path_reply_and_receive((struct fast_path_server *)path, reply,
                                                &result.word, PARK_FOREVER);
    return result;
}

static NOINLINE struct parking_result receive_again(struct fast_path *path)
{
    struct parking_result result = {0};
    result.status = receive(path, &result.word, PARK_FOREVER, OK);
    return result;
}

/* What is left of receiving when its task goes on. */
static struct parking_result finish_receive(const struct parking_call *call)
{
    struct fast_path *path = CONTAINER_OF(call, struct fast_path, calls[SERVER]);
    if (UNLIKELY(state_of(path) != CALLED)) {
        return receive_again(path);
    }
    return (struct parking_result){.word = path->word};
}

struct parking_result fast_path_reply_and_receive_bare(struct fast_path_server *server,
                                                       uint64_t reply)
{
    struct fast_path *path = (struct fast_path *)server;
    struct task *other = __atomic_load_n(&path->tasks[CALLER], __ATOMIC_ACQUIRE);
    if (UNLIKELY(parking_self() != path->tasks[SERVER] || !other || path->state != CALLED)) {
        return reply_slowly(path, reply);
    }
    path->word = reply;
    if (UNLIKELY(!step(path, CALLED, READY))) {
        return receive_again(path);
    }
    return parking_call(other, &path->calls[SERVER]);
}

/* ---- ends ---- */

static void drop(void **handle, unsigned end)
{
    struct fast_path *path = *handle;
    if (!path) {
        return;
    }
    __atomic_or_fetch(&path->state, IS_GONE(end), __ATOMIC_ACQ_REL);
    wake(path, 1 - end);
    uint64_t state;
    while (!((state = state_of(path)) & HAS_LEFT(1 - end))) {
        if (commit_exchange(&path->state, state, state | HAS_LEFT(end), handle, NULL)) {
            return;
        }
    }
    parking_put(&path->tasks[CALLER]);
    parking_put(&path->tasks[SERVER]);
    heap_block_give_thing(handle);
}

void fast_path_caller_drop(struct fast_path_caller **handle)
{
    drop((void **)handle, CALLER);
}

void fast_path_server_drop(struct fast_path_server **handle)
{
    drop((void **)handle, SERVER);
}

enum status fast_path_create(struct fast_path_caller **caller,
                             struct fast_path_server **server) OWN_UNCHECKED
{
    OWN_DEMAND_(!*caller && !*server);
    OWNED(heap_block, block);
    if (!heap_block_take(sizeof(struct fast_path), SLOT(block))) {
        return ERR_NO_MEMORY;
    }
    struct fast_path *path = heap_block_of(*SLOT(block));
    *path = (struct fast_path){
        .calls = {{{.what = "fast path, call", .object = path}, finish_call},
                  {{.what = "fast path, request", .object = path}, finish_receive}},
    };
    commit_three(caller, path, server, path, SLOT(block), NULL);
    return OK;
}
