/* SPDX-License-Identifier: MIT */
/*
 * loader_priv.h - what the files of the loader share.
 *
 * loader_catalog.c knows the archive: which member defines a symbol, which one is a cell.
 * loader_stage.c collects the cells of a transaction and takes their memory. loader.c links and
 * commits them.
 */
#pragma once

#include "archive.h"
#include "cell_metadata.h"
#include "diag.h"
#include "link_unit.h"
#include "mapped_pages.h"
#include "mutex.h"

struct address_table;
struct cell_namespace;

/* Traps where the task that calls must not wait for the loader's lock, whether or not it would. */
void loader_may_wait(void);

/*
 * Holds the one lock of the loader to the end of the block: catalog, namespaces, metadata, entries,
 * references, statistics.
 */
#define LOADER_GUARD(name) \
    loader_may_wait();     \
    GUARD(mutex, name, cell_namespace_mutex())

/* ---- catalog ---- */

enum status catalog_open(struct span archive, struct diag *diag) MUST_CHECK;

/* File offset of the member that defines a symbol, or of the cell of that name. */
bool catalog_find_symbol(const char *symbol, uint32_t hash, uint64_t *out_offset);
bool catalog_find_cell(const char *name, uint64_t *out_offset);

/* The interface that the cell of that name implements, or NULL. */
const char *catalog_interface(const char *name);

const struct archive *catalog_archive(void);
const char *catalog_next(uint64_t *cursor);

/* ---- transaction ---- */

/* One heap block: this, then the arrays that its `cell` points to. Owned by the namespace later on.
 */
struct loaded_cell {
    struct cell cell;
    struct mapped_pages *pages[REGION_COUNT]; /* owned; NULL where empty, and in the static image */
    uint32_t entry_capacity;                  /* entries taken; those not used are given back */
};

struct staged_cell {
    struct loaded_cell *loaded;
    struct link_unit unit;
    void *scratch; /* places and link symbols */
    uint64_t member;
    char name[ARCHIVE_NAME_SIZE]; /* of the member, without ".cell" */
};

struct transaction {
    struct cell_namespace *namespace;
    struct staged_cell *staged;
    uint32_t count; /* at most LOADER_MAX_CELLS */
    uint32_t capacity;
    struct symbol_map exports; /* of all staged cells */
};

enum status transaction_begin(struct transaction *transaction, struct cell_namespace *namespace,
                              struct diag *diag) MUST_CHECK;

/* Adds the cell in the member at that offset; does nothing when it is staged already. */
enum status transaction_stage(struct transaction *transaction, uint64_t member,
                              struct diag *diag) MUST_CHECK;

/* Adds what the staged cells need, until nothing is missing. */
enum status transaction_close(struct transaction *transaction, struct diag *diag) MUST_CHECK;

/* How names are resolved while the staged cells are linked (link_lookup); context: transaction. */
const struct symbol *transaction_lookup(void *context, const char *name, uint32_t hash);

/* Ends it. Releases the scratch memory, and unless `keep_cells` the cells with their pages too. */
void transaction_end(struct transaction *transaction, bool keep_cells);

/* Releases one cell: pages, entries, memory. It is in no namespace and nothing refers to it. */
void release_cell(struct loaded_cell *loaded);

/* Bytes of its own pages. */
uint64_t region_bytes_of(struct loaded_cell *loaded);

/* ---- linking and commit (loader.c) ---- */

static inline uint64_t loader_ticks(void)
{
    return __builtin_ia32_rdtsc();
}

/* Fills `diag` for a want of memory or entries, and returns its status. */
enum status refuse_memory(const struct staged_cell *staged, enum diag_code code, const char *what,
                          uint64_t size, struct diag *diag);

/* Copies, resolves and relocates a cell that has been placed. */
enum status link_cell(struct transaction *transaction, struct staged_cell *staged,
                      struct diag *diag) MUST_CHECK;

/* Takes everything that commit() will need; afterwards nothing can fail. */
enum status prepare_commit(struct transaction *transaction, struct address_table **out_table,
                           struct diag *diag) MUST_CHECK;
void commit(struct transaction *transaction, struct address_table *table);

void count_adoption(uint64_t ticks);
