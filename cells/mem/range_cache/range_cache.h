/* SPDX-License-Identifier: MIT */
/*
 * range_cache.h - single numbers, in front of a range_tree.
 *
 * Why: most requests are for one frame or one page, and most of what goes back is one. They need no
 * tree: what came back alone is a stack, and when that is empty numbers are cut from the front of a
 * *run* that was taken from the tree at once. Both take some ten instructions, however many ranges
 * are free. What lies here counts as free.
 *
 * Rules: the owner of the tree owns this too. Numbers here cannot be found by place or by size, so
 * before he calls anything unavailable he empties it into the tree (pop, then range_tree_give), which
 * is O(log n) for each number that came back since the last time. Nodes are the first field of their
 * descriptors.
 */
#pragma once

#include "range_tree.h"

/* Numbers in a run: an operation on the tree is shared by so many requests. */
#define RANGE_CACHE_RUN 64u

struct range_cache {
    struct range_node *top; /* of what came back alone, linked by `left` */
    struct range_node *run; /* or NULL */
    uint64_t count;         /* numbers in both */
};

/* Keeps a node of one number; false when it is not one. */
static inline bool range_cache_push(struct range_cache *cache, struct range_node *node)
{
    if (node->range.count != 1) {
        return false;
    }
    node->left = cache->top;
    cache->top = node;
    cache->count++;
    return true;
}

/*
 * How many numbers to take from the tree for a run, 0 if it has none. Every operation on the tree costs
 * the same, so a range too short for a whole run is used up last, or by a request of its own size.
 */
static inline uint64_t range_cache_run_count(const struct range_tree *tree)
{
    uint64_t largest = tree->root ? tree->root->largest : 0;
    return largest < RANGE_CACHE_RUN ? largest : RANGE_CACHE_RUN;
}

/* Keeps what was taken from the tree to be cut up. There must be no run. */
static inline void range_cache_set_run(struct range_cache *cache, struct range_node *node)
{
    cache->run = node;
    cache->count += node->range.count;
}

/* The rest of the run, or NULL. */
static inline struct range_node *range_cache_pop_run(struct range_cache *cache)
{
    struct range_node *node = cache->run;
    if (node) {
        cache->run = NULL;
        cache->count -= node->range.count;
    }
    return node;
}

/* How many ranges these are, if none is joined. */
static inline uint64_t range_cache_ranges(const struct range_cache *cache)
{
    return cache->run ? cache->count - cache->run->range.count + 1 : cache->count;
}

/* Any node that is here, or NULL: to empty it. */
static inline struct range_node *range_cache_pop(struct range_cache *cache)
{
    struct range_node *node = cache->top;
    if (!node) {
        return range_cache_pop_run(cache);
    }
    cache->top = node->left;
    cache->count--;
    return node;
}

/*
 * A node of one number: what came back last, or the first of the run. NULL when there is neither, or
 * no descriptor: `get` is asked for one where the run is cut.
 */
static inline struct range_node *range_cache_take(struct range_cache *cache, void *(*get)(void))
{
    struct range_node *run = cache->run;
    if (cache->top || !run || run->range.count == 1) {
        return range_cache_pop(cache);
    }
    struct range_node *node = get();
    if (node) {
        node->range = (struct range){.start = run->range.start, .count = 1};
        run->range.start++;
        run->range.count--;
        cache->count--;
    }
    return node;
}
