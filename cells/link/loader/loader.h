/* SPDX-License-Identifier: MIT */
/*
 * loader.h - loads cells from the archive and links them, all or nothing.
 *
 * Why: this is how everything but the nano_core comes into the system. A symbol that is asked for
 * and not there is looked up in the archive's index, and the cell that defines it is loaded
 * together with all cells that it needs in turn.
 *
 * Rules: a load is one transaction. The cells are validated, planned, placed into fresh pages that
 * nobody knows, resolved and relocated; memory for everything is taken before the commit; the
 * commit cannot fail. After a failure nothing is left: no page, no entry, no symbol. `diag` says
 * why. The archive must stay mapped: cells keep pointing into it. No recursion; at most
 * LOADER_MAX_CELLS cells in one load.
 * Any task on any CPU, and the system before there are tasks; with interrupts enabled and nothing
 * held that keeps a task from waiting, else it traps. Not in exceptions and interrupt handlers.
 * Loads, unloads and lookups by name wait for each other (lookups of addresses do not:
 * address_map.h). What an address or a `struct cell` from here belongs to may be unloaded by
 * others, unless it is held: loader_demand_held(), loader_hold().
 *
 * Faults: after one at any instruction a load has happened, with all of its cells, or has left
 * nothing; an unload has happened or has not begun; the loader goes on
 * (docs/fault-safety-primitives.md). Adoption, at boot, is not that safe.
 */
#pragma once

#include "cell_metadata.h"
#include "own.h"
#include "span.h"

struct cell_namespace;
struct diag;
struct nano_core_image;

#define LOADER_MAX_CELLS 512 /* in one transaction: bounds time and memory of a hostile archive */

/*
 * Makes the archive known. Members behind a damaged one cannot be found: they are counted out, and
 * `diag` names the damaged one, but what precedes it is usable and the result is OK. An error means
 * that there is no usable archive.
 */
CELL_API MUST_CHECK enum status loader_init(struct span archive, struct diag *diag);

/*
 * Gives the cells of the static image their metadata, as if they had been loaded to where they are.
 * Refused with C0211 where the image's text, rodata or entries are not what linking the archive's
 * cells yields: then archive and image come from different builds.
 */
CELL_API MUST_CHECK enum status loader_adopt(struct cell_namespace *namespace,
                                             const struct nano_core_image *image,
                                             struct diag *diag);

/* Loads the cell of that name, and what it needs. It is no error when it is there already. */
CELL_API MUST_CHECK enum status loader_load(struct cell_namespace *namespace, const char *cell,
                                            struct cell **out_cell, struct diag *diag);

/*
 * The address of a symbol, loading the cell that defines it if need be. For a function this is its
 * entry: the caller may keep it.
 */
CELL_API MUST_CHECK enum status loader_demand(struct cell_namespace *namespace, const char *symbol,
                                              uint64_t *out_address, struct diag *diag);

/* A cell that stays, and so do all that it needs, until this is dropped. */
struct OWN_CAPABILITY("cell reference") cell_reference;
OWN_DECLARE(cell_reference);

/*
 * Holds the cell that `address`, also that of a function's entry, belongs to. ERR_NOT_FOUND when
 * there is none, ERR_NO_MEMORY. The cell that calls is named in refusals: `holder`.
 */
#define loader_hold(address, out) loader_hold_for(address, CELL_NAME, out)
CELL_API enum status loader_hold_for(uint64_t address, const char *holder,
                                     struct cell_reference **out) OWN_ACQUIRES(**out);

/* loader_demand() and loader_hold() as one: nobody unloads the cell in between. */
#define loader_demand_held(namespace, symbol, out_address, out, diag) \
    loader_demand_held_for(namespace, symbol, CELL_NAME, out_address, out, diag)
CELL_API enum status loader_demand_held_for(struct cell_namespace *namespace, const char *symbol,
                                            const char *holder, uint64_t *out_address,
                                            struct cell_reference **out, struct diag *diag)
    OWN_ACQUIRES(**out);

CELL_API const struct cell *cell_reference_cell(const struct cell_reference *reference)
    OWN_BORROWS(*reference);

/*
 * Unloads a cell. ERR_BUSY while it is held, a task that began in it is not off its stack, or
 * another cell refers to it (`diag`: C0214 with one of the holders or tasks and their number, C0215
 * with one of the cells), ERR_PERMISSION for cells of the static image. The caller makes sure that
 * nothing runs in it that does not hold it. Its entries trap from now on. It comes back when no
 * lookup of addresses is under way that may know the cell.
 */
CELL_API MUST_CHECK enum status loader_unload(struct cell *cell, struct diag *diag);

/* The same by name, for who does not hold the cell and so cannot know that there is one:
 * ERR_NOT_FOUND. */
CELL_API MUST_CHECK enum status loader_unload_named(struct cell_namespace *namespace,
                                                    const char *cell, struct diag *diag);

/* The next member of the archive: start with *cursor = 0. NULL at the end. In archive order. */
CELL_API const char *loader_next_member(uint64_t *cursor);

/*
 * The name, in the archive, of the loaded cell that implements the same interface as the cell of that name in the archive, and so
 * leaves no room for it; NULL when there is none, or no such cell in the archive.
 */
CELL_API const char *loader_find_alternative(const struct cell_namespace *namespace,
                                             const char *cell);

/*
 * Does nothing. It is called with each cell that a commit has just made part of the system; a
 * debugger sets its breakpoint here and adds the cell's symbols.
 */
CELL_API NOINLINE void loader_announce(const struct cell *cell);

/* Sums since the start. Ticks are those of the time stamp counter. */
struct loader_statistics {
    uint64_t loads; /* transactions that were committed, adoption not counted */
    uint64_t failed_loads;
    uint64_t cells;       /* now in the system */
    uint64_t sections;    /* of them that are loaded */
    uint64_t relocations; /* applied, adoption included */
    uint64_t load_ticks;  /* from request to commit, without adoption */
    uint64_t adopt_ticks;
    uint64_t relocation_ticks; /* within link_unit_relocate() */
    uint64_t metadata_bytes;   /* heap that describes the cells */
    uint64_t region_bytes;     /* pages of loaded cells, static ones not counted */
};

CELL_API struct loader_statistics loader_statistics(void);
