/* SPDX-License-Identifier: MIT */
/*
 * frames.h - owned frames of physical memory.
 *
 * Why: who holds a `struct frames` owns these frames, and nobody else does. It stands for one or
 * more ranges in a given order, normally one.
 *
 * Rules: frame_allocator hands them out, implements what is here, and keeps no table of them. What
 * is owned can be cut in two and put together again, and goes back when it is dropped. O(log n) in
 * the number of free ranges for each range that goes back, else O(ranges of the handle). What one
 * handle is, its owner serialises; different ones are used on different CPUs at once.
 */
#pragma once

#include "memory.h"
#include "own.h"

struct commit_list;
struct OWN_CAPABILITY("frames") frames;
OWN_DECLARE(frames); /* frames_drop() gives every range back to where it came from */

enum frame_kind {
    FRAMES_RAM,
    FRAMES_RESERVED, /* by firmware, or a module: contents are somebody's, never cleared */
    FRAMES_DEVICE,   /* no memory at all: registers */
};
#define FRAME_KIND_COUNT 3

/* How many frames; the kind; and the first frame of the first range. */
CELL_API uint64_t frames_count(const struct frames *frames) OWN_BORROWS(*frames);
CELL_API enum frame_kind frames_kind(const struct frames *frames) OWN_BORROWS(*frames);
CELL_API paddr_t frames_start(const struct frames *frames) OWN_BORROWS(*frames);

/*
 * The ranges, in order: start with *cursor = NULL. False at the end.
 */
CELL_API bool frames_next_range(const struct frames *frames, const struct frames **cursor,
                                paddr_t *out_start, uint64_t *out_count) OWN_BORROWS(*frames);

/* Of frames in one range, as most are: its first frame, and whether it is stale (below). False, and nothing
 * is written: there are more. */
CELL_API bool frames_single_range(const struct frames *frames, paddr_t *out_start,
                                  bool *out_is_stale) OWN_BORROWS(*frames);

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

/*
 * The same for who changes more than frames in the moment of `list` (commit.h): these do everything
 * that can fail, and add what is left to it. Until that is committed *out_rest has no frames, and
 * may be empty; after it *rest has none, and may be empty; it is to be dropped where it is not.
 */
CELL_API MUST_CHECK enum status frames_plan_split(struct frames *frames, uint64_t first_count,
                                                  struct frames **out_rest,
                                                  struct commit_list *list) OWN_BORROWS(*frames);
CELL_API MUST_CHECK enum status frames_plan_merge(struct frames *frames, struct frames **rest,
                                                  struct commit_list *list) OWN_BORROWS(*frames);
