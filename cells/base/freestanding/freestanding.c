/* SPDX-License-Identifier: MIT */
/*
 * Bytes are moved in words of 8, unaligned where need be: x86 does not mind. A piece of 8 to 31
 * bytes is two or four words that may overlap in the middle, so no loop over single bytes is
 * needed.
 *
 * From BULK_SIZE on, `rep movsq` and `rep stosq` do the work: one instruction a word, where the
 * best loop needs more than two. The byte forms are never used: emulators count, and some
 * processors take, one step a byte. Copies that overlap are rare and use plain loops.
 *
 * Without the pragma GCC would recognise these loops and turn them into calls to themselves.
 */
#if __STDC_HOSTED__
    #include "freestanding_hosted.h"
#endif
#include "freestanding.h"

#pragma GCC optimize("no-tree-loop-distribute-patterns")

CELL(library, "1.0.0");

/* Below it, the start of `rep`, some 30 cycles on real processors, costs more than it saves. */
#define BULK_SIZE 128

#define WORD_SIZE  sizeof(word_t)
#define LOW_BITS   0x0101010101010101u
#define HIGH_BITS  0x8080808080808080u
#define PAGE_BYTES 4096u

typedef uint64_t __attribute__((may_alias, aligned(1))) word_t;
typedef uint32_t __attribute__((may_alias, aligned(1))) half_t;
typedef uint16_t __attribute__((may_alias, aligned(1))) quarter_t;

/* High bit set in the lowest byte of `word` that is zero; bytes above it may be marked wrongly. */
static inline uint64_t mark_zero_byte(uint64_t word)
{
    return (word - LOW_BITS) & ~word & HIGH_BITS;
}

/* Up to 16 bytes; all is read before anything is written. */
static inline void copy_short(uint8_t *to, const uint8_t *from, size_t size)
{
    if (size >= 8) {
        uint64_t first = *(const word_t *)from;
        uint64_t last = *(const word_t *)(from + size - 8);
        *(word_t *)to = first;
        *(word_t *)(to + size - 8) = last;
    } else if (size >= 4) {
        uint32_t first = *(const half_t *)from;
        uint32_t last = *(const half_t *)(from + size - 4);
        *(half_t *)to = first;
        *(half_t *)(to + size - 4) = last;
    } else if (size >= 2) {
        uint16_t first = *(const quarter_t *)from;
        uint16_t last = *(const quarter_t *)(from + size - 2);
        *(quarter_t *)to = first;
        *(quarter_t *)(to + size - 2) = last;
    } else if (size) {
        *to = *from;
    }
}

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    uint8_t *target = to;
    const uint8_t *source = from;
    if (size <= 16) {
        copy_short(target, source, size);
        return to;
    }
    const uint8_t *source_tail = source + size - 16;
    uint8_t *target_tail = target + size - 16;
    if (size >= BULK_SIZE) {
        size_t words = (size - 1) / 8;
        __asm__ volatile("rep movsq" : "+D"(target), "+S"(source), "+c"(words) : : "memory");
    } else {
        while (source < source_tail) {
            uint64_t first = ((const word_t *)source)[0];
            uint64_t second = ((const word_t *)source)[1];
            ((word_t *)target)[0] = first;
            ((word_t *)target)[1] = second;
            source += 16;
            target += 16;
        }
    }
    ((word_t *)target_tail)[0] = ((const word_t *)source_tail)[0];
    ((word_t *)target_tail)[1] = ((const word_t *)source_tail)[1];
    return to;
}

static void move_up(uint8_t *to, const uint8_t *from, size_t size)
{
    for (; size >= 8; size -= 8) {
        *(word_t *)(to + size - 8) = *(const word_t *)(from + size - 8);
    }
    while (size) {
        size--;
        to[size] = from[size];
    }
}

static void move_down(uint8_t *to, const uint8_t *from, size_t size)
{
    for (; size >= 8; size -= 8) {
        *(word_t *)to = *(const word_t *)from;
        to += 8;
        from += 8;
    }
    for (size_t i = 0; i < size; i++) {
        to[i] = from[i];
    }
}

