/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "symbol_map.h"

/* The slots lie in a heap block of exactly their size, so the sanitizer sees a probe beyond it. */
static void make(struct symbol_map *map, uint32_t capacity, const struct symbol_map *old)
{
    const struct symbol_key **slots = calloc(capacity, sizeof(*slots));
    struct symbol_map before = old ? *old : (struct symbol_map){0};
    symbol_map_init(map, slots, capacity, old ? &before : NULL);
    free((void *)before.slots);
}

static void test_symbol_map_hash_is_fnv_1a(void **state)
{
    (void)state;
    /* The published test vectors: kernel and host must agree with everybody. */
    assert_int_equal(symbol_map_hash(""), 0x811c9dc5);
    assert_int_equal(symbol_map_hash("a"), 0xe40c292c);
    assert_int_equal(symbol_map_hash("foobar"), 0xbf9cf968);
    assert_int_equal(symbol_map_hash("\xff"), (0x811c9dc5u ^ 0xffu) * 0x01000193u);
}

static void test_symbol_map_capacity_leaves_a_quarter_free(void **state)
{
    (void)state;
    assert_int_equal(symbol_map_capacity(0), 16);
    assert_int_equal(symbol_map_capacity(12), 16);
    assert_int_equal(symbol_map_capacity(13), 32);
    assert_int_equal(symbol_map_capacity(24), 32);
    assert_int_equal(symbol_map_capacity(25), 64);
    assert_int_equal(symbol_map_capacity(3u << 28), 1u << 30);
    assert_int_equal(symbol_map_capacity(UINT32_MAX), 1u << 31);
}

static void test_symbol_map_without_slots_finds_nothing(void **state)
{
    (void)state;
    struct symbol_map map = {0};
    const struct symbol_key key = {.name = "a", .hash = symbol_map_hash("a")};
    assert_null(symbol_map_find(&map, key.name, key.hash));
    assert_false(symbol_map_remove(&map, &key));
    assert_true(symbol_map_has_room(&map, 0));
    assert_false(symbol_map_has_room(&map, 1));
}

static void test_symbol_map_has_room_counts_what_is_there(void **state)
{
    (void)state;
    struct symbol_map map;
    make(&map, 16, NULL);
    const struct symbol_key key = {.name = "a", .hash = symbol_map_hash("a")};
    assert_true(symbol_map_has_room(&map, 12));
    assert_false(symbol_map_has_room(&map, 13));
    assert_false(symbol_map_has_room(&map, UINT32_MAX));
    assert_null(symbol_map_insert(&map, &key));
    assert_true(symbol_map_has_room(&map, 11));
    assert_false(symbol_map_has_room(&map, 12));
    free((void *)map.slots);
}

static void test_symbol_map_equal_names_keep_the_first_key(void **state)
{
    (void)state;
    struct symbol_map map;
    make(&map, 16, NULL);
    char name[] = "same";
    const struct symbol_key first = {.name = "same", .hash = symbol_map_hash("same")};
    const struct symbol_key second = {.name = name, .hash = symbol_map_hash(name)};
    assert_null(symbol_map_insert(&map, &first));
    assert_ptr_equal(symbol_map_insert(&map, &second), &first);
    assert_int_equal(map.count, 1);
    assert_false(symbol_map_remove(&map, &second)); /* it is not the one that is in the map */
    assert_ptr_equal(symbol_map_find(&map, "same", first.hash), &first);
    assert_true(symbol_map_remove(&map, &first));
    assert_int_equal(map.count, 0);
    assert_null(symbol_map_find(&map, "same", first.hash));
    free((void *)map.slots);
}

