/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as an object, linked as the loader links it: opened, described, planned, placed, copied,
 * resolved and relocated. All memory has exactly the size that the linker asked for, so that one byte
 * too many is found.
 */
#include "cell_info.h"
#include "diag.h"
#include "link_unit.h"

#include <stdlib.h>
#include <string.h>

/* A section without bytes may announce a GiB; that is allowed, but a waste of time here. */
#define REGION_SIZE_MAX (1u << 20)
#define CODE_ZONE       0xffffffff90000000u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void *take(size_t count, size_t size)
{
    void *memory = malloc(count * size);
    check(memory || count * size == 0);
    if (memory) {
        memset(memory, 0xa5, count * size);
    }
    return memory;
}

/* Another cell that defines every name but those with an underscore in front. */
static const struct symbol *lookup(void *context, const char *name, uint32_t hash)
{
    static const struct symbol somewhere = {.type = STT_FUNC,
                                            .binding = STB_GLOBAL,
                                            .address = 0xffffffff80100000,
                                            .entry = 0xffffffff80200000};
    (void)context;
    check(hash == symbol_map_hash(name));
    return name[0] == '_' ? NULL : &somewhere;
}

static void read_names(const struct elf_object *object)
{
    size_t length = 0;
    for (uint32_t i = 0; i < object->section_count; i++) {
        length += strlen(elf_object_section_name(object, i));
    }
    for (uint32_t i = 0; i < object->symbol_count; i++) {
        length += strlen(elf_object_symbol_name(object, i));
    }
    __asm__ volatile("" : : "r"(length));
}

static void place(struct link_unit *unit, uint8_t *regions[REGION_COUNT])
{
    uint64_t addresses[REGION_COUNT];
    uint64_t next = CODE_ZONE;
    for (int i = 0; i < REGION_COUNT; i++) {
        uint64_t region_size = unit->layout.sizes[i];
        addresses[i] = region_size ? next : 0;
        next += (region_size + 0xfff) & ~0xfffull;
        regions[i] = take(region_size, 1);
    }
    link_unit_place(unit, addresses, regions, next);
}

/* The records that other code walks without checks. */
static void check_records(const struct cell *cell)
{
    for (uint32_t i = 0; i < cell->dependency_count; i++) {
        const struct dependency *dependency = &cell->dependencies[i];
        bool is_noop = dependency->type == R_X86_64_NONE; /* its offset means nothing */
        check(dependency->source->address != 0);
        check(is_noop || dependency->offset < dependency->source->size);
    }
    for (uint32_t i = 1; i < cell->region_first[REGION_COUNT]; i++) {
        const struct section *a = &cell->sections[cell->by_address[i - 1]];
        const struct section *b = &cell->sections[cell->by_address[i]];
        check(a->region != b->region || a->address + a->size <= b->address);
    }
}

static void finish(struct link_unit *unit)
{
    struct diag diag = {0};
    uint8_t *regions[REGION_COUNT];
    place(unit, regions);
    link_unit_copy(unit);
    if (link_unit_resolve(unit, lookup, NULL, &diag) == OK &&
        link_unit_relocate(unit, &diag) == OK) {
        check_records(unit->cell);
        uint8_t *entries = take(unit->cell->entry_count, ENTRY_SIZE);
        link_unit_write_entries(unit, entries);
        free(entries);
    } else {
        check(diag.code != DIAG_NONE);
    }
    for (int i = 0; i < REGION_COUNT; i++) {
        free(regions[i]);
    }
}

static void link_object(const struct elf_object *object)
{
    struct link_sizes sizes;
    link_unit_sizes(object, &sizes);
    struct link_memory memory = {
        .sections = take(sizes.sections, sizeof(*memory.sections)),
        .by_address = take(sizes.sections, sizeof(*memory.by_address)),
        .symbols = take(sizes.exports, sizeof(*memory.symbols)),
        .functions = take(sizes.functions, sizeof(*memory.functions)),
        .dependencies = take(sizes.dependencies, sizeof(*memory.dependencies)),
        .places = take(sizes.sections, sizeof(*memory.places)),
        .resolved = take(sizes.symbols, sizeof(*memory.resolved)),
    };
    struct link_unit unit;
    struct cell cell = {.name = "fuzz"};
    struct diag diag = {0};
    if (link_unit_plan(&unit, &cell, object, &memory, &diag) != OK) {
        check(diag.code != DIAG_NONE);
    } else if (unit.layout.sizes[REGION_TEXT] <= REGION_SIZE_MAX &&
               unit.layout.sizes[REGION_RODATA] <= REGION_SIZE_MAX &&
               unit.layout.sizes[REGION_DATA] <= REGION_SIZE_MAX) {
        finish(&unit);
    }
    free(memory.sections);
    free(memory.by_address);
    free(memory.symbols);
    free(memory.functions);
    free(memory.dependencies);
    free(memory.places);
    free(memory.resolved);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    /* Objects lie at aligned addresses: of the archive's bytes, and in a file that is mapped. */
    uint8_t *copy = take(size, 1);
    if (size) {
        memcpy(copy, bytes, size);
    }
    struct elf_object object;
    struct cell_info info;
    struct diag diag = {0};
    if (elf_object_open(span_of(copy, size), &object, &diag) == OK) {
        read_names(&object);
        if (cell_info_read(&object, &info, &diag) == OK) {
            check(strlen(info.name) < CELL_INFO_NAME_SIZE);
        }
        link_object(&object);
    } else {
        check(diag.code != DIAG_NONE);
    }
    free(copy);
    return 0;
}
