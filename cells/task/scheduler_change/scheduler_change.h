/* SPDX-License-Identifier: MIT */
/*
 * scheduler_change.h - replaces the scheduling policy while tasks run.
 *
 * Why: which policy is right shows when the load is there. The cell that implements scheduler.h is swapped
 * for another one; the tasks that are ready, which lie in run queues of a layout that only their
 * own policy knows, are carried over in the window of the swap: taken out by the old code in its order,
 * added by the new code in its own.
 *
 * Rules: as for swap_cells(). What runs goes on running; priorities count from the next decision on. A
 * failure leaves the tasks in their old queues, in the old order.
 */
#pragma once

#include "swap.h"

/*
 * Makes the cell `policy`, "scheduler_priority" say, the scheduler. Errors of swap_cells(); ERR_EXISTS
 * when it is that already; ERR_AGAIN when more tasks were spawned meanwhile than there was room for.
 * `fail_step`: for tests, that of swap_request; 0: none.
 */
CELL_API MUST_CHECK enum status scheduler_change(const char *policy, uint64_t fail_step,
                                                 struct swap_report *out_report, struct diag *diag);
