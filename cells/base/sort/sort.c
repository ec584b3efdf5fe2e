/* SPDX-License-Identifier: MIT */
#include "sort.h"

CELL(library, "1.1.0");

#define DIGIT_COUNT 256u
#define DIGITS_FROM 96u /* keys; below that the table of digits costs more than it saves */
#define FEW_DIGITS  4u  /* passes; more cost as much as merging */

struct heap {
    uint8_t *base;
    size_t size;
    bool (*comes_before)(const void *a, const void *b);
};

static uint8_t *element(const struct heap *heap, size_t index)
{
    return heap->base + index * heap->size;
}

/* Moves the element at `root` down until none of its children, below `count`, belongs behind it. */
static void sift_down(const struct heap *heap, size_t root, size_t count)
{
    uint8_t moving[SORT_MAX_ELEMENT];
    __builtin_memcpy(moving, element(heap, root), heap->size);
    for (size_t child = 2 * root + 1; child < count; child = 2 * root + 1) {
        if (child + 1 < count &&
            heap->comes_before(element(heap, child), element(heap, child + 1))) {
            child++;
        }
        if (!heap->comes_before(moving, element(heap, child))) {
            break;
        }
        __builtin_memcpy(element(heap, root), element(heap, child), heap->size);
        root = child;
    }
    __builtin_memcpy(element(heap, root), moving, heap->size);
}

static bool is_sorted(const struct heap *heap, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (heap->comes_before(element(heap, i), element(heap, i - 1))) {
            return false;
        }
    }
    return true;
}

void sort_array(void *array, size_t count, size_t size,
                bool (*comes_before)(const void *a, const void *b))
{
    const struct heap heap = {.base = array, .size = size, .comes_before = comes_before};
    if (is_sorted(&heap, count)) {
        return;
    }
    for (size_t i = count / 2; i > 0; i--) {
        sift_down(&heap, i - 1, count);
    }
    for (size_t end = count - 1; end > 0; end--) {
        uint8_t last[SORT_MAX_ELEMENT];
        __builtin_memcpy(last, element(&heap, end), size);
        __builtin_memcpy(element(&heap, end), element(&heap, 0), size);
        __builtin_memcpy(element(&heap, 0), last, size);
        sift_down(&heap, 0, end);
    }
}

/* The end of the ascending run that starts at `start`, which is below `count`. */
static size_t run_end(const uint64_t *keys, size_t start, size_t count)
{
    size_t end = start + 1;
    while (end < count && keys[end - 1] <= keys[end]) {
        end++;
    }
    return end;
}

/* Merges each two neighbouring runs of `from` into one of `to`; says how many are left. */
static size_t merge_runs(const uint64_t *from, uint64_t *to, size_t count)
{
    size_t runs = 0;
    for (size_t start = 0; start < count; runs++) {
        size_t middle = run_end(from, start, count);
        size_t end = middle < count ? run_end(from, middle, count) : middle;
        size_t left = start;
        size_t right = middle;
        for (size_t i = start; i < end; i++) {
            bool takes_left = right == end || (left < middle && from[left] <= from[right]);
            to[i] = takes_left ? from[left++] : from[right++];
        }
        start = end;
    }
    return runs;
}

static void merge(uint64_t *keys, uint64_t *scratch, size_t count)
{
    uint64_t *from = keys;
    uint64_t *to = scratch;
    size_t runs;
    do {
        runs = merge_runs(from, to, count);
        uint64_t *merged = to;
        to = from;
        from = merged;
    } while (runs > 1);
    if (from != keys) {
        __builtin_memcpy(keys, from, count * sizeof(*keys));
    }
}

/* Distributes `from` over `to` by the digit at bit `shift`, keeping the order of equal ones. */
static void distribute(const uint64_t *from, uint64_t *to, size_t count, unsigned shift)
{
    uint32_t next[DIGIT_COUNT] = {0}; /* where the next one of that digit goes */
    for (size_t i = 0; i < count; i++) {
        next[from[i] >> shift & (DIGIT_COUNT - 1)]++;
    }
    uint32_t before = 0;
    for (uint32_t digit = 0; digit < DIGIT_COUNT; digit++) {
        uint32_t here = next[digit];
        next[digit] = before;
        before += here;
    }
    for (size_t i = 0; i < count; i++) {
        to[next[from[i] >> shift & (DIGIT_COUNT - 1)]++] = from[i];
    }
}

/* Bits in which not all keys are equal. */
static uint64_t differing_bits(const uint64_t *keys, size_t count)
{
    uint64_t differing = 0;
    for (size_t i = 1; i < count; i++) {
        differing |= keys[i] ^ keys[0];
    }
    return differing;
}

/* Takes the lowest digit that matters out of `*bits`, and returns where it starts. */
static unsigned take_digit(uint64_t *bits)
{
    unsigned shift = (unsigned)__builtin_ctzll(*bits);
    *bits &= ~((uint64_t)(DIGIT_COUNT - 1) << shift);
    return shift;
}

static bool has_few_digits(uint64_t bits)
{
    for (unsigned i = 0; bits && i < FEW_DIGITS; i++) {
        take_digit(&bits);
    }
    return bits == 0;
}

/* By the lowest digit first. */
static void sort_by_digits(uint64_t *keys, uint64_t *scratch, size_t count, uint64_t differing)
{
    uint64_t *from = keys;
    uint64_t *to = scratch;
    while (differing) {
        distribute(from, to, count, take_digit(&differing));
        uint64_t *sorted = to;
        to = from;
        from = sorted;
    }
    if (from != keys) {
        __builtin_memcpy(keys, from, count * sizeof(*keys));
    }
}

void sort_keys(uint64_t *keys, uint64_t *scratch, size_t count)
{
    sort_keys_above(keys, scratch, count, 0);
}

/* Merging compares whole keys, which is right for the upper bits, too. */
void sort_keys_above(uint64_t *keys, uint64_t *scratch, size_t count, unsigned lowest)
{
    if (count == 0 || run_end(keys, 0, count) == count) {
        return;
    }
    uint64_t differing = count >= DIGITS_FROM ? differing_bits(keys, count) : UINT64_MAX;
    differing &= UINT64_MAX << lowest;
    if (has_few_digits(differing) && count <= UINT32_MAX) {
        sort_by_digits(keys, scratch, count, differing);
    } else {
        merge(keys, scratch, count);
    }
}
