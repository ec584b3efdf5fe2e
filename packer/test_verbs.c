/* SPDX-License-Identifier: MIT */
/* The analysing verbs as a user meets them, but for `check`: see test_check.c. */
#include "test_verbs.h"

/* ---- one test a verb ---- */

static void test_ls_lists_cells(void **state)
{
    (void)state;
    assert_int_equal(RUN("ls"), EXIT_DONE);
    assert_true(prints("out", "front   application"));
    assert_int_equal(RUN("ls", "--json", "--sort=users"), EXIT_DONE);
    json_t *root = output_json("cellpack.ls/1");
    assert_int_equal(json_array_size(json_object_get(root, "cells")), 3);
    const json_t *base = item(root, "cells", 0);
    assert_string_equal(string_in(base, "name"), "base");
    assert_string_equal(string_in(base, "version"), "1.2.3");
    assert_int_equal(number_in(base, "needed_by_count"), 2);
    assert_int_equal(number_in(json_object_get(base, "sizes"), "data"), 4);
    json_decref(root);
    assert_int_equal(RUN("ls", "--kind=application", "--json"), EXIT_DONE);
    root = output_json("cellpack.ls/1");
    assert_int_equal(json_array_size(json_object_get(root, "cells")), 1);
    json_decref(root);
    assert_int_equal(RUN("ls", "--kind=nothing"), EXIT_USAGE);
}

static void test_info_shows_a_cell(void **state)
{
    (void)state;
    assert_int_equal(RUN("info", "middle", "--json"), EXIT_DONE);
    json_t *root = output_json("cellpack.info/1");
    const json_t *cell = item(root, "cells", 0);
    assert_string_equal(string_in(item(cell, "exports", 0), "name"), "middle_run");
    assert_string_equal(string_in(item(cell, "imports", 0), "cell"), "base");
    assert_string_equal(string_in(item(cell, "needs", 0), "cell"), "base");
    assert_string_equal(string_in(item(cell, "needed_by", 0), "cell"), "front");
    json_decref(root);
    assert_int_equal(RUN("info", "midle"), EXIT_FAILED);
    assert_true(prints("err", "error[C0451]: there is no cell 'midle'; is 'middle' meant?"));
    assert_int_equal(RUN("info", scratch_path("base.cell")), EXIT_DONE);
    assert_true(prints("out", "base_value"));
    assert_int_equal(RUN("info"), EXIT_USAGE);
}

static void test_sym_finds_definition_and_users(void **state)
{
    (void)state;
    assert_int_equal(RUN("sym", "base_value", "--json"), EXIT_DONE);
    json_t *root = output_json("cellpack.sym/1");
    const json_t *definition = item(root, "definitions", 0);
    assert_string_equal(string_in(definition, "section"), ".text.base_value");
    size_t calls = 0;
    size_t i;
    json_t *user;
    json_array_foreach(json_object_get(definition, "users"), i, user)
    {
        calls += strcmp(string_in(user, "use"), "call") == 0;
    }
    assert_int_equal(calls, 2);
    json_decref(root);
    assert_int_equal(RUN("sym", "middle_*"), EXIT_DONE);
    assert_true(prints("out", "front:.text.front_main+"));
    assert_int_equal(RUN("sym", "base_valu"), EXIT_FAILED);
    assert_true(prints("err", "C0452"));
}

