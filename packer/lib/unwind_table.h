/* SPDX-License-Identifier: MIT */
/*
 * unwind_table.h - the unwind table of an object, as if it had been loaded.
 *
 * Why: in an object an entry says where its code is by a relocation. Here every section gets an
 * address of its own, the table is copied and relocated, and then the kernel's reader (cfi.h) reads
 * it.
 *
 * Rules: the object is borrowed, and must have been opened (elf_object.h). Addresses mean nothing
 * outside; unwind_table_place() turns them back.
 */
#pragma once

#include "cfi.h"
#include "elf_object.h"
#include "problem.h"

struct unwind_table {
    const struct elf_object *object;
    struct cfi_table frame; /* empty where the object has no table */
    uint64_t *addresses;    /* of each section; 0: not loaded */
    uint8_t *bytes;         /* the copy */
};

/* C0412 where a relocation of the table is not understood, C0401. */
MUST_CHECK enum status unwind_table_open(const struct elf_object *object, struct unwind_table *out,
                                         struct problem *problem);
void unwind_table_fini(struct unwind_table *table);

/* Which section `size` bytes at `address` lie in. False if in none. */
bool unwind_table_place(const struct unwind_table *table, uint64_t address, uint64_t size,
                        uint32_t *out_section, uint64_t *out_offset);

/* The symbol of the function that starts there, or NULL. */
const char *unwind_table_function(const struct unwind_table *table, uint32_t section,
                                  uint64_t offset);

/*
 * Does the table follow the stack pointer? Asked of each instruction of a function that moves it by
 * a known number of bytes, or does not move it, where the CFA hangs on rsp before and behind. `fde`
 * has been read from the table. Returns the first place where it does not.
 */
struct unwind_stray {
    uint64_t address; /* of the instruction */
    int64_t moved;    /* bytes that it takes from the stack pointer */
    int64_t told;     /* by how much the table moves the CFA away from it */
};

bool unwind_table_strays(const struct unwind_table *table, const struct cfi_fde *fde,
                         struct unwind_stray *out_stray);
