/* SPDX-License-Identifier: MIT */
/*
 * Two builds of a few lines each: what is seen as changed, what goes together, what comes first,
 * what becomes of variables; and that the manifest which is written says so.
 */
#include "test_support.h"

#include "archive.h"
#include "diff/diff.h"
#include "evolution.h"
#include "pack.h"

#define CELLS_MAX 6

static struct model *old_model;
static struct model *new_model;
static struct diff diff;

/* Compiles the cells, which end with one that has no name, and packs them. */
static void build(const char *archive, const struct test_cell *cells)
{
    char paths[CELLS_MAX][64];
    const char *files[CELLS_MAX + 1] = {NULL};
    for (size_t i = 0; cells[i].name; i++) {
        test_compile_good(&cells[i]);
        snprintf(paths[i], sizeof(paths[i]), "%s.cell", cells[i].name);
        files[i] = strdup(scratch_path(paths[i]));
    }
    struct pack_result result;
    struct problem problem = {0};
    struct pack_request request = {.output = scratch_path(archive), .cells = files};
    if (pack_cells(&request, &result, &problem) != OK) {
        fail_msg("%s: C%04u %s", archive, problem.code, problem.what);
    }
    for (size_t i = 0; files[i]; i++) {
        free((char *)files[i]);
    }
}

static struct model *load(const char *archive)
{
    struct model *model;
    struct problem problem = {0};
    const char *path = scratch_path(archive);
    assert_int_equal(model_load(&path, 1, MODEL_STRICT, &model, &problem), OK);
    return model;
}

/* Compares what build() has packed as old.a and new.a. */
static void compare(const char *const *replace, const char *const *together)
{
    struct problem problem = {0};
    old_model = load("old.a");
    new_model = load("new.a");
    struct diff_request request = {
        .old = old_model, .new = new_model, .replace = replace, .together = together};
    if (diff_builds(&request, &diff, &problem) != OK) {
        fail_msg("C%04u %s", problem.code, problem.what);
    }
}

static void compare_cells(const struct test_cell *old, const struct test_cell *new)
{
    build("old.a", old);
    build("new.a", new);
    compare(NULL, NULL);
}

static void end(void)
{
    diff_fini(&diff);
    model_destroy(old_model);
    model_destroy(new_model);
}

static const struct diff_cell *cell_named(const char *name)
{
    for (uint32_t i = 0; i < diff.cell_count; i++) {
        if (strcmp(diff.cells[i].name, name) == 0) {
            return &diff.cells[i];
        }
    }
    fail_msg("there is no %s", name);
    return NULL;
}

static uint32_t set_of(const char *name)
{
    return cell_named(name)->set;
}

static bool list_has(const struct words_list *list, const char *part)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strstr(list->words[i], part)) {
            return true;
        }
    }
    return false;
}

static void expect_reason(const char *cell, const char *part)
{
    const struct words_list *reasons = &cell_named(cell)->reasons;
    if (!list_has(reasons, part)) {
        fail_msg("%s lacks `%s`; has `%s`", cell, part, reasons->count ? reasons->words[0] : "");
    }
}

static const struct diff_variable *variable_named(const char *cell, const char *name)
{
    const struct diff_cell *c = cell_named(cell);
    for (uint32_t i = 0; i < c->variable_count; i++) {
        if (strcmp(c->variables[i].name, name) == 0) {
            return &c->variables[i];
        }
    }
    fail_msg("%s says nothing of %s", cell, name);
    return NULL;
}

static bool is_before(uint32_t first, uint32_t then)
{
    const struct diff_set *set = &diff.sets[then - 1];
    for (uint32_t i = 0; i < set->after_count; i++) {
        if (set->after[i] == first || is_before(first, set->after[i])) {
            return true;
        }
    }
    return false;
}

#define CELL_OF(source_text) TEST_CELL_HEAD source_text

/* ---- what counts ---- */

#define BELL(ring)                                                                \
    CELL_OF("CELL_API int bell_ring(int times);\nCELL_API int bell_hush(void);\n" \
            "int bell_ring(int times) { return " ring "; }\n"                     \
            "int bell_hush(void) { return 0; }\n")

static void test_diff_of_one_build_is_empty(void **state)
{
    const struct test_cell cells[] = {{.name = "bell", .source = BELL("times")}, {0}};
    compare_cells(cells, cells);
    assert_int_equal(diff.set_count, 0);
    assert_int_equal(diff.unchanged_count, 1);
    assert_int_equal(diff.rebuilt_count, 0);
    end();
}

