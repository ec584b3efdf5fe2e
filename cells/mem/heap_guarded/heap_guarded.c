/* SPDX-License-Identifier: MIT */
/*
 * For finding bugs, not for speed: every block has pages of its own.
 *
 *   | page: red ... red | block | red ... red | nothing is mapped
 *
 * The block ends as near to the end of its last page as its alignment lets it, so that a write far
 * behind it meets what is not mapped, and faults; a write near it, on either side, meets a red
 * zone, of at least RED_BYTES before the block, and is seen when the block is freed, or by
 * heap_check().
 *
 * A freed block is poisoned, made read-only and kept in quarantine: a write through an old pointer
 * faults and names the culprit, a read gets poison. The quarantine is a ring: the oldest block goes
 * back to the system when a new one comes. Its entry in the table stays as long, so that a second
 * release is told from the release of something foreign. Reports name who allocated the block and
 * who frees it by return addresses; which cells these are in, address_map knows, whose tables are
 * on this heap.
 *
 * What changes is changed in one moment (commit.h): a block comes into the table with its mapping
 * and goes to its owner, leaves its owner and goes into quarantine, or leaves the table.
 */
#include "block_table.h"
#include "commit.h"
#include "freestanding.h"
#include "heap.h"
#include "logger.h"
#include "mapped_pages.h"
#include "spinlock.h"

CELL(library, "2.0.0");

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
    uint64_t oldest;
    uint64_t bytes;
} quarantine;
static struct heap_statistics statistics;
static struct mapped_pages *moving; /* of a block that is being made; NULL between operations */

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
    commit_two(&block->note, block->note | NOTE_DAMAGED, &statistics.damaged,
               statistics.damaged + 1);
    log_error("written %s the %zu bytes at %p, which %p allocated", where, block->bytes,
              (void *)block->address, allocated_by(block));
    return true;
}

bool heap_is_free(uintptr_t address)
{
    (void)address;
    return false;
}

/* ---- quarantine ---- */

/* The block leaves the table, and its memory goes, when `list` is committed and settled. */
static void plan_release(struct block *block, struct commit_list *list)
{
    commit_add(list, &statistics.bytes_mapped, statistics.bytes_mapped - size_of(block));
    block_table_plan_remove(&blocks, block, list);
}

/* Lets the oldest block go. */
static void release_oldest(void)
{
    struct commit_list list;
    list.count = 0;
    uintptr_t *oldest = &quarantine.addresses[quarantine.oldest];
    if (*oldest) {
        struct block *block = block_table_find(&blocks, *oldest);
        commit_add(&list, oldest, 0);
        commit_add(&list, &quarantine.bytes, quarantine.bytes - size_of(block));
        plan_release(block, &list);
    }
    commit_add(&list, &quarantine.oldest, (quarantine.oldest + 1) % QUARANTINE_COUNT);
    commit_list(&list);
    block_table_settle(&blocks);
}

static void trim_quarantine(uint64_t bytes)
{
    while (quarantine.bytes > bytes) {
        release_oldest();
    }
}

/* Who had the lock before may have been interrupted. */
static void settle_locked(void)
{
    mapped_pages_drop(&moving);
    block_table_settle(&blocks);
    trim_quarantine(QUARANTINE_BYTES);
}

/* The block in *slot is freed: kept, or let go at once. */
static void keep(struct block *block, void **slot)
{
    size_t size = size_of(block);
    memset((void *)block->address, POISON, block->bytes);
    bool is_kept =
        size <= QUARANTINE_BYTES && mapped_pages_remap(STORED(block->memory), PAGE_READ) == OK;
    uintptr_t *place = &quarantine.addresses[quarantine.oldest];
    if (is_kept && *place) {
        release_oldest(); /* the next oldest becomes the oldest: this place is the newest */
        block = block_table_find(&blocks, (uintptr_t)*slot);
    }
    struct commit_list list;
    list.count = 0;
    commit_add(&list, &statistics.blocks_in_use, statistics.blocks_in_use - 1);
    commit_add(&list, &statistics.bytes_in_use, statistics.bytes_in_use - block->bytes);
    if (is_kept) {
        commit_add(&list, &block->note, block->note | NOTE_FREED);
        commit_add(&list, place, block->address);
        if (place == &quarantine.addresses[quarantine.oldest]) {
            commit_add(&list, &quarantine.oldest, (quarantine.oldest + 1) % QUARANTINE_COUNT);
        }
        commit_add(&list, &quarantine.bytes, quarantine.bytes + size);
    } else {
        plan_release(block, &list);
    }
    commit_add(&list, slot, NULL);
    commit_list(&list);
    block_table_settle(&blocks);
    trim_quarantine(QUARANTINE_BYTES);
}

