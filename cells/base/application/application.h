/* SPDX-License-Identifier: MIT */
/*
 * application.h - what an application cell is and how it is called.
 *
 * Why: running the application `hello` is no more than demanding the symbol `hello_main` and
 * calling it; the loader brings the cell in, with all that it needs, when it is not there yet.
 *
 * Rules: an application has no mutable static data, so that one loaded copy can run any number of
 * times, also at once. It returns OK when it did what it was asked to. It prints to the console,
 * errors too.
 */
#pragma once

#include "status.h"

/* What the caller of an application owns; the application only reads it. */
struct app_arguments {
    int count;                 /* at least 1 */
    const char *const *values; /* values[0] is the application's name; values[count] is NULL */
};

typedef enum status (*app_main)(const struct app_arguments *arguments);

/* Declares the entry of application `name`; stands before its definition. */
#define APPLICATION(name) CELL_API enum status name##_main(const struct app_arguments *arguments)

/* What follows an application's name in its entry symbol. */
#define APP_ENTRY_SUFFIX "_main"

#define APP_NUMBER_MAX 1000000000u

/*
 * The decimal argument `index`, or `otherwise` if there is none. What is not a number up to
 * APP_NUMBER_MAX is 0.
 */
static inline uint32_t app_number(const struct app_arguments *arguments, int index,
                                  uint32_t otherwise)
{
    if (index >= arguments->count) {
        return otherwise;
    }
    uint64_t number = 0;
    const char *at = arguments->values[index];
    for (; *at >= '0' && *at <= '9' && number <= APP_NUMBER_MAX; at++) {
        number = number * 10 + (uint64_t)(*at - '0');
    }
    return *at == '\0' && number <= APP_NUMBER_MAX ? (uint32_t)number : 0;
}
