/* SPDX-License-Identifier: MIT */
/*
 * From staged cells to linked and protected ones, and their commit: the second half of the stages
 * that stand in loader.c.
 */
#include "address_map.h"
#include "cell_namespace.h"
#include "commit.h"
#include "diag.h"
#include "entry_pool.h"
#include "heap_block.h"
#include "loader.h"
#include "loader_priv.h"
#include "memory.h"

static const unsigned region_flags[REGION_COUNT] = {
    [REGION_TEXT] = PAGE_READ | PAGE_EXECUTE,
    [REGION_RODATA] = PAGE_READ,
    [REGION_DATA] = PAGE_READ | PAGE_WRITE,
};

/* ---- place ---- */

enum status refuse_memory(const struct staged_cell *staged, enum diag_code code, const char *what,
                          uint64_t size, struct diag *diag)
{
    return diag_set(diag, code,
                    &(struct diag_site){
                        .cell = staged->name,
                        .section = what,
                        .expected = size,
                    });
}

static enum status place_cell(const struct transaction *transaction, struct staged_cell *staged,
                              struct diag *diag)
{
    static const char *const names[REGION_COUNT] = {"text", "rodata", "data"};
    struct loaded_cell *loaded = staged->loaded;
    uint64_t addresses[REGION_COUNT] = {0};
    uint8_t *bytes[REGION_COUNT] = {NULL};
    for (uint32_t r = 0; r < REGION_COUNT; r++) {
        uint64_t size = staged->unit.layout.sizes[r];
        if (size == 0) {
            continue;
        }
        OWNED(mapped_pages, pages);
        if (step_fails(transaction->steps)) {
            return refuse_memory(staged, DIAG_LINK_MEMORY, names[r], size, diag);
        }
        if (mapped_pages_create_raw(PAGE_ZONE_CODE, size, PAGE_WRITE, SLOT(pages)) != OK) {
            return refuse_memory(staged, DIAG_LINK_MEMORY, names[r], size, diag);
        }
        addresses[r] = mapped_pages_start(REF(pages));
        bytes[r] = (uint8_t *)addresses[r];
        /* The region itself is written when the cell is linked. */
        __builtin_memset(bytes[r] + size, 0, page_align_up(size) - size);
        STORE(loaded->pages[r], pages);
    }
    if (staged->unit.adopted_size > 0) {
        if (!transaction_take(transaction, staged->unit.adopted_size,
                              &staged->unit.adopted_bytes)) {
            return refuse_memory(staged, DIAG_LINK_MEMORY, NULL, staged->unit.adopted_size, diag);
        }
    }
    if (step_fails(transaction->steps) ||
        (loaded->entry_capacity > 0 &&
         entry_pool_take(loaded->entry_capacity, &loaded->cell.entries) != OK)) {
        return refuse_memory(staged, DIAG_LINK_ENTRIES, NULL, loaded->entry_capacity, diag);
    }
    link_unit_place(&staged->unit, addresses, bytes, loaded->cell.entries);
    return OK;
}

static enum status place_all(struct transaction *transaction, struct diag *diag)
{
    enum status status = OK;
    for (uint32_t i = 0; status == OK && i < transaction->count; i++) {
        status = place_cell(transaction, &transaction->staged[i], diag);
    }
    return status;
}

/* ---- link ---- */

/* What is left over of its block may hold addresses of other cells (pointer_scan.h). */
static void clear_unused(struct loaded_cell *loaded)
{
    const struct cell *cell = &loaded->cell;
    __builtin_memset(cell->bindings + cell->binding_count, 0,
                     (loaded->binding_capacity - cell->binding_count) * sizeof(struct binding));
}

enum status link_cell(struct transaction *transaction, struct staged_cell *staged,
                      struct diag *diag)
{
    if (step_fails(transaction->steps)) {
        return refuse_memory(staged, DIAG_LINK_MEMORY, NULL, 0, diag);
    }
    link_unit_copy(&staged->unit);
    enum status status = link_unit_resolve(&staged->unit, transaction_lookup, transaction, diag);
    if (status == OK) {
        uint64_t start = loader_ticks();
        status = link_unit_relocate(&staged->unit, diag);
        count_relocation(loader_ticks() - start);
        clear_unused(staged->loaded);
    }
    if (status != OK) {
        diag_name_cell(diag, staged->name);
    }
    return status;
}

static enum status link_all(struct transaction *transaction, struct diag *diag)
{
    enum status status = OK;
    for (uint32_t i = 0; status == OK && i < transaction->count; i++) {
        status = link_cell(transaction, &transaction->staged[i], diag);
    }
    return status;
}

