/* SPDX-License-Identifier: MIT */
/*
 * Cells are made by hand here, as the loader lays them out. The heap is the host's, so that the
 * sanitizer sees a table that is used after it was freed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "address_map.h"
#include "heap.h"

static bool no_memory;
static int blocks;

void *heap_allocate(size_t bytes)
{
    if (no_memory) {
        return NULL;
    }
    blocks++;
    void *block = malloc(bytes);
    memset(block, 0xee, bytes);
    return block;
}

void *heap_allocate_zeroed(size_t bytes)
{
    return heap_allocate(bytes);
}

void heap_free(void *block)
{
    blocks -= block != NULL;
    free(block);
}

#define MOST_SECTIONS 8

struct sample {
    struct cell cell;
    struct section sections[MOST_SECTIONS];
    uint32_t by_address[MOST_SECTIONS];
    uint32_t count;
};

/* Sections are added region by region, in the order of their addresses. */
static void add(struct sample *sample, uint32_t region, uint64_t address, uint64_t size)
{
    uint32_t i = sample->count++;
    sample->sections[i] = (struct section){.address = address, .size = size, .region = region};
    sample->by_address[i] = i;
    for (uint32_t r = region + 1; r <= REGION_COUNT; r++) {
        sample->cell.region_first[r] = sample->count;
    }
    struct region *whole = &sample->cell.regions[region];
    if (whole->size == 0) {
        whole->address = address;
    }
    whole->size = address + size - whole->address;
}

static void begin(struct sample *sample)
{
    memset(sample, 0, sizeof(*sample));
    sample->cell.sections = sample->sections;
    sample->cell.by_address = sample->by_address;
}

static void change(struct sample *with, const struct sample *without)
{
    struct cell *cells[] = {with ? &with->cell : NULL};
    struct address_table *table;
    assert_int_equal(
        address_map_prepare(cells, with ? 1 : 0, without ? &without->cell : NULL, &table), OK);
    address_map_publish(table);
}

static void test_address_map_empty_finds_nothing(void **state)
{
    (void)state;
    assert_null(address_map_find(0));
    assert_null(address_map_find(UINT64_MAX));
}

static void test_address_map_finds_the_section_at_every_byte(void **state)
{
    (void)state;
    struct sample sample;
    begin(&sample);
    add(&sample, REGION_TEXT, 0x1000, 0x10);
    add(&sample, REGION_TEXT, 0x1010, 0); /* empty, at the address of the next one */
    add(&sample, REGION_TEXT, 0x1010, 1);
    add(&sample, REGION_TEXT, 0x1020, 0x10); /* behind padding */
    add(&sample, REGION_DATA, 0x5000, 8);
    add(&sample, REGION_DATA, 0x5008, 0); /* empty, at the end */
    change(&sample, NULL);
    for (uint64_t address = 0xff0; address < 0x1040; address++) {
        const struct section *expected = NULL;
        if (address >= 0x1000 && address < 0x1010) {
            expected = &sample.sections[0];
        } else if (address == 0x1010) {
            expected = &sample.sections[2];
        } else if (address >= 0x1020 && address < 0x1030) {
            expected = &sample.sections[3];
        }
        assert_ptr_equal(address_map_find(address), expected);
    }
    assert_null(address_map_find(0x4fff));
    assert_ptr_equal(address_map_find(0x5000), &sample.sections[4]);
    assert_ptr_equal(address_map_find(0x5007), &sample.sections[4]);
    assert_null(address_map_find(0x5008));
    change(NULL, &sample);
    assert_null(address_map_find(0x1000));
    assert_null(address_map_find(0x5000));
}

static void test_address_map_end_of_the_address_space_is_usable(void **state)
{
    (void)state;
    struct sample sample;
    begin(&sample);
    add(&sample, REGION_TEXT, 0xfffffffffffff000, 0xfff);
    change(&sample, NULL);
    assert_ptr_equal(address_map_find(0xffffffffffffffe0), &sample.sections[0]);
    assert_null(address_map_find(UINT64_MAX));
    change(NULL, &sample);
}

static void test_address_map_cells_may_interleave(void **state)
{
    (void)state;
    struct sample a;
    struct sample b;
    begin(&a);
    add(&a, REGION_TEXT, 0x3000, 0x100);
    add(&a, REGION_RODATA, 0x1000, 0x100);
    add(&a, REGION_DATA, 0x6000, 0x100);
    begin(&b);
    add(&b, REGION_TEXT, 0x2000, 0x100);
    add(&b, REGION_DATA, 0x4000, 0x100);
    change(&a, NULL);
    change(&b, NULL);
    assert_ptr_equal(address_map_find(0x3080), &a.sections[0]);
    assert_ptr_equal(address_map_find(0x1080), &a.sections[1]);
    assert_ptr_equal(address_map_find(0x6080), &a.sections[2]);
    assert_ptr_equal(address_map_find(0x2080), &b.sections[0]);
    assert_ptr_equal(address_map_find(0x4080), &b.sections[1]);
    assert_null(address_map_find(0x2100));
    change(NULL, &a);
    assert_null(address_map_find(0x3080));
    assert_ptr_equal(address_map_find(0x2080), &b.sections[0]);
    change(NULL, &b);
}

