/* SPDX-License-Identifier: MIT */
/*
 * graph.h - the parts of `cellpack graph`: what is shown (verb_graph.c), and how (the writers).
 *
 * Rules: arrays are by cell or by link of the model. Writers append to `out`, which the verb writes
 * to stdout or a file at the end.
 */
#pragma once

#include "bytes.h"
#include "subject.h"

struct graph {
    const struct subject *subject;
    const struct model *model;
    bool *shown;    /* by cell */
    bool *implied;  /* by link: a longer chain through shown cells implies it */
    char **shelves; /* by cell; NULL where it is not known */
    uint32_t shown_count;
    uint32_t wanted_count; /* before the limit was applied */
    bool reduce;           /* leave implied links out */
};

/* Is the link part of the picture? */
bool graph_shows(const struct graph *graph, uint32_t link);

void graph_write_dot(const struct graph *graph, struct bytes *out);
MUST_CHECK enum status graph_write_json(const struct graph *graph, struct bytes *out,
                                        struct problem *problem);
MUST_CHECK enum status graph_write_html(const struct graph *graph, struct bytes *out,
                                        struct problem *problem);
/* One line a relocation, in the form of the kernel's application `deps --all`. */
void graph_write_edges(const struct graph *graph, struct bytes *out);
