/* SPDX-License-Identifier: MIT */
#include "application.h"
#include "cell_metadata.h"
#include "cell_namespace.h"
#include "console_recorder.h"
#include "mutex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

APPLICATION(cells);

static struct section app_section = {.name = ".text.main"};
static struct section lib_section = {.name = ".text.lib"};
static struct cell lib;
static struct cell app;
static const struct elf64_sym symbols[] = {{0}, {.st_shndx = 0}, {0}};
static const struct elf64_shdr headers[] = {{.sh_flags = SHF_ALLOC}};
/* Two uses of what it imports from `lib`, and one of something else. */
static const struct elf64_rela relocations[] = {
    {.r_type = R_X86_64_64, .r_sym = 1},
    {.r_type = R_X86_64_64, .r_sym = 2},
    {.r_type = R_X86_64_NONE, .r_sym = 1},
    {.r_type = R_X86_64_64, .r_sym = 1},
};
static struct binding bindings[] = {{.cell = &app, .target = &lib_section, .symbol = 1}};
static struct cell lib = {
    .name = "lib",
    .version = "1.2.3",
    .kind = "library",
    .sections = &lib_section,
    .object.section_count = 1,
    .regions = {{.size = 4000}, {.size = 300}, {.size = 65600}},
    .metadata_size = 1000,
};
static struct cell app = {
    .name = "app",
    .version = "0.1.0",
    .kind = "application",
    .sections = &app_section,
    .object = {.section_count = 1,
               .section_names = ".rodata",
               .sections = headers,
               .symbols = symbols},
    .bindings = bindings,
    .binding_count = 1,
    .relocation_count = 4,
    .regions = {{.size = 50}},
    .metadata_size = 234,
    .next = &lib,
};
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

static struct console_recorder said;

static void test_cells_lists_sizes_and_crossing_relocations(void **state)
{
    (void)state;
    assert_int_equal(cells_main(NULL), OK);
    assert_string_equal(
        said.text,
        "CELL               VERSION  KIND            TEXT   RODATA     DATA  RELOCS    OUT     IN\n"
        "app                0.1.0    application       50        0        0       4      2      0\n"
        "lib                1.2.3    library         4000      300    65600       0      0      2\n"
        "total                                       4050      300    65600       4      2      2\n"
        "2 cells, 1234 bytes of metadata\n");
}

int main(void)
{
    console_recorder_start(&said);
    app_section.cell = &app;
    lib_section.cell = &lib;
    app_section.relocations = relocations;
    app_section.relocation_count = ARRAY_COUNT(relocations);
    lib_section.incoming = &bindings[0];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cells_lists_sizes_and_crossing_relocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
