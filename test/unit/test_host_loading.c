/* SPDX-License-Identifier: MIT */
/*
 * The loader, compiled natively, loads the real cells of the build into this process and calls into
 * them. What it leaves in memory and in its records is checked by support/loaded_cells.
 */
#include "archive.h"
#include "cell_namespace.h"
#include "diag.h"
#include "elf_object.h"
#include "entry_pool.h"
#include "format.h"
#include "heap.h"
#include "link_unit.h"
#include "loader.h"
#include "mapped_pages.h"
#include "range_tree.h"
#include "sort.h"
#include "address_map.h"
#include "relocation.h"

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

/* ---- loading on demand ---- */

static void demand_loads_what_is_needed_and_no_more(void **state)
{
    struct cell_namespace here;
    cell_namespace_init(&here, "here", NULL);
    demand(&here, "sort_array");
    assert_true(is_loaded(&here, "sort") && is_loaded(&here, "freestanding"));
    assert_int_equal(here.cell_count, 2);
    demand(&here, "diag_set");
    assert_true(is_loaded(&here, "diag") && is_loaded(&here, "format"));
    assert_int_equal(here.cell_count, 4);
    end_namespace(&here);
}

static void a_cell_is_loaded_once(void **state)
{
    struct cell_namespace here;
    cell_namespace_init(&here, "here", NULL);
    void *sort = demand(&here, "sort_array");
    struct cell *freestanding = load(&here, "freestanding");
    struct host_memory_use use = host_memory_use();
    assert_ptr_equal(demand(&here, "sort_array"), sort);
    assert_ptr_equal(load(&here, "freestanding"), freestanding);
    assert_int_equal(memcmp(&use, &(struct host_memory_use[]){host_memory_use()}, sizeof(use)), 0);
    demand(&here, "format_into"); /* needs freestanding, too */
    assert_int_equal(here.cell_count, 3);
    assert_ptr_equal(load(&here, "freestanding"), freestanding);
    end_namespace(&here);
}

/* All members but those that only the static image has: nano_core_image is defined by no cell. */
static size_t load_whole_archive(struct cell_namespace *namespace)
{
    size_t loaded = 0;
    uint64_t cursor = 0;
    const char *name;
    while ((name = loader_next_member(&cursor))) {
        struct cell *cell;
        struct diag diag = {0};
        if (loader_find_alternative(namespace, name)) {
            continue;
        }
        enum status status = loader_load(namespace, name, &cell, &diag);
        if (status != OK) {
            assert_int_equal(diag.code, DIAG_LINK_MISSING_SYMBOL);
            assert_string_equal(diag.symbol, "nano_core_image");
        }
        loaded += status == OK;
    }
    return loaded;
}

static void every_cell_of_the_archive_is_linked_right(void **state)
{
    struct cell_namespace here;
    struct cells_tally tally = {0};
    cell_namespace_init(&here, "here", NULL);
    size_t loaded = load_whole_archive(&here);
    assert_int_equal(here.cell_count, loaded);
    check_cells(&here, true, &tally);
    check_all_addresses((const struct cell_namespace *const[]){&here, NULL});
    assert_true(tally.cells >= 20 && tally.branches > 500 && tally.addresses > 10);
    print_message("%zu cells, %zu sections, %zu relocations: %zu branches, %zu entries taken\n",
                  tally.cells, tally.sections, tally.relocations, tally.branches, tally.addresses);
    struct loader_statistics statistics = loader_statistics();
    assert_int_equal(statistics.cells, tally.cells);
    assert_int_equal(statistics.sections, tally.sections);
    end_namespace(&here);
    assert_int_equal(loader_statistics().cells, 0);
    assert_int_equal(loader_statistics().region_bytes, 0);
    assert_int_equal(loader_statistics().metadata_bytes, 0);
}

/* ---- running what was loaded ---- */

static bool int_before(const void *a, const void *b)
{
    return *(const int *)a < *(const int *)b;
}

