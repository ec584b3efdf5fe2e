/* SPDX-License-Identifier: MIT */
/*
 * A load in stages, each of which may fail and leaves only what transaction_end() takes back:
 *
 *   stage      validate and plan the cell, then every cell that it needs        loader_stage.c
 *   place      fresh pages (writable, not executable), entries; now all addresses are known
 *                                                                               loader_build.c
 *   link       copy, resolve, relocate, write the entries
 *   seal       protect text and rodata; build the address table; make room in the namespace
 *   commit     symbols, dependency lists, address table: stores only
 *
 * A fault goes the way of a failure: the transaction's slot takes everything back, which the commit
 * may have begun too. The commit's last step is one sequence (commit.h): address table, statistics,
 * and the word that says that the cells stay. An unload begins with such a sequence, which gives
 * the cell to a slot; the rest is that slot's drop.
 *
 * Adoption of the static image is the same transaction. Only `place` differs: the addresses are
 * those of the image and the bytes are built in scratch memory, to be compared with what runs. A
 * swap's new cells go the same way up to the commit, which the swap makes itself (loader_aside.c).
 */
#include "loader.h"
#include "address_map.h"
#include "cell_namespace.h"
#include "cell_tasks.h"
#include "commit.h"
#include "diag.h"
#include "entry_pool.h"
#include "heap_block.h"
#include "loader_priv.h"
#include "memory.h"

CELL(library, "1.0.0");

const struct kill_deferral loader_deferral = {.what = "the loader"};

void loader_may_wait(void)
{
    bool may_wait = preemption_count() == 0 && interrupts_enabled();
    if (parking_self() && !may_wait) {
        PANIC("cells are loaded where nobody may wait"); /* docs/locking.md */
    }
}

static struct loader_statistics statistics;

static void add_cell(struct loader_statistics *to, const struct loaded_cell *loaded)
{
    const struct cell *cell = &loaded->cell;
    to->cells++;
    to->sections += cell->region_first[REGION_COUNT];
    to->relocations += cell->relocation_count;
    to->metadata_bytes += cell->metadata_size;
    to->region_bytes += region_bytes_of(loaded);
}

void plan_count(const struct transaction *transaction, struct commit_list *list)
{
    struct loader_statistics after = statistics;
    for (uint32_t i = 0; i < transaction->count; i++) {
        add_cell(&after, transaction->staged[i].loaded);
    }
    commit_add(list, &statistics.loads, after.loads + transaction->is_load);
    commit_add(list, &statistics.cells, after.cells);
    commit_add(list, &statistics.sections, after.sections);
    commit_add(list, &statistics.relocations, after.relocations);
    commit_add(list, &statistics.metadata_bytes, after.metadata_bytes);
    commit_add(list, &statistics.region_bytes, after.region_bytes);
}

void plan_discount(const struct loaded_cell *loaded, struct commit_list *list)
{
    const struct cell *cell = &loaded->cell;
    commit_add(list, &statistics.cells, statistics.cells - 1);
    commit_add(list, &statistics.sections, statistics.sections - cell->region_first[REGION_COUNT]);
    commit_add(list, &statistics.metadata_bytes, statistics.metadata_bytes - cell->metadata_size);
    commit_add(list, &statistics.region_bytes, statistics.region_bytes - region_bytes_of(loaded));
}

void plan_region_bytes(int64_t bytes, struct commit_list *list)
{
    commit_add(list, &statistics.region_bytes, statistics.region_bytes + (uint64_t)bytes);
}

void count_relocation(uint64_t ticks)
{
    statistics.relocation_ticks += ticks;
}

NOINLINE void loader_announce(const struct cell *cell)
{
    __asm__ volatile("" ::"r"(cell) : "memory");
}

/* Links and commits what is staged. */
static enum status complete(struct transaction *transaction, struct diag *diag)
{
    enum status status = transaction_close(transaction, diag);
    if (status == OK) {
        status = transaction_build(transaction, diag);
    }
    if (status == OK) {
        status = prepare_commit(transaction, diag);
    }
    if (status == OK) {
        commit(transaction);
    }
    return status;
}

