/* SPDX-License-Identifier: MIT */
/*
 * The stages, one after the other. All that a swap holds hangs on one structure, the work, whose
 * drop releases it: until the window nothing that anybody else sees has been written, but for the
 * mark `is_leaving` of the old cells, which the plan's end takes off.
 */
#include "swap.h"
#include "cell_namespace.h"
#include "heap_block.h"
#include "kill_deferral.h"
#include "mutex.h"
#include "parking.h"
#include "preemption.h"
#include "swap_priv.h"

CELL(library, "1.0.0");

OWN_DECLARE_LOCAL(swap_work);

/* ---- memory ---- */

enum status swap_refuse_memory(struct diag *diag)
{
    return diag_set(diag, DIAG_SWAP_MEMORY, &(struct diag_site){0});
}

enum status swap_refuse_step(struct diag *diag)
{
    return diag_set(diag, DIAG_SWAP_STEP, &(struct diag_site){0});
}

/* ---- the work ---- */

/* Unchecked: handles begin here. */
static enum status begin_work(const struct swap_request *request, const struct swap_items *items,
                              struct swap_work **out, struct diag *diag) OWN_ACQUIRES(**out);
OWN_UNCHECKED static enum status begin_work(const struct swap_request *request,
                                            const struct swap_items *items, struct swap_work **out,
                                            struct diag *diag)
{
    struct step_counter steps = {.fail = request->fail_step};
    if (step_fails(&steps) || !heap_block_take_zeroed(sizeof(struct swap_work), out)) {
        return swap_refuse_memory(diag);
    }
    struct swap_work *work = *out; /* zeros are one that has nothing to do */
    work->request = request;
    work->forgets = items->forgets;
    work->steps = steps;
    swap_plan_begin(&work->plan, request->namespace, items->list, request->pair_count,
                    &work->steps);
    work->plan.bundle = request->bundle;
    work->plan.has_fresh_constants = request->flags & SWAP_FRESH_RODATA;
    work->plan.is_carried_over = request->hooks && request->hooks->transfer;
    return OK;
}

/* ---- hooks ---- */

uint64_t swap_view_find(const struct swap_view *view, enum swap_side side, const char *symbol)
{
    const struct swap_plan *plan = &((const struct swap_work *)view)->plan;
    uint32_t count = side == SWAP_OLD ? plan->old_count : plan->new_count;
    for (uint32_t i = 0; i < count; i++) {
        const struct cell *cell = side == SWAP_OLD ? plan->old[i] : swap_plan_new_cell(plan, i);
        for (uint32_t k = 0; k < cell->symbol_count; k++) {
            if (__builtin_strcmp(cell->symbols[k].key.name, symbol) == 0) {
                return cell->symbols[k].address;
            }
        }
    }
    return 0;
}

static enum status prepare_hooks(struct swap_work *work, struct diag *diag)
{
    const struct swap_hooks *hooks = work->request->hooks;
    if (!hooks) {
        return OK;
    }
    work->is_prepared = true;
    if (step_fails(&work->steps)) {
        return swap_refuse_step(diag);
    }
    enum status status =
        hooks->prepare ? hooks->prepare(hooks->context, (const struct swap_view *)work) : OK;
    return status == OK ? OK : swap_refuse_hook(status, "prepare", diag);
}

static void finish_hooks(struct swap_work *work)
{
    if (work->is_prepared) {
        const struct swap_hooks *hooks = work->request->hooks;
        if (hooks->finish) {
            hooks->finish(hooks->context, work->state == SWAP_STATE_DONE);
        }
        COMPILER_BARRIER(); /* who was struck is told again */
        work->is_prepared = false;
    }
}

NOINLINE static void swap_work_drop(struct swap_work **handle)
{
    struct swap_work *work = *handle;
    if (!work) {
        return;
    }
    if (work->state == SWAP_STATE_COMMITTED) {
        swap_finish(work);
    }
    finish_hooks(work);
    swap_plan_fini(&work->plan);
    heap_block_give(&work->record);
    heap_block_give(&work->replaced);
    heap_block_give(&work->forgotten);
    heap_block_give_thing(handle);
}

/* ---- all stages ---- */

static enum status refuse_pairs(const char *name, struct diag *diag)
{
    return diag_set(diag, DIAG_SWAP_PAIRS, &(struct diag_site){.cell = name});
}

typedef enum status (*stage_function)(struct swap_work *work, struct diag *diag);

static enum status run_stage(struct swap_work *work, enum swap_stage stage, stage_function function,
                             struct diag *diag)
{
    uint64_t start = swap_ticks();
    work->report.stage = stage;
    enum status status = function(work, diag);
    work->report.ticks[stage] = swap_ticks() - start;
    return status;
}

static enum status load(struct swap_work *work, struct diag *diag)
{
    return swap_plan_load(&work->plan, diag);
}

static enum status verify(struct swap_work *work, struct diag *diag)
{
    return swap_plan_verify(&work->plan, diag);
}

static enum status plan(struct swap_work *work, struct diag *diag)
{
    enum status status = swap_plan_make(&work->plan, diag);
    return status == OK ? swap_record_create(work, diag) : status;
}

