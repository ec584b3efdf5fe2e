/* SPDX-License-Identifier: MIT */
/*
 * format.h - formatted text into a bounded buffer.
 *
 * Why: everything that people read is made here, in a panic too: it neither allocates nor locks nor
 * can overrun, and GCC checks the arguments of each call against the format.
 *
 * Rules: as printf of ISO C, for %d %i %u %x %X %o %c %s %p %% with the flags `-0+ #`, width,
 * precision,
 * `*`, and the lengths hh h l ll z j t. No floating point, no %n, no positional arguments: what is
 * not a conversion of this list is copied as it stands. %p is %#lx; %s of NULL is "(null)". Widths
 * and precisions are cut at FORMAT_WIDTH_MAX. Any context; no state.
 */
#pragma once

#include "cell.h"

#include <stdarg.h>

/* So that a wild `*` argument cannot keep a CPU busy for seconds with writing spaces. */
#define FORMAT_WIDTH_MAX 4096

/* Text that grows at its end. Initialised by format_buffer_of(). */
struct format_buffer {
    char *data;    /* terminated at all times, unless size is 0 */
    size_t size;   /* of data, with the terminator */
    size_t length; /* that the whole text needs; size or more when it was cut */
};

/* An empty text in `size` bytes at `data`; with size 0, data may be NULL and lengths are only
 * counted. */
static inline struct format_buffer format_buffer_of(char *data, size_t size)
{
    if (size) {
        data[0] = '\0';
    }
    return (struct format_buffer){.data = data, .size = size, .length = 0};
}

CELL_API void format_append(struct format_buffer *text, const char *format, ...) PRINTF_LIKE(2, 3);
CELL_API void format_append_list(struct format_buffer *text, const char *format, va_list list)
    PRINTF_LIKE(2, 0);

/* Appends `length` bytes as they are. */
CELL_API void format_append_bytes(struct format_buffer *text, const char *bytes, size_t length);

/* snprintf: writes at most `size` bytes with the terminator, returns the length of the whole text.
 */
CELL_API size_t format_into(char *data, size_t size, const char *format, ...) PRINTF_LIKE(3, 4);

/* Was the text cut? */
static inline bool format_was_cut(const struct format_buffer *text)
{
    return text->length >= text->size;
}

/* Bytes that are in the buffer, without the terminator. */
static inline size_t format_held(const struct format_buffer *text)
{
    if (!format_was_cut(text)) {
        return text->length;
    }
    return text->size ? text->size - 1 : 0;
}
