/* SPDX-License-Identifier: MIT */
/*
 * Chains by iterative deepening: all chains of the shortest length, then of one more, and so on.
 * The distance to the goal cuts ways that are too long, so that the first chain is found without
 * detours. The number of all chains comes from a count by cell, which needs no listing.
 */
#include "model_graph.h"

#include <stdlib.h>
#include <string.h>

#define STEPS_MAX 2000000u /* of the search: enough for any real graph, short for a hostile one */

struct search {
    const struct model *model;
    uint32_t *goal_distance;
    uint32_t *path;
    uint32_t *next; /* by place on the path: the link to look at next */
    bool *on_path;
    uint32_t to;
    uint32_t limit;
    uint32_t steps;
    size_t cells_used;
    struct model_chains *chains;
};

static bool keep_chain(struct search *search, uint32_t length)
{
    struct model_chains *chains = search->chains;
    uint32_t *cells =
        realloc(chains->cells, (search->cells_used + length) * sizeof(*chains->cells));
    if (!cells) {
        return false;
    }
    chains->cells = cells;
    uint32_t *lengths = realloc(chains->lengths, (chains->count + 1) * sizeof(*chains->lengths));
    if (!lengths) {
        return false;
    }
    chains->lengths = lengths;
    memcpy(cells + search->cells_used, search->path, length * sizeof(*cells));
    search->cells_used += length;
    lengths[chains->count++] = length;
    return true;
}

/* All chains of exactly `links` links. False when memory is short. */
static bool list_of_length(struct search *s, uint32_t from, uint32_t links)
{
    uint32_t depth = 0;
    s->path[0] = from;
    s->next[0] = 0;
    s->on_path[from] = true;
    for (;;) {
        uint32_t cell = s->path[depth];
        bool is_end = depth == links || s->next[depth] == s->model->cells[cell].link_count ||
                      s->chains->count >= s->limit || s->steps >= STEPS_MAX;
        if (is_end) {
            s->on_path[cell] = false;
            if (depth-- == 0) {
                return true;
            }
            continue;
        }
        uint32_t to = s->model->links[s->model->cells[cell].first_link + s->next[depth]++].to;
        s->steps++;
        uint32_t left = links - depth - 1;
        if (s->on_path[to] || s->goal_distance[to] > left || (to == s->to && left > 0)) {
            continue;
        }
        depth++;
        s->path[depth] = to;
        s->next[depth] = 0;
        s->on_path[to] = true;
        if (to == s->to && !keep_chain(s, depth + 1)) {
            return false;
        }
    }
}

static uint64_t add_saturated(uint64_t a, uint64_t b)
{
    uint64_t sum = a + b;
    return sum < a || sum == MODEL_CHAINS_UNKNOWN ? MODEL_CHAINS_UNKNOWN - 1 : sum;
}

/* By depth first search: a cell's count is the sum over what it needs. */
static uint64_t count_chains(struct search *s, uint32_t from, uint64_t *counts)
{
    uint32_t depth = 0;
    s->path[0] = from;
    s->next[0] = 0;
    s->on_path[from] = true;
    bool *done = s->on_path + s->model->cell_count;
    for (;;) {
        uint32_t cell = s->path[depth];
        const struct model_cell *c = &s->model->cells[cell];
        if (cell == s->to || s->next[depth] == c->link_count) {
            counts[cell] = cell == s->to ? 1 : counts[cell];
            done[cell] = true;
            s->on_path[cell] = false;
            if (depth-- == 0) {
                return counts[cell];
            }
            uint32_t parent = s->path[depth];
            counts[parent] = add_saturated(counts[parent], counts[cell]);
            continue;
        }
        uint32_t to = s->model->links[c->first_link + s->next[depth]++].to;
        if (s->on_path[to]) {
            return MODEL_CHAINS_UNKNOWN;
        }
        if (done[to] || s->goal_distance[to] == MODEL_UNREACHED) {
            counts[cell] = add_saturated(counts[cell], counts[to]);
            continue;
        }
        depth++;
        s->path[depth] = to;
        s->next[depth] = 0;
        s->on_path[to] = true;
    }
}

static bool search_all(struct search *s, uint32_t from, uint64_t *counts)
{
    uint32_t count = s->model->cell_count;
    uint32_t nearest = s->goal_distance[from];
    if (nearest == MODEL_UNREACHED || from == s->to) {
        return true;
    }
    s->chains->total = count_chains(s, from, counts);
    memset(s->on_path, 0, count * sizeof(*s->on_path));
    for (uint32_t links = nearest; links < count && s->steps < STEPS_MAX; links++) {
        if (s->chains->count >= s->limit || s->chains->count == s->chains->total) {
            return true;
        }
        if (!list_of_length(s, from, links)) {
            return false;
        }
    }
    return true;
}

enum status model_chains_find(const struct model *model, uint32_t from, uint32_t to, uint32_t limit,
                              struct model_chains *out_chains)
{
    size_t count = model->cell_count;
    struct model_chains chains = {0};
    struct search search = {
        .model = model,
        .goal_distance = calloc(count + 1, sizeof(uint32_t)),
        .path = calloc(count + 1, sizeof(uint32_t)),
        .next = calloc(count + 1, sizeof(uint32_t)),
        .on_path = calloc(2 * count + 1, sizeof(bool)),
        .to = to,
        .limit = limit,
        .chains = &chains,
    };
    uint64_t *counts = calloc(count + 1, sizeof(*counts));
    bool good = search.goal_distance && search.path && search.next && search.on_path && counts &&
                model_distances(model, MODEL_NEEDED_BY, &to, 1, MODEL_UNREACHED,
                                search.goal_distance) == OK &&
                search_all(&search, from, counts);
    free(counts);
    free(search.on_path);
    free(search.next);
    free(search.path);
    free(search.goal_distance);
    if (!good) {
        model_chains_fini(&chains);
        return ERR_NO_MEMORY;
    }
    *out_chains = chains;
    return OK;
}

void model_chains_fini(struct model_chains *chains)
{
    free(chains->cells);
    free(chains->lengths);
    *chains = (struct model_chains){0};
}
