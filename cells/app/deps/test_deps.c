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
enum { DATA_SYMBOL = 1, LIB_CODE, LIB_POINTED_TO };
static const struct elf64_sym symbols[] = {[DATA_SYMBOL] = {.st_shndx = 2}, [LIB_POINTED_TO] = {0}};
static const struct elf64_shdr headers[3] = {{0}, {.sh_type = SHT_NOBITS}, {.sh_type = SHT_NOBITS}};
static const struct elf64_rela main_relocations[] = {
    {.r_offset = 0x1c, .r_type = R_X86_64_PLT32, .r_sym = LIB_CODE, .r_addend = -4},
    {.r_offset = 0x22, .r_type = R_X86_64_32S, .r_sym = DATA_SYMBOL, .r_addend = -8},
    {.r_offset = 0x2a, .r_type = R_X86_64_NONE},
};
static const struct elf64_rela data_relocations[] = {
    {.r_offset = 0, .r_type = R_X86_64_64, .r_sym = LIB_POINTED_TO},
};
static struct binding bindings[2];
static struct cell lib = {.name = "lib", .sections = lib_sections, .object.section_count = 2};
static struct cell app = {
    .name = "app",
    .sections = app_sections,
    .object = {.section_count = 3, .sections = headers, .section_names = "", .symbols = symbols},
    .bindings = bindings,
    .binding_count = 2,
    .relocation_count = 4,
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

static void bind(unsigned index, uint32_t symbol, struct section *target, uint32_t offset)
{
    bindings[index] = (struct binding){.cell = &app,
                                       .symbol = symbol,
                                       .target = target,
                                       .offset = offset,
                                       .has_entry = symbol == LIB_POINTED_TO,
                                       .next_incoming = target->incoming};
    target->incoming = &bindings[index];
}

static void build_cells(void)
{
    const uint32_t code = SHF_ALLOC | SHF_EXECINSTR;
    app_sections[1] = (struct section){.cell = &app,
                                       .name = ".text.main",
                                       .address = 0x1000,
                                       .index = 1,
                                       .flags = code,
                                       .relocations = main_relocations,
                                       .relocation_count = 3};
    app_sections[2] = (struct section){.cell = &app,
                                       .name = ".data",
                                       .address = 0x2000,
                                       .index = 2,
                                       .flags = SHF_ALLOC,
                                       .relocations = data_relocations,
                                       .relocation_count = 1};
    lib_sections[1] =
        (struct section){.cell = &lib, .name = ".text.lib", .address = 0x3000, .flags = code};
    bind(0, LIB_CODE, &lib_sections[1], 0);
    bind(1, LIB_POINTED_TO, &lib_sections[1], 16);
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
