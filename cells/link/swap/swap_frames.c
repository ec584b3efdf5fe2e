/* SPDX-License-Identifier: MIT */
/*
 * Who is in the middle of an old cell? Asked of all stacks at once, while all other CPUs stand still.
 */
#include "cell_namespace.h"
#include "live_frames.h"
#include "swap_priv.h"

bool swap_find_frame(struct swap_work *work, const struct remote_stop *stop, struct diag *diag)
{
    struct live_finding finding;
    if (!live_frames_find(stop, (const struct cell *const *)work->old, work->old_count, &finding)) {
        return false;
    }
    const struct section *section = finding.section;
    (void)!diag_set(diag, DIAG_SWAP_FRAMES,
                    &(struct diag_site){
                        .cell = section ? section->cell->name : work->old[0]->name,
                        .section = section ? section->name : "a stack that cannot be read",
                        .symbol = finding.task,
                        .offset = finding.offset,
                        .found = finding.number,
                    });
    return true;
}

/* The context is the namespace: what cannot be read may lead into any of its older versions. */
static bool spare(const struct live_frame *frame, void *context)
{
    const struct cell_namespace *namespace = context;
    if (frame->kind == LIVE_UNKNOWN) {
        for (struct cell *cell = namespace->retired; cell; cell = cell->next) {
            cell->is_leaving = false;
        }
        return false;
    }
    if (frame->section && frame->section->cell->is_retired) {
        frame->section->cell->is_leaving = false;
    }
    return true;
}

bool swap_spare_live(struct cell_namespace *namespace)
{
    OWNED(remote_stop, stop);
    if (remote_stop_begin(SLOT(stop)) != OK) {
        return false;
    }
    live_frames_visit(REF(stop), spare, namespace, NULL);
    return true;
}
