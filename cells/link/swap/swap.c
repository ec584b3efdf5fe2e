/* SPDX-License-Identifier: MIT */
/*
 * The stages, one after the other. All that a swap holds hangs on one structure, the work, whose
 * drop releases it: until the window nothing that anybody else sees has been written, but for the
 * mark `is_leaving` of the old cells, which the drop takes off.
 */
#include "swap.h"
#include "address_map.h"
#include "cell_namespace.h"
#include "heap.h"
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

void *swap_allocate(struct swap_work *work, size_t size)
{
    return step_fails(&work->steps) ? NULL : heap_allocate(size);
}

bool swap_grow(struct swap_work *work, void **list, uint32_t count, uint32_t *capacity, size_t size)
{
    if (count < *capacity) {
        return true;
    }
    uint32_t more = *capacity ? 2 * *capacity : 16;
    void *grown = swap_allocate(work, more * size);
    if (!grown) {
        return false;
    }
    if (count > 0) {
        __builtin_memcpy(grown, *list, count * size);
    }
    heap_free(*list);
    *list = grown;
    *capacity = more;
    return true;
}

struct cell *swap_new_cell(const struct swap_work *work, uint32_t index)
{
    return loader_aside_cell(STORED(work->aside), index);
}

/* ---- the work ---- */

/* Unchecked: handles begin here. */
static enum status begin_work(const struct swap_request *request, const struct swap_item *items,
                              struct swap_work **out, struct diag *diag) OWN_ACQUIRES(**out);
OWN_UNCHECKED static enum status begin_work(const struct swap_request *request,
                                            const struct swap_item *items, struct swap_work **out,
                                            struct diag *diag)
{
    struct step_counter steps = {.fail = request->fail_step};
    struct swap_work *work = step_fails(&steps) ? NULL : heap_allocate_zeroed(sizeof(*work));
    if (!work) {
        return swap_refuse_memory(diag);
    }
    work->request = request;
    work->items = items;
    work->steps = steps;
    FILL(out, work);
    return OK;
}

/* ---- hooks ---- */

