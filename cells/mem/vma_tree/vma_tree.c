/* SPDX-License-Identifier: MIT */
/*
 * An AVL tree, ordered by address. Each node knows the free pages right before its area (`gap`),
 * and the largest such gap in its subtree, so that the lowest room for a new area is found on one
 * way down; the room behind the last area is `highest`.
 *
 * There are no parent links: the way down to a node is recorded, and mended from its end. A change
 * of one area changes the gap of the next one, too, and that is always on the same way: an
 * ancestor, or the one that takes the place of a removed node.
 */
#include "vma_tree.h"
#include "descriptor_pool.h"
#include "frame_allocator.h"
#include "freestanding.h"
#include "mapped_pages.h"
#include "page_allocator.h"
#include "page_table.h"

CELL(library, "1.0.0");

/* A balanced tree of all pages that there can be is not higher. */
#define HEIGHT_LIMIT 40u

struct vma {
    vaddr_t start;
    vaddr_t end;
    struct vma *left;
    struct vma *right;
    uint64_t gap;     /* free bytes before `start` */
    uint64_t largest; /* gap in this subtree */
    struct frames *frames;
    uint32_t height; /* of this subtree; 1 for a leaf */
    uint32_t flags;
};
static_assert(sizeof(struct vma) <= DESCRIPTOR_SIZE, "a descriptor");

/* The links from the root to a node; the last one points to it, or is where it would be. */
struct path {
    struct vma **links[HEIGHT_LIMIT];
    unsigned length;
};

static struct pages *window; /* owned; all areas lie in it */
static vaddr_t window_start;
static vaddr_t window_end;
static struct vma *root;
static vaddr_t highest; /* end of the last area, or window_start */
static uint64_t area_count;

/* ---- the tree ---- */

static inline uint32_t height_of(const struct vma *node)
{
    return node ? node->height : 0;
}

static inline void update(struct vma *node)
{
    uint32_t left = height_of(node->left);
    uint32_t right = height_of(node->right);
    uint64_t largest = node->gap;
    if (node->left && node->left->largest > largest) {
        largest = node->left->largest;
    }
    if (node->right && node->right->largest > largest) {
        largest = node->right->largest;
    }
    node->height = (left > right ? left : right) + 1;
    node->largest = largest;
}

static void rotate_right(struct vma **link)
{
    struct vma *node = *link;
    struct vma *up = node->left;
    node->left = up->right;
    up->right = node;
    *link = up;
    update(node);
    update(up);
}

static void rotate_left(struct vma **link)
{
    struct vma *node = *link;
    struct vma *up = node->right;
    node->right = up->left;
    up->left = node;
    *link = up;
    update(node);
    update(up);
}

static void balance(struct vma **link)
{
    struct vma *node = *link;
    int lean = (int)height_of(node->left) - (int)height_of(node->right);
    if (lean > 1) {
        if (height_of(node->left->left) < height_of(node->left->right)) {
            rotate_left(&node->left);
        }
        rotate_right(link);
    } else if (lean < -1) {
        if (height_of(node->right->right) < height_of(node->right->left)) {
            rotate_right(&node->right);
        }
        rotate_left(link);
    } else {
        update(node);
    }
}

/* From the end up; stops where nothing changes any more, above `until`. */
static void mend(struct path *path, unsigned until)
{
    for (unsigned i = path->length; i > 0; i--) {
        struct vma **link = path->links[i - 1];
        if (!*link) {
            continue;
        }
        uint32_t height = (*link)->height;
        uint64_t largest = (*link)->largest;
        struct vma *node = *link;
        balance(link);
        if (i <= until && *link == node && node->height == height && node->largest == largest) {
            return;
        }
    }
}

/*
 * The way to the first area that ends above `address`, or to where it would be. Writes the areas
 * right before and behind that place.
 */
static struct vma *find_path(vaddr_t address, struct path *path, struct vma **out_next)
{
    struct vma **link = &root;
    struct vma *next = NULL;
    path->length = 0;
    while (*link) {
        path->links[path->length++] = link;
        if (address < (*link)->start) {
            next = *link;
            link = &(*link)->left;
        } else if (address < (*link)->end) {
            *out_next = NULL;
            return *link;
        } else {
            link = &(*link)->right;
        }
    }
    path->links[path->length++] = link;
    *out_next = next;
    return NULL;
}

/* The depth of `node` in the path: at least up to there gaps may have changed. */
static unsigned depth_of(const struct path *path, const struct vma *node)
{
    for (unsigned i = path->length; i > 0; i--) {
        if (*path->links[i - 1] == node) {
            return i;
        }
    }
    return 0;
}

