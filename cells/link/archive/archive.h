/* SPDX-License-Identifier: MIT */
/*
 * archive.h - reads ar archives and their symbol index.
 *
 * Why: the bundle of cells is an ordinary `ar` archive in System V (GNU) format, so that `ar`, `nm`
 * and `objdump` work on it. Its symbol index says which member defines a symbol, which is all that
 * loading on demand needs.
 *
 * Rules: pure; borrows the bytes. Opening checks the magic and the index; each member is checked
 * when it is read, so that one damaged member does not take the others with it. Any context.
 */
#pragma once

#include "span.h"
#include "status.h"

struct diag;

struct archive {
    struct span file;
    struct span long_names;    /* member "//" */
    struct span index_offsets; /* member "/": big-endian 32-bit offsets of members, ... */
    struct span index_names;   /* ... and their NUL-terminated names, in the same order */
    uint64_t first_member;     /* file offset of the first member that is neither */
};

#define ARCHIVE_NAME_SIZE 64 /* bytes with the NUL: names of cells are shorter than this */

struct archive_member {
    char name[ARCHIVE_NAME_SIZE]; /* without the trailing slash */
    struct span data;
    uint64_t offset; /* file offset of the member's header, as the index gives it */
    uint64_t next;   /* file offset of the next member's header */
};

/* A walk over the index: start with {0}. */
struct archive_cursor {
    uint64_t entry;
    uint64_t name_offset;
};

/* An archive without an index, or with a malformed one, is refused: C0305. */
CELL_API MUST_CHECK enum status archive_open(struct span file, struct archive *out_archive,
                                             struct diag *diag);

/*
 * The member whose header is at file offset `offset`. ERR_NOT_FOUND, without a diag, at the end of
 * the archive; other errors name the member as far as it has a name.
 */
CELL_API MUST_CHECK enum status archive_member_at(const struct archive *archive, uint64_t offset,
                                                  struct archive_member *out_member,
                                                  struct diag *diag);

/* The next symbol of the index and the offset of the member that defines it; false at the end. */
CELL_API bool archive_index_next(const struct archive *archive, struct archive_cursor *cursor,
                                 const char **out_symbol, uint64_t *out_member_offset);

/* How many symbols the index has. */
static inline uint64_t archive_index_count(const struct archive *archive)
{
    return archive->index_offsets.size / 4;
}