uint64_t swap_view_find(const struct swap_view *view, enum swap_side side, const char *symbol)
{
    const struct swap_work *work = (const struct swap_work *)view;
    uint32_t count = side == SWAP_OLD ? work->old_count : work->new_count;
    for (uint32_t i = 0; i < count; i++) {
        const struct cell *cell = side == SWAP_OLD ? work->old[i] : swap_new_cell(work, i);
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
    const struct swap_hooks *hooks = work->request->hooks;
    if (work->is_prepared) {
        work->is_prepared = false;
        if (hooks->finish) {
            hooks->finish(hooks->context, work->state == SWAP_STATE_DONE);
        }
    }
}

static void destroy_names(struct swap_names *names, uint32_t count)
{
    for (uint32_t i = 0; names && i < count; i++) {
        swap_names_destroy(&names[i]);
    }
    heap_free(names);
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
    /* Of a swap that is done some old cells are gone already. */
    for (uint32_t i = 0; work->state != SWAP_STATE_DONE && i < work->old_count; i++) {
        work->old[i]->is_leaving = false;
    }
    loader_aside_drop(&work->aside);
    destroy_names(work->old_names, work->old_count);
    destroy_names(work->new_names, work->new_count);
    if (work->table) {
        address_map_discard(work->table);
    }
    swap_record_destroy(work->record);
    void *const blocks[] = {work->old,
                            work->links,
                            work->adoptions,
                            work->inheritances,
                            work->transfers,
                            work->patches.stores,
                            work->metadata.stores,
                            (void *)work->symbols.slots,
                            (void *)work->names.slots};
    for (size_t i = 0; i < ARRAY_COUNT(blocks); i++) {
        heap_free(blocks[i]);
    }
    EMPTY(handle);
    heap_free(work);
}

/* ---- load ---- */

static enum status refuse_pairs(const char *name, struct diag *diag)
{
    return diag_set(diag, DIAG_SWAP_PAIRS, &(struct diag_site){.cell = name});
}

static enum status find_old_cells(struct swap_work *work, struct diag *diag)
{
    const struct swap_request *request = work->request;
    work->old = swap_allocate(work, request->pair_count * sizeof(struct cell *));
    work->links = swap_allocate(work, request->pair_count * sizeof(*work->links));
    if (!work->old || !work->links) {
        return swap_refuse_memory(diag);
    }
    for (uint32_t i = 0; i < request->pair_count; i++) {
        const char *name = work->items[i].old_name;
        struct cell *cell = name ? cell_namespace_find_cell(request->namespace, name) : NULL;
        if (name && (!cell || cell->namespace != request->namespace)) {
            return diag_set(diag, DIAG_SWAP_CELL, &(struct diag_site){.cell = name});
        }
        if (!name && !work->items[i].new_name) {
            return refuse_pairs(NULL, diag);
        }
        if (cell && !cell->is_leaving) { /* in several pairs: it is split */
            work->old[work->old_count++] = cell;
            cell->is_leaving = true; /* the drop takes that back */
        }
    }
    return OK;
}

static enum status stage_new_cells(struct swap_work *work, struct diag *diag)
{
    const struct swap_request *request = work->request;
    OWNED(loader_aside, aside);
    enum status status =
        loader_aside_begin(request->namespace, request->bundle, &work->steps, SLOT(aside), diag);
    if (status != OK) {
        return status;
    }
    for (uint32_t i = 0; status == OK && i < request->pair_count; i++) {
        const struct swap_item *item = &work->items[i];
        if (item->new_name) {
            status = item->object.size > 0
                         ? loader_aside_add_object(REF(aside), item->new_name, item->object, diag)
                         : loader_aside_add(REF(aside), item->new_name, diag);
        }
    }
    if (status == OK) {
        status = loader_aside_close(REF(aside), diag);
    }
    STORE(work->aside, aside);
    return status;
}

static enum status link_pairs(struct swap_work *work, struct diag *diag)
{
    for (uint32_t i = 0; i < work->request->pair_count; i++) {
        const struct swap_item *item = &work->items[i];
        if (!item->old_name || !item->new_name) {
            continue;
        }
        uint32_t index = 0;
        while (index < work->new_count &&
               __builtin_strcmp(swap_new_cell(work, index)->name, item->new_name) != 0) {
            index++;
        }
        if (index == work->new_count) {
            return refuse_pairs(item->new_name, diag);
        }
        work->links[work->link_count++] = (struct swap_link){
            .old = cell_namespace_find_cell(work->request->namespace, item->old_name),
            .new = index,
        };
    }
    return OK;
}

static enum status make_names(struct swap_work *work, struct diag *diag)
{
    uint32_t new_count = loader_aside_count(STORED(work->aside));
    work->old_names = swap_allocate(work, (work->old_count + 1) * sizeof(*work->old_names));
    work->new_names = swap_allocate(work, (new_count + 1) * sizeof(*work->new_names));
    if (!work->old_names || !work->new_names) {
        return swap_refuse_memory(diag);
    }
    __builtin_memset(work->old_names, 0, (work->old_count + 1) * sizeof(*work->old_names));
    __builtin_memset(work->new_names, 0, (new_count + 1) * sizeof(*work->new_names));
    work->new_count = new_count;
    enum status status = OK;
    for (uint32_t i = 0; status == OK && i < work->old_count; i++) {
        status = swap_names_create(&work->old_names[i], work->old[i], &work->steps, diag);
    }
    for (uint32_t i = 0; status == OK && i < new_count; i++) {
        status = swap_names_create(&work->new_names[i], swap_new_cell(work, i), &work->steps, diag);
    }
    return status;
}

static enum status load(struct swap_work *work, struct diag *diag)
{
    enum status status = find_old_cells(work, diag);
    if (status == OK) {
        status = stage_new_cells(work, diag);
    }
    if (status == OK) {
        status = make_names(work, diag);
    }
    if (status == OK) {
        status = link_pairs(work, diag);
    }
    if (status == OK) {
        status = swap_match(work, diag);
    }
    if (status == OK) {
        status = loader_aside_build(STORED(work->aside), diag);
    }
    work->report.old_cells = work->old_count;
    work->report.new_cells = work->new_count;
    return status;
}

/* ---- all stages ---- */

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

static enum status finish(struct swap_work *work, struct diag *diag)
{
    (void)diag;
    work->report.id = swap_finish(work);
    finish_hooks(work);
    return OK;
}

static enum status run_stages(struct swap_work *work, struct diag *diag)
{
    enum status status = run_stage(work, SWAP_LOAD, load, diag);
    if (status == OK) {
        status = run_stage(work, SWAP_VERIFY, swap_verify, diag);
    }
    if (status == OK) {
        status = run_stage(work, SWAP_PLAN, swap_plan, diag);
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

static enum status swap_items(const struct swap_request *request, const struct swap_item *items,
                              struct swap_report *out_report, struct diag *diag)
{
    OWNED(swap_work, work);
    enum status status = begin_work(request, items, SLOT(work), diag);
    if (status != OK) {
        return status;
    }
    status = run_stages(REF(work), diag);
    REF(work)->report.steps = REF(work)->steps.count;
    if (out_report) {
        *out_report = REF(work)->report;
    }
    return status;
}

/* Old cells are freed when the work is gone: it knows them, and holds what was stored to them. */
static enum status run(const struct swap_request *request, const struct swap_item *items,
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
    may_wait();
    GUARD(mutex, held, cell_namespace_mutex());
    struct swap_item *items = heap_allocate(request->pair_count * sizeof(*items));
    if (!items) {
        return swap_refuse_memory(diag);
    }
    for (uint32_t i = 0; i < request->pair_count; i++) {
        items[i] = (struct swap_item){
            .old_name = request->pairs[i].old_name,
            .new_name = request->pairs[i].new_name,
        };
    }
    enum status status = run(request, items, out_report, diag);
    heap_free(items);
    return status;
}

enum status swap_rollback(uint64_t id, uint64_t timeout_ns, struct swap_report *out_report,
                          struct diag *diag)
{
    if (out_report) {
        *out_report = (struct swap_report){0};
    }
    may_wait();
    GUARD(mutex, held, cell_namespace_mutex());
    struct swap_record *record = swap_recall(id);
    if (!record) {
        return diag_set(diag, DIAG_SWAP_UNKNOWN, &(struct diag_site){.found = id});
    }
    const struct swap_request request = {
        .namespace = swap_record_namespace(record),
        .pair_count = swap_record_count(record),
        .timeout_ns = timeout_ns,
    };
    enum status status = run(&request, swap_record_items(record), out_report, diag);
    if (status == OK) {
        swap_record_destroy(record);
    } else {
        swap_put_back(record);
    }
    return status;
}

uint32_t swap_retire(void)
{
    may_wait();
    GUARD(mutex, held, cell_namespace_mutex());
    return swap_retire_locked();
}
