/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "symbol_map.h"

/* The slots lie in a heap block of exactly their size, so the sanitizer sees a probe beyond it. */
static void make(struct symbol_map *map, uint32_t capacity, const struct symbol_map *old)
{
    const struct symbol_key **slots = calloc(capacity, sizeof(*slots));
    struct symbol_map before = old ? *old : (struct symbol_map){0};
    symbol_map_init(map, slots, capacity, old ? &before : NULL);
    free((void *)before.slots);
}

static uint64_t fold(uint64_t hash, uint64_t word)
{
    unsigned __int128 product = (unsigned __int128)(hash ^ word) * 0xd6e8feb86659fd93u;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* By the definition, byte by byte: words in memory order, the last one filled up with zeros. */
static uint32_t hash_of(const char *name)
{
    uint64_t hash = 0x9e3779b97f4a7c15u;
    size_t length = strlen(name);
    for (size_t at = 0; at <= length; at += 8) {
        uint64_t word = 0;
        for (size_t i = 0; i < 8 && at + i < length; i++) {
            word |= (uint64_t)(uint8_t)name[at + i] << 8 * i;
        }
        hash = fold(hash, word);
    }
    return (uint32_t)(hash ^ hash >> 32);
}

/* Wherever a name lies, up to the last byte before memory that cannot be read. */
static void test_symbol_map_hash_is_that_of_the_name_alone(void **state)
{
    (void)state;
    enum { LENGTHS = 40, PAGE = 4096 };
    uint8_t *pages =
        mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(pages, MAP_FAILED);
    assert_int_equal(mprotect(pages + 2 * PAGE, PAGE, PROT_NONE), 0);
    char name[LENGTHS + 1] = "";
    for (size_t length = 0; length < LENGTHS; length++) {
        const uint32_t wanted = hash_of(name);
        for (size_t shift = 0; shift < 20; shift++) { /* over both ends of a page */
            char *inside = (char *)pages + PAGE - 10 - length + shift;
            memset(pages, shift % 2 ? 0xff : 0x01, 2 * PAGE);
            memcpy(inside, name, length + 1);
            assert_int_equal(symbol_map_hash(inside), wanted);
            if (shift > length) {
                continue;
            }
            char *last = (char *)pages + 2 * PAGE - 1 - length + shift;
            memcpy(last, name + shift, length - shift + 1);
            assert_int_equal(symbol_map_hash(last), hash_of(name + shift));
        }
        name[length] = (char)(length * 37 + 0x60); /* never 0, and above 0x7f too */
        name[length + 1] = '\0';
    }
    munmap(pages, 3 * PAGE);
}

/* Kernel and host agree: neither the compiler nor the machine has a say in it. */
static void test_symbol_map_hash_has_known_values(void **state)
{
    (void)state;
    assert_int_equal(symbol_map_hash(""), 0x9e01949f);
    assert_int_equal(symbol_map_hash("a"), 0xda20166e);
    assert_int_equal(symbol_map_hash("\xff"), 0xa4cc5a0c);
    assert_int_equal(symbol_map_hash("mapped_pages_map"), 0xa30ca5dc);
}

/* Each bit of a name, in whichever word, decides about half of the bits of its hash. */
static void test_symbol_map_hash_mixes_every_bit(void **state)
{
    (void)state;
    char name[] = "some_name_of_thirty_two_letters_";
    for (size_t i = 0; i < sizeof(name) - 1; i++) {
        for (unsigned bit = 0; bit < 7; bit++) {
            const uint32_t before = symbol_map_hash(name);
            char letter = name[i];
            name[i] = (char)(letter ^ 1 << bit);
            if (name[i]) {
                int changed = __builtin_popcount(before ^ symbol_map_hash(name));
                int low = __builtin_popcount((before ^ symbol_map_hash(name)) & 0xfff);
                assert_in_range(changed, 4, 28);
                assert_in_range(low, 1, 12); /* these choose the slot */
            }
            name[i] = letter;
        }
    }
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
        cmocka_unit_test(test_symbol_map_hash_is_that_of_the_name_alone),
        cmocka_unit_test(test_symbol_map_hash_has_known_values),
        cmocka_unit_test(test_symbol_map_hash_mixes_every_bit),
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
