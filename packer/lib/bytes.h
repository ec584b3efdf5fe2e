/* SPDX-License-Identifier: MIT */
/*
 * bytes.h - a growing array of bytes, and whole files in and out.
 *
 * Why: everything that the packer writes is first built in memory, then written at once.
 *
 * Rules: starts as `{0}`, released by bytes_fini(). Appending never fails at once: a lack of memory
 * is remembered in `failed`, and bytes_check() tells at the end. Files are replaced by rename, so a
 * reader sees the old file or the new one.
 */
#pragma once

#include "problem.h"
#include "span.h"

struct bytes {
    uint8_t *data;
    size_t size;
    size_t capacity;
    bool failed;
};

void bytes_append(struct bytes *bytes, const void *data, size_t size);
void bytes_append_text(struct bytes *bytes, const char *format, ...) PRINTF_LIKE(2, 3);
void bytes_append_string(struct bytes *bytes, const char *text); /* with its NUL */
void bytes_append_fill(struct bytes *bytes, uint8_t value, size_t count);
/* Appends zero bytes up to a multiple of `alignment`, a power of two or 0. */
void bytes_align(struct bytes *bytes, size_t alignment);
void bytes_fini(struct bytes *bytes);

MUST_CHECK enum status bytes_check(const struct bytes *bytes, struct problem *problem);

/* Appends the content of a regular file (or pipe). */
MUST_CHECK enum status bytes_read_file(struct bytes *bytes, const char *path,
                                       struct problem *problem);
MUST_CHECK enum status bytes_write_file(const struct bytes *bytes, const char *path,
                                        struct problem *problem);

static inline struct span bytes_span(const struct bytes *bytes)
{
    return span_of(bytes->data, bytes->size);
}
