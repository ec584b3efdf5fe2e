/* SPDX-License-Identifier: MIT */
/*
 * Three steps: read and plan every cell; give out addresses, which needs all sizes; link, which
 * needs all addresses. Writing the file is static_image_file.c.
 *
 * How many entries a cell uses is known only when it is relocated, so each gets room for all of its
 * functions; what is left holds traps. That costs 8 bytes a function that nobody points to.
 */
#include "static_link.h"

#include <stdlib.h>
#include <string.h>

#include "cell_gate.h"
#include "cell_info.h"
#include "nano_core_image.h"
#include "static_link_priv.h"

#define IMAGE_SYMBOL "nano_core_image"

static enum status read_cell(struct static_cell *cell, const char *path, struct problem *problem)
{
    struct cell_gate gate = {.file = path};
    struct elf_object object;
    struct cell_info info;
    struct diag diag;
    enum status status = bytes_read_file(&cell->file, path, problem);
    if (status == OK) {
        status = cell_gate_check(&gate, bytes_span(&cell->file), problem);
    }
    if (status != OK) {
        return status;
    }
    if (elf_object_open(bytes_span(&cell->file), &object, &diag) != OK ||
        cell_info_read(&object, &info, &diag) != OK) {
        return problem_set_diag(problem, &diag, path);
    }
    struct link_sizes sizes;
    link_unit_sizes(&object, &sizes);
    cell->entry_capacity = sizes.functions;
    cell->memory = (struct link_memory){
        .sections = calloc(sizes.sections + 1, sizeof(struct section)),
        .by_address = calloc(sizes.sections + 1, sizeof(uint32_t)),
        .symbols = calloc(sizes.exports + 1, sizeof(struct symbol)),
        .functions = calloc(sizes.functions + 1, sizeof(struct function)),
        .bindings = calloc(sizes.bindings + 1, sizeof(struct binding)),
        .places = calloc(sizes.sections + 1, sizeof(struct section_place)),
        .resolved = calloc(sizes.symbols + 1, sizeof(struct link_symbol)),
    };
    const struct link_memory *memory = &cell->memory;
    if (!memory->sections || !memory->by_address || !memory->symbols || !memory->functions ||
        !memory->bindings || !memory->places || !memory->resolved) {
        return problem_set(problem, PROBLEM_MEMORY, "out of memory");
    }
    cell->cell = (struct cell){
        .key = {.name = info.name, .hash = symbol_map_hash(info.name)},
        .name = info.name,
        .version = info.version,
        .kind = info.kind,
        .summary = info.summary,
        .interface = info.interface,
        .is_static = true,
    };
    if (link_unit_plan(&cell->unit, &cell->cell, &object, memory, &diag) != OK) {
        return problem_set_diag(problem, &diag, path);
    }
    return OK;
}

/* ---- names ---- */

static enum status enter_symbol(struct static_image *image, struct symbol *symbol,
                                struct problem *problem)
{
    const struct symbol_key *key = symbol_map_insert(&image->symbols, &symbol->key);
    if (!key) {
        return OK;
    }
    const struct symbol *other = CONTAINER_OF(key, const struct symbol, key);
    if (symbol->binding == STB_WEAK) {
        return OK;
    }
    if (other->binding == STB_WEAK) {
        symbol_map_remove(&image->symbols, key);
        symbol_map_insert(&image->symbols, &symbol->key);
        return OK;
    }
    struct diag diag;
    diag_set(&diag, DIAG_LINK_DUPLICATE_SYMBOL,
             &(struct diag_site){
                 .cell = symbol->section ? symbol->section->cell->name : IMAGE_SYMBOL,
                 .symbol = symbol->key.name,
             });
    problem_set_diag(problem, &diag, NULL);
    problem_because(problem, "%s defines it too",
                    other->section ? other->section->cell->name : "the image itself");
    return problem->status;
}

static enum status enter_names(struct static_image *image, struct problem *problem)
{
    uint32_t count = 1;
    for (size_t i = 0; i < image->cell_count; i++) {
        count += image->cells[i].cell.symbol_count;
    }
    uint32_t capacity = symbol_map_capacity(count);
    const struct symbol_key **slots = calloc(capacity, sizeof(*slots));
    if (!slots) {
        return problem_set(problem, PROBLEM_MEMORY, "out of memory");
    }
    symbol_map_init(&image->symbols, slots, capacity, NULL);
    image->table_symbol = (struct symbol){
        .key = {.name = IMAGE_SYMBOL, .hash = symbol_map_hash(IMAGE_SYMBOL)},
        .type = STT_OBJECT,
        .binding = STB_GLOBAL,
    };
    enum status status = enter_symbol(image, &image->table_symbol, problem);
    for (size_t i = 0; status == OK && i < image->cell_count; i++) {
        struct cell *cell = &image->cells[i].cell;
        for (size_t k = 0; k < i; k++) {
            if (strcmp(image->cells[k].cell.name, cell->name) == 0) {
                return problem_set(problem, PROBLEM_PACK_TWICE, "two cells are named %s",
                                   cell->name);
            }
        }
        for (uint32_t k = 0; status == OK && k < cell->symbol_count; k++) {
            status = enter_symbol(image, &cell->symbols[k], problem);
        }
    }
    return status;
}

