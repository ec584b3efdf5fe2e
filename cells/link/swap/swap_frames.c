/* SPDX-License-Identifier: MIT */
/*
 * Who is in the middle of an old cell? Asked of all stacks at once, while all other CPUs stand
 * still.
 */
#include "live_frames.h"
#include "swap_priv.h"

bool swap_find_frame(struct swap_work *work, const struct remote_stop *stop, struct diag *diag)
{
    struct live_finding finding;
    if (!live_frames_find(stop, (const struct cell *const *)work->plan.old, work->plan.old_count,
                          &finding)) {
        return false;
    }
    const struct section *section = finding.section;
    (void)!diag_set(diag, DIAG_SWAP_FRAMES,
                    &(struct diag_site){
                        .cell = section ? section->cell->name : work->plan.old[0]->name,
                        .section = section ? section->name : "a stack that cannot be read",
                        .symbol = finding.task,
                        .offset = finding.offset,
                        .found = finding.number,
                    });
    return true;
}
