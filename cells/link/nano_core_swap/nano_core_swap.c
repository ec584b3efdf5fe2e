/* SPDX-License-Identifier: MIT */
/*
 * The swap is asked for by name, not linked: with it come tasks, and with them a scheduler. The one
 * that the boot options ask for must be there first.
 */
#include "nano_core_swap.h"
#include "boot_options.h"
#include "cell_namespace.h"
#include "cell_retirement.h"
#include "diag.h"
#include "format.h"
#include "heap_block.h"
#include "loader.h"
#include "logger.h"
#include "mutex.h"
#include "swap.h"

CELL(library, "1.0.0");

#define GO_ON_SYMBOL "nano_core_go_on"
#define LINE_SIZE    400u
#define NAME_SIZE    64u

typedef enum status (*swap_cells_t)(const struct swap_request *request,
                                    struct swap_report *out_report, struct diag *diag);
typedef uint32_t (*swap_retire_t)(void);
typedef bool (*finding_t)(uint32_t number, struct retirement_finding *out);
typedef size_t (*describe_t)(const struct retirement_finding *finding, char *buffer, size_t size);

static void log_diag(const char *what, const struct diag *diag)
{
    char line[LINE_SIZE];
    diag_format(diag, line, sizeof(line));
    log_error("%s: %s", what, line);
}

/* NULL, and a message, where there is none. */
static void *demand(const char *symbol)
{
    struct diag diag = {0};
    uint64_t address;
    if (loader_demand(cell_namespace_initial(), symbol, &address, &diag) != OK) {
        log_diag(symbol, &diag);
        return NULL;
    }
    return (void *)(uintptr_t)address;
}

/* As the captain does, who says so if there is no such scheduler. */
static void load_scheduler(void)
{
    const char *policy = boot_options_find("scheduler");
    char name[NAME_SIZE];
    struct cell *cell;
    struct diag diag;
    if (policy) {
        format_into(name, sizeof(name), "scheduler_%s", policy);
        (void)!loader_load(cell_namespace_initial(), name, &cell, &diag);
    }
}

/* A pair for each static cell; false without memory. */
static bool make_pairs(struct swap_request *request, struct heap_block **block)
{
    GUARD(mutex, held, cell_namespace_mutex());
    const struct cell_namespace *namespace = cell_namespace_initial();
    if (!heap_block_take(namespace->cell_count * sizeof(struct swap_pair), block)) {
        return false;
    }
    struct swap_pair *pairs = heap_block_of(*block);
    request->pairs = pairs;
    for (const struct cell *cell = namespace->first; cell; cell = cell->next) {
        if (cell->is_static) {
            pairs[request->pair_count++] = (struct swap_pair){cell->name, cell->name};
        }
    }
    return true;
}

static void log_report(const struct swap_report *report)
{
    log_info("%u static cells replaced: %u references, %u entries, %u variables adopted, %u new; "
             "%lu ticks, "
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
    swap_cells_t swap = (swap_cells_t)demand("swap_cells");
    if (!swap) {
        return ERR_NOT_FOUND;
    }
    OWNED(heap_block, block);
    if (!make_pairs(&request, SLOT(block))) {
        log_error("cannot swap the nano_core: %s", status_text(ERR_NO_MEMORY));
        return ERR_NO_MEMORY;
    }
    enum status status = swap(&request, &report, &diag);
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
    load_scheduler();
    if (swap_all() == OK) {
        void (*go_on)(void) = (void (*)(void))demand(GO_ON_SYMBOL);
        if (go_on) {
            go_on();
        }
    }
}

static void log_findings(void)
{
    finding_t find = (finding_t)demand("cell_retirement_finding");
    describe_t describe = (describe_t)demand("cell_retirement_describe");
    if (!find || !describe) {
        return;
    }
    GUARD(mutex, held, cell_namespace_mutex());
    struct retirement_finding finding;
    for (uint32_t i = 0; find(i, &finding); i++) {
        char line[LINE_SIZE];
        describe(&finding, line, sizeof(line));
        log_warning("%s stays: kept by %s", finding.cell->name, line);
    }
}

void nano_core_swap_finish(void)
{
    swap_retire_t retire = (swap_retire_t)demand("swap_retire");
    if (!retire) {
        return;
    }
    uint32_t left = retire();
    if (left == 0) {
        log_info("the static text and constants have been given back");
    } else {
        log_warning("%u static cells stay in memory", left);
        log_findings();
    }
}