static void test_tree_in_both_directions(void **state)
{
    (void)state;
    assert_int_equal(RUN("tree", "front"), EXIT_DONE);
    assert_output("front\n├── base  1\n└── middle  1\n    └── base  1\n");
    assert_int_equal(RUN("tree"), EXIT_DONE);
    assert_output("front\n├── base  1\n└── middle  1\n    └── base  1\n");
    assert_int_equal(RUN("tree", "front", "--depth=1"), EXIT_DONE);
    assert_output("front\n├── base  1\n└── middle  1\n");
    assert_int_equal(RUN("tree", "-i", "base", "middle"), EXIT_DONE);
    assert_output("base\n├── front  1\n└── middle  1\n    └── front  1\nmiddle (*)\n");
    assert_int_equal(RUN("tree", "middle:.text.middle_run", "--json"), EXIT_DONE);
    json_t *root = output_json("cellpack.tree/1");
    assert_string_equal(string_in(item(root, "nodes", 1), "section"), ".text.base_value");
    assert_int_equal(number_in(item(root, "nodes", 1), "depth"), 1);
    json_decref(root);
    assert_int_equal(RUN("tree", "middle:.nothing"), EXIT_FAILED);
}

static void test_why_gives_chains_with_causes(void **state)
{
    (void)state;
    assert_int_equal(RUN("why", "front", "base", "--all", "--precise"), EXIT_DONE);
    assert_true(prints("out", "front -> base    1 of 2 chains\n"));
    assert_true(prints("out", "front -> middle -> base    2 of 2 chains\n"));
    assert_true(prints("out", "R_X86_64_PLT32 -> base:base_value"));
    assert_true(prints("out", "middle_0.c:5"));
    assert_int_equal(RUN("why", "front", "base", "--json"), EXIT_DONE);
    json_t *root = output_json("cellpack.why/1");
    assert_int_equal(number_in(root, "chain_count"), 2);
    assert_int_equal(json_array_size(json_object_get(root, "chains")), 1);
    const json_t *link = json_array_get(item(root, "chains", 0), 0);
    assert_string_equal(string_in(item(link, "relocations", 0), "type"), "R_X86_64_PLT32");
    json_decref(root);
    assert_int_equal(RUN("why", "base", "front"), EXIT_DONE);
    assert_true(prints("out", "base does not need front\nbut front needs base"));
    assert_int_equal(RUN("why", scratch_path("front.cell"), scratch_path("base.cell")), EXIT_DONE);
    assert_true(prints("out", "front -> base"));
    assert_int_equal(RUN("why", "front"), EXIT_USAGE);
}

static void test_graph_forms(void **state)
{
    (void)state;
    assert_int_equal(RUN("graph", "--format=edges"), EXIT_DONE);
    assert_true(prints("out", "R_X86_64_PLT32 base:.text.base_value+0x0\n"));
    assert_true(prints("out", "\nedges "));
    assert_int_equal(RUN("graph", "--format=dot", "--reduce"), EXIT_DONE);
    assert_true(prints("out", "digraph cells {"));
    assert_int_equal(RUN("graph", "--format=svg", "-o", scratch_path("graph.svg")), EXIT_DONE);
    assert_true(prints("graph.svg", "<svg "));
    assert_int_equal(RUN("graph", "--json"), EXIT_DONE);
    json_t *root = output_json("cellpack.graph/1");
    assert_int_equal(number_in(root, "shown"), 3);
    assert_int_equal(json_array_size(json_object_get(root, "edges")), 3);
    size_t implied = 0;
    size_t i;
    json_t *edge;
    json_array_foreach(json_object_get(root, "edges"), i, edge)
    {
        implied += json_is_true(json_object_get(edge, "implied"));
    }
    assert_int_equal(implied, 1);
    json_decref(root);
}

static void test_graph_selects(void **state)
{
    (void)state;
    assert_int_equal(RUN("graph", "--from", "middle"), EXIT_DONE);
    assert_true(prints("out", "middle  base"));
    assert_false(prints("out", "front"));
    assert_int_equal(RUN("graph", "--to", "middle", "--json"), EXIT_DONE);
    json_t *root = output_json("cellpack.graph/1");
    assert_int_equal(number_in(root, "shown"), 2);
    json_decref(root);
    assert_int_equal(RUN("graph", "--from", "nobody"), EXIT_FAILED);
}

