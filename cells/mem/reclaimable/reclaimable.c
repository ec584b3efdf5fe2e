/* SPDX-License-Identifier: MIT */
/*
 * A place goes from state to state by one exchange each, of the whole word:
 *
 *      empty       0 users, not there      fill
 *      there       any users, there        use, end of a use, revoke, take
 *      gone        1 or more, not there    the end of a use
 *
 * Who revokes or takes becomes a user by that exchange, so that there is always somebody who leaves
 * last. The last user of what is gone has it for himself: nobody can come. He releases the thing
 * first, by a drop that may be begun again, and leaves then.
 */
#include "reclaimable.h"
#include "commit.h"

CELL(library, "1.0.0");

#define THERE 1ull
#define USER  2ull
#define USERS 0xfffffffeull

static inline uint32_t filling_of(uint64_t state)
{
    return (uint32_t)(state >> 32);
}

static inline uint64_t load(const struct reclaimable *place)
{
    return __atomic_load_n(&place->state, __ATOMIC_ACQUIRE);
}

static inline struct reclaimable *place_of(const struct reclaimable_use *use)
{
    return (struct reclaimable *)(uintptr_t)use;
}

enum status reclaimable_fill(struct reclaimable *place, own_drop_t drop, void **slot,
                             struct reclaimable_reference *out_reference)
{
    uint64_t state = load(place);
    if ((state & (THERE | USERS)) != 0) {
        return ERR_BUSY;
    }
    uint32_t filling = filling_of(state) + 1;
    place->drop = drop;
    commit_three(&place->thing, *slot, slot, NULL, &place->state, (uint64_t)filling << 32 | THERE);
    *out_reference = (struct reclaimable_reference){.place = place, .filling = filling};
    return OK;
}

OWN_UNCHECKED enum status reclaimable_use_begin(struct reclaimable_reference reference,
                                                struct reclaimable_use **out)
{
    struct reclaimable *place = reference.place;
    while (place) {
        uint64_t state = load(place);
        if (filling_of(state) != reference.filling || !(state & THERE)) {
            break;
        }
        if (commit_exchange(&place->state, state, state + USER, out, place)) {
            return OK;
        }
    }
    return ERR_CLOSED;
}

void reclaimable_use_drop(struct reclaimable_use **handle)
{
    while (*handle) {
        struct reclaimable *place = place_of(*handle);
        uint64_t state = load(place);
        uint64_t next = state - USER;
        if (!(state & THERE) && (state & USERS) == USER && place->thing) {
            place->drop(&place->thing);
        }
        if (commit_exchange(&place->state, state, next, handle, NULL)) {
            return;
        }
    }
}

void *reclaimable_use_thing(const struct reclaimable_use *use)
{
    return place_of(use)->thing;
}

bool reclaimable_is_gone(const struct reclaimable_use *use)
{
    return !reclaimable_is_there(place_of(use));
}

/* Becomes the user of what is gone from then on; false: it was not there, or `alone` and used. */
static bool make_gone(struct reclaimable *place, bool alone, struct reclaimable_use **out)
{
    for (;;) {
        uint64_t state = load(place);
        if (!(state & THERE) || (alone && (state & USERS) != 0)) {
            return false;
        }
        if (commit_exchange(&place->state, state, (state & ~THERE) + USER, out, place)) {
            return true;
        }
    }
}

bool reclaimable_revoke(struct reclaimable *place)
{
    OWNED(reclaimable_use, last);
    return make_gone(place, false, SLOT(last));
}

enum status reclaimable_take(struct reclaimable *place, void **out)
{
    OWNED(reclaimable_use, last);
    if (!make_gone(place, true, SLOT(last))) {
        return reclaimable_is_there(place) ? ERR_BUSY : ERR_NOT_FOUND;
    }
    commit_move(out, &place->thing);
    return OK;
}

/* ---- caches ---- */

static struct reclaimable_cache *caches;

void reclaimable_register(struct reclaimable_cache *cache)
{
    for (const struct reclaimable_cache *at = __atomic_load_n(&caches, __ATOMIC_ACQUIRE); at;
         at = at->next) {
        if (at == cache) {
            return;
        }
    }
    cache->next = __atomic_load_n(&caches, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&caches, &cache->next, cache, false, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED)) {
    }
}

uint64_t reclaimable_relieve(void)
{
    uint64_t count = 0;
    for (struct reclaimable_cache *at = __atomic_load_n(&caches, __ATOMIC_ACQUIRE); at;
         at = at->next) {
        count += at->reclaim();
    }
    return count;
}
