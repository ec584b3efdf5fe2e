/* SPDX-License-Identifier: MIT */
/*
 * Adoption of the static image is the transaction of loader.c, where only `place` differs: the
 * addresses are those of the image, and the bytes are built in scratch memory to be compared with
 * what runs. Text, rodata and entries must be equal to the byte; data may have changed, for the
 * cells are running.
 */
#include "cell_namespace.h"
#include "diag.h"
#include "entry_pool.h"
#include "heap_block.h"
#include "loader.h"
#include "loader_priv.h"
#include "nano_core_image.h"

/* Which no cell defines. Its name is where the linker put it: that is patched when this cell is
 * replaced. */
static struct symbol image_symbol = {.key = {.name = "nano_core_image"}};
static uint64_t image_entries;      /* the pages of its entries, which stay for good */
static uint64_t image_entries_size; /* bytes */

/* The image's row must describe what the archive's cell needs, or they are not from one build. */
static enum status check_row(const struct staged_cell *staged,
                             const struct nano_core_image_cell *row, struct diag *diag)
{
    for (uint32_t r = 0; r < REGION_COUNT; r++) {
        if (staged->unit.layout.sizes[r] != row->sizes[r]) {
            return diag_set(diag, DIAG_LINK_IMAGE,
                            &(struct diag_site){
                                .cell = staged->name,
                                .expected = staged->unit.layout.sizes[r],
                                .found = row->sizes[r],
                            });
        }
    }
    return OK;
}

/* Builds the cell's regions in scratch memory, for the addresses that it runs at. */
static enum status place_adopted(struct staged_cell *staged, const struct nano_core_image_cell *row,
                                 struct diag *diag)
{
    uint8_t *bytes[REGION_COUNT] = {NULL};
    for (uint32_t r = 0; r < REGION_COUNT; r++) {
        uint64_t size = staged->unit.layout.sizes[r];
        if (size > 0 && !heap_block_take(size, &staged->unit.bytes[r])) { /* see drop_bytes() */
            return refuse_memory(staged, DIAG_LINK_MEMORY, NULL, size, diag);
        }
        bytes[r] = staged->unit.bytes[r];
    }
    link_unit_place(&staged->unit, row->addresses, bytes, row->entries);
    staged->loaded->cell.is_static = true;
    staged->loaded->entry_capacity = 0; /* the entries are the image's */
    return OK;
}

/* Addresses in the static text are not left lying about in free memory: the nano_core will leave
 * it. The rest of what the linker needed is wiped by transaction_end(). */
static void drop_bytes(struct staged_cell *staged)
{
    for (uint32_t r = 0; r < REGION_COUNT; r++) {
        if (staged->unit.bytes[r]) {
            __builtin_memset(staged->unit.bytes[r], 0, staged->unit.layout.sizes[r]);
        }
        heap_block_give(&staged->unit.bytes[r]);
    }
}

/* The first of `size` bytes that differs, or `size`. */
static uint64_t first_difference(const uint8_t *expected, const uint8_t *found, uint64_t size)
{
    uint64_t at = 0;
    if (size == 0 || __builtin_memcmp(expected, found, size) == 0) {
        return size;
    }
    while (expected[at] == found[at]) {
        at++;
    }
    return at;
}

static enum status compare_region(const struct staged_cell *staged, uint32_t region,
                                  struct diag *diag)
{
    const struct cell *cell = &staged->loaded->cell;
    const struct region *running = &cell->regions[region];
    const uint8_t *expected = staged->unit.bytes[region];
    const uint8_t *found = (const uint8_t *)running->address;
    uint64_t at = first_difference(expected, found, running->size);
    if (at == running->size) {
        return OK;
    }
    struct diag_site site = {
        .cell = staged->name,
        .section = region == REGION_TEXT ? "text" : "rodata", /* between two sections */
        .offset = at,
        .expected = expected[at],
        .found = found[at],
    };
    for (uint32_t k = cell->region_first[region]; k < cell->region_first[region + 1]; k++) {
        const struct section *section = &cell->sections[cell->by_address[k]];
        uint64_t start = section->address - running->address;
        if (at - start < section->size) {
            site.section = section->name;
            site.offset = at - start;
        }
    }
    return diag_set(diag, DIAG_LINK_IMAGE, &site);
}

static enum status compare_entries(const struct staged_cell *staged,
                                   const struct nano_core_image_cell *row, struct diag *diag)
{
    const struct cell *cell = &staged->loaded->cell;
    size_t size = (size_t)cell->entry_count * ENTRY_SIZE;
    struct diag_site site = {
        .cell = staged->name,
        .section = "entries",
        .expected = cell->entry_count,
        .found = row->entry_count,
    };
    if (row->entry_count != cell->entry_count) {
        return diag_set(diag, DIAG_LINK_IMAGE, &site);
    }
    if (size == 0) {
        return OK;
    }
    OWNED(heap_block, block);
    if (!heap_block_take(size, SLOT(block))) {
        return refuse_memory(staged, DIAG_LINK_MEMORY, NULL, size, diag);
    }
    uint8_t *expected = heap_block_of(*SLOT(block));
    link_unit_write_entries(&staged->unit, expected);
    const uint8_t *found = (const uint8_t *)cell->entries;
    site.offset = first_difference(expected, found, size);
    if (site.offset < size) {
        site.expected = expected[site.offset];
        site.found = found[site.offset];
    }
    return site.offset == size ? OK : diag_set(diag, DIAG_LINK_IMAGE, &site);
}

