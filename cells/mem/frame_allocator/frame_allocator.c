/* SPDX-License-Identifier: MIT */
/*
 * Two sets of frame numbers: those that are free, and all that are managed, which never changes
 * after init and tells a frame that may be given back from one that may not.
 *
 * The loader's map may overlap itself and is in no order. So first all usable ranges are united,
 * rounded inwards to whole frames; then all others are taken out, rounded outwards.
 */
#include "frame_allocator.h"
#include "boot_info.h"
#include "range_set.h"

CELL(library, "1.0.0");

#define FIRST_MANAGED 0x100000ull /* see Rules: the first megabyte */

static struct range free_storage[FRAME_ALLOCATOR_RANGES];
static struct range managed_storage[FRAME_ALLOCATOR_RANGES];
static struct range_set free_frames;
static struct range_set managed_frames;
static uint64_t lost_frames;

/* Adds the whole frames within `bytes` at `start`; those that are there already stay. */
static enum status add_usable(struct range_set *set, paddr_t start, uint64_t bytes)
{
    uint64_t end = start + bytes < PHYSICAL_LIMIT ? start + bytes : PHYSICAL_LIMIT;
    uint64_t first = (start >> PAGE_SHIFT) + !page_is_aligned(start);
    uint64_t past = end >> PAGE_SHIFT;
    if (start >= PHYSICAL_LIMIT || first >= past) {
        return OK;
    }
    enum status status = range_set_remove(set, first, past - first);
    return status == OK ? range_set_add(set, first, past - first) : status;
}

/* Removes every frame that `bytes` at `start` touch. */
static enum status reserve(struct range_set *set, paddr_t start, uint64_t bytes)
{
    if (bytes == 0) {
        return OK;
    }
    uint64_t first = start >> PAGE_SHIFT;
    uint64_t last = (start + (bytes - 1)) >> PAGE_SHIFT;
    return range_set_remove(set, first, last - first + 1);
}

static enum status add_all_usable(struct range_set *set, const struct boot_info *boot)
{
    for (size_t i = 0; i < boot->memory_count; i++) {
        const struct boot_memory *memory = &boot->memory[i];
        if (memory->kind != BOOT_MEMORY_USABLE) {
            continue;
        }
        enum status status = add_usable(set, memory->start, memory->bytes);
        if (status != OK) {
            return status;
        }
    }
    return OK;
}

static enum status reserve_all(struct range_set *set, const struct boot_info *boot)
{
    enum status status = reserve(set, boot->information_start, boot->information_bytes);
    for (size_t i = 0; i < boot->module_count && status == OK; i++) {
        status = reserve(set, boot->modules[i].start, boot->modules[i].bytes);
    }
    for (size_t i = 0; i < boot->memory_count && status == OK; i++) {
        const struct boot_memory *memory = &boot->memory[i];
        if (memory->kind != BOOT_MEMORY_USABLE) {
            status = reserve(set, memory->start, memory->bytes);
        }
    }
    return status;
}

enum status frame_allocator_init(const struct boot_info *boot, paddr_t image_start,
                                 uint64_t image_bytes)
{
    struct range_set set;
    range_set_init(&set, free_storage, FRAME_ALLOCATOR_RANGES);
    enum status status = add_all_usable(&set, boot);
    if (status == OK) {
        status = reserve_all(&set, boot);
    }
    if (status == OK) {
        status = reserve(&set, 0, FIRST_MANAGED);
    }
    if (status == OK) {
        status = reserve(&set, image_start, image_bytes);
    }
    if (status != OK) {
        return status;
    }
    if (set.total == 0) {
        return ERR_NO_MEMORY;
    }

    range_set_init(&managed_frames, managed_storage, FRAME_ALLOCATOR_RANGES);
    for (size_t i = 0; i < set.used; i++) {
        managed_storage[i] = free_storage[i];
    }
    managed_frames.used = set.used;
    managed_frames.total = set.total;
    free_frames = set;
    lost_frames = 0;
    return OK;
}

enum status frame_allocator_take(size_t count, paddr_t *out_start)
{
    uint64_t first;
    enum status status = range_set_take(&free_frames, count, 1, &first);
    if (status == OK) {
        *out_start = first << PAGE_SHIFT;
    }
    return status == ERR_NOT_FOUND ? ERR_NO_MEMORY : status;
}

enum status frame_allocator_take_top(paddr_t *out_frame)
{
    uint64_t frame;
    enum status status = range_set_take_top(&free_frames, 1, &frame);
    if (status == OK) {
        *out_frame = frame << PAGE_SHIFT;
    }
    return status == ERR_NOT_FOUND ? ERR_NO_MEMORY : status;
}

enum status frame_allocator_give_back(paddr_t start, size_t count)
{
    uint64_t first = start >> PAGE_SHIFT;
    if (!page_is_aligned(start)) {
        return ERR_MISALIGNED;
    }
    if (!range_set_holds(&managed_frames, first, count)) {
        return ERR_OUT_OF_BOUNDS;
    }
    enum status status = range_set_add(&free_frames, first, count);
    if (status == ERR_LIMIT) {
        lost_frames += count;
    }
    return status;
}

struct frame_statistics frame_allocator_statistics(void)
{
    return (struct frame_statistics){
        .total = managed_frames.total,
        .free = free_frames.total,
        .ranges = free_frames.used,
        .lost = lost_frames,
    };
}
