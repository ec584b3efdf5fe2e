/* SPDX-License-Identifier: MIT */
/*
 * test_support.h - a scratch folder, and cells made of a few lines of source, for the packer's
 * tests.
 *
 * Rules: TEST_CELL_FOLDER is the folder of cell.h. Each test program has one scratch folder, made
 * by the group's set-up; files are named relative to it.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bytes.h"
#include "compile.h"
#include "process.h"

static char *scratch;

static inline int scratch_create(void **state)
{
    (void)state;
    struct problem problem = {0};
    scratch = temporary_folder_create(&problem);
    return scratch ? 0 : -1;
}

static inline int scratch_destroy(void **state)
{
    (void)state;
    temporary_folder_destroy(scratch);
    return 0;
}

/* The path of a file in the scratch folder; good until the eighth next call. */
static inline const char *scratch_path(const char *name)
{
    static char paths[8][512];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof(paths[0]), "%s/%s", scratch, name);
    return path;
}

static inline void scratch_write(const char *name, const void *data, size_t size)
{
    struct problem problem = {0};
    struct bytes bytes = {0};
    bytes_append(&bytes, data, size);
    assert_int_equal(bytes_write_file(&bytes, scratch_path(name), &problem), OK);
    bytes_fini(&bytes);
}

static inline struct bytes scratch_read(const char *name)
{
    struct problem problem = {0};
    struct bytes bytes = {0};
    assert_int_equal(bytes_read_file(&bytes, scratch_path(name), &problem), OK);
    return bytes;
}

struct test_cell {
    const char *name;
    const char *interface;
    const char *source;   /* C */
    const char *more;     /* a second C source, or NULL */
    const char *assembly; /* or NULL */
};

/* Compiles to <name>.cell, <name>.debug and <name>.d in the scratch folder. */
static inline enum status test_compile(const struct test_cell *cell, struct problem *problem)
{
    char names[3][64];
    const char *sources[4] = {NULL};
    const char *const texts[3] = {cell->source, cell->more, cell->assembly};
    size_t count = 0;
    for (size_t i = 0; i < 3; i++) {
        if (texts[i]) {
            snprintf(names[i], sizeof(names[i]), "%s_%zu.%c", cell->name, i, i == 2 ? 'S' : 'c');
            scratch_write(names[i], texts[i], strlen(texts[i]));
            sources[count++] = scratch_path(names[i]);
        }
    }
    char outputs[3][512];
    static const char *const endings[3] = {"cell", "debug", "d"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(outputs[i], sizeof(outputs[i]), "%s/%s.%s", scratch, cell->name, endings[i]);
    }
    const char *const includes[] = {TEST_CELL_FOLDER, NULL};
    struct compile_request request = {
        .name = cell->name,
        .summary = "made by a \"test\"",
        .interface = cell->interface,
        .output = outputs[0],
        .debug = outputs[1],
        .depfile = outputs[2],
        .includes = includes,
        .sources = sources,
    };
    struct compile_result result = {0};
    enum status status = compile_cell(&request, &result, problem);
    bytes_fini(&result.remarks);
    return status;
}

/* Compiles what must compile. */
static inline void test_compile_good(const struct test_cell *cell)
{
    struct problem problem = {0};
    if (test_compile(cell, &problem) != OK) {
        fail_msg("%s: C%04u %s\n%s", cell->name, problem.code, problem.what,
                 problem.transcript ? problem.transcript : "");
    }
}

/* The code that compiling it is refused with; 0 when it is not. */
static inline unsigned test_compile_code(const struct test_cell *cell)
{
    struct problem problem = {0};
    enum status status = test_compile(cell, &problem);
    unsigned code = problem.code;
    assert_int_equal(status, problem.status);
    problem_fini(&problem);
    return code;
}

#define TEST_CELL_HEAD "#include \"cell.h\"\nCELL(library, \"1.2.3\");\n"
