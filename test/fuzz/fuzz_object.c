/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as an object: reading, planning, placing, resolving and relocating it, as the loader
 * and cellpack do. All arrays have the length that link_unit_sizes() says and not a byte more, so
 * that ASan sees every step beyond. Two runs in memory that was filled differently must yield the
 * same: else something was read that nobody wrote.
 */
#include "cell_info.h"
#include "diag.h"
#include "elf_object.h"
#include "link_unit.h"
#include "relocation.h"

#include <stdlib.h>
#include <string.h>

#define MAX_REGION (1u << 20) /* larger ones take memory and time, and show nothing new */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const uint64_t addresses[REGION_COUNT] = {0xffffffff90000000, 0xffffffffa0000000,
                                                 0xffffffffb0000000};
#define ENTRIES 0xffffffffc0000000

static void check(bool holds)
{
    if (!holds) {
        abort();
    }
}

struct linked {
    struct cell cell;
    struct link_unit unit;
    struct link_memory memory;
    uint8_t *bytes[REGION_COUNT];
    uint8_t *entries;
    enum status status;
    struct diag diag;
};

static void *allocate(size_t count, size_t size, int fill)
{
    void *block = malloc(count * size);
    check(block != NULL || count * size == 0);
    if (block) {
        memset(block, fill, count * size);
    }
    return block;
}

/* A string of table `table`, with its end. */
static void check_name(const struct elf_object *object, uint32_t table, const char *name)
{
    const struct elf64_shdr *section = &object->sections[table];
    uint64_t start = (uint64_t)((const uint8_t *)name - object->file.base) - section->sh_offset;
    check(start < section->sh_size && strlen(name) < section->sh_size - start);
}

static void check_symbols(const struct elf_object *object)
{
    for (uint32_t i = 0; i < object->symbol_count; i++) {
        const struct elf64_sym *symbol = &object->symbols[i];
        uint16_t index = symbol->st_shndx;
        check_name(object, object->sections[object->symbol_table].sh_link,
                   elf_object_symbol_name(object, i));
        check((elf_symbol_binding(symbol) == STB_LOCAL) == (i < object->first_global));
        check(index == SHN_ABS || index < object->section_count);
        if (index != SHN_ABS && index != SHN_UNDEF && elf_object_section_is_loaded(object, index)) {
            uint64_t size = object->sections[index].sh_size;
            check(symbol->st_value <= size && symbol->st_size <= size - symbol->st_value);
        }
    }
}

/* What elf_object.h promises to everybody behind. */
static void check_promises(const struct elf_object *object)
{
    const struct elf64_ehdr *header = (const struct elf64_ehdr *)object->file.base;
    for (uint32_t i = 0; i < object->section_count; i++) {
        const struct elf64_shdr *section = &object->sections[i];
        struct span bytes = elf_object_section_bytes(object, i);
        check_name(object, header->e_shstrndx, elf_object_section_name(object, i));
        check(bytes.size == 0 || span_holds(object->file, section->sh_offset, bytes.size));
        if (elf_object_section_is_loaded(object, i)) {
            check(section->sh_addralign <= ELF_OBJECT_MAX_ALIGNMENT);
            check((section->sh_addralign & (section->sh_addralign - 1)) == 0);
            check(!(section->sh_flags & SHF_WRITE) || !(section->sh_flags & SHF_EXECINSTR));
        }
    }
    check_symbols(object);
}

/* Every kind of answer: no symbol, absolute, data, a function with and without an entry. */
static const struct symbol *look_up(void *context, const char *name, uint32_t hash)
{
    static struct section code = {
        .address = 0xffffffffd0000000, .size = 4096, .flags = SHF_ALLOC | SHF_EXECINSTR};
    static struct section data = {
        .address = 0xffffffffe0000000, .size = 4096, .flags = SHF_ALLOC | SHF_WRITE};
    static struct symbol symbol;
    (void)context;
    check(hash == symbol_map_hash(name));
    symbol = (struct symbol){.key = {name, hash}, .address = 0xffffffffd0000000 + hash % 4096};
    switch (hash % 8) {
    case 0:
        return NULL;
    case 1:
        return &symbol;
    case 2:
        symbol.section = &data;
        symbol.address += 0x10000000;
        return &symbol;
    case 3:
        symbol.section = &code;
        return &symbol;
    default:
        symbol.section = &code;
        symbol.type = STT_FUNC;
        symbol.entry = 0xffffffffc8000000 + hash % 512 * ENTRY_SIZE;
        return &symbol;
    }
}

static void release_linked(struct linked *linked)
{
    free(linked->memory.sections);
    free(linked->memory.by_address);
    free(linked->memory.symbols);
    free(linked->memory.functions);
    free(linked->memory.bindings);
    free(linked->memory.places);
    free(linked->memory.resolved);
    free(linked->entries);
    for (uint32_t r = 0; r < REGION_COUNT; r++) {
        free(linked->bytes[r]);
    }
}

