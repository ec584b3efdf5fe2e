/* SPDX-License-Identifier: MIT */
#include "nano_core_swap.h"
#include "boot_options.h"
#include "cell_namespace.h"
#include "cell_retirement.h"
#include "diag.h"
#include "heap.h"
#include "loader.h"
#include "logger.h"
#include "mutex.h"
#include "swap.h"

CELL(library, "1.0.0");

#define GO_ON_SYMBOL "nano_core_go_on"
#define LINE_SIZE    400u

static void log_diag(const char *what, const struct diag *diag)
{
    char line[LINE_SIZE];
    diag_format(diag, line, sizeof(line));
    log_error("%s: %s", what, line);
}

/* A pair for each static cell; NULL without memory. */
static struct swap_pair *make_pairs(uint32_t *out_count)
{
    GUARD(mutex, held, cell_namespace_mutex());
    const struct cell_namespace *namespace = cell_namespace_initial();
    struct swap_pair *pairs = heap_allocate(namespace->cell_count * sizeof(*pairs));
    *out_count = 0;
    for (const struct cell *cell = namespace->first; pairs && cell; cell = cell->next) {
        if (cell->is_static) {
            pairs[(*out_count)++] = (struct swap_pair){cell->name, cell->name};
        }
    }
    return pairs;
}

static void log_report(const struct swap_report *report)
{
    log_info("%u static cells swapped: %u references, %u entries, %u variables adopted, %u new; %lu ticks, "
             "of them %lu stopped",
             report->old_cells, report->patches, report->entries, report->adopted_variables,
             report->new_variables,
             (unsigned long)(report->ticks[SWAP_LOAD] + report->ticks[SWAP_VERIFY] +
                             report->ticks[SWAP_PLAN] + report->ticks[SWAP_COMMIT] +
                             report->ticks[SWAP_RETIRE]),
             (unsigned long)report->window_ticks);
}

static enum status swap_all(void)
{
    struct diag diag = {0};
    struct swap_report report;
    struct swap_request request = {
        .namespace = cell_namespace_initial(),
        .flags = SWAP_FRESH_RODATA,
    };
    struct swap_pair *pairs = make_pairs(&request.pair_count);
    if (!pairs) {
        log_error("cannot swap the nano_core: %s", status_text(ERR_NO_MEMORY));
        return ERR_NO_MEMORY;
    }
    request.pairs = pairs;
    enum status status = swap_cells(&request, &report, &diag);
    heap_free(pairs);
    if (status == OK) {
        log_report(&report);
    } else {
        log_diag("cannot swap the nano_core", &diag);
    }
    return status;
}

void nano_core_swap(void)
{
    const char *option = boot_options_find("nano_core");
    if (option && __builtin_strcmp(option, "keep") == 0) {
        log_info("the static cells stay, as asked for");
        return;
    }
    struct diag diag = {0};
    uint64_t address;
    if (swap_all() != OK) {
        return;
    }
    if (loader_demand(cell_namespace_initial(), GO_ON_SYMBOL, &address, &diag) != OK) {
        log_diag("cannot go on in the fresh nano_core", &diag);
        return;
    }
    void (*go_on)(void) = (void (*)(void))address;
    go_on();
}

static void log_findings(void)
{
    GUARD(mutex, held, cell_namespace_mutex());
    struct retirement_finding finding;
    for (uint32_t i = 0; cell_retirement_finding(i, &finding); i++) {
        char line[LINE_SIZE];
        cell_retirement_describe(&finding, line, sizeof(line));
        log_warning("%s stays: kept by %s", finding.cell->name, line);
    }
}

void nano_core_swap_finish(void)
{
    uint32_t left = swap_retire();
    if (left == 0) {
        log_info("the static text and constants have been given back");
    } else {
        log_warning("%u static cells stay in memory", left);
        log_findings();
    }
}
