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
#include "commit.h"
#include "heap.h"

static bool no_memory;
static int blocks;
static int fail_at; /* this allocation, counted from 1, and no other */

void *heap_allocate(size_t bytes)
{
    if (no_memory || (fail_at > 0 && --fail_at == 0)) {
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
    struct address_table *table = NULL;
    assert_int_equal(
        address_map_prepare(cells, with ? 1 : 0, without ? &without->cell : NULL, &table), OK);
    address_map_publish(&table);
    assert_null(table);
}

/* The last section of `new` is to lie where that of `old` does. */
static void adopt(struct sample *new, const struct section *old)
{
    uint32_t i = new->count++;
    new->sections[i] = *old;
    new->sections[i].is_adopted = 1;
    new->by_address[new->cell.region_first[REGION_COUNT] + new->cell.adopted_count++] = i;
}

static void swap(struct sample *old, struct sample *new)
{
    struct cell *cells[] = {&new->cell};
    struct address_table *table = NULL;
    old->cell.is_leaving = true;
    assert_int_equal(address_map_prepare_swap(cells, 1, &table), OK);
    address_map_exchange(&table);
    assert_null(table);
    address_map_retire();
    address_map_retire();
    old->cell.is_leaving = false;
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
        add(&samples[i], REGION_TEXT, 0x1000 + 0x1000 * i, 0x1000);
        change(&samples[i], NULL);
    }
    for (uint64_t i = 0; i < 3; i++) {
        assert_ptr_equal(address_map_find(0x1000 + 0x1000 * i), &samples[i].sections[0]);
        assert_ptr_equal(address_map_find(0x1fff + 0x1000 * i), &samples[i].sections[0]);
    }
    assert_null(address_map_find(0xfff));
    assert_null(address_map_find(0x4000));
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
    struct address_table *table = NULL;
    int before = blocks;
    assert_int_equal(address_map_prepare(cells, 1, NULL, &table), OK);
    assert_null(address_map_find(0x1000));
    address_map_discard(&table);
    assert_null(table);
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

static void test_address_map_needs_memory_only_where_cells_are(void **state)
{
    (void)state;
    struct sample sample;
    begin(&sample);
    add(&sample, REGION_TEXT, 0x1000, 0x10);
    int before = blocks;
    for (int i = 0; i < 100; i++) {
        change(&sample, NULL);
        assert_int_equal(blocks, before + 1);
        change(NULL, &sample);
        assert_int_equal(blocks, before);
    }
}

static void test_address_map_regions_may_be_large(void **state)
{
    (void)state;
    struct sample sample;
    begin(&sample);
    add(&sample, REGION_TEXT, 0x40000000, 0x400001);
    add(&sample, REGION_RODATA, 0x7ffff000, 0x1000); /* the last page that there is */
    change(&sample, NULL);
    for (uint64_t address = 0x40000000; address <= 0x40400000; address += 0x1000) {
        assert_ptr_equal(address_map_find(address), &sample.sections[0]);
    }
    assert_null(address_map_find(0x40400001));
    assert_ptr_equal(address_map_find(0x7fffffff), &sample.sections[1]);
    assert_null(address_map_find(0xffff80007fffffff)); /* the same page elsewhere */
    assert_null(address_map_find(0x140000000));
    change(NULL, &sample);
    assert_null(address_map_find(0x40000000));
}

static void test_address_map_without_memory_for_any_block_changes_nothing(void **state)
{
    (void)state;
    struct sample sample;
    begin(&sample);
    add(&sample, REGION_TEXT, 0x10000000, 0x400000); /* needs four blocks and the change's */
    struct cell *cells[] = {&sample.cell};
    int before = blocks;
    enum status status = ERR_NO_MEMORY;
    int needed = 0;
    while (status != OK) {
        struct address_table *table = NULL;
        fail_at = ++needed;
        status = address_map_prepare(cells, 1, NULL, &table);
        fail_at = 0;
        assert_true(status == OK || status == ERR_NO_MEMORY);
        assert_int_equal(table != NULL, status == OK);
        assert_null(address_map_find(0x10000000));
        address_map_discard(&table);
        assert_int_equal(blocks, before);
    }
    assert_int_equal(needed, 6);
}

static void test_address_map_adopted_sections_are_their_new_cells(void **state)
{
    (void)state;
    struct sample samples[4];
    int before = blocks;
    for (uint64_t i = 0; i < 4; i++) {
        begin(&samples[i]);
        add(&samples[i], REGION_TEXT, 0x100000 + 0x10000 * i, 0x100);
    }
    add(&samples[0], REGION_DATA, 0x200000, 0x10);
    add(&samples[0], REGION_DATA, 0x200010, 0x10);
    add(&samples[0], REGION_DATA, 0x200020, 0x2000); /* into the page behind */
    change(&samples[0], NULL);
    for (uint32_t i = 1; i < 4; i++) {
        struct sample *old = &samples[i - 1];
        adopt(&samples[i], &samples[0].sections[1]);
        adopt(&samples[i], &samples[0].sections[3]);
        swap(old, &samples[i]);
        const struct section *last = &samples[i].sections[2];
        assert_ptr_equal(address_map_find(0x200000), &samples[i].sections[1]);
        assert_ptr_equal(address_map_find(0x200020), last);
        assert_ptr_equal(address_map_find(0x20201f), last);
        assert_null(address_map_find(0x202020));
        assert_ptr_equal(address_map_find(0x100000 + 0x10000 * i), &samples[i].sections[0]);
        assert_ptr_equal(address_map_find(old->sections[0].address), &old->sections[0]);
        /* What nobody has adopted is still the first one's, while that is there. */
        assert_ptr_equal(address_map_find(0x200010), i < 2 ? &samples[0].sections[2] : NULL);
        change(NULL, old);
        assert_null(address_map_find(old->sections[0].address));
        assert_null(address_map_find(0x200010));
        assert_ptr_equal(address_map_find(0x200000), &samples[i].sections[1]);
        assert_ptr_equal(address_map_find(0x202010), last);
    }
    change(NULL, &samples[3]);
    assert_null(address_map_find(0x200000));
    assert_null(address_map_find(0x200020));
    assert_int_equal(blocks, before + 1); /* a table without rows */
    for (uint32_t i = 0; i < 4; i++) {
        begin(&samples[i]);
    }
}

/* The cells that are described are gone for good, and their regions are used again. */
static void test_address_map_pages_may_be_used_again(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct sample sample;
        begin(&sample);
        add(&sample, REGION_TEXT, 0x1000, 0x10);
        add(&sample, REGION_DATA, 0x200000, 0x10);
        change(&sample, NULL);
        assert_ptr_equal(address_map_find(0x1000), &sample.sections[0]);
        assert_ptr_equal(address_map_find(0x200000), &sample.sections[1]);
        change(NULL, &sample);
        assert_null(address_map_find(0x200000));
    }
}