/* Comments move lines, sources have other names, functions and variables another order. */
static void test_diff_line_numbers_paths_and_order_do_not_count(void **state)
{
    static const char old[] =
        CELL_OF("CELL_API int f(int x);\nCELL_API int g(int x);\n"
                "static int count, limit = 3;\n"
                "#define HERE ({ static const char here[] SECTION(\".rodata.cellloc.here\") = "
                "__FILE__ \":\" LINE_(__LINE__); here; })\n"
                "#define LINE_(n) LINE__(n)\n#define LINE__(n) #n\n"
                "CELL_API __attribute__((noipa)) void tell(const char *where);\n"
                "int f(int x) { if (x > limit) { tell(HERE); } return ++count; }\n"
                "int g(int x) { return x * count; }\n"
                "void tell(const char *where) { __asm__ volatile(\"\" :: \"r\"(where)); }\n");
    static const char new[] =
        CELL_OF("/*\n * Twelve\n *\n *\n *\n *\n *\n *\n *\n *\n *\n *\n */\n"
                "CELL_API int g(int x);\nCELL_API int f(int x);\n"
                "static int limit = 3, count;\n"
                "#define HERE ({ static const char here[] SECTION(\".rodata.cellloc.here\") = "
                "__FILE__ \":\" LINE_(__LINE__); here; })\n"
                "#define LINE_(n) LINE__(n)\n#define LINE__(n) #n\n"
                "CELL_API __attribute__((noipa)) void tell(const char *where);\n"
                "void tell(const char *where) { __asm__ volatile(\"\" :: \"r\"(where)); }\n"
                "int g(int x) { return x * count; }\n"
                "int f(int x) { if (x > limit) { tell(HERE); } return ++count; }\n");
    compare_cells((const struct test_cell[]){{.name = "bell", .source = old}, {0}},
                  (const struct test_cell[]){{.name = "bell", .source = new}, {0}});
    if (diff.set_count != 0) {
        fail_msg("%s", cell_named("bell")->reasons.words[0]);
    }
    assert_int_equal(diff.rebuilt_count, 1);
    end();
}

/* A longer message moves all constants behind it, and yet one function has changed. */
static void test_diff_names_the_functions_that_changed(void **state)
{
    static const char *const texts[] = {"short", "a longer message"};
    char sources[2][1024];
    for (size_t i = 0; i < 2; i++) {
        snprintf(sources[i], sizeof(sources[i]),
                 CELL_OF("CELL_API const char *one(void);\nCELL_API const char *two(void);\n"
                         "CELL_API int three(int x);\n%s"
                         "const char *one(void) { return \"%s\"; }\n"
                         "const char *two(void) { return \"second\"; }\n"
                         "int three(int x) { return x + %zu; }\n"),
                 i ? "CELL_API int four(void);\nint four(void) { return 4; }\n" : "", texts[i], i);
    }
    compare_cells((const struct test_cell[]){{.name = "bell", .source = sources[0]}, {0}},
                  (const struct test_cell[]){{.name = "bell", .source = sources[1]}, {0}});
    const struct diff_cell *cell = cell_named("bell");
    assert_int_equal(cell->parts, DIFF_CODE | DIFF_CONSTANTS | DIFF_EXPORTS);
    assert_int_equal(cell->functions.count, 3);
    assert_true(list_has(&cell->functions, "one"));
    assert_true(list_has(&cell->functions, "three"));
    assert_true(list_has(&cell->functions, "+four"));
    expect_reason("bell", "3 functions (");
    expect_reason("bell", "exports four, which is new");
    end();
}

static void test_diff_unwind_table_alone_is_a_change(void **state)
{
    static const char *const more[] = {"", ".cfi_def_cfa_offset 8\n"};
    struct test_cell cells[2][2] = {{{.name = "bare", .source = TEST_CELL_HEAD}},
                                    {{.name = "bare", .source = TEST_CELL_HEAD}}};
    char sources[2][512];
    for (size_t i = 0; i < 2; i++) {
        snprintf(sources[i], sizeof(sources[i]),
                 ".section .text.jump,\"ax\"\n.globl jump\n.type jump, @function\njump:\n"
                 ".cfi_startproc\nnop\n%s ret\n.cfi_endproc\n.size jump, . - jump\n"
                 ".section .note.GNU-stack\n",
                 more[i]);
        cells[i][0].assembly = sources[i];
    }
    compare_cells(cells[0], cells[1]);
    assert_int_equal(cell_named("bare")->parts, DIFF_UNWIND);
    end();
}

/* ---- sets ---- */

#define USER "int bell_ring(int times);\nCELL_API int user_run(void);\n"

static void test_diff_code_alone_is_swapped_alone(void **state)
{
    compare_cells(
        (const struct test_cell[]){
            {.name = "bell", .source = BELL("times")},
            {.name = "user",
             .source = CELL_OF(USER "int user_run(void) { return bell_ring(1); }\n")},
            {0}},
        (const struct test_cell[]){
            {.name = "bell", .source = BELL("times + 1")},
            {.name = "user",
             .source = CELL_OF(USER "int user_run(void) { return bell_ring(2); }\n")},
            {0}});
    assert_int_equal(diff.set_count, 2);
    assert_int_not_equal(set_of("bell"), set_of("user"));
    assert_int_equal(cell_named("bell")->parts, DIFF_CODE);
    assert_int_equal(diff.sets[0].after_count + diff.sets[1].after_count, 0);
    end();
}

