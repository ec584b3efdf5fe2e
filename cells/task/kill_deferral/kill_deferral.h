/* SPDX-License-Identifier: MIT */
/*
 * kill_deferral.h - scopes in which the running task is not ended by a kill.
 *
 * Why: a kill strikes between any two instructions (task.h), and what is not in a slot just then is lost.
 * Most code needs nothing against that: it holds preemption where it must not be interrupted. Where
 * something takes long, may wait, and cannot be left in the middle, it says so here; and who asks why a task
 * does not end is told what it says.
 *
 *      static const struct kill_deferral loading = {.what = "loading cells"};
 *      GUARD(kill_deferral, deferred, &loading);     to the end of the block
 *
 * Rules: tasks only; guards nest. A kill that came meanwhile strikes when the outermost guard ends, inside
 * of its drop, with the guard empty already. The guards are slots, found on the task's chain: there is
 * no count that a fault could leave wrong. A task that waits inside of one may be woken for nothing by
 * the kill, as parking.h allows.
 */
#pragma once

#include "own.h"

struct OWN_LOCK("kill deferral") kill_deferral {
    const char *what; /* for reports: what is going on, "loading cells" */
};
OWN_DECLARE_LOCK(kill_deferral);

static inline void kill_deferral_lock(const struct kill_deferral *which,
                                      struct kill_deferral **guard) OWN_LOCKS(*which) OWN_UNCHECKED;
static inline void kill_deferral_lock(const struct kill_deferral *which,
                                      struct kill_deferral **guard)
{
    FILL(guard, (struct kill_deferral *)(uintptr_t)which);
}

/* A kill of the calling task that was deferred strikes here, unless something defers it still. */
CELL_API void kill_deferral_check(void);

/* What kill_deferral_check() calls: by whoever runs tasks, once. */
CELL_API void kill_deferral_set_check(void (*check)(void));
