/* SPDX-License-Identifier: MIT */
/*
 * Names are those of RFC 7693: h is the chain, m the message block, v the working vector, t the
 * offset counter. The counter is 64 bits wide here: 2^64 bytes are more than there are.
 */
#include "blake2b.h"

CELL(library, "1.0.0");

#define ROUNDS 12

static const uint64_t initial[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

/* RFC 7693, section 2.7; rounds 10 and 11 begin anew. */
static const uint8_t sigma[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static uint64_t rotate(uint64_t value, unsigned count)
{
    return value >> count | value << (64 - count);
}

static void mix(uint64_t v[16], const uint8_t at[4], uint64_t x, uint64_t y)
{
    uint64_t a = v[at[0]] + v[at[1]] + x;
    uint64_t d = rotate(v[at[3]] ^ a, 32);
    uint64_t c = v[at[2]] + d;
    uint64_t b = rotate(v[at[1]] ^ c, 24);
    a += b + y;
    d = rotate(d ^ a, 16);
    c += d;
    b = rotate(b ^ c, 63);
    v[at[0]] = a;
    v[at[1]] = b;
    v[at[2]] = c;
    v[at[3]] = d;
}

static void compress(struct blake2b *state, const uint8_t *block, bool is_last)
{
    static const uint8_t lanes[8][4] = {{0, 4, 8, 12},  {1, 5, 9, 13},  {2, 6, 10, 14},
                                        {3, 7, 11, 15}, {0, 5, 10, 15}, {1, 6, 11, 12},
                                        {2, 7, 8, 13},  {3, 4, 9, 14}};
    uint64_t v[16];
    uint64_t m[16];
    __builtin_memcpy(m, block, sizeof(m));
    __builtin_memcpy(v, state->chain, sizeof(state->chain));
    __builtin_memcpy(v + 8, initial, sizeof(initial));
    v[12] ^= state->count;
    v[14] = is_last ? ~v[14] : v[14];
    for (unsigned round = 0; round < ROUNDS; round++) {
        const uint8_t *s = sigma[round % 10];
        for (unsigned lane = 0; lane < 8; lane++) {
            mix(v, lanes[lane], m[s[2 * lane]], m[s[2 * lane + 1]]);
        }
    }
    for (unsigned i = 0; i < 8; i++) {
        state->chain[i] ^= v[i] ^ v[i + 8];
    }
}

void blake2b_begin(struct blake2b *state)
{
    __builtin_memcpy(state->chain, initial, sizeof(initial));
    state->chain[0] ^= 0x01010000 | BLAKE2B_DIGEST; /* fanout 1, depth 1, no key */
    state->count = 0;
    state->used = 0;
}

/* A full block is compressed when more follows: the last one is marked as such. */
void blake2b_add(struct blake2b *state, const void *bytes, size_t size)
{
    const uint8_t *from = bytes;
    while (size > 0) {
        if (state->used == BLAKE2B_BLOCK) {
            compress(state, state->block, false);
            state->used = 0;
        }
        if (state->used == 0 && size > BLAKE2B_BLOCK) {
            state->count += BLAKE2B_BLOCK;
            compress(state, from, false);
            from += BLAKE2B_BLOCK;
            size -= BLAKE2B_BLOCK;
            continue;
        }
        size_t room = BLAKE2B_BLOCK - state->used;
        size_t part = size < room ? size : room;
        __builtin_memcpy(state->block + state->used, from, part);
        state->used += part;
        state->count += part;
        from += part;
        size -= part;
    }
}

void blake2b_end(struct blake2b *state, struct blake2b_digest *out_digest)
{
    __builtin_memset(state->block + state->used, 0, BLAKE2B_BLOCK - state->used);
    compress(state, state->block, true);
    __builtin_memcpy(out_digest->bytes, state->chain, BLAKE2B_DIGEST);
}