static const struct symbol *look_up(void *context, const char *name, uint32_t hash)
{
    const struct static_image *image = context;
    const struct symbol_key *key = symbol_map_find(&image->symbols, name, hash);
    return key ? CONTAINER_OF(key, const struct symbol, key) : NULL;
}

/* ---- addresses ---- */

static uint64_t page_up(uint64_t value)
{
    return (value + IMAGE_PAGE - 1) & ~(uint64_t)(IMAGE_PAGE - 1);
}

static uint64_t place_regions(struct static_image *image, enum region_kind region, uint64_t at)
{
    for (size_t i = 0; i < image->cell_count; i++) {
        struct static_cell *cell = &image->cells[i];
        cell->addresses[region] = at;
        at = page_up(at + cell->unit.layout.sizes[region]);
    }
    return at;
}

static uint64_t place_entries(struct static_image *image, uint64_t at)
{
    image->entries_start = at;
    for (size_t i = 0; i < image->cell_count; i++) {
        image->cells[i].entries = at;
        at += (uint64_t)image->cells[i].entry_capacity * ENTRY_SIZE;
    }
    image->entries_end = page_up(at);
    return image->entries_end;
}

static enum status place_cells(struct static_image *image, struct problem *problem)
{
    uint64_t at = place_regions(image, REGION_TEXT, image->base);
    at = place_entries(image, at);
    at = place_regions(image, REGION_RODATA, at);
    image->table_start = at;
    image->table_symbol.address = at;
    image->table_size =
        sizeof(struct nano_core_image) + image->cell_count * sizeof(struct nano_core_image_cell);
    at = page_up(at + image->table_size);
    image->table_end = at;
    image->end = place_regions(image, REGION_DATA, at);
    for (size_t i = 0; i < image->cell_count; i++) {
        struct static_cell *cell = &image->cells[i];
        for (uint32_t r = 0; r < REGION_COUNT; r++) {
            cell->bytes[r] = calloc(1, cell->unit.layout.sizes[r] + 1);
            if (!cell->bytes[r]) {
                return problem_set(problem, PROBLEM_MEMORY, "out of memory");
            }
        }
        link_unit_place(&cell->unit, cell->addresses, cell->bytes, cell->entries);
    }
    return OK;
}

/* ---- linking ---- */

static enum status link_cells(struct static_image *image, const struct static_link_request *request,
                              struct problem *problem)
{
    size_t entries_size = image->entries_end - image->entries_start;
    image->entries = malloc(entries_size + 1);
    if (!image->entries) {
        return problem_set(problem, PROBLEM_MEMORY, "out of memory");
    }
    memset(image->entries, 0xcc, entries_size);
    for (size_t i = 0; i < image->cell_count; i++) {
        struct static_cell *cell = &image->cells[i];
        struct diag diag;
        link_unit_copy(&cell->unit);
        if (link_unit_resolve(&cell->unit, look_up, image, &diag) != OK ||
            link_unit_relocate(&cell->unit, &diag) != OK) {
            diag_name_cell(&diag, cell->cell.name);
            problem_set_diag(problem, &diag, request->cells[i]);
            problem_help(problem, "is the cell that defines it marked NANO_CORE?");
            return problem->status;
        }
        link_unit_write_entries(&cell->unit,
                                image->entries + (cell->entries - image->entries_start));
    }
    return OK;
}