static enum status refuse_symbol(const char *symbol, struct diag *diag)
{
    return diag_set(diag, DIAG_LINK_MISSING_SYMBOL, &(struct diag_site){.symbol = symbol});
}

/* Where `symbol` is given the member must define it. */
static enum status load_member(struct cell_namespace *namespace, struct member_source source,
                               const char *symbol, struct diag *diag)
{
    uint64_t start = loader_ticks();
    struct transaction transaction = {0};
    OWNED(transaction, load);
    FILL(SLOT(load), &transaction);
    enum status status = transaction_begin(&transaction, namespace, NULL, NULL, diag);
    transaction.is_load = true;
    if (status == OK) {
        status = transaction_stage(&transaction, source, diag);
    }
    if (status == OK && symbol &&
        !transaction_lookup(&transaction, symbol, symbol_map_hash(symbol))) {
        status = refuse_symbol(symbol, diag); /* the index promised too much */
    }
    if (status == OK) {
        status = complete(&transaction, diag);
    }
    transaction_drop(SLOT(load));
    statistics.load_ticks += loader_ticks() - start;
    statistics.failed_loads += status != OK;
    return status;
}

/* ---- references ---- */

struct cell_reference {
    struct cell *cell;
    const char *holder; /* a cell's name */
    struct cell_reference *next;
};

/* Unchecked: handles begin here. */
OWN_UNCHECKED static enum status hold_locked(struct cell *cell, const char *holder,
                                             struct cell_reference **out)
{
    OWN_DEMAND_(!*out);
    OWNED(heap_block, block);
    if (!heap_block_take(sizeof(struct cell_reference), SLOT(block))) {
        return ERR_NO_MEMORY;
    }
    struct cell_reference *reference = heap_block_of(*SLOT(block));
    *reference = (struct cell_reference){cell, holder, cell->references};
    commit_three(&cell->references, reference, out, reference, SLOT(block), NULL);
    return OK;
}

static uint64_t count_references(const struct cell *cell)
{
    uint64_t count = 0;
    for (const struct cell_reference *at = cell->references; at; at = at->next) {
        count++;
    }
    return count;
}

/* What an entry jumps to is in the cell that it belongs to now. */
static struct cell *find_cell_of_entry(uint64_t address)
{
    if (!is_entry(address)) {
        return NULL;
    }
    const struct section *section = address_map_find(entry_target(address));
    return section ? section->cell : NULL;
}

enum status loader_hold_for(uint64_t address, const char *holder, struct cell_reference **out)
{
    LOADER_GUARD(guard);
    const struct section *section = address_map_find(address);
    struct cell *cell = section ? section->cell : find_cell_of_entry(address);
    if (cell && cell->is_retired) {
        cell = cell->successor;
    }
    return cell ? hold_locked(cell, holder, out) : ERR_NOT_FOUND;
}

/* Not LOADER_GUARD: a drop may be what a kill has come for. */
void cell_reference_drop(struct cell_reference **handle) OWN_UNCHECKED
{
    if (!*handle) {
        return;
    }
    OWNED(heap_block, block);
    GUARD(mutex, guard, cell_namespace_mutex());
    struct cell_reference *reference = *handle;
    struct cell_reference **link = &reference->cell->references;
    while (*link != reference) {
        link = &(*link)->next;
    }
    commit_three(link, reference->next, handle, NULL, SLOT(block), reference);
}

void loader_move_references(struct cell *from, struct cell *to)
{
    while (from->references) {
        struct cell_reference *reference = from->references;
        const struct commit_store stores[] = {
            {&from->references, (uintptr_t)reference->next},
            {&reference->cell, (uintptr_t)to},
            {&reference->next, (uintptr_t)to->references},
            {&to->references, (uintptr_t)reference},
        };
        commit_all(stores, ARRAY_COUNT(stores));
    }
}

const struct cell *cell_reference_cell(const struct cell_reference *reference)
{
    return reference->cell;
}

/* ---- the rest of the interface ---- */

enum status loader_init(struct span archive, struct diag *diag)
{
    if (archive.size == 0) {
        return diag_set(diag, DIAG_ARCHIVE_ABSENT, &(struct diag_site){0});
    }
    LOADER_GUARD(guard);
    return catalog_open(catalog_system(), archive, diag);
}