static void test_diff_new_signature_takes_its_users_along(void **state)
{
    compare_cells(
        (const struct test_cell[]){
            {.name = "bell", .source = BELL("times")},
            {.name = "user",
             .source = CELL_OF(USER "int user_run(void) { return bell_ring(1); }\n")},
            {.name = "other",
             .source = CELL_OF("CELL_API int o(void);\nint o(void) { return 1; }\n")},
            {0}},
        (const struct test_cell[]){
            {.name = "bell",
             .source =
                 CELL_OF("CELL_API int bell_ring(long times);\nCELL_API int bell_hush(void);\n"
                         "int bell_ring(long times) { return (int)times; }\n"
                         "int bell_hush(void) { return 0; }\n")},
            {.name = "user",
             .source = CELL_OF("int bell_ring(long times);\nCELL_API int user_run(void);\n"
                               "int user_run(void) { return bell_ring(1); }\n")},
            {.name = "other",
             .source = CELL_OF("CELL_API int o(void);\nint o(void) { return 2; }\n")},
            {0}});
    assert_int_equal(diff.set_count, 2);
    assert_int_equal(set_of("bell"), set_of("user"));
    assert_int_not_equal(set_of("other"), set_of("user"));
    assert_true(cell_named("bell")->parts & DIFF_SIGNATURES);
    expect_reason("user", "imports bell_ring, of another signature in bell");
    expect_reason("bell", "bell_ring: ");
    end();
}

#define TASK(fields) "struct task { " fields " };\n"
#define KEEPER(fields)                                                          \
    CELL_OF(TASK(fields) "CELL_API long keeper_get(const struct task *task);\n" \
                         "long keeper_get(const struct task *task) { return task->id; }\n")
#define READER(fields)                                                                \
    CELL_OF(TASK(fields) "long keeper_get(const struct task *task);\n"                \
                         "CELL_API long reader_run(void);\nlong reader_run(void) {\n" \
                         "    struct task task = {.id = 4};\n    return keeper_get(&task); }\n")
#define PASSER                                                          \
    CELL_OF("struct task;\nlong keeper_get(const struct task *task);\n" \
            "CELL_API long passer_run(const struct task *task);\n"      \
            "long passer_run(const struct task *task) { return keeper_get(task) + 1; }\n")

static void test_diff_new_layout_takes_along_who_knows_it(void **state)
{
    compare_cells(
        (const struct test_cell[]){{.name = "keeper", .source = KEEPER("long id;")},
                                   {.name = "reader", .source = READER("long id;")},
                                   {.name = "passer", .source = PASSER},
                                   {0}},
        (const struct test_cell[]){{.name = "keeper", .source = KEEPER("long a; long id;")},
                                   {.name = "reader", .source = READER("long a; long id;")},
                                   {.name = "passer", .source = PASSER},
                                   {0}});
    assert_int_equal(diff.set_count, 1);
    assert_int_equal(set_of("keeper"), set_of("reader"));
    assert_int_equal(set_of("passer"), 0); /* knows the name only */
    expect_reason("keeper", "layout of struct task: ");
    expect_reason("reader", "knows the layout of struct task");
    end();
}

static void test_diff_new_symbol_comes_before_its_users(void **state)
{
    compare_cells(
        (const struct test_cell[]){
            {.name = "bell", .source = BELL("times")},
            {.name = "a_user",
             .source = CELL_OF("CELL_API int u(void);\nint u(void) { return 1; }\n")},
            {0}},
        (const struct test_cell[]){
            {.name = "bell",
             .source = CELL_OF("CELL_API int bell_ring(int times);\nCELL_API int bell_hush(void);\n"
                               "CELL_API int bell_toll(void);\nint bell_toll(void) { return 9; }\n"
                               "int bell_ring(int times) { return times; }\n"
                               "int bell_hush(void) { return 0; }\n")},
            {.name = "a_user",
             .source = CELL_OF("int bell_toll(void);\nCELL_API int u(void);\n"
                               "int u(void) { return bell_toll(); }\n")},
            {0}});
    assert_int_equal(diff.set_count, 2);
    assert_true(is_before(set_of("bell"), set_of("a_user")));
    expect_reason("a_user", "imports bell_toll, which is new in bell");
    end();
}

static void test_diff_symbol_goes_when_nobody_needs_it(void **state)
{
    compare_cells(
        (const struct test_cell[]){
            {.name = "a_bell", .source = BELL("times")},
            {.name = "user",
             .source = CELL_OF(USER "int user_run(void) { return bell_ring(1); }\n")},
            {0}},
        (const struct test_cell[]){
            {.name = "a_bell",
             .source =
                 CELL_OF("CELL_API int bell_hush(void);\nint bell_hush(void) { return 0; }\n")},
            {.name = "user",
             .source = CELL_OF("CELL_API int user_run(void);\nint user_run(void) { return 1; }\n")},
            {0}});
    assert_int_equal(diff.set_count, 2);
    assert_true(is_before(set_of("user"), set_of("a_bell")));
    expect_reason("user", "no longer imports bell_ring, which is gone from a_bell");
    expect_reason("a_bell", "no longer exports bell_ring");
    end();
}

