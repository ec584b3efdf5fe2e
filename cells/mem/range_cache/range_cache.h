/* SPDX-License-Identifier: MIT */
/*
 * range_cache.h - single numbers that were given back lately, in front of a range_tree.
 *
 * Why: most requests are for one frame or one page, and soon after another goes back. They need no
 * tree: a stack of a few nodes answers in some ten instructions. What lies here counts as free.
 *
 * Rules: the owner of the tree owns this too. It empties the cache into the tree (pop, then
 * range_tree_give) before it calls anything unavailable, and before it looks for given numbers.
 */
#pragma once

#include "range_tree.h"

/* Enough for what one operation takes and gives; each may keep one range from growing together. */
#define RANGE_CACHE_LIMIT 32u

struct range_cache {
    struct range_node *top; /* linked by `left` */
    uint64_t count;
};

/* Keeps a node of one number. False when it is not one, or there is no room. */
static inline bool range_cache_push(struct range_cache *cache, struct range_node *node)
{
    if (node->range.count != 1 || cache->count >= RANGE_CACHE_LIMIT) {
        return false;
    }
    node->left = cache->top;
    cache->top = node;
    cache->count++;
    return true;
}

/* The node that was kept last, or NULL. */
static inline struct range_node *range_cache_pop(struct range_cache *cache)
{
    struct range_node *node = cache->top;
    if (node) {
        cache->top = node->left;
        cache->count--;
    }
    return node;
}
