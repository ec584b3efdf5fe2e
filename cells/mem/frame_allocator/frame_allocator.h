/* SPDX-License-Identifier: MIT */
/*
 * frame_allocator.h - who owns which frame of physical memory.
 *
 * Why: each frame has at most one owner. What nobody owns is kept here; what somebody owns he holds
 * a `struct frames` of, and this cell keeps no table of it. A handle stands for one or more ranges
 * of frames in a given order, normally one.
 *
 * Rules: never handed out as memory are the first megabyte, the nano_core image, the boot
 * information, and what the firmware does not call usable; but every frame of the machine can be
 * taken once, by its address: what firmware reserved and the modules as FRAMES_RESERVED, what no
 * memory map mentions as FRAMES_DEVICE. FRAMES_RAM that comes from here is *stale*: it may hold
 * what its last owner left, and mapped_pages clears it before anybody can see it. Taking and giving
 * back are O(log n) in the number of free ranges for each range; no heap is needed. Any CPU, also
 * with preemption held; not in interrupt handlers. Single frames that come back and go out again
 * take no lock. After a fault or a kill at any instruction each frame is free or in the variable of
 * its owner (docs/fault-safety.md).
 */
#pragma once

#include "frames.h"
#include "memory.h"

struct boot_info;

struct frame_statistics {
    uint64_t total;     /* frames of RAM that there are to hand out */
    uint64_t free;      /* of them nobody owns */
    uint64_t ranges;    /* that the free ones form, each with a descriptor */
    uint64_t bad_drops; /* frames that came back although they were free: a bug */
};

/*
 * Takes over the memory map of `boot`, without the `image_bytes` at `image_start`. ERR_NO_MEMORY
 * when there are no free frames, or more ranges than the descriptor pool can describe.
 */
CELL_API MUST_CHECK enum status frame_allocator_init(const struct boot_info *boot,
                                                     paddr_t image_start, uint64_t image_bytes);

/*
 * Takes the lowest `count` consecutive frames of RAM whose first frame number is a multiple of
 * `alignment`, a power of two; a single one may also be one that came back lately, or lie in a
 * longer free range than the lowest. ERR_NO_MEMORY, ERR_INVALID_ARGUMENT.
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
 * handle: the allocator keeps the descriptor, and giving back, which takes any such frame, cannot
 * fail. `*out_frame` and `*frame`, which is 0 then, belong to the change: they live as long as the
 * caller's slots.
 */
CELL_API MUST_CHECK enum status frame_allocator_take_table(paddr_t *out_frame);
CELL_API void frame_allocator_give_table(paddr_t *frame);

/*
 * Takes exactly the frames from `start` on, of whatever kind they are; all of one kind. ERR_BUSY
 * when one of them has an owner (or belongs to the running system), ERR_MISALIGNED,
 * ERR_OUT_OF_BOUNDS.
 */
CELL_API enum status frame_allocator_take_at(paddr_t start, uint64_t count, struct frames **out)
    OWN_ACQUIRES(**out);

/*
 * Frames of the nano_core image become RAM like any other: nothing is mapped to them any more.
 * ERR_NOT_FOUND when not all belong to the image still, ERR_NO_MEMORY.
 */
CELL_API MUST_CHECK enum status frame_allocator_give_image(paddr_t start, uint64_t count);

/*
 * Joins single frames that came back with their neighbours, which frees descriptors. It happens by
 * itself where frames are asked for by address, or in a run that is not found. O(log n) for each
 * frame that came back since the last time.
 */
CELL_API void frame_allocator_settle(void);

CELL_API struct frame_statistics frame_allocator_statistics(void);
