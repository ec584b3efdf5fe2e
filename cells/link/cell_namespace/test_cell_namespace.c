/* SPDX-License-Identifier: MIT */
/* The heap is the host's, so that the sanitizer sees what is not released; it can be made to fail.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cell_namespace.h"
#include "heap.h"

static int allocations_until_failure = -1;

void *heap_allocate(size_t bytes)
{
    if (allocations_until_failure-- == 0) {
        return NULL;
    }
    void *block = malloc(bytes);
    memset(block, 0xee, bytes); /* the heap clears nothing */
    return block;
}

void heap_free(void *block)
{
    free(block);
}

/* A cell with up to four symbols. */
struct sample {
    struct cell cell;
    struct symbol symbols[4];
};

static void make_cell(struct sample *sample, const char *name, const char *const *symbols,
                      uint32_t count, uint8_t binding)
{
    memset(sample, 0, sizeof(*sample));
    sample->cell.name = name;
    sample->cell.key = (struct symbol_key){.name = name, .hash = symbol_map_hash(name)};
    sample->cell.symbols = sample->symbols;
    sample->cell.symbol_count = count;
    for (uint32_t i = 0; i < count; i++) {
        sample->symbols[i].key =
            (struct symbol_key){.name = symbols[i], .hash = symbol_map_hash(symbols[i])};
        sample->symbols[i].binding = binding;
    }
}

static const struct symbol *find(const struct cell_namespace *namespace, const char *name)
{
    return cell_namespace_find(namespace, name, symbol_map_hash(name));
}

static const struct symbol *find_own(const struct cell_namespace *namespace, const char *name)
{
    return cell_namespace_find_own(namespace, name, symbol_map_hash(name));
}

static void publish(struct cell_namespace *namespace, struct sample *sample)
{
    assert_int_equal(cell_namespace_reserve(namespace, 1, sample->cell.symbol_count), OK);
    cell_namespace_publish(namespace, &sample->cell);
    assert_int_equal(namespace->is_changing, 1);
    namespace->is_changing = 0; /* the caller's commit */
}

static const char *const ab[] = {"a", "b"};
static const char *const bc[] = {"b", "c"};

static void test_cell_namespace_empty_finds_nothing(void **state)
{
    (void)state;
    struct cell_namespace namespace;
    cell_namespace_init(&namespace, "test", NULL);
    assert_null(find(&namespace, "a"));
    assert_null(cell_namespace_find_cell(&namespace, "a"));
    assert_int_equal(cell_namespace_fini(&namespace), OK);
    assert_ptr_equal(cell_namespace_initial(), cell_namespace_initial());
    assert_string_equal(cell_namespace_initial()->name, "initial");
}

static void test_cell_namespace_published_cell_is_found(void **state)
{
    (void)state;
    struct cell_namespace namespace;
    struct sample sample;
    cell_namespace_init(&namespace, "test", NULL);
    make_cell(&sample, "cell", ab, 2, STB_GLOBAL);
    publish(&namespace, &sample);
    assert_ptr_equal(find(&namespace, "a"), &sample.symbols[0]);
    assert_ptr_equal(find(&namespace, "b"), &sample.symbols[1]);
    assert_null(find(&namespace, "cell")); /* names of cells are no symbols */
    assert_ptr_equal(cell_namespace_find_cell(&namespace, "cell"), &sample.cell);
    assert_null(cell_namespace_find_cell(&namespace, "a"));
    assert_ptr_equal(sample.cell.namespace, &namespace);
    assert_int_equal(namespace.cell_count, 1);
    assert_int_equal(cell_namespace_fini(&namespace), ERR_BUSY);
    assert_ptr_equal(find(&namespace, "a"), &sample.symbols[0]); /* nothing was released */
    cell_namespace_withdraw(&namespace, &sample.cell);
    assert_int_equal(cell_namespace_fini(&namespace), OK);
}

static void test_cell_namespace_weak_duplicate_leaves_the_first(void **state)
{
    (void)state;
    struct cell_namespace namespace;
    struct sample first;
    struct sample second;
    cell_namespace_init(&namespace, "test", NULL);
    make_cell(&first, "first", ab, 2, STB_GLOBAL);
    make_cell(&second, "second", bc, 2, STB_WEAK);
    publish(&namespace, &first);
    publish(&namespace, &second);
    assert_ptr_equal(find(&namespace, "b"), &first.symbols[1]);
    assert_ptr_equal(find(&namespace, "c"), &second.symbols[1]);
    /* The first one's symbol of that name stays when the second one goes. */
    cell_namespace_withdraw(&namespace, &second.cell);
    assert_ptr_equal(find(&namespace, "b"), &first.symbols[1]);
    assert_null(find(&namespace, "c"));
    cell_namespace_withdraw(&namespace, &first.cell);
    assert_null(find(&namespace, "b"));
    assert_int_equal(namespace.symbols.count, 0);
    assert_int_equal(namespace.names.count, 0);
    assert_int_equal(cell_namespace_fini(&namespace), OK);
}

