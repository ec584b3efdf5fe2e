/* SPDX-License-Identifier: MIT */
/*
 * unwind_index.h - makes `.cell.unwind`, the sorted index of a cell's unwind entries.
 *
 * Why: at run time a fault handler looks up the FDE of an address. It must not parse, sort or
 * allocate, so all of that is done here, once, at build time.
 *
 * Format: `struct unwind_index_header`, then `count` times `struct unwind_index_entry`, sorted by
 * section, then offset; little-endian, packed. Sections are indices of the written cell.
 */
#pragma once

#include "bytes.h"
#include "elf_object.h"

#define UNWIND_INDEX_MAGIC   "CUNW"
#define UNWIND_INDEX_VERSION 1u

struct unwind_index_header {
    char magic[4];
    uint16_t version;
    uint16_t entry_size;
    uint32_t count;
    uint32_t eh_frame; /* section index; 0 when there are no entries */
} PACKED;

struct unwind_index_entry {
    uint32_t section;
    uint32_t offset;     /* where the FDE's code starts in that section */
    uint32_t size;       /* bytes of code */
    uint32_t fde_offset; /* of the FDE in .eh_frame */
} PACKED;

static_assert(sizeof(struct unwind_index_header) == 16, "the kernel reads this");
static_assert(sizeof(struct unwind_index_entry) == 16, "the kernel reads this");

/*
 * Reads `.eh_frame` of `object` with its relocations and appends the index to `out`. `new_index`
 * maps section indices of the object to those of the cell, 0 for sections that are left out.
 */
MUST_CHECK enum status unwind_index_build(const struct elf_object *object,
                                          const uint32_t *new_index, struct bytes *out,
                                          struct problem *problem);
