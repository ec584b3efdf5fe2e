/* SPDX-License-Identifier: MIT */
/*
 * test_verbs.h - verbs as a user meets them: exit codes, what is printed, fields of JSON.
 *
 * Why: verbs are tested by several programs, all on the same few cells.
 *
 * Rules: included once in a program, whose group has set_up() before it. Each run is a child
 * process with its own stdout and stderr, so that a crash is a failure and not the end.
 */
#pragma once

#include "test_support.h"

#include "pack.h"
#include "verbs.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct test_cell cells[] = {
    {.name = "base",
     .source = TEST_CELL_HEAD "CELL_API int base_value(void);\nCELL_API extern int base_state;\n"
                              "int base_state = 3;\nint base_value(void) { return base_state; }\n"},
    {.name = "middle",
     .source = TEST_CELL_HEAD "int base_value(void);\nCELL_API int middle_run(void);\n"
                              "int middle_run(void) { return base_value() + 1; }\n"},
    {.name = "front",
     .source = "#include \"cell.h\"\nCELL(application, \"1.0.0\");\n"
               "int middle_run(void); int base_value(void);\nCELL_API int front_main(void);\n"
               "int front_main(void) { return middle_run() + base_value(); }\n"},
    {.name = "keeper",
     .source = "#include \"cell.h\"\nCELL(application, \"1.0.0\");\nstatic int runs;\n"
               "CELL_API int keeper_main(void);\nint keeper_main(void) { return runs++; }\n"},
};

UNUSED static void pack_as(const char *output, size_t count)
{
    char paths[ARRAY_COUNT(cells)][512];
    const char *files[ARRAY_COUNT(cells) + 1] = {NULL};
    for (size_t i = 0; i < count; i++) {
        snprintf(paths[i], sizeof(paths[i]), "%s/%s.cell", scratch, cells[i].name);
        files[i] = paths[i];
    }
    struct problem problem = {0};
    struct pack_result result;
    const struct pack_request request = {.output = scratch_path(output), .cells = files};
    assert_int_equal(pack_cells(&request, &result, &problem), OK);
}

UNUSED static int set_up(void **state)
{
    if (scratch_create(state) != 0) {
        return -1;
    }
    for (size_t i = 0; i < ARRAY_COUNT(cells); i++) {
        test_compile_good(&cells[i]);
    }
    test_compile_good(&(struct test_cell){.name = "nameless",
                                          .source = TEST_CELL_HEAD,
                                          .assembly = ".data\n.quad 1, 2, 3\n"
                                                      ".section .note.GNU-stack\n"});
    pack_as("cells.a", 3);
    pack_as("more.a", 4);
    setenv("CELLPACK_CELLS", scratch_path("cells.a"), 1);
    setenv("NO_COLOR", "1", 1);
    return 0;
}

/* Runs `cellpack WORD..` as main() does; its output goes to the files out and err. */
UNUSED static int run_words(int count, char *const *words)
{
    fflush(NULL);
    pid_t child = fork();
    assert_int_not_equal(child, -1);
    if (child == 0) {
        if ((access(scratch_path("in"), R_OK) == 0 && !freopen(scratch_path("in"), "r", stdin)) ||
            !freopen(scratch_path("out"), "w", stdout) ||
            !freopen(scratch_path("err"), "w", stderr)) {
            _exit(99);
        }
        const struct verb *verb = find_verb(words[0]);
        struct arguments arguments;
        int code = 98;
        if (verb && arguments_parse(&arguments, verb, count - 1, words + 1, &code)) {
            code = verb->run(&arguments);
        }
        code = output_finish(code);
        fflush(NULL);
        _exit(code);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

#define RUN(...)                                                                   \
    run_words((int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(const char *)), \
              (char *const *)(const char *[]){__VA_ARGS__})

UNUSED static char *text_of(const char *file)
{
    struct bytes bytes = scratch_read(file);
    bytes_append(&bytes, "", 1);
    return (char *)bytes.data;
}

/* Is this all that the program wrote to stdout? */
UNUSED static void assert_output(const char *expected)
{
    char *text = text_of("out");
    assert_string_equal(text, expected);
    free(text);
}

UNUSED static bool prints(const char *file, const char *part)
{
    char *text = text_of(file);
    bool found = strstr(text, part) != NULL;
    if (!found) {
        print_message("not in %s: %s\n%s", file, part, text);
    }
    free(text);
    return found;
}

UNUSED static json_t *output_json(const char *schema)
{
    json_error_t error;
    json_t *root = json_load_file(scratch_path("out"), JSON_REJECT_DUPLICATES, &error);
    if (!root) {
        fail_msg("not JSON: %s, line %d", error.text, error.line);
    }
    assert_string_equal(json_string_value(json_object_get(root, "schema")), schema);
    return root;
}

/* The n-th element of a list in the root. */
UNUSED static json_t *item(const json_t *root, const char *list, size_t n)
{
    json_t *found = json_array_get(json_object_get(root, list), n);
    assert_non_null(found);
    return found;
}

UNUSED static const char *string_in(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "(none)";
}

UNUSED static json_int_t number_in(const json_t *object, const char *key)
{
    assert_true(json_is_integer(json_object_get(object, key)));
    return json_integer_value(json_object_get(object, key));
}