static void loaded_sort_sorts(void **state)
{
    struct cell_namespace here;
    cell_namespace_init(&here, "here", NULL);
    __typeof__(sort_array) *loaded_sort = demand(&here, "sort_array");
    assert_ptr_not_equal(loaded_sort, sort_array);
    assert_true(host_memory_is_executable((uint64_t)loaded_sort));
    int numbers[1000];
    for (int i = 0; i < 1000; i++) {
        numbers[i] = (i * 7919) % 1000;
    }
    loaded_sort(numbers, 1000, sizeof(int), int_before);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(numbers[i], i);
    }
    end_namespace(&here);
}

static void loaded_format_formats(void **state)
{
    struct cell_namespace here;
    char text[64];
    cell_namespace_init(&here, "here", NULL);
    __typeof__(format_into) *loaded_format = demand(&here, "format_into");
    size_t length = loaded_format(text, sizeof(text), "%-4s|%08llx|%+d%%", "ok", 0xbeefULL, 42);
    assert_string_equal(text, "ok  |0000beef|+42%");
    assert_int_equal(length, strlen(text));
    end_namespace(&here);
}

static void loaded_symbol_map_and_range_tree_agree_with_native_ones(void **state)
{
    struct cell_namespace here;
    cell_namespace_init(&here, "here", NULL);
    __typeof__(symbol_map_hash) *loaded_hash = demand(&here, "symbol_map_hash");
    assert_int_equal(loaded_hash("theoris"), symbol_map_hash("theoris"));

    __typeof__(range_tree_give) *loaded_give = demand(&here, "range_tree_give");
    __typeof__(range_tree_take) *loaded_take = demand(&here, "range_tree_take");
    struct range_node nodes[4] = {{.range = {.start = 100, .count = 50}},
                                  {.range = {.start = 120, .count = 1}}};
    struct range_node *spare[2] = {&nodes[2], &nodes[3]};
    struct range_node *unused[2];
    struct range_node *taken;
    struct range_tree tree = {0};
    assert_int_equal(loaded_give(&tree, &nodes[0], unused), OK);
    assert_int_equal(loaded_give(&tree, &nodes[1], unused), ERR_EXISTS);
    assert_int_equal(loaded_take(&tree, 8, 64, spare, &taken), OK);
    assert_int_equal(taken->range.start, 128);
    assert_true(range_tree_is_whole(&tree)); /* native code on the same structure */
    assert_ptr_equal(range_tree_find(&tree, 127), range_tree_find(&tree, 100));
    assert_null(range_tree_find(&tree, 128));
    end_namespace(&here);
}

/* ---- the loaded linker ---- */

struct linker {
    __typeof__(elf_object_open) *open;
    __typeof__(link_unit_sizes) *sizes;
    __typeof__(link_unit_plan) *plan;
    __typeof__(link_unit_place) *place;
    __typeof__(link_unit_copy) *copy;
    __typeof__(link_unit_resolve) *resolve;
    __typeof__(link_unit_relocate) *relocate;
    __typeof__(link_unit_write_entries) *write_entries;
};

struct linked {
    struct elf_object object;
    struct link_sizes sizes;
    struct link_memory memory;
    struct cell cell;
    struct link_unit unit;
    uint8_t *bytes[REGION_COUNT];
    uint8_t *entries;
    struct diag diag;
};

static const struct symbol *look_up_anything(void *context, const char *name, uint32_t hash)
{
    static struct symbol symbol;
    symbol = (struct symbol){.address = 0xffffffff90000000 + hash % 0x1000000, .type = STT_FUNC};
    return &symbol;
}

static void link_with(const struct linker *linker, struct span file, struct linked *out)
{
    memset(out, 0, sizeof(*out));
    assert_int_equal(linker->open(file, &out->object, &out->diag), OK);
    linker->sizes(&out->object, &out->sizes);
    out->memory = (struct link_memory){
        .sections = calloc(out->sizes.sections, sizeof(struct section)),
        .by_address = calloc(out->sizes.sections, sizeof(uint32_t)),
        .symbols = calloc(out->sizes.exports + 1, sizeof(struct symbol)),
        .functions = calloc(out->sizes.functions + 1, sizeof(struct function)),
        .bindings = calloc(out->sizes.bindings + 1, sizeof(struct binding)),
        .places = calloc(out->sizes.sections, sizeof(struct section_place)),
        .resolved = calloc(out->sizes.symbols, sizeof(struct link_symbol)),
    };
    assert_int_equal(linker->plan(&out->unit, &out->cell, &out->object, &out->memory, &out->diag),
                     OK);
    for (uint32_t r = 0; r < REGION_COUNT; r++) {
        out->bytes[r] = malloc(out->unit.layout.sizes[r] + 1);
    }
    linker->place(&out->unit,
                  (const uint64_t[]){0xffffffff91000000, 0xffffffff92000000, 0xffffffff93000000},
                  out->bytes, 0xffffffff94000000);
    linker->copy(&out->unit);
    assert_int_equal(linker->resolve(&out->unit, look_up_anything, NULL, &out->diag), OK);
    assert_int_equal(linker->relocate(&out->unit, &out->diag), OK);
    out->entries = malloc((size_t)out->cell.entry_count * ENTRY_SIZE + 1);
    linker->write_entries(&out->unit, out->entries);
}

