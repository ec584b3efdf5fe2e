/* SPDX-License-Identifier: MIT */
/*
 * range_tree.h - a set of numbers as a balanced tree of ranges.
 *
 * Why: what is free must be found by size, by place and by neighbour, in O(log n), before there is
 * a heap. A node is the range's *descriptor*: while the range is free its node is in the tree, and
 * when it is taken the very node becomes the owner's handle. So the tree knows what is free and
 * nobody keeps a table of what is not.
 *
 * Rules: the caller owns all nodes and the locking. Ranges in the tree neither overlap nor touch.
 * No recursion, no allocation: functions that need a node more take it from the caller, those that
 * need one less give it back. O(log n) unless said otherwise. Any context. Where `undo` says so
 * every change is noted before it is made (undo.h): of the tree, of its nodes, and of `spare` and
 * `unused`, which are then variables that live as long as the notes. The count of a node that is a
 * spare, or not needed any more, is 0.
 */
#pragma once

#include "range.h"
#include "undo.h"

struct range_node {
    struct range_node *left; /* links mean nothing while the node is not in a tree */
    struct range range;
    struct range_node *right;
    uint64_t largest; /* the longest range in this subtree */
    uint32_t height;  /* of this subtree; 1 for a leaf */
    uint32_t owner;   /* for the owner of the node; the tree does not touch it */
};

struct range_tree {
    struct range_node *root;
    uint64_t total; /* numbers in the set */
    uint64_t ranges;
    struct undo *undo; /* where changes are noted; NULL: nowhere */
};

/* Room for the notes of one operation on a tree of 2^24 ranges, whose height is 35 at most: each
 * level is turned twice at worst, which writes 14 words. */
#define RANGE_TREE_NOTES 512u

/*
 * Takes the lowest `count` consecutive numbers whose first is a multiple of `alignment` (a power of
 * two), writes the node that now describes them to *out_taken and returns OK. `*spare` is a node
 * that may be used up, then it is NULL; with an alignment above 1 a second one may be needed:
 * spare[0] and spare[1]. ERR_NOT_FOUND: nothing changed.
 *
 * With an alignment, a range that holds `count + alignment - 1` is looked for first, in O(log n);
 * only when there is none are all ranges of at least `count` looked at.
 */
CELL_API MUST_CHECK enum status range_tree_take(struct range_tree *tree, uint64_t count,
                                                uint64_t alignment, struct range_node *spare[2],
                                                struct range_node **out_taken);

/* Takes exactly these numbers. ERR_NOT_FOUND, and nothing changed, when not all are in the set. */
CELL_API MUST_CHECK enum status range_tree_take_at(struct range_tree *tree, struct range wanted,
                                                   struct range_node *spare[2],
                                                   struct range_node **out_taken);

/* As range_tree_take(), without alignment, but the highest numbers there are. */
CELL_API MUST_CHECK enum status range_tree_take_top(struct range_tree *tree, uint64_t count,
                                                    struct range_node *spare[2],
                                                    struct range_node **out_taken);

/*
 * Puts a node's range into the set, merged with its neighbours. Nodes that are not needed any more,
 * two at most, are written to `unused`, the rest of which is NULL. ERR_EXISTS, and nothing changed,
 * when one of the numbers is in the set already; ERR_INVALID_ARGUMENT when the range is not valid.
 */
CELL_API MUST_CHECK enum status range_tree_give(struct range_tree *tree, struct range_node *node,
                                                struct range_node *unused[2]);

/* The node whose range holds `number`, or NULL. */
CELL_API struct range_node *range_tree_find(const struct range_tree *tree, uint64_t number);

/* The node with the lowest range that starts at or above `number`, or NULL. */
CELL_API struct range_node *range_tree_next(const struct range_tree *tree, uint64_t number);

/* Are order, balance, sizes and counts what they must be? O(n); for tests and debugging. */
CELL_API bool range_tree_is_whole(const struct range_tree *tree);
