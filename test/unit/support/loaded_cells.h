/* SPDX-License-Identifier: MIT */
/*
 * loaded_cells.h - checks everything that the system says about loaded cells.
 *
 * Why: the linker, its records and the bytes in memory must tell the same story. The checks start
 * from the pristine objects and the standards (gABI, psABI) and share no code with the linker.
 *
 * Rules: a failed check ends the test. Cells must not have run yet where their data is compared.
 */
#pragma once

#include "cell_namespace.h"

/* What was seen, so that a test can ask for more than nothing. */
struct cells_tally {
    size_t cells;
    size_t sections;
    size_t relocations;
    size_t branches;  /* that bind straight to a function */
    size_t addresses; /* of functions, taken: each binds to an entry */
};

/*
 * Each cell of the namespace: places and protection of its sections, bytes in memory (data too
 * where `with_data`), the value of each relocated field, the record of each relocation, entries;
 * and the lists of dependants, which hold each record once and nothing else. Counts into *tally.
 */
void check_cells(const struct cell_namespace *namespace, bool with_data, struct cells_tally *tally);

/*
 * Asks address_map_find() for every address from `start` up to `end`: it must know the sections of
 * the cells in these namespaces (a NULL ends the list), and nothing else.
 */
void check_addresses(uint64_t start, uint64_t end, const struct cell_namespace *const namespaces[]);

/* The same for all pages of the code arena. */
void check_all_addresses(const struct cell_namespace *const namespaces[]);

/* Unloads all cells of a namespace, dependants first. */
void unload_all(struct cell_namespace *namespace);
