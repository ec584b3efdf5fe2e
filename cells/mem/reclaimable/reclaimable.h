/* SPDX-License-Identifier: MIT */
/*
 * reclaimable.h - things in caches and pools that their owner may take back at any time.
 *
 * Why: what a cache keeps is useful only until somebody needs the memory more. But others may hold
 * on to it, and nobody can search for them. So they hold *references* that are weak: a number and
 * an address, which own nothing, may be copied and forgotten, and say "gone" once the owner has
 * revoked the thing. Who works with the thing *uses* it meanwhile, by a guard; it is released by
 * whoever leaves it last.
 *
 *      place                of the owner, for good: in a static array, say
 *      reclaimable_fill     puts a thing there; references to it begin
 *      reclaimable_use      a reference becomes a guard, or ERR_CLOSED: it is gone
 *      reclaimable_revoke   references say so from now on; users see reclaimable_is_gone()
 *      reclaimable_take     back to the owner, if nobody uses it
 *
 * Rules: any context in which the thing's drop function may be called; no lock, nobody waits. Any
 * CPUs may use, revoke and take at once; one at a time fills. A place is memory that stays while
 * references to what was in it may be asked; all zeros is an empty place. Whoever is struck by a
 * fault or a kill, at any instruction, leaves the thing with one owner: changes of the count and of
 * the guard are one (commit.h). 2^32 fills of one place make an old reference look like a new one.
 */
#pragma once

#include "own.h"

struct reclaimable {
    uint64_t state; /* number of the filling << 32 | users << 1 | 1: it is there */
    void *thing;    /* owned */
    own_drop_t drop;
};

/* Weak; all zeros refers to nothing. */
struct reclaimable_reference {
    struct reclaimable *place;
    uint32_t filling;
};

/* A use that has begun: the thing stays until the guard is dropped. */
struct OWN_CAPABILITY("use of a reclaimable") reclaimable_use;
OWN_DECLARE(reclaimable_use);

/*
 * Takes the thing in `*slot` into the place, to be dropped by `drop`. ERR_BUSY: something is there,
 * or is used still; then it stays in the slot.
 */
CELL_API MUST_CHECK enum status reclaimable_fill(struct reclaimable *place, own_drop_t drop,
                                                 void **slot,
                                                 struct reclaimable_reference *out_reference);
#define RECLAIMABLE_FILL(type, place, name, out_reference) \
    reclaimable_fill(place, (own_drop_t)type##_drop, (void **)SLOT(name), out_reference)

/* ERR_CLOSED: it is gone. */
CELL_API enum status reclaimable_use_begin(struct reclaimable_reference reference,
                                           struct reclaimable_use **out) OWN_ACQUIRES(**out);

/* The thing, borrowed as long as it is used. */
CELL_API void *reclaimable_use_thing(const struct reclaimable_use *use) OWN_BORROWS(*use);

/* Has it been revoked since? Then the sooner the use ends the better. */
CELL_API bool reclaimable_is_gone(const struct reclaimable_use *use) OWN_BORROWS(*use);

/*
 * Nobody begins to use it any more; it is released now, or when the last use ends. False: it was
 * gone before, or nothing was there.
 */
CELL_API bool reclaimable_revoke(struct reclaimable *place);

/*
 * Moves the thing to `*out`, which is empty; references are gone. ERR_NOT_FOUND: nothing is there.
 * ERR_BUSY: somebody uses it.
 */
CELL_API MUST_CHECK enum status reclaimable_take(struct reclaimable *place, void **out);

/* Is something there that can be used? */
static inline bool reclaimable_is_there(const struct reclaimable *place)
{
    return __atomic_load_n(&place->state, __ATOMIC_RELAXED) & 1;
}

/* ---- when memory is short ---- */

/* A cache that gives back what it can: returns how many things that were. It may be called in any
 * task. */
struct reclaimable_cache {
    struct reclaimable_cache *next;
    const char *name;
    uint64_t (*reclaim)(void);
};

/*
 * The caller's storage, for good: its cell stays. Does nothing if it is registered; one caller at a
 * time.
 */
CELL_API void reclaimable_register(struct reclaimable_cache *cache);

/*
 * Asks all caches; how many things were given back. Who gets more than 0 tries again what has
 * failed.
 */
CELL_API uint64_t reclaimable_relieve(void);