static void test_graph_page_is_one_file(void **state)
{
    (void)state;
    assert_int_equal(RUN("graph", "--format=html"), EXIT_DONE);
    char *page = text_of("out");
    assert_true(strlen(page) < 1000000);
    assert_null(strstr(page, "@DATA@"));
    assert_null(strstr(page, "src="));
    assert_null(strstr(page, "<link"));
    assert_null(strstr(page, "@import"));
    const char *start = strstr(page, "<script type=\"application/json\" id=\"data\">");
    assert_non_null(start);
    start = strchr(start, '{');
    const char *end = strstr(start, "</script>");
    json_t *data = json_loadb(start, (size_t)(end - start), 0, NULL);
    assert_non_null(data);
    assert_string_equal(string_in(data, "schema"), "cellpack.graph/1");
    json_decref(data);
    free(page);
}

static void test_size_compares_and_keeps_budget(void **state)
{
    (void)state;
    assert_int_equal(RUN("size", "--json"), EXIT_DONE);
    json_t *root = output_json("cellpack.size/1");
    json_int_t total = number_in(json_object_get(json_object_get(root, "total"), "sizes"), "total");
    assert_true(total > 0);
    json_decref(root);
    assert_int_equal(
        RUN("size", "--cells", scratch_path("more.a"), "--diff", scratch_path("cells.a"), "--json"),
        EXIT_DONE);
    root = output_json("cellpack.size/1");
    assert_int_equal(number_in(root, "changed_count"), 1);
    assert_string_equal(string_in(item(root, "rows", 0), "name"), "keeper");
    assert_string_equal(string_in(item(root, "rows", 0), "change"), "+");
    assert_int_equal(number_in(json_object_get(root, "total"), "delta"),
                     number_in(item(root, "rows", 0), "delta"));
    json_decref(root);
    assert_int_equal(RUN("size", "--budget=1"), EXIT_DONE);
    assert_int_equal(RUN("size", "--budget=1", "--check"), EXIT_OVER_BUDGET);
    assert_int_equal(RUN("size", "--budget=1000000", "--check"), EXIT_DONE);
    assert_int_equal(RUN("size", "--diff", "/nowhere"), EXIT_FAILED);
}

/* Exit codes: equal, different, not to be swapped as it is. */
static void test_diff_is_judged_and_written(void **state)
{
    (void)state;
    static const char cells_of[][160] = {
        TEST_CELL_HEAD
        "CELL_API int step(void);\nstatic int count;\nint step(void) { return ++count; }\n",
        TEST_CELL_HEAD
        "CELL_API int step(void);\nstatic int count;\nint step(void) { return --count; }\n",
        TEST_CELL_HEAD
        "CELL_API int step(void);\nstatic char count;\nint step(void) { return ++count; }\n",
    };
    char files[ARRAY_COUNT(cells_of)][512];
    for (size_t i = 0; i < ARRAY_COUNT(cells_of); i++) {
        char folder[64];
        snprintf(folder, sizeof(folder), "build.%zu", i);
        assert_int_equal(mkdir(scratch_path(folder), 0700), 0);
        test_compile_good(&(struct test_cell){.name = "stepper", .source = cells_of[i]});
        snprintf(files[i], sizeof(files[i]), "%s/build.%zu/cells.a", scratch, i);
        assert_int_equal(RUN("pack", "-o", files[i], scratch_path("stepper.cell")), EXIT_DONE);
    }
    const char *old = scratch_path("build.0"); /* a folder stands for the archive in it */
    assert_int_equal(RUN("diff", old, files[0], "--check"), EXIT_DONE);
    assert_output("= 1 cell unchanged\n"
                  "nothing to swap: a system of the one is a system of the other\n");
    assert_int_equal(RUN("diff", files[0], files[1]), EXIT_DONE);
    assert_true(
        prints("out", "1    ~ stepper  code only     1 function (step)\n= 0 cells unchanged"));
    assert_int_equal(RUN("diff", files[0], files[1], "--check"), EXIT_DIFFERS);
    assert_int_equal(RUN("diff", files[0], files[2], "--check"), EXIT_INCOMPATIBLE);
    assert_true(prints("err", "1 variables or layouts need a line"));
    const char *output = scratch_path("evolution");
    assert_int_equal(RUN("diff", files[0], files[2], "-o", output), EXIT_FAILED);
    assert_true(prints("err", "error[C0520]"));
    assert_true(prints("out", "! stepper  code, state   "));
    assert_int_not_equal(access(output, F_OK), 0);
    assert_int_equal(RUN("diff", files[0], files[1], "-o", output, "--json"), EXIT_DONE);
    json_t *root = output_json("cellpack.diff/1");
    assert_string_equal(string_in(item(root, "cells", 0), "new"), "stepper");
    assert_int_equal(number_in(item(root, "cells", 0), "set"), 1);
    assert_int_equal(strlen(string_in(item(root, "cells", 0), "old_hash")), 64);
    assert_int_equal(number_in(item(root, "sets", 0), "cell_count"), 1);
    assert_int_equal(number_in(root, "missing_count"), 0);
    json_decref(root);
    assert_true(prints("evolution", "theoris-evolution 1\nbundle evolution.a "));
    assert_int_equal(access(scratch_path("evolution.a"), F_OK), 0);
}