static void release_linked(struct linked *linked)
{
    free(linked->memory.sections);
    free(linked->memory.by_address);
    free(linked->memory.symbols);
    free(linked->memory.functions);
    free(linked->memory.bindings);
    free(linked->memory.places);
    free(linked->memory.resolved);
    free(linked->entries);
    for (uint32_t r = 0; r < REGION_COUNT; r++) {
        free(linked->bytes[r]);
    }
}

static ptrdiff_t section_index(const struct linked *linked, const struct section *section)
{
    return section ? section - linked->memory.sections : -1;
}

static void assert_linked_alike(const struct linked *a, const struct linked *b)
{
    assert_memory_equal(&a->sizes, &b->sizes, sizeof(a->sizes));
    for (uint32_t r = 0; r < REGION_COUNT; r++) {
        assert_int_equal(a->unit.layout.sizes[r], b->unit.layout.sizes[r]);
        if (a->unit.layout.sizes[r]) {
            assert_memory_equal(a->bytes[r], b->bytes[r], a->unit.layout.sizes[r]);
        }
    }
    assert_int_equal(a->cell.entry_count, b->cell.entry_count);
    if (a->cell.entry_count) {
        assert_memory_equal(a->entries, b->entries, (size_t)a->cell.entry_count * ENTRY_SIZE);
    }
    assert_int_equal(a->cell.relocation_count, b->cell.relocation_count);
    struct relocation_walk walk_a = {0};
    struct relocation_walk walk_b = {0};
    struct dependency x;
    struct dependency y;
    while (relocation_next(&a->cell, &walk_a, &x)) {
        assert_true(relocation_next(&b->cell, &walk_b, &y));
        assert_int_equal(section_index(a, x.source), section_index(b, y.source));
        assert_int_equal(section_index(a, x.target), section_index(b, y.target));
        assert_true(x.offset == y.offset && x.target_offset == y.target_offset &&
                    x.type == y.type && x.symbol == y.symbol && x.via_entry == y.via_entry);
    }
    assert_false(relocation_next(&b->cell, &walk_b, &y));
    assert_int_equal(a->cell.binding_count, b->cell.binding_count);
    for (uint32_t i = 0; i < a->cell.binding_count; i++) {
        assert_int_equal(a->cell.bindings[i].symbol, b->cell.bindings[i].symbol);
        assert_int_equal(a->cell.bindings[i].is_via_entry, b->cell.bindings[i].is_via_entry);
    }
}

static void loaded_linker_links_like_the_native_one(void **state)
{
    struct cell_namespace here;
    cell_namespace_init(&here, "here", NULL);
    const struct linker native = {elf_object_open,    link_unit_sizes,        link_unit_plan,
                                  link_unit_place,    link_unit_copy,         link_unit_resolve,
                                  link_unit_relocate, link_unit_write_entries};
    const struct linker loaded = {
        demand(&here, "elf_object_open"),    demand(&here, "link_unit_sizes"),
        demand(&here, "link_unit_plan"),     demand(&here, "link_unit_place"),
        demand(&here, "link_unit_copy"),     demand(&here, "link_unit_resolve"),
        demand(&here, "link_unit_relocate"), demand(&here, "link_unit_write_entries")};
    uint64_t cursor = 0;
    const char *name;
    while ((name = loader_next_member(&cursor))) {
        struct span object = archive_copy_cell(loading_archive(), name);
        struct linked a;
        struct linked b;
        link_with(&native, object, &a);
        link_with(&loaded, object, &b);
        assert_linked_alike(&a, &b);
        release_linked(&a);
        release_linked(&b);
        free((void *)object.base);
    }
    end_namespace(&here);
}

