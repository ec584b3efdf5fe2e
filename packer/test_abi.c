/* SPDX-License-Identifier: MIT */
/*
 * What must change a fingerprint, and what must not: a source, changed in one place at a time,
 * compiled by GCC, and compared with the unchanged one by us and by abidiff of libabigail, which
 * reads the same debug information. Where the two judge differently, the row says why.
 */
#include "test_support.h"

#include "abi/abi_build.h"
#include "abi/abi_changes.h"
#include "pack.h"

#include <sys/wait.h>
#include <unistd.h>

static const char base[] =
    "typedef unsigned long size_type;\n"
    "typedef int number;\n"
    "struct opaque;\n"
    "struct point { number x; number y; };\n"
    "enum colour { RED, GREEN, BLUE };\n"
    "union word { int i; unsigned u; };\n"
    "struct node {\n"
    "    struct node *next;\n"
    "    const char *name;\n"
    "    enum colour colour;\n"
    "    union word word;\n"
    "    struct point at;\n"
    "    unsigned flag : 3;\n"
    "    unsigned rest : 5;\n"
    "    size_type count;\n"
    "    int (*visit)(struct node *node, int depth);\n"
    "    int table[4];\n"
    "    short grid[2][3];\n"
    "    struct { short a; short b; } inner;\n"
    "    union { int left; int right; };\n"
    "    volatile int state;\n"
    "    struct opaque *handle;\n"
    "};\n"
    "struct unused { int a; };\n"
    "extern struct node shape_root;\n"
    "extern int shape_limits[3];\n"
    "struct node shape_root;\n"
    "int shape_limits[3];\n"
    "static int shape_private;\n"
    "int shape_area(const struct node *node, unsigned depth) { return (int)depth + node->table[0]; "
    "}\n"
    "void shape_log(const char *format, ...) { (void)format; shape_private++; }\n"
    "struct point shape_centre(struct node *node) { return node->at; }\n"
    "long shape_use(struct opaque *opaque) { return (long)opaque; }\n"
    "void shape_each(void (*call)(struct point *point, void *context), void *context)\n"
    "{ (void)call; (void)context; }\n"
    "enum colour shape_colour(number value) { return value ? RED : BLUE; }\n"
    "unsigned char shape_byte(signed char a, short b, long c, _Bool d) { return a + b + c + d; }\n";

enum verdict {
    SAME,
    CHANGED,
};

struct mutation {
    const char *from; /* stands in the source once, or where it stands first */
    const char *to;
    enum verdict ours;
    enum verdict abidiff;
    const char *part; /* one that changes; NULL: none */
};

