/* SPDX-License-Identifier: MIT */
/*
 * Loads that must not happen: each is refused with a diag that names the culprit, and leaves no
 * trace. The archives are made of the build's cells, with names changed or bytes damaged; memory is
 * made to run out at every single request.
 */
#include "archive.h"
#include "cell_namespace.h"
#include "commit.h"
#include "diag.h"
#include "elf_object.h"
#include "format.h"
#include "heap_block.h"
#include "loader.h"
#include "mapped_pages.h"

#include "support/archive_maker.h"
#include "support/host_memory.h"
#include "support/host_symbols.h"
#include "support/loaded_cells.h"
#include "support/loading_frame.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

static const struct host_symbol heap_symbols[] = {
    {"heap_block_take_zeroed", heap_block_take_zeroed},
    {"heap_block_drop", heap_block_drop},
    {"commit_two_", commit_two_},
    {"commit_three_", commit_three_},
};

/* Demands a symbol and expects a refusal that leaves nothing behind; *out_diag says what it said.
 */
static void refuse_demand(struct cell_namespace *namespace, const char *symbol,
                          struct diag *out_diag)
{
    assert_int_equal(cell_namespace_reserve(namespace, 64, 4096), OK); /* so that no map grows */
    struct baseline before = loading_measure();
    uint32_t cells = namespace->cell_count;
    uint32_t symbols = namespace->symbols.count;
    uint64_t address = 0x1234;
    *out_diag = (struct diag){0};
    assert_int_not_equal(loader_demand(namespace, symbol, &address, out_diag), OK);
    assert_int_equal(address, 0x1234);
    assert_int_not_equal(out_diag->code, DIAG_NONE);
    assert_int_equal(namespace->cell_count, cells);
    assert_int_equal(namespace->symbols.count, symbols);
    loading_assert_same(before);
    struct cells_tally tally = {0};
    check_cells(namespace, true, &tally);
    check_all_addresses((const struct cell_namespace *const[]){namespace, NULL});
}

/* ---- archives with changed cells ---- */

struct changed_archive {
    struct archive_maker maker; /* owns the objects */
    struct span archive;
};

/* Adds a copy of a cell; the caller changes what is returned. */
static struct span add_copy(struct changed_archive *changed, const char *original, const char *name)
{
    struct span object = archive_copy_cell(loading_archive(), original);
    if (strcmp(original, name) != 0) {
        object_rename(object, original, name);
    }
    archive_maker_add(&changed->maker, name, object);
    return object;
}

static void use_archive(struct changed_archive *changed)
{
    changed->archive = archive_maker_write(&changed->maker);
    assert_int_equal(loader_init(changed->archive, NULL), OK);
}

/* Back to the build's archive, before the changed one ends. */
static void end_archive(struct changed_archive *changed)
{
    assert_int_equal(loader_init(loading_archive(), NULL), OK);
    for (size_t i = 0; i < changed->maker.count; i++) {
        free((void *)changed->maker.members[i].object.base);
    }
    free((void *)changed->archive.base);
}

static void make_exports_weak(struct span object)
{
    struct elf_object opened;
    assert_int_equal(elf_object_open(object, &opened, NULL), OK);
    for (uint32_t i = opened.first_global; i < opened.symbol_count; i++) {
        struct elf64_sym *symbol = (struct elf64_sym *)&opened.symbols[i];
        if (elf_symbol_is_export(symbol)) {
            symbol->st_info = (uint8_t)(STB_WEAK << 4 | elf_symbol_type(symbol));
        }
    }
}

/*
 * Three cells: cell_namespace, which needs symbol_map and, under another name for one function, its
 * copy tymbol_map. What both export is defined twice.
 */
static struct span add_two_maps(struct changed_archive *changed, const char *copy_name)
{
    struct span user = add_copy(changed, "cell_namespace", "cell_namespace");
    add_copy(changed, "symbol_map", "symbol_map");
    struct span copy = add_copy(changed, "symbol_map", copy_name);
    add_copy(changed, "freestanding", "freestanding");
    object_rename(user, "symbol_map_find", "tymbol_map_find");
    object_rename(copy, "symbol_map_find", "tymbol_map_find");
    return copy;
}

/* ---- refusals ---- */

static void what_is_not_in_the_archive_is_named(void **state)
{
    struct cell_namespace here;
    struct diag diag;
    struct cell *cell;
    cell_namespace_init(&here, "here", NULL);
    load(&here, "sort");
    refuse_demand(&here, "no_such_symbol", &diag);
    assert_int_equal(diag.code, DIAG_LINK_MISSING_SYMBOL);
    assert_string_equal(diag.symbol, "no_such_symbol");
    assert_int_equal(loader_load(&here, "no_such_cell", &cell, &diag), ERR_NOT_FOUND);
    assert_int_equal(diag.code, DIAG_LINK_CELL);
    assert_string_equal(diag.cell, "no_such_cell");
    end_namespace(&here);
}

