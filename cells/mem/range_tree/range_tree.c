/* SPDX-License-Identifier: MIT */
/*
 * An AVL tree, so the height is at most 1.44 log2(n): 92 for as many nodes as there can be. A
 * change walks down once and records the links that it passes; the way back up mends heights,
 * balance and `largest`. What is taken, what stays and what is joined is decided by the cell
 * `range`, which is proven; here is only where it hangs. When a range only shrinks or grows at an
 * end, the order of nodes stays and nothing has to be rotated, which is what nearly every request
 * comes to.
 */
#include "range_tree.h"

CELL(library, "1.0.0");

#define MAX_HEIGHT 96

struct path {
    struct range_node **links[MAX_HEIGHT]; /* from the root's link down to the one of interest */
    unsigned length;
};

/* Notes a word where somebody wants that, and writes it. */
#define SET(tree, variable, value)                                  \
    do {                                                            \
        __typeof__(variable) value_ = (value);                      \
        if ((tree)->undo) {                                         \
            undo_note((tree)->undo, &(variable), sizeof(variable)); \
        }                                                           \
        (variable) = value_;                                        \
        COMPILER_BARRIER();                                         \
    } while (0)

static uint32_t height_of(const struct range_node *node)
{
    return node ? node->height : 0;
}

static uint64_t largest_of(const struct range_node *node)
{
    return node ? node->largest : 0;
}

static void measure(const struct range_node *node, uint32_t *out_height, uint64_t *out_largest)
{
    uint32_t left = height_of(node->left);
    uint32_t right = height_of(node->right);
    uint64_t largest = node->range.count;
    if (largest_of(node->left) > largest) {
        largest = largest_of(node->left);
    }
    if (largest_of(node->right) > largest) {
        largest = largest_of(node->right);
    }
    *out_height = (left > right ? left : right) + 1;
    *out_largest = largest;
}

static void mend(struct range_tree *tree, struct range_node *node)
{
    uint32_t height;
    uint64_t largest;
    measure(node, &height, &largest);
    if (node->height != height) {
        SET(tree, node->height, height);
    }
    if (node->largest != largest) {
        SET(tree, node->largest, largest);
    }
}

static struct range_node *rotate_right(struct range_tree *tree, struct range_node *node)
{
    struct range_node *top = node->left;
    SET(tree, node->left, top->right);
    SET(tree, top->right, node);
    mend(tree, node);
    mend(tree, top);
    return top;
}

static struct range_node *rotate_left(struct range_tree *tree, struct range_node *node)
{
    struct range_node *top = node->right;
    SET(tree, node->right, top->left);
    SET(tree, top->left, node);
    mend(tree, node);
    mend(tree, top);
    return top;
}

/* The root of this subtree, in balance again after one change below it. */
static struct range_node *balance(struct range_tree *tree, struct range_node *node)
{
    int lean = (int)height_of(node->left) - (int)height_of(node->right);
    if (lean > 1) {
        if (height_of(node->left->left) < height_of(node->left->right)) {
            SET(tree, node->left, rotate_left(tree, node->left));
        }
        return rotate_right(tree, node);
    }
    if (lean < -1) {
        if (height_of(node->right->right) < height_of(node->right->left)) {
            SET(tree, node->right, rotate_right(tree, node->right));
        }
        return rotate_left(tree, node);
    }
    mend(tree, node);
    return node;
}

static void balance_path(struct range_tree *tree, const struct path *path)
{
    for (unsigned i = path->length; i > 0; i--) {
        struct range_node **link = path->links[i - 1];
        struct range_node *top = *link ? balance(tree, *link) : NULL;
        if (top != *link) {
            SET(tree, *link, top);
        }
    }
}

/* After a change of the last node's range alone: where a node stays as it was, so do those above.
 */
static void mend_path(struct range_tree *tree, const struct path *path)
{
    for (unsigned i = path->length; i > 0; i--) {
        struct range_node *node = *path->links[i - 1];
        uint64_t largest = node->largest;
        mend(tree, node);
        if (node->largest == largest) {
            break;
        }
    }
}

/* Records the way to the node that starts at `start`, or to the free link where it would be. */
static void find_path(struct range_tree *tree, uint64_t start, struct path *path)
{
    struct range_node **link = &tree->root;
    path->length = 0;
    path->links[path->length++] = link;
    while (*link && (*link)->range.start != start) {
        link = start < (*link)->range.start ? &(*link)->left : &(*link)->right;
        path->links[path->length++] = link;
    }
}

static void insert(struct range_tree *tree, struct range_node *node)
{
    struct path path;
    find_path(tree, node->range.start, &path);
    node->left = NULL; /* links and the rest mean nothing so far */
    node->right = NULL;
    SET(tree, *path.links[path.length - 1], node);
    balance_path(tree, &path);
    SET(tree, tree->ranges, tree->ranges + 1);
}

