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

/* Makes room for that many more cells and symbols. ERR_NO_MEMORY: nothing changed. */
CELL_API MUST_CHECK enum status cell_namespace_reserve(struct cell_namespace *namespace,
                                                       uint32_t cells, uint32_t symbols);

/*
 * Adds a cell and its symbols, for which room was reserved. Of one symbol defined twice the strong
 * definition is kept, or the first of two weak ones; the loader has refused every other duplicate.
 */
CELL_API void cell_namespace_publish(struct cell_namespace *namespace, struct cell *cell);

/* Adds one symbol that belongs to no cell (an absolute address). Room was reserved. */
CELL_API void cell_namespace_publish_symbol(struct cell_namespace *namespace,
                                            struct symbol *symbol);

/* Takes a cell and those of its symbols that are in the map out again. */
CELL_API void cell_namespace_withdraw(struct cell_namespace *namespace, struct cell *cell);
