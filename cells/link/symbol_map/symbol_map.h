/* SPDX-License-Identifier: MIT */
/*
 * symbol_map.h - finds things by their symbol name.
 *
 * Why: namespaces, the archive's index and cellpack all ask "who defines this name?".
 *
 * Rules: an open-addressing table of pointers to `struct symbol_key`, which the caller embeds in
 * his own structure. The caller gives the table's memory too (symbol_map_init), so nothing here
 * allocates or fails: make room first (symbol_map_has_room), then insert. Lookup and insertion are
 * O(1) on average. The caller serialises changes; lookups may not run beside them.
 */
#pragma once

#include "status.h"

struct symbol_key {
    const char *name;
    uint32_t hash; /* symbol_map_hash(name) */
};

struct symbol_map {
    const struct symbol_key **slots; /* capacity of them; NULL where free */
    uint32_t capacity;               /* 0 or a power of two */
    uint32_t count;
};

/* The hash of a name; equal names have equal hashes in the kernel and on the host. */
CELL_API uint32_t symbol_map_hash(const char *name);

/* The smallest capacity for `count` keys: at most 3 of 4 slots are in use. */
CELL_API uint32_t symbol_map_capacity(uint32_t count);

/*
 * An empty map over `slots`, `capacity` zeroed pointers. When `old` is not NULL its keys are moved
 * over, which is how a map grows; there must be room.
 */
CELL_API void symbol_map_init(struct symbol_map *map, const struct symbol_key **slots,
                              uint32_t capacity, const struct symbol_map *old);

/* Is there room for `count` more? */
CELL_API bool symbol_map_has_room(const struct symbol_map *map, uint32_t count);

/*
 * Inserts `key`, which must stay valid while it is in the map. Returns NULL, or the key of the same
 * name that is there already; then nothing changes.
 */
CELL_API const struct symbol_key *symbol_map_insert(struct symbol_map *map,
                                                    const struct symbol_key *key);

/* The key of that name, or NULL. */
CELL_API const struct symbol_key *symbol_map_find(const struct symbol_map *map, const char *name,
                                                  uint32_t hash);

/* Takes `key` itself out; a key of the same name that is not it stays. False when it is not there.
 */
CELL_API bool symbol_map_remove(struct symbol_map *map, const struct symbol_key *key);
