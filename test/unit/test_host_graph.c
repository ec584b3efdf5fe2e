/* SPDX-License-Identifier: MIT */
/*
 * The graph that cellpack reads from the archive and the records that the loader leaves are equal,
 * edge by edge: place, kind, target, and whether a function's address was taken. The boot test of
 * the same name compares what both print, in the running system.
 */
#include "cell_namespace.h"
#include "diag.h"
#include "loader.h"

#include "support/host_memory.h"
#include "support/loading_frame.h"

#include "model/model.h"
#include "relocation.h"

#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

static const char *archive_path;

/* All members but those that need what only the static image has. */
static void load_archive(struct cell_namespace *namespace)
{
    uint64_t cursor = 0;
    const char *name;
    while ((name = loader_next_member(&cursor))) {
        struct cell *cell;
        struct diag diag = {0};
        if (loader_find_alternative(namespace, name)) {
            continue;
        }
        if (loader_load(namespace, name, &cell, &diag) != OK) {
            assert_string_equal(diag.symbol, MODEL_IMAGE_SYMBOL);
        }
    }
}

static void compare_edge(const struct model *model, const struct model_edge *edge,
                         const struct dependency *record)
{
    assert_int_equal(edge->offset, record->offset);
    assert_int_equal(edge->type, record->type);
    assert_int_equal(edge->symbol, record->symbol);
    assert_int_equal(edge->use == MODEL_USE_ADDRESS, record->via_entry != 0);
    assert_int_equal(model_edge_is_bound(edge), record->target != NULL);
    if (record->target) {
        assert_string_equal(model_cell_of(model, edge->target)->name, record->target->cell->name);
        assert_int_equal(model->sections[edge->target].index, record->target->index);
        assert_int_equal(edge->target_offset, record->target_offset);
    }
}

static size_t compare_cell(const struct model *model, const struct cell *cell)
{
    uint32_t found = model_find_cell(model, cell->name);
    assert_int_not_equal(found, MODEL_NOWHERE);
    const struct model_cell *predicted = &model->cells[found];
    assert_int_equal(predicted->object.section_count, cell->object.section_count);
    for (uint32_t i = 0; i < cell->object.section_count; i++) {
        const struct model_section *section = &model->sections[predicted->first_section + i];
        assert_int_equal(section->edge_count, cell->sections[i].relocation_count);
        for (uint32_t k = 0; k < section->edge_count; k++) {
            struct dependency is;
            relocation_describe(&cell->sections[i], k, &is);
            compare_edge(model, &model->edges[section->first_edge + k], &is);
        }
    }
    assert_int_equal(predicted->edge_count, cell->relocation_count);
    return predicted->edge_count;
}

static void model_equals_what_the_loader_recorded(void **state)
{
    struct problem problem = {0};
    struct model *model;
    assert_int_equal(model_load(&archive_path, 1, MODEL_STRICT, &model, &problem), OK);
    struct cell_namespace here;
    cell_namespace_init(&here, "here", NULL);
    load_archive(&here);
    size_t edges = 0;
    for (const struct cell *cell = here.first; cell; cell = cell->next) {
        edges += compare_cell(model, cell);
    }
    assert_true(here.cell_count >= 20 && edges > 1000);
    print_message("%u cells, %zu edges\n", (unsigned)here.cell_count, edges);
    end_namespace(&here);
    model_destroy(model);
}

int main(int argc, char **argv)
{
    archive_path = argv[1];
    const struct CMUnitTest tests[] = {
        LOADING_TEST(model_equals_what_the_loader_recorded),
    };
    return loading_run(argc, argv, tests);
}
