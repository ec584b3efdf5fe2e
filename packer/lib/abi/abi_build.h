/* SPDX-License-Identifier: MIT */
/*
 * abi_build.h - makes `.cell.abi` of an object's debug information.
 *
 * Why: DWARF is the one place where an object says how its sources declare what they export and
 * what they import. It says so at length; canonical texts (docs/cell-format.md, Texts) say it once,
 * in a form that two compilers, two sets of typedefs and two folders agree on.
 *
 * Rules: what DWARF does not describe in C (assembly, aliases, other languages) gets no row. Equal
 * input gives equal bytes. Malformed debug information counts as none, as far as libdw notices. Any
 * object, not only ours.
 */
#pragma once

#include "bytes.h"
#include "cell_abi.h"
#include "elf_object.h"

/*
 * Appends the section to `out`. `new_symbols` maps the object's symbols to those of the cell, 0 for
 * what is left out; NULL: the object is the cell. C0425 where two sources of the cell contradict
 * each other.
 */
MUST_CHECK enum status abi_build(const struct elf_object *object, const uint32_t *new_symbols,
                                 struct bytes *out, struct problem *problem);

/*
 * What an object states in .cell.abi, checked; or, where it has no such section, what abi_build()
 * finds. `storage`,
 * `{0}` at first, holds that as long as *out_abi is used, and is the caller's to release.
 */
MUST_CHECK enum status abi_open(const struct elf_object *object, struct bytes *storage,
                                struct cell_abi *out_abi, struct problem *problem);
