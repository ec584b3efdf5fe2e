/* SPDX-License-Identifier: MIT */
/*
 * pointer_scan.h - which words of memory point somewhere.
 *
 * Why: memory of a cell may go when nobody points there. What the linker wrote is on record, but
 * not what programs have stored since: the name of a lock in a block of the heap, the address of a
 * variable on a stack. C does not say which words are pointers; so each aligned word of all
 * writable memory counts, as in a conservative garbage collector.
 *
 * What is looked at: every page that is mapped writable and cached; of stacks the part that is in
 * use, with the saved registers there. Not: blocks of the heap that are free; registers of the
 * vector unit, unaligned words, memory that is mapped nowhere at the moment, devices.
 *
 * Programs go on meanwhile, and may carry a pointer from where nobody has looked yet to where
 * somebody has. So first everything is looked at once, beside them, a few pages at a time; and
 * then, with all other CPUs stopped, stacks and what was written since (page_table.h), which is
 * little. A target without hits then is pointed to by nobody.
 *
 * Rules: one scan at a time; begin, steps until `is_done`, then finish within a stop of all other
 * CPUs. Tasks, with nothing held; finish: no allocation, no lock. Words that keep the asker's own
 * addresses would be found: so targets hold theirs inverted, and who asks says which other words do
 * not count.
 */
#pragma once

#include "own.h"
#include "remote_call.h"

/* A range of addresses; and what was found. */
struct pointer_target {
    uint64_t inverted_start; /* ~ of the first address */
    uint64_t inverted_end;   /* ~ of the one behind the last */
    uint64_t hits;           /* words that point there */
    uint64_t where;          /* the first of them */
    uint64_t inverted_word;  /* ~ of what it holds */
    void *context;           /* the asker's */
};

/* Does the word at `where`, which points to the target, not count? Any context. */
typedef bool (*pointer_filter_t)(struct pointer_target *target, uint64_t where, void *context);

struct pointer_scan {
    struct pointer_target *targets; /* the asker's; sorted by address */
    uint32_t count;
    bool is_done; /* all pages have been looked at once */
    uint64_t next;
    uint64_t inverted_lowest;
    uint64_t inverted_highest;
    pointer_filter_t is_ignored; /* NULL: every word counts */
    void *context;
    uint64_t pages; /* that were looked at, so far */
    uint64_t changed_pages;
    uint64_t stack_bytes;
};

/* Sorts the targets, which do not overlap, and clears what was found. */
CELL_API void pointer_scan_begin(struct pointer_scan *scan, struct pointer_target *targets,
                                 uint32_t count, pointer_filter_t is_ignored, void *context);

/* Looks at up to `most` pages, of 4 KiB or 2 MiB. */
CELL_API void pointer_scan_step(struct pointer_scan *scan, uint32_t most);

/*
 * Looks at what has changed, and at all stacks; of the caller's from `own_stack` on, an address in
 * it. False: a stack could not be found, so nothing is certain.
 */
CELL_API MUST_CHECK bool pointer_scan_finish(struct pointer_scan *scan,
                                             const struct remote_stop *stop, uint64_t own_stack)
    OWN_BORROWS(*stop);

/* The target that holds `address`, or NULL: for who has words to look at himself. */
CELL_API struct pointer_target *pointer_scan_find(const struct pointer_scan *scan,
                                                  uint64_t address);

/* Counts a hit, as if a word at `where` held `word`. */
CELL_API void pointer_scan_hit(struct pointer_target *target, uint64_t where, uint64_t word);
