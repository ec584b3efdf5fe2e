/* SPDX-License-Identifier: MIT */
/*
 * range_cache.h - single numbers, in front of a range_tree.
 *
 * Why: most requests are for one frame or one page, and most of what goes back is one. They need no
 * tree and no lock: what came back alone is a free_stack, and when that is empty numbers are cut from
 * the front of a *run* that was taken from the tree at once. Both take some twenty instructions, however
 * many ranges are free and however many CPUs ask. What lies here counts as free.
 *
 * Rules: the owner of the tree owns this too. Functions that end in _locked need his lock; the others
 * are for any CPU in any context. Numbers here cannot be found by place or by size, so before he calls
 * anything unavailable he empties it into the tree (pop, then range_tree_give), which is O(log n) for
 * each number that came back since the last time. Nodes are the first field of their descriptors, whose
 * memory stays.
 */
#pragma once

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
    struct range_node *node;   /* of the run, by the lock: it becomes the run's last number */
};

/* ---- without the lock ---- */

/* Keeps a node of one number; false when it is not one. */
static inline bool range_cache_push(struct range_cache *cache, struct range_node *node)
{
    if (node->range.count != 1) {
        return false;
    }
    free_stack_push(&cache->singles, (struct free_link *)&node->left);
    return true;
}

/* A node that came back alone, or NULL. */
static inline struct range_node *range_cache_pop(struct range_cache *cache)
{
    struct free_link *link = free_stack_pop(&cache->singles);
    return link ? CONTAINER_OF((struct range_node **)link, struct range_node, left) : NULL;
}

static inline uint64_t range_cache_run_left(const struct range_cache *cache)
{
    return __atomic_load_n(&cache->run, __ATOMIC_RELAXED) & RANGE_CACHE_COUNT_MASK;
}

/* Numbers in both. */
static inline uint64_t range_cache_count(const struct range_cache *cache)
{
    return free_stack_count(&cache->singles) + range_cache_run_left(cache);
}

/* How many ranges these are, if none is joined. */
static inline uint64_t range_cache_ranges(const struct range_cache *cache)
{
    return free_stack_count(&cache->singles) + (range_cache_run_left(cache) > 0);
}

/*
 * A node of one number: what came back last, or the first of the run. NULL when there is neither, or
 * only the last number of a run, or no descriptor: `get` is asked for one where the run is cut, and gets
 * it back through `put` where somebody else was quicker.
 */
static inline struct range_node *range_cache_take(struct range_cache *cache, void *(*get)(void),
                                                  void (*put)(void *))
{
    struct range_node *node = range_cache_pop(cache);
    uint64_t run = __atomic_load_n(&cache->run, __ATOMIC_RELAXED);
    if (node || (run & RANGE_CACHE_COUNT_MASK) < 2 || !(node = get())) {
        return node;
    }
    do {
        if ((run & RANGE_CACHE_COUNT_MASK) < 2) {
            put(node);
            return NULL;
        }
    } while (!__atomic_compare_exchange_n(&cache->run, &run,
                                          run + (1ull << RANGE_CACHE_COUNT_BITS) - 1, false,
                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    node->range = (struct range){.start = run >> RANGE_CACHE_COUNT_BITS, .count = 1};
    return node;
}

/* ---- with the lock ---- */

/*
 * How many numbers to take from the tree for a run, 0 if it has none. Every operation on the tree costs
 * the same, so a range too short for a whole run is used up last, or by a request of its own size.
 */
static inline uint64_t range_cache_run_count_locked(const struct range_tree *tree)
{
    uint64_t largest = tree->root ? tree->root->largest : 0;
    return largest < RANGE_CACHE_RUN ? largest : RANGE_CACHE_RUN;
}

/* Keeps what was taken from the tree to be cut up. There must be no run. */
static inline void range_cache_set_run_locked(struct range_cache *cache, struct range_node *node)
{
    cache->node = node;
    __atomic_store_n(&cache->run, node->range.start << RANGE_CACHE_COUNT_BITS | node->range.count,
                     __ATOMIC_RELAXED);
}

/* The rest of the run, or NULL. */
static inline struct range_node *range_cache_pop_run_locked(struct range_cache *cache)
{
    uint64_t run = __atomic_exchange_n(&cache->run, 0, __ATOMIC_RELAXED);
    if (!run) {
        return NULL;
    }
    cache->node->range = (struct range){
        .start = run >> RANGE_CACHE_COUNT_BITS,
        .count = run & RANGE_CACHE_COUNT_MASK,
    };
    return cache->node;
}

/* The run, if it is its last number, else NULL. */
static inline struct range_node *range_cache_pop_last_locked(struct range_cache *cache)
{
    return range_cache_run_left(cache) == 1 ? range_cache_pop_run_locked(cache) : NULL;
}
