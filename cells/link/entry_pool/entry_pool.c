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
#include "undo.h"

CELL(library, "1.2.0");

#define MAX_CHUNKS    256 /* of at least a page, 512 entries: 131,072 functions */
#define TRAPS         0xccccccccccccccccull
#define TRAPS_AT_ONCE 32u
#define PAGE_ENTRIES  (PAGE_SIZE / ENTRY_SIZE)

static_assert(ENTRY_SIZE == TEXT_WRITE_UNIT, "an entry changes at once");
static_assert(sizeof(struct range_node) <= DESCRIPTOR_SIZE, "a descriptor holds a node");

static struct mapped_pages *chunks[MAX_CHUNKS]; /* owned */
static size_t chunk_count;
static struct undo_note notes[RANGE_TREE_NOTES];
static struct undo changes = UNDO_INIT(notes);
static struct range_tree free_entries = {.undo = &changes};
/* On their way between the descriptor pool and the tree; NULL between operations. */
static struct range_node *spare[2];
static struct range_node *moved;
static uint64_t total;

static void fill(uint64_t address, uint32_t count)
{
    uint64_t *entry = (uint64_t *)address;
    for (uint32_t i = 0; i < count; i++) {
        entry[i] = TRAPS;
    }
}

/* ---- free entries ---- */

/* What is on its way goes back to the pool, also that of an operation that was interrupted. */
static void put_nodes(void)
{
    descriptor_pool_give(&spare[0]);
    descriptor_pool_give(&spare[1]);
    descriptor_pool_give(&moved);
}

/* From the tree into *out_address, with one commit. */
static enum status take_range(uint32_t count, uint64_t *out_address)
{
    GUARD(undo, noted, &changes);
    struct range_node *taken;
    enum status status = range_tree_take(&free_entries, count, 1, spare, &taken);
    if (status == OK) {
        UNDO_SET(&changes, moved, taken); /* who holds entries knows which */
        UNDO_SET(&changes, *out_address, taken->range.start * ENTRY_SIZE);
        undo_commit(&changes);
    }
    return status;
}

static enum status take_free(uint32_t count, uint64_t *out_address)
{
    put_nodes();
    enum status status = ERR_NO_MEMORY;
    if (descriptor_pool_take(&spare[0]) && descriptor_pool_take(&spare[1])) {
        status = take_range(count, out_address);
    }
    put_nodes();
    return status;
}

/* Into `moved`. */
static enum status make_node(uint64_t number, uint64_t count)
{
    put_nodes();
    if (!descriptor_pool_take(&moved)) {
        return ERR_NO_MEMORY;
    }
    moved->range = (struct range){.start = number, .count = count};
    return OK;
}

/* `moved` into the tree; the caller commits. */
static enum status give_node(void)
{
    enum status status = range_tree_give(&free_entries, moved, spare);
    if (status == OK) {
        UNDO_SET(&changes, moved, NULL);
    }
    return status;
}

/* What the owner of entries knows about them, and what of it stays. */
struct record {
    uint32_t *count; /* or NULL */
    uint32_t kept;
    uint64_t *entry; /* of a single one; or NULL */
};

static void change_record(const struct record *record)
{
    if (record->count) {
        UNDO_SET(&changes, *record->count, record->kept);
    }
    if (record->entry) {
        UNDO_SET(&changes, *record->entry, 0);
    }
}

/* They are free, and not the owner's any more, with one commit. Where there is no room to remember
 * them, they stay trapped and are lost. */
static void add_free(uint64_t number, uint64_t count, const struct record *record)
{
    enum status status = make_node(number, count);
    {
        GUARD(undo, noted, &changes);
        if (status == OK) {
            status = give_node();
        }
        change_record(record);
        undo_commit(&changes);
    }
    put_nodes();
}

static enum status add_pages(struct mapped_pages **chunk, uint64_t count) OWN_CONSUMES(**chunk);

/* The chunk is the pool's, and its entries are free, with one commit. Unchecked: notes move it. */
OWN_UNCHECKED static enum status add_pages(struct mapped_pages **chunk, uint64_t count)
{
    enum status status = make_node(mapped_pages_start(*chunk) / ENTRY_SIZE, count);
    if (status == OK) {
        GUARD(undo, noted, &changes);
        status = give_node();
        if (status == OK) {
            UNDO_SET(&changes, chunks[chunk_count], *chunk);
            UNDO_SET(&changes, *chunk, NULL);
            UNDO_SET(&changes, total, total + count);
            UNDO_SET(&changes, chunk_count, chunk_count + 1); /* last: others look at any moment */
            undo_commit(&changes);
        }
    }
    put_nodes();
    return status;
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
    if (status != OK) {
        return status;
    }
    return add_pages(SLOT(chunk), pages * PAGE_ENTRIES);
}

enum status entry_pool_take(uint32_t count, uint64_t *out_address)
{
    enum status status = take_free(count, out_address);
    if (status == ERR_NOT_FOUND) {
        status = add_chunk(count);
        if (status == OK) {
            status = take_free(count, out_address);
        }
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

static void give_back(uint64_t address, uint32_t count, const struct record *record)
{
    static const uint64_t traps[TRAPS_AT_ONCE] = {[0 ... TRAPS_AT_ONCE - 1] = TRAPS};
    if (!holds(address, count)) { /* the static image's, or never taken */
        change_record(record);
        undo_commit(&changes);
        return;
    }
    for (uint32_t done = 0; done < count; done += TRAPS_AT_ONCE) {
        uint32_t left = count - done;
        size_t size = (left < TRAPS_AT_ONCE ? left : TRAPS_AT_ONCE) * ENTRY_SIZE;
        text_write(address + (uint64_t)done * ENTRY_SIZE, traps, size);
    }
    add_free(address / ENTRY_SIZE, count, record);
}

void entry_pool_give_back(uint64_t address, uint32_t *count, uint32_t kept)
{
    if (*count > kept) {
        give_back(address + (uint64_t)kept * ENTRY_SIZE, *count - kept,
                  &(struct record){.count = count, .kept = kept});
    }
}

void entry_pool_give_back_one(uint64_t *entry)
{
    give_back(*entry, 1, &(struct record){.entry = entry});
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
