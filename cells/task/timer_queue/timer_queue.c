/* SPDX-License-Identifier: MIT */
/*
 * A pairing heap: a tree in which no child is earlier than its parent. Two trees are joined by
 * making the later root the first child of the earlier one. What loses its parent is joined in
 * pairs from left to right, then the pairs from right to left (Fredman, Sedgewick, Sleator, Tarjan,
 * 1986).
 */
#include "timer_queue.h"

CELL(library, "1.0.0");

/* Joins two trees, either may be NULL; the result's link and sibling are the caller's to set. */
static struct timer_entry *join(struct timer_entry *left, struct timer_entry *right)
{
    if (!left || !right) {
        return left ? left : right;
    }
    struct timer_entry *early = right->deadline < left->deadline ? right : left;
    struct timer_entry *late = early == left ? right : left;
    late->sibling = early->child;
    if (late->sibling) {
        late->sibling->link = &late->sibling;
    }
    late->link = &early->child;
    early->child = late;
    return early;
}

/* One tree of a list of siblings. */
static struct timer_entry *join_all(struct timer_entry *list)
{
    struct timer_entry *pairs = NULL; /* newest first */
    while (list) {
        struct timer_entry *left = list;
        struct timer_entry *right = left->sibling;
        list = right ? right->sibling : NULL;
        struct timer_entry *pair = join(left, right);
        pair->sibling = pairs;
        pairs = pair;
    }
    struct timer_entry *tree = NULL;
    while (pairs) {
        struct timer_entry *rest = pairs->sibling;
        tree = join(tree, pairs);
        pairs = rest;
    }
    return tree;
}

static void set_root(struct timer_queue *queue, struct timer_entry *root)
{
    queue->earliest = root;
    if (root) {
        root->sibling = NULL;
        root->link = &queue->earliest;
    }
}

void timer_queue_add(struct timer_queue *queue, struct timer_entry *entry)
{
    entry->child = NULL;
    entry->sibling = NULL;
    set_root(queue, join(queue->earliest, entry));
}

void timer_queue_remove(struct timer_queue *queue, struct timer_entry *entry)
{
    if (!entry->link) {
        return;
    }
    if (queue->earliest == entry) {
        set_root(queue, join_all(entry->child));
    } else {
        *entry->link = entry->sibling;
        if (entry->sibling) {
            entry->sibling->link = entry->link;
        }
        set_root(queue, join(queue->earliest, join_all(entry->child)));
    }
    entry->link = NULL;
    entry->child = NULL;
    entry->sibling = NULL;
}

struct timer_entry *timer_queue_take_expired(struct timer_queue *queue, uint64_t now)
{
    struct timer_entry *entry = queue->earliest;
    if (!entry || entry->deadline > now) {
        return NULL;
    }
    timer_queue_remove(queue, entry);
    return entry;
}