static void test_symbol_map_equal_hashes_are_told_apart_by_name(void **state)
{
    (void)state;
    struct symbol_map map;
    make(&map, 16, NULL);
    struct symbol_key keys[12]; /* all in one cluster that wraps around the end of the table */
    char names[12][16];
    for (int i = 0; i < 12; i++) {
        snprintf(names[i], sizeof(names[i]), "k%d", i);
        keys[i] = (struct symbol_key){.name = names[i], .hash = 14};
        assert_null(symbol_map_insert(&map, &keys[i]));
    }
    for (int i = 0; i < 12; i += 2) {
        assert_true(symbol_map_remove(&map, &keys[i]));
    }
    for (int i = 0; i < 12; i++) {
        assert_ptr_equal(symbol_map_find(&map, names[i], 14), i % 2 ? &keys[i] : NULL);
    }
    assert_null(symbol_map_find(&map, "k1", 15)); /* another hash: not even compared */
    free((void *)map.slots);
}

#define NAMES 400

struct model {
    struct symbol_key keys[NAMES];
    char names[NAMES][20];
    bool present[NAMES];
    uint32_t count;
};

static void assert_same(const struct symbol_map *map, const struct model *model)
{
    assert_int_equal(map->count, model->count);
    for (int i = 0; i < NAMES; i++) {
        const struct symbol_key *found = symbol_map_find(map, model->names[i], model->keys[i].hash);
        assert_ptr_equal(found, model->present[i] ? &model->keys[i] : NULL);
    }
}

static void step(struct symbol_map *map, struct model *model)
{
    int i = rand() % NAMES;
    if (rand() % 2) {
        if (!symbol_map_has_room(map, 1)) {
            make(map, symbol_map_capacity(map->count + 1), map);
        }
        const struct symbol_key *other = symbol_map_insert(map, &model->keys[i]);
        assert_ptr_equal(other, model->present[i] ? &model->keys[i] : NULL);
        model->count += !model->present[i];
        model->present[i] = true;
    } else {
        assert_int_equal(symbol_map_remove(map, &model->keys[i]), model->present[i]);
        model->count -= model->present[i];
        model->present[i] = false;
    }
}

static void test_symbol_map_random_operations_match_the_model(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 30; seed++) {
        struct model model = {.count = 0};
        struct symbol_map map;
        make(&map, 16, NULL);
        srand(seed);
        for (int i = 0; i < NAMES; i++) {
            snprintf(model.names[i], sizeof(model.names[i]), "name_%d", i);
            /* Every third run has few different hashes, so that clusters are long. */
            uint32_t hash = symbol_map_hash(model.names[i]);
            model.keys[i].name = model.names[i];
            model.keys[i].hash = seed % 3 ? hash : hash % 7;
        }
        for (int i = 0; i < 3000; i++) {
            step(&map, &model);
            if (i % 64 == 0) {
                assert_same(&map, &model);
            }
        }
        assert_same(&map, &model);
        free((void *)map.slots);
    }
}

static void test_symbol_map_growing_moves_every_key(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    struct symbol_key *keys = calloc(COUNT, sizeof(*keys));
    char(*names)[16] = calloc(COUNT, sizeof(*names));
    struct symbol_map map = {0};
    for (uint32_t i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof(names[i]), "s%u", i);
        keys[i] = (struct symbol_key){.name = names[i], .hash = symbol_map_hash(names[i])};
        if (!symbol_map_has_room(&map, 1)) {
            make(&map, symbol_map_capacity(map.count + 1), &map);
        }
        assert_null(symbol_map_insert(&map, &keys[i]));
    }
    assert_int_equal(map.count, COUNT);
    assert_int_equal(map.capacity, 8192);
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_ptr_equal(symbol_map_find(&map, names[i], keys[i].hash), &keys[i]);
    }
    free((void *)map.slots);
    free(names);
    free(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_symbol_map_hash_is_fnv_1a),
        cmocka_unit_test(test_symbol_map_capacity_leaves_a_quarter_free),
        cmocka_unit_test(test_symbol_map_without_slots_finds_nothing),
        cmocka_unit_test(test_symbol_map_has_room_counts_what_is_there),
        cmocka_unit_test(test_symbol_map_equal_names_keep_the_first_key),
        cmocka_unit_test(test_symbol_map_equal_hashes_are_told_apart_by_name),
        cmocka_unit_test(test_symbol_map_random_operations_match_the_model),
        cmocka_unit_test(test_symbol_map_growing_moves_every_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
