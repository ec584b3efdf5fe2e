/* SPDX-License-Identifier: MIT */
/*
 * loading_frame.h - what tests of the loader have in common: the build's archive, and the check
 * that nothing is left behind.
 *
 * Why: "leaves no trace" is the loader's main promise. Each test runs between two measurements.
 *
 * Rules: tests are made by LOADING_TEST() and run by loading_run(), whose only argument on the
 * command line is the build's cells.a. A failure ends the test.
 */
#pragma once

#include "cell_namespace.h"
#include "host_memory.h"
#include "span.h"

struct CMUnitTest;
struct diag;

/* What is in use. Caches that never shrink, the pages of entries, are left out. */
struct baseline {
    struct host_memory_use use;
    uint64_t entries;
};

struct baseline loading_measure(void);
void loading_assert_same(struct baseline before);

/* The build's cells.a. Each test starts with a loader that knows it. */
struct span loading_archive(void);

/* loader_demand(), loader_load() and cell_namespace_find() of what must be there. */
void *demand(struct cell_namespace *namespace, const char *symbol);
struct cell *load(struct cell_namespace *namespace, const char *name);
const struct symbol *find(const struct cell_namespace *namespace, const char *symbol);
bool is_loaded(const struct cell_namespace *namespace, const char *cell);

/* Unloads all cells and releases the namespace. */
void end_namespace(struct cell_namespace *namespace);

int loading_setup(void **state);
int loading_teardown(void **state);
#define LOADING_TEST(f) cmocka_unit_test_setup_teardown(f, loading_setup, loading_teardown)
#define loading_run(argc, argv, tests) \
    (loading_start((argc), (argv)) ? cmocka_run_group_tests(tests, NULL, NULL) : 2)
bool loading_start(int argc, char **argv);
