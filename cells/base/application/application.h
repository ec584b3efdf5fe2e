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