/* The last rows of a group are those that must change nothing. */
static const struct mutation mutations[] = {
    /* parameters and results */
    {"unsigned depth)", "unsigned long depth)", CHANGED, CHANGED, "parameter 2"},
    {"unsigned depth)", "int depth)", CHANGED, CHANGED, "parameter 2"},
    {"unsigned depth)", "unsigned depth, int more)", CHANGED, CHANGED, "parameter 3"},
    {"(const struct node *node, unsigned depth)", "(unsigned depth, const struct node *node)",
     CHANGED, CHANGED, "parameter 1"},
    {"(const struct node *node, unsigned", "(struct node *node, unsigned", CHANGED, CHANGED,
     "parameter 1"},
    {"(const struct node *node, unsigned", "(const volatile struct node *node, unsigned", CHANGED,
     CHANGED, "parameter 1"},
    {"int shape_area", "unsigned shape_area", CHANGED, CHANGED, "result"},
    {"int shape_area", "long shape_area", CHANGED, CHANGED, "result"},
    {"format, ...)", "format)", CHANGED, CHANGED, "parameter 2"},
    {"const char *format", "char *format", CHANGED, CHANGED, "parameter 1"},
    {"const char *format", "const unsigned char *format", CHANGED, CHANGED, "parameter 1"},
    {"struct point shape_centre(struct node *node) { return node->at; }",
     "struct point *shape_centre(struct node *node) { return &node->at; }", CHANGED, CHANGED,
     "result"},
    {"struct opaque *opaque)", "struct point *opaque)", CHANGED, CHANGED, "parameter 1"},
    {"struct opaque *opaque)", "struct opaque **opaque)", CHANGED, CHANGED, "parameter 1"},
    {"(struct point *point, void", "(struct point *point, int n, void", CHANGED, CHANGED,
     "parameter 1"},
    {"(struct point *point, void", "(const struct point *point, void", CHANGED, CHANGED,
     "parameter 1"},
    {"signed char a", "unsigned char a", CHANGED, CHANGED, "parameter 1"},
    {"short b, long", "int b, long", CHANGED, CHANGED, "parameter 2"},
    {"_Bool d", "unsigned char d", CHANGED, CHANGED, "parameter 4"},
    {"unsigned char shape_byte", "char shape_byte", CHANGED, CHANGED, "result"},
    {"enum colour shape_colour", "int shape_colour", CHANGED, CHANGED, "result"},
    {"long shape_use", "long shape_used", CHANGED, CHANGED, ""},
    {"long shape_use", "static __attribute__((used)) long shape_use", CHANGED, CHANGED, ""},
    /* fields */
    {"number x;", "long x;", CHANGED, CHANGED, "field x"},
    {"number x;", "unsigned x;", CHANGED, CHANGED, "field x"},
    {"number x;", "number renamed;", CHANGED, CHANGED, "field x"},
    {"number x; number y;", "number y; number x;", CHANGED, CHANGED, "field x"},
    {"number y;", "number y; number z;", CHANGED, CHANGED, "field z"},
    {"number x; ", "", CHANGED, CHANGED, "field x"},
    {"struct node *next;", "struct point *next;", CHANGED, CHANGED, "field next"},
    {"struct node *next;", "const struct node *next;", CHANGED, CHANGED, "field next"},
    {"const char *name;", "char *name;", CHANGED, CHANGED, "field name"},
    {"const char *name;", "char name[8];", CHANGED, CHANGED, "field name"},
    {"flag : 3", "flag : 4", CHANGED, CHANGED, "field flag"},
    {"unsigned flag : 3;\n    unsigned rest : 5;", "unsigned rest : 5;\n    unsigned flag : 3;",
     CHANGED, CHANGED, "field flag"},
    {"unsigned flag : 3;", "unsigned flag;", CHANGED, CHANGED, "field flag"},
    {"int (*visit)(struct node *node, int depth)", "int (*visit)(struct node *node, long depth)",
     CHANGED, CHANGED, "field visit"},
    {"int (*visit)(struct node *node, int depth)", "void (*visit)(struct node *node, int depth)",
     CHANGED, CHANGED, "field visit"},
    {"table[4]", "table[5]", CHANGED, CHANGED, "field table"},
    {"int table[4]", "unsigned table[4]", CHANGED, CHANGED, "field table"},
    {"grid[2][3]", "grid[3][2]", CHANGED, CHANGED, "field grid"},
    {"short a; short b;", "short a; short c;", CHANGED, CHANGED, "field inner"},
    {"short a; short b;", "char a; short b;", CHANGED, CHANGED, "field inner"},
    {"int left; int right;", "int left; long right;", CHANGED, CHANGED, "field "},
    {"volatile int state;", "int state;", CHANGED, CHANGED, "field state"},
    {"volatile int state;", "_Atomic int state;", CHANGED, CHANGED, "field state"},
    {"struct opaque *handle;\n};", "struct opaque *handle;\n} __attribute__((aligned(64)));",
     CHANGED, CHANGED, "size"},
    {"struct opaque *handle;\n};", "struct opaque *handle;\n} __attribute__((packed));", CHANGED,
     CHANGED, "field handle"},
    {"struct point at;", "struct point at __attribute__((aligned(32)));", CHANGED, CHANGED,
     "field at"},
    {"int i; unsigned u;", "int i; unsigned long u;", CHANGED, CHANGED, "field u"},
    {"int i; unsigned u;", "int i; unsigned u; char c;", CHANGED, CHANGED, "field c"},
    {"union word word;", "struct point word;", CHANGED, CHANGED, "field word"},
    /* enumerations */
    {"GREEN, BLUE", "GREEN = 5, BLUE", CHANGED, CHANGED, "enumerator GREEN"},
    {"GREEN, BLUE", "BLUE, GREEN", CHANGED, CHANGED, "enumerator GREEN"},
    {"GREEN, BLUE", "VIOLET, BLUE", CHANGED, CHANGED, "enumerator GREEN"},
    {"RED, GREEN", "RED = -1, GREEN", CHANGED, CHANGED, "enumerator RED"},
    {"GREEN, BLUE", "GREEN, BLUE, BLACK", CHANGED, CHANGED, "enumerator BLACK"},
    /* variables */
    {"extern int shape_limits[3];\nstruct node shape_root;\nint shape_limits[3]",
     "extern int shape_limits[4];\nstruct node shape_root;\nint shape_limits[4]", CHANGED, CHANGED,
     "type"},
    {"extern int shape_limits[3];\nstruct node shape_root;\nint shape_limits[3]",
     "extern long shape_limits[3];\nstruct node shape_root;\nlong shape_limits[3]", CHANGED,
     CHANGED, "type"},
    /* what must change nothing */
    {"int (*visit)(struct node *node, int depth)", "int (*visit)(struct node *item, int level)",
     SAME, SAME, NULL},
    {"unsigned depth) { return (int)depth", "unsigned level) { return (int)level", SAME, SAME,
     NULL},
    {"unsigned depth)", "const unsigned depth)", SAME, SAME, NULL},
    {"unsigned depth)", "unsigned int depth)", SAME, SAME, NULL},
    {"const char *format", "const char *restrict format", SAME, SAME, NULL},
    {"struct opaque *opaque)", "struct opaque *const opaque)", SAME, SAME, NULL},
    {"number value", "int value", SAME, SAME, NULL},
    {"typedef int number;", "typedef int whole; typedef whole number;", SAME, SAME, NULL},
    {"size_type count;", "unsigned long count;", SAME, SAME, NULL},
    {"size_type count;", "unsigned long long count;", SAME, CHANGED,
     NULL}, /* by encoding and size, not by name */
    {"struct unused { int a; };", "struct unused { long a; };", SAME, SAME, NULL},
    {"struct unused { int a; };", "struct unused { int a; }; enum more { MORE };", SAME, SAME,
     NULL},
    {"static int shape_private", "static long shape_private", SAME, SAME, NULL}, /* nobody else's */
    {"struct opaque;", "struct opaque { int inside; };", SAME, SAME,
     NULL}, /* known by name before */
    {"(int)depth + node->table[0]", "(int)depth - node->table[1]", SAME, SAME, NULL},
    {"extern struct node shape_root;\n", "", SAME, SAME, NULL},
    {"int shape_area", "__attribute__((noinline)) int shape_area", SAME, SAME, NULL},
    {"GREEN, BLUE", "GREEN = 1, BLUE = 2", SAME, SAME, NULL},
    {"int table[4]", "int table[2 + 2]", SAME, SAME, NULL},
    {"unsigned flag : 3;\n    unsigned rest : 5;", "unsigned flag : 3, rest : 5;", SAME, SAME,
     NULL},
};

