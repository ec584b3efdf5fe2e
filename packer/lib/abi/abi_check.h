/* SPDX-License-Identifier: MIT */
/*
 * abi_check.h - do all cells of a bundle declare what they share alike?
 *
 * Why: the kernel compares the cells that it links; here all are compared, also those that need
 * each other only through a third, or in another choice of implementations.
 *
 * Rules: pure. Implementations of one interface are alternatives, which never meet: they are not
 * compared with each other, but each with every user. O(n log n) in rows, and quadratic only in
 * what differs.
 */
#pragma once

#include "cell_abi.h"
#include "diag.h"

struct abi_party {
    const char *name;
    const char *interface; /* or NULL */
    const struct elf_object *object;
    struct cell_abi abi;
};

struct abi_conflict {
    enum diag_code code; /* DIAG_LINK_SIGNATURE or DIAG_LINK_TYPE */
    const struct abi_party *mine;
    const struct abi_party *theirs;
    struct span what; /* the symbol's or the type's name */
    const char *my_text;
    const char *their_text;
};

typedef void (*abi_conflict_visitor)(void *context, const struct abi_conflict *conflict);

/* Calls `visit` with each conflict, in the order of parties. ERR_NO_MEMORY. */
MUST_CHECK enum status abi_check(const struct abi_party *parties, size_t count,
                                 abi_conflict_visitor visit, void *context);

/* Do both state the same interface? */
bool abi_are_alternatives(const struct abi_party *a, const struct abi_party *b);

/* `parameter 2: u32 in shell, u64 in heap` */
void abi_conflict_format(const struct abi_conflict *conflict, char *buffer, size_t size);
