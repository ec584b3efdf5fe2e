/* SPDX-License-Identifier: MIT */
/*
 * swap_figures.h - what many swaps of one kind cost: the median and the worst, of each stage.
 *
 * Why: one swap says little, and a mean hides the one that took long. Applications that swap again
 * and again collect the reports of their swaps here, and print what scripts/bench reads.
 *
 * Rules: one task at a time for each struct swap_figures; zeroed it is empty. No memory is taken.
 */
#pragma once

#include "swap.h"

#define SWAP_FIGURES_MAX    100u                   /* swaps that are counted, the first ones */
#define SWAP_FIGURES_WINDOW SWAP_STAGE_COUNT       /* behind the stages: the stopped window */
#define SWAP_FIGURES_KINDS  (SWAP_STAGE_COUNT + 1) /* what is measured of each swap */

struct swap_figures {
    uint32_t count;
    uint32_t patches; /* these of the swap that had most */
    uint32_t entries;
    uint32_t stores;
    uint64_t ticks[SWAP_FIGURES_KINDS][SWAP_FIGURES_MAX];
};

struct swap_figure {
    uint64_t median; /* ticks; of an even number of swaps the greater of the two in the middle */
    uint64_t worst;
};

/* A committed swap's report. What is beyond SWAP_FIGURES_MAX is left out. */
CELL_API void swap_figures_add(struct swap_figures *figures, const struct swap_report *report);

/* `kind`: a stage, or SWAP_FIGURES_WINDOW. Sorts its ticks; zeroes when there are none. */
CELL_API struct swap_figure swap_figures_of(struct swap_figures *figures, uint32_t kind);

/*
 * Prints lines `figure swap_NAME_KIND_median TICKS`, the same with `worst`, and lines `time
 * swap_NAME_KIND_.. NANOSECONDS` by the clock, for load, verify, plan, commit, retire and window;
 * and `figure` lines with patches, entries and stores.
 */
CELL_API void swap_figures_print(struct swap_figures *figures, const char *name);
