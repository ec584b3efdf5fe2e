/* SPDX-License-Identifier: MIT */
/*
 * layout.h - places the sections of an object into regions.
 *
 * Why: pages have one protection, so sections that need the same one lie together. Within a region
 * sections keep the order of the section table; therefore tables sorted by section index and offset
 * (.cell.unwind, functions) are sorted by address at run time.
 *
 * Rules: pure; the caller gives the arrays. O(sections). Any context.
 */
#pragma once

#include "cell_metadata.h"

struct diag;

struct section_place {
    uint64_t offset; /* in the region */
    uint32_t region; /* enum region_kind; REGION_NONE where the section is not loaded */
};

struct layout {
    uint64_t sizes[REGION_COUNT];            /* bytes */
    uint64_t file_sizes[REGION_COUNT];       /* bytes up to the first section without file bytes */
    uint32_t region_first[REGION_COUNT + 1]; /* indices into by_address */
};

#define LAYOUT_MAX_REGION (1ull << 30) /* bytes; three regions then fit into the top 2 GiB */

/*
 * Places every allocated section. `places` has object->section_count elements; `by_address`, of the
 * same length, receives the indices of the placed sections, sorted by region and address. Empty
 * sections are placed too, for a symbol may lie in one.
 */
CELL_API MUST_CHECK enum status layout_plan(const struct elf_object *object,
                                            struct section_place *places, uint32_t *by_address,
                                            struct layout *out_layout, struct diag *diag);

/* The same without the sections that `sections`, as many, say are adopted: these are not placed. */
CELL_API MUST_CHECK enum status layout_plan_without_adopted(
    const struct elf_object *object, const struct section *sections, struct section_place *places,
    uint32_t *by_address, struct layout *out_layout, struct diag *diag);
