/* SPDX-License-Identifier: MIT */
/*
 * frame_allocator.h - who owns which frame of physical memory.
 *
 * Why: each frame has at most one owner. What nobody owns is kept here; what somebody owns he holds a
 * `struct frames` of, and this cell keeps no table of it. A handle stands for one or more ranges of
 * frames in a given order, normally one.
 *
 * Rules: never handed out as memory are the first megabyte, the nano_core image, the boot information,
 * and what the firmware does not call usable; but every frame of the machine can be taken once, by its
 * address: what firmware reserved and the modules as FRAMES_RESERVED, what no memory map mentions as
 * FRAMES_DEVICE. FRAMES_RAM that comes from here is *stale*: it may hold what its last owner left, and
 * mapped_pages clears it before anybody can see it. Taking and giving back are O(log n) in the number of
 * free ranges for each range; no heap is needed. One CPU, no preemption: docs/locking.md.
 */
#pragma once

#include "memory.h"
#include "own.h"

struct boot_info;

struct OWN_CAPABILITY("frames") frames;
OWN_DECLARE(frames); /* frames_drop() gives every range back to where it came from */

enum frame_kind {
    FRAMES_RAM,
    FRAMES_RESERVED, /* by firmware, or a module: contents are somebody's, never cleared */
    FRAMES_DEVICE,   /* no memory at all: registers */
};
#define FRAME_KIND_COUNT 3

struct frame_statistics {
    uint64_t total;  /* frames of RAM that there are to hand out */
    uint64_t free;   /* of them nobody owns */
    uint64_t ranges; /* that the free ones form, each with a descriptor */
    uint64_t
        bad_drops; /* frames that were given back although they were free: a bug of the owner */
};

/*
 * Takes over the memory map of `boot`, without the `image_bytes` at `image_start`. ERR_NO_MEMORY when
 * there are no free frames, or more ranges than the descriptor pool can describe.
 */
CELL_API MUST_CHECK enum status frame_allocator_init(const struct boot_info *boot,
                                                     paddr_t image_start, uint64_t image_bytes);

/*
 * Takes the lowest `count` consecutive frames of RAM whose first frame number is a multiple of
 * `alignment`, a power of two. ERR_NO_MEMORY, ERR_INVALID_ARGUMENT.
 */
CELL_API enum status frame_allocator_take(uint64_t count, uint64_t alignment, struct frames **out)
    OWN_ACQUIRES(**out);

/*
 * Takes `count` frames of RAM in as many ranges as it takes, the longest first. ERR_NO_MEMORY when
 * there are not so many.
 */
CELL_API enum status frame_allocator_take_any(uint64_t count, struct frames **out)
    OWN_ACQUIRES(**out);

/*
 * Takes the highest free frames: for what stays long, such as page tables. ERR_NO_MEMORY.
 */
CELL_API enum status frame_allocator_take_top(uint64_t count, struct frames **out)
    OWN_ACQUIRES(**out);

/*
 * One of the highest free frames, for a page table. Its entry remembers the address, so there is no
 * handle: the allocator keeps the descriptor, and giving back, which takes any such frame, cannot fail.
 */
CELL_API MUST_CHECK enum status frame_allocator_take_table(paddr_t *out_frame);
CELL_API void frame_allocator_give_table(paddr_t frame);

/*
 * Takes exactly the frames from `start` on, of whatever kind they are; all of one kind. ERR_BUSY when
 * one of them has an owner (or belongs to the running system), ERR_MISALIGNED, ERR_OUT_OF_BOUNDS.
 */
CELL_API enum status frame_allocator_take_at(paddr_t start, uint64_t count, struct frames **out)
    OWN_ACQUIRES(**out);

/* How many frames; the kind; and the first frame of the first range. */
CELL_API uint64_t frames_count(const struct frames *frames) OWN_BORROWS(*frames);
CELL_API enum frame_kind frames_kind(const struct frames *frames) OWN_BORROWS(*frames);
CELL_API paddr_t frames_start(const struct frames *frames) OWN_BORROWS(*frames);

/*
 * The ranges, in order: start with *cursor = NULL. False at the end.
 */
CELL_API bool frames_next_range(const struct frames *frames, const struct frames **cursor,
                                paddr_t *out_start, uint64_t *out_count) OWN_BORROWS(*frames);

/* Stale frames have not been cleared since they had another owner. Are any; is this range? */
CELL_API bool frames_are_stale(const struct frames *frames) OWN_BORROWS(*frames);
CELL_API bool frames_range_is_stale(const struct frames *cursor);
CELL_API void frames_set_clean(struct frames *frames) OWN_BORROWS(*frames);

/*
 * Cuts the frames behind the first `first_count` off and hands them to the caller too.
 * ERR_OUT_OF_BOUNDS unless both parts have a frame, ERR_NO_MEMORY without a descriptor; nothing
 * changed then.
 */
CELL_API enum status frames_split(struct frames *frames, uint64_t first_count,
                                  struct frames **out_rest) OWN_BORROWS(*frames)
    OWN_ACQUIRES(**out_rest);

/* Puts `*rest` behind `frames`. Both of one kind, else ERR_MISMATCH and *rest stays where it is. */
CELL_API MUST_CHECK enum status frames_merge(struct frames *frames, struct frames **rest)
    OWN_BORROWS(*frames) OWN_CONSUMES(**rest);

CELL_API struct frame_statistics frame_allocator_statistics(void);