static struct vma *lookup(vaddr_t address)
{
    struct vma *node = root;
    while (node && (address < node->start || address >= node->end)) {
        node = address < node->start ? node->left : node->right;
    }
    return node;
}

/* The first area that ends above `address`. */
static struct vma *first_above(vaddr_t address)
{
    struct vma *found = NULL;
    for (struct vma *node = root; node;) {
        if (address < node->end) {
            found = node;
            node = node->left;
        } else {
            node = node->right;
        }
    }
    return found;
}

/* The areas right before and behind the one at `start`; NULL where there is none. */
static void find_neighbours(vaddr_t start, struct vma **out_before, struct vma **out_next)
{
    struct vma *node = root;
    struct vma *before = NULL;
    struct vma *next = NULL;
    while (node && node->start != start) {
        if (start < node->start) {
            next = node;
            node = node->left;
        } else {
            before = node;
            node = node->right;
        }
    }
    struct vma *left = node ? node->left : NULL;
    struct vma *right = node ? node->right : NULL;
    for (; left; left = left->right) {
        before = left;
    }
    for (; right; right = right->left) {
        next = right;
    }
    *out_before = before;
    *out_next = next;
}

static vaddr_t end_of_last(void)
{
    struct vma *node = root;
    while (node && node->right) {
        node = node->right;
    }
    return node ? node->end : window_start;
}

/* Puts an area where there is none. */
static void insert(struct vma *area)
{
    struct path path;
    struct vma *next;
    (void)find_path(area->start, &path, &next);
    area->left = NULL;
    area->right = NULL;
    if (next) {
        area->gap = area->start - (next->start - next->gap);
        next->gap = next->start - area->end;
    } else {
        area->gap = area->start - highest;
        highest = area->end;
    }
    *path.links[path.length - 1] = area;
    area->height = 0; /* update() always finds a change here */
    mend(&path, next ? depth_of(&path, next) - 1 : path.length - 1);
    area_count++;
}

/* Takes the first area that ends above `address` out: it begins at or below it. */
static void remove(struct vma *area)
{
    struct path path;
    struct vma *next;
    (void)find_path(area->start, &path, &next);
    unsigned place = path.length - 1;
    struct vma **link = path.links[place];
    uint64_t room = area->gap + (area->end - area->start);
    area_count--;
    if (!area->right) {
        *link = area->left;
        for (unsigned i = place; i > 0 && !next; i--) { /* the last turn to the left */
            if (&(*path.links[i - 1])->left == path.links[i]) {
                next = *path.links[i - 1];
            }
        }
    } else {
        struct vma **at = &area->right;
        while ((*at)->left) {
            path.links[path.length++] = at;
            at = &(*at)->left;
        }
        next = *at;
        if (at == &area->right) {
            next->left = area->left;
            *link = next;
        } else {
            *at = next->right;
            next->left = area->left;
            next->right = area->right;
            *link = next;
            path.links[place + 1] = &next->right; /* the link was in the node that left */
        }
    }
    if (next) {
        next->gap += room;
    }
    mend(&path, 0);
    if (!next) {
        highest = end_of_last();
    }
}

/* Moves the end of an area, and with it the gap behind it. */
static void set_end(struct vma *area, vaddr_t end)
{
    vaddr_t old = area->end;
    area->end = end;
    struct vma *next = first_above(old > end ? old : end);
    if (!next) {
        highest = end;
        return;
    }
    struct path path;
    struct vma *unused;
    next->gap = next->start - end;
    (void)find_path(next->start, &path, &unused);
    mend(&path, path.length - 1);
}

/* The lowest room for `bytes`, or 0. */
static vaddr_t find_room(uint64_t bytes)
{
    if (!root || root->largest < bytes) {
        return window_end - highest >= bytes ? highest : 0;
    }
    struct vma *node = root;
    for (;;) {
        if (node->left && node->left->largest >= bytes) {
            node = node->left;
        } else if (node->gap >= bytes) {
            return node->start - node->gap;
        } else {
            node = node->right;
        }
    }
}

static bool is_free(vaddr_t start, uint64_t bytes)
{
    if (start < window_start || start >= window_end || bytes > window_end - start) {
        return false;
    }
    const struct vma *next = first_above(start);
    return !next || next->start >= start + bytes;
}

/* ---- areas ---- */

/*
 * Frames and areas have descriptors. mapped_pages adds to the pool when it runs low, so something
 * is mapped for a moment when it does.
 */
