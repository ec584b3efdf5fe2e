/* SPDX-License-Identifier: MIT */
/*
 * Runs the program itself: exit codes, where output goes, colours, help, completion. CELLPACK is
 * its path, MANUAL_FOLDER where the manual pages' sources are.
 */
#include "test_support.h"

#include "explanations.h"
#include "verbs.h"

#include <sys/wait.h>
#include <unistd.h>

static char *output; /* of the last run */
static char *errors;

static char *text_of(const char *name)
{
    struct bytes bytes = scratch_read(name);
    bytes_append(&bytes, "", 1);
    return (char *)bytes.data;
}

/* Runs a shell command in the scratch folder, with cellpack in PATH; returns its exit code. */
static int shell(const char *format, ...)
{
    char line[2048];
    char *command = NULL;
    va_list list;
    va_start(list, format);
    vsnprintf(line, sizeof(line), format, list);
    va_end(list);
    command = format_text("cd '%s' && { %s; } >output 2>errors </dev/null", scratch, line);
    int result = system(command);
    free(command);
    free(output);
    free(errors);
    output = text_of("output");
    errors = text_of("errors");
    assert_true(WIFEXITED(result));
    return WEXITSTATUS(result);
}

static int set_up(void **state)
{
    if (scratch_create(state) != 0) {
        return -1;
    }
    char *path = format_text("%s:%s", CELLPACK_FOLDER, getenv("PATH"));
    setenv("PATH", path, 1);
    free(path);
    unsetenv("NO_COLOR");
    unsetenv("CLICOLOR_FORCE");
    unsetenv("CELLPACK_CELLS");
    test_compile_good(&(struct test_cell){.name = "alpha",
                                          .source = TEST_CELL_HEAD
                                          "CELL_API int take(void);\nint take(void) "
                                          "{ return 1; }\n"});
    test_compile_good(&(struct test_cell){.name = "beta",
                                          .source = TEST_CELL_HEAD
                                          "CELL_API int give(void);\nint take(void);\n"
                                          "int give(void) { return take(); }\n"});
    return shell("cellpack pack -o cells.a alpha.cell beta.cell");
}

static int tear_down(void **state)
{
    free(output);
    free(errors);
    return scratch_destroy(state);
}

/* ---- exit codes and streams ---- */

static void test_cli_success_is_0_and_silent(void **state)
{
    assert_int_equal(shell("cellpack pack -o good.a alpha.cell"), EXIT_DONE);
    assert_string_equal(output, "");
    assert_string_equal(errors, "");
}

