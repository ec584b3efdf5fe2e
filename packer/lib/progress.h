/* SPDX-License-Identifier: MIT */
/*
 * progress.h - tells whoever waits which step of how many has begun.
 *
 * Why: the library does not print. Work that may take seconds reports its steps; the command line
 * shows them on a terminal, tests and other callers leave it out.
 */
#pragma once

#include <stddef.h>

/* `what` is a short text, "compile heap.c"; `step` counts from 1 to `total`. */
typedef void (*progress_report)(size_t step, size_t total, const char *what);

static inline void progress_step(progress_report listener, size_t step, size_t total,
                                 const char *what)
{
    if (listener) {
        listener(step, total, what);
    }
}