static enum status plan(const struct elf_object *object, const struct link_sizes *sizes, int fill,
                        struct linked *out)
{
    out->memory = (struct link_memory){
        .sections = allocate(sizes->sections, sizeof(struct section), fill),
        .by_address = allocate(sizes->sections, sizeof(uint32_t), fill),
        .symbols = allocate(sizes->exports, sizeof(struct symbol), fill),
        .functions = allocate(sizes->functions, sizeof(struct function), fill),
        .bindings = allocate(sizes->bindings, sizeof(struct binding), fill),
        .places = allocate(sizes->sections, sizeof(struct section_place), fill),
        .resolved = allocate(sizes->symbols, sizeof(struct link_symbol), fill),
    };
    return link_unit_plan(&out->unit, &out->cell, object, &out->memory, &out->diag);
}

/* False when the object is too large to be worth it. */
static bool link_object(const struct elf_object *object, int fill, struct linked *out)
{
    struct link_sizes sizes;
    memset(out, 0, sizeof(*out));
    link_unit_sizes(object, &sizes);
    out->status = plan(object, &sizes, fill, out);
    if (out->status != OK) {
        return true;
    }
    for (uint32_t r = 0; r < REGION_COUNT; r++) {
        if (out->unit.layout.sizes[r] > MAX_REGION) {
            return false;
        }
        out->bytes[r] = allocate(out->unit.layout.sizes[r], 1, fill);
    }
    link_unit_place(&out->unit, addresses, out->bytes, ENTRIES);
    link_unit_copy(&out->unit);
    out->status = link_unit_resolve(&out->unit, look_up, NULL, &out->diag);
    if (out->status == OK) {
        out->status = link_unit_relocate(&out->unit, &out->diag);
    }
    if (out->status == OK) {
        check(out->cell.entry_count <= sizes.functions);
        check(out->cell.binding_count <= sizes.bindings);
        check(out->cell.relocation_count == object->relocation_count);
        out->entries = allocate(out->cell.entry_count, ENTRY_SIZE, fill);
        link_unit_write_entries(&out->unit, out->entries);
    }
    return true;
}

/* Sections of a region follow each other, inside it. */
static void check_layout(const struct linked *linked)
{
    const struct cell *cell = &linked->cell;
    for (uint32_t r = 0; r < REGION_COUNT; r++) {
        uint64_t end = cell->regions[r].address;
        for (uint32_t k = cell->region_first[r]; k < cell->region_first[r + 1]; k++) {
            const struct section *section = &cell->sections[cell->by_address[k]];
            check(section->region == r && (section->address >= end || section->size == 0));
            end = section->address + section->size;
            check(cell->regions[r].size == 0 ||
                  end <= cell->regions[r].address + cell->regions[r].size);
        }
    }
}

/* Everything that a linked relocation refers to can be said. */
static void check_relocations(const struct linked *linked)
{
    const struct cell *cell = &linked->cell;
    uint64_t count = 0;
    for (uint32_t i = 0; i < cell->object.section_count; i++) {
        const struct section *section = &cell->sections[i];
        for (uint32_t k = 0; k < section->relocation_count; k++) {
            struct dependency is;
            relocation_describe(section, k, &is);
            check(is.source == section);
            check(is.type == R_X86_64_NONE || is.offset < section->size);
            check(is.symbol < cell->object.symbol_count);
            check(!is.via_entry || is.target);
        }
        count += section->relocation_count;
    }
    check(count == cell->relocation_count);
}

static void check_alike(const struct linked *a, const struct linked *b)
{
    check(a->status == b->status);
    if (a->status != OK) {
        check(memcmp(&a->diag, &b->diag, sizeof(a->diag)) == 0);
        check(a->diag.code != DIAG_NONE && a->diag.status == a->status);
        return;
    }
    for (uint32_t r = 0; r < REGION_COUNT; r++) {
        size_t size = a->unit.layout.sizes[r];
        check(size == b->unit.layout.sizes[r]);
        check(size == 0 || memcmp(a->bytes[r], b->bytes[r], size) == 0);
    }
    check(a->cell.entry_count == b->cell.entry_count);
    check(a->cell.entry_count == 0 ||
          memcmp(a->entries, b->entries, (size_t)a->cell.entry_count * ENTRY_SIZE) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct elf_object object;
    struct cell_info info;
    struct diag diag = {0};
    char line[512];
    if (elf_object_open(span_of(bytes, size), &object, &diag) != OK) {
        check(diag.code != DIAG_NONE);
        diag_format(&diag, line, sizeof(line));
        return 0;
    }
    check_promises(&object);
    if (cell_info_read(&object, &info, &diag) == OK) {
        check(strlen(info.name) < CELL_INFO_NAME_SIZE && info.version && info.kind);
    }
    struct linked a;
    struct linked b;
    bool is_done = link_object(&object, 0xa5, &a) && link_object(&object, 0x5a, &b);
    if (is_done) {
        check_alike(&a, &b);
        if (a.status == OK) {
            check_layout(&a);
            check_relocations(&a);
        } else {
            diag_format(&a.diag, line, sizeof(line));
        }
        release_linked(&b);
    }
    release_linked(&a);
    return 0;
}
