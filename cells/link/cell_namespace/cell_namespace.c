/* SPDX-License-Identifier: MIT */
/*
 * Changes note nothing: a load publishes thousands of symbols, and is hardly ever struck. Who is,
 * leaves `is_changing` set, and both maps are filled anew from the list of cells, in the memory
 * that they have. That takes as long as loading all cells once took, and may itself be interrupted
 * and begun again. A weak symbol that gave way to one which is gone by now may come in then.
 */
#include "cell_namespace.h"
#include "commit.h"
#include "heap_block.h"
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

static_assert(offsetof(struct symbol_map, count) == offsetof(struct symbol_map, capacity) + 4 &&
                  offsetof(struct symbol_map, capacity) % 8 == 0,
              "one store changes both");

static uint64_t *capacity_and_count(struct symbol_map *map)
{
    return (void *)((uint8_t *)map + offsetof(struct symbol_map, capacity));
}

/* The map is `fresh` from now on; its old table is freed. */
static void replace_table(struct symbol_map *map, const struct symbol_map *fresh,
                          struct heap_block **block)
{
    commit_three(&map->slots, fresh->slots, capacity_and_count(map),
                 fresh->capacity | (uint64_t)fresh->count << 32, block, map->slots);
}

static void release_table(struct symbol_map *map)
{
    OWNED(heap_block, block);
    replace_table(map, &(struct symbol_map){0}, SLOT(block));
}

enum status cell_namespace_fini(struct cell_namespace *namespace)
{
    if (namespace->cell_count > 0) {
        return ERR_BUSY;
    }
    release_table(&namespace->symbols);
    release_table(&namespace->names);
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
    OWNED(heap_block, block);
    if (!heap_block_take_zeroed((size_t)capacity * sizeof(map->slots[0]), SLOT(block))) {
        return ERR_NO_MEMORY;
    }
    struct symbol_map fresh;
    symbol_map_init(&fresh, heap_block_of(*SLOT(block)), capacity, map);
    replace_table(map, &fresh, SLOT(block));
    return OK;
}

static void publish_symbol(struct cell_namespace *namespace, struct symbol *symbol)
{
    const struct symbol_key *key = symbol_map_insert(&namespace->symbols, &symbol->key);
    if (!key || symbol->binding == STB_WEAK) {
        return;
    }
    /*
     * Only one of the same load can be here, and weak: the loader has bound all to the strong one.
     */
    symbol_map_remove(&namespace->symbols, key);
    symbol_map_insert(&namespace->symbols, &symbol->key);
}

static void enter_names(struct cell_namespace *namespace, struct cell *cell)
{
    symbol_map_insert(&namespace->names, &cell->key);
    for (uint32_t i = 0; i < cell->symbol_count; i++) {
        publish_symbol(namespace, &cell->symbols[i]);
    }
}

static void enter_symbols_of_none(struct cell_namespace *namespace)
{
    for (uint64_t i = 0; i < namespace->symbols_of_none_count; i++) {
        symbol_map_insert(&namespace->symbols, &namespace->symbols_of_none[i].key);
    }
}

static void clear_table(struct symbol_map *map)
{
    if (map->capacity > 0) {
        __builtin_memset((void *)map->slots, 0, map->capacity * sizeof(map->slots[0]));
        map->count = 0;
    }
}

/* All that can be made from the list. O(cells and symbols of the namespace). */
static void make_anew(struct cell_namespace *namespace)
{
    struct cell *last = NULL;
    uint32_t count = 0;
    clear_table(&namespace->names);
    clear_table(&namespace->symbols);
    enter_symbols_of_none(namespace);
    for (struct cell *cell = namespace->first; cell; cell = cell->next) {
        enter_names(namespace, cell);
        last = cell;
        count++;
    }
    namespace->last = last;
    namespace->cell_count = count;
}

/* From now on they may not fit. */
static void begin_change(struct cell_namespace *namespace)
{
    namespace->is_changing = 1;
    COMPILER_BARRIER();
}

static void end_change(struct cell_namespace *namespace)
{
    COMPILER_BARRIER();
    namespace->is_changing = 0;
}

enum status cell_namespace_reserve(struct cell_namespace *namespace, uint32_t cells,
                                   uint32_t symbols)
{
    if (UNLIKELY(namespace->is_changing)) {
        make_anew(namespace);
        end_change(namespace);
    }
    enum status status = grow(&namespace->names, cells);
    return status == OK ? grow(&namespace->symbols, symbols) : status;
}

void cell_namespace_publish(struct cell_namespace *namespace, struct cell *cell)
{
    begin_change(namespace);
    cell->namespace = namespace; /* so that a withdrawal knows that it has begun */
    cell->next = NULL;
    COMPILER_BARRIER();
    enter_names(namespace, cell);
    struct cell **link = namespace->last ? &namespace->last->next : &namespace->first;
    COMPILER_BARRIER();
    *link = cell;
    COMPILER_BARRIER();
    namespace->last = cell;
    namespace->cell_count++;
}

void cell_namespace_publish_symbols(struct cell_namespace *namespace, struct symbol *symbols,
                                    uint64_t count)
{
    commit_three(&namespace->is_changing, 1, &namespace->symbols_of_none, symbols,
                 &namespace->symbols_of_none_count, count);
    enter_symbols_of_none(namespace);
    end_change(namespace);
}

void cell_namespace_withdraw_symbols(struct cell_namespace *namespace)
{
    begin_change(namespace);
    for (uint64_t i = 0; i < namespace->symbols_of_none_count; i++) {
        symbol_map_remove(&namespace->symbols, &namespace->symbols_of_none[i].key);
    }
    commit_three(&namespace->symbols_of_none, NULL, &namespace->symbols_of_none_count, 0,
                 &namespace->is_changing, 0);
}

static void remove_names(struct cell_namespace *namespace, struct cell *cell)
{
    for (uint32_t i = 0; i < cell->symbol_count; i++) {
        symbol_map_remove(&namespace->symbols, &cell->symbols[i].key);
    }
    symbol_map_remove(&namespace->names, &cell->key);
}

/* Out of the list, where it is in it. */
static void unlist(struct cell_namespace *namespace, struct cell *cell)
{
    struct cell *before = NULL;
    struct cell *at = namespace->first;
    while (at && at != cell) {
        before = at;
        at = at->next;
    }
    if (!at) {
        return;
    }
    *(before ? &before->next : &namespace->first) = cell->next;
    COMPILER_BARRIER();
    if (namespace->last == cell) {
        namespace->last = before;
    }
    namespace->cell_count--;
}

void cell_namespace_withdraw(struct cell_namespace *namespace, struct cell *cell)
{
    bool was_interrupted = namespace->is_changing;
    begin_change(namespace);
    if (!was_interrupted) {
        remove_names(namespace, cell);
    }
    unlist(namespace, cell);
    if (was_interrupted) {
        make_anew(namespace);
    }
    cell->next = NULL;
    commit_two(&cell->namespace, NULL, &namespace->is_changing, 0);
}
