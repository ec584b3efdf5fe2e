/* SPDX-License-Identifier: MIT */
/*
 * model_graph.h - questions about the graph of cells: reach, chains, cycles, what is implied.
 *
 * Why: `tree`, `why`, `graph` and `check` share these; none of them prints.
 *
 * Rules: pure functions of a model. Arrays by cell have model->cell_count elements and are the
 * caller's. No recursion: a graph may be as deep as it has cells.
 */
#pragma once

#include "model.h"

enum model_direction {
    MODEL_NEEDS,     /* from a cell to what it needs */
    MODEL_NEEDED_BY, /* from a cell to what needs it */
};

#define MODEL_UNREACHED UINT32_MAX

/*
 * The number of links from the nearest start to each cell, MODEL_UNREACHED where there is no way or
 * it is longer than `depth`. ERR_NO_MEMORY is the only error.
 */
MUST_CHECK enum status model_distances(const struct model *model, enum model_direction direction,
                                       const uint32_t *starts, size_t start_count, uint32_t depth,
                                       uint32_t *out_distances);

/* The other end of a cell's n-th link in a direction; *out_link is the link itself. */
uint32_t model_neighbour(const struct model *model, uint32_t cell, enum model_direction direction,
                         uint32_t n, const struct model_link **out_link);
uint32_t model_neighbour_count(const struct model *model, uint32_t cell,
                               enum model_direction direction);

/* The link from a cell to another, or NULL. O(log). */
const struct model_link *model_find_link(const struct model *model, uint32_t from, uint32_t to);

/* Chains of cells from one to another, the shortest first. */
struct model_chains {
    uint32_t *cells;   /* of all chains, one after the other, ends included */
    uint32_t *lengths; /* cells in each chain */
    uint32_t count;    /* how many are listed here */
    uint64_t total;    /* how many there are; MODEL_CHAINS_UNKNOWN in a graph with cycles */
};

#define MODEL_CHAINS_UNKNOWN UINT64_MAX

/* Lists at most `limit` chains without repeated cells. None is not an error: count is 0. */
MUST_CHECK enum status model_chains_find(const struct model *model, uint32_t from, uint32_t to,
                                         uint32_t limit, struct model_chains *out_chains);
void model_chains_fini(struct model_chains *chains);

/*
 * Finds cycles: fills out_component with a number for each cell, equal for cells that need each
 * other. Returns false when memory is short. *out_cyclic is the first cell, in the order of the
 * archive, that is part of a cycle, or MODEL_NOWHERE.
 */
MUST_CHECK bool model_components(const struct model *model, uint32_t *out_component,
                                 uint32_t *out_cyclic);

/* A shortest cycle through `cell`: its cells in order, without the repetition at the end. */
MUST_CHECK enum status model_cycle_through(const struct model *model, uint32_t cell,
                                           uint32_t *out_cells, uint32_t *out_count);

/*
 * Marks the links between shown cells that a longer way through shown cells implies. `shown` is by
 * cell, out_implied by link. In a graph with cycles nothing is marked within a cycle.
 */
MUST_CHECK enum status model_implied_links(const struct model *model, const bool *shown,
                                           bool *out_implied);
