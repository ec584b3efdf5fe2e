/* SPDX-License-Identifier: MIT */
#include "undo.h"

CELL(library, "1.0.0");

static void put_back(const struct undo_note *note)
{
    switch (note->size) {
    case 8:
        *(volatile undo_word_t *)note->where = note->old;
        break;
    case 4:
        *(volatile undo_half_t *)note->where = (uint32_t)note->old;
        break;
    case 2:
        *(volatile undo_quarter_t *)note->where = (uint16_t)note->old;
        break;
    default:
        *(volatile uint8_t *)note->where = (uint8_t)note->old;
        break;
    }
}

void undo_drop(struct undo **guard)
{
    struct undo *undo = *guard;
    if (!undo) {
        return;
    }
    while (undo->count > 0) {
        const struct undo_note *note = &undo->notes[undo->count - 1];
        put_back(note);
        COMPILER_BARRIER();
        undo->count--;
        COMPILER_BARRIER();
    }
    EMPTY(guard);
}
