/* SPDX-License-Identifier: MIT */
/*
 * Pages come in chunks that never go back: an entry may be held anywhere, so its address space
 * cannot be reused for something else. Free entries are a tree of ranges of entry numbers (address
 * divided by ENTRY_SIZE), whose nodes come from the descriptor pool. Chunks are often neighbours,
 * and then a run of entries may span several.
 */
#include "entry_pool.h"
#include "descriptor_pool.h"
#include "mapped_pages.h"
#include "memory.h"
#include "range_tree.h"
#include "text_write.h"

CELL(library, "1.2.0");

#define MAX_CHUNKS    256 /* of at least a page, 512 entries: 131,072 functions */
#define TRAPS         0xccccccccccccccccull
#define TRAPS_AT_ONCE 32u
#define PAGE_ENTRIES  (PAGE_SIZE / ENTRY_SIZE)

static_assert(ENTRY_SIZE == TEXT_WRITE_UNIT, "an entry changes at once");
static_assert(sizeof(struct range_node) <= DESCRIPTOR_SIZE, "a descriptor holds a node");

static struct mapped_pages *chunks[MAX_CHUNKS]; /* owned */
static size_t chunk_count;
static struct range_tree free_entries;
static uint64_t total;

static void fill(uint64_t address, uint32_t count)
{
    uint64_t *entry = (uint64_t *)address;
    for (uint32_t i = 0; i < count; i++) {
        entry[i] = TRAPS;
    }
}

/* ---- free entries ---- */

static void put_nodes(struct range_node *nodes[2])
{
    descriptor_pool_put(nodes[0]);
    descriptor_pool_put(nodes[1]);
}

static enum status take_free(uint32_t count, uint64_t *out_number)
{
    struct range_node *spare[2] = {descriptor_pool_get(), descriptor_pool_get()};
    struct range_node *taken;
    enum status status = ERR_NO_MEMORY;
    if (spare[0] && spare[1]) {
        status = range_tree_take(&free_entries, count, 1, spare, &taken);
    }
    put_nodes(spare);
    if (status == OK) {
        *out_number = taken->range.start;
        descriptor_pool_put(taken); /* who holds entries knows which */
    }
    return status;
}

static enum status add_free(uint64_t number, uint64_t count)
{
    struct range_node *unused[2];
    struct range_node *node = descriptor_pool_get();
    if (!node) {
        return ERR_NO_MEMORY;
    }
    node->range = (struct range){.start = number, .count = count};
    enum status status = range_tree_give(&free_entries, node, unused);
    if (status != OK) {
        descriptor_pool_put(node);
        return status;
    }
    put_nodes(unused);
    return OK;
}

static enum status add_chunk(uint32_t count)
{
    if (chunk_count == MAX_CHUNKS) {
        return ERR_LIMIT;
    }
    size_t pages = (count + PAGE_ENTRIES - 1) / PAGE_ENTRIES;
    OWNED(mapped_pages, chunk);
    enum status status =
        mapped_pages_create(PAGE_ZONE_CODE, pages * PAGE_SIZE, PAGE_WRITE, SLOT(chunk));
    if (status != OK) {
        return status;
    }
    uint64_t start = mapped_pages_start(REF(chunk));
    fill(start, (uint32_t)(pages * PAGE_ENTRIES));
    status = mapped_pages_remap(REF(chunk), PAGE_EXECUTE);
    if (status == OK) {
        status = add_free(start / ENTRY_SIZE, pages * PAGE_ENTRIES);
    }
    if (status != OK) {
        return status;
    }
    STORE(chunks[chunk_count], chunk);
    chunk_count++;
    total += pages * PAGE_ENTRIES;
    return OK;
}

enum status entry_pool_take(uint32_t count, uint64_t *out_address)
{
    uint64_t number;
    enum status status = take_free(count, &number);
    if (status == ERR_NOT_FOUND) {
        status = add_chunk(count);
        if (status == OK) {
            status = take_free(count, &number);
        }
    }
    if (status == OK) {
        *out_address = number * ENTRY_SIZE;
    }
    return status;
}

/* ---- contents ---- */

static uint64_t chunk_bytes(size_t index)
{
    return mapped_pages_count(STORED(chunks[index])) * PAGE_SIZE;
}

/* MAX_CHUNKS where there is none. */
static size_t chunk_of(uint64_t address)
{
    for (size_t i = 0; i < chunk_count; i++) {
        if (address - mapped_pages_start(STORED(chunks[i])) < chunk_bytes(i)) {
            return i;
        }
    }
    return MAX_CHUNKS;
}

/* Are all of them in pages of this pool? */
static bool holds(uint64_t address, uint32_t count)
{
    while (count > 0) {
        size_t chunk = chunk_of(address);
        if (chunk == MAX_CHUNKS) {
            return false;
        }
        uint64_t end = mapped_pages_start(STORED(chunks[chunk])) + chunk_bytes(chunk);
        uint64_t fitting = (end - address) / ENTRY_SIZE;
        uint32_t here = fitting < count ? (uint32_t)fitting : count;
        address += (uint64_t)here * ENTRY_SIZE;
        count -= here;
    }
    return true;
}

enum status entry_pool_write(uint64_t address, const uint8_t *bytes, uint32_t count)
{
    if (!holds(address, count)) {
        return ERR_INVALID_ARGUMENT;
    }
    text_write(address, bytes, (size_t)count * ENTRY_SIZE);
    return OK;
}

void entry_pool_give_back(uint64_t address, uint32_t count)
{
    static const uint64_t traps[TRAPS_AT_ONCE] = {[0 ... TRAPS_AT_ONCE - 1] = TRAPS};
    if (count == 0 || !holds(address, count)) {
        return;
    }
    for (uint32_t done = 0; done < count; done += TRAPS_AT_ONCE) {
        uint32_t left = count - done;
        size_t size = (left < TRAPS_AT_ONCE ? left : TRAPS_AT_ONCE) * ENTRY_SIZE;
        text_write(address + (uint64_t)done * ENTRY_SIZE, traps, size);
    }
    /* Where there is no room to remember them, they stay trapped and are lost. */
    enum status status = add_free(address / ENTRY_SIZE, count);
    (void)status;
}

bool entry_pool_holds(uint64_t address)
{
    return chunk_of(address) != MAX_CHUNKS;
}

struct entry_pool_statistics entry_pool_statistics(void)
{
    return (struct entry_pool_statistics){
        .taken = total - free_entries.total,
        .page_bytes = total * ENTRY_SIZE,
    };
}
