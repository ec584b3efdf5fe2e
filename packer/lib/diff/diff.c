/* SPDX-License-Identifier: MIT */
#include "diff_priv.h"

#include <stdlib.h>

const char *diff_part_name(enum diff_part part)
{
    switch (part) {
    case DIFF_CODE:
        return "code";
    case DIFF_CONSTANTS:
        return "constants";
    case DIFF_INITIAL:
        return "initial values";
    case DIFF_STATE:
        return "state";
    case DIFF_EXPORTS:
        return "exports";
    case DIFF_SIGNATURES:
        return "signatures";
    case DIFF_TYPES:
        return "layouts";
    case DIFF_UNWIND:
        return "unwind table";
    case DIFF_NOTES:
        return "notes";
    case DIFF_NAME:
        return "name";
    }
    return "?";
}

const char *diff_fate_name(enum diff_fate fate)
{
    static const char *const names[] = {
        [DIFF_ADDED] = "added", [DIFF_REMOVED] = "removed",
        [DIFF_MOVED] = "moved", [DIFF_TRANSFERRED] = "transferred",
        [DIFF_FRESH] = "fresh", [DIFF_MISSING] = "missing",
    };
    return names[fate];
}

static enum status fill(const struct diff_request *request, struct diff *diff,
                        struct problem *problem)
{
    if (diff_pair_cells(request, diff, problem)) {
        return problem->status;
    }
    for (uint32_t i = 0; i < diff->cell_count; i++) {
        if (diff_compare_content(diff, &diff->cells[i], problem)) {
            return problem->status;
        }
        diff->unchanged_count += !diff->cells[i].is_changed;
        diff->rebuilt_count += diff->cells[i].is_rebuilt;
    }
    if (diff_find_sets(request, diff, problem) || diff_follow_variables(diff, problem) ||
        diff_follow_layouts(diff, problem)) {
        return problem->status;
    }
    for (uint32_t i = 0; i < diff->cell_count; i++) {
        if (diff->cells[i].reasons.failed || diff->cells[i].inherits.failed) {
            return problem_set(problem, PROBLEM_MEMORY, "no memory for reasons");
        }
    }
    return OK;
}

enum status diff_builds(const struct diff_request *request, struct diff *out_diff,
                        struct problem *problem)
{
    struct diff diff = {.old = request->old, .new = request->new};
    enum status status = fill(request, &diff, problem);
    if (status == OK) {
        *out_diff = diff;
    } else {
        diff_fini(&diff);
    }
    return status;
}

void diff_fini(struct diff *diff)
{
    for (uint32_t i = 0; i < diff->cell_count; i++) {
        struct diff_cell *cell = &diff->cells[i];
        for (uint32_t k = 0; k < cell->variable_count; k++) {
            free(cell->variables[k].name);
            free(cell->variables[k].symbol);
            free(cell->variables[k].old_name);
            free(cell->variables[k].function);
            free(cell->variables[k].detail);
        }
        free(cell->variables);
        for (uint32_t k = 0; k < cell->layout_count; k++) {
            free(cell->layouts[k].name);
            free(cell->layouts[k].detail);
            free(cell->layouts[k].holder);
        }
        free(cell->layouts);
        words_fini(&cell->functions);
        words_fini(&cell->reasons);
        words_fini(&cell->inherits);
    }
    for (uint32_t i = 0; i < diff->set_count; i++) {
        free(diff->sets[i].after);
    }
    free(diff->sets);
    free(diff->cells);
    *diff = (struct diff){0};
}
