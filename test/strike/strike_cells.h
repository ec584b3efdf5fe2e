/* SPDX-License-Identifier: MIT */
/*
 * strike_cells.h - real cells of the build, loaded by the real loader in a program that is struck.
 *
 * Why: loads and swaps ask the same of what is left after a strike: names, bindings, the address
 * map and all memory tell one story, which is known from the cells that are there. The heap and the
 * machine's pages are stand-ins that know what is out.
 *
 * Rules: those of strike.h. Cells are in the initial namespace, which stands on one that has
 * task_sleep(). Functions end the check by a failure. STRIKE_PAGES, STRIKE_HEAP_BYTES and
 * STRIKE_BLOCKS say how much there is.
 */
#pragma once

#include "cell_namespace.h"
#include "status.h"

#include <stdbool.h>
#include <stdint.h>

/* One of so many instructions of a load's end, and of what comes after loads, is struck in the short
 * form. */
#ifndef STRIKE_EVERY_LATE
    #define STRIKE_EVERY_LATE 3u
#endif

/* For main(): maps the archive of the build, which the argument names. */
bool strike_cells_start(int argc, char **argv);

/* For prepare(): a namespace without cells. */
void strike_cells_prepare(void);

struct cell_namespace *strike_here(void);
bool is_there(const char *name);
enum status load(const char *name);
void must_load(const char *name);
void must_unload(const char *name);

/* The address of a symbol of a cell that is loaded then. */
void *demand(const char *symbol);

/* ---- the truth ---- */

extern unsigned pages_left; /* requests for more are refused */
unsigned pages_out(void);
uint64_t last_page(void); /* which no cell has */
unsigned blocks_out(void);

void check_names(void);

/* Each binding of a cell is in one list, that of its target, and no other is in any. */
void check_bindings(void);

/* What cells have is found by its address, and no more. */
void check_addresses(void);

/* All memory is that of the loaded cells; there were no swaps. */
void check_memory(void);

/* All of that, and no lock is held. */
void check_all(void);
