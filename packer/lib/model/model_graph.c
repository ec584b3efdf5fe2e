/* SPDX-License-Identifier: MIT */
/*
 * Plain graph algorithms with explicit stacks. Components are Tarjan's; implied links are found by
 * bit sets of what each component reaches, filled in the order in which Tarjan's algorithm finishes
 * components (what is needed comes first).
 */
#include "model_graph.h"

#include <stdlib.h>
#include <string.h>

uint32_t model_neighbour_count(const struct model *model, uint32_t cell,
                               enum model_direction direction)
{
    const struct model_cell *c = &model->cells[cell];
    return direction == MODEL_NEEDS ? c->link_count : c->user_count;
}

uint32_t model_neighbour(const struct model *model, uint32_t cell, enum model_direction direction,
                         uint32_t n, const struct model_link **out_link)
{
    const struct model_cell *c = &model->cells[cell];
    if (direction == MODEL_NEEDS) {
        *out_link = &model->links[c->first_link + n];
        return (*out_link)->to;
    }
    *out_link = &model->links[model->users[c->first_user + n]];
    return (*out_link)->from;
}

const struct model_link *model_find_link(const struct model *model, uint32_t from, uint32_t to)
{
    uint32_t low = model->cells[from].first_link;
    uint32_t end = low + model->cells[from].link_count;
    uint32_t high = end;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (model->links[middle].to < to) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < end && model->links[low].to == to ? &model->links[low] : NULL;
}

enum status model_distances(const struct model *model, enum model_direction direction,
                            const uint32_t *starts, size_t start_count, uint32_t depth,
                            uint32_t *out_distances)
{
    uint32_t *queue = malloc((model->cell_count + 1) * sizeof(*queue));
    if (!queue) {
        return ERR_NO_MEMORY;
    }
    memset(out_distances, 0xff, model->cell_count * sizeof(*out_distances));
    uint32_t tail = 0;
    for (size_t i = 0; i < start_count; i++) {
        if (out_distances[starts[i]] == MODEL_UNREACHED) {
            out_distances[starts[i]] = 0;
            queue[tail++] = starts[i];
        }
    }
    for (uint32_t head = 0; head < tail; head++) {
        uint32_t cell = queue[head];
        uint32_t count = model_neighbour_count(model, cell, direction);
        for (uint32_t n = 0; n < count && out_distances[cell] < depth; n++) {
            const struct model_link *link;
            uint32_t next = model_neighbour(model, cell, direction, n, &link);
            if (out_distances[next] == MODEL_UNREACHED) {
                out_distances[next] = out_distances[cell] + 1;
                queue[tail++] = next;
            }
        }
    }
    free(queue);
    return OK;
}

/* ---- components, cycles ---- */

struct tarjan {
    uint32_t *number; /* by cell, 0: not visited */
    uint32_t *low;
    uint32_t *stack; /* cells whose component is open */
    uint32_t *path;  /* the call stack */
    uint32_t *next;  /* by cell: the link to look at next */
    uint32_t stack_count;
    uint32_t path_count;
    uint32_t visited;
    uint32_t components;
};

static void enter(struct tarjan *t, uint32_t cell)
{
    t->number[cell] = ++t->visited;
    t->low[cell] = t->visited;
    t->stack[t->stack_count++] = cell;
    t->path[t->path_count++] = cell;
}

static void leave(struct tarjan *t, uint32_t cell, uint32_t *component)
{
    if (t->low[cell] == t->number[cell]) {
        uint32_t member;
        do {
            member = t->stack[--t->stack_count];
            component[member] = t->components;
        } while (member != cell);
        t->components++;
    }
    t->path_count--;
    if (t->path_count > 0) {
        uint32_t parent = t->path[t->path_count - 1];
        if (t->low[cell] < t->low[parent]) {
            t->low[parent] = t->low[cell];
        }
    }
}

static void visit_from(const struct model *model, struct tarjan *t, uint32_t root,
                       uint32_t *component)
{
    enter(t, root);
    while (t->path_count > 0) {
        uint32_t cell = t->path[t->path_count - 1];
        if (t->next[cell] == model->cells[cell].link_count) {
            leave(t, cell, component);
            continue;
        }
        uint32_t to = model->links[model->cells[cell].first_link + t->next[cell]++].to;
        if (t->number[to] == 0) {
            enter(t, to);
        } else if (component[to] == MODEL_NOWHERE && t->number[to] < t->low[cell]) {
            t->low[cell] = t->number[to];
        }
    }
}