static void test_cli_failure_is_1_with_a_code(void **state)
{
    static const struct {
        const char *command;
        const char *code;
    } cases[] = {
        {"cellpack pack -o bad.a absent.cell", "error[C0402]"},
        {"cellpack pack -o bad.a output", "error[C0101]"},
        {"cellpack pack -o absent/bad.a alpha.cell", "error[C0403]"},
        {"cellpack compile --name x --summary x -o x.cell absent.c", "error[C0405]"},
        {"cellpack compile --name X --summary x -o x.cell absent.c", "error[C0423]"},
        {"cellpack image -o x.iso --nano-core alpha.cell --cells cells.a", "error[C0441]"},
        {"cellpack image -o x.iso --nano-core absent --cells cells.a", "error[C0402]"},
        {"cellpack link -o x alpha.cell", "error[C0443]"},
        {"PATH=$(dirname $(command -v cellpack)) cellpack compile --name x --summary x -o x.cell "
         "x.c",
         "error[C0404]"},
        {"TMPDIR=/absent cellpack compile --name x --summary x -o x.cell x.c", "error[C0403]"},
        {"cellpack explain C9999", "error[C0450]"},
        {"cellpack ls --cells absent.a", "error[C0402]"},
        {"cellpack ls --cells alpha.cell.d", "error[C0402]"},
        {"cellpack info absent", "error[C0451]"},
        {"cellpack tree absent", "error[C0451]"},
        {"cellpack why alpha absent", "error[C0451]"},
        {"cellpack sym absent", "error[C0452]"},
        {"cellpack diff cells.a absent.a", "error[C0402]"},
        {"cellpack diff cells.a cells.a --replace alpha=absent", "error[C0521]"},
        {"cellpack diff cells.a cells.a --together alpha,absent", "error[C0521]"},
        {"cd / && cellpack ls", "error[C0453]"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        int code = shell("%s", cases[i].command);
        if (code != EXIT_FAILED || !strstr(errors, cases[i].code) || output[0]) {
            fail_msg("%s: exit code %d, %s%s", cases[i].command, code, output, errors);
        }
    }
}

static void test_cli_misuse_is_2_with_help(void **state)
{
    static const char *const commands[] = {
        "cellpack",
        "cellpack frobnicate",
        "cellpack pack alpha.cell",
        "cellpack pack -o x.a",
        "cellpack pack -o",
        "cellpack pack --frobnicate -o x.a alpha.cell",
        "cellpack pack --json=yes -o x.a alpha.cell",
        "cellpack pack -z -o x.a alpha.cell",
        "cellpack pack --format=svg -o x.a alpha.cell",
        "cellpack pack --format=nonsense -o x.a alpha.cell",
        "cellpack pack --color=purple -o x.a alpha.cell",
        "cellpack compile --name x --summary x -o x.cell",
        "cellpack compile --name x -o x.cell x.c",
        "cellpack compile --name x --summary x -o x.cell --profile fast x.c",
        "cellpack image -o x.iso",
        "cellpack image -o x.iso --nano-core a --cells b c",
        "cellpack link alpha.cell",
        "cellpack link -o x --base nonsense alpha.cell",
        "cellpack info",
        "cellpack sym",
        "cellpack why alpha",
        "cellpack diff cells.a",
        "cellpack diff cells.a cells.a cells.a",
        "cellpack explain C0101 C0102",
        "cellpack completion",
        "cellpack completion powershell",
        "cellpack help frobnicate",
    };
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        int code = shell("%s", commands[i]);
        bool told = strstr(errors, "error[C0400]") || i == 0;
        if (code != EXIT_USAGE || !told || output[0]) {
            fail_msg("%s: exit code %d, %s%s", commands[i], code, output, errors);
        }
    }
}

static void test_cli_full_disk_is_a_failure(void **state)
{
    assert_int_equal(shell("cellpack explain >/dev/full"), EXIT_FAILED);
    assert_non_null(strstr(errors, "error[C0403]"));
}

static void test_cli_typing_error_gets_a_suggestion(void **state)
{
    assert_int_equal(shell("cellpack complie"), EXIT_USAGE);
    assert_non_null(strstr(errors, "is 'compile' meant?"));
    assert_int_equal(shell("cellpack pack --outptu x alpha.cell"), EXIT_USAGE);
    assert_non_null(strstr(errors, "is --output meant?"));
}

static void test_cli_error_has_four_parts(void **state)
{
    assert_int_equal(shell("head -c 100 alpha.cell >cut.cell; cellpack pack -o x.a cut.cell"), 1);
    assert_non_null(strstr(errors, "error[C0101]: "));
    assert_non_null(strstr(errors, "\n  --> cut.cell+0x"));
    assert_non_null(strstr(errors, "\n  because: "));
    assert_non_null(strstr(errors, "\n  help: cellpack explain C0101\n"));
}

static void test_cli_bad_bytes_never_crash_a_verb(void **state)
{
    static const char *const commands[] = {"pack -o x.a noise.cell",
                                           "info ./noise.cell",
                                           "ls ./noise.cell",
                                           "ls --cells noise.cell",
                                           "link -o x noise.cell",
                                           "words -- info --cells "
                                           "noise.cell a"};
    for (unsigned run = 0; run < 6; run++) {
        shell("head -c %u /dev/urandom >noise.cell", run * run * 100);
        if (run == 5) {
            shell("cat alpha.cell noise.cell | head -c 1500 >cut; mv cut noise.cell");
        }
        for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
            int code = shell("cellpack %s", commands[i]);
            if (code > EXIT_FAILED || strstr(errors, "Sanitizer")) {
                fail_msg("%s: exit code %d, %s", commands[i], code, errors);
            }
        }
    }
}

/* ---- the status line ---- */

