/* SPDX-License-Identifier: MIT */
/*
 * host_machine.h - what a swap wants of the machine, on a host: CPUs that stand still, stacks,
 * time.
 *
 * Why: the swap and the plan are ordinary C; what only a kernel can do is behind the interfaces of
 * remote_call, page_table, live_frames, cell_retirement, time_limit and task, which this file
 * implements for a process with one thread. So a test can say that a CPU does not stop, or that a
 * frame is in the way, and see what the swap makes of it.
 *
 * Rules: a test links this file instead of those cells (STUBS). host_machine_reset() before each
 * test. A rule of the window (swap.h: nothing is allocated in it) that is broken ends the test.
 */
#pragma once

#include "cell_metadata.h"

struct host_machine {
    /* What happens: */
    bool refuses_stop;           /* ERR_TIMEOUT */
    uint32_t frames;             /* so often a frame of `frame_of` is found */
    const struct cell *frame_of; /* NULL: a stack that cannot be read */
    const struct cell *keeps;    /* what a stack or a word still needs: it is not retired */
    bool refuses_limit;          /* the timer is not to be had */
    bool ends_calls;             /* what is called with a limit never comes back by itself */
    uint64_t tick;               /* nanoseconds that pass each time somebody asks */
    bool knows_nothing;          /* retirement cannot be found out */
    void (*in_window)(void);     /* called when all others have stopped; may be NULL */
    void (*in_sleep)(void);      /* called while somebody waits; may be NULL */

    /* What happened: */
    bool is_stopped;
    uint32_t stops;
    uint32_t searches; /* for frames */
    uint32_t sleeps;
    uint64_t now; /* nanoseconds; each sleep takes as long as it says */
};

extern struct host_machine host_machine;

void host_machine_reset(void);
