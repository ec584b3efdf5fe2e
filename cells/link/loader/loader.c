/* SPDX-License-Identifier: MIT */
/*
 * A load in stages, each of which may fail and leaves only what transaction_end() takes back:
 *
 *   stage      validate and plan the cell, then every cell that it needs        loader_stage.c
 *   place      fresh pages (writable, not executable), entries; now all addresses are known
 *   link       copy, resolve, relocate, write the entries
 *   seal       protect text and rodata; build the address table; make room in the namespace
 *   commit     symbols, dependency lists, address table: stores only
 *
 * Adoption of the static image is the same transaction. Only `place` differs: the addresses are
 * those of the image and the bytes are built in scratch memory, to be compared with what runs.
 */
#include "loader.h"
#include "address_map.h"
#include "cell_namespace.h"
#include "cell_tasks.h"
#include "diag.h"
#include "entry_pool.h"
#include "heap.h"
#include "loader_priv.h"
#include "memory.h"

CELL(library, "1.0.0");

static const unsigned region_flags[REGION_COUNT] = {
    [REGION_TEXT] = PAGE_READ | PAGE_EXECUTE,
    [REGION_RODATA] = PAGE_READ,
    [REGION_DATA] = PAGE_READ | PAGE_WRITE,
};

void loader_may_wait(void)
{
    bool may_wait = preemption_count() == 0 && interrupts_enabled();
    if (parking_self() && !may_wait) {
        __builtin_trap(); /* the caller's error: docs/locking.md */
    }
}

static struct loader_statistics statistics;

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

static enum status place_cell(struct staged_cell *staged, struct diag *diag)
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
        if (mapped_pages_create(PAGE_ZONE_CODE, size, PAGE_WRITE, SLOT(pages)) != OK) {
            return refuse_memory(staged, DIAG_LINK_MEMORY, names[r], size, diag);
        }
        addresses[r] = mapped_pages_start(REF(pages));
        bytes[r] = (uint8_t *)addresses[r];
        STORE(loaded->pages[r], pages);
    }
    uint64_t entries = 0;
    if (loaded->entry_capacity > 0 && entry_pool_take(loaded->entry_capacity, &entries) != OK) {
        return refuse_memory(staged, DIAG_LINK_ENTRIES, NULL, loaded->entry_capacity, diag);
    }
    link_unit_place(&staged->unit, addresses, bytes, entries);
    return OK;
}

static enum status place_all(struct transaction *transaction, struct diag *diag)
{
    enum status status = OK;
    for (uint32_t i = 0; status == OK && i < transaction->count; i++) {
        status = place_cell(&transaction->staged[i], diag);
    }
    return status;
}

/* ---- link ---- */