/* script(1) gives it a terminal; a slow gcc lets 300 ms go by. */
static void test_cli_status_line_shows_on_a_terminal_only(void **state)
{
    static const char compile[] =
        "PATH=$PWD/slow:$PATH cellpack compile --name slow --summary x -o slow.cell -I "
        "'" TEST_CELL_FOLDER "' slow_0.c slow_1.c slow_2.c";
    test_compile_good(&(struct test_cell){.name = "slow", .source = TEST_CELL_HEAD});
    assert_int_equal(shell("mkdir -p slow; printf '%%s\\n' '#!/bin/sh' 'sleep 0.2' "
                           "'exec /usr/bin/gcc \"$@\"' >slow/gcc; chmod +x slow/gcc; "
                           "echo 'int a1;' >slow_1.c; echo 'int a2;' >slow_2.c"),
                     0);
    assert_int_equal(shell("%s", compile), EXIT_DONE);
    assert_string_equal(errors, "");
    assert_int_equal(shell("script -qec \"%s\" /dev/null", compile), EXIT_DONE);
    assert_null(strstr(output, "[1/3]"));
    assert_non_null(strstr(output, "[3/3] compile slow_2.c"));
    assert_string_equal(output + strlen(output) - 4, "\r\033[K");
}

/* ---- help ---- */

static void test_cli_help_of_each_verb_is_short_with_two_examples(void **state)
{
    for (const struct verb *const *verb = all_verbs(); *verb; verb++) {
        assert_int_equal(shell("cellpack %s --help", (*verb)->name), EXIT_DONE);
        unsigned lines = 0;
        unsigned examples = 0;
        unsigned widest = 0;
        for (char *at = output; *at; at = strchr(at, '\n') + 1) {
            lines++;
            examples += strncmp(at, "  $ ", 4) == 0;
            unsigned width = (unsigned)strcspn(at, "\n");
            widest = width > widest ? width : widest;
        }
        if (lines > HELP_LINES_MAX || examples != 2 || widest > 100) {
            fail_msg("%s: %u lines, %u examples, %u wide", (*verb)->name, lines, examples, widest);
        }
    }
}

static void test_cli_each_verb_has_a_manual_page(void **state)
{
    for (const struct verb *const *verb = all_verbs(); *verb; verb++) {
        char *path = format_text("%s/cellpack-%s.1.scd", MANUAL_FOLDER, (*verb)->name);
        bool there = access(path, R_OK) == 0;
        int exit_codes = there ? shell("grep -q '^# EXIT STATUS' %s", path) : 0;
        free(path);
        if (!(*verb)->hidden && (!there || exit_codes != 0)) {
            fail_msg("%s: %s", (*verb)->name, there ? "no exit codes" : "no manual page");
        }
    }
}

static void test_cli_overview_lists_all_verbs_but_hidden_ones(void **state)
{
    assert_int_equal(shell("cellpack --help"), EXIT_DONE);
    for (const struct verb *const *verb = all_verbs(); *verb; verb++) {
        char *line = format_text("\n  %s ", (*verb)->name);
        assert_int_equal(strstr(output, line) != NULL, !(*verb)->hidden);
        free(line);
    }
}

/* ---- JSON ---- */

