/* SPDX-License-Identifier: MIT */
/*
 * cell_info.h - reads what a cell says about itself.
 *
 * Why: the `CELL()` line of a source becomes the note .cell.info of its object: NUL-terminated
 * `key=value` strings, the first of which is `format=1`. docs/cell-format.md is the specification.
 *
 * Rules: pure; the strings of the result lie in the object's bytes. Keys that are not known are
 * passed over, so that later versions can add some. Any context.
 */
#pragma once

#include "elf_object.h"

struct diag;

#define CELL_INFO_NAME_SIZE 40 /* bytes with the NUL; cellpack refuses longer names */

struct cell_info {
    const char *name;
    const char *version;
    const char *kind;
    const char *summary;
    const char *interface; /* NULL where the cell implements none but its own */
};

/* Parses the note's bytes. C0140 names the offset at which it stopped making sense. */
CELL_API MUST_CHECK enum status cell_info_parse(struct span note, struct cell_info *out_info,
                                                struct diag *diag);

/* Finds and parses the note of an object. C0140 also where there is none. */
CELL_API MUST_CHECK enum status cell_info_read(const struct elf_object *object,
                                               struct cell_info *out_info, struct diag *diag);