static void refill_descriptors(void)
{
    if (UNLIKELY(descriptor_pool_available() < DESCRIPTOR_RESERVE)) {
        OWNED(mapped_pages, pages);
        (void)!mapped_pages_create(PAGE_ZONE_DATA, PAGE_SIZE, PAGE_READ, SLOT(pages));
    }
}

/* Cuts the area that contains `address`, unless it begins there. */
OWN_UNCHECKED static enum status split(struct vma *area, vaddr_t address)
{
    struct vma *rest = descriptor_pool_get();
    if (!rest) {
        return ERR_NO_MEMORY;
    }
    *rest = (struct vma){.start = address, .end = area->end, .flags = area->flags};
    enum status status = page_table_cut(address);
    if (status == OK) {
        status = frames_split(area->frames, (address - area->start) >> PAGE_SHIFT, &rest->frames);
    }
    if (status != OK) {
        descriptor_pool_put(rest);
        return status;
    }
    set_end(area, address);
    insert(rest);
    return OK;
}

/* The area that begins at or behind `start`, after one that contains it has been cut. */
static enum status cut_at(vaddr_t start, struct vma **out_area)
{
    struct vma *area = first_above(start);
    if (area && area->start < start) {
        enum status status = split(area, start);
        if (status != OK) {
            return status;
        }
        area = lookup(start);
    }
    *out_area = area;
    return OK;
}

/* Joins an area with the next one, where they touch and are alike. */
OWN_UNCHECKED static void join(struct vma *area, struct vma *next)
{
    if (!area || !next || area->end != next->start || next->flags != area->flags) {
        return;
    }
    vaddr_t end = next->end;
    remove(next);
    (void)!frames_merge(area->frames, &next->frames); /* all RAM: cannot fail */
    descriptor_pool_put(next);
    set_end(area, end);
}

static void join_neighbours(struct vma *area)
{
    struct vma *before;
    struct vma *next;
    find_neighbours(area->start, &before, &next);
    join(area, next);
    join(before, area);
}

/* ---- exported ---- */

static enum status check(uint64_t bytes, vaddr_t start, unsigned flags)
{
    if (!window) {
        return ERR_STATE;
    }
    if (bytes == 0 || bytes > VMA_TREE_BYTES || (flags & ~(unsigned)PAGE_FLAGS_ALL)) {
        return ERR_INVALID_ARGUMENT;
    }
    if (!page_is_aligned(bytes) || !page_is_aligned(start)) {
        return ERR_MISALIGNED;
    }
    return (flags & PAGE_WRITE) && (flags & PAGE_EXECUTE) ? ERR_PERMISSION : OK;
}

/* Maps each range of the frames to be cleared, clears it, and then allows what was asked for. */
OWN_UNCHECKED static enum status map_frames(vaddr_t start, struct frames *frames, unsigned flags)
{
    const struct frames *range = NULL;
    paddr_t frame;
    uint64_t count;
    vaddr_t at = start;
    while (frames_next_range(frames, &range, &frame, &count)) {
        enum status status = page_table_map(at, frame, count, PAGE_WRITE);
        if (status != OK) {
            if (at > start) {
                (void)!page_table_unmap(start, (at - start) >> PAGE_SHIFT);
            }
            return status;
        }
        memset((void *)at, 0, count << PAGE_SHIFT);
        at += count << PAGE_SHIFT;
    }
    frames_set_clean(frames);
    if (flags == PAGE_WRITE) {
        return OK;
    }
    return page_table_protect(start, (at - start) >> PAGE_SHIFT, flags);
}

enum status vma_tree_map(vaddr_t hint, uint64_t bytes, unsigned flags, vaddr_t *out_start)
{
    enum status status = check(bytes, hint, flags);
    if (status != OK) {
        return status;
    }
    vaddr_t start = hint != 0 && is_free(hint, bytes) ? hint : find_room(bytes);
    if (start == 0) {
        return ERR_NO_ADDRESS_SPACE;
    }
    refill_descriptors();
    OWNED(frames, frames);
    uint64_t count = bytes >> PAGE_SHIFT;
    if (frame_allocator_take(count, 1, SLOT(frames)) != OK) {
        status = frame_allocator_take_any(count, SLOT(frames));
        if (status != OK) {
            return status;
        }
    }
    struct vma *area = descriptor_pool_get();
    if (!area) {
        return ERR_NO_MEMORY;
    }
    status = map_frames(start, REF(frames), flags);
    if (status != OK) {
        descriptor_pool_put(area);
        return status;
    }
    *area = (struct vma){.start = start, .end = start + bytes, .flags = flags};
    STORE(area->frames, frames);
    insert(area);
    join_neighbours(area);
    *out_start = start;
    return OK;
}