/* A function gets another name: neither order would do. */
static void test_diff_circle_of_orders_is_one_set(void **state)
{
    compare_cells(
        (const struct test_cell[]){
            {.name = "bell", .source = BELL("times")},
            {.name = "user",
             .source = CELL_OF(USER "int user_run(void) { return bell_ring(1); }\n")},
            {0}},
        (const struct test_cell[]){
            {.name = "bell",
             .source = CELL_OF("CELL_API int bell_toll(int times);\nCELL_API int bell_hush(void);\n"
                               "int bell_toll(int times) { return times; }\n"
                               "int bell_hush(void) { return 0; }\n")},
            {.name = "user",
             .source = CELL_OF("int bell_toll(int times);\nCELL_API int user_run(void);\n"
                               "int user_run(void) { return bell_toll(1); }\n")},
            {0}});
    assert_int_equal(diff.set_count, 1);
    assert_int_equal(set_of("bell"), set_of("user"));
    end();
}

static void test_diff_together_is_as_told(void **state)
{
    struct test_cell cells[2][4] = {{{.name = "a"}, {.name = "b"}, {.name = "c"}},
                                    {{.name = "a"}, {.name = "b"}, {.name = "c"}}};
    char sources[2][3][160];
    for (size_t i = 0; i < 2; i++) {
        for (size_t k = 0; k < 3; k++) {
            snprintf(sources[i][k], sizeof(sources[i][k]),
                     CELL_OF("CELL_API int f%zu(void);\nint f%zu(void) { return %zu; }\n"), k, k,
                     i);
            cells[i][k].source = sources[i][k];
        }
    }
    build("old.a", cells[0]);
    build("new.a", cells[1]);
    compare(NULL, (const char *const[]){"a,c", NULL});
    assert_int_equal(diff.set_count, 2);
    assert_int_equal(set_of("a"), set_of("c"));
    end();
    struct problem problem = {0};
    old_model = load("old.a");
    new_model = load("new.a");
    static const char *const wrong[][2] = {{"a,d", NULL}, {"d", NULL}};
    static const char *const replaced[][2] = {{"a", NULL}, {"a=d", NULL}, {"d=a", NULL}};
    for (size_t i = 0; i < ARRAY_COUNT(wrong) + ARRAY_COUNT(replaced); i++) {
        struct diff_request request = {.old = old_model, .new = new_model};
        if (i < ARRAY_COUNT(wrong)) {
            request.together = wrong[i];
        } else {
            request.replace = replaced[i - ARRAY_COUNT(wrong)];
        }
        assert_int_equal(diff_builds(&request, &diff, &problem), ERR_NOT_FOUND);
        assert_int_equal(problem.code, PROBLEM_DIFF_NAME);
        problem_fini(&problem);
    }
    model_destroy(old_model);
    model_destroy(new_model);
}

/* ---- names ---- */

static void test_diff_renamed_cell_is_recognised(void **state)
{
    /* By its body; by its exports; by its functions, whose prefix was the cell's name. */
    static const char toll[] =
        CELL_OF("CELL_API int bell_toll(int times);\nCELL_API int bell_hush(void);\n"
                "int bell_toll(int times) { return times; }\n"
                "int bell_hush(void) { return 0; }\n");
    static const char gong[] =
        CELL_OF("CELL_API int gong_ring(int times);\nCELL_API int gong_hush(void);\n"
                "int gong_ring(int times) { return times; }\n"
                "int gong_hush(void) { return 0; }\n");
    const char *const sources[] = {BELL("times"), toll, gong};
    for (size_t i = 0; i < ARRAY_COUNT(sources); i++) {
        compare_cells((const struct test_cell[]){{.name = "bell", .source = BELL("times")}, {0}},
                      (const struct test_cell[]){{.name = "gong", .source = sources[i]}, {0}});
        assert_int_equal(diff.cell_count, 1);
        assert_int_equal(diff.set_count, 1);
        assert_true(cell_named("gong")->parts & DIFF_NAME);
        expect_reason("gong", "takes the place of bell");
        end();
    }
}

static void test_diff_cells_without_likeness_come_and_go(void **state)
{
    compare_cells(
        (const struct test_cell[]){{.name = "bell", .source = BELL("times")}, {0}},
        (const struct test_cell[]){{.name = "lamp",
                                    .source = CELL_OF("CELL_API int lamp_light(void);\n"
                                                      "int lamp_light(void) { return 77; }\n")},
                                   {0}});
    assert_int_equal(diff.set_count, 2);
    assert_int_equal(cell_named("bell")->new, MODEL_NOWHERE);
    assert_int_equal(cell_named("lamp")->old, MODEL_NOWHERE);
    expect_reason("bell", "is gone");
    expect_reason("lamp", "is new");
    end();
}

