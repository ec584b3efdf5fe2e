/* SPDX-License-Identifier: MIT */
/*
 * static_link.h - links cells at fixed addresses: the nano_core image.
 *
 * Why: unlinked objects cannot run, so something must be linked before the system starts. It is
 * linked by the very code that links at run time (cells/link/link_unit). GNU ld would merge the
 * input sections of all cells and lose their bounds; here each cell keeps its three page-aligned
 * regions, and the image carries a table of them (cells/link/nano_core_image), so that the kernel
 * can adopt its own cells as loaded ones and compare every byte.
 *
 * The image is an ELF64 executable. Order: text of all cells, their entries, rodata, the table,
 * data; virtual = physical + (base - physical) throughout. Section headers name each region
 * `.text.heap` and the symbol table holds all functions and objects, for objdump and gdb; nothing
 * needs them.
 */
#pragma once

#include "bytes.h"
#include "cell_metadata.h"

struct static_link_request {
    const char *output;
    const char *const *cells; /* files, the nano_core's own first; ends with NULL */
    uint64_t base;            /* virtual address of the image, page-aligned */
    uint64_t physical;        /* where the boot loader puts it, page-aligned */
    const char *entry;        /* symbol of any cell, exported or not */
};

/* A linked image; its cells point into it. Released by static_image_destroy(). */
struct static_image;

/*
 * Links and writes the image. Problems: those of the reader and linker (C01xx, C02xx), C0430 when
 * two cells have the same name, C0443 for unusable addresses or entry.
 */
MUST_CHECK enum status static_link(const struct static_link_request *request,
                                   struct static_image **out_image, struct problem *problem);
void static_image_destroy(struct static_image *image);

size_t static_image_cell_count(const struct static_image *image);
const struct cell *static_image_cell(const struct static_image *image, size_t index);
uint64_t static_image_end(const struct static_image *image); /* first address behind it */
size_t static_image_file_size(const struct static_image *image);
