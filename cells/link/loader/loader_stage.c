/* SPDX-License-Identifier: MIT */
/*
 * Staging: a work list instead of recursion. transaction_close() walks the staged cells in order;
 * for each name that neither the namespace nor a staged cell defines it appends the member that
 * does. The list ends because every member is staged once at most, and has LOADER_MAX_CELLS places.
 */
#include "address_map.h"
#include "cell_info.h"
#include "cell_namespace.h"
#include "commit.h"
#include "diag.h"
#include "entry_pool.h"
#include "format.h"
#include "heap_block.h"
#include "loader.h"
#include "loader_priv.h"

#define BLOCK_ALIGNMENT 16u
#define FIRST_CAPACITY  8u /* staged cells; most loads need fewer */

bool transaction_take(const struct transaction *transaction, size_t size, void *out)
{
    return !step_fails(transaction->steps) && heap_block_take(size, out);
}

/* Makes room for one more staged cell. */
static enum status reserve_staged(struct transaction *transaction, struct diag *diag)
{
    if (transaction->count < transaction->capacity) {
        return OK;
    }
    uint64_t capacity = transaction->capacity ? 2 * transaction->capacity : FIRST_CAPACITY;
    OWNED(heap_block, block);
    if (!transaction_take(transaction, capacity * sizeof(struct staged_cell), SLOT(block))) {
        return diag_set(diag, DIAG_LINK_MEMORY, &(struct diag_site){0});
    }
    struct staged_cell *staged = heap_block_of(*SLOT(block));
    if (transaction->count > 0) {
        __builtin_memcpy(staged, transaction->staged, transaction->count * sizeof(*staged));
    }
    commit_three(&transaction->staged, staged, &transaction->capacity, capacity, SLOT(block),
                 transaction->staged);
    return OK;
}

enum status transaction_begin(struct transaction *transaction, struct cell_namespace *namespace,
                              const struct catalog *bundle, struct step_counter *steps,
                              struct diag *diag)
{
    *transaction = (struct transaction){.namespace = namespace, .bundle = bundle, .steps = steps};
    enum status status = cell_namespace_reserve(namespace, 0, 0); /* what was interrupted */
    return status == OK ? reserve_staged(transaction, diag) : status;
}

bool transaction_find_symbol(const struct transaction *transaction, const char *symbol,
                             uint32_t hash, struct member_source *out_source)
{
    return (transaction->bundle &&
            catalog_find_symbol(transaction->bundle, symbol, hash, out_source)) ||
           catalog_find_symbol(catalog_system(), symbol, hash, out_source);
}

bool transaction_find_cell(const struct transaction *transaction, const char *name,
                           struct member_source *out_source)
{
    return (transaction->bundle && catalog_find_cell(transaction->bundle, name, out_source)) ||
           catalog_find_cell(catalog_system(), name, out_source);
}

/* Gives `count` elements of a block that is being divided; only adds up while `*base` is NULL. */
static void *divide(uint8_t *block, size_t *used, size_t count, size_t size)
{
    size_t start = (*used + BLOCK_ALIGNMENT - 1) & ~(size_t)(BLOCK_ALIGNMENT - 1);
    *used = start + count * size;
    return block ? block + start : NULL;
}

static void divide_metadata(uint8_t *block, size_t *used, const struct link_sizes *sizes,
                            struct link_memory *memory)
{
    *used = sizeof(struct loaded_cell);
    memory->sections = divide(block, used, sizes->sections, sizeof(struct section));
    memory->symbols = divide(block, used, sizes->exports, sizeof(struct symbol));
    memory->functions = divide(block, used, sizes->functions, sizeof(struct function));
    memory->by_address = divide(block, used, sizes->sections, sizeof(uint32_t));
    memory->bindings = divide(block, used, sizes->bindings, sizeof(struct binding));
}

static void divide_scratch(uint8_t *block, size_t *used, const struct link_sizes *sizes,
                           struct link_memory *memory)
{
    *used = 0;
    memory->places = divide(block, used, sizes->sections, sizeof(struct section_place));
    memory->resolved = divide(block, used, sizes->symbols, sizeof(struct link_symbol));
}