#define SPLIT_FIRST \
    "CELL_API int bell_ring(int times);\nint bell_ring(int times) { return times; }\n"
#define SPLIT_SECOND                                      \
    "static int hushed;\nCELL_API int bell_hush(void);\n" \
    "int bell_hush(void) { return ++hushed; }\n"

static void test_diff_split_and_merged_cells_are_one_set(void **state)
{
    const struct test_cell whole[] = {{.name = "bell", .source = CELL_OF(SPLIT_FIRST SPLIT_SECOND)},
                                      {0}};
    const struct test_cell parts[] = {{.name = "bell", .source = CELL_OF(SPLIT_FIRST)},
                                      {.name = "hush", .source = CELL_OF(SPLIT_SECOND)},
                                      {0}};
    compare_cells(whole, parts);
    assert_int_equal(diff.set_count, 1);
    assert_int_equal(set_of("bell"), set_of("hush"));
    expect_reason("hush", "exports bell_hush, which was bell's");
    assert_int_equal(cell_named("hush")->inherits.count, 1);
    assert_string_equal(cell_named("hush")->inherits.words[0], "bell");
    const struct diff_variable *moved = variable_named("hush", "hushed");
    assert_int_equal(moved->fate, DIFF_MOVED);
    assert_string_equal(moved->old_name, "bell");
    assert_int_equal(cell_named("bell")->variable_count, 0);
    end();
    compare_cells(parts, whole);
    assert_int_equal(diff.set_count, 1);
    assert_int_equal(set_of("bell"), set_of("hush"));
    assert_int_equal(cell_named("hush")->new, MODEL_NOWHERE);
    expect_reason("bell", "exports bell_hush, which was hush's");
    assert_string_equal(cell_named("bell")->inherits.words[0], "hush");
    assert_int_equal(variable_named("bell", "hushed")->fate, DIFF_MOVED);
    end();
}

/* ---- variables ---- */

#define COUNTER(type, lines)                                                                   \
    CELL_OF("enum status { OK };\nCELL_API long counter_next(void);\nstatic " type " count;\n" \
            "static int same;\n"                                                               \
            "long counter_next(void) { return (long)++count + ++same; }\n" lines)
#define WIDEN                                                                                    \
    "static enum status widen(const void *old, size_t old_bytes, void *new, size_t new_bytes)\n" \
    "{ *(long *)new = *(const int *)old; return old_bytes < new_bytes ? OK : (enum status)1; }\n"

static void compare_counters(const char *old, const char *new)
{
    compare_cells((const struct test_cell[]){{.name = "counter", .source = old}, {0}},
                  (const struct test_cell[]){{.name = "counter", .source = new}, {0}});
}

static void test_diff_variable_of_another_type_needs_a_line(void **state)
{
    struct problem problem = {0};
    static const struct {
        const char *source;
        enum diff_fate fate;
    } rows[] = {
        {COUNTER("long", ""), DIFF_MISSING},
        {COUNTER("unsigned", ""), DIFF_MISSING}, /* of the same size */
        {COUNTER("long", WIDEN "CELL_TRANSFER(count, count, widen);\n"), DIFF_TRANSFERRED},
        {COUNTER("long", WIDEN "CELL_TRANSFER(absent, count, widen);\n"), DIFF_MISSING},
        {COUNTER("long", "CELL_FRESH(count);\n"), DIFF_FRESH},
        {COUNTER("int", "CELL_FRESH(count);\n"), DIFF_FRESH},
        {COUNTER("int", WIDEN "CELL_TRANSFER(absent, count, widen);\n"), DIFF_MISSING},
        {COUNTER("int", WIDEN "CELL_TRANSFER(count, count, widen);\n"), DIFF_TRANSFERRED},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        compare_counters(COUNTER("int", ""), rows[i].source);
        assert_int_equal(cell_named("counter")->variable_count, 1); /* `same` is adopted */
        assert_int_equal(variable_named("counter", "count")->fate, rows[i].fate);
        assert_int_equal(diff.missing_count, rows[i].fate == DIFF_MISSING);
        enum status status = diff_write(&diff, scratch_path("evolution"), &problem);
        assert_int_equal(status, rows[i].fate == DIFF_MISSING ? ERR_MISMATCH : OK);
        assert_int_equal(problem.code, status ? PROBLEM_DIFF_TRANSFER : 0);
        problem_fini(&problem);
        end();
    }
}