static void a_missing_symbol_is_named_with_the_cell_that_needs_it(void **state)
{
    struct changed_archive changed = {0};
    struct cell_namespace here;
    struct diag diag;
    cell_namespace_init(&here, "here", NULL);
    object_rename(add_copy(&changed, "sort", "sort"), "memcpy", "memcpx");
    use_archive(&changed);
    refuse_demand(&here, "sort_array", &diag);
    assert_int_equal(diag.code, DIAG_LINK_MISSING_SYMBOL);
    assert_string_equal(diag.cell, "sort");
    assert_string_equal(diag.symbol, "memcpx");
    end_namespace(&here);
    end_archive(&changed);
}

static void a_symbol_that_is_there_already_is_refused(void **state)
{
    struct changed_archive changed = {0};
    struct cell_namespace here;
    struct diag diag;
    cell_namespace_init(&here, "here", NULL);
    load(&here, "sort");
    add_copy(&changed, "sort", "port");
    use_archive(&changed);
    struct cell *cell;
    assert_int_equal(loader_load(&here, "port", &cell, &diag), ERR_DUPLICATE_SYMBOL);
    assert_int_equal(diag.code, DIAG_LINK_DUPLICATE_SYMBOL);
    assert_string_equal(diag.cell, "port");
    assert_string_equal(diag.symbol, "sort_array, also in sort");
    assert_false(is_loaded(&here, "port"));
    end_namespace(&here);
    end_archive(&changed);
}

static void two_definitions_in_one_load_are_refused(void **state)
{
    static struct host_symbols host;
    struct changed_archive changed = {0};
    struct cell_namespace here;
    struct diag diag;
    host_symbols_init(&host, heap_symbols, ARRAY_COUNT(heap_symbols));
    cell_namespace_init(&here, "here", &host.namespace);
    add_two_maps(&changed, "tymbol_map");
    use_archive(&changed);
    refuse_demand(&here, "cell_namespace_find", &diag);
    assert_int_equal(diag.code, DIAG_LINK_DUPLICATE_SYMBOL);
    end_namespace(&here);
    end_archive(&changed);
    host_symbols_fini(&host);
}

/* The namespace must know the definition that everybody was bound to, whichever came first. */
static void a_strong_definition_beats_a_weak_one(void **state)
{
    static struct host_symbols host;
    for (int weak = 1; weak <= 2; weak++) {
        struct changed_archive changed = {0};
        struct cell_namespace here;
        struct cells_tally tally = {0};
        host_symbols_init(&host, heap_symbols, ARRAY_COUNT(heap_symbols));
        cell_namespace_init(&here, "here", &host.namespace);
        add_two_maps(&changed, "tymbol_map");
        make_exports_weak(changed.maker.members[weak].object);
        use_archive(&changed);
        demand(&here, "cell_namespace_find");
        assert_string_equal(find(&here, "symbol_map_hash")->section->cell->name,
                            changed.maker.members[3 - weak].name);
        check_cells(&here, true, &tally);
        end_namespace(&here);
        end_archive(&changed);
        host_symbols_fini(&host);
    }
}

static void a_cell_name_is_there_once(void **state)
{
    static struct host_symbols host;
    struct changed_archive changed = {0};
    struct cell_namespace here;
    struct diag diag;
    host_symbols_init(&host, heap_symbols, ARRAY_COUNT(heap_symbols));
    cell_namespace_init(&here, "here", &host.namespace);
    struct span copy = add_two_maps(&changed, "symbol_map");
    static const char *const exports[] = {"hash",     "capacity", "init",
                                          "has_room", "insert",   "remove"};
    for (size_t i = 0; i < ARRAY_COUNT(exports); i++) {
        char from[32];
        char to[32];
        snprintf(from, sizeof(from), "symbol_map_%s", exports[i]);
        snprintf(to, sizeof(to), "tymbol_map_%s", exports[i]);
        object_rename(copy, from, to);
    }
    use_archive(&changed);
    refuse_demand(&here, "cell_namespace_find", &diag); /* needs both of that name */
    assert_int_equal(diag.code, DIAG_LINK_DUPLICATE_CELL);
    assert_string_equal(diag.cell, "symbol_map");
    demand(&here, "symbol_map_find");
    refuse_demand(&here, "tymbol_map_find", &diag); /* one is there, the other is asked for */
    assert_int_equal(diag.code, DIAG_LINK_DUPLICATE_CELL);
    end_namespace(&here);
    end_archive(&changed);
    host_symbols_fini(&host);
}

