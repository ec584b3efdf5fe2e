/* SPDX-License-Identifier: MIT */
/* test_swap_figures.c - medians, the worst, and what is left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "console.h"
#include "swap_figures.h"

static struct swap_figures figures;

/* ---- in place of the cells below ---- */

uint64_t clock_multiplier = 2ull << CLOCK_SHIFT; /* a tick lasts two nanoseconds */

static char printed[8192];

void console_print(const char *format, ...)
{
    size_t length = strlen(printed);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(printed + length, sizeof(printed) - length, format, arguments);
    va_end(arguments);
}

/* ---- tests ---- */

static int empty(void **state)
{
    (void)state;
    figures = (struct swap_figures){0};
    printed[0] = '\0';
    return 0;
}

static void add(uint64_t ticks, uint32_t patches)
{
    struct swap_report report = {.patches = patches, .window_ticks = ticks * 10};
    for (uint32_t stage = 0; stage < SWAP_STAGE_COUNT; stage++) {
        report.ticks[stage] = ticks + stage * 1000;
    }
    swap_figures_add(&figures, &report);
}

static void test_nothing_is_zero(void **state)
{
    (void)state;
    struct swap_figure figure = swap_figures_of(&figures, SWAP_FIGURES_WINDOW);
    assert_int_equal(figure.median, 0);
    assert_int_equal(figure.worst, 0);
}

static void test_each_stage_has_its_own(void **state)
{
    (void)state;
    add(30, 1);
    add(10, 7);
    add(20, 2);
    for (uint32_t stage = 0; stage < SWAP_STAGE_COUNT; stage++) {
        struct swap_figure figure = swap_figures_of(&figures, stage);
        assert_int_equal(figure.median, 20 + stage * 1000);
        assert_int_equal(figure.worst, 30 + stage * 1000);
    }
    struct swap_figure window = swap_figures_of(&figures, SWAP_FIGURES_WINDOW);
    assert_int_equal(window.median, 200);
    assert_int_equal(window.worst, 300);
    assert_int_equal(figures.patches, 7);
}

static void test_the_greater_one_in_the_middle_of_an_even_number(void **state)
{
    (void)state;
    add(4, 0);
    add(1, 0);
    add(3, 0);
    add(2, 0);
    assert_int_equal(swap_figures_of(&figures, SWAP_LOAD).median, 3);
}

static void test_what_is_beyond_the_limit_is_left_out(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < SWAP_FIGURES_MAX + 5; i++) {
        add(i, (uint32_t)i);
    }
    assert_int_equal(figures.count, SWAP_FIGURES_MAX);
    assert_int_equal(figures.patches, SWAP_FIGURES_MAX - 1);
    assert_int_equal(swap_figures_of(&figures, SWAP_LOAD).worst, SWAP_FIGURES_MAX - 1);
    assert_int_equal(swap_figures_of(&figures, SWAP_LOAD).median, SWAP_FIGURES_MAX / 2);
}

static void test_lines_have_ticks_and_nanoseconds(void **state)
{
    (void)state;
    add(7, 3);
    swap_figures_print(&figures, "sample");
    assert_non_null(strstr(printed, "figure swap_sample_load_median 7\n"));
    assert_non_null(strstr(printed, "time swap_sample_load_median 14\n"));
    assert_non_null(strstr(printed, "figure swap_sample_verify_worst 1007\n"));
    assert_non_null(strstr(printed, "figure swap_sample_window_worst 70\n"));
    assert_non_null(strstr(printed, "figure swap_sample_patches 3\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_nothing_is_zero, empty),
        cmocka_unit_test_setup(test_each_stage_has_its_own, empty),
        cmocka_unit_test_setup(test_the_greater_one_in_the_middle_of_an_even_number, empty),
        cmocka_unit_test_setup(test_what_is_beyond_the_limit_is_left_out, empty),
        cmocka_unit_test_setup(test_lines_have_ticks_and_nanoseconds, empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