static void test_diff_variable_of_another_name_may_be_filled(void **state)
{
    static const char new[] =
        CELL_OF("enum status { OK };\nCELL_API long counter_next(void);\nstatic long total;\n"
                "static int same, more;\n" WIDEN
                "long counter_next(void) { return ++total + ++same + ++more; }\n"
                "CELL_TRANSFER(count, total, widen);\n");
    compare_counters(COUNTER("int", ""), new);
    const struct diff_variable *variable = variable_named("counter", "total");
    assert_int_equal(variable->fate, DIFF_TRANSFERRED);
    assert_string_equal(variable->old_name, "count");
    assert_string_equal(variable->function, "widen");
    assert_int_equal(variable_named("counter", "more")->fate, DIFF_ADDED);
    assert_int_equal(cell_named("counter")->variable_count, 2); /* `count` is not lost */
    end();
    compare_counters(new, COUNTER("int", ""));
    assert_int_equal(variable_named("counter", "total")->fate, DIFF_REMOVED);
    assert_int_equal(variable_named("counter", "count")->fate, DIFF_ADDED);
    end();
}

/* A variable of several kinds of fields; what is advised is appended to its source. */
#define STOCK(fields, many, line, more)                                                \
    CELL_OF("enum status { OK, ERR_MISMATCH };\nenum colour { RED, GREEN" more " };\n" \
            "struct place { int x; int y; };\nstruct box { " fields " };\n"            \
            "CELL_API long stock_next(void);\n"                                        \
            "static struct box stock;\nstatic struct box boxes[" many "];\n"           \
            "static enum colour colour;\nstatic struct { " line " } line;\n"           \
            "long stock_next(void)\n"                                                  \
            "{ colour++; line.number++; boxes[line.number & 1].count++;\n"             \
            "  return (long)++stock.count + stock.at.x + *stock.name; }\n")

static void test_diff_advice_can_be_followed(void **state)
{
    static const char old[] = STOCK("unsigned count; struct place at; const char *name; int gone;",
                                    "2", "int number;", "");
    static const char new[] =
        STOCK("unsigned long count; const char *name; struct place at; int fresh;", "3",
              "long number; void (*hook)(void);", ", BLUE");
    compare_counters(old, new);
    assert_int_equal(diff.missing_count, 3); /* a colour that is known by more names is adopted */
    struct bytes text = {0};
    bytes_append_text(&text, "%s", new);
    diff_advise(&diff, &text);
    bytes_append(&text, "", 1);
    static const char *const parts[] = {
        "*(uint64_t *)(to) = *(const uint32_t *)(from);",
        "__builtin_memcpy(to + 16, from + 4, 8);",
        "for (size_t i = 0; i < 2; i++) {",
        "*(uint64_t *)(to + i * 32) = *(const uint32_t *)(from + i * 32);",
        "/* gone: s32 gone@24 */",
        "/* new: s32 fresh@24: keeps its initial value */",
        "*(int64_t *)(to) = *(const int32_t *)(from);",
        "CELL_TRANSFER(boxes, boxes, take_over_boxes);",
        "CELL_FRESH(stock);",
    };
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
        if (!strstr((const char *)text.data, parts[i])) {
            fail_msg("no `%s` in:\n%s", parts[i], (const char *)text.data);
        }
    }
    end();
    compare_counters(old, (const char *)text.data);
    assert_int_equal(diff.missing_count, 0);
    assert_int_equal(variable_named("counter", "stock")->fate, DIFF_TRANSFERRED);
    assert_int_equal(variable_named("counter", "boxes")->fate, DIFF_TRANSFERRED);
    assert_int_equal(variable_named("counter", "line")->fate, DIFF_TRANSFERRED);
    bytes_fini(&text);
    end();
}

/* What cannot be made up refuses until somebody has written it, and compiles. */
static void test_diff_advice_without_knowledge_refuses(void **state)
{
#define KIND(type)                                                                       \
    CELL_OF("enum status { OK, ERR_MISMATCH };\nCELL_API long next(void);\nstatic " type \
            " kind;\nlong next(void) { return ++*(volatile char *)&kind; }\n")
    compare_counters(KIND("long"), KIND("union { int a; char b[24]; }"));
    struct bytes text = {0};
    bytes_append_text(&text, "%s", KIND("union { int a; char b[24]; }"));
    diff_advise(&diff, &text);
    bytes_append(&text, "", 1);
    assert_non_null(
        strstr((const char *)text.data, "    return ERR_MISMATCH; /* say what becomes of it */"));
    end();
    compare_counters(KIND("long"), (const char *)text.data);
    assert_int_equal(diff.missing_count, 0);
    bytes_fini(&text);
    end();
}

/* ---- layouts of what is in no variable ---- */

#define LIST(fields, lines)                                                             \
    CELL_OF("struct node { struct node *next; int a; " fields " };\n"                   \
            "CELL_API int list_sum(void);\nstatic struct node *first;\nstatic int i;\n" \
            "int list_sum(void) { first = first->next; return first->a + i++; }\n" lines)

