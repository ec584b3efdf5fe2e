/* SPDX-License-Identifier: MIT */
/*
 * range_cache.h - single numbers, in front of a range_tree.
 *
 * Why: most requests are for one frame or one page, and most of what goes back is one. They need no
 * tree and no lock: what came back alone is a free_stack, and when that is empty numbers are cut
 * from the front of a *run* that was taken from the tree at once. Both take some twenty
 * instructions, however many ranges are free and however many CPUs ask. What lies here counts as
 * free.
 *
 * Rules: the owner of the tree owns this too. Functions that end in _locked need his lock; the
 * others are for any CPU in any context. Numbers here cannot be found by place or by size, so
 * before he calls anything unavailable he empties it into the tree (pop, then range_tree_give),
 * which is O(log n) for each number that came back since the last time. Nodes are the beginning of
 * their descriptors, whose memory stays. A node goes from here into a variable, and back from
 * there, in one step; at every instruction one of both has it. Where a node is, its count says how
 * many numbers it stands for: none while they are in the word of the run.
 */
#pragma once

#include "commit.h"
#include "free_stack.h"
#include "range_tree.h"

/* Numbers in a run: an operation on the tree is shared by so many requests. */
#define RANGE_CACHE_RUN 64u

/* A run in a word, so that it is cut by one exchange: its first number, and how many there are. */
#define RANGE_CACHE_COUNT_BITS 7
#define RANGE_CACHE_COUNT_MASK ((1ull << RANGE_CACHE_COUNT_BITS) - 1)
static_assert(RANGE_CACHE_RUN <= RANGE_CACHE_COUNT_MASK, "fits");

struct range_cache {
    struct free_stack singles; /* linked through `left` */
    uint64_t run;              /* the word; 0 when there is none */
    struct range_node *node;   /* of the run, by the lock: it becomes what is left of it */
};
static_assert(offsetof(struct range_node, left) == 0, "where the link is, the node is");
static_assert(sizeof(((struct range_node *)0)->range.count) == 8, "stored with an exchange");

/* ---- without the lock ---- */

/*
 * Keeps a node of one number, which was in *slot. It comes out of here as it is now, and so it must
 * be fit for its next owner.
 */
static inline void range_cache_push(struct range_cache *cache, struct range_node *node, void *slot)
{
    free_stack_push_from(&cache->singles, (struct free_link *)(void *)&node->left, slot, NULL);
}

/* Puts a node that came back alone into *out, or is false. */
static inline bool range_cache_pop(struct range_cache *cache, void *out)
{
    return free_stack_pop_to(&cache->singles, out, 0);
}

static inline uint64_t range_cache_run_left(const struct range_cache *cache)
{
    return __atomic_load_n(&cache->run, __ATOMIC_RELAXED) & RANGE_CACHE_COUNT_MASK;
}

/*
 * Puts a node of one number into *out: what came back last, or the first of the run. False, and
 * *out is NULL, when there is neither, or only the last number of a run, or no descriptor: `take`
 * fills *out with one of count 0, fit for its owner, and `give` takes it back where somebody else
 * was quicker.
 */
static inline bool range_cache_take(struct range_cache *cache, void *out, bool (*take)(void *out),
                                    void (*give)(void *slot))
{
    if (range_cache_pop(cache, out)) {
        return true;
    }
    if (range_cache_run_left(cache) < 2 || !take(out)) {
        return false;
    }
    struct range_node *node = *(struct range_node **)out;
    for (;;) {
        uint64_t run = __atomic_load_n(&cache->run, __ATOMIC_RELAXED);
        if ((run & RANGE_CACHE_COUNT_MASK) < 2) {
            give(out);
            return false;
        }
        node->range.start = run >> RANGE_CACHE_COUNT_BITS;
        if (commit_exchange(&cache->run, run, run + (1ull << RANGE_CACHE_COUNT_BITS) - 1,
                            &node->range.count, 1)) {
            return true;
        }
    }
}

/* ---- with the lock ---- */

/* Of the node of the run, which are not in the word: it is on its way to or from the tree. */
static inline uint64_t range_cache_node_count_locked(const struct range_cache *cache)
{
    return cache->node ? cache->node->range.count : 0;
}

/* Numbers in all three. */
static inline uint64_t range_cache_count_locked(const struct range_cache *cache)
{
    return free_stack_count(&cache->singles) + range_cache_run_left(cache) +
           range_cache_node_count_locked(cache);
}

/* How many ranges these are, if none is joined; each has a descriptor. */
static inline uint64_t range_cache_ranges_locked(const struct range_cache *cache)
{
    return free_stack_count(&cache->singles) + (cache->node != NULL);
}

/*
 * How many numbers to take from the tree for a run, 0 if it has none. Every operation on the tree
 * costs the same, so a range too short for a whole run is used up last, or by a request of its own
 * size.
 */
static inline uint64_t range_cache_run_count_locked(const struct range_tree *tree)
{
    uint64_t largest = tree->root ? tree->root->largest : 0;
    return largest < RANGE_CACHE_RUN ? largest : RANGE_CACHE_RUN;
}

/* The numbers of `node`, which was taken from the tree, are to be cut up. There must be no run. */
static inline void range_cache_begin_run_locked(struct range_cache *cache)
{
    struct range_node *node = cache->node;
    commit_two(&cache->run, node->range.start << RANGE_CACHE_COUNT_BITS | node->range.count,
               &node->range.count, 0);
}

/*
 * Ends the run: its node, if there is one, has what is left of it, which may be nothing.
 */
static inline void range_cache_end_run_locked(struct range_cache *cache)
{
    uint64_t run;
    while ((run = __atomic_load_n(&cache->run, __ATOMIC_RELAXED)) != 0) {
        cache->node->range.start = run >> RANGE_CACHE_COUNT_BITS;
        if (commit_exchange(&cache->run, run, 0, &cache->node->range.count,
                            run & RANGE_CACHE_COUNT_MASK)) {
            return;
        }
    }
}