static void test_spill_names_variables(void **state)
{
    (void)state;
    assert_int_equal(RUN("spill", "--json"), EXIT_DONE);
    json_t *root = output_json("cellpack.spill/1");
    assert_int_equal(number_in(root, "total"), 4);
    assert_string_equal(string_in(item(root, "variables", 0), "variable"), "base_state");
    assert_int_equal(number_in(item(root, "variables", 0), "user_count"), 1);
    json_decref(root);
    assert_int_equal(RUN("spill", scratch_path("nameless.cell"), "--json"), EXIT_DONE);
    root = output_json("cellpack.spill/1");
    assert_int_equal(number_in(root, "total"), 24);
    assert_true(json_is_null(json_object_get(item(root, "variables", 0), "variable")));
    assert_int_equal(number_in(item(root, "variables", 0), "size"), 24);
    json_decref(root);
    assert_int_equal(RUN("spill", "--check"), EXIT_DONE);
    assert_int_equal(RUN("spill", "--cells", scratch_path("more.a")), EXIT_DONE);
    assert_int_equal(RUN("spill", "--cells", scratch_path("more.a"), "--check"), EXIT_OVER_BUDGET);
    assert_true(prints("err", "application keeper has 4 bytes"));
}

static void test_abi_shows_signatures(void **state)
{
    (void)state;
    assert_int_equal(RUN("abi", "front"), EXIT_DONE);
    assert_true(prints("out", "import  "));
    assert_true(prints("out", "base_value  s32()\n"));
    assert_int_equal(RUN("abi", "base", "--json"), EXIT_DONE);
    json_t *root = output_json("cellpack.abi/1");
    json_t *cell = item(root, "cells", 0);
    assert_string_equal(string_in(item(cell, "symbols", 0), "name"), "base_value");
    assert_string_equal(string_in(item(cell, "symbols", 0), "kind"), "export");
    assert_string_equal(string_in(item(cell, "symbols", 0), "text"), "s32()");
    assert_int_equal(strlen(string_in(item(cell, "symbols", 0), "hash")), 16);
    assert_string_equal(string_in(item(cell, "variables", 0), "name"), "base_state");
    assert_int_equal(number_in(cell, "unchecked_count"), 0);
    json_decref(root);
    assert_int_equal(RUN("abi", "bass"), EXIT_FAILED);
    assert_true(prints("err", "error[C0451]"));
    assert_int_equal(RUN("abi", "diff", scratch_path("cells.a")), EXIT_USAGE);
}

