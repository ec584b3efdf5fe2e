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
 * sorted by name, those named as first before the others. Dates and owners are 0. Each cell's bytes
 * start at a multiple of 8 in the file: members are padded with zero bytes behind their last one,
 * which belong to the member by size and to no section.
 *
 * Of several cells with one INTERFACE the first in the archive is the default: it is what the index
 * leads to.
 *
 * Rules: equal cells give equal bytes, in whatever order they are named.
 */
#pragma once

#include "bytes.h"
#include "progress.h"

struct pack_request {
    const char *output;
    const char *const *cells; /* files; ends with NULL */
    const char *const
        *first; /* names of cells to be put first, in this order; ends with NULL; or NULL */
    progress_report progress; /* or NULL */
};

struct pack_result {
    size_t cell_count;
    size_t symbol_count;
    size_t size; /* bytes */
};

/*
 * Each cell passes the gate. Two cells of one name are C0430; two that export the same symbol are
 * C0431, unless both implement the same interface. A name in `first` that no cell has is C0433.
 */
MUST_CHECK enum status pack_cells(const struct pack_request *request,
                                  struct pack_result *out_result, struct problem *problem);
