/* SPDX-License-Identifier: MIT */
/*
 * Handlers are places in a table, so that registering needs no memory and an exception that strikes
 * in the middle of it finds each place either live or not. A place goes through these states, told
 * by its `stamp`:
 *
 *      PLACE_FREE     nobody's
 *      PLACE_TAKEN    being filled, or being given up: not called any more
 *      other          live; the larger number is the newer handler
 *
 * A caller of a handler counts itself in `callers` first and looks at the stamp then; who drops a
 * handler changes the stamp first and looks at `callers` then. Both are full barriers (locked
 * instructions), so at least one of the two sees the other. The count may touch a place that has
 * another owner by now: that is why the stamp is compared, and numbers never come again. The count
 * is owned by a slot, for a handler may fault and be left for a catch point.
 */
#include "commit.h"
#include "exceptions_priv.h"
#include "x86.h"

#define PLACE_FREE  0u
#define PLACE_TAKEN 1u

struct exception_handler {
    uint64_t stamp;
    uint64_t callers; /* how many CPUs may be in the function */
    exception_function_t function;
    void *context;
    const char *name;
};

static struct exception_handler places[EXCEPTION_COUNT][EXCEPTION_HANDLER_LIMIT];
static uint64_t last_stamp = PLACE_TAKEN;

/* The owner has the place with the exchange that takes it: commit.h. */
static struct exception_handler *take_place(unsigned vector, struct exception_handler **out)
{
    for (unsigned i = 0; i < EXCEPTION_HANDLER_LIMIT; i++) {
        struct exception_handler *place = &places[vector][i];
        if (commit_exchange(&place->stamp, PLACE_FREE, PLACE_TAKEN, out, place)) {
            return place;
        }
    }
    return NULL;
}

OWN_UNCHECKED enum status exception_handler_register(unsigned vector, const char *name,
                                                     exception_function_t function, void *context,
                                                     struct exception_handler **out)
{
    if (vector >= EXCEPTION_COUNT) {
        return ERR_OUT_OF_BOUNDS;
    }
    OWN_DEMAND_(!*out);
    struct exception_handler *place = take_place(vector, out);
    if (!place) {
        return ERR_LIMIT;
    }
    place->function = function;
    place->context = context;
    place->name = name;
    uint64_t stamp = __atomic_add_fetch(&last_stamp, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&place->stamp, stamp, __ATOMIC_RELEASE); /* pairs with find_newest() */
    return OK;
}

/*
 * The handle is empty when the place is free: a drop that is begun again never meets a successor.
 */
void exception_handler_drop(struct exception_handler **handle)
{
    struct exception_handler *place = *handle;
    if (!place) {
        return;
    }
    __atomic_exchange_n(&place->stamp, PLACE_TAKEN, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&place->callers, __ATOMIC_ACQUIRE) > 0) {
        cpu_relax();
    }
    commit_two(&place->stamp, PLACE_FREE, handle, NULL);
}

const char *exception_handler_name(const struct exception_handler *handler)
{
    return handler->name;
}

/* The newest live handler that is older than `*stamp`; its stamp is written there. */
static struct exception_handler *find_newest(unsigned vector, uint64_t *stamp)
{
    struct exception_handler *found = NULL;
    uint64_t newest = PLACE_TAKEN;
    uint64_t limit = *stamp;
    struct exception_handler *place = places[vector];
    for (unsigned i = 0; i < EXCEPTION_HANDLER_LIMIT; i++, place++) {
        uint64_t at = __atomic_load_n(&place->stamp, __ATOMIC_ACQUIRE);
        if (LIKELY(at <= PLACE_TAKEN)) {
            COMPILER_BARRIER(); /* a branch, for most are free */
        } else if (at > newest && at < limit) {
            newest = at;
            found = place;
        }
    }
    *stamp = newest;
    return found;
}

/* A caller's one in `callers`. */
struct OWN_CAPABILITY("call of a handler") handler_call;
OWN_DECLARE_LOCAL(handler_call);

static NOINLINE void handler_call_drop(struct handler_call **handle)
{
    struct exception_handler *place = (struct exception_handler *)*handle;
    if (place) {
        EMPTY(handle);
        __atomic_sub_fetch(&place->callers, 1, __ATOMIC_RELEASE);
    }
}

/* Is it still who it was, and has it dealt with the exception? */
static bool call_handler(struct exception_handler *place, uint64_t stamp,
                         struct exception_frame *frame)
{
    OWNED(handler_call, call);
    __atomic_add_fetch(&place->callers, 1, __ATOMIC_SEQ_CST);
    FILL(SLOT(call), (struct handler_call *)place);
    return __atomic_load_n(&place->stamp, __ATOMIC_ACQUIRE) == stamp &&
           place->function(frame, place->context);
}

bool exceptions_offer(struct exception_frame *frame)
{
    if (frame->vector >= EXCEPTION_COUNT) {
        return false;
    }
    unsigned vector = (unsigned)frame->vector;
    uint64_t stamp = UINT64_MAX;
    struct exception_handler *place;
    while ((place = find_newest(vector, &stamp))) {
        if (call_handler(place, stamp, frame)) {
            return true;
        }
    }
    return false;
}

void exceptions_handle(struct exception_frame *frame)
{
    const struct own_slot *top = OWN_TOP;
    uint64_t rsp = frame->rsp;
    if (exceptions_is_reporting() || !exceptions_offer(frame)) {
        exceptions_give_up(frame);
    }
    /* Who goes on elsewhere may have released what was owned there; who goes on here has not. */
    OWN_DEMAND_(frame->rsp != rsp || OWN_TOP == top);
}
