/* SPDX-License-Identifier: MIT */
/*
 * ownership.h - the rules that need the sources: handles and locks are used as their contracts say
 * (`ownership`), and a function keeps what it has acquired in slots (`handles`).
 *
 * Why: the contracts of cells/base/own/own.h mean something to one compiler only, clang, and only
 * to its analysis; what is built is GCC's. So this rule needs the sources: it shows those of each
 * cell to clang, with the include path that the build used, and its warnings become findings.
 *
 * Rules: a cell `x` of the archive DIR/cells.a, or of the object DIR/x.cell, has its list in
 * DIR/x.sources or DIR/../cells/x.sources, written by the build: lines `include FOLDER` and
 * `source FILE`. A cell without one is left out. Handles need clang 19 or later, locks clang 22;
 * where it is missing the result says so, and that is no error. What acquires without saying so in
 * its prototype, and functions that are OWN_UNCHECKED, are not seen.
 */
#pragma once

#include "rules.h"

struct ownership_request {
    const char *clang;   /* program to run; NULL: the first of clang-19, clang-20... in PATH */
    const char *sources; /* folder with the lists; NULL: beside the cells */
};

#define OWNERSHIP_TEXT_SIZE 200

struct ownership_result {
    uint32_t cells;                        /* whose sources were shown */
    char not_checked[OWNERSHIP_TEXT_SIZE]; /* what, and why; empty: everything was checked */
    bool no_clang;                         /* no source was shown, for lack of clang or of lists */
};

/* Adds to `findings`. ERR_NO_MEMORY is the only error. */
MUST_CHECK enum status ownership_check(const struct model *model, const bool *chosen,
                                       const struct ownership_request *request,
                                       struct findings *findings,
                                       struct ownership_result *out_result);