static void test_abi_diff_tells_parts_and_verdict(void **state)
{
    (void)state;
    char old[512];
    snprintf(old, sizeof(old), "%s", scratch_path("cells.a"));
    assert_int_equal(RUN("abi", "diff", old, old, "--check"), EXIT_DONE);
    assert_output("no differences\n");
    assert_int_equal(RUN("abi", "diff", old, scratch_path("more.a"), "--check"), EXIT_DIFFERS);
    assert_int_equal(RUN("abi", "diff", scratch_path("more.a"), old), EXIT_DONE);
    test_compile_good(&(struct test_cell){
        .name = "changed",
        .source =
            TEST_CELL_HEAD "CELL_API long base_value(int);\nCELL_API extern int base_state;\n"
                           "int base_state;\nlong base_value(int a) { return base_state + a; }\n"});
    char base[512];
    char changed[512];
    snprintf(base, sizeof(base), "%s", scratch_path("base.cell"));
    snprintf(changed, sizeof(changed), "%s", scratch_path("changed.cell"));
    assert_int_equal(RUN("abi", "diff", base, changed), EXIT_DONE);
    assert_true(prints("out", "s32 -> s64"));
    assert_true(prints("out", "2 differences, 2 incompatible"));
    assert_int_equal(RUN("abi", "diff", base, changed, "--json", "--check"), EXIT_INCOMPATIBLE);
    json_t *root = output_json("cellpack.abi_diff/1");
    assert_int_equal(number_in(root, "incompatible_count"), 2);
    assert_string_equal(string_in(item(root, "changes", 0), "part"), "result");
    assert_string_equal(string_in(item(root, "changes", 1), "part"), "parameter 1");
    assert_string_equal(string_in(item(root, "changes", 1), "new"), "s32");
    assert_true(json_is_null(json_object_get(item(root, "changes", 1), "old")));
    json_decref(root);
}

static void test_type_shows_layout_and_holes(void **state)
{
    (void)state;
    test_compile_good(&(struct test_cell){.name = "shapes",
                                          .source = TEST_CELL_HEAD
                                          "enum kind { ROUND, FLAT = 4 };\nstruct inner { short a; "
                                          "char b; };\nunion both { char c[6]; int i; };\n"
                                          "struct shape { char tag; struct inner in[3]; unsigned "
                                          "low : 3; unsigned high : 2; union both both;\n"
                                          "  enum kind kind; struct { long x; char y; } here; void "
                                          "(*draw)(struct shape *); struct far *far; };\n"
                                          "CELL_API void shapes_add(struct shape *shape);\nvoid "
                                          "shapes_add(struct shape *shape) { shape->tag++; }\n"});
    char file[512];
    snprintf(file, sizeof(file), "%s", scratch_path("shapes.cell"));
    assert_int_equal(RUN("type", "shape", file, "--json"), EXIT_DONE);
    json_t *root = output_json("cellpack.type/1");
    json_t *layout = item(root, "layouts", 0);
    static const struct {
        const char *kind;
        const char *name;
        int offset;
        int size;
    } parts[] = {
        {"field", "tag", 0, 8},      {"hole", NULL, 8, 8},       {"field", "in", 16, 96},
        {"field", "low", 112, 3},    {"field", "high", 115, 2},  {"hole", NULL, 117, 11},
        {"field", "both", 128, 64},  {"field", "kind", 192, 32}, {"hole", NULL, 224, 32},
        {"field", "here", 256, 128}, {"field", "draw", 384, 64}, {"field", "far", 448, 64}};
    assert_int_equal(number_in(layout, "size"), 64);
    assert_int_equal(number_in(layout, "hole_bits"), 8 + 11 + 32);
    assert_int_equal(json_array_size(json_object_get(layout, "parts")), ARRAY_COUNT(parts));
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
        json_t *part = item(layout, "parts", i);
        assert_string_equal(string_in(part, "kind"), parts[i].kind);
        assert_true(!parts[i].name || strcmp(string_in(part, "name"), parts[i].name) == 0);
        assert_int_equal(number_in(part, "offset_bits"), parts[i].offset);
        assert_int_equal(number_in(part, "size_bits"), parts[i].size);
    }
    json_decref(root);
    assert_int_equal(RUN("type", "struct shape", file, "--holes", "--known-by"), EXIT_DONE);
    assert_true(prints("out", "3 holes, 6 bytes and 3 bits"));
    assert_true(prints("out", "(hole)"));
    assert_true(prints("out", "known by: shapes"));
    assert_int_equal(RUN("type", "far", file), EXIT_DONE);
    assert_true(prints("out", "no cell knows its layout\nknown by name: shapes"));
    assert_int_equal(RUN("type", "kind", file), EXIT_DONE);
    assert_true(prints("out", "    4  FLAT"));
    assert_int_equal(RUN("type", "shap", file), EXIT_FAILED);
    assert_true(prints("err", "error[C0454]"));
    assert_true(prints("err", "is shape meant?"));
    assert_int_equal(RUN("type", "a", "b", file), EXIT_USAGE);
}