bool model_components(const struct model *model, uint32_t *out_component, uint32_t *out_cyclic)
{
    uint32_t count = model->cell_count;
    uint32_t *memory = calloc((size_t)count * 5 + 1, sizeof(*memory));
    if (!memory) {
        return false;
    }
    struct tarjan t = {
        .number = memory,
        .low = memory + count,
        .stack = memory + 2 * (size_t)count,
        .path = memory + 3 * (size_t)count,
        .next = memory + 4 * (size_t)count,
    };
    memset(out_component, 0xff, count * sizeof(*out_component));
    for (uint32_t i = 0; i < count; i++) {
        if (t.number[i] == 0) {
            visit_from(model, &t, i, out_component);
        }
    }
    *out_cyclic = MODEL_NOWHERE;
    for (uint32_t i = model->link_count; i-- > 0;) {
        if (out_component[model->links[i].from] == out_component[model->links[i].to]) {
            *out_cyclic = model->links[i].from;
        }
    }
    free(memory);
    return true;
}

enum status model_cycle_through(const struct model *model, uint32_t cell, uint32_t *out_cells,
                                uint32_t *out_count)
{
    uint32_t *distances = malloc((model->cell_count + 1) * sizeof(*distances));
    if (!distances ||
        model_distances(model, MODEL_NEEDED_BY, &cell, 1, MODEL_UNREACHED, distances)) {
        free(distances);
        return ERR_NO_MEMORY;
    }
    *out_count = 0;
    uint32_t at = cell;
    do {
        out_cells[(*out_count)++] = at;
        uint32_t best = MODEL_NOWHERE;
        for (uint32_t n = 0; n < model->cells[at].link_count; n++) {
            uint32_t to = model->links[model->cells[at].first_link + n].to;
            if (distances[to] != MODEL_UNREACHED &&
                (best == MODEL_NOWHERE || distances[to] < distances[best])) {
                best = to;
            }
        }
        at = best;
    } while (at != cell && at != MODEL_NOWHERE && *out_count < model->cell_count);
    free(distances);
    return at == cell ? OK : ERR_NOT_FOUND;
}

/* ---- implied links ---- */

struct reaching {
    const uint32_t *component;
    const uint32_t *order; /* cells by component */
    uint64_t *bits;        /* by component, `words` each: what it reaches */
    size_t words;
};

static bool reaches(const struct reaching *r, uint32_t from, uint32_t to)
{
    return r->bits[r->words * from + to / 64] >> (to % 64) & 1;
}

static void reach_from(const struct model *model, const bool *shown, const struct reaching *r,
                       uint32_t cell)
{
    uint64_t *own = &r->bits[r->words * r->component[cell]];
    own[r->component[cell] / 64] |= 1ull << (r->component[cell] % 64);
    for (uint32_t n = 0; n < model->cells[cell].link_count; n++) {
        uint32_t to = model->links[model->cells[cell].first_link + n].to;
        if (shown[to] && r->component[to] != r->component[cell]) {
            const uint64_t *other = &r->bits[r->words * r->component[to]];
            for (size_t w = 0; w < r->words; w++) {
                own[w] |= other[w];
            }
        }
    }
}

/* Is there another needed cell that reaches the target of `link`? */
static bool is_implied(const struct model *model, const bool *shown, const struct reaching *r,
                       const struct model_link *link)
{
    if (r->component[link->from] == r->component[link->to]) {
        return false;
    }
    for (uint32_t n = 0; n < model->cells[link->from].link_count; n++) {
        uint32_t via = model->links[model->cells[link->from].first_link + n].to;
        if (shown[via] && r->component[via] != r->component[link->to] &&
            r->component[via] != r->component[link->from] &&
            reaches(r, r->component[via], r->component[link->to])) {
            return true;
        }
    }
    return false;
}

/* Cells in the order of their components, by counting. */
static void sort_by_component(const struct model *model, const uint32_t *component,
                              uint32_t *starts, uint32_t *order)
{
    for (uint32_t i = 0; i < model->cell_count; i++) {
        starts[component[i] + 1]++;
    }
    for (uint32_t i = 0; i < model->cell_count; i++) {
        starts[i + 1] += starts[i];
    }
    for (uint32_t i = 0; i < model->cell_count; i++) {
        order[starts[component[i]]++] = i;
    }
}

enum status model_implied_links(const struct model *model, const bool *shown, bool *out_implied)
{
    size_t count = model->cell_count;
    size_t words = count / 64 + 1;
    uint32_t *component = calloc(3 * count + 2, sizeof(*component));
    uint64_t *bits = calloc(count * words + 1, sizeof(*bits));
    uint32_t cyclic;
    enum status status = ERR_NO_MEMORY;
    if (component && bits && model_components(model, component, &cyclic)) {
        uint32_t *order = component + count;
        sort_by_component(model, component, order + count, order);
        struct reaching r = {component, order, bits, words};
        for (uint32_t i = 0; i < model->cell_count; i++) {
            if (shown[order[i]]) {
                reach_from(model, shown, &r, order[i]);
            }
        }
        for (uint32_t i = 0; i < model->link_count; i++) {
            const struct model_link *link = &model->links[i];
            out_implied[i] =
                shown[link->from] && shown[link->to] && is_implied(model, shown, &r, link);
        }
        status = OK;
    }
    free(bits);
    free(component);
    return status;
}
