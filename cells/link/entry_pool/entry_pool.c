/* SPDX-License-Identifier: MIT */
/*
 * Pages come in chunks that never go back: an entry may be held anywhere, so its address space
 * cannot be reused for something else. Free entries are a set of ranges of entry numbers (address
 * divided by ENTRY_SIZE). Chunks are often neighbours, and then a run of entries may span several.
 */
#include "entry_pool.h"
#include "mapped_pages.h"
#include "memory.h"
#include "range_set.h"

CELL(library, "1.0.0");

#define MAX_CHUNKS   256 /* of at least a page, 512 entries: 131,072 functions */
#define MAX_RANGES   512 /* of free entries: two a chunk before anything is refused */
#define TRAPS        0xccccccccccccccccull
#define PAGE_ENTRIES (PAGE_SIZE / ENTRY_SIZE)

static struct mapped_pages chunks[MAX_CHUNKS];
static size_t chunk_count;
static struct range free_storage[MAX_RANGES];
static struct range_set free_entries;
static uint64_t total;

static void fill(uint64_t address, uint32_t count)
{
    uint64_t *entry = (uint64_t *)address;
    for (uint32_t i = 0; i < count; i++) {
        entry[i] = TRAPS;
    }
}

static enum status add_chunk(uint32_t count)
{
    if (chunk_count == MAX_CHUNKS) {
        return ERR_LIMIT;
    }
    size_t pages = (count + PAGE_ENTRIES - 1) / PAGE_ENTRIES;
    struct mapped_pages *chunk = &chunks[chunk_count];
    enum status status =
        mapped_pages_init(chunk, PAGE_ZONE_CODE, pages * PAGE_SIZE, PAGE_READ | PAGE_WRITE);
    if (status != OK) {
        return status;
    }
    uint64_t start = (uint64_t)mapped_pages_address(chunk);
    fill(start, (uint32_t)(pages * PAGE_ENTRIES));
    status = mapped_pages_protect(chunk, PAGE_READ | PAGE_EXECUTE);
    if (status == OK) {
        status = range_set_add(&free_entries, start / ENTRY_SIZE, pages * PAGE_ENTRIES);
    }
    if (status != OK) {
        mapped_pages_fini(chunk);
        return status;
    }
    chunk_count++;
    total += pages * PAGE_ENTRIES;
    return OK;
}

enum status entry_pool_take(uint32_t count, uint64_t *out_address)
{
    if (free_entries.capacity == 0) {
        range_set_init(&free_entries, free_storage, MAX_RANGES);
    }
    uint64_t number;
    enum status status = range_set_take(&free_entries, count, 1, &number);
    if (status == ERR_NOT_FOUND) {
        status = add_chunk(count);
        if (status == OK) {
            status = range_set_take(&free_entries, count, 1, &number);
        }
    }
    if (status == OK) {
        *out_address = number * ENTRY_SIZE;
    }
    return status;
}

static struct mapped_pages *chunk_of(uint64_t address)
{
    for (size_t i = 0; i < chunk_count; i++) {
        uint64_t start = (uint64_t)mapped_pages_address(&chunks[i]);
        if (address - start < mapped_pages_size(&chunks[i])) {
            return &chunks[i];
        }
    }
    return NULL;
}

/* Stores `count` entries of `bytes`, or traps where that is NULL. */
static enum status store(uint64_t address, const uint8_t *bytes, uint32_t count)
{
    while (count > 0) {
        struct mapped_pages *chunk = chunk_of(address);
        if (!chunk) {
            return ERR_INVALID_ARGUMENT;
        }
        uint64_t end = (uint64_t)mapped_pages_address(chunk) + mapped_pages_size(chunk);
        uint64_t fitting = (end - address) / ENTRY_SIZE;
        uint32_t here = fitting < count ? (uint32_t)fitting : count;
        size_t size = (size_t)here * ENTRY_SIZE;
        enum status status = mapped_pages_protect(chunk, PAGE_READ | PAGE_WRITE);
        if (status != OK) {
            return status;
        }
        if (bytes) {
            __builtin_memcpy((void *)address, bytes, size);
            bytes += size;
        } else {
            fill(address, here);
        }
        status = mapped_pages_protect(chunk, PAGE_READ | PAGE_EXECUTE);
        if (status != OK) {
            return status;
        }
        address += size;
        count -= here;
    }
    return OK;
}

enum status entry_pool_write(uint64_t address, const uint8_t *bytes, uint32_t count)
{
    return store(address, bytes, count);
}

void entry_pool_give_back(uint64_t address, uint32_t count)
{
    if (count == 0 || store(address, NULL, count) != OK) {
        return; /* what cannot be trapped must not be given to somebody else */
    }
    /* Where there is no room to remember them, they stay trapped and are lost. */
    enum status status = range_set_add(&free_entries, address / ENTRY_SIZE, count);
    (void)status;
}

struct entry_pool_statistics entry_pool_statistics(void)
{
    return (struct entry_pool_statistics){
        .taken = total - free_entries.total,
        .page_bytes = total * ENTRY_SIZE,
    };
}
