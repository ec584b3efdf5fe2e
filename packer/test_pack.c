/* SPDX-License-Identifier: MIT */
#include "test_support.h"

#include "archive.h"
#include "pack.h"

#define LONG_NAME "a_name_that_no_header_holds"

static const struct test_cell cells[] = {
    {.name = "beta", .source = TEST_CELL_HEAD "CELL_API int b(void);\nint b(void) { return 2; }\n"},
    {.name = "alpha",
     .source =
         TEST_CELL_HEAD "CELL_API int a(void);\nint h(void);\nCELL_API extern int v;\nint v;\n"
                        "int h(void) { return 7; }\nint a(void) { return v + h(); }\n"},
    {.name = LONG_NAME,
     .source = TEST_CELL_HEAD "CELL_API int c(void);\nCELL_API int b(void);\n"
                              "int c(void) { return b(); }\n"},
};

static int set_up(void **state)
{
    if (scratch_create(state) != 0) {
        return -1;
    }
    for (size_t i = 0; i < ARRAY_COUNT(cells); i++) {
        test_compile_good(&cells[i]);
    }
    return 0;
}

/* Names of cells to come first; ends with NULL. */
static const char *first_cells[4];

/* Packs the named files of the scratch folder to `output`; returns the code, 0 when it went well.
 */
static unsigned pack_files(const char *output, const char *const *names)
{
    char paths[8][512];
    const char *list[9] = {NULL};
    for (size_t i = 0; names[i]; i++) {
        snprintf(paths[i], sizeof(paths[i]), "%s/%s", scratch, names[i]);
        list[i] = paths[i];
    }
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", scratch, output);
    struct pack_result result;
    struct problem problem = {0};
    const struct pack_request request = {.output = path, .cells = list, .first = first_cells};
    enum status status = pack_cells(&request, &result, &problem);
    unsigned code = problem.code;
    assert_int_equal(status, problem.status);
    problem_fini(&problem);
    return code;
}

#define PACK(output, ...) pack_files(output, (const char *const[]){__VA_ARGS__, NULL})

static void test_pack_archive_reads_back(void **state)
{
    assert_int_equal(PACK("cells.a", "beta.cell", "alpha.cell", LONG_NAME ".cell"), 0);
    struct bytes file = scratch_read("cells.a");
    struct archive archive;
    assert_int_equal(archive_open(bytes_span(&file), &archive, NULL), OK);
    static const char *const sorted[] = {LONG_NAME ".cell", "alpha.cell", "beta.cell"};
    struct archive_member member;
    uint64_t at = archive.first_member;
    for (size_t i = 0; i < ARRAY_COUNT(sorted); i++, at = member.next) {
        assert_int_equal(archive_member_at(&archive, at, &member, NULL), OK);
        assert_string_equal(member.name, sorted[i]);
        assert_int_equal((size_t)(member.data.base - file.data) % 8, 0);
        struct bytes cell = scratch_read(sorted[i]);
        assert_true(member.data.size >= cell.size && member.data.size < cell.size + 8);
        assert_memory_equal(member.data.base, cell.data, cell.size);
        bytes_fini(&cell);
    }
    assert_int_equal(archive_member_at(&archive, at, &member, NULL), ERR_NOT_FOUND);
    bytes_fini(&file);
}

static void test_pack_index_holds_exports_and_nothing_else(void **state)
{
    assert_int_equal(PACK("cells.a", "beta.cell", "alpha.cell", LONG_NAME ".cell"), 0);
    struct bytes file = scratch_read("cells.a");
    struct archive archive;
    assert_int_equal(archive_open(bytes_span(&file), &archive, NULL), OK);
    struct archive_cursor cursor = {0};
    const char *symbol;
    uint64_t offset;
    char seen[64] = "";
    while (archive_index_next(&archive, &cursor, &symbol, &offset)) {
        struct archive_member member;
        assert_int_equal(archive_member_at(&archive, offset, &member, NULL), OK);
        size_t length = strlen(seen);
        snprintf(seen + length, sizeof(seen) - length, "%s:%.2s ", symbol, member.name);
    }
    assert_string_equal(seen, "c:a_ a:al v:al b:be ");
    bytes_fini(&file);
}