enum status loader_load(struct cell_namespace *namespace, const char *name, struct cell **out_cell,
                        struct diag *diag)
{
    LOADER_GUARD(guard);
    struct cell *cell = cell_namespace_find_cell(namespace, name);
    if (!cell) {
        struct member_source source;
        if (!catalog_find_cell(catalog_system(), name, &source)) {
            return diag_set(diag, DIAG_LINK_CELL, &(struct diag_site){.cell = name});
        }
        enum status status = load_member(namespace, source, NULL, diag);
        if (status != OK) {
            return status;
        }
        cell = cell_namespace_find_cell(namespace, name);
    }
    *out_cell = cell;
    return OK;
}

static enum status demand_locked(struct cell_namespace *namespace, const char *name,
                                 const struct symbol **out_symbol, struct diag *diag)
{
    uint32_t hash = symbol_map_hash(name);
    const struct symbol *symbol = cell_namespace_find(namespace, name, hash);
    if (!symbol) {
        struct member_source source;
        if (!catalog_find_symbol(catalog_system(), name, hash, &source)) {
            return refuse_symbol(name, diag);
        }
        enum status status = load_member(namespace, source, name, diag);
        if (status != OK) {
            return status;
        }
        symbol = cell_namespace_find(namespace, name, hash);
    }
    *out_symbol = symbol;
    return OK;
}

/* What is given out may be held anywhere. */
static uint64_t address_of(const struct symbol *symbol)
{
    ((struct symbol *)symbol)->is_given = 1;
    return symbol->entry ? symbol->entry : symbol->address;
}

enum status loader_demand(struct cell_namespace *namespace, const char *name, uint64_t *out_address,
                          struct diag *diag)
{
    LOADER_GUARD(guard);
    const struct symbol *symbol;
    enum status status = demand_locked(namespace, name, &symbol, diag);
    if (status == OK) {
        *out_address = address_of(symbol);
    }
    return status;
}

enum status loader_demand_held_for(struct cell_namespace *namespace, const char *name,
                                   const char *holder, uint64_t *out_address,
                                   struct cell_reference **out, struct diag *diag)
{
    LOADER_GUARD(guard);
    const struct symbol *symbol;
    enum status status = demand_locked(namespace, name, &symbol, diag);
    if (status != OK) {
        return status;
    }
    if (!symbol->section) {
        return refuse_symbol(name, diag); /* nothing that could be held */
    }
    status = hold_locked(symbol->section->cell, holder, out);
    if (status != OK) {
        return diag_set(diag, DIAG_LINK_MEMORY, &(struct diag_site){.symbol = name});
    }
    *out_address = address_of(symbol);
    return OK;
}

/* Another cell that refers to it, or NULL. */
static const struct cell *find_user(const struct cell *cell)
{
    for (uint32_t i = 0; i < cell->object.section_count; i++) {
        const struct binding *binding = cell->sections[i].incoming;
        if (binding) {
            return binding->cell;
        }
    }
    return NULL;
}

/* Takes all bindings of `cell` out of one list, and marks them as done. O(length of the list). */
static void unlink_from(struct section *target, const struct cell *cell)
{
    struct binding **link = &target->incoming;
    while (*link) {
        struct binding *at = *link;
        if (at->cell == cell) {
            *link = at->next_incoming;
            COMPILER_BARRIER(); /* it is done when it is out */
            at->target = NULL;
        } else {
            link = &at->next_incoming;
        }
    }
}

/*
 * A cell that is not part of the system any more: its drop takes out what others still know of it,
 * and releases it.
 */
struct OWN_CAPABILITY("cell that leaves") leaving_cell;
OWN_DECLARE_LOCAL(leaving_cell);

/* Each step may be begun again. */
NOINLINE static void leaving_cell_drop(struct leaving_cell **handle)
{
    struct loaded_cell *loaded = (struct loaded_cell *)*handle;
    if (!loaded) {
        return;
    }
    struct cell *cell = &loaded->cell;
    address_map_settle();
    for (uint32_t i = 0; i < cell->binding_count; i++) {
        if (cell->bindings[i].target) {
            unlink_from(cell->bindings[i].target, cell);
        }
    }
    if (cell->namespace) {
        cell_namespace_withdraw(cell->namespace, cell);
    }
    if (address_map_wait()) {
        release_cell((struct loaded_cell **)handle);
    } else { /* somebody looks at it for ever: then it stays in memory, known to nobody else */
        release_entries(loaded);
        EMPTY(handle);
    }
}

