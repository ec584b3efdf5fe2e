/* SPDX-License-Identifier: MIT */
/*
 * One number for all that a failed swap must leave as it was. Bytes of regions are taken where they
 * are mapped, entries through the functions that own them, lists and maps by their pointers: that
 * things are where they were is part of it.
 */
#include "cell_namespace.h"
#include "memory.h"
#include "mutex.h"
#include "page_table.h"
#include "swap_priv.h"

#define PRIME 0x100000001b3ull

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * PRIME;
    return hash ^ hash >> 29;
}

static uint64_t mix_bytes(uint64_t hash, uint64_t address, uint64_t size)
{
    const uint8_t *bytes = (const uint8_t *)address;
    uint64_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t word;
        __builtin_memcpy(&word, bytes + i, 8);
        hash = mix(hash, word);
    }
    for (; i < size; i++) {
        hash = mix(hash, bytes[i]);
    }
    return hash;
}

typedef bool (*find_page_t)(vaddr_t page, paddr_t *out_frame, unsigned *out_flags);

/* Data may have holes: stacks with guard pages lie in it. */
static uint64_t mix_pages(uint64_t hash, uint64_t address, uint64_t size, find_page_t find_page)
{
    uint64_t end = address + size;
    while (address < end) {
        uint64_t next = page_align_down(address) + PAGE_SIZE;
        next = next < end ? next : end;
        if (find_page(page_align_down(address), NULL, NULL)) {
            hash = mix_bytes(hash, address, next - address);
        }
        address = next;
    }
    return hash;
}

/* `find_page`: NULL to leave data out. */
static uint64_t mix_section(uint64_t hash, const struct section *section, find_page_t find_page)
{
    hash = mix(hash, section->address);
    hash = mix(hash, section->region << 1 | section->is_adopted);
    for (const struct binding *at = section->incoming; at; at = at->next_incoming) {
        hash = mix(hash, (uintptr_t)at);
        hash = mix(hash, (uintptr_t)at->target);
        hash = mix(hash, (uint64_t)at->symbol << 32 | at->offset);
    }
    if (!section->address || section->size == 0) {
        return hash;
    }
    if (section->region != REGION_DATA) {
        return mix_bytes(hash, section->address, section->size);
    }
    return find_page ? mix_pages(hash, section->address, section->size, find_page) : hash;
}

static uint64_t mix_cell(uint64_t hash, const struct cell *cell, find_page_t find_page)
{
    hash = mix(hash, (uintptr_t)cell);
    hash = mix(hash, (uintptr_t)cell->namespace);
    hash = mix(hash, (uintptr_t)cell->successor);
    hash = mix(hash, (uintptr_t)cell->references);
    hash = mix(hash, cell->is_retired << 1 | cell->has_lineage);
    for (uint32_t i = 0; i < cell->object.section_count; i++) {
        hash = mix_section(hash, &cell->sections[i], find_page);
    }
    for (uint32_t i = 0; i < cell->function_count; i++) {
        uint64_t entry = cell->functions[i].entry;
        hash = mix(hash, entry);
        hash = entry ? mix(hash, *(const uint64_t *)entry) : hash;
    }
    for (uint32_t i = 0; i < cell->symbol_count; i++) {
        hash = mix(hash, cell->symbols[i].address);
        hash = mix(hash, cell->symbols[i].entry);
    }
    return hash;
}

static uint64_t mix_map(uint64_t hash, const struct symbol_map *map)
{
    hash = mix(hash, map->capacity);
    hash = mix(hash, map->count);
    for (uint32_t i = 0; i < map->capacity; i++) {
        hash = mix(hash, (uintptr_t)map->slots[i]);
    }
    return hash;
}

uint64_t swap_hash(const struct cell_namespace *namespace, enum swap_hash_data data)
{
    find_page_t find_all = data == SWAP_HASH_ALL_DATA ? page_table_find : NULL;
    uint64_t hash = 0xcbf29ce484222325ull;
    for (const struct cell *cell = namespace->first; cell; cell = cell->next) {
        bool is_leaving = data == SWAP_HASH_LEAVING_DATA && cell->is_leaving;
        hash = mix_cell(hash, cell, is_leaving ? page_table_find_stopped : find_all);
    }
    for (const struct cell *cell = namespace->retired; cell; cell = cell->next) {
        hash = mix_cell(hash, cell, find_all);
    }
    hash = mix(hash, namespace->cell_count);
    hash = mix(hash, (uintptr_t) namespace->last);
    return mix_map(mix_map(hash, &namespace->symbols), &namespace->names);
}

uint64_t swap_state_hash(const struct cell_namespace *namespace, bool with_data)
{
    GUARD(mutex, held, cell_namespace_mutex());
    return swap_hash(namespace, with_data ? SWAP_HASH_ALL_DATA : SWAP_HASH_NO_DATA);
}
