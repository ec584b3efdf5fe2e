/* SPDX-License-Identifier: MIT */
/*
 * cell_hash.h - names a cell by what it does: a hash of its content.
 *
 * Why: a build that differs only in line numbers, paths or the order of functions changes nothing
 * in a running system. Who says which cells an evolution expects, and which it leaves alone, needs
 * a name for them that is equal exactly then; cellpack and the kernel compute it with this source.
 *
 * Rules: pure; borrows the object (elf_object.h), and scratch memory from the caller. Hashes of
 * objects that differ in what counts differ, as BLAKE2b has no known collisions. O(n log n) in
 * sections, symbols and relocations where no two sections have one name, at most CELL_HASH_ROUNDS
 * times that otherwise. Any context.
 *
 * What counts: of each loaded section name, type, flags, alignment, size, bytes, and of each
 * relocation its offset, type, addend and target: a name where that is undefined or exported, else
 * its section and the offset there; of each symbol but those of sections and files name, type,
 * binding, size and place; of each FDE its bytes, its CIE's and its relocations; each row of
 * .cell.abi; each other note `.cell.*` but .cell.unwind, which follows from the rest. What does
 * not: the order of all these; debug information; names of source files; sections named
 * .rodata.cellloc*, which hold source locations (cell.h), and what a reference to them adds.
 *
 * docs/decisions/0017-change-hash.md says why it is like that.
 */
#pragma once

#include "blake2b.h"
#include "elf_object.h"

#define CELL_HASH_ROUNDS 8 /* sections of one name are told apart by what they lead to, so deep */

enum cell_hash_scope {
    CELL_HASH_CONTENT,
    CELL_HASH_BODY, /* without .cell.info: equal also where name, version or summary are others */
};

/* How many bytes of scratch memory, aligned to 8, an object takes. */
CELL_API size_t cell_hash_scratch_size(const struct elf_object *object);

CELL_API void cell_hash_of(const struct elf_object *object, enum cell_hash_scope scope,
                           void *scratch, struct blake2b_digest *out_hash);

/* Is it a section of source locations, which do not count? */
CELL_API bool cell_hash_leaves_out(const char *section);