static void a_cell_must_be_named_like_its_member(void **state)
{
    struct changed_archive changed = {0};
    struct cell_namespace here;
    struct diag diag;
    cell_namespace_init(&here, "here", NULL);
    struct span object = archive_copy_cell(loading_archive(), "sort");
    archive_maker_add(&changed.maker, "sorting", object);
    use_archive(&changed);
    refuse_demand(&here, "sort_array", &diag);
    assert_int_equal(diag.code, DIAG_CELL_NAME);
    assert_string_equal(diag.cell, "sorting");
    end_namespace(&here);
    end_archive(&changed);
}

static void an_index_that_promises_too_much_is_refused(void **state)
{
    struct changed_archive changed = {0};
    struct cell_namespace here;
    struct diag diag;
    cell_namespace_init(&here, "here", NULL);
    add_copy(&changed, "sort", "sort");
    add_copy(&changed, "status", "status"); /* only its names are there, memcpy is promised below */
    use_archive(&changed);
    struct archive archive;
    assert_int_equal(archive_open(changed.archive, &archive, NULL), OK);
    struct span index = span_of(archive.index_names.base, archive.index_names.size);
    uint8_t *name = memmem(index.base, index.size, "status_name", 12);
    assert_non_null(name);
    memcpy(name, "memcpy\0ghos", 12); /* two names now; status_text has no offset left */
    assert_int_equal(loader_init(changed.archive, NULL), OK);
    refuse_demand(&here, "sort_array", &diag);
    assert_int_equal(diag.code, DIAG_LINK_MISSING_SYMBOL);
    assert_string_equal(diag.cell, "sort");
    assert_string_equal(diag.symbol, "memcpy");
    refuse_demand(&here, "ghos", &diag);
    assert_int_equal(diag.code, DIAG_LINK_MISSING_SYMBOL);
    assert_string_equal(diag.symbol, "ghos");
    end_namespace(&here);
    end_archive(&changed);
}

static void a_damaged_cell_does_not_take_others_with_it(void **state)
{
    struct changed_archive changed = {0};
    struct cell_namespace here;
    struct diag diag;
    cell_namespace_init(&here, "here", NULL);
    add_copy(&changed, "sort", "sort");
    add_copy(&changed, "status", "status");
    use_archive(&changed);
    uint8_t *magic = memmem(changed.archive.base, changed.archive.size, "\177ELF", 4);
    assert_non_null(magic);
    magic[1] = 'e';
    refuse_demand(&here, "sort_array", &diag);
    assert_int_equal(diag.code, DIAG_ELF_MAGIC);
    assert_string_equal(diag.cell, "sort");
    assert_string_equal(((__typeof__(status_name) *)demand(&here, "status_name"))(ERR_BUSY),
                        "ERR_BUSY");
    end_namespace(&here);
    end_archive(&changed);
}

/* ---- memory that runs out ---- */

/* Refuses each request of these kinds in turn; the last attempt, with none refused, succeeds. */
static uint64_t starve(struct cell_namespace *namespace, const char *symbol, unsigned kinds,
                       bool is_fresh)
{
    struct diag diag;
    for (uint64_t n = 1;; n++) {
        struct baseline before = loading_measure();
        uint32_t cells = namespace->cell_count;
        uint32_t symbols = namespace->symbols.count;
        uint64_t address = 0x1234;
        diag = (struct diag){0};
        host_memory_fail(kinds, n);
        enum status status = loader_demand(namespace, symbol, &address, &diag);
        uint64_t requests = host_memory_fail(0, 0);
        if (status == OK) {
            assert_int_equal(requests, n - 1);
            return n - 1;
        }
        assert_true(requests >= n);
        assert_true(diag.code == DIAG_LINK_MEMORY || diag.code == DIAG_LINK_ENTRIES);
        assert_int_equal(address, 0x1234);
        assert_int_equal(namespace->cell_count, cells);
        assert_int_equal(namespace->symbols.count, symbols);
        if (is_fresh) { /* its maps may have grown: they are no trace, but count */
            assert_int_equal(cell_namespace_fini(namespace), OK);
        }
        loading_assert_same(before);
        struct cells_tally tally = {0};
        check_cells(namespace, true, &tally);
        check_all_addresses((const struct cell_namespace *const[]){namespace, NULL});
    }
}

static void run_format(struct cell_namespace *namespace)
{
    char text[16];
    ((__typeof__(format_into) *)demand(namespace, "format_into"))(text, sizeof(text), "%d", 7);
    assert_string_equal(text, "7");
}