static void test_cli_json_has_a_schema(void **state)
{
    static const char *const commands[][2] = {
        {"cellpack pack -o x.a --json alpha.cell", "cellpack.pack/1"},
        {"cellpack explain --format=json", "cellpack.explain/1"},
        {"cellpack completion bash --json", "cellpack.completion/1"},
        {"cellpack help --json", "cellpack.help/1"},
        {"cellpack ls --json", "cellpack.ls/1"},
        {"cellpack info alpha --json", "cellpack.info/1"},
        {"cellpack sym take --json", "cellpack.sym/1"},
        {"cellpack tree beta --json", "cellpack.tree/1"},
        {"cellpack why beta alpha --json", "cellpack.why/1"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        assert_int_equal(shell("%s", commands[i][0]), EXIT_DONE);
        json_t *root = json_loads(output, 0, NULL);
        if (!root || !json_is_object(root)) {
            fail_msg("%s: %s", commands[i][0], output);
        }
        assert_string_equal(json_string_value(json_object_get(root, "schema")), commands[i][1]);
        json_decref(root);
    }
}

/* ---- colours ---- */

static void test_cli_colour_follows_option_then_environment(void **state)
{
    static const struct {
        const char *settings;
        const char *option;
        bool coloured;
    } cases[] = {
        {"", "", false}, /* a file is no terminal */
        {"", "--color=always", true},
        {"NO_COLOR=1", "--color=always", true},
        {"CLICOLOR_FORCE=1", "", true},
        {"CLICOLOR_FORCE=0", "", false},
        {"CLICOLOR_FORCE=1 NO_COLOR=1", "", false},
        {"CLICOLOR_FORCE=1 NO_COLOR=", "", true},
        {"CLICOLOR_FORCE=1", "--color=never", false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        assert_int_equal(shell("%s cellpack explain C0101 %s", cases[i].settings, cases[i].option),
                         EXIT_DONE);
        if ((strchr(output, '\033') != NULL) != cases[i].coloured) {
            fail_msg("%s %s: %s", cases[i].settings, cases[i].option, output);
        }
    }
}

/* ---- explain and completion ---- */

static void test_cli_each_code_is_explained(void **state)
{
    unsigned last = 0;
    for (const struct explained_code *code = explained_codes(); code->code; code++) {
        assert_true(code->code > last);
        last = code->code;
        assert_string_equal(problem_rule(code->code), code->rule);
        const char *const parts[] = {code->explanation->meaning, code->explanation->cause,
                                     code->explanation->next, code->explanation->example};
        for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
            if (!parts[i] || strlen(parts[i]) < 5) {
                fail_msg("C%04u %s: part %zu is missing", code->code, code->name, i);
            }
        }
    }
    assert_int_equal(shell("cellpack explain 142"), EXIT_DONE);
    assert_non_null(strstr(output, "C0142"));
}

static void test_cli_completion_offers_what_fits(void **state)
{
    static const struct {
        const char *line;
        const char *expected;
    } cases[] = {
        {"comp", "compile\ncompletion\n"},
        {"compile --prof", "--profile\n"},
        {"compile --profile ''", "release\ndebug\n"},
        {"compile --profile = d", "debug\n"},
        {"compile --profile=r", "--profile=release\n"},
        {"compile --debug x", "@files\n"},
        {"compile -I x", "@folders\n"},
        {"compile x", "@files\n"},
        {"info ''", "alpha\nbeta\n"},
        {"info --cells cells.a b", "beta\n"},
        {"sym g", "give\n"},
        {"explain C044", "C0440\nC0441\nC0442\nC0443\n"},
        {"completion ''", "bash\nzsh\nfish\n"},
        {"help pa", "pack\n"},
        {"frobnicate x", ""},
        {"info --cells absent x", ""},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        assert_int_equal(shell("cellpack words -- %s", cases[i].line), EXIT_DONE);
        if (strcmp(output, cases[i].expected) != 0 || errors[0]) {
            fail_msg("%s: %s%s", cases[i].line, output, errors);
        }
    }
}

static void test_cli_bash_script_completes(void **state)
{
    static const char script[] = "eval \"$(cellpack completion bash)\"\n"
                                 "COMP_WORDS=(cellpack info al); COMP_CWORD=2; _cellpack\n"
                                 "printf '%s\\n' \"${COMPREPLY[@]}\"\n";
    scratch_write("complete.bash", script, sizeof(script) - 1);
    assert_int_equal(shell("bash complete.bash"), 0);
    assert_string_equal(output, "alpha\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_success_is_0_and_silent),
        cmocka_unit_test(test_cli_failure_is_1_with_a_code),
        cmocka_unit_test(test_cli_misuse_is_2_with_help),
        cmocka_unit_test(test_cli_full_disk_is_a_failure),
        cmocka_unit_test(test_cli_typing_error_gets_a_suggestion),
        cmocka_unit_test(test_cli_error_has_four_parts),
        cmocka_unit_test(test_cli_bad_bytes_never_crash_a_verb),
        cmocka_unit_test(test_cli_status_line_shows_on_a_terminal_only),
        cmocka_unit_test(test_cli_help_of_each_verb_is_short_with_two_examples),
        cmocka_unit_test(test_cli_each_verb_has_a_manual_page),
        cmocka_unit_test(test_cli_overview_lists_all_verbs_but_hidden_ones),
        cmocka_unit_test(test_cli_json_has_a_schema),
        cmocka_unit_test(test_cli_colour_follows_option_then_environment),
        cmocka_unit_test(test_cli_each_code_is_explained),
        cmocka_unit_test(test_cli_completion_offers_what_fits),
        cmocka_unit_test(test_cli_bash_script_completes),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
