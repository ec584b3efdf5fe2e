/* SPDX-License-Identifier: MIT */
/*
 * For finding bugs, not for speed: every block has pages of its own.
 *
 *   | page: red ... red | block | red ... red | nothing is mapped
 *
 * The block ends as near to the end of its last page as its alignment lets it, so that a write far
 * behind it meets what is not mapped, and faults; a write near it, on either side, meets a red zone,
 * of at least RED_BYTES before the block, and is seen when the block is freed, or by heap_check().
 *
 * A freed block is poisoned, made read-only and kept in quarantine: a write through an old pointer
 * faults and names the culprit, a read gets poison. The quarantine is a ring: the oldest block goes
 * back to the system when a new one comes. Its entry in the table stays as long, so that a second
 * release is told from the release of something foreign. Reports name who allocated the block and who
 * frees it by return addresses; which cells these are in, address_map knows, whose tables are on this
 * heap.
 */
#include "block_table.h"
#include "freestanding.h"
#include "heap.h"
#include "logger.h"
#include "mapped_pages.h"
#include "spinlock.h"

CELL(library, "1.1.0");

#define RED_BYTES        64u
#define RED              0xfau
#define FRESH            0xcdu /* what nobody has written yet */
#define POISON           0xdfu
#define QUARANTINE_COUNT 256u
#define QUARANTINE_BYTES (4u << 20) /* of blocks; larger ones are not kept */

static struct spinlock lock = {.name = "heap"}; /* protects everything here */

static struct block_table blocks; /* in use and in quarantine; the note is who allocated */
static struct {
    uintptr_t addresses[QUARANTINE_COUNT]; /* 0: none */
    unsigned oldest;
    uint64_t bytes;
} quarantine;
static struct heap_statistics statistics;

/* The part of the note that is no address: addresses of code have their high bits set. */
#define NOTE_FREED   (1ull << 62)
#define NOTE_DAMAGED (1ull << 61)
#define NOTE_BITS    (NOTE_FREED | NOTE_DAMAGED)

static void *allocated_by(const struct block *block)
{
    uint64_t high = block->note >> 60 & 1 ? NOTE_BITS : 0; /* as a canonical address has it */
    return (void *)((block->note & ~NOTE_BITS) | high);
}

static size_t size_of(struct block *block)
{
    return mapped_pages_count(STORED(block->memory)) * PAGE_SIZE;
}

static uint8_t *start_of(struct block *block)
{
    return (uint8_t *)mapped_pages_start(STORED(block->memory));
}

static bool is_filled(const uint8_t *from, const uint8_t *to, uint8_t with)
{
    while (from < to && *from == with) {
        from++;
    }
    return from == to;
}

/* ---- damage ---- */

/* What is wrong with the block's surroundings, or NULL. */
static const char *find_damage(struct block *block)
{
    const uint8_t *start = start_of(block);
    const uint8_t *first = (const uint8_t *)block->address;
    if (!is_filled(start, first, RED)) {
        return "before";
    }
    return is_filled(first + block->bytes, start + size_of(block), RED) ? NULL : "behind";
}

/* Reports damage once. */
static bool check_block(struct block *block)
{
    const char *where = block->note & NOTE_DAMAGED ? NULL : find_damage(block);
    if (!where) {
        return false;
    }
    block->note |= NOTE_DAMAGED;
    statistics.damaged++;
    log_error("written %s the %zu bytes at %p, which %p allocated", where, block->bytes,
              (void *)block->address, allocated_by(block));
    return true;
}

bool heap_is_free(uintptr_t address)
{
    (void)address;
    return false;
}

uint64_t heap_check(void)
{
    GUARD(spinlock, guard, &lock);
    uint64_t count = 0;
    for (const struct block *block = block_table_next(&blocks, NULL); block;
         block = block_table_next(&blocks, block)) {
        if (!(block->note & NOTE_FREED)) {
            count += check_block(block_table_find(&blocks, block->address));
        }
    }
    return count;
}

/* ---- quarantine ---- */

static void release(struct block *block)
{
    statistics.bytes_mapped -= size_of(block);
    block_table_remove(&blocks, block);
}