uint64_t heap_check(void)
{
    GUARD(spinlock, guard, &lock);
    settle_locked();
    uint64_t count = 0;
    for (const struct block *block = block_table_next(&blocks, NULL); block;
         block = block_table_next(&blocks, block)) {
        if (!(block->note & NOTE_FREED)) {
            count += check_block(block_table_find(&blocks, block->address));
        }
    }
    return count;
}

/* ---- blocks ---- */

/* Unchecked: `moving` owns what is on its way. */
OWN_UNCHECKED static bool allocate(size_t bytes, uintptr_t caller, void **out)
{
    bytes = bytes ? bytes : 1;
    size_t with_red = bytes + RED_BYTES + HEAP_ALIGNMENT;
    if (with_red < bytes || block_table_reserve(&blocks) != OK ||
        mapped_pages_create(PAGE_ZONE_DATA, with_red, PAGE_WRITE, &moving) != OK) {
        return false;
    }
    uintptr_t start = mapped_pages_start(STORED(moving));
    size_t size = mapped_pages_count(STORED(moving)) * PAGE_SIZE;
    uintptr_t address = (start + size - bytes) & ~(uintptr_t)(HEAP_ALIGNMENT - 1);
    memset((void *)start, RED, size);
    memset((void *)address, FRESH, bytes);
    struct commit_list list;
    list.count = 0;
    struct block *block = block_table_plan_insert(&blocks, address, &list);
    block->bytes = bytes;
    block->note = caller & ~NOTE_BITS;
    commit_add(&list, &block->memory, moving);
    commit_add(&list, &moving, NULL);
    commit_add(&list, &statistics.blocks_in_use, statistics.blocks_in_use + 1);
    commit_add(&list, &statistics.bytes_in_use, statistics.bytes_in_use + bytes);
    commit_add(&list, &statistics.bytes_mapped, statistics.bytes_mapped + size);
    commit_add(&list, out, address);
    commit_list(&list);
    return true;
}

static bool allocate_and_count(size_t bytes, void *caller, void **out)
{
    GUARD(spinlock, guard, &lock);
    settle_locked();
    statistics.allocations++;
    bool is_done = allocate(bytes, (uintptr_t)caller, out);
    if (!is_done && quarantine.bytes) {
        trim_quarantine(0);
        is_done = allocate(bytes, (uintptr_t)caller, out);
    }
    statistics.failures += !is_done;
    return is_done;
}

void *heap_allocate(size_t bytes)
{
    void *block = NULL;
    (void)!allocate_and_count(bytes, __builtin_return_address(0), &block);
    return block;
}

void *heap_allocate_zeroed(size_t bytes)
{
    void *block = NULL;
    return allocate_and_count(bytes, __builtin_return_address(0), &block) ? memset(block, 0, bytes)
                                                                          : NULL;
}

bool heap_allocate_to(size_t bytes, void *out)
{
    OWN_DEMAND_(!*(void **)out);
    return allocate_and_count(bytes, __builtin_return_address(0), out);
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

static void free_block(void **slot, const void *caller)
{
    if (!*slot) {
        return;
    }
    GUARD(spinlock, guard, &lock);
    settle_locked();
    struct block *block = block_table_find(&blocks, (uintptr_t)*slot);
    if (!block || block->note & NOTE_FREED) {
        complain(*slot, caller, block);
        *slot = NULL;
        return;
    }
    if (check_block(block)) {
        log_error("%p frees it", caller);
    }
    keep(block, slot);
}

void heap_free(void *address)
{
    free_block(&address, __builtin_return_address(0));
}

void heap_free_from(void *slot)
{
    free_block(slot, __builtin_return_address(0));
}

struct heap_statistics heap_statistics(void)
{
    GUARD(spinlock, guard, &lock);
    settle_locked();
    struct heap_statistics now = statistics;
    now.bytes_metadata = block_table_bytes(&blocks);
    return now;
}
