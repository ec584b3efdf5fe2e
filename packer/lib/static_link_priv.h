/* SPDX-License-Identifier: MIT */
/*
 * static_link_priv.h - what linking and writing of the static image share.
 */
#pragma once

#include "link_unit.h"
#include "static_link.h"
#include "symbol_map.h"

#define IMAGE_PAGE 4096u

struct nano_core_image;

struct static_cell {
    struct bytes file;
    struct cell cell;
    struct link_unit unit;
    struct link_memory memory;
    uint64_t addresses[REGION_COUNT];
    uint8_t *bytes[REGION_COUNT];
    uint64_t entries;
    uint32_t entry_capacity;
};

struct static_image {
    struct static_cell *cells;
    size_t cell_count;
    struct symbol_map symbols;
    struct symbol table_symbol;
    struct nano_core_image *table;
    uint8_t *entries;
    uint64_t base;
    uint64_t physical;
    uint64_t entries_start;
    uint64_t entries_end;
    uint64_t table_start;
    uint64_t table_end;
    uint64_t table_size;
    uint64_t end;
    uint64_t entry;
    size_t file_size;
};

/* Writes the linked image as an ELF64 executable; static_image_file.c. */
MUST_CHECK enum status static_image_write(struct static_image *image, const char *path,
                                          struct problem *problem);