/* Lets the oldest block go. */
static void release_oldest(void)
{
    uintptr_t *oldest = &quarantine.addresses[quarantine.oldest];
    if (*oldest) {
        struct block *block = block_table_find(&blocks, *oldest);
        quarantine.bytes -= size_of(block);
        release(block);
    }
    *oldest = 0;
    quarantine.oldest = (quarantine.oldest + 1) % QUARANTINE_COUNT;
}

static void keep(struct block *block)
{
    uintptr_t address = block->address;
    size_t size = size_of(block);
    memset((void *)address, POISON, block->bytes);
    if (size > QUARANTINE_BYTES || mapped_pages_remap(STORED(block->memory), PAGE_READ) != OK) {
        release(block);
        return;
    }
    block->note |= NOTE_FREED;
    uintptr_t *place = &quarantine.addresses[quarantine.oldest];
    release_oldest(); /* the next oldest becomes the oldest: this place is the newest */
    *place = address;
    quarantine.bytes += size;
    while (quarantine.bytes > QUARANTINE_BYTES) {
        release_oldest();
    }
}

/* ---- blocks ---- */

static uintptr_t allocate(size_t bytes, uintptr_t caller)
{
    bytes = bytes ? bytes : 1;
    size_t with_red = bytes + RED_BYTES + HEAP_ALIGNMENT;
    if (with_red < bytes || block_table_reserve(&blocks) != OK) {
        return 0;
    }
    OWNED(mapped_pages, memory);
    if (mapped_pages_create(PAGE_ZONE_DATA, with_red, PAGE_WRITE, SLOT(memory)) != OK) {
        return 0;
    }
    uintptr_t start = mapped_pages_start(REF(memory));
    size_t size = mapped_pages_count(REF(memory)) * PAGE_SIZE;
    uintptr_t address = (start + size - bytes) & ~(uintptr_t)(HEAP_ALIGNMENT - 1);
    memset((void *)start, RED, size);
    memset((void *)address, FRESH, bytes);
    struct block *block = block_table_insert(&blocks, address);
    block->bytes = bytes;
    block->note = caller & ~NOTE_BITS;
    STORE(block->memory, memory);
    statistics.blocks_in_use++;
    statistics.bytes_in_use += bytes;
    statistics.bytes_mapped += size;
    return address;
}

static void *allocate_and_count(size_t bytes, void *caller)
{
    GUARD(spinlock, guard, &lock);
    uintptr_t address = allocate(bytes, (uintptr_t)caller);
    if (!address && quarantine.bytes) {
        while (quarantine.bytes) {
            release_oldest();
        }
        address = allocate(bytes, (uintptr_t)caller);
    }
    statistics.allocations++;
    statistics.failures += !address;
    return (void *)address;
}

void *heap_allocate(size_t bytes)
{
    return allocate_and_count(bytes, __builtin_return_address(0));
}

void *heap_allocate_zeroed(size_t bytes)
{
    void *block = allocate_and_count(bytes, __builtin_return_address(0));
    return block ? memset(block, 0, bytes) : NULL;
}

static void complain(const void *address, const void *caller, const struct block *block)
{
    statistics.bad_frees++;
    if (block) {
        log_error("%p freed %p again; %p allocated its %zu bytes", caller, address,
                  allocated_by(block), block->bytes);
    } else {
        log_error("%p freed %p, which is not an allocated block", caller, address);
    }
}

void heap_free(void *address)
{
    if (!address) {
        return;
    }
    GUARD(spinlock, guard, &lock);
    struct block *block = block_table_find(&blocks, (uintptr_t)address);
    if (!block || block->note & NOTE_FREED) {
        complain(address, __builtin_return_address(0), block);
        return;
    }
    if (check_block(block)) {
        log_error("%p frees it", __builtin_return_address(0));
    }
    statistics.blocks_in_use--;
    statistics.bytes_in_use -= block->bytes;
    keep(block);
}

struct heap_statistics heap_statistics(void)
{
    GUARD(spinlock, guard, &lock);
    struct heap_statistics now = statistics;
    now.bytes_metadata = block_table_bytes(&blocks);
    return now;
}