static void test_cell_namespace_child_finds_what_its_parents_have(void **state)
{
    (void)state;
    struct cell_namespace root;
    struct cell_namespace middle;
    struct cell_namespace leaf;
    struct sample old;
    struct sample new;
    cell_namespace_init(&root, "root", NULL);
    cell_namespace_init(&middle, "middle", &root);
    cell_namespace_init(&leaf, "leaf", &middle);
    make_cell(&old, "cell", ab, 2, STB_GLOBAL);
    make_cell(&new, "cell", bc, 2, STB_GLOBAL);
    publish(&root, &old);
    publish(&leaf, &new);
    assert_ptr_equal(find(&leaf, "a"), &old.symbols[0]);
    assert_ptr_equal(find(&leaf, "b"), &new.symbols[0]); /* the nearest one */
    assert_ptr_equal(find(&middle, "b"), &old.symbols[1]);
    assert_null(find(&middle, "c"));
    assert_null(find_own(&leaf, "a"));
    assert_null(find_own(&middle, "b"));
    assert_ptr_equal(find_own(&root, "b"), &old.symbols[1]);
    assert_ptr_equal(cell_namespace_find_cell(&leaf, "cell"), &new.cell);
    assert_ptr_equal(cell_namespace_find_cell(&middle, "cell"), &old.cell);
    cell_namespace_withdraw(&leaf, &new.cell);
    assert_ptr_equal(find(&leaf, "b"), &old.symbols[1]);
    cell_namespace_withdraw(&root, &old.cell);
    assert_int_equal(cell_namespace_fini(&leaf), OK);
    assert_int_equal(cell_namespace_fini(&root), OK);
}

static void expect_order(const struct cell_namespace *namespace, const char *expected)
{
    char order[8] = "";
    size_t length = 0;
    const struct cell *last = NULL;
    for (const struct cell *cell = namespace->first; cell; cell = cell->next) {
        order[length++] = cell->name[0];
        last = cell;
    }
    order[length] = '\0';
    assert_string_equal(order, expected);
    assert_ptr_equal(namespace->last, last);
    assert_int_equal(namespace->cell_count, length);
}

static void test_cell_namespace_cells_keep_the_order_of_loading(void **state)
{
    (void)state;
    struct cell_namespace namespace;
    struct sample samples[3];
    static const char *const names[] = {"x", "y", "z"};
    cell_namespace_init(&namespace, "test", NULL);
    for (int i = 0; i < 3; i++) {
        make_cell(&samples[i], names[i], NULL, 0, STB_GLOBAL);
        publish(&namespace, &samples[i]);
    }
    expect_order(&namespace, "xyz");
    cell_namespace_withdraw(&namespace, &samples[1].cell);
    expect_order(&namespace, "xz");
    assert_null(samples[1].cell.namespace);
    publish(&namespace, &samples[1]);
    expect_order(&namespace, "xzy");
    cell_namespace_withdraw(&namespace, &samples[1].cell);
    expect_order(&namespace, "xz");
    cell_namespace_withdraw(&namespace, &samples[0].cell);
    expect_order(&namespace, "z");
    cell_namespace_withdraw(&namespace, &samples[2].cell);
    expect_order(&namespace, "");
    assert_int_equal(cell_namespace_fini(&namespace), OK);
}

static void test_cell_namespace_reserve_without_memory_changes_nothing(void **state)
{
    (void)state;
    struct cell_namespace namespace;
    struct sample sample;
    cell_namespace_init(&namespace, "test", NULL);
    make_cell(&sample, "cell", ab, 2, STB_GLOBAL);
    publish(&namespace, &sample);
    for (int i = 0; i < 2; i++) {
        allocations_until_failure = i;
        assert_int_equal(cell_namespace_reserve(&namespace, 100 * (uint32_t)(i + 1), 1000),
                         ERR_NO_MEMORY);
        allocations_until_failure = -1;
        assert_ptr_equal(find(&namespace, "a"), &sample.symbols[0]);
        assert_ptr_equal(cell_namespace_find_cell(&namespace, "cell"), &sample.cell);
        assert_int_equal(namespace.cell_count, 1);
    }
    cell_namespace_withdraw(&namespace, &sample.cell);
    assert_int_equal(cell_namespace_fini(&namespace), OK);
}

