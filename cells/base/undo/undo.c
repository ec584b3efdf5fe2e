/* SPDX-License-Identifier: MIT */
#include "undo.h"

CELL(library, "1.0.0");

void undo_drop(struct undo **guard)
{
    struct undo *undo = *guard;
    if (!undo) {
        return;
    }
    while (undo->count > 0) {
        const struct undo_note *note = &undo->notes[undo->count - 1];
        *(volatile uint64_t *)note->where = note->old;
        COMPILER_BARRIER();
        undo->count--;
        COMPILER_BARRIER();
    }
    EMPTY(guard);
}
