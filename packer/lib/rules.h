/* SPDX-License-Identifier: MIT */
/*
 * rules.h - the rules of a bundle of cells, and who breaks them.
 *
 * Why: what the compiler and the kernel's reader cannot see of one cell by itself shows in the
 * bundle: cycles, missing symbols, exports without a prefix, functions that cannot be unwound.
 *
 * Rules: pure, but for the rule `ownership` and the half of `handles` that needs the sources, which
 * have a file of their own (ownership.h); a finding carries a code of problem.h or diag.h, which
 * `cellpack explain` explains.
 */
#pragma once

#include "model/model.h"

/* X(name, id, what it demands) */
#define RULE_TABLE(X)                                                                              \
    X(READABLE, "readable", "the kernel's reader accepts it: no COMMON, no TLS, no write+execute") \
    X(NOTE, "note", "one CELL() line says what it is")                                             \
    X(PREFIX, "prefix", "exported symbols have the prefix of their cell, interface or handle")     \
    X(UNIQUE, "unique", "a symbol is exported once, or by implementations of one interface")       \
    X(IMPORTS, "imports", "every imported symbol is exported by a cell")                           \
    X(RELOCATIONS, "relocations", "the kernel's linker supports every relocation")                 \
    X(ACYCLIC, "acyclic", "cells do not need each other in a circle")                              \
    X(UNWIND, "unwind", "every function can be unwound, at each of its instructions")              \
    X(STATELESS, "stateless", "applications have no mutable statics")                              \
    X(APPLICATION, "application", "nobody needs an application")                                   \
    X(ABI, "abi", "cells declare alike what they share: symbols, and layouts of types")            \
    X(HANDLES, "handles", "handles are in slots, and are not returned by value")                   \
    X(OWNERSHIP, "ownership", "handles and locks are used as their contracts say")

enum rule {
#define RULE_ENUMERATOR_(name, id, text) RULE_##name,
    RULE_TABLE(RULE_ENUMERATOR_)
#undef RULE_ENUMERATOR_
        RULE_COUNT,
};

struct finding {
    enum rule rule;
    unsigned code;    /* enum problem_code or diag_code */
    const char *cell; /* the cell's, or the rejected object's, name */
    char *where;      /* `cell:section+0x1c` or shorter */
    char *what;
};

struct findings {
    struct finding *list;
    size_t count;
    size_t room;
    bool failed; /* memory was short */
};

/* Checks the cells that are `chosen` (by cell), and all rejects. ERR_NO_MEMORY is the only error.
 */
MUST_CHECK enum status rules_check(const struct model *model, const bool *chosen,
                                   struct findings *out_findings);

/* Adds one; takes over `where`, which may be NULL for lack of memory. */
void findings_add(struct findings *findings, enum rule rule, unsigned code, const char *cell,
                  char *where, const char *format, ...) PRINTF_LIKE(6, 7);
void findings_fini(struct findings *findings);

const char *rule_id(enum rule rule);
const char *rule_text(enum rule rule);
