/* SPDX-License-Identifier: MIT */
#include "loading_frame.h"
#include "address_map.h"
#include "archive_maker.h"
#include "diag.h"
#include "entry_pool.h"
#include "loaded_cells.h"
#include "loader.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

static struct span cells_archive;
static struct baseline at_start;

/* What is left over goes with the next change. */
static void settle_address_map(void)
{
    struct address_table *table = NULL;
    assert_int_equal(address_map_prepare(NULL, 0, NULL, &table), OK);
    address_map_publish(&table);
}

struct baseline loading_measure(void)
{
    settle_address_map();
    struct entry_pool_statistics entries = entry_pool_statistics();
    struct baseline now = {.use = host_memory_use(), .entries = entries.taken};
    now.use.code_pages -= entries.page_bytes / PAGE_SIZE;
    return now;
}

void loading_assert_same(struct baseline before)
{
    struct baseline now = loading_measure();
    assert_int_equal(now.use.heap_blocks, before.use.heap_blocks);
    assert_int_equal(now.use.heap_bytes, before.use.heap_bytes);
    assert_int_equal(now.use.code_pages, before.use.code_pages);
    assert_int_equal(now.use.data_pages, before.use.data_pages);
    assert_int_equal(now.entries, before.entries);
}

struct span loading_archive(void)
{
    return cells_archive;
}

static NORETURN void fail_with(const char *what, const struct diag *diag)
{
    char line[256];
    diag_format(diag, line, sizeof(line));
    fail_msg("%s: %s", what, line);
    abort();
}

void *demand(struct cell_namespace *namespace, const char *symbol)
{
    uint64_t address = 0;
    struct diag diag = {0};
    if (loader_demand(namespace, symbol, &address, &diag) != OK) {
        fail_with(symbol, &diag);
    }
    return (void *)address;
}

struct cell *load(struct cell_namespace *namespace, const char *name)
{
    struct cell *cell = NULL;
    struct diag diag = {0};
    if (loader_load(namespace, name, &cell, &diag) != OK) {
        fail_with(name, &diag);
    }
    return cell;
}

const struct symbol *find(const struct cell_namespace *namespace, const char *symbol)
{
    return cell_namespace_find(namespace, symbol, symbol_map_hash(symbol));
}

bool is_loaded(const struct cell_namespace *namespace, const char *cell)
{
    return cell_namespace_find_cell(namespace, cell) != NULL;
}

void end_namespace(struct cell_namespace *namespace)
{
    unload_all(namespace);
    assert_int_equal(cell_namespace_fini(namespace), OK);
}

int loading_setup(void **state)
{
    (void)state;
    struct diag diag = {0};
    assert_int_equal(loader_init(cells_archive, &diag), OK);
    assert_int_equal(diag.code, DIAG_NONE);
    at_start = loading_measure();
    return 0;
}

int loading_teardown(void **state)
{
    (void)state;
    host_memory_fail(0, 0);
    loading_assert_same(at_start);
    check_all_addresses((const struct cell_namespace *const[]){NULL});
    return 0;
}

bool loading_start(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s CELLS_ARCHIVE\n", argv[0]);
        return false;
    }
    cells_archive = archive_read_file(argv[1]);
    return true;
}
