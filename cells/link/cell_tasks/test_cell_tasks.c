/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "address_map.h"
#include "cell_tasks.h"

static struct cell cell;
static struct cell other_cell;
static struct section section = {.cell = &cell};
static uint64_t generation;
static unsigned lookups;
static bool has_dead; /* a task that has ended, and that nobody has put away */

/* The cell of all addresses but 0. */
const struct section *address_map_find(uint64_t address)
{
    lookups++;
    return address ? &section : NULL;
}

uint64_t address_map_generation(void)
{
    return generation;
}

static struct cell *get(uint64_t address)
{
    struct cell *got = NULL;
    cell_tasks_get(address, &got);
    return got;
}

static void put(void)
{
    struct cell *counted = &cell;
    cell_tasks_put(&counted);
    assert_null(counted);
    cell_tasks_put(&counted);
}

static void find(const struct cell *asked, char name[CELL_TASKS_NAME_SIZE])
{
    assert_ptr_equal(asked, &cell);
    if (has_dead) {
        has_dead = false;
        put();
    }
    strcpy(name, cell.task_count ? "sleeper" : "");
}

static void test_cell_tasks_are_counted_and_named(void **state)
{
    (void)state;
    char name[CELL_TASKS_NAME_SIZE] = "?";
    assert_int_equal(cell_tasks_count(&cell, name), 0);
    assert_string_equal(name, "");
    assert_ptr_equal(get(1), &cell);
    assert_int_equal(cell_tasks_count(&cell, name), 1); /* by nobody's name */
    assert_string_equal(name, "");
    cell_tasks_set_finder(find);
    assert_ptr_equal(get(1), &cell);
    assert_int_equal(cell_tasks_count(&cell, name), 2);
    assert_string_equal(name, "sleeper");
    put();
    put();
    assert_int_equal(cell_tasks_count(&cell, name), 0);
}

static void test_cell_tasks_that_have_ended_are_no_reason_to_stay(void **state)
{
    (void)state;
    cell_tasks_set_finder(find);
    assert_ptr_equal(get(1), &cell);
    has_dead = true;
    char name[CELL_TASKS_NAME_SIZE];
    assert_int_equal(cell_tasks_count(&cell, name), 0);
    assert_false(has_dead);
}

static void test_cell_tasks_address_of_no_cell_counts_nothing(void **state)
{
    (void)state;
    assert_null(get(0));
    assert_int_equal(cell.task_count, 0);
}

static void test_cell_tasks_look_up_once_until_cells_change(void **state)
{
    (void)state;
    generation++;
    lookups = 0;
    for (unsigned i = 0; i < 10; i++) {
        assert_ptr_equal(get(0x1000), &cell);
    }
    assert_int_equal(lookups, 1);
    section.cell = &other_cell;
    generation++;
    assert_ptr_equal(get(0x1000), &other_cell);
    assert_int_equal(lookups, 2);
    section.cell = &cell;
    for (uint64_t address = 0x2000; address < 0x12000; address += 16) { /* they share notes */
        assert_ptr_equal(get(address), &cell);
    }
    assert_int_equal(cell.task_count, 10 + 0x1000);
    assert_int_equal(other_cell.task_count, 1);
    cell.task_count = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cell_tasks_are_counted_and_named),
        cmocka_unit_test(test_cell_tasks_that_have_ended_are_no_reason_to_stay),
        cmocka_unit_test(test_cell_tasks_look_up_once_until_cells_change),
        cmocka_unit_test(test_cell_tasks_address_of_no_cell_counts_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