static void test_diff_things_behind_pointers_need_a_line(void **state)
{
    struct problem problem = {0};
    compare_counters(LIST("", ""), LIST("int b;", ""));
    assert_int_equal(diff.missing_count, 1);
    const struct diff_cell *cell = cell_named("counter");
    assert_int_equal(cell->layout_count, 1);
    assert_string_equal(cell->layouts[0].name, "struct node");
    assert_string_equal(cell->layouts[0].holder, "first");
    assert_non_null(strstr(cell->layouts[0].detail, "field 3: none in old, s32 b@12 in new"));
    assert_int_equal(diff_write(&diff, scratch_path("evolution"), &problem), ERR_MISMATCH);
    assert_int_equal(problem.code, PROBLEM_DIFF_TRANSFER);
    assert_non_null(strstr(problem.because[1], "the variable first leads to such"));
    problem_fini(&problem);
    end();
    compare_counters(LIST("", ""), LIST("int b;", "CELL_FRESH(first);\n"));
    assert_int_equal(diff.missing_count, 0);
    end();
}

#define ASK(fields) "struct ask { int a; " fields " };\n"
#define ANSWERING(fields)                                                    \
    CELL_OF(ASK(fields) "CELL_API int answer(const struct ask *question);\n" \
                        "int answer(const struct ask *question) { return question->a; }\n")
#define ASKING(fields)                                                       \
    CELL_OF(ASK(fields) "CELL_API int answer(const struct ask *question);\n" \
                        "CELL_API int ask(void);\n"                          \
                        "int ask(void) { struct ask q = {.a = 1}; return answer(&q); }\n")
#define PASSING_ON                                                            \
    CELL_OF("struct ask;\nCELL_API int answer(const struct ask *question);\n" \
            "CELL_API int pass(const struct ask *q);\n"                       \
            "int pass(const struct ask *q) { return answer(q); }\n")

/* Arguments are in frames, unless somebody who stays may hold one. */
static void test_diff_arguments_of_another_layout_need_none(void **state)
{
    compare_cells((const struct test_cell[]){{.name = "answering", .source = ANSWERING("")},
                                             {.name = "asking", .source = ASKING("")},
                                             {0}},
                  (const struct test_cell[]){{.name = "answering", .source = ANSWERING("int b;")},
                                             {.name = "asking", .source = ASKING("int b;")},
                                             {0}});
    assert_int_equal(diff.missing_count, 0);
    assert_int_equal(set_of("answering"), set_of("asking"));
    end();
    compare_cells((const struct test_cell[]){{.name = "answering", .source = ANSWERING("")},
                                             {.name = "passing", .source = PASSING_ON},
                                             {0}},
                  (const struct test_cell[]){{.name = "answering", .source = ANSWERING("int b;")},
                                             {.name = "passing", .source = PASSING_ON},
                                             {0}});
    assert_int_equal(diff.missing_count, 1);
    assert_null(cell_named("answering")->layouts[0].holder);
    end();
}

/* Another implementation takes over where the names of cells say nothing. */
static void test_diff_replacement_is_as_told(void **state)
{
    const struct test_cell cells[] = {
        {.name = "plan_a",
         .interface = "plan",
         .source = CELL_OF("CELL_API int plan_pick(void);\nstatic int picked;\n"
                           "int plan_pick(void) { return picked++; }\n")},
        {.name = "plan_b",
         .interface = "plan",
         .source = CELL_OF("CELL_API int plan_pick(void);\nstatic int picked;\n"
                           "int plan_pick(void) { return 7 * picked++; }\n")},
        {0}};
    build("old.a", cells);
    build("new.a", cells);
    compare((const char *const[]){"plan_a=plan_b", NULL}, NULL);
    expect_reason("plan_b", "takes the place of plan_a");
    assert_int_equal(cell_named("plan_b")->variable_count, 0);
    end();
}

/* ---- the manifest ---- */

static struct blake2b_digest hash_of_member(const struct archive *archive, const char *name)
{
    struct blake2b_digest hash = {0};
    struct archive_member member;
    for (uint64_t at = archive->first_member; archive_member_at(archive, at, &member, NULL) == OK;
         at = member.next) {
        if (strcmp(member.name, name) == 0) {
            struct elf_object object;
            assert_int_equal(elf_object_open(member.data, &object, NULL), OK);
            void *scratch_memory = malloc(cell_hash_scratch_size(&object));
            cell_hash_of(&object, CELL_HASH_CONTENT, scratch_memory, &hash);
            free(scratch_memory);
        }
    }
    return hash;
}

