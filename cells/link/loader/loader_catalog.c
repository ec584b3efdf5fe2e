/* SPDX-License-Identifier: MIT */
/*
 * The archive's symbol index and its member names, each as a map. Both are built once: the index
 * says nothing about order, and a search through it for each symbol would make loading quadratic.
 */
#include "cell_info.h"
#include "diag.h"
#include "heap.h"
#include "loader_priv.h"
#include "symbol_map.h"

#define MEMBER_SUFFIX ".cell"

struct catalog_symbol {
    struct symbol_key key;
    uint64_t member;
};

struct catalog_cell {
    struct symbol_key key; /* key.name is `name` */
    uint64_t member;
    char name[ARCHIVE_NAME_SIZE];
};

static struct {
    struct archive archive;
    struct symbol_map symbols;
    struct symbol_map names;
    struct catalog_symbol *symbol_rows;
    struct catalog_cell *cells;
    uint64_t cell_count;
} catalog;

static enum status make_map(struct symbol_map *map, uint64_t count)
{
    uint32_t capacity = symbol_map_capacity((uint32_t)count);
    const struct symbol_key **slots = heap_allocate(capacity * sizeof(*slots));
    if (!slots) {
        return ERR_NO_MEMORY;
    }
    __builtin_memset(slots, 0, capacity * sizeof(*slots));
    symbol_map_init(map, slots, capacity, NULL);
    return OK;
}

static enum status index_symbols(void)
{
    uint64_t count = archive_index_count(&catalog.archive);
    catalog.symbol_rows = heap_allocate((count + 1) * sizeof(*catalog.symbol_rows));
    if (!catalog.symbol_rows || make_map(&catalog.symbols, count) != OK) {
        return ERR_NO_MEMORY;
    }
    struct archive_cursor cursor = {0};
    struct catalog_symbol *row = catalog.symbol_rows;
    /* Several implementations of one interface define the same names: the first one is the default.
     */
    while (archive_index_next(&catalog.archive, &cursor, &row->key.name, &row->member)) {
        row->key.hash = symbol_map_hash(row->key.name);
        symbol_map_insert(&catalog.symbols, &row->key);
        row++;
    }
    return OK;
}

static void strip_suffix(char *name)
{
    size_t length = __builtin_strlen(name);
    size_t suffix = sizeof(MEMBER_SUFFIX) - 1;
    if (length > suffix && __builtin_strcmp(name + length - suffix, MEMBER_SUFFIX) == 0) {
        name[length - suffix] = '\0';
    }
}

/* Counts the members that can be read; a damaged one ends the walk and is described in `diag`. */
static uint64_t count_members(struct diag *diag)
{
    uint64_t count = 0;
    struct archive_member member;
    for (uint64_t at = catalog.archive.first_member;
         archive_member_at(&catalog.archive, at, &member, diag) == OK; at = member.next) {
        count++;
    }
    return count;
}

static enum status index_members(struct diag *diag)
{
    uint64_t count = count_members(diag);
    catalog.cells = heap_allocate((count + 1) * sizeof(*catalog.cells));
    if (!catalog.cells || make_map(&catalog.names, count) != OK) {
        return ERR_NO_MEMORY;
    }
    uint64_t at = catalog.archive.first_member;
    for (uint64_t i = 0; i < count; i++) {
        struct archive_member member;
        if (archive_member_at(&catalog.archive, at, &member, NULL) != OK) {
            break;
        }
        struct catalog_cell *cell = &catalog.cells[i];
        __builtin_memcpy(cell->name, member.name, sizeof(cell->name));
        strip_suffix(cell->name);
        cell->key = (struct symbol_key){.name = cell->name, .hash = symbol_map_hash(cell->name)};
        cell->member = at;
        symbol_map_insert(&catalog.names, &cell->key);
        catalog.cell_count++;
        at = member.next;
    }
    return OK;
}

static void close_catalog(void)
{
    heap_free(catalog.symbol_rows);
    heap_free(catalog.cells);
    heap_free((void *)catalog.symbols.slots);
    heap_free((void *)catalog.names.slots);
    __builtin_memset(&catalog, 0, sizeof(catalog));
}

enum status catalog_open(struct span file, struct diag *diag)
{
    struct archive archive;
    enum status status = archive_open(file, &archive, diag);
    if (status != OK) {
        return status;
    }
    close_catalog();
    catalog.archive = archive;
    status = index_symbols();
    if (status == OK) {
        status = index_members(diag);
    }
    if (status != OK) {
        close_catalog();
        return diag_set(diag, DIAG_LINK_MEMORY, &(struct diag_site){.cell = "cells.a"});
    }
    return OK;
}

bool catalog_find_symbol(const char *symbol, uint32_t hash, uint64_t *out_offset)
{
    const struct symbol_key *key = symbol_map_find(&catalog.symbols, symbol, hash);
    if (!key) {
        return false;
    }
    *out_offset = CONTAINER_OF(key, const struct catalog_symbol, key)->member;
    return true;
}

bool catalog_find_cell(const char *name, uint64_t *out_offset)
{
    const struct symbol_key *key = symbol_map_find(&catalog.names, name, symbol_map_hash(name));
    if (!key) {
        return false;
    }
    *out_offset = CONTAINER_OF(key, const struct catalog_cell, key)->member;
    return true;
}

const char *catalog_interface(const char *name)
{
    uint64_t offset;
    struct archive_member member;
    struct elf_object object;
    struct cell_info info;
    if (!catalog_find_cell(name, &offset) ||
        archive_member_at(&catalog.archive, offset, &member, NULL) != OK ||
        elf_object_open(member.data, &object, NULL) != OK ||
        cell_info_read(&object, &info, NULL) != OK) {
        return NULL;
    }
    return info.interface;
}

const struct archive *catalog_archive(void)
{
    return &catalog.archive;
}

const char *catalog_next(uint64_t *cursor)
{
    return *cursor < catalog.cell_count ? catalog.cells[(*cursor)++].name : NULL;
}