/* ---- objects ---- */

static bool run_tool(const char *const *words, int *out_code)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)) {
            _exit(127);
        }
        execvp(words[0], (char *const *)words);
        _exit(127);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    *out_code = WIFEXITED(status) ? WEXITSTATUS(status) : 127;
    return *out_code != 127;
}

static void compile_plain(const char *name, const char *source, const char *const *more)
{
    char input[64];
    char output[64];
    snprintf(input, sizeof(input), "%s.c", name);
    snprintf(output, sizeof(output), "%s.o", name);
    scratch_write(input, source, strlen(source));
    const char *words[16] = {"gcc", "-std=gnu11", "-g", "-gz=none", "-O1", "-c", "-o"};
    size_t count = 7;
    words[count++] = scratch_path(output);
    words[count++] = scratch_path(input);
    for (size_t i = 0; more && more[i]; i++) {
        words[count++] = more[i];
    }
    int code;
    if (!run_tool(words, &code) || code != 0) {
        fail_msg("%s does not compile", name);
    }
}

/* An object and what it declares. */
struct loaded {
    struct bytes file;
    struct bytes storage;
    struct elf_object object;
    struct abi_party party;
};

static void load(struct loaded *loaded, const char *file)
{
    struct problem problem = {0};
    *loaded = (struct loaded){.file = scratch_read(file)};
    assert_int_equal(elf_object_open(bytes_span(&loaded->file), &loaded->object, NULL), OK);
    loaded->party = (struct abi_party){.name = "shape", .object = &loaded->object};
    if (abi_open(&loaded->object, &loaded->storage, &loaded->party.abi, &problem) != OK) {
        fail_msg("%s: C%04u %s", file, problem.code, problem.what);
    }
}

