/* SPDX-License-Identifier: MIT */
/*
 * loader_priv.h - what the files of the loader share.
 *
 * loader_catalog.c knows the archive: which member defines a symbol, which one is a cell.
 * loader_stage.c collects the cells of a transaction and takes their memory; loader_build.c links and
 * commits them; loader.c is the interface, and has the references. loader_aside.c is for swaps, and knows
 * what cells share with their successors.
 */
#pragma once

#include "archive.h"
#include "cell_metadata.h"
#include "diag.h"
#include "kill_deferral.h"
#include "link_unit.h"
#include "loader_aside.h"
#include "mapped_pages.h"
#include "mutex.h"

struct address_table;
struct cell_namespace;

/* Traps where the task that calls must not wait for the loader's lock, whether or not it would. */
void loader_may_wait(void);

extern const struct kill_deferral loader_deferral;

/*
 * Holds the one lock of the loader to the end of the block: catalog, namespaces, metadata, entries,
 * references, statistics. No kill strikes meanwhile.
 */
#define LOADER_GUARD(name)                                   \
    loader_may_wait();                                       \
    GUARD(kill_deferral, name##_deferral, &loader_deferral); \
    GUARD(mutex, name, cell_namespace_mutex())

/* ---- catalog ---- */

struct OWN_CAPABILITY("catalog") catalog {
    struct archive archive;
    struct symbol_map symbols;
    struct symbol_map names;
    struct catalog_symbol *symbol_rows;
    struct catalog_cell *cells;
    uint64_t cell_count;
};

/* One member of an archive, by its file offset. */
struct member_source {
    const struct catalog *catalog;
    uint64_t offset;
};

/* In place of what the catalog knew, or an error and no change. All zeros is an empty one. */
enum status catalog_open(struct catalog *catalog, struct span archive,
                         struct diag *diag) MUST_CHECK;
void catalog_close(struct catalog *catalog);

/* That of the system's archive. */
struct catalog *catalog_system(void);

/* The member that defines a symbol, or the cell of that name. */
bool catalog_find_symbol(const struct catalog *catalog, const char *symbol, uint32_t hash,
                         struct member_source *out_source);
bool catalog_find_cell(const struct catalog *catalog, const char *name,
                       struct member_source *out_source);

/* In the system's archive: the interface that the cell of that name implements, or NULL; all names. */
const char *catalog_interface(const char *name);
const char *catalog_next(uint64_t *cursor);

/* ---- transaction ---- */

/* A region that several cells have sections in. On the heap; ends with its last user. */
struct OWN_CAPABILITY("region that is shared") cell_home {
    struct mapped_pages *pages; /* owned */
    uint64_t start;
    uint64_t size; /* bytes */
    uint64_t users;
};

struct home_use {
    struct cell_home *home;
    struct home_use *next;
};

/* One heap block: this, then the arrays that its `cell` points to. Owned by the namespace later on.
 */
struct loaded_cell {
    struct cell cell;
    struct mapped_pages *pages[REGION_COUNT]; /* owned; NULL where empty, shared, or the image's */
    struct home_use *homes;                   /* owned: the shared ones, its own or adopted */
    uint32_t entry_capacity;                  /* entries taken; those not used are given back */
    uint32_t binding_capacity;
};

struct staged_cell {
    struct loaded_cell *loaded;
    struct link_unit unit;
    void *scratch; /* places and link symbols */
    size_t scratch_size;
    const uint8_t *origin;        /* the member's header, or the object: what it was staged from */
    char name[ARCHIVE_NAME_SIZE]; /* of the member, without ".cell" */
};

struct OWN_CAPABILITY("load") transaction {
    struct cell_namespace *namespace;
    const struct catalog *bundle; /* looked at before the system's; or NULL */
    struct step_counter *steps;   /* or NULL */
    struct staged_cell *staged;
    uint64_t count; /* at most LOADER_MAX_CELLS */
    uint64_t capacity;
    struct symbol_map exports;   /* of all staged cells */
    struct address_table *table; /* owned, from prepare_commit() to commit() */
    bool is_load;                /* counted as one */
    bool is_publishing;    /* from the begin of the commit on: names and bindings may be known */
    uint64_t is_committed; /* with the commit: the cells stay */
};

/* What is on the stack of who loads is owned by a slot there: a fault before the commit takes it
 * back, names and bindings included. */
OWN_DECLARE_AS_(, transaction, 0);

enum status transaction_begin(struct transaction *transaction, struct cell_namespace *namespace,
                              const struct catalog *bundle, struct step_counter *steps,
                              struct diag *diag) MUST_CHECK;

/* heap_block_take(), as a step that may fail. */
bool transaction_take(const struct transaction *transaction, size_t size, void *out) MUST_CHECK;

/* The member that has a symbol, or the cell of that name: in the bundle, else in the system's. */
bool transaction_find_symbol(const struct transaction *transaction, const char *symbol,
                             uint32_t hash, struct member_source *out_source);
bool transaction_find_cell(const struct transaction *transaction, const char *name,
                           struct member_source *out_source);

/* Adds the cell in that member; does nothing when it is staged already. */
enum status transaction_stage(struct transaction *transaction, struct member_source source,
                              struct diag *diag) MUST_CHECK;

/* The same for an object that is in no archive, or not known where. */
enum status transaction_stage_object(struct transaction *transaction, const char *name,
                                     struct span object, struct diag *diag) MUST_CHECK;

/* Adds what the staged cells need, until nothing is missing. */
enum status transaction_close(struct transaction *transaction, struct diag *diag) MUST_CHECK;

/* How names are resolved while the staged cells are linked (link_lookup); context: transaction. */
const struct symbol *transaction_lookup(void *context, const char *name, uint32_t hash);

/* Ends it. Releases the scratch memory, and unless `keep_cells` the cells with their pages too. May
 * be begun again. */
void transaction_end(struct transaction *transaction, bool keep_cells);

/* Releases one cell: pages, entries, memory. It is in no namespace and nothing refers to it. */
void release_cell(struct loaded_cell **slot);
void release_entries(struct loaded_cell *loaded);

/* Lets go of the regions that it shares. */
void release_homes(struct loaded_cell *loaded);

/* Bytes of its own pages. */
uint64_t region_bytes_of(const struct loaded_cell *loaded);

/* ---- linking and commit (loader_build.c) ---- */

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

/* Places, links and protects all staged cells. */
enum status transaction_build(struct transaction *transaction, struct diag *diag) MUST_CHECK;

/* Takes everything that commit() will need; afterwards nothing can fail. */
enum status prepare_commit(struct transaction *transaction, struct diag *diag) MUST_CHECK;
void commit(struct transaction *transaction);

/* No section's list of what refers to it has a binding of a staged cell any more. May be begun
 * again. */
void unlink_staged(struct transaction *transaction);

/* ---- statistics (loader.c) ---- */

/* Of all that is staged, and of a cell that goes, as a part of a commit. */
struct commit_list;
void plan_count(const struct transaction *transaction, struct commit_list *list);
void plan_discount(const struct loaded_cell *loaded, struct commit_list *list);
void plan_region_bytes(int64_t bytes, struct commit_list *list);
void count_relocation(uint64_t ticks);
void count_adoption(uint64_t ticks);

/* ---- entries (loader_adopt.c) ---- */

/* In a page of entries, the static image's included. */
bool is_entry(uint64_t address);

/* Where an entry jumps to; a free one: into the page of entries itself. */
static inline uint64_t entry_target(uint64_t entry)
{
    uint64_t bytes = *(const uint64_t *)(entry & ~(uint64_t)(ENTRY_SIZE - 1));
    return (entry & ~(uint64_t)(ENTRY_SIZE - 1)) + 5 + (uint64_t)(int64_t)(int32_t)(bytes >> 8);
}
