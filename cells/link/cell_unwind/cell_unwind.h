/* SPDX-License-Identifier: MIT */
/*
 * cell_unwind.h - `.cell.unwind`: which entry of the unwind table describes an address.
 *
 * Why: a fault handler must not parse, sort or allocate, so cellpack has sorted the entries. This
 * is the note's format (docs/cell-format.md) and the search in it; kernel and cellpack share both.
 *
 * Rules: opening checks the header and the size, not the rows: a row is a hint, and its user reads
 * the entry itself, which says what it describes. Nothing here trusts a row, whatever it holds.
 * Borrows the bytes. Any context.
 */
#pragma once

#include "span.h"

#define CELL_UNWIND_SECTION ".cell.unwind"
#define CELL_UNWIND_MAGIC   0x574e5543u /* "CUNW" in memory order */
#define CELL_UNWIND_VERSION 1u

struct cell_unwind_header {
    uint32_t magic;
    uint16_t version;
    uint16_t row_size;
    uint32_t row_count;
    uint32_t eh_frame; /* section index; 0 when there are no rows */
};

struct cell_unwind_row {
    uint32_t section;
    uint32_t offset; /* where the code starts in that section */
    uint32_t size;   /* bytes of code */
    uint32_t fde;    /* offset of its entry in .eh_frame */
};

static_assert(sizeof(struct cell_unwind_header) == 16, "docs/cell-format.md");
static_assert(sizeof(struct cell_unwind_row) == 16, "docs/cell-format.md");

struct cell_unwind {
    const struct cell_unwind_row *rows; /* sorted by section, then offset */
    uint32_t count;
    uint32_t eh_frame;
};

/* False, and *out unchanged, if the note is not of this format. */
static inline bool cell_unwind_open(struct span note, struct cell_unwind *out)
{
    const struct cell_unwind_header *header =
        (const struct cell_unwind_header *)span_at(note, 0, sizeof(*header));
    if (!header || (uintptr_t)header % alignof(struct cell_unwind_header) != 0 ||
        header->magic != CELL_UNWIND_MAGIC || header->version != CELL_UNWIND_VERSION ||
        header->row_size != sizeof(struct cell_unwind_row) ||
        !span_holds(note, sizeof(*header), (uint64_t)header->row_count * header->row_size)) {
        return false;
    }
    *out = (struct cell_unwind){
        .rows = (const struct cell_unwind_row *)(header + 1),
        .count = header->row_count,
        .eh_frame = header->eh_frame,
    };
    return true;
}

/* The row of the code at `offset` of that section, or NULL. O(log rows). */
static inline const struct cell_unwind_row *cell_unwind_find(const struct cell_unwind *index,
                                                             uint32_t section, uint32_t offset)
{
    uint64_t key = (uint64_t)section << 32 | offset;
    const struct cell_unwind_row *first = index->rows;
    /* The last row that starts at or before it is among `count` from `first` on, or before them. */
    for (uint32_t count = index->count; count > 0;) {
        uint32_t half = count / 2;
        const struct cell_unwind_row *middle = &first[half];
        bool is_before = ((uint64_t)middle->section << 32 | middle->offset) <= key;
        first = is_before ? middle + 1 : first;
        count = is_before ? count - half - 1 : half;
    }
    if (first == index->rows) {
        return NULL;
    }
    const struct cell_unwind_row *row = first - 1;
    return row->section == section && offset - row->offset < row->size ? row : NULL;
}
