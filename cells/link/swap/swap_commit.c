/* SPDX-License-Identifier: MIT */
/*
 * The window: all other CPUs stand still, and interrupts are off.
 *
 *   OPEN -> APPLYING         frames were looked for, where layouts change; the first store is next
 *   APPLYING -> OPEN         something failed: every store is taken back, last first
 *   APPLYING -> COMMITTED    one store, behind the last one that could fail
 *   COMMITTED -> DONE        metadata, outside of the window, under the loader's mutex
 *
 * The window's slot is newer than that of the stop. So if a fault strikes in the window, the stores
 * are taken back before the others go on; or, from COMMITTED on, new cells have their addresses. The
 * rest is the drop of the work: it finishes a committed swap, and forgets one that is not.
 *
 * Text is mapped read-only, and stays so: this CPU alone ignores it for the moment of the stores
 * (text_write.h). All CPUs serialise before they go on (remote_call.h), this one too.
 */
#include "address_map.h"
#include "catch.h"
#include "cell_namespace.h"
#include "cell_transfer.h"
#include "loader.h"
#include "parking.h"
#include "remote_call.h"
#include "swap_priv.h"
#include "task.h"
#include "task_state.h"
#include "text_write.h"
#include "time_limit.h"

#define RETRY_NS 1000000ull /* between two windows */

/* The work, seen by who takes its stores back when the window closes before its time. */
struct OWN_CAPABILITY("window of a swap") swap_window;
OWN_DECLARE_LOCAL(swap_window);

/* ---- stores ---- */

static void store(const struct swap_store *store, uint64_t value)
{
    if (store->kind == SWAP_STORE_TEXT || store->kind == SWAP_STORE_CONSTANT) {
        text_patch(store->address, value, store->size, store->kind == SWAP_STORE_TEXT);
    } else {
        __builtin_memcpy((void *)store->address, &value, store->size);
    }
}

static uint64_t load(const struct swap_store *store)
{
    uint64_t value = 0;
    __builtin_memcpy(&value, (const void *)store->address, store->size);
    return value;
}

static enum status refuse_store(const struct swap_store *store, uint64_t expected,
                                struct diag *diag)
{
    const struct section *section = address_map_find(store->address);
    return diag_set(diag, DIAG_SWAP_BYTES,
                    &(struct diag_site){
                        .cell = section ? section->cell->name : "an entry",
                        .section = section ? section->name : NULL,
                        .offset = section ? store->address - section->address : store->address,
                        .expected = expected,
                        .found = load(store),
                    });
}

static enum status make_store(struct swap_work *work, struct swap_store *at, struct diag *diag)
{
    bool is_as_planned = load(at) == at->before;
    if (at->kind == SWAP_STORE_DATA && !is_as_planned) {
        return OK; /* the program has put something else there */
    }
    if (!is_as_planned) {
        return refuse_store(at, at->before, diag);
    }
    if (step_fails(&work->steps)) {
        return swap_refuse_step(diag);
    }
    at->is_made = true;
    COMPILER_BARRIER();
    store(at, at->after);
    return OK;
}

void swap_undo(struct swap_work *work)
{
    uint64_t protection = text_patch_begin();
    for (uint32_t i = work->plan.patches.count; i-- > 0;) {
        struct swap_store *at = &work->plan.patches.stores[i];
        if (at->is_made) {
            store(at, at->before);
            COMPILER_BARRIER();
            at->is_made = false;
        }
    }
    text_patch_end(protection);
    if (work->is_transferring) {
        const struct swap_hooks *hooks = work->request->hooks;
        if (hooks->restore) {
            hooks->restore(hooks->context);
        }
        COMPILER_BARRIER(); /* who was struck is asked again */
        work->is_transferring = false;
    }
    work->state = SWAP_STATE_OPEN;
}

/* Reached by a fault in the middle, or when all is well or taken back. */
NOINLINE static void swap_window_drop(struct swap_window **handle)
{
    struct swap_work *work = (struct swap_work *)*handle;
    if (work && work->state == SWAP_STATE_APPLYING) {
        swap_undo(work);
    } else if (work && work->state == SWAP_STATE_COMMITTED) {
        address_map_exchange(&work->plan.table);
    }
    EMPTY(handle);
}

static enum status make_patches(struct swap_work *work, struct diag *diag)
{
    enum status status = OK;
    uint64_t protection = text_patch_begin();
    for (uint32_t i = 0; status == OK && i < work->plan.patches.count; i++) {
        status = make_store(work, &work->plan.patches.stores[i], diag);
    }
    text_patch_end(protection);
    for (uint32_t i = 0; status == OK && i < work->plan.patches.count; i++) {
        const struct swap_store *at = &work->plan.patches.stores[i];
        if (at->is_made && load(at) != at->after) {
            status = refuse_store(at, at->after, diag);
        }
    }
    return status;
}

