/* SPDX-License-Identifier: MIT */
/*
 * pack.h - writes the bundle of cells, an `ar` archive with a symbol index.
 *
 * Why: the run-time linker works from the very input that a static linker would, and the usual
 * tools read it.
 *
 * Format (ar(5), System V as GNU ar writes it): member "/" lists each exported symbol with its
 * member,
 * "//" holds names that are too long for a header, then one member `<cell>.cell` for each cell,
 * sorted by name. Dates and owners are 0. Each cell's bytes start at a multiple of 8 in the file:
 * members are padded with zero bytes behind their last one, which belong to the member by size and
 * to no section.
 *
 * Rules: equal cells give equal bytes, in whatever order they are named.
 */
#pragma once

#include "bytes.h"
#include "progress.h"

struct pack_request {
    const char *output;
    const char *const *cells; /* files; ends with NULL */
    progress_report progress; /* or NULL */
};

struct pack_result {
    size_t cell_count;
    size_t symbol_count;
    size_t size; /* bytes */
};

/*
 * Each cell passes the gate. Two cells of one name are C0430; two that export the same symbol are
 * C0431, unless both implement the same interface.
 */
MUST_CHECK enum status pack_cells(const struct pack_request *request,
                                  struct pack_result *out_result, struct problem *problem);
