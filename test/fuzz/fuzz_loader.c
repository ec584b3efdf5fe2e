/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as cells.a of a running system: the loader opens it, loads members and symbols, and
 * unloads all of it. Whatever the archive says, nothing may be left behind: no block of heap, no
 * page, no entry. Nothing that was loaded is run.
 */
#include "address_map.h"
#include "archive.h"
#include "cell_namespace.h"
#include "diag.h"
#include "entry_pool.h"
#include "loader.h"

#include "../unit/support/host_memory.h"

#include <stdlib.h>
#include <string.h>

#define MAX_REQUESTS 12 /* of each kind; more of the same shows nothing new */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(bool holds)
{
    if (!holds) {
        abort();
    }
}

struct trace {
    struct host_memory_use use;
    uint64_t entries;
};

static struct trace measure(void)
{
    struct address_table *table = NULL; /* what is left over goes with the next change */
    check(address_map_prepare(NULL, 0, NULL, &table) == OK);
    address_map_publish(&table);
    struct entry_pool_statistics entries = entry_pool_statistics();
    struct trace trace = {.use = host_memory_use(), .entries = entries.taken};
    trace.use.code_pages -= entries.page_bytes / PAGE_SIZE;
    return trace;
}

static void check_refusal(const struct diag *diag, enum status status)
{
    char line[512];
    check(diag->code != DIAG_NONE && diag->status == status);
    diag_format(diag, line, sizeof(line));
}

static void load_members(struct cell_namespace *namespace)
{
    uint64_t cursor = 0;
    const char *name;
    for (int i = 0; i < MAX_REQUESTS && (name = loader_next_member(&cursor)); i++) {
        struct cell *cell = NULL;
        struct diag diag = {0};
        uint32_t before = namespace->cell_count;
        enum status status = loader_load(namespace, name, &cell, &diag);
        if (status == OK) {
            check(cell && strcmp(cell->name, name) == 0);
        } else {
            check(namespace->cell_count == before);
            check_refusal(&diag, status);
        }
    }
}

static void demand_symbols(struct cell_namespace *namespace, struct span file)
{
    struct archive archive;
    struct archive_cursor cursor = {0};
    const char *symbol;
    uint64_t offset;
    check(archive_open(file, &archive, NULL) == OK);
    for (int i = 0; i < MAX_REQUESTS && archive_index_next(&archive, &cursor, &symbol, &offset);
         i++) {
        uint64_t address;
        struct diag diag = {0};
        uint32_t before = namespace->cell_count;
        enum status status = loader_demand(namespace, symbol, &address, &diag);
        if (status == OK) {
            check(cell_namespace_find(namespace, symbol, symbol_map_hash(symbol)) != NULL);
        } else {
            check(namespace->cell_count == before);
            check_refusal(&diag, status);
        }
    }
}

/* Every cell must be found by its name, and every section by its address. */
static void check_cells(const struct cell_namespace *namespace)
{
    for (const struct cell *cell = namespace->first; cell; cell = cell->next) {
        check(cell_namespace_find_cell(namespace, cell->name) == cell);
        for (uint32_t i = 0; i < cell->object.section_count; i++) {
            const struct section *section = &cell->sections[i];
            if (section->region != REGION_NONE && section->size > 0) {
                check(address_map_find(section->address) == section);
                check(address_map_find(section->address + section->size - 1) == section);
            }
        }
    }
}

/* Cells that need each other cannot be unloaded one by one; they are cut apart first. */
static void cut_apart(struct cell *cell)
{
    for (uint32_t i = 0; i < cell->object.section_count; i++) {
        cell->sections[i].incoming = NULL;
    }
    for (uint32_t i = 0; i < cell->binding_count; i++) {
        cell->bindings[i].target = NULL;
    }
}

static void unload_all(struct cell_namespace *namespace)
{
    while (namespace->first) {
        uint32_t before = namespace->cell_count;
        struct cell *next;
        for (struct cell *cell = namespace->first; cell; cell = next) {
            next = cell->next;
            enum status status = loader_unload(cell, NULL);
            check(status == OK || status == ERR_BUSY);
        }
        if (namespace->cell_count == before) {
            for (struct cell *cell = namespace->first; cell; cell = cell->next) {
                cut_apart(cell);
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct diag diag = {0};
    struct span file = span_of(bytes, size);
    enum status status = loader_init(file, &diag);
    if (status != OK) {
        check_refusal(&diag, status);
        return 0;
    }
    for (int order = 0; order < 2; order++) {
        struct cell_namespace namespace;
        struct trace before = measure();
        cell_namespace_init(&namespace, "fuzzed", NULL);
        if (order == 0) {
            demand_symbols(&namespace, file);
        }
        load_members(&namespace);
        check_cells(&namespace);
        unload_all(&namespace);
        check(cell_namespace_fini(&namespace) == OK);
        struct trace after = measure();
        check(memcmp(&before, &after, sizeof(before)) == 0);
    }
    return 0;
}