static void test_address_map_a_planned_change_is_made_once_it_is_committed(void **state)
{
    (void)state;
    struct sample samples[2];
    for (uint64_t i = 0; i < 2; i++) {
        begin(&samples[i]);
        add(&samples[i], REGION_TEXT, 0x1000 + 0x1000 * i, 0x10);
    }
    struct cell *cells[] = {&samples[0].cell};
    struct address_table *table = NULL;
    assert_int_equal(address_map_prepare(cells, 1, NULL, &table), OK);
    struct commit_list list = {.count = 0};
    address_map_plan_publish(&table, &list);
    assert_non_null(table);
    assert_null(address_map_find(0x1000));
    commit_list(&list);
    assert_null(table);
    address_map_settle();
    address_map_settle();
    assert_ptr_equal(address_map_find(0x1000), &samples[0].sections[0]);
    /* Who is struck before he settles leaves it to the next. */
    assert_int_equal(address_map_prepare(NULL, 0, &samples[0].cell, &table), OK);
    list.count = 0;
    address_map_plan_publish(&table, &list);
    commit_list(&list);
    change(&samples[1], NULL);
    assert_null(address_map_find(0x1000));
    assert_ptr_equal(address_map_find(0x2000), &samples[1].sections[0]);
    change(NULL, &samples[1]);
}

static void test_address_map_every_change_has_a_number(void **state)
{
    (void)state;
    struct sample sample;
    begin(&sample);
    add(&sample, REGION_TEXT, 0x1000, 0x10);
    uint64_t number = address_map_generation();
    change(&sample, NULL);
    assert_int_not_equal(address_map_generation(), number);
    number = address_map_generation();
    change(NULL, &sample);
    assert_int_not_equal(address_map_generation(), number);
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
    struct address_table *table = NULL;
    assert_int_equal(address_map_prepare(cells, CELLS, NULL, &table), OK);
    address_map_publish(&table);
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
        cmocka_unit_test(test_address_map_needs_memory_only_where_cells_are),
        cmocka_unit_test(test_address_map_regions_may_be_large),
        cmocka_unit_test(test_address_map_without_memory_for_any_block_changes_nothing),
        cmocka_unit_test(test_address_map_adopted_sections_are_their_new_cells),
        cmocka_unit_test(test_address_map_pages_may_be_used_again),
        cmocka_unit_test(test_address_map_a_planned_change_is_made_once_it_is_committed),
        cmocka_unit_test(test_address_map_every_change_has_a_number),
        cmocka_unit_test(test_address_map_many_cells_are_all_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
