/* SPDX-License-Identifier: MIT */
/* swap_figures.c - collects, sorts, prints. */
#include "swap_figures.h"

#include "clock.h"
#include "console.h"
#include "sort.h"

CELL(library, "1.0.0");

static const char *const kinds[SWAP_FIGURES_KINDS] = {
    [SWAP_LOAD] = "load",     [SWAP_VERIFY] = "verify", [SWAP_PLAN] = "plan",
    [SWAP_COMMIT] = "commit", [SWAP_RETIRE] = "retire", [SWAP_FIGURES_WINDOW] = "window",
};

static void raise_to(uint32_t *most, uint32_t value)
{
    *most = value > *most ? value : *most;
}

void swap_figures_add(struct swap_figures *figures, const struct swap_report *report)
{
    if (figures->count == SWAP_FIGURES_MAX) {
        return;
    }
    for (uint32_t stage = 0; stage < SWAP_STAGE_COUNT; stage++) {
        figures->ticks[stage][figures->count] = report->ticks[stage];
    }
    figures->ticks[SWAP_FIGURES_WINDOW][figures->count] = report->window_ticks;
    raise_to(&figures->patches, report->patches);
    raise_to(&figures->entries, report->entries);
    raise_to(&figures->stores, report->stores);
    figures->count++;
}

static bool comes_before(const void *a, const void *b)
{
    return *(const uint64_t *)a < *(const uint64_t *)b;
}

struct swap_figure swap_figures_of(struct swap_figures *figures, uint32_t kind)
{
    if (figures->count == 0) {
        return (struct swap_figure){0};
    }
    uint64_t *ticks = figures->ticks[kind];
    sort_array(ticks, figures->count, sizeof(ticks[0]), comes_before);
    return (struct swap_figure){.median = ticks[figures->count / 2],
                                .worst = ticks[figures->count - 1]};
}

static void print_line(const char *name, const char *kind, const char *which, uint64_t ticks)
{
    console_print("figure swap_%s_%s_%s %lu\ntime swap_%s_%s_%s %lu\n", name, kind, which,
                  (unsigned long)ticks, name, kind, which, (unsigned long)clock_ns_of(ticks));
}

void swap_figures_print(struct swap_figures *figures, const char *name)
{
    for (uint32_t kind = 0; kind < SWAP_FIGURES_KINDS; kind++) {
        struct swap_figure figure = swap_figures_of(figures, kind);
        print_line(name, kinds[kind], "median", figure.median);
        print_line(name, kinds[kind], "worst", figure.worst);
    }
    console_print(
        "figure swap_%s_patches %u\nfigure swap_%s_entries %u\nfigure swap_%s_stores %u\n", name,
        (unsigned)figures->patches, name, (unsigned)figures->entries, name,
        (unsigned)figures->stores);
}
