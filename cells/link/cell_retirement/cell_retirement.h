/* SPDX-License-Identifier: MIT */
/*
 * cell_retirement.h - when memory of replaced cells may go.
 *
 * Why: a cell that was replaced is needed by whoever is in the middle of it, and by whoever holds a
 * pointer to one of its constants or variables: the name of a lock, say. Neither is on record. So
 * all stacks are asked (live_frames.h), and all memory (pointer_scan.h). What is on record,
 * dependencies and entries, is the business of who replaced it.
 *
 * Two observations make it cheap. Nothing new calls what was replaced: all that led there leads to
 * its successor. So a stack that has been seen without a frame of it never gets one, and stacks can
 * be looked at one after the other, while others run. And what has not been written since it was
 * looked at holds what it held: so only the little that changed meanwhile is looked at with all
 * CPUs stopped.
 *
 * Words in a replaced cell's own memory, and its metadata, do not keep it; those in another
 * replaced cell keep it as long as that one stays. Variables that a successor has adopted are not
 * the cell's any more: they, and what else lies in their region, stay, and what they point to does.
 *
 * A fault in the middle leaves nothing behind but a scan that is begun anew.
 */
#pragma once

#include "cell_metadata.h"
#include "live_frames.h"

struct cell_namespace;

/*
 * Of the namespace's replaced cells those marked `is_leaving` are about to go. Takes the mark off
 * each that a stack or a pointer keeps, and notes why. False: that could not be found out, so all
 * must stay (no memory, or a CPU that does not answer). In a task that holds cell_namespace_mutex()
 * and nothing else.
 */
CELL_API MUST_CHECK bool cell_retirement_spare(struct cell_namespace *namespace);

/*
 * Of a cell of the static image that goes: gives the pages of its text and constants back to the
 * frame allocator. Its data stay, for variables of its successor are there. It is in no address map
 * any more. May be repeated.
 */
CELL_API void cell_retirement_release_image(const struct cell *cell);

enum retirement_keeper {
    RETIREMENT_FRAME,   /* a frame on a stack */
    RETIREMENT_WORD,    /* a word of a stack that cannot be walked, which may be a return address */
    RETIREMENT_UNKNOWN, /* a stack that cannot be read */
    RETIREMENT_POINTER, /* a word of memory */
    RETIREMENT_CELL,    /* a word in another replaced cell, which stays */
};

/* Why a cell was kept when it was looked at last. */
struct retirement_finding {
    const struct cell *cell; /* to be compared only */
    enum retirement_keeper keeper;
    char task[TASK_NAME_SIZE]; /* of the first three */
    uint32_t depth;            /* of the frame */
    const struct section
        *section; /* of the cell: where the frame is, or what is pointed to; or NULL */
    uint64_t offset;
    uint64_t where; /* of the last two: the address of the word */
};

/* The finding of that number, from 0 on: false at the end. The caller holds cell_namespace_mutex().
 */
CELL_API bool cell_retirement_finding(uint32_t number, struct retirement_finding *out);

/* "task `x`, frame 3 in .text.f+0x12". Returns the length, as snprintf does. */
CELL_API size_t cell_retirement_describe(const struct retirement_finding *finding, char *buffer,
                                         size_t size);

/* Sums since the start; ticks of the time stamp counter. */
struct retirement_statistics {
    uint64_t passes;
    uint64_t cells; /* that were looked at in them */
    uint64_t kept_by_stacks;
    uint64_t kept_by_pointers;
    uint64_t stacks;
    uint64_t pages;         /* looked at beside others */
    uint64_t changed_pages; /* and again, in the window */
    uint64_t sweep_ticks;
    uint64_t scan_ticks; /* the window not counted */
    uint64_t window_ticks;
    uint64_t longest_window;
};

CELL_API struct retirement_statistics cell_retirement_statistics(void);