/* What is left over of its block may hold addresses of other cells, and would keep these
 * (pointer_scan.h). */
static void clear_unused(struct cell *cell, const struct link_sizes *sizes)
{
    uint32_t placed = cell->region_first[REGION_COUNT];
    __builtin_memset(cell->functions + cell->function_count, 0,
                     (sizes->functions - cell->function_count) * sizeof(struct function));
    __builtin_memset(cell->by_address + placed, 0, (sizes->sections - placed) * sizeof(uint32_t));
}

/* Allocates the cell's block and the scratch block, and plans the cell into them. */
static enum status plan_cell(const struct transaction *transaction, struct staged_cell *staged,
                             const struct elf_object *object, const struct cell_info *info,
                             struct diag *diag)
{
    struct link_sizes sizes;
    link_unit_sizes(object, &sizes);
    struct link_memory memory;
    size_t metadata_size;
    size_t scratch_size;
    divide_metadata(NULL, &metadata_size, &sizes, &memory);
    divide_scratch(NULL, &scratch_size, &sizes, &memory);
    OWNED(heap_block, block);
    bool has_memory = transaction_take(transaction, metadata_size, SLOT(block));
    if (has_memory) { /* from here on transaction_end() releases what it holds: nothing yet */
        __builtin_memset(heap_block_of(*SLOT(block)), 0, sizeof(*staged->loaded));
        commit_move(&staged->loaded, SLOT(block));
    }
    staged->scratch_size = scratch_size;
    has_memory &= transaction_take(transaction, scratch_size, &staged->scratch);
    if (!has_memory) {
        return diag_set(diag, DIAG_LINK_MEMORY,
                        &(struct diag_site){.expected = metadata_size + scratch_size});
    }
    divide_metadata((uint8_t *)staged->loaded, &metadata_size, &sizes, &memory);
    divide_scratch(staged->scratch, &scratch_size, &sizes, &memory);
    staged->loaded->cell = (struct cell){
        .key = {.name = info->name, .hash = symbol_map_hash(info->name)},
        .name = info->name,
        .version = info->version,
        .kind = info->kind,
        .summary = info->summary,
        .interface = info->interface,
        .metadata_size = metadata_size,
    };
    staged->loaded->entry_capacity = sizes.functions;
    staged->loaded->binding_capacity = sizes.bindings;
    enum status status =
        link_unit_plan(&staged->unit, &staged->loaded->cell, object, &memory, diag);
    if (status == OK) {
        clear_unused(&staged->loaded->cell, &sizes);
    }
    return status;
}

static struct symbol *symbol_of(const struct symbol_key *key)
{
    return CONTAINER_OF(key, struct symbol, key);
}

/* Of a cell that is about to be replaced. */
static bool is_leaving(const struct symbol *symbol)
{
    return symbol->section && symbol->section->cell->is_leaving;
}

static enum status refuse_duplicate(const struct cell *cell, const struct symbol *symbol,
                                    const struct symbol *other, struct diag *diag)
{
    char what[DIAG_SYMBOL_SIZE];
    format_into(what, sizeof(what), "%s, also in %s", symbol->key.name,
                other->section ? other->section->cell->name : "the static image");
    return diag_set(diag, DIAG_LINK_DUPLICATE_SYMBOL,
                    &(struct diag_site){
                        .cell = cell->name,
                        .section = symbol->section ? symbol->section->name : NULL,
                        .symbol = what,
                        .offset = symbol->address,
                    });
}

/*
 * Enters the exports of a staged cell. Strong beats weak, the first of two weak ones wins, two
 * strong ones are refused; so is one that the namespace itself has already, for what is bound stays
 * bound.
 */
