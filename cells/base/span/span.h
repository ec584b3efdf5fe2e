/* SPDX-License-Identifier: MIT */
/*
 * span.h - a checked, read-only view of bytes.
 *
 * Why: everything that reads foreign bytes (ELF, archives, firmware tables) goes through a span, so
 * that no offset or length from the outside is ever added to a pointer unchecked.
 *
 * Rules: a span borrows; it never owns. Offsets and lengths are bytes. No function here can
 * overflow, whatever the arguments. Any context; no state.
 */
#pragma once

#include "cell.h"

struct span {
    const uint8_t *base; /* may be NULL only when size is 0 */
    size_t size;
};

static inline struct span span_of(const void *base, size_t size)
{
    return (struct span){.base = base, .size = size};
}

/* Do `length` bytes at `offset` lie inside? */
static inline bool span_holds(struct span span, uint64_t offset, uint64_t length)
{
    return offset <= span.size && length <= span.size - offset;
}

/* The bytes at `offset`, or NULL when `length` of them do not lie inside. No alignment is promised.
 */
static inline const void *span_at(struct span span, uint64_t offset, uint64_t length)
{
    return span_holds(span, offset, length) ? span.base + offset : NULL;
}

/* Narrows `span` to `length` bytes at `offset`. False, and *out unchanged, when they lie outside.
 */
static inline bool span_slice(struct span span, uint64_t offset, uint64_t length, struct span *out)
{
    if (!span_holds(span, offset, length)) {
        return false;
    }
    *out = (struct span){.base = span.base + offset, .size = (size_t)length};
    return true;
}

/* The NUL-terminated string at `offset`, or NULL when it starts outside or does not end inside. */
static inline const char *span_string(struct span span, uint64_t offset)
{
    if (offset >= span.size) {
        return NULL;
    }
    const uint8_t *start = span.base + offset;
    return __builtin_memchr(start, 0, span.size - (size_t)offset) ? (const char *)start : NULL;
}

static inline bool span_equal(struct span a, struct span b)
{
    return a.size == b.size && (a.size == 0 || __builtin_memcmp(a.base, b.base, a.size) == 0);
}
