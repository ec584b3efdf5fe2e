/* SPDX-License-Identifier: MIT */
/*
 * mutate.h - changes objects and archives where it matters.
 *
 * Why: a random byte of a cell is mostly an instruction, of which the linker knows nothing. These
 * mutations find the headers, sections, symbols, relocations, members and index entries, and change
 * fields to values at the edge: counts, sizes and offsets of the file itself, one more, one less.
 *
 * Rules: works on any bytes; what is neither object nor archive gets plain mutations only. The
 * sequence depends on nothing but the bytes and the state of the random numbers.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Random numbers: the state is any number but 0. */
uint64_t mutate_random(uint64_t *state);
uint64_t mutate_random_below(uint64_t *state, uint64_t limit); /* 0 where the limit is 0 */

/* Applies one mutation in place; the result is at most `capacity` bytes. Returns its size. */
size_t mutate(uint8_t *bytes, size_t size, size_t capacity, uint64_t *random);

/* Replaces a stretch of `bytes` by one of `other`, of the same length. */
void mutate_splice(uint8_t *bytes, size_t size, const uint8_t *other, size_t other_size,
                   uint64_t *random);
