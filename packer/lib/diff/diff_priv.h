/* SPDX-License-Identifier: MIT */
/*
 * diff_priv.h - the steps of diff_builds(), in their order.
 *
 * diff_pairs.c finds for each old cell the new one; diff_content.c compares their content;
 * diff_sets.c finds what must be swapped together; diff_variables.c says what becomes of variables,
 * diff_layouts.c what of things elsewhere; diff_advice.c writes down what is missing.
 */
#pragma once

#include "diff.h"

/* Fills diff->cells but for what differs, and hashes. */
MUST_CHECK enum status diff_pair_cells(const struct diff_request *request, struct diff *diff,
                                       struct problem *problem);

/* Fills parts, functions and the reasons within the cell. */
MUST_CHECK enum status diff_compare_content(struct diff *diff, struct diff_cell *cell,
                                            struct problem *problem);

/* Fills sets, and the reasons that others give. */
MUST_CHECK enum status diff_find_sets(const struct diff_request *request, struct diff *diff,
                                      struct problem *problem);

/* Fills variables, when sets are known. */
MUST_CHECK enum status diff_follow_variables(struct diff *diff, struct problem *problem);

/* Fills layouts, when sets are known. */
MUST_CHECK enum status diff_follow_layouts(struct diff *diff, struct problem *problem);

/* ---- helpers ---- */

static inline const struct elf_object *diff_old_object(const struct diff *diff,
                                                       const struct diff_cell *cell)
{
    return &diff->old->cells[cell->old].object;
}

static inline const struct elf_object *diff_new_object(const struct diff *diff,
                                                       const struct diff_cell *cell)
{
    return &diff->new->cells[cell->new].object;
}

static inline bool diff_is_pair(const struct diff_cell *cell)
{
    return cell->old != MODEL_NOWHERE && cell->new != MODEL_NOWHERE;
}

/* Adds a reason once; a lack of memory shows in the list's `failed`. */
void diff_add_reason(struct diff_cell *cell, const char *format, ...) PRINTF_LIKE(2, 3);

/*
 * The same where the text up to a comma is no reason yet: of many like it the first one is enough.
 */
void diff_add_first_reason(struct diff_cell *cell, const char *format, ...) PRINTF_LIKE(2, 3);

/* Notes, once, that `cell` takes over something of an old cell. */
void diff_add_inheritance(const struct diff *diff, struct diff_cell *cell,
                          const struct diff_cell *from);

/* The index of a symbol that an object exports, or 0. */
uint32_t diff_find_export(const struct elf_object *object, const char *name);
