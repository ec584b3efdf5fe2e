/* SPDX-License-Identifier: MIT */
/*
 * frame_allocator.h - which frames of physical memory are free.
 *
 * Why: each frame has at most one owner. This cell owns those that nobody else does.
 *
 * Rules: never free are: what the firmware does not call usable, the first megabyte (firmware data,
 * and where other CPUs start), the nano_core image, the boot information and all modules. Frames
 * are handed out as they are, not zeroed. One CPU with interrupts off, for now: no lock.
 */
#pragma once

#include "memory.h"
#include "status.h"

struct boot_info;

/* Ranges of free frames; UEFI leaves up to about 200, the rest is room for fragmentation. */
#define FRAME_ALLOCATOR_RANGES 1024

struct frame_statistics {
    uint64_t total; /* frames that this allocator manages */
    uint64_t free;
    size_t ranges; /* runs that the free frames form */
    uint64_t lost; /* given back, but there was no room to remember them */
};

/*
 * Takes over the usable memory of `boot` without the `image_bytes` at `image_start` and the other
 * exceptions above. ERR_LIMIT when that makes more than FRAME_ALLOCATOR_RANGES ranges,
 * ERR_NO_MEMORY when nothing is left.
 */
MUST_CHECK CELL_API enum status frame_allocator_init(const struct boot_info *boot,
                                                     paddr_t image_start, uint64_t image_bytes);

/* Takes `count` consecutive frames, the lowest there are. ERR_NO_MEMORY when there is no such run.
 */
MUST_CHECK CELL_API enum status frame_allocator_take(size_t count, paddr_t *out_start);

/*
 * Takes one frame, the highest there is: for what stays for long, such as page tables, so that it
 * does not cut into pieces what comes and goes. ERR_NO_MEMORY.
 */
MUST_CHECK CELL_API enum status frame_allocator_take_top(paddr_t *out_frame);

/*
 * Gives back frames that were taken, in any grouping. ERR_EXISTS when one of them is free already,
 * ERR_OUT_OF_BOUNDS when this allocator never managed it: both are errors of the caller, and
 * nothing changes. Frames for which there is no room are lost, counted, and reported with
 * ERR_LIMIT.
 */
MUST_CHECK CELL_API enum status frame_allocator_give_back(paddr_t start, size_t count);

CELL_API struct frame_statistics frame_allocator_statistics(void);