static enum status finish(struct swap_work *work, struct diag *diag)
{
    (void)diag;
    work->report.id = swap_finish(work);
    finish_hooks(work);
    return OK;
}

/* GCC's analyzer does not see that begin_work() has filled the slot: heap_block_take() does. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wanalyzer-null-dereference"
static enum status run_stages(struct swap_work *work, struct diag *diag)
{
    enum status status = run_stage(work, SWAP_LOAD, load, diag);
    if (status == OK) {
        status = run_stage(work, SWAP_VERIFY, verify, diag);
    }
    if (status == OK) {
        status = run_stage(work, SWAP_PLAN, plan, diag);
    }
    if (status != OK || (work->request->flags & SWAP_DRY_RUN)) {
        return status;
    }
    status = prepare_hooks(work, diag);
    if (status == OK) {
        status = run_stage(work, SWAP_COMMIT, swap_commit, diag);
    }
    return status == OK ? run_stage(work, SWAP_RETIRE, finish, diag) : status;
}
#pragma GCC diagnostic pop

static void report_plan(struct swap_report *report, const struct swap_plan *plan)
{
    const struct swap_plan_counts *counts = &plan->counts;
    report->old_cells = plan->old_count;
    report->new_cells = plan->new_count;
    report->checked = counts->checked;
    report->patches = counts->patches;
    report->entries = counts->entries;
    report->stores = counts->stores;
    report->adopted_variables = counts->adopted_variables;
    report->adopted_constants = counts->adopted_constants;
    report->new_variables = counts->new_variables;
    report->removed_variables = counts->removed_variables;
    report->transferred = counts->transferred;
    report->fresh = counts->fresh;
    report->kept = counts->kept;
    __builtin_memcpy(report->kept_name, counts->kept_name, sizeof(report->kept_name));
}

static enum status swap_items(const struct swap_request *request, const struct swap_items *items,
                              struct swap_report *out_report, struct diag *diag)
{
    OWNED(swap_work, work);
    enum status status = begin_work(request, items, SLOT(work), diag);
    if (status != OK) {
        return status;
    }
    status = run_stages(REF(work), diag);
    REF(work)->report.steps = REF(work)->steps.count;
    report_plan(&REF(work)->report, &REF(work)->plan);
    if (out_report) {
        *out_report = REF(work)->report;
    }
    return status;
}

/* Old cells are freed when the work is gone: it knows them, and holds what was stored to them. */
static enum status run(const struct swap_request *request, const struct swap_items *items,
                       struct swap_report *out_report, struct diag *diag)
{
    enum status status = swap_items(request, items, out_report, diag);
    if (status == OK && !(request->flags & SWAP_DRY_RUN)) {
        uint64_t start = swap_ticks();
        swap_retire_if_many();
        if (out_report) {
            out_report->ticks[SWAP_RETIRE] += swap_ticks() - start;
        }
    }
    return status;
}

static const struct kill_deferral swapping = {.what = "a swap"};

/*
 * Holds the loader's lock to the end of the block. Who waits for it can be killed; who has it is
 * when it has swapped, or has taken everything back.
 */
#define SWAP_GUARD(name)                        \
    may_wait();                                 \
    GUARD(mutex, name, cell_namespace_mutex()); \
    GUARD(kill_deferral, name##_deferral, &swapping)

/* As the loader: who must not wait traps, whether or not it would have to. */
static void may_wait(void)
{
    if (parking_self() && (preemption_count() > 0 || !interrupts_enabled())) {
        __builtin_trap();
    }
}

enum status swap_cells(const struct swap_request *request, struct swap_report *out_report,
                       struct diag *diag)
{
    if (out_report) {
        *out_report = (struct swap_report){0};
    }
    if (request->pair_count == 0 || request->pair_count > SWAP_MAX_PAIRS) {
        return refuse_pairs(NULL, diag);
    }
    SWAP_GUARD(held);
    OWNED(heap_block, block);
    if (!heap_block_take(request->pair_count * sizeof(struct swap_item), SLOT(block))) {
        return swap_refuse_memory(diag);
    }
    struct swap_item *items = heap_block_of(*SLOT(block));
    for (uint32_t i = 0; i < request->pair_count; i++) {
        items[i] = (struct swap_item){
            .old_name = request->pairs[i].old_name,
            .new_name = request->pairs[i].new_name,
        };
    }
    const struct swap_items asked = {.list = items, .forgets = request->continues};
    return run(request, &asked, out_report, diag);
}

enum status swap_rollback(uint64_t id, uint64_t timeout_ns, struct swap_report *out_report,
                          struct diag *diag)
{
    if (out_report) {
        *out_report = (struct swap_report){0};
    }
    SWAP_GUARD(held);
    const struct swap_record *record = swap_record_find(id);
    if (!record) {
        return diag_set(diag, DIAG_SWAP_UNKNOWN, &(struct diag_site){.found = id});
    }
    const struct swap_request request = {
        .namespace = swap_record_namespace(record),
        .pair_count = swap_record_count(record),
        .timeout_ns = timeout_ns,
    };
    const struct swap_items back = {.list = swap_record_items(record), .forgets = id};
    return run(&request, &back, out_report, diag);
}

uint32_t swap_retire(void)
{
    SWAP_GUARD(held);
    return swap_retire_locked();
}
