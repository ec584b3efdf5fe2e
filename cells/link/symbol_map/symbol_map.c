/* SPDX-License-Identifier: MIT */
/*
 * Linear probing with backward-shift deletion, so there are no tombstones and lookups never slow
 * down. The hash is FNV-1a: names are short, and one multiplication a byte is cheap enough; the
 * full 32-bit hash is compared before the strings are.
 */
#include "symbol_map.h"

CELL(library, "1.0.0");

#define FNV_BASIS 0x811c9dc5u
#define FNV_PRIME 0x01000193u

uint32_t symbol_map_hash(const char *name)
{
    uint32_t hash = FNV_BASIS;
#pragma GCC unroll 8
    for (; *name; name++) {
        hash = (hash ^ (uint8_t)*name) * FNV_PRIME;
    }
    return hash;
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

/* FNV mixes upwards: fold the high half down before the mask takes the low bits. */
static uint32_t home(const struct symbol_map *map, uint32_t hash)
{
    return (hash ^ hash >> 16) & (map->capacity - 1);
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