static void test_pack_bytes_do_not_depend_on_the_order(void **state)
{
    assert_int_equal(PACK("one.a", "beta.cell", "alpha.cell", LONG_NAME ".cell"), 0);
    assert_int_equal(PACK("two.a", LONG_NAME ".cell", "alpha.cell", "beta.cell"), 0);
    struct bytes one = scratch_read("one.a");
    struct bytes two = scratch_read("two.a");
    assert_int_equal(one.size, two.size);
    assert_memory_equal(one.data, two.data, one.size);
    bytes_fini(&one);
    bytes_fini(&two);
}

/* What another program prints about the archive. */
static char *words_of_tool(const char *tool, const char *option)
{
    const char *const arguments[] = {tool, option, scratch_path("cells.a"), NULL};
    struct process process = {.arguments = arguments, .package = "binutils", .what = "look at it"};
    struct bytes output = {0};
    struct problem problem = {0};
    assert_int_equal(process_run(&process, &output, NULL, &problem), OK);
    bytes_append(&output, "", 1);
    return (char *)output.data;
}

static void test_pack_binutils_read_the_archive(void **state)
{
    static const char *const expected[][3] = {
        {"ar", "t", LONG_NAME ".cell\nalpha.cell\nbeta.cell\n"},
        {"nm", "-s", "c in " LONG_NAME ".cell\n"},
        {"readelf", "-h", "(alpha.cell)"},
        {"objdump", "-d", "<a>:"},
    };
    assert_int_equal(PACK("cells.a", "beta.cell", "alpha.cell", LONG_NAME ".cell"), 0);
    for (size_t i = 0; i < ARRAY_COUNT(expected); i++) {
        char *output = words_of_tool(expected[i][0], expected[i][1]);
        if (!strstr(output, expected[i][2])) {
            fail_msg("%s %s printed: %s", expected[i][0], expected[i][1], output);
        }
        free(output);
    }
}

static void test_pack_same_name_twice_is_refused(void **state)
{
    assert_int_equal(PACK("bad.a", "beta.cell", "alpha.cell", "beta.cell"), PROBLEM_PACK_TWICE);
}

static const char defines_b[] = TEST_CELL_HEAD "CELL_API int b(void);\nint b(void) { return 3; }\n";

static void test_pack_same_symbol_twice_is_refused(void **state)
{
    test_compile_good(&(struct test_cell){.name = "gamma", .source = defines_b});
    assert_int_equal(PACK("bad.a", "beta.cell", "gamma.cell"), PROBLEM_PACK_DUPLICATE);
    test_compile_good(
        &(struct test_cell){.name = "gamma", .interface = "something", .source = defines_b});
    assert_int_equal(PACK("bad.a", "beta.cell", "gamma.cell"), PROBLEM_PACK_DUPLICATE);
}

static void test_pack_same_symbol_of_one_interface_is_accepted(void **state)
{
    test_compile_good(&(struct test_cell){.name = "one", .interface = "b", .source = defines_b});
    test_compile_good(&(struct test_cell){.name = "two", .interface = "b", .source = defines_b});
    assert_int_equal(PACK("both.a", "two.cell", "one.cell"), 0);
}

/* The name of the member that the index leads to for `b`: the first that defines it. */
static void assert_default(const char *archive_name, const char *expected)
{
    struct bytes file = scratch_read(archive_name);
    struct archive archive;
    assert_int_equal(archive_open(bytes_span(&file), &archive, NULL), OK);
    struct archive_cursor cursor = {0};
    const char *symbol;
    uint64_t offset;
    do {
        assert_true(archive_index_next(&archive, &cursor, &symbol, &offset));
    } while (strcmp(symbol, "b") != 0);
    struct archive_member member;
    assert_int_equal(archive_member_at(&archive, offset, &member, NULL), OK);
    assert_string_equal(member.name, expected);
    bytes_fini(&file);
}