static enum status enter_exports(struct transaction *transaction, struct cell *cell,
                                 struct diag *diag)
{
    for (uint32_t i = 0; i < cell->symbol_count; i++) {
        struct symbol *symbol = &cell->symbols[i];
        bool is_weak = symbol->binding == STB_WEAK;
        const struct symbol *other =
            cell_namespace_find_own(transaction->namespace, symbol->key.name, symbol->key.hash);
        if (!other || is_leaving(other)) {
            const struct symbol_key *key = symbol_map_insert(&transaction->exports, &symbol->key);
            if (!key) {
                continue;
            }
            other = symbol_of(key);
            if (other->binding == STB_WEAK && !is_weak) {
                symbol_map_remove(&transaction->exports, key);
                symbol_map_insert(&transaction->exports, &symbol->key);
                continue;
            }
        }
        if (!is_weak) {
            return refuse_duplicate(cell, symbol, other, diag);
        }
    }
    return OK;
}

static enum status reserve_exports(struct transaction *transaction, uint32_t count)
{
    struct symbol_map *map = &transaction->exports;
    if (symbol_map_has_room(map, count)) {
        return OK;
    }
    uint32_t capacity = symbol_map_capacity(map->count + count);
    OWNED(heap_block, block);
    if (!transaction_take(transaction, capacity * sizeof(*map->slots), SLOT(block))) {
        return ERR_NO_MEMORY;
    }
    const struct symbol_key **slots = heap_block_of(*SLOT(block));
    __builtin_memset(slots, 0, capacity * sizeof(*slots));
    struct symbol_map grown;
    symbol_map_init(&grown, slots, capacity, map);
    map->capacity = grown.capacity;
    map->count = grown.count;
    commit_two(&map->slots, slots, SLOT(block), map->slots);
    return OK;
}

/* Reads and checks what is in the member; the cell's own name counts, and must be the member's. */
static enum status read_cell(struct staged_cell *staged, struct span data,
                             struct elf_object *object, struct cell_info *info, struct diag *diag)
{
    enum status status = elf_object_open(data, object, diag);
    if (status == OK) {
        status = cell_info_read(object, info, diag);
    }
    if (status == OK && __builtin_strcmp(info->name, staged->name) != 0) {
        status = diag_set(diag, DIAG_CELL_NAME,
                          &(struct diag_site){.section = ".cell.info", .symbol = info->name});
    }
    return status;
}

/* In the namespace, or staged before the last one, which is about to be opened? */
static bool is_present(const struct transaction *transaction, const char *name)
{
    for (uint32_t i = 0; i + 1 < transaction->count; i++) {
        if (__builtin_strcmp(transaction->staged[i].name, name) == 0) {
            return true;
        }
    }
    const struct cell *cell = cell_namespace_find_cell(transaction->namespace, name);
    return cell && !cell->is_leaving;
}

static enum status open_staged(struct transaction *transaction, struct staged_cell *staged,
                               struct span data, struct diag *diag)
{
    struct elf_object object;
    struct cell_info info;
    enum status status = read_cell(staged, data, &object, &info, diag);
    if (status == OK && is_present(transaction, info.name)) {
        status = diag_set(diag, DIAG_LINK_DUPLICATE_CELL, &(struct diag_site){0});
    }
    if (status == OK) {
        status = plan_cell(transaction, staged, &object, &info, diag);
    }
    if (status == OK && reserve_exports(transaction, staged->loaded->cell.symbol_count) != OK) {
        status = diag_set(diag, DIAG_LINK_MEMORY, &(struct diag_site){0});
    }
    if (status == OK) {
        status = enter_exports(transaction, &staged->loaded->cell, diag);
    }
    return status;
}

static void name_staged(struct staged_cell *staged, const char *member)
{
    size_t length = __builtin_strlen(member);
    __builtin_memcpy(staged->name, member, length + 1);
    if (length > 5 && __builtin_strcmp(member + length - 5, ".cell") == 0) {
        staged->name[length - 5] = '\0';
    }
}