/* ---- transfers ---- */

struct call {
    cell_transfer_function *function;
    const void *old;
    void *new;
    size_t old_bytes;
    size_t new_bytes;
    enum status status;
};

static void call_transfer(void *argument)
{
    struct call *call = argument;
    call->status = call->function(call->old, call->old_bytes, call->new, call->new_bytes);
}

static uint64_t address_of(const struct cell *cell, uint32_t symbol)
{
    const struct elf64_sym *elf = &cell->object.symbols[symbol];
    return cell->sections[elf->st_shndx].address + elf->st_value;
}

static enum status make_transfer(struct swap_work *work, const struct swap_transfer *transfer,
                                 struct diag *diag)
{
    const struct cell *cell = swap_plan_new_cell(&work->plan, transfer->cell);
    struct call call = {
        .function = (cell_transfer_function *)address_of(cell, transfer->function_symbol),
        .old = (const void *)(transfer->old->address + transfer->old_offset),
        .new = (void *)address_of(cell, transfer->new_symbol),
        .old_bytes = transfer->old_bytes,
        .new_bytes = cell->object.symbols[transfer->new_symbol].st_size,
    };
    if (step_fails(&work->steps)) {
        return swap_refuse_step(diag);
    }
    uint64_t start = parking_now();
    enum status status =
        time_limit_call(STORED(work->limit), call_transfer, &call, SWAP_TRANSFER_LIMIT_NS);
    uint64_t taken = parking_now() - start;
    status = status == OK ? call.status : status;
    if (status == OK && taken <= SWAP_TRANSFER_LIMIT_NS) {
        return OK;
    }
    bool took_too_long = status == OK || status == ERR_TIMEOUT;
    return diag_set(diag, took_too_long ? DIAG_SWAP_TRANSFER_LIMIT : DIAG_SWAP_TRANSFER_FAILED,
                    &(struct diag_site){
                        .cell = cell->name,
                        .symbol = elf_object_symbol_name(&cell->object, transfer->function_symbol),
                        .expected = SWAP_TRANSFER_LIMIT_NS,
                        .found = taken,
                    });
}

static enum status make_transfers(struct swap_work *work, struct diag *diag)
{
    enum status status = OK;
    for (uint32_t i = 0; status == OK && i < work->plan.transfer_count; i++) {
        status = make_transfer(work, &work->plan.transfers[i], diag);
    }
    return status;
}

enum status swap_refuse_hook(enum status status, const char *hook, struct diag *diag)
{
    (void)diag_set(diag, DIAG_SWAP_HOOK, &(struct diag_site){.symbol = hook});
    return status;
}

struct hook_call {
    const struct swap_hooks *hooks;
    enum status status;
};

static void call_hook(void *argument)
{
    struct hook_call *call = argument;
    call->status = call->hooks->transfer(call->hooks->context);
}

static enum status transfer_by_hook(struct swap_work *work, struct diag *diag)
{
    struct hook_call call = {.hooks = work->request->hooks};
    if (!call.hooks || !call.hooks->transfer) {
        return OK;
    }
    if (step_fails(&work->steps)) {
        return swap_refuse_step(diag);
    }
    work->is_transferring = true;
    enum status status =
        time_limit_call(STORED(work->limit), call_hook, &call, SWAP_TRANSFER_LIMIT_NS);
    status = status == OK ? call.status : status;
    if (status != OK) {
        return swap_refuse_hook(status, "transfer", diag);
    }
    return step_fails(&work->steps) ? swap_refuse_step(diag)
                                    : OK; /* as if it had failed at its end */
}

/* ---- the window ---- */

static enum status apply(struct swap_work *work, struct diag *diag)
{
    work->state = SWAP_STATE_APPLYING;
    enum status status = make_transfers(work, diag);
    if (status == OK) {
        status = make_patches(work, diag);
    }
    if (status == OK) {
        status = transfer_by_hook(work, diag);
    }
    if (status != OK) {
        swap_undo(work);
        return status;
    }
    work->state =
        SWAP_STATE_COMMITTED; /* nothing behind this can fail; the window's drop goes on */
    return OK;
}

/* All that this swap may change. What others do to their data meanwhile, exceptions for instance,
 * is theirs. */