static void test_unwind_lists_rows(void **state)
{
    (void)state;
    assert_int_equal(RUN("unwind", "middle", "--json"), EXIT_DONE);
    json_t *root = output_json("cellpack.unwind/1");
    const json_t *cell = item(root, "cells", 0);
    const json_t *function = item(cell, "functions", 0);
    const json_t *first = item(function, "rows", 0);
    const json_t *second = item(function, "rows", 1);
    assert_int_equal(number_in(cell, "function_count"), 1);
    assert_string_equal(string_in(function, "function"), "middle_run");
    assert_string_equal(string_in(function, "section"), ".text.middle_run");
    assert_int_equal(number_in(first, "offset"), 0);
    assert_string_equal(string_in(first, "cfa"), "rsp+8");
    assert_string_equal(string_in(json_object_get(first, "registers"), "rip"), "c-8");
    assert_string_equal(string_in(second, "cfa"), "rsp+16"); /* it aligns the stack for its call */
    json_decref(root);
    assert_int_equal(RUN("unwind"), EXIT_DONE);
    assert_true(prints("out", "middle:middle_run"));
    assert_true(prints("out", "3 functions,"));
    assert_int_equal(RUN("unwind", "absent"), EXIT_FAILED);
    assert_true(prints("err", "error[C0451]"));
}

