/* SPDX-License-Identifier: MIT */
/* A made-up loader knows `good`, which brings one more cell along, and refuses everything else. */
#include "application.h"
#include "cell_metadata.h"
#include "cell_namespace.h"
#include "console_recorder.h"
#include "mutex.h"
#include "diag.h"
#include "loader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

APPLICATION(load);

static struct cell_namespace namespace = {.name = "test"};
static struct cell good = {.name = "good", .version = "1.0.0", .regions = {{.address = 0x9000}}};

struct mutex *cell_namespace_mutex(void)
{
    static struct mutex mutex;
    return &mutex;
}

struct cell_namespace *cell_namespace_initial(void)
{
    return &namespace;
}

struct cell *cell_namespace_find_cell(const struct cell_namespace *of, const char *name)
{
    return of->cell_count && strcmp(name, "good") == 0 ? &good : NULL;
}

enum status loader_load(struct cell_namespace *into, const char *cell, struct cell **out_cell,
                        struct diag *diag)
{
    if (strcmp(cell, "good") != 0) {
        return diag_set(diag, DIAG_LINK_OVERFLOW,
                        &(struct diag_site){.cell = cell, .section = ".text.f", .offset = 4});
    }
    into->cell_count += 2;
    *out_cell = &good;
    return OK;
}

static struct console_recorder said;

static void test_load_goes_on_after_a_refusal_and_returns_its_status(void **state)
{
    (void)state;
    const char *values[] = {"load", "bad", "good", "good", NULL};
    assert_int_equal(load_main(&(struct app_arguments){.count = 4, .values = values}),
                     ERR_OVERFLOW);
    assert_string_equal(said.text, "load: bad refused: ERR_OVERFLOW: C0204 bad:.text.f+0x4: "
                                   "relocated value does not fit its field\n"
                                   "load: good 1.0.0 loaded at 0x9000, with 1 more\n"
                                   "load: good is loaded already\n");
}

static void test_load_without_a_name_prints_usage(void **state)
{
    (void)state;
    const char *values[] = {"load", NULL};
    console_recorder_clear(&said);
    assert_int_equal(load_main(&(struct app_arguments){.count = 1, .values = values}),
                     ERR_INVALID_ARGUMENT);
    assert_string_equal(said.text, "usage: load CELL...\n");
}

int main(void)
{
    console_recorder_start(&said);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load_goes_on_after_a_refusal_and_returns_its_status),
        cmocka_unit_test(test_load_without_a_name_prints_usage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