static void test_pack_first_makes_a_cell_the_default_of_its_interface(void **state)
{
    test_compile_good(&(struct test_cell){.name = "one", .interface = "b", .source = defines_b});
    test_compile_good(&(struct test_cell){.name = "two", .interface = "b", .source = defines_b});
    assert_int_equal(PACK("both.a", "two.cell", "one.cell"), 0);
    assert_default("both.a", "one.cell");
    first_cells[0] = "two";
    assert_int_equal(PACK("both.a", "two.cell", "one.cell"), 0);
    assert_default("both.a", "two.cell");
    first_cells[0] = "three";
    assert_int_equal(PACK("both.a", "two.cell", "one.cell"), PROBLEM_PACK_FIRST);
    first_cells[0] = NULL;
}

static void test_pack_bad_input_is_refused(void **state)
{
    scratch_write("empty.cell", "", 0);
    assert_int_equal(PACK("bad.a", "empty.cell"), DIAG_ELF_TRUNCATED);
    assert_int_equal(PACK("bad.a", "absent.cell"), PROBLEM_FILE_READ);
    assert_int_equal(PACK("bad.a", "."), PROBLEM_FILE_READ);
    scratch_write("text.cell", "int main(void);\nint x;\n", 23);
    assert_int_equal(PACK("bad.a", "text.cell"), DIAG_ELF_MAGIC);
}

/* Cut at every length: the section table comes last, so none of them is whole. */
static void test_pack_truncated_cell_is_refused(void **state)
{
    struct bytes cell = scratch_read("beta.cell");
    for (size_t size = 0; size < cell.size; size += 37) {
        scratch_write("cut.cell", cell.data, size);
        assert_int_not_equal(PACK("bad.a", "cut.cell"), 0);
    }
    bytes_fini(&cell);
}

/* Noise in the place of some bytes: refused or not, but the reader must not trip. */
static void test_pack_damaged_cell_does_no_harm(void **state)
{
    struct bytes cell = scratch_read("alpha.cell");
    uint32_t noise = 1;
    unsigned refused = 0;
    for (unsigned run = 0; run < 300; run++) {
        struct bytes copy = {0};
        bytes_append(&copy, cell.data, cell.size);
        for (unsigned k = 0; k < 4; k++) {
            noise = noise * 1664525u + 1013904223u;
            copy.data[(noise >> 8) % copy.size] = (uint8_t)(noise >> 24);
        }
        scratch_write("noise.cell", copy.data, copy.size);
        refused += PACK("noise.a", "noise.cell") != 0;
        bytes_fini(&copy);
    }
    assert_in_range(refused, 1, 299);
    bytes_fini(&cell);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pack_archive_reads_back),
        cmocka_unit_test(test_pack_index_holds_exports_and_nothing_else),
        cmocka_unit_test(test_pack_bytes_do_not_depend_on_the_order),
        cmocka_unit_test(test_pack_binutils_read_the_archive),
        cmocka_unit_test(test_pack_same_name_twice_is_refused),
        cmocka_unit_test(test_pack_same_symbol_twice_is_refused),
        cmocka_unit_test(test_pack_same_symbol_of_one_interface_is_accepted),
        cmocka_unit_test(test_pack_first_makes_a_cell_the_default_of_its_interface),
        cmocka_unit_test(test_pack_bad_input_is_refused),
        cmocka_unit_test(test_pack_truncated_cell_is_refused),
        cmocka_unit_test(test_pack_damaged_cell_does_no_harm),
    };
    return cmocka_run_group_tests(tests, set_up, scratch_destroy);
}
