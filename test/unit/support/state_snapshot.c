/* SPDX-License-Identifier: MIT */
#include "state_snapshot.h"
#include "cell_namespace.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#define PARTS_MAX 1024u

struct part {
    const char *what;
    const char *cell;
    const void *at;
    size_t size;
    void *copy; /* owned */
};

struct state_snapshot {
    size_t count;
    struct part parts[PARTS_MAX];
};

static void add(struct state_snapshot *snapshot, const char *what, const char *cell, const void *at,
                size_t size)
{
    if (size == 0) {
        return;
    }
    assert_true(snapshot->count < PARTS_MAX);
    struct part *part = &snapshot->parts[snapshot->count++];
    *part = (struct part){what, cell, at, size, malloc(size)};
    assert_non_null(part->copy);
    memcpy(part->copy, at, size);
}

static void add_map(struct state_snapshot *snapshot, const char *what, const struct symbol_map *map)
{
    add(snapshot, what, "the namespace", map->slots, map->capacity * sizeof(*map->slots));
}

static void add_cell(struct state_snapshot *snapshot, const struct cell *cell)
{
    static const char *const regions[] = {"text", "constants", "variables"};
    add(snapshot, "metadata", cell->name, cell, cell->metadata_size);
    for (uint32_t r = 0; r < REGION_COUNT; r++) {
        add(snapshot, regions[r], cell->name, (const void *)cell->regions[r].address,
            cell->regions[r].size);
    }
    for (uint32_t i = 0; i < cell->function_count; i++) {
        if (cell->functions[i].entry) {
            add(snapshot, "an entry", cell->name, (const void *)cell->functions[i].entry,
                ENTRY_SIZE);
        }
    }
    for (uint32_t i = 0; i < cell->object.section_count; i++) {
        if (cell->sections[i].is_adopted) {
            add(snapshot, cell->sections[i].name, cell->name,
                (const void *)cell->sections[i].address, cell->sections[i].size);
        }
    }
}

struct state_snapshot *state_snapshot_take(const struct cell_namespace *namespace)
{
    struct state_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    assert_non_null(snapshot);
    add(snapshot, "itself", "the namespace", namespace, sizeof(*namespace));
    add_map(snapshot, "map of symbols", &namespace->symbols);
    add_map(snapshot, "map of cells", &namespace->names);
    for (const struct cell *cell = namespace->first; cell; cell = cell->next) {
        add_cell(snapshot, cell);
    }
    for (const struct cell *cell = namespace->retired; cell; cell = cell->next) {
        add_cell(snapshot, cell);
    }
    return snapshot;
}

void state_snapshot_assert_same(const struct state_snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->count; i++) {
        const struct part *part = &snapshot->parts[i];
        const uint8_t *is = part->at;
        const uint8_t *was = part->copy;
        for (size_t k = 0; k < part->size; k++) {
            if (is[k] != was[k]) {
                fail_msg("%s of %s: byte %zu is %02x and was %02x", part->what, part->cell, k,
                         is[k], was[k]);
            }
        }
    }
}

void state_snapshot_release(struct state_snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->count; i++) {
        free(snapshot->parts[i].copy);
    }
    free(snapshot);
}