/* Is all of the range mapped? */
static bool is_covered(vaddr_t start, vaddr_t end)
{
    while (start < end) {
        const struct vma *area = lookup(start);
        if (!area) {
            return false;
        }
        start = area->end;
    }
    return true;
}

enum status vma_tree_remap(vaddr_t start, uint64_t bytes, unsigned flags)
{
    enum status status = check(bytes, start, flags);
    if (status != OK) {
        return status;
    }
    if (start < window_start || start >= window_end || bytes > window_end - start) {
        return ERR_NOT_FOUND;
    }
    vaddr_t end = start + bytes;
    struct vma *area = lookup(start);
    if (!area || !is_covered(area->end, end)) {
        return ERR_NOT_FOUND;
    }
    refill_descriptors();
    while (start < end) {
        if (area->start < start) {
            status = cut_at(start, &area);
        }
        if (status == OK && area->end > end) {
            status = split(area, end);
        }
        if (status != OK) {
            return status;
        }
        status = page_table_protect(area->start, (area->end - area->start) >> PAGE_SHIFT, flags);
        if (status != OK) {
            return status;
        }
        area->flags = flags;
        start = area->end;
        join_neighbours(area);
        area = start < end ? lookup(start) : NULL;
    }
    return OK;
}

enum status vma_tree_unmap(vaddr_t start, uint64_t bytes)
{
    enum status status = check(bytes, start, PAGE_READ);
    if (status != OK) {
        return status;
    }
    if (start < window_start || start >= window_end || bytes > window_end - start) {
        return ERR_NOT_FOUND;
    }
    refill_descriptors();
    vaddr_t end = start + bytes;
    for (;;) {
        struct vma *area;
        status = cut_at(start, &area);
        if (status != OK) {
            return status;
        }
        if (!area || area->start >= end) {
            return OK;
        }
        if (area->end > end) {
            status = split(area, end);
            if (status != OK) {
                return status;
            }
        }
        start = area->end;
        remove(area);
        (void)!page_table_unmap(area->start, (area->end - area->start) >> PAGE_SHIFT);
        frames_drop(&area->frames);
        descriptor_pool_put(area);
        if (start >= end) {
            return OK;
        }
    }
}

bool vma_tree_find(vaddr_t address, vaddr_t *out_start, uint64_t *out_bytes, unsigned *out_flags)
{
    const struct vma *area = lookup(address);
    if (!area) {
        return false;
    }
    *out_start = area->start;
    *out_bytes = area->end - area->start;
    *out_flags = area->flags;
    return true;
}

enum status vma_tree_init(void)
{
    if (window) {
        return ERR_STATE;
    }
    OWNED(pages, pages);
    enum status status =
        page_allocator_take(PAGE_ZONE_DATA, VMA_TREE_BYTES >> PAGE_SHIFT, 1, SLOT(pages));
    if (status != OK) {
        return status;
    }
    window_start = pages_start(REF(pages));
    window_end = window_start + VMA_TREE_BYTES;
    highest = window_start;
    STORE(window, pages);
    return OK;
}

void vma_tree_fini(void)
{
    if (window) {
        (void)!vma_tree_unmap(window_start, VMA_TREE_BYTES);
        pages_drop(&window);
    }
}

struct vma_tree_statistics vma_tree_statistics(void)
{
    return (struct vma_tree_statistics){
        .areas = area_count,
        .area_bytes = DESCRIPTOR_SIZE,
        .height = height_of(root),
    };
}

/* One node, whose subtrees have been looked at; `end` is that of the area before. */
static bool is_node_whole(const struct vma *node, vaddr_t before)
{
    struct vma copy = *node;
    update(&copy);
    int lean = (int)height_of(node->left) - (int)height_of(node->right);
    return lean >= -1 && lean <= 1 && copy.height == node->height &&
           copy.largest == node->largest && node->end > node->start && node->start >= before &&
           node->gap == node->start - before;
}

bool vma_tree_is_whole(void)
{
    const struct vma *stack[HEIGHT_LIMIT];
    unsigned depth = 0;
    uint64_t count = 0;
    vaddr_t before = window_start;
    const struct vma *node = root;
    while (node || depth > 0) {
        if (node) {
            stack[depth++] = node;
            node = node->left;
            continue;
        }
        node = stack[--depth];
        if (!is_node_whole(node, before)) {
            return false;
        }
        before = node->end;
        count++;
        node = node->right;
    }
    return count == area_count && highest == before;
}
