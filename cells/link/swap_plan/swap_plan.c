/* SPDX-License-Identifier: MIT */
/*
 * The first stage, and who owns what. The fresh namespace of the papers is the transaction's map of
 * exports: old cells carry a mark, and what is marked new cells do not see.
 */
#include "swap_plan.h"
#include "address_map.h"
#include "cell_namespace.h"
#include "commit.h"
#include "heap_block.h"
#include "swap_plan_priv.h"

CELL(library, "1.0.0");

/* ---- memory ---- */

enum status swap_plan_refuse_memory(struct diag *diag)
{
    return diag_set(diag, DIAG_SWAP_MEMORY, &(struct diag_site){0});
}

bool swap_plan_take(struct swap_plan *plan, size_t size, void *out)
{
    return !step_fails(plan->steps) && heap_block_take(size, out);
}

bool swap_plan_grow(struct swap_plan *plan, void **list, uint32_t count, uint32_t *capacity,
                    size_t size)
{
    if (count < *capacity) {
        return true;
    }
    uint32_t more = *capacity ? 2 * *capacity : 16;
    OWNED(heap_block, block);
    if (!swap_plan_take(plan, more * size, SLOT(block))) {
        return false;
    }
    void *grown = heap_block_of(*SLOT(block));
    if (count > 0) {
        __builtin_memcpy(grown, *list, count * size);
    }
    commit_two(list, grown, SLOT(block), *list);
    *capacity = more;
    return true;
}

struct cell *swap_plan_new_cell(const struct swap_plan *plan, uint32_t index)
{
    return loader_aside_cell(STORED(plan->aside), index);
}

void swap_plan_begin(struct swap_plan *plan, struct cell_namespace *namespace,
                     const struct swap_item *items, uint32_t item_count, struct step_counter *steps)
{
    *plan = (struct swap_plan){
        .namespace = namespace,
        .items = items,
        .item_count = item_count,
        .steps = steps,
    };
}

static void release_names(struct swap_names **names, uint32_t count)
{
    for (uint32_t i = 0; *names && i < count; i++) {
        swap_names_destroy(&(*names)[i]);
    }
    heap_block_give(names);
}

void swap_plan_fini(struct swap_plan *plan)
{
    for (uint32_t i = 0; !plan->is_over && i < plan->old_count; i++) {
        plan->old[i]->is_leaving = false;
    }
    loader_aside_drop(&plan->aside);
    release_names(&plan->old_names, plan->old_count);
    release_names(&plan->new_names, plan->new_count);
    address_map_discard(&plan->table);
    plan->old_count = 0;
    void *const blocks[] = {
        &plan->old,         &plan->links,          &plan->adoptions,       &plan->inheritances,
        &plan->transfers,   &plan->patches.stores, &plan->metadata.stores, &plan->symbols.slots,
        &plan->names.slots, &plan->moves};
    for (size_t i = 0; i < ARRAY_COUNT(blocks); i++) {
        heap_block_give(blocks[i]);
    }
}

/* ---- load ---- */

static enum status refuse_pairs(const char *name, struct diag *diag)
{
    return diag_set(diag, DIAG_SWAP_PAIRS, &(struct diag_site){.cell = name});
}

static enum status find_old_cells(struct swap_plan *plan, struct diag *diag)
{
    if (!swap_plan_take(plan, plan->item_count * sizeof(struct cell *), &plan->old) ||
        !swap_plan_take(plan, plan->item_count * sizeof(*plan->links), &plan->links)) {
        return swap_plan_refuse_memory(diag);
    }
    for (uint32_t i = 0; i < plan->item_count; i++) {
        const char *name = plan->items[i].old_name;
        struct cell *cell = name ? cell_namespace_find_cell(plan->namespace, name) : NULL;
        if (name && (!cell || cell->namespace != plan->namespace)) {
            return diag_set(diag, DIAG_SWAP_CELL, &(struct diag_site){.cell = name});
        }
        if (!name && !plan->items[i].new_name) {
            return refuse_pairs(NULL, diag);
        }
        if (cell && !cell->is_leaving) { /* in several pairs: it is split */
            plan->old[plan->old_count] = cell;
            COMPILER_BARRIER();
            plan->old_count++;
            COMPILER_BARRIER();
            cell->is_leaving = true; /* fini takes that back */
        }
    }
    return OK;
}

static enum status stage_new_cells(struct swap_plan *plan, struct diag *diag)
{
    OWNED(loader_aside, aside);
    enum status status =
        loader_aside_begin(plan->namespace, plan->bundle, plan->steps, SLOT(aside), diag);
    if (status != OK) {
        return status;
    }
    for (uint32_t i = 0; status == OK && i < plan->item_count; i++) {
        const struct swap_item *item = &plan->items[i];
        if (item->new_name) {
            status = item->object.size > 0
                         ? loader_aside_add_object(REF(aside), item->new_name, item->object, diag)
                         : loader_aside_add(REF(aside), item->new_name, diag);
        }
    }
    if (status == OK) {
        status = loader_aside_close(REF(aside), diag);
    }
    STORE(plan->aside, aside);
    return status;
}

static enum status link_pairs(struct swap_plan *plan, struct diag *diag)
{
    for (uint32_t i = 0; i < plan->item_count; i++) {
        const struct swap_item *item = &plan->items[i];
        if (!item->old_name || !item->new_name) {
            continue;
        }
        uint32_t index = 0;
        while (index < plan->new_count &&
               __builtin_strcmp(swap_plan_new_cell(plan, index)->name, item->new_name) != 0) {
            index++;
        }
        if (index == plan->new_count) {
            return refuse_pairs(item->new_name, diag);
        }
        plan->links[plan->link_count++] = (struct swap_link){
            .old = cell_namespace_find_cell(plan->namespace, item->old_name),
            .new = index,
        };
    }
    return OK;
}

static bool take_names(struct swap_plan *plan, uint32_t count, struct swap_names **out)
{
    return !step_fails(plan->steps) &&
           heap_block_take_zeroed((count + 1) * sizeof(struct swap_names), out);
}

static enum status make_names(struct swap_plan *plan, struct diag *diag)
{
    uint32_t new_count = loader_aside_count(STORED(plan->aside));
    if (!take_names(plan, plan->old_count, &plan->old_names) ||
        !take_names(plan, new_count, &plan->new_names)) {
        return swap_plan_refuse_memory(diag);
    }
    plan->new_count = new_count;
    enum status status = OK;
    for (uint32_t i = 0; status == OK && i < plan->old_count; i++) {
        status = swap_names_create(&plan->old_names[i], plan->old[i], plan->steps, diag);
    }
    for (uint32_t i = 0; status == OK && i < new_count; i++) {
        status =
            swap_names_create(&plan->new_names[i], swap_plan_new_cell(plan, i), plan->steps, diag);
    }
    return status;
}

enum status swap_plan_load(struct swap_plan *plan, struct diag *diag)
{
    enum status status = find_old_cells(plan, diag);
    if (status == OK) {
        status = stage_new_cells(plan, diag);
    }
    if (status == OK) {
        status = make_names(plan, diag);
    }
    if (status == OK) {
        status = link_pairs(plan, diag);
    }
    if (status == OK) {
        status = swap_plan_match(plan, diag);
    }
    return status == OK ? loader_aside_build(STORED(plan->aside), diag) : status;
}
