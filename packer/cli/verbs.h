/* SPDX-License-Identifier: MIT */
/*
 * verbs.h - the table of verbs, in the order in which `cellpack help` shows them.
 *
 * A new verb: one file verb_<name>.c that defines `const struct verb verb_<name>`, one line here,
 * one manual page man/cellpack-<name>.1.scd.
 */
#pragma once

#include "cli.h"

/* X(name) */
#define VERB_TABLE(X) \
    X(compile)        \
    X(pack)           \
    X(link)           \
    X(image)          \
    X(check)          \
    X(ls)             \
    X(info)           \
    X(sym)            \
    X(tree)           \
    X(why)            \
    X(graph)          \
    X(size)           \
    X(spill)          \
    X(abi)            \
    X(type)           \
    X(diff)           \
    X(unwind)         \
    X(where)          \
    X(explain)        \
    X(completion)     \
    X(help)           \
    X(words)

#define VERB_DECLARE_(name) extern const struct verb verb_##name;
VERB_TABLE(VERB_DECLARE_)
#undef VERB_DECLARE_
