/* SPDX-License-Identifier: MIT */
/*
 * timer.h - calls a function at a time, or again and again.
 *
 * Why: who only wants something done later needs no task of his own. Functions are called by one
 * task, `timers`, not in the interrupt: so they may wait and take locks, though not for long, for
 * the others wait for them.
 *
 * Rules: in tasks only. A timer is owned; its drop returns when its function does not run and never will
 * again, so what `context` points to may go then. Nobody drops a timer in a timer's function, or while he
 * holds a lock that its function takes. A function that faults is not called again, and the log says so.
 * A fault or a kill at any instruction leaves a timer made or not made, dropped or not dropped. After a fault
 * in the task itself, outside of a timer's function, it goes on with what it had begun (a service, task.h): no call
 * is lost or made twice. Where it was killed, the next timer that is made gets another task.
 */
#pragma once

#include "own.h"

struct OWN_CAPABILITY("timer") timer;
OWN_DECLARE(timer);

typedef void (*timer_function_t)(void *context);

/*
 * Calls function(context) at `deadline` (parking.h), and if `period_ns` is not 0 again at each multiple
 * after it; calls that were missed are left out. ERR_NO_MEMORY, ERR_INVALID_ARGUMENT for a function that
 * is NULL; the first one: or as task_spawn().
 */
CELL_API enum status timer_create(uint64_t deadline, uint64_t period_ns, timer_function_t function,
                                  void *context, struct timer **out) OWN_ACQUIRES(**out);