/* Text and rodata are what linking yields; data may have changed, for the cells have been running.
 */
static enum status adopt_cell(struct transaction *transaction, struct staged_cell *staged,
                              const struct nano_core_image_cell *row, struct diag *diag)
{
    enum status status = link_cell(transaction, staged, diag);
    if (status == OK) {
        status = compare_region(staged, REGION_TEXT, diag);
    }
    if (status == OK) {
        status = compare_region(staged, REGION_RODATA, diag);
    }
    if (status == OK) {
        status = compare_entries(staged, row, diag);
    }
    return status;
}

static enum status stage_image(struct transaction *transaction, const struct nano_core_image *image,
                               struct diag *diag)
{
    for (uint64_t i = 0; i < image->cell_count; i++) {
        const struct nano_core_image_cell *row = &image->cells[i];
        struct member_source source;
        if (!catalog_find_cell(catalog_system(), row->name, &source)) {
            return diag_set(diag, DIAG_LINK_CELL, &(struct diag_site){.cell = row->name});
        }
        enum status status = transaction_stage(transaction, source, diag);
        if (status == OK && transaction->count != i + 1) { /* the table names a cell twice */
            status =
                diag_set(diag, DIAG_LINK_DUPLICATE_CELL, &(struct diag_site){.cell = row->name});
        }
        if (status == OK) {
            status = check_row(&transaction->staged[i], row, diag);
        }
        if (status == OK) {
            status = place_adopted(&transaction->staged[i], row, diag);
        }
        if (status != OK) {
            return status;
        }
    }
    return OK;
}

static enum status adopt_all(struct transaction *transaction, const struct nano_core_image *image,
                             struct diag *diag)
{
    enum status status = OK;
    for (uint32_t i = 0; status == OK && i < transaction->count; i++) {
        status = adopt_cell(transaction, &transaction->staged[i], &image->cells[i], diag);
    }
    if (status == OK) {
        status = prepare_commit(transaction, diag);
    }
    if (status == OK) {
        commit(transaction);
    }
    return status;
}

/* The image's table is the one symbol that no cell defines; the namespace gets it first. */
static enum status publish_image_symbol(struct cell_namespace *namespace,
                                        const struct nano_core_image *image, struct diag *diag)
{
    const char *name = image_symbol.key.name;
    if (cell_namespace_find_own(namespace, name, symbol_map_hash(name))) {
        return diag_set(diag, DIAG_LINK_DUPLICATE_SYMBOL, &(struct diag_site){.symbol = name});
    }
    if (cell_namespace_reserve(namespace, 0, 1) != OK) {
        return diag_set(diag, DIAG_LINK_MEMORY, &(struct diag_site){0});
    }
    image_symbol.key.hash = symbol_map_hash(name);
    image_symbol.type = STT_OBJECT;
    image_symbol.binding = STB_GLOBAL;
    image_symbol.address = (uint64_t)image;
    cell_namespace_publish_symbols(namespace, &image_symbol, 1);
    return OK;
}

bool is_entry(uint64_t address)
{
    return address - image_entries < image_entries_size || entry_pool_holds(address);
}

enum status loader_adopt(struct cell_namespace *namespace, const struct nano_core_image *image,
                         struct diag *diag)
{
    LOADER_GUARD(guard);
    uint64_t start = loader_ticks();
    if (image->magic != NANO_CORE_IMAGE_MAGIC || image->cell_count > LOADER_MAX_CELLS) {
        return diag_set(diag, DIAG_LINK_IMAGE,
                        &(struct diag_site){
                            .expected = NANO_CORE_IMAGE_MAGIC,
                            .found = image->magic,
                        });
    }
    enum status status = publish_image_symbol(namespace, image, diag);
    if (status != OK) {
        return status;
    }
    struct transaction transaction;
    status = transaction_begin(&transaction, namespace, NULL, NULL, diag);
    if (status == OK) {
        status = stage_image(&transaction, image, diag);
    }
    if (status == OK) {
        status = adopt_all(&transaction, image, diag);
    }
    for (uint32_t i = 0; i < transaction.count; i++) {
        drop_bytes(&transaction.staged[i]);
    }
    transaction_end(&transaction, status == OK);
    if (status == OK) {
        image_entries = image->entries_start;
        image_entries_size = image->entries_end - image->entries_start;
    } else {
        cell_namespace_withdraw_symbols(namespace);
    }
    count_adoption(loader_ticks() - start);
    return status;
}
