/* SPDX-License-Identifier: MIT */
#include "cell_namespace.h"
#include "heap.h"
#include "mutex.h"

CELL(library, "1.1.0");

static struct cell_namespace initial = {.name = "initial"};
static struct mutex changes = {.name = "loader"};

struct cell_namespace *cell_namespace_initial(void)
{
    return &initial;
}

struct mutex *cell_namespace_mutex(void)
{
    return &changes;
}

void cell_namespace_init(struct cell_namespace *namespace, const char *name,
                         const struct cell_namespace *parent)
{
    *namespace = (struct cell_namespace){.name = name, .parent = parent};
}

enum status cell_namespace_fini(struct cell_namespace *namespace)
{
    if (namespace->cell_count > 0) {
        return ERR_BUSY;
    }
    heap_free((void *)namespace->symbols.slots);
    heap_free((void *)namespace->names.slots);
    cell_namespace_init(namespace, namespace->name, namespace->parent);
    return OK;
}

const struct symbol *cell_namespace_find_own(const struct cell_namespace *namespace,
                                             const char *name, uint32_t hash)
{
    const struct symbol_key *key = symbol_map_find(&namespace->symbols, name, hash);
    return key ? CONTAINER_OF(key, const struct symbol, key) : NULL;
}

const struct symbol *cell_namespace_find(const struct cell_namespace *namespace, const char *name,
                                         uint32_t hash)
{
    for (; namespace; namespace = namespace->parent) {
        const struct symbol *symbol = cell_namespace_find_own(namespace, name, hash);
        if (symbol) {
            return symbol;
        }
    }
    return NULL;
}

struct cell *cell_namespace_find_cell(const struct cell_namespace *namespace, const char *name)
{
    uint32_t hash = symbol_map_hash(name);
    for (; namespace; namespace = namespace->parent) {
        const struct symbol_key *key = symbol_map_find(&namespace->names, name, hash);
        if (key) {
            return CONTAINER_OF(key, struct cell, key);
        }
    }
    return NULL;
}

/* Moves a map into a larger table when there is no room for `count` more. */
static enum status grow(struct symbol_map *map, uint32_t count)
{
    if (symbol_map_has_room(map, count)) {
        return OK;
    }
    uint32_t capacity = symbol_map_capacity(map->count + count);
    size_t size = (size_t)capacity * sizeof(map->slots[0]);
    const struct symbol_key **slots = heap_allocate(size);
    if (!slots) {
        return ERR_NO_MEMORY;
    }
    __builtin_memset(slots, 0, size);
    const struct symbol_key **old_slots = map->slots;
    struct symbol_map old = *map;
    symbol_map_init(map, slots, capacity, &old);
    heap_free(old_slots);
    return OK;
}

enum status cell_namespace_reserve(struct cell_namespace *namespace, uint32_t cells,
                                   uint32_t symbols)
{
    enum status status = grow(&namespace->names, cells);
    return status == OK ? grow(&namespace->symbols, symbols) : status;
}

static void publish_symbol(struct cell_namespace *namespace, struct symbol *symbol)
{
    const struct symbol_key *key = symbol_map_insert(&namespace->symbols, &symbol->key);
    if (!key || symbol->binding == STB_WEAK) {
        return;
    }
    /* Only one of the same load can be here, and weak: the loader has bound all to the strong one. */
    symbol_map_remove(&namespace->symbols, key);
    symbol_map_insert(&namespace->symbols, &symbol->key);
}

void cell_namespace_publish(struct cell_namespace *namespace, struct cell *cell)
{
    symbol_map_insert(&namespace->names, &cell->key);
    for (uint32_t i = 0; i < cell->symbol_count; i++) {
        publish_symbol(namespace, &cell->symbols[i]);
    }
    cell->namespace = namespace;
    cell->next = NULL;
    if (namespace->last) {
        namespace->last->next = cell;
    } else {
        namespace->first = cell;
    }
    namespace->last = cell;
    namespace->cell_count++;
}

void cell_namespace_publish_symbol(struct cell_namespace *namespace, struct symbol *symbol)
{
    symbol_map_insert(&namespace->symbols, &symbol->key);
}

void cell_namespace_withdraw(struct cell_namespace *namespace, struct cell *cell)
{
    for (uint32_t i = 0; i < cell->symbol_count; i++) {
        symbol_map_remove(&namespace->symbols, &cell->symbols[i].key);
    }
    symbol_map_remove(&namespace->names, &cell->key);
    struct cell *before = NULL;
    for (struct cell *at = namespace->first; at != cell; at = at->next) {
        before = at;
    }
    if (before) {
        before->next = cell->next;
    } else {
        namespace->first = cell->next;
    }
    if (namespace->last == cell) {
        namespace->last = before;
    }
    cell->next = NULL;
    cell->namespace = NULL;
    namespace->cell_count--;
}