static void write_input(const char *text)
{
    FILE *file = fopen(scratch_path("in"), "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void test_where_adds_source_lines_to_a_report(void **state)
{
    (void)state;
    write_input("  rip 00ff  middle:.text.middle_run+0\r\n  by  00ff  middle:.text.middle_run+0x1\n"
                "no place: here:there, middle:absent+0x1\n\n");
    assert_int_equal(RUN("where"), EXIT_DONE);
    assert_true(prints("out", "  rip 00ff  middle:.text.middle_run+0  "));
    assert_true(prints("out", "middle_0.c:5"));
    assert_true(prints("out", "no place: here:there, middle:absent+0x1\n\n"));
    write_input("x middle:.text.middle_run+0x0 y\nmiddle:.text.middle_run+0xffffffffffffffffff\n");
    assert_int_equal(RUN("where", "--json"), EXIT_DONE);
    json_t *root = output_json("cellpack.where/1");
    assert_string_equal(string_in(item(root, "places", 0), "place"), "middle:.text.middle_run+0x0");
    assert_true(json_is_null(json_object_get(item(root, "places", 1), "source")));
    json_decref(root);
    write_input("");
}

static void test_where_names_the_line_of_a_place(void **state)
{
    (void)state;
    assert_int_equal(RUN("where", "middle:.text.middle_run+0"), EXIT_DONE);
    assert_true(prints("out", "middle_0.c:5"));
    static const char *const wrong[] = {"middle", "middle:.text.nothing+1", "nobody:.text+1",
                                        "middle:.text.middle_run+1x"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(RUN("where", wrong[i]), EXIT_FAILED);
        assert_true(prints("err", "is no place in a cell"));
    }
}

static void test_verbs_refuse_broken_input(void **state)
{
    (void)state;
    static const char *const verbs[] = {"ls", "tree", "graph", "size", "spill", "unwind", "abi"};
    struct bytes good = scratch_read("cells.a");
    scratch_write("cut.a", good.data, good.size - 100);
    scratch_write("text.o", "no object", 9);
    scratch_write("empty.o", "", 0);
    bytes_fini(&good);
    for (size_t i = 0; i < ARRAY_COUNT(verbs); i++) {
        assert_int_equal(RUN(verbs[i], scratch_path("cut.a")), EXIT_FAILED);
        assert_true(prints("err", "error[C0303]"));
        assert_int_equal(RUN(verbs[i], scratch_path("text.o")), EXIT_FAILED);
        assert_int_equal(RUN(verbs[i], scratch_path("empty.o")), EXIT_FAILED);
        assert_int_equal(RUN(verbs[i], scratch_path("absent.o")), EXIT_FAILED);
        assert_true(prints("err", "error[C0402]"));
    }
    assert_int_equal(RUN("check", scratch_path("cut.a")), EXIT_FAILED);
    assert_true(prints("out", "error[C0303]"));
}

/* Names in foreign objects are anybody's bytes: no control character may reach a terminal. */
static void test_names_with_control_characters_are_escaped(void **state)
{
    (void)state;
    struct bytes object = scratch_read("base.cell");
    size_t replaced = 0;
    for (size_t i = 0; i + 5 <= object.size; i++) {
        if (memcmp(object.data + i, "base_", 5) == 0) {
            object.data[i + 4] = 0x1b; /* ESC instead of the underscore */
            replaced++;
        }
    }
    assert_true(replaced > 0);
    scratch_write("hostile.o", object.data, object.size);
    bytes_fini(&object);
    static const char *const verbs[] = {"ls",    "info",   "tree",  "size",
                                        "spill", "unwind", "check", "abi"};
    size_t escaped = 0;
    for (size_t i = 0; i < ARRAY_COUNT(verbs); i++) {
        if (strcmp(verbs[i], "tree") == 0) {
            RUN("tree", "--sections", scratch_path("hostile.o"));
        } else {
            RUN(verbs[i], scratch_path("hostile.o"));
        }
        for (unsigned k = 0; k < 2; k++) {
            char *text = text_of(k ? "err" : "out");
            assert_null(strchr(text, 0x1b));
            escaped += strstr(text, "\\x1b") != NULL;
            free(text);
        }
    }
    assert_true(escaped >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_with_control_characters_are_escaped),
        cmocka_unit_test(test_ls_lists_cells),
        cmocka_unit_test(test_info_shows_a_cell),
        cmocka_unit_test(test_sym_finds_definition_and_users),
        cmocka_unit_test(test_tree_in_both_directions),
        cmocka_unit_test(test_why_gives_chains_with_causes),
        cmocka_unit_test(test_graph_forms),
        cmocka_unit_test(test_graph_selects),
        cmocka_unit_test(test_graph_page_is_one_file),
        cmocka_unit_test(test_size_compares_and_keeps_budget),
        cmocka_unit_test(test_diff_is_judged_and_written),
        cmocka_unit_test(test_spill_names_variables),
        cmocka_unit_test(test_abi_shows_signatures),
        cmocka_unit_test(test_abi_diff_tells_parts_and_verdict),
        cmocka_unit_test(test_type_shows_layout_and_holes),
        cmocka_unit_test(test_unwind_lists_rows),
        cmocka_unit_test(test_where_adds_source_lines_to_a_report),
        cmocka_unit_test(test_where_names_the_line_of_a_place),
        cmocka_unit_test(test_verbs_refuse_broken_input),
    };
    return cmocka_run_group_tests(tests, set_up, scratch_destroy);
}
