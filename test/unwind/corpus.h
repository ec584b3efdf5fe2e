/* SPDX-License-Identifier: MIT */
/*
 * corpus.h - functions to single-step through. They call nothing but each other.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#define NOINLINE __attribute__((noinline))

typedef long (*corpus_call)(long argument);

struct corpus_function {
    const char *name;
    corpus_call call;
};

/* Both end with an empty row. */
extern const struct corpus_function generated[];
extern const struct corpus_function handwritten[];

/* Calls that the generated functions may still make. */
extern long corpus_fuel;

/* The same function; the compiler does not know. */
corpus_call corpus_pointer(corpus_call function);

__attribute__((noreturn, cold)) void corpus_never(long value);