static enum status write_entries(const struct transaction *transaction, struct staged_cell *staged,
                                 struct diag *diag)
{
    struct loaded_cell *loaded = staged->loaded;
    uint32_t used = loaded->cell.entry_count;
    if (used > 0) {
        OWNED(heap_block, block);
        if (!transaction_take(transaction, (size_t)used * ENTRY_SIZE, SLOT(block))) {
            return refuse_memory(staged, DIAG_LINK_MEMORY, NULL, (size_t)used * ENTRY_SIZE, diag);
        }
        uint8_t *bytes = heap_block_of(*SLOT(block));
        link_unit_write_entries(&staged->unit, bytes);
        if (entry_pool_write(loaded->cell.entries, bytes, used) != OK) {
            return refuse_memory(staged, DIAG_LINK_ENTRIES, NULL, used, diag);
        }
    }
    entry_pool_give_back(loaded->cell.entries, &loaded->entry_capacity, used);
    return OK;
}

/* ---- seal ---- */

static enum status protect_cell(const struct transaction *transaction, struct staged_cell *staged,
                                struct diag *diag)
{
    for (uint32_t r = 0; r < REGION_COUNT; r++) {
        struct mapped_pages **pages = &staged->loaded->pages[r];
        if (staged->unit.layout.sizes[r] > 0 && r != REGION_DATA &&
            (step_fails(transaction->steps) ||
             mapped_pages_remap(STORED(*pages), region_flags[r]) != OK)) {
            return refuse_memory(staged, DIAG_LINK_MEMORY, NULL, 0, diag);
        }
    }
    return OK;
}

enum status prepare_commit(struct transaction *transaction, struct diag *diag)
{
    uint32_t symbols = 1; /* nano_core_image */
    OWNED(heap_block, block);
    enum status status = heap_block_take(transaction->count * sizeof(struct cell *), SLOT(block))
                             ? OK
                             : ERR_NO_MEMORY;
    struct cell **cells = status == OK ? heap_block_of(*SLOT(block)) : NULL;
    for (uint32_t i = 0; cells && i < transaction->count; i++) {
        cells[i] = &transaction->staged[i].loaded->cell;
        symbols += cells[i]->symbol_count;
    }
    if (status == OK) {
        status = cell_namespace_reserve(transaction->namespace, transaction->count, symbols);
    }
    if (status == OK) {
        status =
            address_map_prepare(cells, (uint32_t)transaction->count, NULL, &transaction->table);
    }
    return status == OK ? OK : diag_set(diag, DIAG_LINK_MEMORY, &(struct diag_site){0});
}

/* ---- commit ---- */

/*
 * Names, then bindings; nobody looks at them without the loader's lock. Who is
 * struck here takes them out again (transaction_drop). Then one commit for all that makes the cells
 * part of the system.
 */
static void link_bindings(struct cell *cell)
{
    struct binding *end = cell->bindings + cell->binding_count;
    for (struct binding *at = cell->bindings; at != end; at++) {
        struct section *target = at->target;
        if (target) {
            at->next_incoming = target->incoming;
            COMPILER_BARRIER(); /* then the one store that puts it into the list */
            target->incoming = at;
        }
    }
}

/* What a load puts into a list stands at its head: there is no other load before this one ends. */
static void unlink_cell(const struct cell *cell)
{
    for (uint32_t i = 0; i < cell->binding_count; i++) {
        struct section *target = cell->bindings[i].target;
        while (target && target->incoming && target->incoming->cell->is_leaving) {
            target->incoming = target->incoming->next_incoming;
        }
    }
}

void unlink_staged(struct transaction *transaction)
{
    for (uint32_t i = 0; i < transaction->count; i++) {
        transaction->staged[i].loaded->cell.is_leaving = true;
    }
    for (uint32_t i = 0; i < transaction->count; i++) {
        unlink_cell(&transaction->staged[i].loaded->cell);
    }
}

/* From here on nothing can fail. */
void commit(struct transaction *transaction)
{
    struct cell_namespace *namespace = transaction->namespace;
    transaction->is_publishing = true;
    COMPILER_BARRIER();
    for (uint32_t i = 0; i < transaction->count; i++) {
        struct cell *cell = &transaction->staged[i].loaded->cell;
        cell_namespace_publish(namespace, cell);
        link_bindings(cell);
    }
    struct commit_list list;
    list.count = 0;
    address_map_plan_publish(&transaction->table, &list);
    plan_count(transaction, &list);
    commit_add(&list, &namespace->is_changing, 0);
    commit_add(&list, &transaction->is_committed, true);
    commit_list(&list); /* here; the drop goes on with address_map_settle() */
    for (uint32_t i = 0; i < transaction->count; i++) {
        loader_announce(&transaction->staged[i].loaded->cell);
    }
}

enum status transaction_build(struct transaction *transaction, struct diag *diag)
{
    enum status status = place_all(transaction, diag);
    if (status == OK) {
        status = link_all(transaction, diag);
    }
    for (uint32_t i = 0; status == OK && i < transaction->count; i++) {
        status = write_entries(transaction, &transaction->staged[i], diag);
        if (status == OK) {
            status = protect_cell(transaction, &transaction->staged[i], diag);
        }
    }
    return status;
}