static void loaded_reader_refuses_like_the_native_one(void **state)
{
    struct cell_namespace here;
    cell_namespace_init(&here, "here", NULL);
    __typeof__(elf_object_open) *loaded_open = demand(&here, "elf_object_open");
    struct span object = archive_copy_cell(loading_archive(), "sort");
    for (size_t i = 0; i < object.size; i++) {
        uint8_t *byte = (uint8_t *)object.base + i;
        struct elf_object a;
        struct elf_object b;
        struct diag native = {0};
        struct diag loaded = {0};
        *byte ^= 0x81;
        assert_int_equal(elf_object_open(object, &a, &native), loaded_open(object, &b, &loaded));
        assert_memory_equal(&native, &loaded, sizeof(native));
        *byte ^= 0x81;
    }
    free((void *)object.base);
    end_namespace(&here);
}

/* ---- a loader that was loaded ---- */

#define INNER_MAX 4096
static void *inner_blocks[INNER_MAX];
static struct mapped_pages *inner_pages[INNER_MAX];

static void *inner_allocate(size_t size)
{
    for (size_t i = 0; i < INNER_MAX; i++) {
        if (!inner_blocks[i]) {
            return inner_blocks[i] = heap_allocate(size);
        }
    }
    return NULL;
}

static void inner_free(void *block)
{
    for (size_t i = 0; block && i < INNER_MAX; i++) {
        if (inner_blocks[i] == block) {
            inner_blocks[i] = NULL;
        }
    }
    heap_free(block);
}

static bool inner_allocate_to(size_t size, void *out)
{
    void *block = inner_allocate(size);
    memcpy(out, &block, sizeof(block));
    return block != NULL;
}

static void inner_free_from(void *slot)
{
    void *block;
    memcpy(&block, slot, sizeof(block));
    memset(slot, 0, sizeof(block));
    inner_free(block);
}

static enum status inner_pages_create(enum page_zone zone, size_t bytes, unsigned flags,
                                      struct mapped_pages **out)
{
    enum status status = mapped_pages_create_raw(zone, bytes, flags, out);
    for (size_t i = 0; status == OK; i++) {
        if (!inner_pages[i]) {
            inner_pages[i] = *out;
            break;
        }
    }
    return status;
}

static void inner_pages_drop(struct mapped_pages **handle)
{
    for (size_t i = 0; *handle && i < INNER_MAX; i++) {
        if (inner_pages[i] == *handle) {
            inner_pages[i] = NULL;
        }
    }
    mapped_pages_drop(handle);
}

/* Cells that keep state have no end: what the inner loader still holds is released from outside. */
static size_t release_inner(void)
{
    size_t count = 0;
    for (size_t i = 0; i < INNER_MAX; i++) {
        count += inner_blocks[i] != NULL;
        inner_free(inner_blocks[i]);
        mapped_pages_drop(&inner_pages[i]);
    }
    return count;
}

static const struct host_symbol inner_symbols[] = {
    {"heap_allocate", inner_allocate},
    {"heap_free", inner_free},
    {"heap_allocate_to", inner_allocate_to},
    {"heap_free_from", inner_free_from},
    {"mapped_pages_create_raw", inner_pages_create},
    {"mapped_pages_drop", inner_pages_drop},
    {"mapped_pages_remap", mapped_pages_remap},
    {"mapped_pages_start", mapped_pages_start},
    {"mapped_pages_count", mapped_pages_count},
    /* A cell's own would write text as only a kernel can. */
    {"entry_pool_take", entry_pool_take},
    {"entry_pool_write", entry_pool_write},
    {"entry_pool_give_back", entry_pool_give_back},
    {"entry_pool_give_back_one", entry_pool_give_back_one},
    {"entry_pool_holds", entry_pool_holds},
};

