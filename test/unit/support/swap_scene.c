/* SPDX-License-Identifier: MIT */
#include "swap_scene.h"
#include "archive_maker.h"
#include "loaded_cells.h"
#include "loader.h"
#include "loading_frame.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

static const char *folder;
static const void **archives; /* owned, and each of them */
static size_t archive_count;
static struct baseline at_start;
static bool has_begun;

uint64_t scene_kept_blocks;

static struct span read_cell(const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s.cell", folder, name);
    return archive_read_file(path);
}

struct span scene_bundle(const char *const cells[])
{
    struct archive_maker maker = {0};
    for (size_t i = 0; cells[i]; i++) {
        archive_maker_add(&maker, cells[i], read_cell(cells[i]));
    }
    struct span archive = archive_maker_write(&maker);
    for (size_t i = 0; i < maker.count; i++) {
        free((void *)maker.members[i].object.base);
    }
    archives = realloc(archives, (archive_count + 1) * sizeof(*archives));
    assert_non_null(archives);
    archives[archive_count++] = archive.base;
    return archive;
}

struct cell_namespace *scene_begin(const char *const cells[])
{
    struct cell_namespace *here = cell_namespace_initial();
    struct diag diag = {0};
    assert_int_equal(loader_init(scene_bundle(cells), &diag), OK);
    assert_int_equal(diag.code, DIAG_NONE);
    at_start = has_begun ? at_start : loading_measure();
    has_begun = true;
    for (size_t i = 0; cells[i]; i++) {
        load(here, cells[i]);
    }
    return here;
}

struct cell *scene_cell(const char *name)
{
    struct cell *cell = cell_namespace_find_cell(cell_namespace_initial(), name);
    assert_non_null(cell);
    return cell;
}

static const struct symbol *lookup(const char *name)
{
    const struct symbol *symbol = find(cell_namespace_initial(), name);
    assert_non_null(symbol);
    return symbol;
}

uint64_t scene_entry(const char *symbol)
{
    uint64_t entry = lookup(symbol)->entry;
    assert_int_not_equal(entry, 0);
    return entry;
}

uint64_t scene_address(const char *symbol)
{
    return lookup(symbol)->address;
}

uint64_t scene_call(uint64_t address)
{
    return ((uint64_t(*)(void))address)();
}

uint64_t scene_place(const struct cell *cell, const char *symbol)
{
    for (uint32_t i = 1; i < cell->object.symbol_count; i++) {
        const struct elf64_sym *at = &cell->object.symbols[i];
        if (strcmp(elf_object_symbol_name(&cell->object, i), symbol) == 0 &&
            at->st_shndx != SHN_UNDEF) {
            return cell->sections[at->st_shndx].address + at->st_value;
        }
    }
    fail_msg("%s has no %s", cell->name, symbol);
    abort();
}

int scene_setup(void **state)
{
    (void)state;
    scene_kept_blocks = 0;
    has_begun = false;
    cell_namespace_init(cell_namespace_initial(), "initial", NULL);
    return 0;
}

int scene_teardown(void **state)
{
    (void)state;
    host_memory_fail(0, 0);
    end_namespace(cell_namespace_initial());
    struct baseline now = loading_measure();
    assert_int_equal(now.use.heap_blocks, at_start.use.heap_blocks + scene_kept_blocks);
    assert_int_equal(now.use.code_pages, at_start.use.code_pages);
    assert_int_equal(now.use.data_pages, at_start.use.data_pages);
    assert_int_equal(now.entries, at_start.entries);
    check_all_addresses((const struct cell_namespace *const[]){NULL});
    while (archive_count > 0) {
        free((void *)archives[--archive_count]);
    }
    free(archives);
    archives = NULL;
    return 0;
}

bool scene_start(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER_OF_CELLS\n", argv[0]);
        return false;
    }
    folder = argv[1];
    return true;
}
