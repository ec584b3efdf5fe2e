/* SPDX-License-Identifier: MIT */
/*
 * archive_maker.h - archives for tests: the build's own, and ones made from its cells.
 *
 * Why: a loader is tested with real cells and with what is wrong in one place only. Taking real
 * cells and renaming what they define or need makes both, without a compiler.
 *
 * Rules: renaming keeps lengths, so nothing else in an object moves. What these functions return is
 * released by free(). A failure ends the test.
 */
#pragma once

#include "span.h"

/* A whole file. */
struct span archive_read_file(const char *path);

/* A copy of one cell's object, to be changed. */
struct span archive_copy_cell(struct span archive, const char *cell);

/*
 * Replaces the NUL-terminated string `from`, wherever it stands alone in the object (symbol names,
 * and the name in .cell.info), by `to`, which is as long. It must be there.
 */
void object_rename(struct span object, const char *from, const char *to);

struct archive_maker {
    struct {
        char name[40]; /* of the cell */
        struct span object;
    } members[16];
    size_t count;
};

/* Adds `object` (borrowed) as member `<cell>.cell`. */
void archive_maker_add(struct archive_maker *maker, const char *cell, struct span object);

/* Writes the archive: index of all exports, long names, the members in order. */
struct span archive_maker_write(const struct archive_maker *maker);
