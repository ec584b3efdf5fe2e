/* SPDX-License-Identifier: MIT */
/*
 * elf_tables.h - finds `.eh_frame` in ELF files, and in the files that this process is made of.
 *
 * For tests and benchmarks on the host, with tables that somebody else's compiler made.
 */
#pragma once

#include "cfi.h"
#include "cell_unwind.h"

struct elf_tables {
    struct span file; /* mapped */
    uint8_t *copy;    /* of the table of an object, relocated; else NULL */
    unsigned section; /* its index */
    struct cfi_table frame;
    bool has_frame;
};

/* Maps the file. False, with a message on standard error, if it is no ELF64 file. */
bool elf_tables_open(const char *path, struct elf_tables *out);
void elf_tables_close(struct elf_tables *tables);

/* One file of this process: its code, its table, and rows as cellpack sorts them. */
struct loaded_tables {
    uint64_t start; /* of all its segments */
    uint64_t end;
    struct cfi_table frame;
    struct cell_unwind index; /* offsets count from `start`, section 0 */
};

/* Finds all of them; returns how many. */
size_t loaded_tables_find(struct loaded_tables *out, size_t most);