/* Adds the cell that the object `data` contains. `origin` tells it from others. */
static enum status stage(struct transaction *transaction, const char *name, const uint8_t *origin,
                         struct span data, struct diag *diag)
{
    if (transaction->count == LOADER_MAX_CELLS) {
        return diag_set(diag, DIAG_LINK_DEPTH,
                        &(struct diag_site){
                            .cell = name,
                            .expected = LOADER_MAX_CELLS,
                            .found = (uint64_t)LOADER_MAX_CELLS + 1,
                        });
    }
    enum status status = reserve_staged(transaction, diag);
    if (status != OK) {
        return status;
    }
    struct staged_cell *staged = &transaction->staged[transaction->count];
    *staged = (struct staged_cell){.origin = origin};
    name_staged(staged, name);
    COMPILER_BARRIER();
    transaction->count++; /* from here on transaction_end() releases it */
    status = open_staged(transaction, staged, data, diag);
    if (status != OK) {
        diag_name_cell(diag, staged->name);
    }
    return status;
}

static bool is_staged(const struct transaction *transaction, const uint8_t *origin)
{
    for (uint32_t i = 0; i < transaction->count; i++) {
        if (transaction->staged[i].origin == origin) {
            return true;
        }
    }
    return false;
}

enum status transaction_stage(struct transaction *transaction, struct member_source source,
                              struct diag *diag)
{
    const struct archive *archive = &source.catalog->archive;
    const uint8_t *origin = archive->file.base + source.offset;
    if (is_staged(transaction, origin)) {
        return OK;
    }
    struct archive_member member;
    enum status status = archive_member_at(archive, source.offset, &member, diag);
    if (status != OK) {
        return status == ERR_NOT_FOUND ? diag_set(diag, DIAG_ARCHIVE_INDEX,
                                                  &(struct diag_site){.offset = source.offset})
                                       : status;
    }
    return stage(transaction, member.name, origin, member.data, diag);
}

enum status transaction_stage_object(struct transaction *transaction, const char *name,
                                     struct span object, struct diag *diag)
{
    if (__builtin_strlen(name) >= ARCHIVE_NAME_SIZE) {
        return diag_set(diag, DIAG_ARCHIVE_NAME, &(struct diag_site){.symbol = name});
    }
    return is_staged(transaction, object.base)
               ? OK
               : stage(transaction, name, object.base, object, diag);
}

const struct symbol *transaction_lookup(void *context, const char *name, uint32_t hash)
{
    const struct transaction *transaction = context;
    const struct symbol_key *key = symbol_map_find(&transaction->exports, name, hash);
    const struct symbol *staged = key ? symbol_of(key) : NULL;
    if (staged && staged->binding != STB_WEAK) {
        return staged;
    }
    const struct cell_namespace *namespace = transaction->namespace;
    const struct symbol *present = cell_namespace_find(namespace, name, hash);
    if (present && is_leaving(present)) { /* what its namespace stands on may have another one */
        namespace = namespace->parent;
        present = namespace ? cell_namespace_find(namespace, name, hash) : NULL;
    }
    return present ? present : staged;
}

/* Stages what defines the undefined symbols of one cell. A weak one loads nothing, as in ELF gABI.
 */
static enum status close_cell(struct transaction *transaction, uint32_t index, struct diag *diag)
{
    const struct elf_object *object = &transaction->staged[index].loaded->cell.object;
    for (uint32_t i = object->first_global; i < object->symbol_count; i++) {
        const struct elf64_sym *symbol = &object->symbols[i];
        if (symbol->st_shndx != SHN_UNDEF || elf_symbol_binding(symbol) == STB_WEAK) {
            continue;
        }
        const char *name = elf_object_symbol_name(object, i);
        uint32_t hash = symbol_map_hash(name);
        if (transaction_lookup(transaction, name, hash)) {
            continue;
        }
        struct member_source source;
        if (!transaction_find_symbol(transaction, name, hash, &source)) {
            return diag_set(diag, DIAG_LINK_MISSING_SYMBOL,
                            &(struct diag_site){
                                .cell = transaction->staged[index].name,
                                .section = ".symtab",
                                .symbol = name,
                                .offset = (uint64_t)i * sizeof(*symbol),
                            });
        }
        enum status status = transaction_stage(transaction, source, diag);
        if (status != OK) {
            return status;
        }
        if (!transaction_lookup(transaction, name, hash)) { /* the index promised too much */
            return diag_set(diag, DIAG_LINK_MISSING_SYMBOL,
                            &(struct diag_site){
                                .cell = transaction->staged[index].name,
                                .section = ".symtab",
                                .symbol = name,
                                .offset = (uint64_t)i * sizeof(*symbol),
                            });
        }
    }
    return OK;
}

