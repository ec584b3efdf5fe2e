/* SPDX-License-Identifier: MIT */
/*
 * Which changed layouts the swap will refuse: the rules are those of layout_change.h, applied to
 * all cells of the old build. A system that has loaded fewer of them may refuse less.
 */
#include "diff_priv.h"

#include "cell_transfer.h"
#include "layout_change.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DETAIL_SIZE   512
#define NESTING_LIMIT 8u

static bool is_kept(const struct diff *diff, const struct diff_cell *cell,
                    const struct cell_abi_type *type, bool *out_failed)
{
    uint8_t *marks = malloc(cell->old_abi.type_count + 1);
    if (!marks) {
        *out_failed = true;
        return true;
    }
    layout_change_mark(&cell->old_abi, diff_old_object(diff, cell), marks);
    bool kept = (marks[type - cell->old_abi.types] & LAYOUT_MARK_KEPT) != 0;
    free(marks);
    return kept;
}

/*
 * Are all cells that know the name in this set? One that keeps such things is asked by itself if it
 * has a successor.
 */
static bool is_argument(const struct diff *diff, uint32_t set, struct span name, bool *out_failed)
{
    for (uint32_t i = 0; i < diff->cell_count; i++) {
        const struct diff_cell *cell = &diff->cells[i];
        const struct cell_abi_type *type =
            cell->old != MODEL_NOWHERE
                ? cell_abi_find_type(&cell->old_abi, (const char *)name.base, name.size)
                : NULL;
        if (type &&
            (cell->set != set || (!diff_is_pair(cell) && is_kept(diff, cell, type, out_failed)))) {
            return false;
        }
    }
    return true;
}

static bool add_layout(struct diff *diff, struct diff_cell *cell, const struct cell_abi_type *was,
                       const char *is, uint8_t *marks)
{
    struct diff_layout *longer =
        realloc(cell->layouts, (cell->layout_count + 1) * sizeof(*cell->layouts));
    if (!longer) {
        return false;
    }
    cell->layouts = longer;
    struct diff_layout *layout = &longer[cell->layout_count++];
    char detail[DETAIL_SIZE];
    struct span name = cell_abi_type_name(is);
    struct cell_abi_difference difference =
        cell_abi_compare(cell_abi_text(&cell->old_abi, was->text), is);
    cell_abi_format_difference(&difference, "old", "new", detail, sizeof(detail));
    const struct cell_abi_variable *holder =
        layout_change_find_holder(&cell->old_abi, (uint32_t)(was - cell->old_abi.types), marks);
    *layout = (struct diff_layout){
        .name = strndup((const char *)name.base, name.size),
        .detail = strdup(detail),
        .holder = holder ? strdup(cell_abi_text(&cell->old_abi, holder->name)) : NULL,
    };
    diff->missing_count++;
    return layout->name && layout->detail && (!holder || layout->holder);
}

/* Does a thing of this type have one of that name in it? */
static bool lies_in(const struct cell_abi *abi, const char *text, struct span name, unsigned depth)
{
    uint64_t cursor = 0;
    struct span part;
    bool is_inside;
    while (depth && cell_abi_next_mention(text, &cursor, &part, &is_inside)) {
        const struct cell_abi_type *type =
            cell_abi_find_type(abi, (const char *)part.base, part.size);
        if (is_inside &&
            (span_equal(part, name) ||
             (type && lies_in(abi, cell_abi_text(abi, type->text), name, depth - 1)))) {
            return true;
        }
    }
    return false;
}

/* A line that is missing for a variable is enough for what lies in it. */
static bool is_asked_for(const struct diff_cell *cell, struct span name)
{
    for (uint32_t i = 0; i < cell->variable_count; i++) {
        const struct cell_abi_variable *row =
            cell->variables[i].fate == DIFF_MISSING
                ? cell_abi_find_variable(&cell->old_abi, cell->variables[i].name)
                : NULL;
        if (row && lies_in(&cell->old_abi, cell_abi_text(&cell->old_abi, row->text), name,
                           NESTING_LIMIT)) {
            return true;
        }
    }
    return false;
}

static bool follow_cell(struct diff *diff, struct diff_cell *cell, uint8_t *marks)
{
    struct cell_abi_cursor cursor = {0};
    const struct cell_abi_type *was;
    const struct cell_abi_type *is;
    bool failed = false;
    while (!failed && (is = cell_abi_next_conflict(&cell->new_abi, &cell->old_abi, 0, &cursor,
                                                   &was)) != NULL) {
        const char *text = cell_abi_text(&cell->new_abi, is->text);
        layout_change_mark(&cell->old_abi, diff_old_object(diff, cell), marks);
        enum layout_change change = layout_change_of(&cell->old_abi, marks, was, text);
        bool needs_line = change == LAYOUT_CHANGE_KEPT ||
                          (change == LAYOUT_CHANGE_ARGUMENT &&
                           !is_argument(diff, cell->set, cell_abi_type_name(text), &failed));
        needs_line = needs_line && !is_asked_for(cell, cell_abi_type_name(text));
        failed |= needs_line && !add_layout(diff, cell, was, text, marks);
    }
    return !failed;
}

enum status diff_follow_layouts(struct diff *diff, struct problem *problem)
{
    for (uint32_t i = 0; i < diff->cell_count; i++) {
        struct diff_cell *cell = &diff->cells[i];
        if (!cell->set || !diff_is_pair(cell) ||
            cell_transfer_count(diff_new_object(diff, cell)) > 0) {
            continue;
        }
        uint8_t *marks = malloc(cell->old_abi.type_count + 1);
        bool good = marks && follow_cell(diff, cell, marks);
        free(marks);
        if (!good) {
            return problem_set(problem, PROBLEM_MEMORY, "no memory to follow layouts");
        }
    }
    return OK;
}