static void a_loaded_loader_loads(void **state)
{
    static struct host_symbols host;
    struct cell_namespace here;
    struct cell_namespace inner;
    struct diag diag = {0};
    host_symbols_init(&host, inner_symbols, ARRAY_COUNT(inner_symbols));
    cell_namespace_init(&here, "here", &host.namespace);
    __typeof__(loader_init) *inner_init = demand(&here, "loader_init");
    __typeof__(loader_demand) *inner_demand = demand(&here, "loader_demand");
    __typeof__(loader_unload) *inner_unload = demand(&here, "loader_unload");
    __typeof__(cell_namespace_init) *namespace_init = demand(&here, "cell_namespace_init");
    assert_false(is_loaded(&here, "heap") || is_loaded(&here, "mapped_pages"));

    uint64_t address;
    namespace_init(&inner, "inner", NULL);
    assert_int_equal(inner_init(loading_archive(), &diag), OK);
    assert_int_equal(inner_demand(&inner, "no_such_symbol", &address, &diag), ERR_MISSING_SYMBOL);
    assert_string_equal(diag.symbol, "no_such_symbol");
    assert_int_equal(inner_demand(&inner, "format_into", &address, &diag), OK);
    char text[32];
    ((__typeof__(format_into) *)address)(text, sizeof(text), "%d cells", (int)inner.cell_count);
    assert_string_equal(text, "2 cells");

    struct cells_tally tally = {0};
    check_cells(&inner, true, &tally);
    while (inner.first) {
        enum status status = inner_unload(inner.first, NULL);
        assert_true(status == OK || inner_unload(inner.last, NULL) == OK);
    }
    assert_int_equal(inner.cell_count, 0);
    end_namespace(&here);
    assert_true(release_inner() > 0);
    host_symbols_fini(&host);
}

/* ---- branches and addresses ---- */

static void calls_are_direct_and_addresses_are_entries(void **state)
{
    struct cell_namespace here;
    cell_namespace_init(&here, "here", NULL);
    uint8_t *entry = demand(&here, "sort_array");
    const struct symbol *symbol = find(&here, "sort_array");
    int32_t distance;
    memcpy(&distance, entry + 1, sizeof(distance));
    assert_int_equal(entry[0], 0xe9);
    assert_int_equal((uint64_t)entry, symbol->entry);
    assert_int_equal((uint64_t)entry + 5 + (uint64_t)(int64_t)distance, symbol->address);
    assert_int_equal((uint64_t)entry % ENTRY_SIZE, 0);

    /* sort calls memcpy, or jumps there last: the distance leads to the function itself. */
    const struct symbol *memcpy_symbol = find(&here, "memcpy");
    const struct cell *sort = load(&here, "sort");
    size_t calls = 0;
    struct relocation_walk walk = {0};
    struct dependency reference;
    while (relocation_next(sort, &walk, &reference)) {
        if (reference.target == memcpy_symbol->section) {
            uint8_t *field = (uint8_t *)reference.source->address + reference.offset;
            memcpy(&distance, field, sizeof(distance));
            assert_int_equal(field[-1] & 0xfe, 0xe8); /* E8 call, E9 jmp */
            assert_int_equal((uint64_t)field + 4 + (uint64_t)(int64_t)distance,
                             memcpy_symbol->address);
            assert_int_not_equal(memcpy_symbol->address, memcpy_symbol->entry);
            calls++;
        }
    }
    assert_true(calls > 0);
    end_namespace(&here);
}

/* ---- unloading ---- */

static void a_cell_in_use_stays(void **state)
{
    struct cell_namespace here;
    cell_namespace_init(&here, "here", NULL);
    demand(&here, "sort_array");
    struct cell *freestanding = load(&here, "freestanding");
    struct host_memory_use use = host_memory_use();
    assert_int_equal(loader_unload(freestanding, NULL), ERR_BUSY);
    assert_int_equal(memcmp(&use, &(struct host_memory_use[]){host_memory_use()}, sizeof(use)), 0);
    struct cells_tally tally = {0};
    check_cells(&here, true, &tally);
    assert_int_equal(loader_unload(load(&here, "sort"), NULL), OK);
    assert_int_equal(loader_unload(freestanding, NULL), OK);
    assert_null(find(&here, "memcpy"));
    assert_int_equal(here.cell_count, 0);
    end_namespace(&here);
}

