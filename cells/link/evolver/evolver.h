/* SPDX-License-Identifier: MIT */
/*
 * evolver.h - carries an evolution out: the running cells that a manifest names give way to its
 * bundle's.
 *
 * Why: a swap replaces what it is told to. Whether the running cells are those that somebody
 * compared, and the new ones those that he meant, is asked here, by their content hashes, before
 * anything is swapped.
 *
 * Rules: tasks only, interrupts enabled, nothing held, like swap_cells(), which it calls once for
 * each set, in order. Everything is checked first: a refusal of the manifest, the bundle or any
 * cell changes nothing. Then a set that cannot be swapped leaves the system as the sets before it
 * made it; those that come after it, by the manifest, are left out, the others go on. A swap that
 * failed because a function of transfer took too long is tried again, twice. One evolution at a
 * time: others wait. O(lines * cells) and the hashes.
 *
 * Of a line about cells becomes:
 *   - nothing, where the new content runs already;
 *   - an addition, where the old cell is not loaded: nobody shall load the old one later. Nothing,
 *     where another implementation of its interface is loaded in its place, and for a cell that
 *     only goes;
 *   - a pair of the swap.
 *
 * What an evolution has swapped can be taken back, in one swap: all of its sets or none. The latest
 * EVOLVER_REMEMBERED evolutions are remembered, the last one is taken back first; while the swap
 * itself remembers them (SWAP_REMEMBERED).
 */
#pragma once

#include "blake2b.h"
#include "own.h"
#include "span.h"
#include "status.h"
#include "swap.h"

struct cell_namespace;
struct mapped_pages;

#define EVOLVER_REMEMBERED 8u /* people try a few, and go back */

/* What became of a set. */
struct evolver_set {
    uint32_t number;
    uint32_t pair_count;   /* of the swap; 0: there was nothing to do */
    uint32_t same_count;   /* cells that have the new content already */
    uint32_t absent_count; /* not loaded, and not added */
    bool is_left_out;      /* it comes after a set that failed, was left out, or was only planned */
    enum status status;
    struct diag *diag;       /* where status is not OK */
    struct swap_report swap; /* where pair_count is not 0, and it was not left out */
};

struct evolver_request {
    struct cell_namespace *namespace;
    struct span manifest;
    uint64_t bundle_size; /* bytes of the bundle, from the start of its pages */
    uint32_t flags;       /* enum swap_flags, of each swap; SWAP_DRY_RUN: nothing changes */
    uint64_t timeout_ns;  /* likewise */
    /* Told of each set when it is done with; NULL: nobody. */
    void (*report)(void *context, const struct evolver_set *set);
    void *context;
};

/*
 * Takes the pages of the bundle, and keeps them if cells came from it. Refusals of the manifest:
 * evolution_open(). C0808 a running cell, C0809 and C03xx the bundle, C0810 and C01xx a cell in it,
 * C0811 a line about transfer, C0804 an inheritance from what is not in the set, C0812.
 * ERR_NO_MEMORY without a diag. Else the status of the first set that failed, with its diag.
 */
CELL_API enum status evolver_apply(const struct evolver_request *request,
                                   struct mapped_pages **bundle, struct diag *diag) MUST_CHECK
    OWN_CONSUMES(**bundle);

/* The same without a bundle: for manifests that name none. */
CELL_API MUST_CHECK enum status evolver_apply_alone(const struct evolver_request *request,
                                                    struct diag *diag);

/*
 * Takes the latest evolution back that swapped anything, and is not taken back yet. Waits up to
 * `timeout_ns` for frames of what it brought. ERR_NOT_FOUND, C0813: there is none; else as
 * swap_rollback(), and then it may be tried again. ERR_BUSY: somebody holds a cell that it added.
 * `out_report` is written in any case. The bundle stays.
 */
CELL_API MUST_CHECK enum status evolver_rollback(uint64_t timeout_ns,
                                                 struct swap_report *out_report, struct diag *diag);

/* How many evolutions can be taken back. */
CELL_API uint32_t evolver_remembered_count(void);

/* How many bundles are kept, for the cells that came from them. */
CELL_API uint32_t evolver_kept_count(void);