enum status link_cell(struct transaction *transaction, struct staged_cell *staged,
                      struct diag *diag)
{
    link_unit_copy(&staged->unit);
    enum status status = link_unit_resolve(&staged->unit, transaction_lookup, transaction, diag);
    if (status == OK) {
        uint64_t start = loader_ticks();
        status = link_unit_relocate(&staged->unit, diag);
        statistics.relocation_ticks += loader_ticks() - start;
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

static enum status write_entries(struct staged_cell *staged, struct diag *diag)
{
    struct loaded_cell *loaded = staged->loaded;
    uint32_t used = loaded->cell.entry_count;
    if (used > 0) {
        uint8_t *bytes = heap_allocate((size_t)used * ENTRY_SIZE);
        if (!bytes) {
            return refuse_memory(staged, DIAG_LINK_MEMORY, NULL, (size_t)used * ENTRY_SIZE, diag);
        }
        link_unit_write_entries(&staged->unit, bytes);
        enum status status = entry_pool_write(loaded->cell.entries, bytes, used);
        heap_free(bytes);
        if (status != OK) {
            return refuse_memory(staged, DIAG_LINK_ENTRIES, NULL, used, diag);
        }
    }
    entry_pool_give_back(loaded->cell.entries + (uint64_t)used * ENTRY_SIZE,
                         loaded->entry_capacity - used);
    loaded->entry_capacity = used;
    return OK;
}

/* ---- seal ---- */

static enum status protect_cell(struct staged_cell *staged, struct diag *diag)
{
    for (uint32_t r = 0; r < REGION_COUNT; r++) {
        struct mapped_pages **pages = &staged->loaded->pages[r];
        if (staged->unit.layout.sizes[r] > 0 && r != REGION_DATA &&
            mapped_pages_remap(STORED(*pages), region_flags[r]) != OK) {
            return refuse_memory(staged, DIAG_LINK_MEMORY, NULL, 0, diag);
        }
    }
    return OK;
}

enum status prepare_commit(struct transaction *transaction, struct address_table **out_table,
                           struct diag *diag)
{
    uint32_t symbols = 1; /* nano_core_image */
    struct cell **cells = heap_allocate(transaction->count * sizeof(*cells));
    for (uint32_t i = 0; cells && i < transaction->count; i++) {
        cells[i] = &transaction->staged[i].loaded->cell;
        symbols += cells[i]->symbol_count;
    }
    enum status status = cells ? OK : ERR_NO_MEMORY;
    if (status == OK) {
        status = cell_namespace_reserve(transaction->namespace, transaction->count, symbols);
    }
    if (status == OK) {
        status = address_map_prepare(cells, transaction->count, NULL, out_table);
    }
    heap_free(cells);
    return status == OK ? OK : diag_set(diag, DIAG_LINK_MEMORY, &(struct diag_site){0});
}

/* ---- commit ---- */

static void link_dependencies(struct cell *cell)
{
    struct dependency *end = cell->dependencies + cell->dependency_count;
    for (struct dependency *at = cell->dependencies; at != end; at++) {
        struct section *target = at->target;
        at->next_incoming = NULL;
        if (target) {
            at->next_incoming = target->incoming;
            target->incoming = at;
        }
    }
}

static void count_cell(struct loaded_cell *loaded)
{
    const struct cell *cell = &loaded->cell;
    statistics.cells++;
    statistics.sections += cell->region_first[REGION_COUNT];
    statistics.relocations += cell->dependency_count;
    statistics.metadata_bytes += cell->metadata_size;
    statistics.region_bytes += region_bytes_of(loaded);
}

/* From here on nothing can fail. */
void commit(struct transaction *transaction, struct address_table *table)
{
    for (uint32_t i = 0; i < transaction->count; i++) {
        struct loaded_cell *loaded = transaction->staged[i].loaded;
        cell_namespace_publish(transaction->namespace, &loaded->cell);
        link_dependencies(&loaded->cell);
        count_cell(loaded);
    }
    address_map_publish(table);
    for (uint32_t i = 0; i < transaction->count; i++) {
        loader_announce(&transaction->staged[i].loaded->cell);
    }
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
        status = place_all(transaction, diag);
    }
    if (status == OK) {
        status = link_all(transaction, diag);
    }
    for (uint32_t i = 0; status == OK && i < transaction->count; i++) {
        status = write_entries(&transaction->staged[i], diag);
        if (status == OK) {
            status = protect_cell(&transaction->staged[i], diag);
        }
    }
    struct address_table *table;
    if (status == OK) {
        status = prepare_commit(transaction, &table, diag);
    }
    if (status == OK) {
        commit(transaction, table);
    }
    return status;
}

static enum status refuse_symbol(const char *symbol, struct diag *diag)
{
    return diag_set(diag, DIAG_LINK_MISSING_SYMBOL, &(struct diag_site){.symbol = symbol});
}

/* Where `symbol` is given the member must define it. */
static enum status load_member(struct cell_namespace *namespace, uint64_t member,
                               const char *symbol, struct diag *diag)
{
    uint64_t start = loader_ticks();
    struct transaction transaction;
    enum status status = transaction_begin(&transaction, namespace, diag);
    if (status == OK) {
        status = transaction_stage(&transaction, member, diag);
    }
    if (status == OK && symbol &&
        !transaction_lookup(&transaction, symbol, symbol_map_hash(symbol))) {
        status = refuse_symbol(symbol, diag); /* the index promised too much */
    }
    if (status == OK) {
        status = complete(&transaction, diag);
    }
    transaction_end(&transaction, status == OK);
    statistics.load_ticks += loader_ticks() - start;
    statistics.loads += status == OK;
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
    struct cell_reference *reference = heap_allocate(sizeof(*reference));
    if (!reference) {
        return ERR_NO_MEMORY;
    }
    *reference = (struct cell_reference){cell, holder, cell->references};
    FILL(out, reference); /* first: dropping one that is not in the list yet does no harm */
    cell->references = reference;
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

/* By the entries, if it is none of a section's. O(cells). */
static struct cell *find_cell_of_entry(uint64_t address)
{
    struct cell *cell = cell_namespace_initial()->first;
    while (cell && address - cell->entries >= (uint64_t)cell->entry_count * ENTRY_SIZE) {
        cell = cell->next;
    }
    return cell;
}

enum status loader_hold_for(uint64_t address, const char *holder, struct cell_reference **out)
{
    LOADER_GUARD(guard);
    const struct section *section = address_map_find(address);
    struct cell *cell = section ? section->cell : find_cell_of_entry(address);
    return cell ? hold_locked(cell, holder, out) : ERR_NOT_FOUND;
}

/* Each step may be repeated: what is not in the list any more is not looked for in vain. */
void cell_reference_drop(struct cell_reference **handle)
{
    if (!*handle) {
        return;
    }
    /* Not LOADER_GUARD: while a fault is unwound the count of holds may be off by one. */
    GUARD(mutex, guard, cell_namespace_mutex());
    struct cell_reference *reference = *handle;
    struct cell_reference **link = &reference->cell->references;
    while (*link && *link != reference) {
        link = &(*link)->next;
    }
    if (*link) {
        *link = reference->next;
    }
    EMPTY(handle);
    heap_free(reference);
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
    return catalog_open(archive, diag);
}

enum status loader_load(struct cell_namespace *namespace, const char *name, struct cell **out_cell,
                        struct diag *diag)
{
    LOADER_GUARD(guard);
    struct cell *cell = cell_namespace_find_cell(namespace, name);
    if (!cell) {
        uint64_t member;
        if (!catalog_find_cell(name, &member)) {
            return diag_set(diag, DIAG_LINK_CELL, &(struct diag_site){.cell = name});
        }
        enum status status = load_member(namespace, member, NULL, diag);
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
        uint64_t member;
        if (!catalog_find_symbol(name, hash, &member)) {
            return refuse_symbol(name, diag);
        }
        enum status status = load_member(namespace, member, name, diag);
        if (status != OK) {
            return status;
        }
        symbol = cell_namespace_find(namespace, name, hash);
    }
    *out_symbol = symbol;
    return OK;
}

static uint64_t address_of(const struct symbol *symbol)
{
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
        for (const struct dependency *at = cell->sections[i].incoming; at; at = at->next_incoming) {
            if (at->source->cell != cell) {
                return at->source->cell;
            }
        }
    }
    return NULL;
}

/* Takes all records of `cell` out of one list, and marks them as done. O(length of the list). */
static void unlink_from(struct section *target, const struct cell *cell)
{
    struct dependency **link = &target->incoming;
    while (*link) {
        struct dependency *at = *link;
        if (at->source->cell == cell) {
            *link = at->next_incoming;
            at->target = NULL;
        } else {
            link = &at->next_incoming;
        }
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

static enum status unload_locked(struct cell *cell, struct diag *diag)
{
    if (cell->is_static) {
        return ERR_PERMISSION;
    }
    enum status unused = check_unused(cell, diag);
    if (unused != OK) {
        return unused;
    }
    struct address_table *table;
    enum status status = address_map_prepare(NULL, 0, cell, &table);
    if (status != OK) {
        return status;
    }
    struct loaded_cell *loaded = CONTAINER_OF(cell, struct loaded_cell, cell);
    address_map_publish(table);
    for (uint32_t i = 0; i < cell->dependency_count; i++) {
        if (cell->dependencies[i].target) {
            unlink_from(cell->dependencies[i].target, cell);
        }
    }
    cell_namespace_withdraw(cell->namespace, cell);
    statistics.cells--;
    statistics.sections -= cell->region_first[REGION_COUNT];
    statistics.metadata_bytes -= cell->metadata_size;
    statistics.region_bytes -= region_bytes_of(loaded);
    if (address_map_wait()) {
        release_cell(loaded);
    } else { /* somebody looks at it for ever: then it stays in memory, known to nobody else */
        entry_pool_give_back(cell->entries, loaded->entry_capacity);
    }
    return OK;
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