static void test_diff_manifest_says_what_was_found(void **state)
{
    compare_cells(
        (const struct test_cell[]){
            {.name = "counter", .source = COUNTER("int", "")},
            {.name = "bell", .source = BELL("times")},
            {.name = "gone",
             .source = CELL_OF("CELL_API int x(void);\nint x(void) { return 1; }\n")},
            {0}},
        (const struct test_cell[]){
            {.name = "counter",
             .source = COUNTER("long", WIDEN "CELL_TRANSFER(count, count, widen);\n")},
            {.name = "bell", .source = BELL("times")},
            {.name = "lamp",
             .source =
                 CELL_OF("CELL_API int lamp_light(void);\nint lamp_light(void) { return 77; }\n")},
            {0}});
    struct problem problem = {0};
    assert_int_equal(diff_write(&diff, scratch_path("evolution"), &problem), OK);
    struct bytes text = scratch_read("evolution");
    struct bytes bundle = scratch_read("evolution.a");
    struct evolution evolution;
    struct archive archive;
    struct blake2b_digest hash;
    assert_int_equal(evolution_open(bytes_span(&text), &evolution, NULL), OK);
    assert_int_equal(archive_open(bytes_span(&bundle), &archive, NULL), OK);
    assert_string_equal(evolution.bundle, "evolution.a");
    blake2b_of(bundle.data, bundle.size, &hash);
    assert_memory_equal(&hash, &evolution.bundle_hash, sizeof(hash));
    assert_int_equal(evolution.set_count, 3);
    assert_int_equal(evolution.cell_count, 3);
    unsigned seen = 0;
    struct evolution_cursor cursor = {0};
    struct evolution_line line;
    while (evolution_next(&evolution, &cursor, &line)) {
        seen |= 1u << line.kind;
        if (line.new_name[0] && line.kind != EVOLUTION_TRANSFER) {
            char member[64];
            snprintf(member, sizeof(member), "%s.cell", line.new_name);
            hash = hash_of_member(&archive, member);
            assert_memory_equal(&hash, &line.new_hash, sizeof(hash));
            assert_string_not_equal(line.new_name, "bell");
        }
        if (line.kind == EVOLUTION_TRANSFER) {
            assert_string_equal(line.function, "widen");
        }
        if (line.kind == EVOLUTION_REMOVE) {
            assert_string_equal(line.old_name, "gone");
            assert_memory_equal(&line.old_hash, &cell_named("gone")->old_hash, sizeof(hash));
        }
    }
    assert_int_equal(seen, 1u << EVOLUTION_SET | 1u << EVOLUTION_REPLACE | 1u << EVOLUTION_REMOVE |
                               1u << EVOLUTION_ADD | 1u << EVOLUTION_TRANSFER |
                               1u << EVOLUTION_BECAUSE);
    bytes_fini(&text);
    bytes_fini(&bundle);
    end();
}

static void test_diff_manifest_of_nothing_has_no_bundle(void **state)
{
    const struct test_cell cells[] = {{.name = "bell", .source = BELL("times")}, {0}};
    compare_cells(cells, cells);
    struct problem problem = {0};
    scratch_write("evolution.a", "stale", 5);
    assert_int_equal(diff_write(&diff, scratch_path("evolution"), &problem), OK);
    struct bytes text = scratch_read("evolution");
    bytes_append(&text, "", 1);
    assert_string_equal((char *)text.data, EVOLUTION_HEADER "\nbundle -\nend\n");
    bytes_fini(&text);
    struct bytes stale = {0};
    assert_int_equal(bytes_read_file(&stale, scratch_path("evolution.a"), &problem), ERR_IO);
    bytes_fini(&stale);
    problem_fini(&problem);
    assert_int_equal(diff_write(&diff, "/absent/evolution", &problem), ERR_IO);
    problem_fini(&problem);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_diff_of_one_build_is_empty),
        cmocka_unit_test(test_diff_line_numbers_paths_and_order_do_not_count),
        cmocka_unit_test(test_diff_names_the_functions_that_changed),
        cmocka_unit_test(test_diff_unwind_table_alone_is_a_change),
        cmocka_unit_test(test_diff_code_alone_is_swapped_alone),
        cmocka_unit_test(test_diff_new_signature_takes_its_users_along),
        cmocka_unit_test(test_diff_new_layout_takes_along_who_knows_it),
        cmocka_unit_test(test_diff_new_symbol_comes_before_its_users),
        cmocka_unit_test(test_diff_symbol_goes_when_nobody_needs_it),
        cmocka_unit_test(test_diff_circle_of_orders_is_one_set),
        cmocka_unit_test(test_diff_together_is_as_told),
        cmocka_unit_test(test_diff_renamed_cell_is_recognised),
        cmocka_unit_test(test_diff_cells_without_likeness_come_and_go),
        cmocka_unit_test(test_diff_split_and_merged_cells_are_one_set),
        cmocka_unit_test(test_diff_variable_of_another_type_needs_a_line),
        cmocka_unit_test(test_diff_variable_of_another_name_may_be_filled),
        cmocka_unit_test(test_diff_advice_can_be_followed),
        cmocka_unit_test(test_diff_advice_without_knowledge_refuses),
        cmocka_unit_test(test_diff_things_behind_pointers_need_a_line),
        cmocka_unit_test(test_diff_arguments_of_another_layout_need_none),
        cmocka_unit_test(test_diff_replacement_is_as_told),
        cmocka_unit_test(test_diff_manifest_says_what_was_found),
        cmocka_unit_test(test_diff_manifest_of_nothing_has_no_bundle),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_destroy);
}
