/* SPDX-License-Identifier: MIT */
/*
 * cell_writer.h - makes a cell, and the debugger's side file, of a compiler's object.
 *
 * Why: what reaches the running system is code, data, symbols, relocations and three notes; what a
 * debugger needs stays behind, in a file with the same section names.
 *
 * The cell:
 *  - keeps the allocated sections in their order, with their relocations, and `.cell.*`; debug
 *    sections, `.comment`, `.note.GNU-stack`, `.note.gnu.property` and empty sections that nothing
 *    names are gone;
 *  - has no mergeable sections: SHF_MERGE and SHF_STRINGS are cleared, bytes stay where they are;
 *  - keeps the symbols that lie in kept sections or that kept relocations use. Hidden globals
 *    become local, and local symbols come first (ELF gABI, Symbol Table);
 *  - has `.cell.info`, `.cell.unwind` and `.cell.abi`, not allocated.
 * The side file keeps everything, except that allocated sections other than .eh_frame lose their
 * bytes and relocations.
 *
 * Rules: equal input gives equal bytes.
 */
#pragma once

#include "bytes.h"
#include "elf_object.h"

/* Appends the cell to `cell` and the side file to `debug` (NULL: none wanted). */
MUST_CHECK enum status cell_write(const struct elf_object *object, struct bytes *cell,
                                  struct bytes *debug, struct problem *problem);