static void an_unloaded_cell_is_gone_and_its_entries_trap(void **state)
{
    struct cell_namespace here;
    cell_namespace_init(&here, "here", NULL);
    load(&here, "freestanding");
    struct baseline before = loading_measure();
    uint8_t *entry = demand(&here, "sort_array");
    struct cell *sort = load(&here, "sort");
    uint64_t text = sort->regions[REGION_TEXT].address;
    assert_ptr_equal(address_map_find(text)->cell, sort);
    assert_int_equal(loader_unload(sort, NULL), OK);
    assert_memory_equal(entry, "\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc", ENTRY_SIZE);
    assert_true(host_memory_is_executable((uint64_t)entry));
    assert_false(host_memory_is_executable(text));
    assert_null(address_map_find(text));
    assert_null(find(&here, "sort_array"));
    assert_false(is_loaded(&here, "sort"));
    loading_assert_same(before);
    struct cells_tally tally = {0};
    check_cells(&here, true, &tally); /* freestanding lists no dependant any more */
    assert_int_equal(tally.cells, 1);
    end_namespace(&here);
}

static void a_cell_can_come_back_any_number_of_times(void **state)
{
    struct cell_namespace here;
    cell_namespace_init(&here, "here", NULL);
    for (int i = 0; i < 50; i++) {
        int numbers[] = {3, 1, 2};
        __typeof__(sort_array) *loaded_sort = demand(&here, "sort_array");
        loaded_sort(numbers, 3, sizeof(int), int_before);
        assert_true(numbers[0] == 1 && numbers[1] == 2 && numbers[2] == 3);
        struct cells_tally tally = {0};
        check_cells(&here, true, &tally);
        assert_int_equal(loader_unload(load(&here, "sort"), NULL), OK);
    }
    end_namespace(&here);
}

static void a_held_cell_stays_until_the_last_lets_go(void **state)
{
    struct cell_namespace here;
    cell_namespace_init(&here, "here", NULL);
    load(&here, "freestanding");
    struct baseline before = loading_measure();
    uint64_t address;
    struct diag diag = {0};
    {
        OWNED(cell_reference, first);
        assert_int_equal(loader_demand_held(&here, "sort_array", &address, SLOT(first), &diag), OK);
        struct cell *sort = load(&here, "sort");
        assert_ptr_equal(cell_reference_cell(REF(first)), sort);
        {
            OWNED(cell_reference, second);
            assert_int_equal(
                loader_hold_for(sort->regions[REGION_TEXT].address, "somebody", SLOT(second)), OK);
            assert_ptr_equal(cell_reference_cell(REF(second)), sort);
            assert_int_equal(loader_unload(sort, &diag), ERR_BUSY);
            assert_int_equal(diag.code, DIAG_LINK_HELD);
            assert_string_equal(diag.cell, "sort");
            assert_string_equal(diag.symbol, "somebody"); /* the latest */
            assert_int_equal(diag.found, 2);
        }
        diag = (struct diag){0};
        assert_int_equal(loader_unload_named(&here, "sort", &diag), ERR_BUSY);
        assert_int_equal(diag.code, DIAG_LINK_HELD);
        assert_string_equal(diag.symbol, CELL_NAME);
        assert_int_equal(diag.found, 1);
        assert_true(is_loaded(&here, "sort"));
    }
    assert_int_equal(loader_unload_named(&here, "sort", &diag), OK);
    assert_int_equal(loader_unload_named(&here, "sort", &diag), ERR_NOT_FOUND);
    loading_assert_same(before); /* the references too are gone */
    end_namespace(&here);
}

static void what_no_cell_has_is_not_held(void **state)
{
    struct diag diag = {0};
    uint64_t address = 0;
    struct cell_namespace here;
    cell_namespace_init(&here, "here", NULL);
    OWNED(cell_reference, held);
    assert_int_equal(loader_hold((uint64_t)&here, SLOT(held)), ERR_NOT_FOUND);
    assert_false(HELD(held));
    assert_int_equal(loader_demand_held(&here, "no_such_symbol", &address, SLOT(held), &diag),
                     ERR_MISSING_SYMBOL);
    assert_false(HELD(held));
    assert_int_equal(address, 0);
    assert_string_equal(diag.symbol, "no_such_symbol");
    assert_int_equal(here.cell_count, 0);
    end_namespace(&here);
}

