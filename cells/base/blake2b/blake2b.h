/* SPDX-License-Identifier: MIT */
/*
 * blake2b.h - BLAKE2b with 32 bytes of output (RFC 7693), by pieces.
 *
 * Why: cells are named by their content where one build speaks about another (cell_hash.h, the
 * manifests of docs/evolution-format.md). A hash that nobody can forge lets a signature of the
 * short text stand for the long one. `b2sum -l 256` computes the same.
 *
 * Rules: pure; the state is the caller's, and needs no end. No key, no parameters. About 10
 * instructions a byte. Any context.
 */
#pragma once

#include "cell.h"

#define BLAKE2B_BLOCK  128 /* bytes */
#define BLAKE2B_DIGEST 32

struct blake2b_digest {
    uint8_t bytes[BLAKE2B_DIGEST];
};

struct blake2b {
    uint64_t chain[8];
    uint64_t count; /* of bytes that went into the chain, or lie in `block` */
    size_t used;    /* of `block` */
    uint8_t block[BLAKE2B_BLOCK];
};

CELL_API void blake2b_begin(struct blake2b *state);
/* `bytes` may be NULL where `size` is 0. */
CELL_API void blake2b_add(struct blake2b *state, const void *bytes, size_t size);
/* The state is used up: begin anew. */
CELL_API void blake2b_end(struct blake2b *state, struct blake2b_digest *out_digest);

static inline void blake2b_of(const void *bytes, size_t size, struct blake2b_digest *out_digest)
{
    struct blake2b state;
    blake2b_begin(&state);
    blake2b_add(&state, bytes, size);
    blake2b_end(&state, out_digest);
}