static void unload(struct loaded *loaded)
{
    bytes_fini(&loaded->file);
    bytes_fini(&loaded->storage);
}

static char *mutate(const struct mutation *mutation)
{
    const char *at = strstr(base, mutation->from);
    if (!at) {
        fail_msg("not in the source: %s", mutation->from);
        return NULL;
    }
    size_t before = (size_t)(at - base);
    char *text = malloc(sizeof(base) + strlen(mutation->to));
    assert_non_null(text);
    sprintf(text, "%.*s%s%s", (int)before, base, mutation->to, at + strlen(mutation->from));
    return text;
}

/* ---- judging ---- */

struct judgement {
    const char *part; /* that is looked for */
    size_t count;     /* of changes that concern others */
    bool is_found;
    char parts[500]; /* all of them, for a message */
};

static void judge(void *context, const struct abi_change *change)
{
    struct judgement *judgement = context;
    bool concerns_others = change->subject == ABI_EXPORT || change->subject == ABI_TYPE;
    if (!concerns_others) {
        return;
    }
    judgement->count++;
    judgement->is_found |= judgement->part && strcmp(judgement->part, change->part) == 0;
    size_t length = strlen(judgement->parts);
    snprintf(judgement->parts + length, sizeof(judgement->parts) - length, "%s; ", change->part);
}

static int set_up(void **state)
{
    if (scratch_create(state) != 0) {
        return -1;
    }
    compile_plain("base", base, NULL);
    return 0;
}

static void test_abi_mutations_are_judged_as_they_must(void **state)
{
    (void)state;
    struct loaded old;
    load(&old, "base.o");
    size_t wrong = 0;
    for (size_t i = 0; i < ARRAY_COUNT(mutations); i++) {
        char name[32];
        snprintf(name, sizeof(name), "mutation_%zu", i);
        char *source = mutate(&mutations[i]);
        compile_plain(name, source, NULL);
        free(source);
        strcat(name, ".o");
        struct loaded new;
        load(&new, name);
        struct judgement judgement = {.part = mutations[i].part};
        abi_find_changes(&old.party, &new.party, judge, &judgement);
        bool is_right = (judgement.count > 0) == (mutations[i].ours == CHANGED) &&
                        (!mutations[i].part || judgement.is_found);
        if (!is_right) {
            print_message("mutation %zu, %s -> %s: %zu changes: %s\n", i, mutations[i].from,
                          mutations[i].to, judgement.count, judgement.parts);
            wrong++;
        }
        unload(&new);
    }
    unload(&old);
    assert_int_equal(wrong, 0);
}

/*
 * What changes a fingerprint is a change for abidiff, too, if it tells all that it sees; what does
 * not is none if it tells what it takes for changes of the ABI. Its exit status: bit 0 error, bit 1
 * usage, bit 2 a change, bit 3 an incompatible one.
 */
