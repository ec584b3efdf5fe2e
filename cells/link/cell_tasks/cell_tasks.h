/* SPDX-License-Identifier: MIT */
/*
 * cell_tasks.h - which cells have tasks in them.
 *
 * Why: a task keeps the cells alive that it can reach (T.3 of the OSDI paper). It begins in one
 * cell; all that this one needs stays because it is needed. So one count for each cell is enough,
 * and counting is one instruction, for spawning a task must stay cheap. A reference of the loader's
 * has a name and a lock, and costs more.
 *
 * Rules: who counts knows that the cell is there: it runs in it, or holds it. Any task. The count
 * changes together with the field that says whose it is (commit.h).
 */
#pragma once

#include "cell_metadata.h"

#define CELL_TASKS_NAME_SIZE 32u /* with the NUL */

/*
 * One task more in the cell that holds `address`, which is put into *out; where there is none
 * nothing is.
 */
CELL_API void cell_tasks_get(uint64_t address, struct cell **out);

/* One less, unless *slot is NULL, as it is then. */
CELL_API void cell_tasks_put(struct cell **slot);

/*
 * How many there are. If there are any, `name` is that of one, or empty where nobody knows. For the
 * loader, with its lock.
 */
CELL_API uint64_t cell_tasks_count(const struct cell *cell, char name[CELL_TASKS_NAME_SIZE]);

/*
 * Who knows the tasks of a cell: `find` puts those that have ended out of the way and writes the
 * name of one that has not. It is called by cell_tasks_count(), in a task that holds the loader's
 * lock.
 */
CELL_API void cell_tasks_set_finder(void (*find)(const struct cell *cell,
                                                 char name[CELL_TASKS_NAME_SIZE]));
