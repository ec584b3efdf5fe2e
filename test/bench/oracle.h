/* SPDX-License-Identifier: MIT */
/*
 * oracle.h - relocates an object a second time, and compares.
 *
 * Why: a fast linker that is wrong is worthless. The oracle reads the object with libelf and shares
 * no line with our linker; it takes from it only where sections were placed.
 *
 * Rules: every loaded byte must be what the oracle computes, with one exception, which it checks:
 * where a field holds the address of an entry, the entry's jump must lead to what the field would
 * hold otherwise, and the field must not be the operand of a direct branch.
 */
#pragma once

#include "cell_metadata.h"

/* What the linker made of one object. */
struct oracle_case {
    const char *name; /* for messages */
    struct span file;
    const struct cell *cell;
    uint8_t *const *bytes; /* of the regions */
};

struct oracle {
    struct hsearch_data *names; /* of what objects export, and the kernel */
    uint64_t entries;           /* address and bytes of all entries */
    const uint8_t *entry_bytes;
    uint64_t entry_size;
    uint64_t relocations; /* results: all that were computed */
    uint64_t via_entry;   /* fields that hold an entry instead */
    uint64_t bytes;       /* compared */
    uint64_t differences;
};

/* `count`: at least how many names will be defined. */
void oracle_open(struct oracle *oracle, size_t count);
void oracle_define(struct oracle *oracle, const char *name, uint64_t address);

/* Defines what a kernel module exports: each X for which it has a symbol __ksymtab_X. */
void oracle_define_exports(struct oracle *oracle, const struct oracle_case *module);

/* Relocates and compares; prints the first differences of a module to stderr. */
void oracle_compare(struct oracle *oracle, const struct oracle_case *module);