static void test_abi_mutations_are_judged_as_by_abidiff(void **state)
{
    (void)state;
    int code;
    if (!run_tool((const char *const[]){"abidiff", "--version", NULL}, &code)) {
        print_message("SKIPPED: abidiff is not installed (package abigail-tools): nothing is "
                      "compared with it\n");
        skip();
    }
    size_t wrong = 0;
    size_t apart = 0;
    for (size_t i = 0; i < ARRAY_COUNT(mutations); i++) {
        char name[32];
        snprintf(name, sizeof(name), "mutation_%zu.o", i);
        /* By default abidiff is silent on what it calls harmless: pointees without const, names of
         * fields... */
        bool is_strict = mutations[i].ours == CHANGED;
        const char *const words[] = {"abidiff", scratch_path("base.o"), scratch_path(name),
                                     is_strict ? "--harmless" : NULL, NULL};
        assert_true(run_tool(words, &code));
        enum verdict verdict = code & 4 ? CHANGED : SAME;
        apart += mutations[i].ours != mutations[i].abidiff;
        if ((code & 3) || verdict != mutations[i].abidiff) {
            print_message("mutation %zu, %s -> %s: abidiff says %d\n", i, mutations[i].from,
                          mutations[i].to, code);
            wrong++;
        }
    }
    print_message("%zu mutations, %zu judged differently by abidiff\n", ARRAY_COUNT(mutations),
                  apart);
    assert_int_equal(wrong, 0);
}

/* ---- cells ---- */

static const char *signature_of(const struct loaded *cell, const char *name)
{
    for (uint32_t i = 1; i < cell->object.symbol_count; i++) {
        if (strcmp(elf_object_symbol_name(&cell->object, i), name) == 0) {
            const struct cell_abi_symbol *row = cell_abi_symbol_at(&cell->party.abi, i);
            return row ? cell_abi_text(&cell->party.abi, row->text) : NULL;
        }
    }
    fail_msg("no symbol %s", name);
    return NULL;
}

static void test_abi_of_a_cell_covers_both_ends_and_its_state(void **state)
{
    (void)state;
    static const struct test_cell cell = {
        .name = "sample",
        .source = TEST_CELL_HEAD
        "struct job { void (*run)(struct job *); int left; };\n"
        "struct far;\n"
        "int other_take(const struct job *job, struct far *far);\n"
        "extern int other_table[];\n"
        "void sample_in_assembly(void);\n"
        "static struct job first;\n"
        "static int count;\n"
        "static const int constant[] = {1, 2};\n"
        "static void step(struct job *job) { job->left--; count++; }\n"
        "static __attribute__((noinline)) int direct(int a) { static int calls; calls += a; return "
        "calls; }\n"
        "CELL_API int sample_run(int a);\n"
        "CELL_API extern int sample_state;\n"
        "int sample_state;\n"
        "int sample_run(int a)\n"
        "{ first.run = step; sample_in_assembly(); __builtin_memset(&first, a, 8);\n"
        "  return other_take(&first, 0) + other_table[a] + direct(a) + constant[a]; }\n",
        .more = "#include \"cell.h\"\nstatic long count;\n"
                "CELL_API void sample_more(volatile char *where);\n"
                "void sample_more(volatile char *where) { *where = (char)count++; }\n",
        .assembly = ".globl sample_in_assembly\n.hidden sample_in_assembly\n.text\n"
                    ".type sample_in_assembly, @function\nsample_in_assembly: ret\n"
                    ".size sample_in_assembly, 1\n.section .note.GNU-stack\n",
    };
    test_compile_good(&cell);
    struct loaded loaded;
    load(&loaded, "sample.cell");
    assert_int_equal(loaded.storage.size, 0); /* from the section, which was checked */
    assert_string_equal(signature_of(&loaded, "sample_run"), "s32(s32)");
    assert_string_equal(signature_of(&loaded, "sample_more"), "void(s8 volatile*)");
    assert_string_equal(signature_of(&loaded, "other_take"), "s32(struct job const*,struct far*)");
    assert_string_equal(signature_of(&loaded, "other_table"), "s32[]");
    assert_string_equal(signature_of(&loaded, "sample_state"), "s32");
    assert_string_equal(signature_of(&loaded, "step"),
                        "void(struct job*)"); /* its address is taken */
    assert_null(signature_of(&loaded, "direct"));
    assert_null(signature_of(&loaded, "sample_in_assembly"));
    static const struct {
        const char *name;
        const char *text;
    } variables[] = {{"first", "struct job"},
                     {"sample_0.c:count", "s32"},
                     {"sample_1.c:count", "s64"},
                     {"direct.calls", "s32"},
                     {"sample_state", "s32"}};
    assert_int_equal(loaded.party.abi.variable_count, ARRAY_COUNT(variables));
    for (size_t i = 0; i < ARRAY_COUNT(variables); i++) {
        const struct cell_abi_variable *row =
            cell_abi_find_variable(&loaded.party.abi, variables[i].name);
        assert_non_null(row);
        assert_string_equal(cell_abi_text(&loaded.party.abi, row->text), variables[i].text);
    }
    const struct cell_abi_type *job = cell_abi_find_type(&loaded.party.abi, "struct job", 10);
    assert_string_equal(cell_abi_text(&loaded.party.abi, job->text),
                        "struct job{void(struct job*)* run@0;s32 left@8;}16");
    assert_int_equal(job->flags, CELL_ABI_TYPE_SHARED);
    assert_int_equal(cell_abi_find_type(&loaded.party.abi, "struct far", 10)->layout, 0);
    unload(&loaded);
}

