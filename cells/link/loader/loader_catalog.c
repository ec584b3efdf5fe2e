/* SPDX-License-Identifier: MIT */
/*
 * An archive's symbol index and its member names, each as a map. Both are built once: the index
 * says nothing about order, and a search through it for each symbol would make loading quadratic.
 */
#include "cell_info.h"
#include "commit.h"
#include "diag.h"
#include "heap_block.h"
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

static struct catalog catalog; /* of the system's archive */

static enum status make_map(struct symbol_map *map, uint64_t count)
{
    uint32_t capacity = symbol_map_capacity((uint32_t)count);
    if (!heap_block_take_zeroed(capacity * sizeof(*map->slots), &map->slots)) {
        return ERR_NO_MEMORY;
    }
    symbol_map_init(map, map->slots, capacity, NULL);
    return OK;
}

static enum status index_symbols(struct catalog *of)
{
    uint64_t count = archive_index_count(&of->archive);
    if (!heap_block_take((count + 1) * sizeof(*of->symbol_rows), &of->symbol_rows) ||
        make_map(&of->symbols, count) != OK) {
        return ERR_NO_MEMORY;
    }
    struct archive_cursor cursor = {0};
    struct catalog_symbol *row = of->symbol_rows;
    /* Several implementations of one interface define the same names: the first one is the default.
     */
    while (archive_index_next(&of->archive, &cursor, &row->key.name, &row->member)) {
        row->key.hash = symbol_map_hash(row->key.name);
        symbol_map_insert(&of->symbols, &row->key);
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
static uint64_t count_members(const struct catalog *of, struct diag *diag)
{
    uint64_t count = 0;
    struct archive_member member;
    for (uint64_t at = of->archive.first_member;
         archive_member_at(&of->archive, at, &member, diag) == OK; at = member.next) {
        count++;
    }
    return count;
}

static enum status index_members(struct catalog *of, struct diag *diag)
{
    uint64_t count = count_members(of, diag);
    if (!heap_block_take((count + 1) * sizeof(*of->cells), &of->cells) ||
        make_map(&of->names, count) != OK) {
        return ERR_NO_MEMORY;
    }
    uint64_t at = of->archive.first_member;
    for (uint64_t i = 0; i < count; i++) {
        struct archive_member member;
        if (archive_member_at(&of->archive, at, &member, NULL) != OK) {
            break;
        }
        struct catalog_cell *cell = &of->cells[i];
        __builtin_memcpy(cell->name, member.name, sizeof(cell->name));
        strip_suffix(cell->name);
        cell->key = (struct symbol_key){.name = cell->name, .hash = symbol_map_hash(cell->name)};
        cell->member = at;
        symbol_map_insert(&of->names, &cell->key);
        of->cell_count++;
        at = member.next;
    }
    return OK;
}

void catalog_close(struct catalog *of)
{
    of->symbols.capacity = 0; /* finds nothing from now on */
    of->names.capacity = 0;
    of->cell_count = 0;
    COMPILER_BARRIER();
    heap_block_give(&of->symbol_rows);
    heap_block_give(&of->cells);
    heap_block_give(&of->symbols.slots);
    heap_block_give(&of->names.slots);
}

OWN_DECLARE_LOCAL(catalog);

NOINLINE static void catalog_drop(struct catalog **handle)
{
    if (*handle) {
        catalog_close(*handle);
        EMPTY(handle);
    }
}

#define CATALOG_WORDS (sizeof(struct catalog) / sizeof(uint64_t))
static_assert(sizeof(struct catalog) % sizeof(uint64_t) == 0, "words");

/* The other's content, in one step. */
static void exchange(struct catalog *a, struct catalog *b)
{
    uint64_t words[2][CATALOG_WORDS];
    struct commit_store stores[2 * CATALOG_WORDS];
    __builtin_memcpy(words[0], a, sizeof(*a));
    __builtin_memcpy(words[1], b, sizeof(*b));
    for (size_t i = 0; i < CATALOG_WORDS; i++) {
        stores[2 * i] = (struct commit_store){(uint64_t *)(void *)a + i, words[1][i]};
        stores[2 * i + 1] = (struct commit_store){(uint64_t *)(void *)b + i, words[0][i]};
    }
    commit_all(stores, ARRAY_COUNT(stores));
}

enum status catalog_open(struct catalog *of, struct span file, struct diag *diag)
{
    struct catalog fresh = {0};
    OWNED(catalog, owner); /* of the one that is being made, then of the one that was */
    FILL(SLOT(owner), &fresh);
    enum status status = archive_open(file, &fresh.archive, diag);
    if (status != OK) {
        return status;
    }
    status = index_symbols(&fresh);
    if (status == OK) {
        status = index_members(&fresh, diag);
    }
    if (status != OK) {
        return diag_set(diag, DIAG_LINK_MEMORY, &(struct diag_site){.cell = "cells.a"});
    }
    exchange(of, &fresh);
    return OK;
}

struct catalog *catalog_system(void)
{
    return &catalog;
}

bool catalog_find_symbol(const struct catalog *of, const char *symbol, uint32_t hash,
                         struct member_source *out_source)
{
    const struct symbol_key *key = symbol_map_find(&of->symbols, symbol, hash);
    if (!key) {
        return false;
    }
    *out_source =
        (struct member_source){of, CONTAINER_OF(key, const struct catalog_symbol, key)->member};
    return true;
}

bool catalog_find_cell(const struct catalog *of, const char *name, struct member_source *out_source)
{
    const struct symbol_key *key = symbol_map_find(&of->names, name, symbol_map_hash(name));
    if (!key) {
        return false;
    }
    *out_source =
        (struct member_source){of, CONTAINER_OF(key, const struct catalog_cell, key)->member};
    return true;
}

const char *catalog_interface(const char *name)
{
    struct member_source source;
    struct archive_member member;
    struct elf_object object;
    struct cell_info info;
    if (!catalog_find_cell(&catalog, name, &source) ||
        archive_member_at(&catalog.archive, source.offset, &member, NULL) != OK ||
        elf_object_open(member.data, &object, NULL) != OK ||
        cell_info_read(&object, &info, NULL) != OK) {
        return NULL;
    }
    return info.interface;
}

const char *catalog_next(uint64_t *cursor)
{
    return *cursor < catalog.cell_count ? catalog.cells[(*cursor)++].name : NULL;
}