static uint64_t hash_all(const struct swap_work *work)
{
    uint64_t hash = swap_hash(work->request->namespace, SWAP_HASH_LEAVING_DATA);
    for (uint32_t i = 0; i < work->plan.patches.count; i++) {
        hash = hash * 31 + load(&work->plan.patches.stores[i]);
    }
    return hash;
}

/* ERR_AGAIN: a frame is in the way. */
static enum status look_and_apply(struct swap_work *work, const struct remote_stop *stop,
                                  struct diag *diag) OWN_BORROWS(*stop);
static enum status look_and_apply(struct swap_work *work, const struct remote_stop *stop,
                                  struct diag *diag)
{
    bool proves = work->request->flags & SWAP_PROVE;
    if (work->plan.must_be_quiet && swap_find_frame(work, stop, diag)) {
        return ERR_AGAIN;
    }
    if (proves) {
        work->report.hash_before = hash_all(work);
    }
    enum status status = apply(work, diag);
    if (proves) {
        work->report.hash_after = hash_all(work);
    }
    return status;
}

/* Does it call what others have written? */
static bool calls_others(const struct swap_work *work)
{
    const struct swap_hooks *hooks = work->request->hooks;
    return work->plan.transfer_count > 0 || (hooks && hooks->transfer);
}

static enum status go_through_window(struct swap_work *work, const struct remote_stop *stop,
                                     struct diag *diag) OWN_BORROWS(*stop);
static enum status go_through_window(struct swap_work *work, const struct remote_stop *stop,
                                     struct diag *diag)
{
    OWNED(swap_window, window); /* newer than the stop: undone before the others go on */
    FILL(SLOT(window), (struct swap_window *)work);
    return look_and_apply(work, stop, diag);
}

/* The same with a limit for what others have written. */
static enum status go_through_limited(struct swap_work *work, const struct remote_stop *stop,
                                      struct diag *diag) OWN_BORROWS(*stop);
static enum status go_through_limited(struct swap_work *work, const struct remote_stop *stop,
                                      struct diag *diag)
{
    OWNED(time_limit, limit);
    if (time_limit_begin(SLOT(limit)) != OK) {
        return diag_set(diag, DIAG_SWAP_TRANSFER_LIMIT,
                        &(struct diag_site){.expected = SWAP_TRANSFER_LIMIT_NS});
    }
    work->limit = REF(limit);
    return go_through_window(work, stop, diag);
}

static enum status open_window(struct swap_work *work, struct diag *diag)
{
    OWNED(remote_stop, stop);
    if (step_fails(&work->steps)) {
        return swap_refuse_step(diag);
    }
    work->report.attempts++;
    if (remote_stop_begin(SLOT(stop)) != OK) {
        return diag_set(diag, DIAG_SWAP_STOP, &(struct diag_site){0});
    }
    uint64_t start = swap_ticks();
    enum status status = calls_others(work) ? go_through_limited(work, REF(stop), diag)
                                            : go_through_window(work, REF(stop), diag);
    work->report.window_ticks = swap_ticks() - start;
    return status;
}

/* Then it does not go on waiting for others. */
static bool is_killed(void)
{
    const struct task *self = CPU_LOCAL(task);
    return self && self->kill != TASK_NO_KILL;
}

enum status swap_commit(struct swap_work *work, struct diag *diag)
{
    uint64_t deadline = parking_deadline(work->request->timeout_ns);
    enum status status = open_window(work, diag);
    while (status == ERR_AGAIN && !is_killed() && parking_now() < deadline) {
        task_sleep(RETRY_NS);
        status = open_window(work, diag);
    }
    return status == ERR_AGAIN ? ERR_BUSY : status;
}

/* ---- what is left ---- */

static void move_references(struct swap_work *work)
{
    for (uint32_t i = 0; i < work->plan.old_count; i++) {
        if (work->plan.old[i]->references) {
            loader_move_references(work->plan.old[i], work->plan.old[i]->successor);
        }
    }
}

uint64_t swap_finish(struct swap_work *work)
{
    for (uint32_t i = 0; i < work->plan.metadata.count; i++) {
        store(&work->plan.metadata.stores[i], work->plan.metadata.stores[i].after);
    }
    /* Now the old tables are the work's, and go with it. */
    work->plan.symbols.slots = work->plan.symbols_before;
    work->plan.names.slots = work->plan.names_before;
    move_references(work);
    loader_aside_commit(STORED(work->plan.aside));
    address_map_settle();
    for (uint32_t i = 0; i < work->plan.old_count; i++) {
        work->plan.old[i]->is_leaving = false;
    }
    work->plan.is_over = true;
    uint64_t id = swap_remember(work);
    work->state = SWAP_STATE_DONE;
    return id;
}