static enum status fill_table(struct static_image *image, struct problem *problem)
{
    image->table = calloc(1, image->table_size);
    if (!image->table) {
        return problem_set(problem, PROBLEM_MEMORY, "out of memory");
    }
    struct nano_core_image *table = image->table;
    *table = (struct nano_core_image){
        .magic = NANO_CORE_IMAGE_MAGIC,
        .start = image->base,
        .end = image->end,
        .physical = image->physical,
        .table_start = image->table_start,
        .table_end = image->table_end,
        .entries_start = image->entries_start,
        .entries_end = image->entries_end,
        .cell_count = image->cell_count,
    };
    for (size_t i = 0; i < image->cell_count; i++) {
        const struct static_cell *cell = &image->cells[i];
        struct nano_core_image_cell *row = &table->cells[i];
        strncpy(row->name, cell->cell.name, sizeof(row->name) - 1);
        row->entries = cell->entries;
        row->entry_count = cell->cell.entry_count;
        for (uint32_t r = 0; r < REGION_COUNT; r++) {
            row->addresses[r] = cell->cell.regions[r].address;
            row->sizes[r] = cell->cell.regions[r].size;
        }
    }
    return OK;
}

static enum status find_entry(struct static_image *image, const char *name, struct problem *problem)
{
    for (size_t i = 0; i < image->cell_count; i++) {
        const struct static_cell *cell = &image->cells[i];
        const struct elf_object *object = &cell->cell.object;
        for (uint32_t k = 1; k < object->symbol_count; k++) {
            uint16_t section = object->symbols[k].st_shndx;
            if (section != SHN_UNDEF && section < object->section_count &&
                strcmp(elf_object_symbol_name(object, k), name) == 0) {
                image->entry = cell->cell.sections[section].address + object->symbols[k].st_value;
                return OK;
            }
        }
    }
    return problem_set(problem, PROBLEM_LINK_REQUEST, "no cell defines the entry %s", name);
}

static enum status check_request(const struct static_link_request *request, struct problem *problem)
{
    if (request->base % IMAGE_PAGE != 0 || request->physical % IMAGE_PAGE != 0) {
        return problem_set(problem, PROBLEM_LINK_REQUEST, "an address is not a multiple of %u",
                           IMAGE_PAGE);
    }
    if ((int64_t)request->base != (int32_t)request->base) {
        problem_set(problem, PROBLEM_LINK_REQUEST,
                    "the image lies out of reach of its relocations");
        problem_because(problem, "-mcmodel=kernel addresses must sign-extend from 32 bits");
        return problem->status;
    }
    return OK;
}

static enum status link_image(struct static_image *image, const struct static_link_request *request,
                              struct problem *problem)
{
    enum status status = check_request(request, problem);
    for (size_t i = 0; status == OK && i < image->cell_count; i++) {
        status = read_cell(&image->cells[i], request->cells[i], problem);
    }
    if (status == OK) {
        status = enter_names(image, problem);
    }
    if (status == OK) {
        status = place_cells(image, problem);
    }
    if (status == OK) {
        status = link_cells(image, request, problem);
    }
    if (status == OK) {
        status = fill_table(image, problem);
    }
    if (status == OK) {
        status = find_entry(image, request->entry, problem);
    }
    return status == OK ? static_image_write(image, request->output, problem) : status;
}

enum status static_link(const struct static_link_request *request, struct static_image **out_image,
                        struct problem *problem)
{
    size_t count = 0;
    while (request->cells[count]) {
        count++;
    }
    struct static_image *image = calloc(1, sizeof(*image));
    struct static_cell *cells = calloc(count + 1, sizeof(*cells));
    if (!image || !cells) {
        free(image);
        free(cells);
        return problem_set(problem, PROBLEM_MEMORY, "out of memory");
    }
    image->cells = cells;
    image->cell_count = count;
    image->base = request->base;
    image->physical = request->physical;
    enum status status = link_image(image, request, problem);
    if (status != OK) {
        static_image_destroy(image);
        return status;
    }
    *out_image = image;
    return OK;
}

void static_image_destroy(struct static_image *image)
{
    if (!image) {
        return;
    }
    for (size_t i = 0; i < image->cell_count; i++) {
        struct static_cell *cell = &image->cells[i];
        free(cell->memory.sections);
        free(cell->memory.by_address);
        free(cell->memory.symbols);
        free(cell->memory.functions);
        free(cell->memory.bindings);
        free(cell->memory.places);
        free(cell->memory.resolved);
        for (uint32_t r = 0; r < REGION_COUNT; r++) {
            free(cell->bytes[r]);
        }
        bytes_fini(&cell->file);
    }
    free((void *)image->symbols.slots);
    free(image->table);
    free(image->entries);
    free(image->cells);
    free(image);
}

size_t static_image_cell_count(const struct static_image *image)
{
    return image->cell_count;
}

const struct cell *static_image_cell(const struct static_image *image, size_t index)
{
    return &image->cells[index].cell;
}

uint64_t static_image_end(const struct static_image *image)
{
    return image->end;
}

size_t static_image_file_size(const struct static_image *image)
{
    return image->file_size;
}