static void a_cell_that_another_needs_is_refused_by_name(void **state)
{
    struct cell_namespace here;
    struct diag diag = {0};
    cell_namespace_init(&here, "here", NULL);
    demand(&here, "sort_array");
    assert_int_equal(loader_unload_named(&here, "freestanding", &diag), ERR_BUSY);
    assert_int_equal(diag.code, DIAG_LINK_NEEDED);
    assert_string_equal(diag.cell, "freestanding");
    assert_string_equal(diag.symbol, "sort");
    assert_true(is_loaded(&here, "freestanding"));
    end_namespace(&here);
}

/* ---- namespaces ---- */

static void a_child_uses_what_its_parent_has(void **state)
{
    struct cell_namespace parent;
    struct cell_namespace child;
    cell_namespace_init(&parent, "parent", NULL);
    cell_namespace_init(&child, "child", &parent);
    struct cell *freestanding = load(&parent, "freestanding");
    demand(&child, "sort_array");
    assert_int_equal(child.cell_count, 1);
    assert_int_equal(parent.cell_count, 1);
    assert_non_null(find(&child, "memcpy"));
    assert_null(find(&parent, "sort_array"));
    assert_false(is_loaded(&parent, "sort"));
    struct cells_tally tally = {0};
    check_cells(&parent, true, &tally);
    check_cells(&child, true, &tally);
    check_all_addresses((const struct cell_namespace *const[]){&parent, &child, NULL});
    assert_int_equal(loader_unload(freestanding, NULL), ERR_BUSY);
    assert_int_equal(cell_namespace_fini(&child), ERR_BUSY);
    end_namespace(&child);
    assert_int_equal(loader_unload(freestanding, NULL), OK);
    end_namespace(&parent);
}

static void namespaces_without_a_common_parent_share_nothing(void **state)
{
    struct cell_namespace one;
    struct cell_namespace two;
    cell_namespace_init(&one, "one", NULL);
    cell_namespace_init(&two, "two", NULL);
    assert_ptr_not_equal(demand(&one, "sort_array"), demand(&two, "sort_array"));
    struct cells_tally tally = {0};
    check_cells(&one, true, &tally);
    check_cells(&two, true, &tally);
    assert_int_equal(tally.cells, 4);
    check_all_addresses((const struct cell_namespace *const[]){&one, &two, NULL});
    for (const struct cell *cell = one.first; cell; cell = cell->next) {
        for (uint32_t i = 0; i < cell->binding_count; i++) {
            const struct section *target = cell->bindings[i].target;
            assert_true(target && target->cell->namespace == &one);
        }
    }
    end_namespace(&one);
    check_all_addresses((const struct cell_namespace *const[]){&two, NULL});
    end_namespace(&two);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        LOADING_TEST(demand_loads_what_is_needed_and_no_more),
        LOADING_TEST(a_cell_is_loaded_once),
        LOADING_TEST(every_cell_of_the_archive_is_linked_right),
        LOADING_TEST(loaded_sort_sorts),
        LOADING_TEST(loaded_format_formats),
        LOADING_TEST(loaded_symbol_map_and_range_tree_agree_with_native_ones),
        LOADING_TEST(loaded_linker_links_like_the_native_one),
        LOADING_TEST(loaded_reader_refuses_like_the_native_one),
        LOADING_TEST(a_loaded_loader_loads),
        LOADING_TEST(calls_are_direct_and_addresses_are_entries),
        LOADING_TEST(a_cell_in_use_stays),
        LOADING_TEST(an_unloaded_cell_is_gone_and_its_entries_trap),
        LOADING_TEST(a_cell_can_come_back_any_number_of_times),
        LOADING_TEST(a_held_cell_stays_until_the_last_lets_go),
        LOADING_TEST(what_no_cell_has_is_not_held),
        LOADING_TEST(a_cell_that_another_needs_is_refused_by_name),
        LOADING_TEST(a_child_uses_what_its_parent_has),
        LOADING_TEST(namespaces_without_a_common_parent_share_nothing),
    };
    return loading_run(argc, argv, tests);
}