static uint64_t layout_of(const char *inner, const char *outer)
{
    char source[500];
    snprintf(source, sizeof(source),
             TEST_CELL_HEAD
             "struct inner { %s };\nstruct outer { %s };\nstatic struct outer kept;\n"
             "CELL_API void *kept_get(void);\nvoid *kept_get(void) { return &kept; }\n",
             inner, outer);
    test_compile_good(&(struct test_cell){.name = "kept", .source = source});
    struct loaded loaded;
    load(&loaded, "kept.cell");
    uint64_t layout = cell_abi_find_variable(&loaded.party.abi, "kept")->layout;
    unload(&loaded);
    return layout;
}

static void test_abi_layout_of_a_variable_covers_what_lies_in_it(void **state)
{
    (void)state;
    uint64_t layout = layout_of("int a;", "struct inner i;");
    assert_int_equal(layout_of("int a;", "struct inner i;"), layout);
    assert_int_not_equal(layout_of("long a;", "struct inner i;"), layout);
    assert_int_not_equal(layout_of("int b;", "struct inner i;"), layout);
    uint64_t pointer = layout_of("int a;", "struct inner *i;");
    assert_int_equal(layout_of("long a;", "struct inner *i;"), pointer);
    uint64_t array = layout_of("int a;", "struct inner i[2];");
    assert_int_not_equal(layout_of("long a;", "struct inner i[2];"), array);
}

static void test_abi_sources_that_contradict_each_other_are_refused(void **state)
{
    (void)state;
    static const char use[] =
        "CELL_API int two_b(struct s *s);\nint two_b(struct s *s) { return get(s) + 1; }\n";
    static const struct {
        const char *head;
        unsigned code;
    } others[] = {
        {"struct s { int a; };\nint get(struct s *s);\n", 0},
        {"struct s;\nint get(struct s *s);\n", 0},
        {"struct s { int b; };\nint get(struct s *s);\n", PROBLEM_ABI_CONFLICT},
        {"struct s { int a; };\nint get(const struct s *s);\n", PROBLEM_ABI_CONFLICT},
    };
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        char more[500];
        snprintf(more, sizeof(more), "#include \"cell.h\"\n%s%s", others[i].head, use);
        struct test_cell cell = {
            .name = "two",
            .source = TEST_CELL_HEAD "struct s { int a; };\nint get(struct s *s);\n"
                                     "CELL_API int two_a(struct s *s);\n"
                                     "int two_a(struct s *s) { return get(s) + s->a; }\n",
            .more = more,
        };
        assert_int_equal(test_compile_code(&cell), others[i].code);
    }
}

