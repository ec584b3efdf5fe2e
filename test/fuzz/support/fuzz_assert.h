/* SPDX-License-Identifier: MIT */
/*
 * fuzz_assert.h - the assertions of cmocka that models use, and choices that are bytes of an input.
 *
 * Why: models of random tests are fuzzed as they are. A false assertion ends the program, so that
 * the input is kept.
 *
 * Rules: included once in a fuzz target, before the model.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define assert_true(condition) \
    ((condition) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #condition, 0, 0))
#define assert_false(condition)  assert_true(!(condition))
#define assert_null(pointer)     assert_true((pointer) == NULL)
#define assert_non_null(pointer) assert_true((pointer) != NULL)
#define assert_int_equal(got, want) \
    fuzz_equal(__FILE__, __LINE__, #got " == " #want, (uint64_t)(got), (uint64_t)(want))
#define assert_memory_equal(a, b, bytes) assert_true(memcmp(a, b, bytes) == 0)
#define fail_msg(...)                    (fprintf(stderr, __VA_ARGS__), fuzz_fail(__FILE__, __LINE__, "fail", 0, 0))

static inline void fuzz_fail(const char *file, int line, const char *what, uint64_t got,
                             uint64_t want)
{
    fprintf(stderr, "\n%s:%d: %s: %#llx, %#llx\n", file, line, what, (unsigned long long)got,
            (unsigned long long)want);
    abort();
}

static inline void fuzz_equal(const char *file, int line, const char *what, uint64_t got,
                              uint64_t want)
{
    if (got != want) {
        fuzz_fail(file, line, what, got, want);
    }
}

/* What is left of the input. */
static const uint8_t *choices;
static size_t choices_left;

/* A number below `below`, from the next byte, or two where one does not reach; 0 at the end. */
static inline unsigned choose(unsigned below)
{
    unsigned number = 0;
    for (unsigned reach = 1; reach < below && choices_left > 0; reach <<= 8, choices_left--) {
        number = number << 8 | *choices++;
    }
    return number % below;
}