static enum status check_unused(const struct cell *cell, struct diag *diag)
{
    const struct cell *user = find_user(cell);
    char task[CELL_TASKS_NAME_SIZE];
    uint64_t tasks = cell_tasks_count(cell, task);
    if (cell->references || tasks) {
        return diag_set(diag, DIAG_LINK_HELD,
                        &(struct diag_site){
                            .cell = cell->name,
                            .symbol = cell->references ? cell->references->holder : task,
                            .found = count_references(cell) + tasks,
                        });
    }
    if (user) {
        return diag_set(diag, DIAG_LINK_NEEDED,
                        &(struct diag_site){.cell = cell->name, .symbol = user->name});
    }
    return OK;
}

/* Is there an older version of it that somebody may still return into, and which then calls this
 * one? */
static bool is_returned_to(const struct cell *cell)
{
    const struct cell *at = cell->namespace->retired;
    while (at && at->successor != cell) {
        at = at->next;
    }
    return at != NULL;
}

/* A change of the address map that was prepared. */
struct OWN_CAPABILITY("change of the address map") map_change;
OWN_DECLARE_LOCAL(map_change);

NOINLINE static void map_change_drop(struct map_change **handle)
{
    address_map_discard((struct address_table **)handle);
}

/* From its commit on the cell is not there, and what is left is the drop of its slot. Unchecked:
 * handles change hands in a commit. */
OWN_UNCHECKED static enum status take_out(struct loaded_cell *loaded)
{
    OWNED(leaving_cell, leaving);
    OWNED(map_change, change);
    struct address_table **table = (struct address_table **)SLOT(change);
    enum status status = address_map_prepare(NULL, 0, &loaded->cell, table);
    if (status != OK) {
        return status;
    }
    struct commit_list list;
    list.count = 0;
    address_map_plan_publish(table, &list);
    plan_discount(loaded, &list);
    commit_add(&list, SLOT(leaving), loaded);
    commit_list(&list); /* here */
    return OK;
}

static enum status unload_locked(struct cell *cell, struct diag *diag)
{
    if (cell->is_static) {
        return ERR_PERMISSION;
    }
    enum status unused = check_unused(cell, diag);
    if (unused != OK) {
        return unused;
    }
    if (is_returned_to(cell)) {
        return diag_set(diag, DIAG_LINK_NEEDED,
                        &(struct diag_site){.cell = cell->name, .symbol = "its older version"});
    }
    return take_out(CONTAINER_OF(cell, struct loaded_cell, cell));
}

enum status loader_unload(struct cell *cell, struct diag *diag)
{
    LOADER_GUARD(guard);
    return unload_locked(cell, diag);
}

enum status loader_unload_named(struct cell_namespace *namespace, const char *name,
                                struct diag *diag)
{
    LOADER_GUARD(guard);
    struct cell *cell = cell_namespace_find_cell(namespace, name);
    return cell ? unload_locked(cell, diag)
                : diag_set(diag, DIAG_LINK_CELL, &(struct diag_site){.cell = name});
}

const char *loader_next_member(uint64_t *cursor)
{
    return catalog_next(cursor);
}

const char *loader_find_alternative(const struct cell_namespace *namespace, const char *name)
{
    LOADER_GUARD(guard);
    const char *interface = catalog_interface(name);
    for (const struct cell *cell = interface ? namespace->first : NULL; cell; cell = cell->next) {
        if (cell->interface && __builtin_strcmp(cell->interface, interface) == 0 &&
            __builtin_strcmp(cell->name, name) != 0) {
            return cell->name;
        }
    }
    return NULL;
}

void count_adoption(uint64_t ticks)
{
    statistics.adopt_ticks += ticks;
}

struct loader_statistics loader_statistics(void)
{
    LOADER_GUARD(guard);
    return statistics;
}
