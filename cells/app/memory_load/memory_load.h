/* SPDX-License-Identifier: MIT */
/*
 * memory_load.h - uses memory, and sees what is wrong with it.
 *
 * Why: what replaces cells while they work wants them to work: these are rounds of that, for the
 * tasks of tests.
 *
 * Rules: in a task; other tasks run in between. What cannot be had is not counted as wrong.
 */
#pragma once

#include "heap.h"
#include "mapped_pages.h"
#include "task.h"

#define MEMORY_LOAD_BLOCKS    8u
#define MEMORY_LOAD_WORDS_MAX 200u
#define MEMORY_LOAD_MAP_PAGES 3u

static inline bool memory_load_is_filled(const uint64_t *block, size_t words, uint64_t value)
{
    for (size_t i = 0; i < words; i++) {
        if (block[i] != value) {
            return false;
        }
    }
    return true;
}

/* Blocks of the heap with numbers in them; returns how many were not as they were left. */
static inline uint64_t memory_load_blocks(uint64_t *seed)
{
    uint64_t wrong = 0;
    uint64_t *blocks[MEMORY_LOAD_BLOCKS];
    for (unsigned i = 0; i < MEMORY_LOAD_BLOCKS; i++) {
        *seed = *seed * 6364136223846793005u + 1442695040888963407u;
        size_t words = 1 + (*seed >> 33) % MEMORY_LOAD_WORDS_MAX;
        blocks[i] = heap_allocate(words * sizeof(uint64_t));
        for (size_t k = 0; blocks[i] && k < words; k++) {
            blocks[i][k] = *seed;
        }
        task_yield();
        wrong += blocks[i] && !memory_load_is_filled(blocks[i], words, *seed);
    }
    for (unsigned i = 0; i < MEMORY_LOAD_BLOCKS; i++) {
        heap_free(blocks[i]);
    }
    return wrong;
}

/* New pages are empty. */
static inline bool memory_load_mapping(uint64_t value)
{
    OWNED(mapped_pages, pages);
    if (mapped_pages_create(PAGE_ZONE_DATA, MEMORY_LOAD_MAP_PAGES * PAGE_SIZE, PAGE_WRITE,
                            SLOT(pages)) != OK) {
        return true;
    }
    uint64_t *words = (uint64_t *)mapped_pages_start(REF(pages));
    bool is_right =
        memory_load_is_filled(words, MEMORY_LOAD_MAP_PAGES * PAGE_SIZE / sizeof(uint64_t), 0);
    words[0] = value;
    return is_right;
}
