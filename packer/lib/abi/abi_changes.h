/* SPDX-License-Identifier: MIT */
/*
 * abi_changes.h - what changed between two versions of a cell: exports, static variables, layouts.
 *
 * Rules: pure. Every part that differs is a change of its own: each parameter, each field. Fields
 * and enumerators are matched by name. A type of which one version knows the name only has not
 * changed.
 */
#pragma once

#include "abi_check.h"

enum abi_subject { ABI_EXPORT, ABI_VARIABLE, ABI_TYPE, ABI_PRIVATE_TYPE };

/* Texts are valid during the call. */
struct abi_change {
    enum abi_subject subject;
    char mark;        /* '+', '-' or '~' */
    const char *name; /* the symbol's, the variable's, the type's */
    char part[128];   /* "parameter 2", "result", "field id", "size", "type"; empty for a whole */
    struct span old;  /* empty for '+' */
    struct span new;  /* empty for '-' */
};

typedef void (*abi_change_visitor)(void *context, const struct abi_change *change);

/* Returns the number of changes. */
size_t abi_find_changes(const struct abi_party *old, const struct abi_party *new,
                        abi_change_visitor visit, void *context);

/* Could a cell that was built against the old version not be linked with the new one? */
bool abi_change_is_incompatible(const struct abi_change *change);

/* "export", "variable", "type", "private type" */
const char *abi_subject_name(enum abi_subject subject);
