/* SPDX-License-Identifier: MIT */
#include "test_support.h"

#include "model/model_graph.h"
#include "pack.h"
#include "relocation.h"
#include "rules.h"
#include "source_lines.h"

/* gcc gives the opaque part to another section, so that each kind of reference is there. */
#define BASE_SOURCE                                             \
    TEST_CELL_HEAD                                              \
    "CELL_API int base_value(void);\n"                          \
    "CELL_API int base_other(void);\n"                          \
    "CELL_API extern int base_state;\n"                         \
    "int base_state = 1;\n"                                     \
    "static NOINLINE int helper(void) { return base_state; }\n" \
    "int base_value(void) { return helper() + 1; }\n"           \
    "int base_other(void) { return helper() + 2; }\n"

#define MIDDLE_SOURCE                                                      \
    TEST_CELL_HEAD                                                         \
    "int base_value(void); int base_other(void); extern int base_state;\n" \
    "CELL_API int middle_call(void);\n"                                    \
    "CELL_API extern int (*const middle_table[])(void);\n"                 \
    "int (*const middle_table[])(void) = {base_value, base_other};\n"      \
    "int middle_call(void) { return base_value() + base_state + 1; }\n"

/* A handle, a lock, and a structure that is neither. */
#define HANDLES_SOURCE                                               \
    "struct gem { int weight; }; struct latch; struct pebble;\n"     \
    "CELL_API void gem_drop(struct gem **gem);\n"                    \
    "void gem_drop(struct gem **gem) { *gem = 0; }\n"                \
    "CELL_API void latch_drop(struct latch **guard);\n"              \
    "void latch_drop(struct latch **guard) { *guard = 0; }\n"        \
    "CELL_API void latch_lock(struct latch *l, struct latch **g);\n" \
    "void latch_lock(struct latch *l, struct latch **g) { *g = l; }\n"

