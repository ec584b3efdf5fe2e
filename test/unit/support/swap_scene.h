/* SPDX-License-Identifier: MIT */
/*
 * swap_scene.h - a namespace with a few loaded cells, which a test swaps for others.
 *
 * Why: swaps are tested with cells that were compiled for it (swap_cells/), each test with those
 * that it names. The system's archive holds what is loaded at first, a bundle what comes.
 *
 * Rules: the command line names the folder of the cells. SCENE_TEST() checks that a test leaves
 * nothing behind: it ends its swaps and forgets what was replaced. The namespace is the initial
 * one. A failure ends the test.
 */
#pragma once

#include "cell_namespace.h"
#include "diag.h"
#include "span.h"

#define SCENE_CELLS_MAX 12

/* Names of cells; NULL ends the list. */
#define CELLS(...) ((const char *const[SCENE_CELLS_MAX]){__VA_ARGS__})

/* The system: an archive of these cells, all loaded. Returns the namespace. */
struct cell_namespace *scene_begin(const char *const cells[]);

/* An archive of these; it lives as long as the test. */
struct span scene_bundle(const char *const cells[]);

struct cell *scene_cell(const char *name);

/* An exported function of the loaded cells, by its entry, or by its address; it must be there. */
uint64_t scene_entry(const char *symbol);
uint64_t scene_address(const char *symbol);

/* Calls that address. */
uint64_t scene_call(uint64_t address);

/* Where a function or variable of a cell lies, a local one too. */
uint64_t scene_place(const struct cell *cell, const char *symbol);

/* Heap blocks that swaps rightly keep, more than before the test. */
extern uint64_t scene_kept_blocks;

int scene_setup(void **state);
int scene_teardown(void **state);
#define SCENE_TEST(f) cmocka_unit_test_setup_teardown(f, scene_setup, scene_teardown)
bool scene_start(int argc, char **argv);
