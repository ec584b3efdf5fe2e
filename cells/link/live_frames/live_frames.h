/* SPDX-License-Identifier: MIT */
/*
 * live_frames.h - which code is on whose stack.
 *
 * Why: code may be replaced at any time, but not what a function relies on that is in the middle of
 * its work; and code may go only when nobody returns into it. Both ask all stacks: those of tasks
 * that run, are ready, wait or have not begun; of idle CPUs, handlers of interrupts and exceptions,
 * and of the system before there are tasks.
 *
 * What is told is never too little. A stack is unwound from where its CPU or its context stands.
 * Where the unwinder does not get to the stack's top (`unreliable`, or code without a caller in the
 * middle), each word of the rest that points into the text of a cell is told as LIVE_WORD: it may
 * be a return address, or was one. A stack that cannot be read at all is told as LIVE_UNKNOWN.
 * While what a fault left is released, on a stack of its own (catch.h), all of the task's own stack
 * is told in words.
 *
 * Rules: no allocation, no lock. Two ways:
 *  - at one moment: who has stopped all other CPUs (remote_stop_begin()) calls live_frames_visit()
 *    or live_frames_find(). Before there are other CPUs any `stop` is as good; it takes the
 *    caller's stack and those of all tasks. Frames of this cell on the caller's stack are left out.
 *  - one stack after the other, beside others: live_frames_sweep(), in a task, with nothing held.
 *    What nobody can newly call (all that led there leads elsewhere now) can only disappear from a
 *    stack. So when a sweep that began after that has ended and has not told of it, it is on no
 *    stack.
 * Cells that were replaced stay in the address map as long as they may be found here: else their
 * frames cannot be walked through.
 */
#pragma once

#include "cell_metadata.h"
#include "own.h"
#include "remote_call.h"
#include "task_state.h"

enum live_kind {
    LIVE_FRAME,   /* walked to */
    LIVE_WORD,    /* a word of a stack, behind the last frame that was walked to */
    LIVE_UNKNOWN, /* this stack could not be read: anything may be on it */
};

struct live_frame {
    enum live_kind kind;
    const char *task;              /* its name; "no task": a CPU before it has any */
    uint64_t number;               /* of the task; 0: no task */
    uint32_t depth;                /* 0 is the innermost */
    uint64_t address;              /* a return address, or where it goes on */
    const struct section *section; /* of text; NULL: of no cell */
};

/* Told of a frame; false: enough. Interrupts are off: it is short, and waits for nobody. */
typedef bool (*live_frame_visitor_t)(const struct live_frame *frame, void *context);

struct live_counts {
    uint32_t stacks;
    uint32_t frames;
    uint32_t words;   /* that were told */
    uint32_t partial; /* stacks that were not walked to their top */
};

/*
 * Tells of all frames on all stacks. False if the visitor had enough. `stop` is the caller's;
 * `out_counts` may be NULL.
 */
CELL_API bool live_frames_visit(const struct remote_stop *stop, live_frame_visitor_t visit,
                                void *context, struct live_counts *out_counts) OWN_BORROWS(*stop);

/* What was found first, in words that stay. */
struct live_finding {
    enum live_kind kind;
    char task[TASK_NAME_SIZE];
    uint64_t number;
    uint32_t depth;
    const struct section *section; /* its cell is one of those asked for; NULL: LIVE_UNKNOWN */
    uint64_t offset;               /* in the section */
};

/* Does any stack hold, or may it hold, a frame in one of these cells? If so, writes the first. */
CELL_API bool live_frames_find(const struct remote_stop *stop, const struct cell *const *cells,
                               size_t count, struct live_finding *out) OWN_BORROWS(*stop);

/*
 * The parts of all stacks that are in use, from the stack pointer to the top; of the caller's from
 * `own_stack` on. Registers are in the parts of those that do not run, or where their CPU noted
 * them (remote_place). False: a stack pointer leads to no stack. Within a stop, as
 * live_frames_visit().
 */
typedef void (*live_stack_visitor_t)(uint64_t low, uint64_t high, void *context);
CELL_API MUST_CHECK bool live_frames_stacks(const struct remote_stop *stop, uint64_t own_stack,
                                            live_stack_visitor_t visit, void *context)
    OWN_BORROWS(*stop);

/* How far a sweep is; all zeros at the beginning. */
struct live_sweep {
    uint32_t cpu;  /* whose idle task is next */
    uint64_t task; /* all with numbers up to this have been looked at */
    bool is_done;
    struct live_counts counts;
};

/*
 * Goes on with up to `most` stacks. `is_done`: all have been told. What the visitor returns is not
 * looked at. ERR_TIMEOUT: a CPU did not answer; the sweep can go on. ERR_AGAIN: a task never stood
 * still for long enough.
 */
CELL_API MUST_CHECK enum status live_frames_sweep(struct live_sweep *sweep, uint32_t most,
                                                  live_frame_visitor_t visit, void *context);
