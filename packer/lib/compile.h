/* SPDX-License-Identifier: MIT */
/*
 * compile.h - from the sources of one cell to the cell.
 *
 * Why: every cell is compiled with the same flags; linking at run time, unwinding from any
 * instruction and reproducible bytes rest on them. What comes out has passed the gate: the kernel's
 * own reader accepts it, and its note says what the build asked for.
 *
 * Rules: several sources are joined by `ld -r`. Paths in the object are made relative to the
 * current folder. All outputs are written at the end or not at all.
 */
#pragma once

#include "bytes.h"
#include "progress.h"

struct compile_request {
    const char *name;
    const char *summary;
    const char *interface;       /* or NULL */
    bool debug_profile;          /* -Og instead of -O2, and PROFILE_DEBUG is defined */
    bool colour;                 /* in the compiler's messages */
    const char *output;          /* the cell */
    const char *debug;           /* the side file, or NULL */
    const char *depfile;         /* or NULL */
    const char *const *includes; /* folders; these lists end with NULL */
    const char *const *defines;  /* NAME or NAME=value */
    const char *const *sources;  /* .c and .S */
    progress_report progress;    /* or NULL */
};

struct compile_result {
    size_t object_size; /* bytes, with debug information */
    size_t cell_size;
    struct bytes remarks; /* what the compiler said though it succeeded; not terminated */
};

/* On success the caller releases `remarks`. */
MUST_CHECK enum status compile_cell(const struct compile_request *request,
                                    struct compile_result *out_result, struct problem *problem);

/* The flags that every cell is compiled with, without optimisation; ends with NULL. */
const char *const *compile_flags(void);
