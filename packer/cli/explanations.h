/* SPDX-License-Identifier: MIT */
/*
 * explanations.h - the long text of every error code.
 *
 * Why: an error message has four lines; what it means, where it usually comes from and what to do
 * next needs more. Each code of DIAG_TABLE and PROBLEM_TABLE has one explanation, by name: a code
 * without one does not compile.
 */
#pragma once

#include "cli.h"

struct explanation {
    const char *meaning;
    const char *cause;   /* the usual one */
    const char *next;    /* what to do */
    const char *example; /* a command or lines of source */
};

struct explained_code {
    unsigned code;
    const char *name; /* "ELF_MAGIC" */
    const char *rule;
    const struct explanation *explanation;
};

/* All codes in ascending order; the last one has code 0. */
const struct explained_code *explained_codes(void);