enum status transaction_close(struct transaction *transaction, struct diag *diag)
{
    enum status status = OK;
    for (uint32_t i = 0; status == OK && i < transaction->count; i++) {
        status = close_cell(transaction, i, diag);
    }
    return status;
}

uint64_t region_bytes_of(const struct loaded_cell *loaded)
{
    uint64_t pages = 0;
    for (uint32_t r = 0; r < REGION_COUNT; r++) {
        pages += loaded->pages[r] ? mapped_pages_count(STORED(loaded->pages[r])) : 0;
    }
    return pages * PAGE_SIZE;
}

/*
 * Addresses that are left in free memory would keep the next cell that gets them (pointer_scan.h). What
 * says that there is something to wipe goes last.
 */
static void wipe(struct loaded_cell *loaded)
{
    struct cell *cell = &loaded->cell;
    if (cell->has_lineage && cell->metadata_size > 0) {
        __builtin_memset(loaded + 1, 0, cell->metadata_size - sizeof(*loaded));
        COMPILER_BARRIER();
        __builtin_memset(cell, 0, sizeof(*cell));
    }
}

void release_cell(struct loaded_cell **slot)
{
    struct loaded_cell *loaded = *slot;
    if (!loaded) {
        return;
    }
    release_entries(loaded);
    for (uint32_t r = 0; r < REGION_COUNT; r++) {
        mapped_pages_drop(&loaded->pages[r]);
    }
    release_homes(loaded);
    wipe(loaded);
    heap_block_give_thing(slot);
}

/* Takes back a commit that was begun: no binding of a staged cell in lists of others, no name. */
static void take_back_commit(struct transaction *transaction)
{
    struct cell_namespace *namespace = transaction->namespace;
    unlink_staged(transaction);
    for (uint32_t i = 0; i < transaction->count; i++) {
        struct loaded_cell *loaded = transaction->staged[i].loaded;
        if (loaded && loaded->cell.namespace) {
            cell_namespace_withdraw(namespace, &loaded->cell);
        }
    }
}

/* What symbols were resolved to is wiped: behind the end of whatever lies there next, such words
 * would keep cells (pointer_scan.h). */
static void drop_scratch(struct staged_cell *staged)
{
    if (staged->scratch) {
        __builtin_memset(staged->scratch, 0, staged->scratch_size);
    }
    heap_block_give(&staged->scratch);
}

void transaction_end(struct transaction *transaction, bool keep_cells)
{
    if (transaction->is_committed) {
        address_map_settle();
    } else if (!keep_cells && transaction->is_publishing) {
        take_back_commit(transaction);
        COMPILER_BARRIER();
        transaction->is_publishing = false; /* from here on cells go */
    }
    for (uint32_t i = 0; i < transaction->count; i++) {
        struct staged_cell *staged = &transaction->staged[i];
        drop_scratch(staged);
        heap_block_give(&staged->unit.adopted_bytes);
        if (!keep_cells) {
            release_cell(&staged->loaded);
        }
    }
    heap_block_give(&transaction->exports.slots);
    address_map_discard(&transaction->table);
    transaction->count = 0;
    COMPILER_BARRIER();
    heap_block_give(&transaction->staged);
}

void transaction_drop(struct transaction **handle)
{
    if (*handle) {
        transaction_end(*handle, (*handle)->is_committed);
        EMPTY(handle);
    }
}
