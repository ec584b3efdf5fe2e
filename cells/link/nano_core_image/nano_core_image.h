/* SPDX-License-Identifier: MIT */
/*
 * nano_core_image.h - what the static image knows about the cells inside it.
 *
 * Why: the nano_core is a set of ordinary cells that cellpack has linked at fixed addresses, each
 * with page-aligned regions of its own. The image carries this table, so that the kernel can give
 * every region the protection that it needs, and so that the loader can *adopt* the cells: it reads
 * each from the archive, builds the metadata for these addresses with the code that builds all
 * metadata, and checks that the bytes in memory are the pristine bytes plus relocations.
 *
 * Rules: `nano_core_image` is a symbol that `cellpack link` defines; it lies in a read-only region
 * that belongs to no cell. Layout version 1; a change needs a new magic number.
 */
#pragma once

#include "cell_metadata.h"

#define NANO_CORE_IMAGE_MAGIC     0x3165726f636f6e61ull /* "anocore1" in memory order */
#define NANO_CORE_IMAGE_NAME_SIZE 40                    /* as CELL_INFO_NAME_SIZE */

struct nano_core_image_cell {
    char name[NANO_CORE_IMAGE_NAME_SIZE];
    uint64_t addresses[REGION_COUNT]; /* 0 where the region is empty */
    uint64_t sizes[REGION_COUNT];     /* bytes */
    uint64_t entries;                 /* address of the cell's slot 0 */
    uint64_t entry_count;
};

struct nano_core_image {
    uint64_t magic;
    uint64_t start;       /* the image's first address, page-aligned */
    uint64_t end;         /* behind its last page, bss included */
    uint64_t physical;    /* where `start` was loaded */
    uint64_t table_start; /* the pages that hold this table: read-only */
    uint64_t table_end;
    uint64_t entries_start; /* the pages that hold all entries: executable */
    uint64_t entries_end;
    uint64_t cell_count;
    struct nano_core_image_cell cells[]; /* the first is the nano_core's own */
};

static_assert(sizeof(struct nano_core_image_cell) == 104, "format version 1");
static_assert(sizeof(struct nano_core_image) == 72, "format version 1");

extern CELL_API const struct nano_core_image nano_core_image;