void *memmove(void *to, const void *from, size_t size)
{
    size_t up = (uintptr_t)to - (uintptr_t)from; /* huge when `to` lies below */
    size_t down = (uintptr_t)from - (uintptr_t)to;
    if (size <= 16) {
        copy_short(to, from, size);
    } else if (up >= size && down >= size) {
        memcpy(to, from, size);
    } else if (up < size) {
        move_up(to, from, size);
    } else {
        move_down(to, from, size);
    }
    return to;
}

void *memset(void *to, int byte, size_t size)
{
    uint8_t *target = to;
    uint64_t word = (uint8_t)byte * LOW_BITS;
    if (size < 8) {
        for (size_t i = 0; i < size; i++) {
            target[i] = (uint8_t)word;
        }
        return to;
    }
    uint8_t *tail = target + size - 8;
    if (size >= BULK_SIZE) {
        size_t words = (size - 1) / 8;
        __asm__ volatile("rep stosq" : "+D"(target), "+c"(words) : "a"(word) : "memory");
    } else {
        for (; target < tail; target += 8) {
            *(word_t *)target = word;
        }
    }
    *(word_t *)tail = word;
    return to;
}

static inline int order_words(uint64_t left, uint64_t right)
{
    left = __builtin_bswap64(left);
    right = __builtin_bswap64(right);
    return left < right ? -1 : left > right;
}

int memcmp(const void *left, const void *right, size_t size)
{
    const uint8_t *l = left;
    const uint8_t *r = right;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t a = *(const word_t *)(l + i);
        uint64_t b = *(const word_t *)(r + i);
        if (a != b) {
            return order_words(a, b);
        }
    }
    for (; i < size; i++) {
        if (l[i] != r[i]) {
            return l[i] - r[i];
        }
    }
    return 0;
}

void *memchr(const void *bytes, int byte, size_t size)
{
    const uint8_t *start = bytes;
    uint64_t pattern = (uint8_t)byte * LOW_BITS;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t mark = mark_zero_byte(*(const word_t *)(start + i) ^ pattern);
        if (mark) {
            return (void *)(start + i + (size_t)__builtin_ctzll(mark) / 8);
        }
    }
    for (; i < size; i++) {
        if (start[i] == (uint8_t)byte) {
            return (void *)(start + i);
        }
    }
    return NULL;
}

/* Reads whole aligned words: past the terminator, but never into another page. */
__attribute__((no_sanitize("address"))) size_t strlen(const char *text)
{
    const char *at = text;
    while ((uintptr_t)at % WORD_SIZE) {
        if (!*at) {
            return (size_t)(at - text);
        }
        at++;
    }
    uint64_t mark = mark_zero_byte(*(const word_t *)at);
    while (!mark) {
        at += WORD_SIZE;
        mark = mark_zero_byte(*(const word_t *)at);
    }
    return (size_t)(at - text) + (size_t)__builtin_ctzll(mark) / 8;
}

/* Two words may be read where neither can reach into another page. */
static inline bool words_stay_in_page(const char *left, const char *right)
{
    return (uintptr_t)left % PAGE_BYTES <= PAGE_BYTES - WORD_SIZE &&
           (uintptr_t)right % PAGE_BYTES <= PAGE_BYTES - WORD_SIZE;
}

__attribute__((no_sanitize("address"))) int strcmp(const char *left, const char *right)
{
    while (words_stay_in_page(left, right)) {
        uint64_t a = *(const word_t *)left;
        uint64_t b = *(const word_t *)right;
        if (a != b || mark_zero_byte(a)) {
            break; /* the byte that decides is one of these */
        }
        left += WORD_SIZE;
        right += WORD_SIZE;
    }
    while (*left && *left == *right) {
        left++;
        right++;
    }
    return (uint8_t)*left - (uint8_t)*right;
}

int strncmp(const char *left, const char *right, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (left[i] != right[i] || !left[i]) {
            return (uint8_t)left[i] - (uint8_t)right[i];
        }
    }
    return 0;
}