static const struct test_cell cells[] = {
    {.name = "base", .source = BASE_SOURCE},
    {.name = "middle", .source = MIDDLE_SOURCE},
    {.name = "top",
     .source = TEST_CELL_HEAD "int middle_call(void); int base_value(void);\n"
                              "int absent(void); int weak(void) __attribute__((weak));\n"
                              "CELL_API int top_run(void);\n"
                              "int top_run(void) { return middle_call() + base_value() + "
                              "absent() + (weak ? 1 : 0); }\n"},
    {.name = "plan_a",
     .interface = "plan",
     .source = TEST_CELL_HEAD "CELL_API int plan_pick(void);\nint plan_pick(void) { return 1; }\n"},
    {.name = "plan_b",
     .interface = "plan",
     .source = TEST_CELL_HEAD "CELL_API int plan_pick(void);\nint plan_pick(void) { return 2; }\n"},
    {.name = "user",
     .source = TEST_CELL_HEAD "int plan_pick(void);\nCELL_API int user_run(void);\n"
                              "int user_run(void) { return plan_pick() + 1; }\n"},
    {.name = "ring_a",
     .source = TEST_CELL_HEAD "int ring_b(void);\nCELL_API int ring_a(void);\n"
                              "int ring_a(void) { return ring_b() + 1; }\n"},
    {.name = "ring_b",
     .source = TEST_CELL_HEAD "int ring_c(void);\nCELL_API int ring_b(void);\n"
                              "int ring_b(void) { return ring_c() + 1; }\n"},
    {.name = "ring_c",
     .source = TEST_CELL_HEAD "int ring_a(void);\nCELL_API int ring_c(void);\n"
                              "int ring_c(void) { return ring_a() + 1; }\n"},
    {.name = "stray",
     .source =
         TEST_CELL_HEAD "CELL_API int lost(void);\nint lost(void) { return 1; }\n"
                        "CELL_API void coin_drop(void);\nvoid coin_drop(void) {}\n"
                        "CELL_API int coin_count(void);\nint coin_count(void) { return 2; }\n"},
    {.name = "thief",
     .source = TEST_CELL_HEAD "int helper(void);\nCELL_API int thief_run(void);\n"
                              "int thief_run(void) { return helper() + 1; }\n"},
    {.name = "keeper",
     .source = "#include \"cell.h\"\nCELL(application, \"1.0.0\");\nstatic int runs;\n"
               "CELL_API int keeper_main(void);\nint keeper_main(void) { return runs++; }\n"},
    {.name = "caller",
     .source = TEST_CELL_HEAD "int keeper_main(void);\nCELL_API int caller_run(void);\n"
                              "int caller_run(void) { return keeper_main() + 1; }\n"},
    {.name = "meek",
     .source = TEST_CELL_HEAD "CELL_API int plan_pick(void) __attribute__((weak));\n"
                              "CELL_API int meek_run(void);\n"
                              "int plan_pick(void) { return 3; }\n"
                              "int meek_run(void) { return plan_pick() + 1; }\n"},
    {.name = "vault",
     .source = TEST_CELL_HEAD HANDLES_SOURCE
     "CELL_API struct gem *vault_open(void);\n"
     "struct gem *vault_open(void) { return 0; }\n"
     "struct chest { int count; struct { struct gem *first; } inner; };\n"
     "CELL_API struct chest vault_chest(void);\n"
     "struct chest vault_chest(void) { return (struct chest){0}; }\n"
     "CELL_API struct gem vault_stone(void);\n"
     "struct gem vault_stone(void) { return (struct gem){0}; }\n"
     "static struct gem *make(int number) { return number ? vault_open() : 0; }\n"
     "CELL_API extern struct gem *(*const vault_maker)(int);\n"
     "struct gem *(*const vault_maker)(int) = make;\n"},
    {.name = "lender",
     .source = TEST_CELL_HEAD HANDLES_SOURCE
     "CELL_API const struct gem *lender_look(void);\n"
     "const struct gem *lender_look(void) { return 0; }\n"
     "CELL_API struct gem **lender_place(void);\n"
     "struct gem **lender_place(void) { return 0; }\n"
     "CELL_API struct latch *lender_latch(void);\n"
     "struct latch *lender_latch(void) { return 0; }\n"
     "CELL_API struct pebble *lender_pebble(void);\n"
     "struct pebble *lender_pebble(void) { return 0; }\n"
     "struct shelf { struct gem **places; const struct gem *seen; struct gem *(*open)(void); };\n"
     "CELL_API struct shelf lender_shelf(void);\n"
     "struct shelf lender_shelf(void) { return (struct shelf){0}; }\n"
     "typedef struct gem *(*opener)(void);\n"
     "CELL_API opener lender_opener(void);\n"
     "opener lender_opener(void) { return 0; }\n"},
    {.name = "bare",
     .source = TEST_CELL_HEAD,
     .assembly = ".text\n.globl bare_jump\n.type bare_jump, @function\nbare_jump:\n ret\n"
                 ".size bare_jump, . - bare_jump\n.section .note.GNU-stack\n"},
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

static struct model *load_files(const char *const *names, unsigned flags)
{
    char paths[8][512];
    const char *list[8];
    size_t count = 0;
    for (; names[count]; count++) {
        snprintf(paths[count], sizeof(paths[count]), "%s/%s", scratch, names[count]);
        list[count] = paths[count];
    }
    struct problem problem = {0};
    struct model *model = NULL;
    if (model_load(list, count, flags, &model, &problem) != OK) {
        fail_msg("C%04u %s", problem.code, problem.what);
    }
    return model;
}

#define LOAD(...) load_files((const char *const[]){__VA_ARGS__, NULL}, MODEL_STRICT)

static uint32_t cell_of(const struct model *model, const char *name)
{
    uint32_t cell = model_find_cell(model, name);
    assert_int_not_equal(cell, MODEL_NOWHERE);
    return cell;
}

/* The first edge of a cell by this symbol. */
static const struct model_edge *edge_by(const struct model *model, const char *cell,
                                        const char *symbol)
{
    const struct model_cell *c = &model->cells[cell_of(model, cell)];
    for (uint32_t i = 0; i < c->edge_count; i++) {
        const struct model_edge *edge = &model->edges[c->first_edge + i];
        if (strcmp(model_edge_symbol(model, edge), symbol) == 0) {
            return edge;
        }
    }
    fail_msg("%s has no reference to %s", cell, symbol);
    return NULL;
}

/* ---- edges against readelf ---- */

static void make_object(const char *compiler, const char *flags, const char *output)
{
    struct problem problem = {0};
    const char *source = "int printf(const char *, ...);\n"
                         "static int table[3]; int (*hook)(const char *, ...) = printf;\n"
                         "static int *last = &table[2];\n"
                         "int f(int n) { switch (n) { case 0: return printf(\"a\"); case 1: return "
                         "printf(\"b\"); case 2: return table[1]; case 3: return 5; case 4: return "
                         "f(n - 1) + 1; } table[n & 1] = 7; return hook(\"c\") + *last; }\n";
    scratch_write("object.c", source, strlen(source));
    const char *words[] = {compiler,
                           flags,
                           "-mcmodel=kernel",
                           "-fno-pic",
                           "-c",
                           scratch_path("object.c"),
                           "-o",
                           scratch_path(output),
                           NULL};
    const struct process process = {.arguments = words, .package = compiler, .what = "compile"};
    assert_int_equal(process_run(&process, NULL, NULL, &problem), OK);
}

/* The edge of a section at an offset; an edge list has no two at the same place. */
static const struct model_edge *edge_at(const struct model *model, const char *section,
                                        unsigned long offset)
{
    for (uint32_t i = 0; i < model->edge_count; i++) {
        const struct model_edge *edge = &model->edges[i];
        if (edge->offset == offset && strcmp(model->sections[edge->source].name, section) == 0) {
            return edge;
        }
    }
    fail_msg("no edge at %s+0x%lx", section, offset);
    return NULL;
}

/* One line of readelf: offset, info, type, value, name, +, addend. Returns whether it is one. */
static bool compare_line(const struct model *model, const char *section, const char *line)
{
    unsigned long offset;
    unsigned long value;
    unsigned long addend;
    char type[64];
    char name[128];
    char sign;
    if (sscanf(line, "%lx %*x %63s %lx %127s %c %lx", &offset, type, &value, name, &sign,
               &addend) != 6) {
        return false;
    }
    const struct model_edge *edge = edge_at(model, section, offset);
    const struct model_section *source = &model->sections[edge->source];
    long bias = source->kind == MODEL_TEXT && strncmp(type, "R_X86_64_P", 10) == 0 ? 4 : 0;
    long target = (long)value + (sign == '-' ? -(long)addend : (long)addend) + bias;
    assert_string_equal(relocation_name(edge->type), type);
    assert_string_equal(model_edge_symbol(model, edge), name);
    assert_int_equal(edge->target_offset, target);
    return true;
}

static void compare_with_readelf(const char *file)
{
    struct problem problem = {0};
    struct bytes text = {0};
    const char *words[] = {"readelf", "-rW", scratch_path(file), NULL};
    const struct process process = {
        .arguments = words, .package = "binutils", .what = "read relocations"};
    assert_int_equal(process_run(&process, &text, NULL, &problem), OK);
    bytes_append(&text, "", 1);

    struct model *model = LOAD(file);
    uint32_t compared = 0;
    char section[128] = "";
    for (char *line = strtok((char *)text.data, "\n"); line; line = strtok(NULL, "\n")) {
        if (sscanf(line, "Relocation section '.rela%127[^']'", section) == 1) {
            continue;
        }
        uint32_t index = section[0] ? model_find_section(model, 0, section) : MODEL_NOWHERE;
        if (index != MODEL_NOWHERE && model->sections[index].kind != MODEL_NOT_LOADED) {
            compared += compare_line(model, section, line);
        }
    }
    assert_true(compared > 3);
    assert_int_equal(compared, model->edge_count);
    model_destroy(model);
    bytes_fini(&text);
}

static void test_model_edges_equal_readelf(void **state)
{
    (void)state;
    compare_with_readelf("base.cell");
    compare_with_readelf("middle.cell");
    make_object("gcc", "-O2", "gcc.o");
    compare_with_readelf("gcc.o");
    make_object("clang", "-O1", "clang.o");
    compare_with_readelf("clang.o");
}

/* ---- binding ---- */

static void test_model_binds_across_cells(void **state)
{
    (void)state;
    struct model *model = LOAD("base.cell", "middle.cell");
    const struct model_edge *call = edge_by(model, "middle", "base_value");
    const struct model_section *text =
        &model->sections[model_find_section(model, cell_of(model, "base"), ".text.base_value")];
    bool found_call = false;
    bool found_address = false;
    for (; call < model->edges + model->edge_count; call++) {
        if (call->target == (uint32_t)(text - model->sections)) {
            assert_int_equal(call->target_offset, 0);
            found_call |= call->use == MODEL_USE_CALL;
            found_address |= call->use == MODEL_USE_ADDRESS;
        }
    }
    assert_true(found_call);
    assert_true(found_address);
    assert_int_equal(edge_by(model, "middle", "base_state")->use, MODEL_USE_DATA);
    const struct model_link *link =
        model_find_link(model, cell_of(model, "middle"), cell_of(model, "base"));
    assert_non_null(link);
    assert_int_equal(link->relocations, 4);
    assert_int_equal(link->calls, 1);
    assert_int_equal(link->addresses, 2);
    assert_null(model_find_link(model, cell_of(model, "base"), cell_of(model, "middle")));
    model_destroy(model);
}

static void test_model_reports_unresolved_apart(void **state)
{
    (void)state;
    struct model *model = LOAD("top.cell", "base.cell", "middle.cell");
    assert_int_equal(edge_by(model, "top", "absent")->use, MODEL_USE_MISSING);
    assert_int_equal(edge_by(model, "top", "absent")->target, MODEL_NOWHERE);
    assert_int_equal(edge_by(model, "top", "weak")->use, MODEL_USE_WEAK);
    assert_true(model_edge_is_bound(edge_by(model, "top", "middle_call")));
    model_destroy(model);
}

static void test_model_first_implementation_is_default(void **state)
{
    (void)state;
    struct model *model = LOAD("user.cell", "plan_b.cell", "plan_a.cell");
    const struct model_edge *edge = edge_by(model, "user", "plan_pick");
    assert_string_equal(model_cell_of(model, edge->target)->name, "plan_b");
    assert_string_equal(model->cells[model_find_export(model, "plan_pick")->cell].interface,
                        "plan");
    model_destroy(model);
}

static void test_model_weak_definition_yields(void **state)
{
    (void)state;
    struct model *alone = LOAD("meek.cell");
    const struct model_edge *edge = edge_by(alone, "meek", "plan_pick");
    assert_string_equal(model_cell_of(alone, edge->target)->name, "meek");
    model_destroy(alone);
    struct model *both = LOAD("plan_a.cell", "meek.cell");
    edge = edge_by(both, "meek", "plan_pick");
    assert_string_equal(model_cell_of(both, edge->target)->name, "plan_a");
    model_destroy(both);
}

static void test_model_sizes_add_up(void **state)
{
    (void)state;
    struct model *model = LOAD("base.cell");
    const struct model_sizes *sizes = &model->cells[0].sizes;
    assert_int_equal(sizes->bytes[MODEL_DATA], 4);
    assert_int_equal(sizes->bytes[MODEL_BSS], 0);
    assert_true(sizes->bytes[MODEL_TEXT] > 0 && sizes->bytes[MODEL_UNWIND] > 0);
    assert_int_equal(model_sizes_total(sizes), sizes->bytes[MODEL_TEXT] +
                                                   sizes->bytes[MODEL_RODATA] + 4 +
                                                   sizes->bytes[MODEL_UNWIND]);
    assert_string_equal(model->cells[0].version, "1.2.3");
    assert_string_equal(model->cells[0].kind, "library");
    model_destroy(model);
}

static void test_model_archive_equals_its_objects(void **state)
{
    (void)state;
    struct problem problem = {0};
    const char *files[] = {scratch_path("base.cell"), scratch_path("middle.cell"), NULL};
    const char *output = scratch_path("two.a");
    const struct pack_request request = {.output = output, .cells = files};
    struct pack_result result;
    assert_int_equal(pack_cells(&request, &result, &problem), OK);
    struct model *archive = LOAD("two.a");
    struct model *objects = LOAD("base.cell", "middle.cell");
    assert_int_equal(archive->cell_count, 2);
    assert_int_equal(archive->edge_count, objects->edge_count);
    for (uint32_t i = 0; i < archive->edge_count; i++) {
        assert_memory_equal(&archive->edges[i], &objects->edges[i], sizeof(*archive->edges));
    }
    model_destroy(objects);
    model_destroy(archive);
}

/* ---- the graph ---- */

static void test_graph_chains_shortest_first(void **state)
{
    (void)state;
    struct model *model = LOAD("top.cell", "middle.cell", "base.cell");
    uint32_t top = cell_of(model, "top");
    uint32_t base = cell_of(model, "base");
    struct model_chains chains = {0};
    assert_int_equal(model_chains_find(model, top, base, 10, &chains), OK);
    assert_int_equal(chains.total, 2);
    assert_int_equal(chains.count, 2);
    assert_int_equal(chains.lengths[0], 2);
    assert_int_equal(chains.lengths[1], 3);
    assert_int_equal(chains.cells[3], cell_of(model, "middle"));
    model_chains_fini(&chains);
    assert_int_equal(model_chains_find(model, base, top, 10, &chains), OK);
    assert_int_equal(chains.count, 0);
    model_chains_fini(&chains);
    assert_int_equal(model_chains_find(model, top, base, 1, &chains), OK);
    assert_int_equal(chains.count, 1);
    assert_int_equal(chains.total, 2);
    model_chains_fini(&chains);
    model_destroy(model);
}

static void test_graph_marks_implied_links(void **state)
{
    (void)state;
    struct model *model = LOAD("top.cell", "middle.cell", "base.cell");
    bool shown[3] = {true, true, true};
    bool implied[3];
    assert_int_equal(model->link_count, 3);
    assert_int_equal(model_implied_links(model, shown, implied), OK);
    for (uint32_t i = 0; i < 3; i++) {
        bool direct = model->links[i].from == 0 && model->links[i].to == 2;
        assert_int_equal(implied[i], direct);
    }
    shown[1] = false; /* without the cell in the middle nothing is implied */
    assert_int_equal(model_implied_links(model, shown, implied), OK);
    for (uint32_t i = 0; i < 3; i++) {
        assert_false(implied[i]);
    }
    model_destroy(model);
}

static void test_graph_finds_cycles(void **state)
{
    (void)state;
    struct model *model = LOAD("base.cell", "ring_a.cell", "ring_b.cell", "ring_c.cell");
    uint32_t component[4];
    uint32_t cyclic;
    assert_true(model_components(model, component, &cyclic));
    assert_int_equal(cyclic, 1);
    assert_int_equal(component[1], component[2]);
    assert_int_equal(component[1], component[3]);
    assert_int_not_equal(component[0], component[1]);
    uint32_t cycle[4];
    uint32_t count;
    assert_int_equal(model_cycle_through(model, 2, cycle, &count), OK);
    assert_int_equal(count, 3);
    assert_int_equal(cycle[0], 2);
    assert_int_equal(cycle[1], 3);
    assert_int_equal(cycle[2], 1);
    assert_int_equal(model_cycle_through(model, 0, cycle, &count), ERR_NOT_FOUND);
    struct model_chains chains = {0};
    assert_int_equal(model_chains_find(model, 1, 3, 10, &chains), OK);
    assert_int_equal(chains.count, 1);
    assert_int_equal(chains.total, 1);
    model_chains_fini(&chains);
    model_destroy(model);
}

static void test_graph_distances_obey_depth(void **state)
{
    (void)state;
    struct model *model = LOAD("ring_a.cell", "ring_b.cell", "ring_c.cell");
    uint32_t distances[3];
    uint32_t start = 0;
    assert_int_equal(model_distances(model, MODEL_NEEDS, &start, 1, 1, distances), OK);
    assert_int_equal(distances[1], 1);
    assert_int_equal(distances[2], MODEL_UNREACHED);
    assert_int_equal(model_distances(model, MODEL_NEEDED_BY, &start, 1, 9, distances), OK);
    assert_int_equal(distances[2], 1);
    assert_int_equal(distances[1], 2);
    model_destroy(model);
}

/* ---- rules ---- */

struct expected_finding {
    const char *file;
    enum rule rule;
    unsigned code;
    const char *text; /* part of it */
};

static void test_rules_find_each_violation(void **state)
{
    (void)state;
    static const struct expected_finding expected[] = {
        {"stray.cell", RULE_PREFIX, PROBLEM_CHECK_PREFIX, "stray exports lost"},
        {"thief.cell", RULE_IMPORTS, PROBLEM_CHECK_HIDDEN, "defined in base but hidden"},
        {"top.cell", RULE_IMPORTS, DIAG_LINK_MISSING_SYMBOL, "needs absent"},
        {"keeper.cell", RULE_STATELESS, PROBLEM_CHECK_STATE, "4 bytes"},
        {"bare.cell", RULE_UNWIND, PROBLEM_CHECK_UNWIND, "bare_jump"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(expected); i++) {
        struct model *model = LOAD("base.cell", "middle.cell", expected[i].file);
        const bool chosen[3] = {true, true, true};
        struct findings findings;
        assert_int_equal(rules_check(model, chosen, &findings), OK);
        assert_int_equal(findings.count, 1);
        assert_int_equal(findings.list[0].rule, expected[i].rule);
        assert_int_equal(findings.list[0].code, expected[i].code);
        assert_non_null(strstr(findings.list[0].what, expected[i].text));
        findings_fini(&findings);
        model_destroy(model);
    }
}

static void test_rules_find_violations_between_cells(void **state)
{
    (void)state;
    struct model *model = LOAD("ring_a.cell", "ring_b.cell", "ring_c.cell", "keeper.cell",
                               "caller.cell", "plan_a.cell", "plan_b.cell");
    const bool chosen[7] = {true, true, true, false, true, true, true};
    struct findings findings;
    assert_int_equal(rules_check(model, chosen, &findings), OK);
    assert_int_equal(findings.count, 2);
    assert_int_equal(findings.list[0].rule, RULE_APPLICATION);
    assert_int_equal(findings.list[1].rule, RULE_ACYCLIC);
    assert_string_equal(findings.list[1].what, "ring_a -> ring_b -> ring_c -> ring_a");
    findings_fini(&findings);
    model_destroy(model);
}

/* What is lent, a place, a lock, and what nobody drops may be returned. */
static void test_rules_handles_returned_by_value_are_found(void **state)
{
    (void)state;
    static const char *const expected[] = {
        "make returns the handle gem by value: struct gem*(s32)",
        "vault_chest returns the handle gem by value: struct chest()",
        "vault_open returns the handle gem by value: struct gem*()",
        "vault_stone returns the handle gem by value: struct gem()",
    };
    const bool chosen[1] = {true};
    struct model *model = LOAD("vault.cell");
    struct findings findings;
    assert_int_equal(rules_check(model, chosen, &findings), OK);
    assert_int_equal(findings.count, ARRAY_COUNT(expected));
    for (size_t i = 0; i < ARRAY_COUNT(expected); i++) {
        bool found = false;
        for (size_t k = 0; k < findings.count; k++) {
            found |= strcmp(findings.list[k].what, expected[i]) == 0;
        }
        assert_true(found);
        assert_int_equal(findings.list[i].rule, RULE_HANDLES);
        assert_int_equal(findings.list[i].code, PROBLEM_CHECK_RETURNED);
    }
    findings_fini(&findings);
    model_destroy(model);
    model = LOAD("lender.cell");
    assert_int_equal(rules_check(model, chosen, &findings), OK);
    for (size_t i = 0; i < findings.count; i++) {
        assert_int_not_equal(findings.list[i].rule, RULE_HANDLES);
    }
    findings_fini(&findings);
    model_destroy(model);
}

static void test_rules_refuse_foreign_objects(void **state)
{
    (void)state;
    struct problem problem = {0};
    const char *source = ".data\n.byte foreign\n.comm shared, 4\n.text\nfirst: .globl first\n";
    scratch_write("odd.s", source, strlen(source));
    const char *words[] = {"as", scratch_path("odd.s"), "-o", scratch_path("odd.o"), NULL};
    const struct process process = {.arguments = words, .package = "binutils", .what = "assemble"};
    assert_int_equal(process_run(&process, NULL, NULL, &problem), OK);
    const char *const files[] = {"odd.o", "base.cell", NULL};
    struct model *model = load_files(files, MODEL_KEEP_REJECTS);
    bool chosen[2] = {true, true};
    struct findings findings;
    assert_int_equal(rules_check(model, chosen, &findings), OK);
    bool common = false;
    for (size_t i = 0; i < findings.count; i++) {
        common |= findings.list[i].code == DIAG_ELF_COMMON;
    }
    assert_true(common);
    assert_int_equal(model->reject_count, 1);
    assert_int_equal(model->cell_count, 1);
    findings_fini(&findings);
    model_destroy(model);
}

/* ---- source lines ---- */

static void test_source_lines_name_the_call(void **state)
{
    (void)state;
    struct model *model = LOAD("base.cell", "middle.cell");
    struct source_lines *lines = source_lines_create(NULL);
    const struct model_cell *middle = &model->cells[cell_of(model, "middle")];
    const struct model_edge *call = NULL;
    for (uint32_t i = 0; i < middle->edge_count; i++) {
        const struct model_edge *edge = &model->edges[middle->first_edge + i];
        call = edge->use == MODEL_USE_CALL ? edge : call;
    }
    assert_non_null(call);
    char *line = source_lines_find(lines, model, call->source, call->offset);
    assert_non_null(line);
    assert_string_equal(strrchr(line, '/') ? strrchr(line, '/') + 1 : line, "middle_0.c:7");
    free(line);
    source_lines_destroy(lines);
    model_destroy(model);
}

static void test_source_lines_absent_is_no_error(void **state)
{
    (void)state;
    struct bytes cell = scratch_read("base.cell");
    scratch_write("orphan.cell", cell.data, cell.size);
    bytes_fini(&cell);
    assert_int_equal(rename(scratch_path("base.debug"), scratch_path("hidden")), 0);
    struct model *model = LOAD("orphan.cell");
    struct source_lines *lines = source_lines_create("/nowhere");
    assert_null(source_lines_find(lines, model, model->edges[0].source, 0));
    assert_null(source_lines_shelf(lines, model, 0));
    source_lines_destroy(lines);
    model_destroy(model);
    assert_int_equal(rename(scratch_path("hidden"), scratch_path("base.debug")), 0);
}

/* ---- broken input ---- */

/* Loads what may be anything; asks all questions of what could be loaded. */
static bool survives(const char *path)
{
    struct problem problem = {0};
    struct model *model = NULL;
    if (model_load(&path, 1, MODEL_STRICT, &model, &problem) != OK) {
        assert_int_not_equal(problem.code, 0);
        assert_int_not_equal(problem.what[0], '\0');
        problem_fini(&problem);
        return false;
    }
    bool chosen[8] = {true, true, true, true, true, true, true, true};
    struct findings findings;
    assert_true(model->cell_count <= ARRAY_COUNT(chosen));
    assert_int_equal(rules_check(model, chosen, &findings), OK);
    for (uint32_t i = 0; i < model->edge_count; i++) {
        assert_true(!model_edge_is_bound(&model->edges[i]) ||
                    model->edges[i].target < model->section_count);
        assert_non_null(model_edge_symbol(model, &model->edges[i]));
    }
    findings_fini(&findings);
    model_destroy(model);
    return true;
}

static void corrupt_and_load(const char *name, uint8_t change)
{
    struct bytes good = scratch_read(name);
    const char *path = scratch_path("broken");
    uint32_t refused = 0;
    for (size_t i = 0; i < good.size; i++) {
        uint8_t byte = good.data[i];
        good.data[i] = byte ^ change;
        scratch_write("broken", good.data, good.size);
        refused += !survives(path);
        good.data[i] = byte;
    }
    assert_true(refused > 50);
    bytes_fini(&good);
}

static void test_model_survives_any_changed_byte(void **state)
{
    (void)state;
    corrupt_and_load("middle.cell", 0xff);
    corrupt_and_load("middle.cell", 0x04);
}

static void test_model_refuses_any_cut(void **state)
{
    (void)state;
    struct bytes good = scratch_read("middle.cell");
    for (size_t size = 0; size < good.size; size++) {
        scratch_write("broken", good.data, size);
        assert_false(survives(scratch_path("broken")));
    }
    bytes_fini(&good);
}

static void test_model_missing_file_is_an_error(void **state)
{
    (void)state;
    const char *path = "/nowhere/cells.a";
    struct problem problem = {0};
    struct model *model = NULL;
    assert_int_equal(model_load(&path, 1, MODEL_STRICT, &model, &problem), ERR_IO);
    assert_int_equal(problem.code, PROBLEM_FILE_READ);
    assert_null(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model_edges_equal_readelf),
        cmocka_unit_test(test_model_binds_across_cells),
        cmocka_unit_test(test_model_reports_unresolved_apart),
        cmocka_unit_test(test_model_first_implementation_is_default),
        cmocka_unit_test(test_model_weak_definition_yields),
        cmocka_unit_test(test_model_sizes_add_up),
        cmocka_unit_test(test_model_archive_equals_its_objects),
        cmocka_unit_test(test_graph_chains_shortest_first),
        cmocka_unit_test(test_graph_marks_implied_links),
        cmocka_unit_test(test_graph_finds_cycles),
        cmocka_unit_test(test_graph_distances_obey_depth),
        cmocka_unit_test(test_rules_find_each_violation),
        cmocka_unit_test(test_rules_find_violations_between_cells),
        cmocka_unit_test(test_rules_handles_returned_by_value_are_found),
        cmocka_unit_test(test_rules_refuse_foreign_objects),
        cmocka_unit_test(test_source_lines_name_the_call),
        cmocka_unit_test(test_source_lines_absent_is_no_error),
        cmocka_unit_test(test_model_survives_any_changed_byte),
        cmocka_unit_test(test_model_refuses_any_cut),
        cmocka_unit_test(test_model_missing_file_is_an_error),
    };
    return cmocka_run_group_tests(tests, set_up, scratch_destroy);
}