static void test_address_map_neighbours_are_told_apart(void **state)
{
    (void)state;
    struct sample samples[3];
    for (uint64_t i = 0; i < 3; i++) {
        begin(&samples[i]);
        add(&samples[i], REGION_TEXT, 0x1000 + 0x10 * i, 0x10);
        change(&samples[i], NULL);
    }
    for (uint64_t i = 0; i < 3; i++) {
        assert_ptr_equal(address_map_find(0x1000 + 0x10 * i), &samples[i].sections[0]);
        assert_ptr_equal(address_map_find(0x100f + 0x10 * i), &samples[i].sections[0]);
    }
    for (int i = 0; i < 3; i++) {
        change(NULL, &samples[i]);
    }
}

static void test_address_map_prepared_table_is_not_seen_before_it_is_published(void **state)
{
    (void)state;
    struct sample sample;
    begin(&sample);
    add(&sample, REGION_TEXT, 0x1000, 0x10);
    struct cell *cells[] = {&sample.cell};
    struct address_table *table;
    int before = blocks;
    assert_int_equal(address_map_prepare(cells, 1, NULL, &table), OK);
    assert_null(address_map_find(0x1000));
    address_map_discard(table);
    assert_null(address_map_find(0x1000));
    assert_int_equal(blocks, before);
}

static void test_address_map_without_memory_changes_nothing(void **state)
{
    (void)state;
    struct sample sample;
    begin(&sample);
    add(&sample, REGION_TEXT, 0x1000, 0x10);
    change(&sample, NULL);
    struct address_table *table = NULL;
    no_memory = true;
    assert_int_equal(address_map_prepare(NULL, 0, &sample.cell, &table), ERR_NO_MEMORY);
    no_memory = false;
    assert_null(table);
    assert_ptr_equal(address_map_find(0x1000), &sample.sections[0]);
    change(NULL, &sample);
}

static void test_address_map_keeps_two_tables_at_most(void **state)
{
    (void)state;
    struct sample sample;
    begin(&sample);
    add(&sample, REGION_TEXT, 0x1000, 0x10);
    for (int i = 0; i < 100; i++) {
        change(&sample, NULL);
        change(NULL, &sample);
        assert_int_equal(blocks, 2); /* the published one and the one before it */
    }
}

static void test_address_map_many_cells_are_all_found(void **state)
{
    (void)state;
    enum { CELLS = 200 };
    struct sample *samples = calloc(CELLS, sizeof(*samples));
    struct cell *cells[CELLS];
    for (uint32_t i = 0; i < CELLS; i++) {
        uint64_t place = (i * 77u) % CELLS; /* not in the order of their addresses */
        begin(&samples[i]);
        add(&samples[i], REGION_TEXT, 0x100000 + 0x1000 * place, 0x100);
        add(&samples[i], REGION_TEXT, 0x100100 + 0x1000 * place, 0x100);
        add(&samples[i], REGION_RODATA, 0x900000 + 0x1000 * place, 0x100);
        cells[i] = &samples[i].cell;
    }
    struct address_table *table;
    assert_int_equal(address_map_prepare(cells, CELLS, NULL, &table), OK);
    address_map_publish(table);
    for (uint32_t i = 0; i < CELLS; i++) {
        for (uint32_t k = 0; k < 3; k++) {
            const struct section *section = &samples[i].sections[k];
            assert_ptr_equal(address_map_find(section->address), section);
            assert_ptr_equal(address_map_find(section->address + 0xff), section);
        }
        assert_null(address_map_find(samples[i].sections[1].address + 0x100));
    }
    for (uint32_t i = 0; i < CELLS; i++) {
        change(NULL, &samples[i]);
    }
    free(samples);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_address_map_empty_finds_nothing),
        cmocka_unit_test(test_address_map_finds_the_section_at_every_byte),
        cmocka_unit_test(test_address_map_end_of_the_address_space_is_usable),
        cmocka_unit_test(test_address_map_cells_may_interleave),
        cmocka_unit_test(test_address_map_neighbours_are_told_apart),
        cmocka_unit_test(test_address_map_prepared_table_is_not_seen_before_it_is_published),
        cmocka_unit_test(test_address_map_without_memory_changes_nothing),
        cmocka_unit_test(test_address_map_keeps_two_tables_at_most),
        cmocka_unit_test(test_address_map_many_cells_are_all_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
