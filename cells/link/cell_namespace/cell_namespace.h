/* SPDX-License-Identifier: MIT */
/*
 * cell_namespace.h - which cells and symbols there are.
 *
 * Why: a namespace maps symbol names to the sections that define them and cell names to cells. It
 * may stand on a `parent`: what it does not define itself it finds there, which is how a cell is
 * loaded in isolation, and how two versions of a cell can be there at once.
 *
 * Rules: changed by the loader only, in two steps: cell_namespace_reserve() may fail and changes
 * nothing that anybody sees; cell_namespace_publish() cannot fail. A namespace must be empty, and
 * nobody's parent, when it ends. All namespaces, and the cells in them, change under one mutex
 * only. Who walks a namespace, or uses what it found there and does not hold (loader.h), holds that
 * mutex meanwhile, and calls neither the loader nor what waits long:
 *
 *      GUARD(mutex, held, cell_namespace_mutex());   to the end of the block
 *
 * `cell_count` is a word that anybody may read.
 *
 * Faults (docs/fault-safety.md): which cells there are is the list, which changes by one store
 * each; the maps and the rest are made from it. `is_changing` says that they may not fit it: who
 * changes the namespace next makes them anew.
 */
#pragma once

#include "cell_metadata.h"

struct mutex;

struct cell_namespace {
    const char *name;
    const struct cell_namespace *parent; /* or NULL */
    struct symbol_map symbols;
    struct symbol_map names; /* of cells */
    struct cell *first;      /* in the order of loading, through cell->next */
    struct cell *last;
    struct cell *retired; /* replaced, and here for who returns into them; by swaps only */
    uint32_t cell_count;
    struct symbol *symbols_of_none; /* that belong to no cell */
    uint64_t symbols_of_none_count;
    uint64_t is_changing; /* 1: maps, `last` and `cell_count` may not be what the list says */
};

/* The namespace of the running system. Never ends. */
CELL_API struct cell_namespace *cell_namespace_initial(void);

/* The one lock of all namespaces, and of the loader. Tasks only, and the system before there are
 * any. */
CELL_API struct mutex *cell_namespace_mutex(void);

/* An empty namespace; `name` must outlive it. */
CELL_API void cell_namespace_init(struct cell_namespace *namespace, const char *name,
                                  const struct cell_namespace *parent);

/* Releases the maps. ERR_BUSY while cells are in it. */
CELL_API MUST_CHECK enum status cell_namespace_fini(struct cell_namespace *namespace);

/* The definition of a symbol here or in the nearest parent, or NULL. `hash`: symbol_map_hash(). */
CELL_API const struct symbol *cell_namespace_find(const struct cell_namespace *namespace,
                                                  const char *name, uint32_t hash);

/* The same, but in this namespace alone. */
CELL_API const struct symbol *cell_namespace_find_own(const struct cell_namespace *namespace,
                                                      const char *name, uint32_t hash);

/* The cell of that name here or in the nearest parent, or NULL. */
CELL_API struct cell *cell_namespace_find_cell(const struct cell_namespace *namespace,
                                               const char *name);

/*
 * Makes room for that many more cells and symbols, and good what an interrupted change left.
 * ERR_NO_MEMORY: nothing else changed.
 */
CELL_API MUST_CHECK enum status cell_namespace_reserve(struct cell_namespace *namespace,
                                                       uint32_t cells, uint32_t symbols);

/*
 * Adds a cell and its symbols, for which room was reserved. Of one symbol defined twice the strong
 * definition is kept, or the first of two weak ones; the loader has refused every other duplicate.
 * `is_changing` is set from then on: the caller clears it with his own commit. Until then a
 * withdrawal takes all of it back, however far it came.
 */
CELL_API void cell_namespace_publish(struct cell_namespace *namespace, struct cell *cell);

/*
 * Adds symbols that belong to no cell (absolute addresses); the array is the caller's. Room was
 * reserved. Once for a namespace, until they are withdrawn.
 */
CELL_API void cell_namespace_publish_symbols(struct cell_namespace *namespace,
                                             struct symbol *symbols, uint64_t count);
CELL_API void cell_namespace_withdraw_symbols(struct cell_namespace *namespace);

/*
 * Takes a cell and those of its symbols that are in the map out again. Done when `cell->namespace`
 * is NULL; who is interrupted before begins again.
 */
CELL_API void cell_namespace_withdraw(struct cell_namespace *namespace, struct cell *cell);