static void every_refused_request_leaves_no_trace(void **state)
{
    struct cell_namespace here;
    cell_namespace_init(&here, "here", NULL);
    uint64_t requests =
        starve(&here, "link_unit_plan", HOST_REQUEST_HEAP | HOST_REQUEST_PAGES, true);
    struct cells_tally tally = {0};
    check_cells(&here, true, &tally);
    assert_true(tally.cells >= 8 && requests > 4 * tally.cells);
    print_message("%zu cells: %lu requests, each refused once\n", tally.cells,
                  (unsigned long)requests);
    run_format(&here);
    end_namespace(&here);
}

static void every_refused_request_leaves_present_cells_alone(void **state)
{
    struct cell_namespace here;
    cell_namespace_init(&here, "here", NULL);
    load(&here, "sort");
    load(&here, "format");
    assert_int_equal(cell_namespace_reserve(&here, 64, 4096), OK);
    starve(&here, "loader_demand", HOST_REQUEST_HEAP | HOST_REQUEST_PAGES, false);
    run_format(&here);
    end_namespace(&here);
}

static void every_refused_protection_leaves_no_trace(void **state)
{
    struct cell_namespace here;
    cell_namespace_init(&here, "here", NULL);
    uint64_t requests = starve(&here, "link_unit_plan", HOST_REQUEST_PROTECT, true);
    assert_true(requests >= 2 * here.cell_count); /* text and rodata of each */
    run_format(&here);
    end_namespace(&here);
}

/* In a namespace of another namespace the parent's cells gain no dependants by a failure. */
static void a_refused_load_leaves_the_parent_alone(void **state)
{
    struct cell_namespace parent;
    struct cell_namespace child;
    struct cells_tally tally = {0};
    cell_namespace_init(&parent, "parent", NULL);
    cell_namespace_init(&child, "child", &parent);
    struct cell *freestanding = load(&parent, "freestanding");
    struct diag diag;
    for (uint64_t n = 1;; n++) {
        uint64_t address;
        host_memory_fail(HOST_REQUEST_HEAP, n);
        enum status status = loader_demand(&child, "sort_array", &address, &diag);
        host_memory_fail(0, 0);
        check_cells(&parent, true, &tally);
        if (status == OK) {
            break;
        }
        for (uint32_t i = 0; i < freestanding->object.section_count; i++) {
            assert_null(freestanding->sections[i].incoming);
        }
    }
    check_cells(&child, true, &tally);
    end_namespace(&child);
    end_namespace(&parent);
}

static void an_unload_that_lacks_memory_changes_nothing(void **state)
{
    struct cell_namespace here;
    struct cells_tally tally = {0};
    cell_namespace_init(&here, "here", NULL);
    struct cell *sort = load(&here, "sort");
    struct baseline before = loading_measure();
    host_memory_fail(HOST_REQUEST_HEAP, 1);
    assert_int_equal(loader_unload(sort, NULL), ERR_NO_MEMORY);
    host_memory_fail(0, 0);
    loading_assert_same(before);
    check_cells(&here, true, &tally);
    check_all_addresses((const struct cell_namespace *const[]){&here, NULL});
    end_namespace(&here);
}

/* And the one before stays in use. */
static void an_archive_that_lacks_memory_is_refused(void **state)
{
    struct diag diag = {0};
    for (uint64_t n = 1;; n++) {
        host_memory_fail(HOST_REQUEST_HEAP, n);
        enum status status = loader_init(loading_archive(), &diag);
        uint64_t requests = host_memory_fail(0, 0);
        if (status == OK) {
            assert_true(requests >= 4 && requests == n - 1);
            break;
        }
        assert_int_equal(diag.code, DIAG_LINK_MEMORY);
        struct cell_namespace here;
        cell_namespace_init(&here, "here", NULL);
        load(&here, "sort");
        end_namespace(&here);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        /* First, so that the first pages of entries are among what is refused. */
        LOADING_TEST(every_refused_request_leaves_no_trace),
        LOADING_TEST(what_is_not_in_the_archive_is_named),
        LOADING_TEST(a_missing_symbol_is_named_with_the_cell_that_needs_it),
        LOADING_TEST(a_symbol_that_is_there_already_is_refused),
        LOADING_TEST(two_definitions_in_one_load_are_refused),
        LOADING_TEST(a_strong_definition_beats_a_weak_one),
        LOADING_TEST(a_cell_name_is_there_once),
        LOADING_TEST(a_cell_must_be_named_like_its_member),
        LOADING_TEST(an_index_that_promises_too_much_is_refused),
        LOADING_TEST(a_damaged_cell_does_not_take_others_with_it),
        LOADING_TEST(every_refused_request_leaves_present_cells_alone),
        LOADING_TEST(every_refused_protection_leaves_no_trace),
        LOADING_TEST(a_refused_load_leaves_the_parent_alone),
        LOADING_TEST(an_unload_that_lacks_memory_changes_nothing),
        LOADING_TEST(an_archive_that_lacks_memory_is_refused),
    };
    return loading_run(argc, argv, tests);
}