static void test_cell_namespace_reserved_room_is_enough(void **state)
{
    (void)state;
    enum { CELLS = 300 };
    struct cell_namespace namespace;
    struct sample *samples = calloc(CELLS, sizeof(*samples));
    char(*names)[2][16] = calloc(CELLS, sizeof(*names));
    cell_namespace_init(&namespace, "test", NULL);
    assert_int_equal(cell_namespace_reserve(&namespace, CELLS, 2 * CELLS), OK);
    allocations_until_failure = 0; /* from here on nothing may be needed */
    for (int i = 0; i < CELLS; i++) {
        snprintf(names[i][0], sizeof(names[i][0]), "s%d", i);
        snprintf(names[i][1], sizeof(names[i][1]), "t%d", i);
        const char *const symbols[] = {names[i][0], names[i][1]};
        make_cell(&samples[i], names[i][0], symbols, 2, STB_GLOBAL);
        cell_namespace_publish(&namespace, &samples[i].cell);
        namespace.is_changing = 0;
    }
    for (int i = 0; i < CELLS; i++) {
        assert_ptr_equal(find(&namespace, names[i][1]), &samples[i].symbols[1]);
    }
    for (int i = 0; i < CELLS; i++) {
        cell_namespace_withdraw(&namespace, &samples[i].cell);
    }
    assert_int_equal(cell_namespace_fini(&namespace), OK);
    allocations_until_failure = -1;
    free(samples);
    free(names);
}

static void test_cell_namespace_symbol_of_no_cell_is_found(void **state)
{
    (void)state;
    struct cell_namespace namespace;
    struct symbol symbol = {
        .key = {.name = "image", .hash = symbol_map_hash("image")},
        .address = 4711,
    };
    cell_namespace_init(&namespace, "test", NULL);
    assert_int_equal(cell_namespace_reserve(&namespace, 0, 1), OK);
    cell_namespace_publish_symbols(&namespace, &symbol, 1);
    assert_ptr_equal(find(&namespace, "image"), &symbol);
    assert_int_equal(namespace.cell_count, 0);
    cell_namespace_withdraw_symbols(&namespace);
    assert_null(find(&namespace, "image"));
    assert_int_equal(namespace.symbols.count, 0);
    cell_namespace_publish_symbols(&namespace, &symbol, 1);
    assert_int_equal(cell_namespace_fini(&namespace), OK);
}

/* What a change left behind that was interrupted: entries of the maps that are lost, or there
 * twice, wrong counts. */
static void spoil(struct cell_namespace *namespace)
{
    namespace->is_changing = 1;
    memset((void *)namespace->symbols.slots, 0, 8 * sizeof(namespace->symbols.slots[0]));
    namespace->names.slots[0] = namespace->first->key.name ? &namespace->first->key : NULL;
    namespace->symbols.count = 1;
    namespace->names.count += 5;
    namespace->cell_count = 77;
    namespace->last = NULL;
}

static void test_cell_namespace_interrupted_change_is_made_good(void **state)
{
    (void)state;
    struct cell_namespace namespace;
    struct sample samples[2];
    struct symbol image = {.key = {.name = "image", .hash = symbol_map_hash("image")}};
    cell_namespace_init(&namespace, "test", NULL);
    make_cell(&samples[0], "x", ab, 2, STB_GLOBAL);
    make_cell(&samples[1], "y", bc, 2, STB_WEAK);
    assert_int_equal(cell_namespace_reserve(&namespace, 2, 5), OK);
    cell_namespace_publish_symbols(&namespace, &image, 1);
    publish(&namespace, &samples[0]);
    publish(&namespace, &samples[1]);
    spoil(&namespace);
    assert_int_equal(cell_namespace_reserve(&namespace, 0, 0), OK);
    assert_int_equal(namespace.is_changing, 0);
    expect_order(&namespace, "xy");
    assert_ptr_equal(find(&namespace, "image"), &image);
    assert_ptr_equal(find(&namespace, "b"), &samples[0].symbols[1]);
    assert_ptr_equal(find(&namespace, "c"), &samples[1].symbols[1]);
    assert_ptr_equal(cell_namespace_find_cell(&namespace, "x"), &samples[0].cell);
    assert_int_equal(namespace.symbols.count, 4);
    assert_int_equal(namespace.names.count, 2);
    spoil(&namespace);
    cell_namespace_withdraw(&namespace, &samples[0].cell);
    assert_int_equal(namespace.is_changing, 0);
    assert_null(samples[0].cell.namespace);
    expect_order(&namespace, "y");
    assert_null(find(&namespace, "a"));
    assert_ptr_equal(find(&namespace, "b"), &samples[1].symbols[0]); /* gave way before */
    cell_namespace_withdraw(&namespace, &samples[1].cell);
    assert_int_equal(namespace.symbols.count, 1);
    assert_int_equal(cell_namespace_fini(&namespace), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cell_namespace_empty_finds_nothing),
        cmocka_unit_test(test_cell_namespace_published_cell_is_found),
        cmocka_unit_test(test_cell_namespace_weak_duplicate_leaves_the_first),
        cmocka_unit_test(test_cell_namespace_child_finds_what_its_parents_have),
        cmocka_unit_test(test_cell_namespace_cells_keep_the_order_of_loading),
        cmocka_unit_test(test_cell_namespace_reserve_without_memory_changes_nothing),
        cmocka_unit_test(test_cell_namespace_reserved_room_is_enough),
        cmocka_unit_test(test_cell_namespace_symbol_of_no_cell_is_found),
        cmocka_unit_test(test_cell_namespace_interrupted_change_is_made_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