/* Takes the node at the end of `path` out of the tree. */
static void remove_at(struct range_tree *tree, struct path *path)
{
    struct range_node **link = path->links[path->length - 1];
    struct range_node *node = *link;
    SET(tree, tree->ranges, tree->ranges - 1);
    if (!node->left || !node->right) {
        SET(tree, *link, node->left ? node->left : node->right);
        balance_path(tree, path);
        return;
    }
    /* Its place is taken by the next higher node, which has no left child. */
    unsigned place = path->length;
    struct range_node **at = &node->right;
    path->links[path->length++] = at;
    while ((*at)->left) {
        at = &(*at)->left;
        path->links[path->length++] = at;
    }
    struct range_node *heir = *at;
    SET(tree, *at, heir->right);
    SET(tree, heir->left, node->left);
    SET(tree, heir->right, node->right);
    SET(tree, *link, heir);
    path->links[place] = &heir->right; /* the link below was in the node that left */
    balance_path(tree, path);
}

static void set_range(struct range_tree *tree, struct range_node *node, struct range range)
{
    SET(tree, node->range.start, range.start);
    SET(tree, node->range.count, range.count);
}

/*
 * Cuts `wanted` out of the node at the end of `path`, which contains it. The node itself is handed
 * out when all of it is wanted; otherwise it keeps what is below (or above), and spares serve for
 * the rest.
 */
static struct range_node *cut(struct range_tree *tree, struct path *path, struct range wanted,
                              struct range_node *spare[2])
{
    struct range_node *node = *path->links[path->length - 1];
    struct range below;
    struct range above;
    range_cut(node->range, wanted, &below, &above);
    SET(tree, tree->total, tree->total - wanted.count);
    if (below.count == 0 && above.count == 0) {
        remove_at(tree, path);
        return node;
    }
    struct range_node *taken = spare[0];
    SET(tree, spare[0], spare[1]);
    SET(tree, spare[1], NULL);
    set_range(tree, taken, wanted);
    set_range(tree, node, below.count > 0 ? below : above);
    mend_path(tree, path);
    if (below.count > 0 && above.count > 0) {
        struct range_node *rest = spare[0];
        SET(tree, spare[0], NULL);
        set_range(tree, rest, above);
        insert(tree, rest);
    }
    return taken;
}

/* Records the way to the lowest range of at least `count`. False when there is none. */
static bool find_size(struct range_tree *tree, uint64_t count, struct path *path)
{
    struct range_node **link = &tree->root;
    path->length = 0;
    if (largest_of(*link) < count) {
        return false;
    }
    for (;;) {
        struct range_node *node = *link;
        path->links[path->length++] = link;
        if (largest_of(node->left) >= count) {
            link = &node->left;
        } else if (node->range.count >= count) {
            return true;
        } else {
            link = &node->right;
        }
    }
}

static bool find_size_top(struct range_tree *tree, uint64_t count, struct path *path)
{
    struct range_node **link = &tree->root;
    path->length = 0;
    if (largest_of(*link) < count) {
        return false;
    }
    for (;;) {
        struct range_node *node = *link;
        path->links[path->length++] = link;
        if (largest_of(node->right) >= count) {
            link = &node->right;
        } else if (node->range.count >= count) {
            return true;
        } else {
            link = &node->left;
        }
    }
}

/* Looks at every range that is long enough, from below. O(n) at worst. */
static bool find_aligned(struct range_tree *tree, uint64_t count, uint64_t alignment,
                         struct path *path, struct range *fit)
{
    uint64_t from = 0;
    for (;;) {
        struct range_node *node = range_tree_next(tree, from);
        if (!node) {
            return false;
        }
        if (range_fit(node->range, count, alignment, fit)) {
            find_path(tree, node->range.start, path);
            return true;
        }
        from = node->range.start + node->range.count; /* ranges do not touch: this is no start */
    }
}

enum status range_tree_take(struct range_tree *tree, uint64_t count, uint64_t alignment,
                            struct range_node *spare[2], struct range_node **out_taken)
{
    struct path path;
    struct range fit;
    if (count == 0 || alignment == 0 || (alignment & (alignment - 1))) {
        return ERR_INVALID_ARGUMENT;
    }
    if (count > UINT64_MAX - alignment) {
        return ERR_NOT_FOUND;
    }
    if (find_size(tree, count + alignment - 1, &path)) {
        (void)range_fit((*path.links[path.length - 1])->range, count, alignment, &fit);
    } else if (alignment == 1 || !find_aligned(tree, count, alignment, &path, &fit)) {
        return ERR_NOT_FOUND;
    }
    *out_taken = cut(tree, &path, fit, spare);
    return OK;
}

