/* SPDX-License-Identifier: MIT */
/*
 * cell_gate.h - what a file must be before it counts as a cell.
 *
 * Why: the gate is the kernel's reader and a few rules that only the build can judge. What passes
 * here loads there, as far as it can be known without the other cells.
 */
#pragma once

#include "bytes.h"

struct cell_gate {
    const char *file;      /* for messages; NULL: the name */
    const char *name;      /* what the note must say; NULL: anything */
    const char *interface; /* the same; NULL: none */
};

/* C0423 unless it is lower case letters, digits and underscores, starting with a letter. */
MUST_CHECK enum status cell_gate_check_name(const char *name, struct problem *problem);

/*
 * Reads `cell` as the kernel does: object, exactly one note, unwind index; and all of its
 * fingerprints.
 */
MUST_CHECK enum status cell_gate_check(const struct cell_gate *gate, struct span cell,
                                       struct problem *problem);
