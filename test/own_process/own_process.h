/* SPDX-License-Identifier: MIT */
/*
 * own_process.h - runs each case of a test in a process of its own.
 *
 * Why: some cells choose once and for good, at the first call; each case wants one that has not
 * chosen yet.
 *
 * Rules: for programs of cmocka, instead of its groups. A case asserts as usual.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "status.h"

typedef void (*own_process_case_t)(void);

static inline void own_process_run(void **state)
{
    (*(const own_process_case_t *)*state)();
}

/* What main() returns. */
static inline int own_process_run_all(const char *name, const own_process_case_t *cases,
                                      size_t count)
{
    for (size_t i = 0; i < count; i++) {
        pid_t child = fork();
        if (child == 0) {
            struct CMUnitTest test = {
                .name = name, .test_func = own_process_run, .initial_state = (void *)&cases[i]};
            _exit(_cmocka_run_group_tests("case", &test, 1, NULL, NULL) != 0);
        }
        int result = -1;
        if (child < 0 || waitpid(child, &result, 0) != child || result != 0) {
            print_error("case %zu failed\n", i);
            return 1;
        }
    }
    return 0;
}