/* Packs giver.cell, taker.cell and, if it is wanted, third.cell; the code of the refusal. */
static unsigned pack_code(bool with_third, struct problem *problem)
{
    char paths[3][512];
    static const char *const names[] = {"giver", "taker", "third"};
    const char *files[4] = {NULL};
    for (size_t i = 0; i < (with_third ? 3 : 2); i++) {
        snprintf(paths[i], sizeof(paths[i]), "%s/%s.cell", scratch, names[i]);
        files[i] = paths[i];
    }
    struct pack_result result;
    const struct pack_request request = {.output = scratch_path("abi.a"), .cells = files};
    *problem = (struct problem){0};
    enum status status = pack_cells(&request, &result, problem);
    assert_int_equal(status, problem->status);
    return problem->code;
}

static void make_cell(const char *name, const char *interface, const char *source)
{
    char text[600];
    snprintf(text, sizeof(text), TEST_CELL_HEAD "%s", source);
    test_compile_good(&(struct test_cell){.name = name, .interface = interface, .source = text});
}

static void test_abi_cells_that_do_not_fit_are_not_packed(void **state)
{
    (void)state;
    struct problem problem;
    make_cell("giver", "give",
              "struct s { int a; };\nCELL_API int giver_get(struct s *s, long n);\n"
              "int giver_get(struct s *s, long n) { return s->a + (int)n; }\n");
    make_cell("taker", NULL,
              "struct s;\nint giver_get(struct s *s, long n);\nCELL_API int taker_run(void);\n"
              "int taker_run(void) { return giver_get(0, 1); }\n");
    assert_int_equal(pack_code(false, &problem), 0);
    make_cell("taker", NULL,
              "struct s;\nint giver_get(struct s *s, int n);\nCELL_API int taker_run(void);\n"
              "int taker_run(void) { return giver_get(0, 1); }\n");
    assert_int_equal(pack_code(false, &problem), DIAG_LINK_SIGNATURE);
    char all[3 * PROBLEM_TEXT_SIZE];
    snprintf(all, sizeof(all), "%s %s %s", problem.what, problem.where, problem.because[0]);
    assert_non_null(strstr(all, "giver_get"));
    assert_non_null(strstr(all, "parameter 2: s32 in taker, s64 in giver"));
    make_cell("taker", NULL,
              "struct s { long a; };\nint giver_get(struct s *s, long n);\nCELL_API int "
              "taker_run(void);\n"
              "int taker_run(void) { struct s s = {1}; return giver_get(&s, 1); }\n");
    assert_int_equal(pack_code(false, &problem), DIAG_LINK_TYPE);
    snprintf(all, sizeof(all), "%s %s %s", problem.what, problem.where, problem.because[0]);
    assert_non_null(strstr(all, "field 1: s64 a@0 in taker, s32 a@0 in giver"));
    /* Two that implement one interface may see its types as they like. */
    make_cell("taker", NULL,
              "struct s;\nint giver_get(struct s *s, long n);\nCELL_API int taker_run(void);\n"
              "int taker_run(void) { return giver_get(0, 1); }\n");
    make_cell("third", "give",
              "struct s { long b; };\nCELL_API int giver_get(struct s *s, long n);\n"
              "int giver_get(struct s *s, long n) { return (int)(s->b + n); }\n");
    assert_int_equal(pack_code(true, &problem), 0);
    make_cell("third", "give",
              "struct s { long b; };\nCELL_API int giver_get(struct s *s, int n);\n"
              "int giver_get(struct s *s, int n) { return (int)(s->b + n); }\n");
    assert_int_equal(pack_code(true, &problem), DIAG_LINK_SIGNATURE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_abi_mutations_are_judged_as_they_must),
        cmocka_unit_test(test_abi_mutations_are_judged_as_by_abidiff),
        cmocka_unit_test(test_abi_of_a_cell_covers_both_ends_and_its_state),
        cmocka_unit_test(test_abi_layout_of_a_variable_covers_what_lies_in_it),
        cmocka_unit_test(test_abi_sources_that_contradict_each_other_are_refused),
        cmocka_unit_test(test_abi_cells_that_do_not_fit_are_not_packed),
    };
    return cmocka_run_group_tests(tests, set_up, scratch_destroy);
}