enum status range_tree_take_top(struct range_tree *tree, uint64_t count,
                                struct range_node *spare[2], struct range_node **out_taken)
{
    struct path path;
    if (count == 0) {
        return ERR_INVALID_ARGUMENT;
    }
    if (!find_size_top(tree, count, &path)) {
        return ERR_NOT_FOUND;
    }
    struct range top = range_top((*path.links[path.length - 1])->range, count);
    *out_taken = cut(tree, &path, top, spare);
    return OK;
}

enum status range_tree_take_at(struct range_tree *tree, struct range wanted,
                               struct range_node *spare[2], struct range_node **out_taken)
{
    if (!range_is_valid(wanted)) {
        return ERR_INVALID_ARGUMENT;
    }
    const struct range_node *node = range_tree_find(tree, wanted.start);
    if (!node || !range_contains(node->range, wanted)) {
        return ERR_NOT_FOUND;
    }
    struct path path;
    find_path(tree, node->range.start, &path);
    *out_taken = cut(tree, &path, wanted, spare);
    return OK;
}

/* The node that starts last before `number`, or NULL. */
static struct range_node *find_below(const struct range_tree *tree, uint64_t number)
{
    struct range_node *best = NULL;
    for (struct range_node *node = tree->root; node;) {
        if (node->range.start < number) {
            best = node;
            node = node->right;
        } else {
            node = node->left;
        }
    }
    return best;
}

struct range_node *range_tree_next(const struct range_tree *tree, uint64_t number)
{
    struct range_node *best = NULL;
    for (struct range_node *node = tree->root; node;) {
        if (node->range.start >= number) {
            best = node;
            node = node->left;
        } else {
            node = node->right;
        }
    }
    return best;
}

struct range_node *range_tree_find(const struct range_tree *tree, uint64_t number)
{
    struct range_node *node = tree->root;
    while (node) {
        if (number < node->range.start) {
            node = node->left;
        } else if (number - node->range.start < node->range.count) {
            return node;
        } else {
            node = node->right;
        }
    }
    return NULL;
}

enum status range_tree_give(struct range_tree *tree, struct range_node *node,
                            struct range_node *unused[2])
{
    const struct range none = {0};
    struct range given = node->range;
    if (!range_is_valid(given)) {
        return ERR_INVALID_ARGUMENT;
    }
    struct range_node *below = find_below(tree, given.start);
    struct range_node *above = range_tree_next(tree, given.start);
    struct range_merged merged;
    enum status status =
        range_merge(below ? below->range : none, given, above ? above->range : none, &merged);
    if (status != OK) {
        return status;
    }
    struct path path;
    SET(tree, unused[0], merged.joins_below || merged.joins_above ? node : NULL);
    SET(tree, unused[1], NULL);
    SET(tree, tree->total, tree->total + given.count);
    if (merged.joins_below && merged.joins_above) {
        SET(tree, unused[1], above);
        find_path(tree, above->range.start, &path);
        remove_at(tree, &path);
        SET(tree, above->range.count, 0);
    }
    if (unused[0]) {
        /* The order of nodes is the same: what is in between was free of numbers. */
        struct range_node *heir = merged.joins_below ? below : above;
        find_path(tree, heir->range.start, &path);
        set_range(tree, heir, merged.range);
        mend_path(tree, &path);
        SET(tree, node->range.count, 0);
    } else {
        insert(tree, node);
    }
    return OK;
}

/* One node against its subtrees, and against the range before it in order. */
static bool is_sound(const struct range_node *node, const struct range_node *before)
{
    int lean = (int)height_of(node->left) - (int)height_of(node->right);
    uint32_t height;
    uint64_t largest;
    measure(node, &height, &largest);
    bool is_ordered = !before || (before->range.start < node->range.start &&
                                  !range_overlaps(before->range, node->range) &&
                                  !range_touches(before->range, node->range));
    return is_ordered && lean >= -1 && lean <= 1 && height == node->height &&
           largest == node->largest && range_is_valid(node->range);
}

bool range_tree_is_whole(const struct range_tree *tree)
{
    const struct range_node *stack[MAX_HEIGHT];
    unsigned depth = 0;
    const struct range_node *before = NULL;
    uint64_t total = 0;
    uint64_t ranges = 0;
    for (const struct range_node *node = tree->root; node || depth > 0; node = node->right) {
        for (; node && depth < MAX_HEIGHT; node = node->left) {
            stack[depth++] = node;
        }
        node = stack[--depth];
        if (!is_sound(node, before)) {
            return false;
        }
        before = node;
        total += node->range.count;
        ranges++;
    }
    return total == tree->total && ranges == tree->ranges;
}
