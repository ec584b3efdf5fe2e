/* SPDX-License-Identifier: MIT */
/*
 * Linear probing with backward-shift deletion, so there are no tombstones and lookups never slow
 * down. The hash takes eight bytes a step: each is mixed in by a multiplication, whose upper half
 * is folded onto the lower one, so that every byte reaches every bit. The full 32-bit hash is
 * compared before the strings are.
 */
#include "symbol_map.h"

CELL(library, "1.0.0");

#define WORD_SIZE  8u
#define LOW_BITS   0x0101010101010101u
#define HIGH_BITS  0x8080808080808080u
#define PAGE_BYTES 4096u
#define HASH_START 0x9e3779b97f4a7c15u
#define HASH_PRIME 0xd6e8feb86659fd93u

typedef uint64_t __attribute__((may_alias, aligned(1))) word_t;

/* High bit set in the lowest byte of `word` that is zero; bytes above it may be marked wrongly. */
static inline uint64_t mark_zero_byte(uint64_t word)
{
    return (word - LOW_BITS) & ~word & HIGH_BITS;
}

/* The next word of a name, near the end of a page; zeros behind the end of the name. */
COLD NOINLINE static uint64_t gather_word(const char *name)
{
    uint64_t word = 0;
    for (unsigned i = 0; i < WORD_SIZE && name[i]; i++) {
        word |= (uint64_t)(uint8_t)name[i] << 8 * i;
    }
    return word;
}

static inline uint64_t mix(uint64_t hash, uint64_t word)
{
    unsigned __int128 product = (unsigned __int128)(hash ^ word) * HASH_PRIME;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Reads whole words: past the terminator, but never into another page. */
__attribute__((no_sanitize("address"))) uint32_t symbol_map_hash(const char *name)
{
    uint64_t hash = HASH_START;
    for (;; name += WORD_SIZE) {
        uint64_t word = LIKELY((uintptr_t)name % PAGE_BYTES <= PAGE_BYTES - WORD_SIZE)
                            ? *(const word_t *)name
                            : gather_word(name);
        uint64_t end = mark_zero_byte(word);
        if (end) {
            hash = mix(hash, word & (((end & -end) >> 7) - 1)); /* what stands before it */
            return (uint32_t)(hash ^ hash >> 32);
        }
        hash = mix(hash, word);
    }
}

static bool equal(const char *a, const char *b)
{
#pragma GCC unroll 8
    for (; *a == *b; a++, b++) {
        if (!*a) {
            return true;
        }
    }
    return false;
}

static uint32_t home(const struct symbol_map *map, uint32_t hash)
{
    return hash & (map->capacity - 1);
}

/* The slot that holds `name`, or the free one where it belongs. There is always a free slot. */
static uint32_t probe(const struct symbol_map *map, const char *name, uint32_t hash)
{
    uint32_t i = home(map, hash);
    for (; map->slots[i]; i = (i + 1) & (map->capacity - 1)) {
        if (map->slots[i]->hash == hash && equal(map->slots[i]->name, name)) {
            break;
        }
    }
    return i;
}

uint32_t symbol_map_capacity(uint32_t count)
{
    uint32_t capacity = 16;
    while (capacity / 4 * 3 < count && capacity < 1u << 31) {
        capacity *= 2;
    }
    return capacity;
}

void symbol_map_init(struct symbol_map *map, const struct symbol_key **slots, uint32_t capacity,
                     const struct symbol_map *old)
{
    struct symbol_map fresh = {.slots = slots, .capacity = capacity};
    for (uint32_t i = 0; old && i < old->capacity; i++) {
        if (old->slots[i]) {
            symbol_map_insert(&fresh, old->slots[i]);
        }
    }
    *map = fresh;
}

bool symbol_map_has_room(const struct symbol_map *map, uint32_t count)
{
    return (uint64_t)map->count + count <= map->capacity / 4 * 3;
}

const struct symbol_key *symbol_map_insert(struct symbol_map *map, const struct symbol_key *key)
{
    uint32_t i = probe(map, key->name, key->hash);
    if (map->slots[i]) {
        return map->slots[i];
    }
    map->slots[i] = key;
    map->count++;
    return NULL;
}

const struct symbol_key *symbol_map_find(const struct symbol_map *map, const char *name,
                                         uint32_t hash)
{
    return map->capacity ? map->slots[probe(map, name, hash)] : NULL;
}

bool symbol_map_remove(struct symbol_map *map, const struct symbol_key *key)
{
    if (map->capacity == 0) {
        return false;
    }
    const uint32_t mask = map->capacity - 1;
    uint32_t hole = probe(map, key->name, key->hash);
    if (map->slots[hole] != key) {
        return false;
    }
    /* Close the gap: a later key moves up unless that would put it before its home. */
    for (uint32_t i = (hole + 1) & mask; map->slots[i]; i = (i + 1) & mask) {
        uint32_t distance = (i - home(map, map->slots[i]->hash)) & mask;
        if (distance >= ((i - hole) & mask)) {
            map->slots[hole] = map->slots[i];
            hole = i;
        }
    }
    map->slots[hole] = NULL;
    map->count--;
    return true;
}
