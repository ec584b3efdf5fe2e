/* SPDX-License-Identifier: MIT */
/* Two made-up cells: `app` calls and points into `lib`, and refers to itself. */
#include "application.h"
#include "cell_metadata.h"
#include "cell_namespace.h"
#include "console_recorder.h"
#include "mutex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

APPLICATION(deps);

static struct section app_sections[3];
static struct section lib_sections[2];
static struct dependency dependencies[4];
static struct cell lib = {.name = "lib", .sections = lib_sections, .object.section_count = 2};
static struct cell app = {.name = "app",
                          .sections = app_sections,
                          .object.section_count = 3,
                          .dependencies = dependencies,
                          .dependency_count = 4,
                          .next = &lib};
static struct cell_namespace namespace = {.name = "test", .first = &app, .cell_count = 2};

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
    assert_ptr_equal(of, &namespace);
    return strcmp(name, "app") == 0 ? &app : strcmp(name, "lib") == 0 ? &lib : NULL;
}

static void depend(unsigned index, struct section *source, uint32_t offset, uint16_t type,
                   struct section *target, int32_t target_offset)
{
    dependencies[index] = (struct dependency){.source = source,
                                              .offset = offset,
                                              .type = type,
                                              .target = target,
                                              .target_offset = target_offset};
    if (target) {
        dependencies[index].next_incoming = target->incoming;
        target->incoming = &dependencies[index];
    }
}

static void build_cells(void)
{
    app_sections[1] = (struct section){.cell = &app, .name = ".text.main", .address = 0x1000};
    app_sections[2] = (struct section){.cell = &app, .name = ".data", .address = 0x2000};
    lib_sections[1] = (struct section){.cell = &lib, .name = ".text.lib", .address = 0x3000};
    depend(0, &app_sections[1], 0x1c, R_X86_64_PLT32, &lib_sections[1], 0);
    depend(1, &app_sections[1], 0x22, R_X86_64_32S, &app_sections[2], -8);
    depend(2, &app_sections[1], 0x2a, R_X86_64_NONE, NULL, 0);
    depend(3, &app_sections[2], 0, R_X86_64_64, &lib_sections[1], 16);
    dependencies[3].via_entry = 1;
}

static struct console_recorder said;

static enum status run_deps(const char *noun)
{
    const char *values[] = {"deps", noun, NULL};
    console_recorder_clear(&said);
    return deps_main(&(struct app_arguments){.count = noun ? 2 : 1, .values = values});
}

static void test_deps_all_prints_every_edge_once(void **state)
{
    (void)state;
    assert_int_equal(run_deps("--all"), OK);
    assert_string_equal(said.text, "edge app:.text.main+0x1c R_X86_64_PLT32 lib:.text.lib+0x0\n"
                                   "edge app:.text.main+0x22 R_X86_64_32S app:.data-0x8\n"
                                   "edge app:.text.main+0x2a R_X86_64_NONE -\n"
                                   "edge app:.data+0x0 R_X86_64_64 lib:.text.lib+0x10\n"
                                   "edges 4\n");
}

static void test_deps_of_a_cell_leaves_out_what_stays_inside(void **state)
{
    (void)state;
    assert_int_equal(run_deps("app"), OK);
    assert_string_equal(
        said.text,
        "app needs\n"
        "  app:.text.main+0x1c                          R_X86_64_PLT32 lib:.text.lib+0x0\n"
        "  app:.text.main+0x2a                          R_X86_64_NONE  -\n"
        "  app:.data+0x0                                R_X86_64_64    lib:.text.lib+0x10 "
        "(its entry)\n"
        "  3 in all\n"
        "app is needed by\n"
        "  0 in all\n");
    assert_int_equal(run_deps("lib"), OK);
    assert_string_equal(
        said.text,
        "lib needs\n"
        "  0 in all\n"
        "lib is needed by\n"
        "  app:.data+0x0                                R_X86_64_64    lib:.text.lib+0x10 "
        "(its entry)\n"
        "  app:.text.main+0x1c                          R_X86_64_PLT32 lib:.text.lib+0x0\n"
        "  2 in all\n");
}

static void test_deps_of_a_section_shows_both_directions(void **state)
{
    (void)state;
    assert_int_equal(run_deps("app:.data"), OK);
    assert_string_equal(
        said.text,
        "app:.data needs\n"
        "  app:.data+0x0                                R_X86_64_64    lib:.text.lib+0x10 "
        "(its entry)\n"
        "  1 in all\n"
        "app:.data is needed by\n"
        "  app:.text.main+0x22                          R_X86_64_32S   app:.data-0x8\n"
        "  1 in all\n");
}

static void test_deps_unknown_names_are_refused(void **state)
{
    (void)state;
    assert_int_equal(run_deps("other"), ERR_NOT_FOUND);
    assert_string_equal(said.text, "deps: no such cell is loaded: other\n");
    assert_int_equal(run_deps("lib:.text.none"), ERR_NOT_FOUND);
    assert_string_equal(said.text, "deps: cell lib has no loaded section .text.none\n");
    assert_int_equal(run_deps(NULL), ERR_INVALID_ARGUMENT);
    assert_string_equal(said.text, "usage: deps CELL | CELL:SECTION | --all\n");
}

int main(void)
{
    console_recorder_start(&said);
    build_cells();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deps_all_prints_every_edge_once),
        cmocka_unit_test(test_deps_of_a_cell_leaves_out_what_stays_inside),
        cmocka_unit_test(test_deps_of_a_section_shows_both_directions),
        cmocka_unit_test(test_deps_unknown_names_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
