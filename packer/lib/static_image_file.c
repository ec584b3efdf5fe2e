/* SPDX-License-Identifier: MIT */
/*
 * The file: ELF header, program headers, then every segment at a page of its own, then symbol
 * table, strings and section headers. A segment is one region of one cell, the entries, or the
 * table. Only data has less in the file than in memory: what has no bytes comes last in its region.
 *
 * The Multiboot2 header must lie in the first 32 KiB: it is at the start of the first cell's text,
 * which is the first segment.
 */
#include <stdlib.h>
#include <string.h>

#include "nano_core_image.h"
#include "static_link_priv.h"

#define ET_EXEC 2
#define PT_LOAD 1
#define PF_X    1u
#define PF_W    2u
#define PF_R    4u

struct program_header {
    uint32_t p_type;
    uint32_t p_flags;
    uint64_t p_offset;
    uint64_t p_vaddr;
    uint64_t p_paddr;
    uint64_t p_filesz;
    uint64_t p_memsz;
    uint64_t p_align;
} PACKED;

static_assert(sizeof(struct program_header) == 56, "ELF gABI, Program Header");

struct segment {
    const char *prefix; /* of the section's name: ".text" */
    const char *cell;   /* NULL: it belongs to the image */
    uint32_t flags;     /* PF_* */
    uint64_t address;
    uint64_t memory_size;
    uint64_t file_size;
    const void *bytes;
    uint64_t offset; /* in the file */
};

struct writing {
    const struct static_image *image;
    struct segment *segments;
    size_t count;
    struct bytes file;
    struct bytes symbols;
    struct bytes names;    /* .strtab */
    struct bytes headers;  /* the section header table */
    struct bytes sections; /* .shstrtab */
};

static const struct {
    const char *prefix;
    uint32_t flags;
} regions[REGION_COUNT] = {
    [REGION_TEXT] = {".text", PF_R | PF_X},
    [REGION_RODATA] = {".rodata", PF_R},
    [REGION_DATA] = {".data", PF_R | PF_W},
};

static void add_segment(struct writing *writing, const struct segment *segment)
{
    if (segment->memory_size > 0) {
        writing->segments[writing->count++] = *segment;
    }
}

static void add_regions(struct writing *writing, enum region_kind region)
{
    const struct static_image *image = writing->image;
    for (size_t i = 0; i < image->cell_count; i++) {
        const struct static_cell *cell = &image->cells[i];
        add_segment(writing, &(struct segment){
                                 .prefix = regions[region].prefix,
                                 .cell = cell->cell.name,
                                 .flags = regions[region].flags,
                                 .address = cell->addresses[region],
                                 .memory_size = cell->unit.layout.sizes[region],
                                 .file_size = cell->unit.layout.file_sizes[region],
                                 .bytes = cell->bytes[region],
                             });
    }
}

static void collect_segments(struct writing *writing)
{
    const struct static_image *image = writing->image;
    uint64_t entries_size = image->entries_end - image->entries_start;
    add_regions(writing, REGION_TEXT);
    add_segment(writing, &(struct segment){
                             .prefix = ".entries",
                             .flags = PF_R | PF_X,
                             .address = image->entries_start,
                             .memory_size = entries_size,
                             .file_size = entries_size,
                             .bytes = image->entries,
                         });
    add_regions(writing, REGION_RODATA);
    add_segment(writing, &(struct segment){
                             .prefix = ".nano_core_image",
                             .flags = PF_R,
                             .address = image->table_start,
                             .memory_size = image->table_size,
                             .file_size = image->table_size,
                             .bytes = image->table,
                         });
    add_regions(writing, REGION_DATA);
}

static uint64_t page_up(uint64_t value)
{
    return (value + IMAGE_PAGE - 1) & ~(uint64_t)(IMAGE_PAGE - 1);
}

static void write_program_headers(struct writing *writing)
{
    const struct static_image *image = writing->image;
    uint64_t offset =
        page_up(sizeof(struct elf64_ehdr) + writing->count * sizeof(struct program_header));
    for (size_t i = 0; i < writing->count; i++) {
        struct segment *segment = &writing->segments[i];
        segment->offset = offset;
        offset = page_up(offset + segment->file_size);
        struct program_header header = {
            .p_type = PT_LOAD,
            .p_flags = segment->flags,
            .p_offset = segment->offset,
            .p_vaddr = segment->address,
            .p_paddr = segment->address - image->base + image->physical,
            .p_filesz = segment->file_size,
            .p_memsz = segment->memory_size,
            .p_align = IMAGE_PAGE,
        };
        bytes_append(&writing->file, &header, sizeof(header));
    }
}

/* Section 0 is empty, section i + 1 is segment i, then .symtab, .strtab, .shstrtab. */
static void write_section_headers(struct writing *writing)
{
    bytes_append_fill(&writing->headers, 0, sizeof(struct elf64_shdr));
    bytes_append_fill(&writing->sections, 0, 1);
    for (size_t i = 0; i < writing->count; i++) {
        const struct segment *segment = &writing->segments[i];
        uint64_t flags = SHF_ALLOC | (segment->flags & PF_W ? SHF_WRITE : 0) |
                         (segment->flags & PF_X ? SHF_EXECINSTR : 0);
        struct elf64_shdr header = {
            .sh_name = (uint32_t)writing->sections.size,
            .sh_type = segment->file_size ? SHT_PROGBITS : SHT_NOBITS,
            .sh_flags = flags,
            .sh_addr = segment->address,
            .sh_offset = segment->offset,
            .sh_size = segment->file_size ? segment->file_size : segment->memory_size,
            .sh_addralign = IMAGE_PAGE,
        };
        bytes_append(&writing->headers, &header, sizeof(header));
        bytes_append_text(&writing->sections, "%s%s%s", segment->prefix, segment->cell ? "." : "",
                          segment->cell ? segment->cell : "");
        bytes_append_fill(&writing->sections, 0, 1);
    }
}

static uint16_t section_of(const struct writing *writing, uint64_t address)
{
    for (size_t i = 0; i < writing->count; i++) {
        const struct segment *segment = &writing->segments[i];
        if (address - segment->address < segment->memory_size) {
            return (uint16_t)(i + 1);
        }
    }
    return SHN_ABS;
}

static bool is_worth_listing(const struct elf64_sym *symbol, const struct elf_object *object)
{
    uint8_t type = elf_symbol_type(symbol);
    return (type == STT_FUNC || type == STT_OBJECT || type == STT_NOTYPE) && symbol->st_name != 0 &&
           symbol->st_shndx != SHN_UNDEF && symbol->st_shndx < object->section_count &&
           elf_object_section_is_loaded(object, symbol->st_shndx);
}

/* All symbols are written as local: nothing links against the image. */
static void write_symbols(struct writing *writing)
{
    bytes_append_fill(&writing->symbols, 0, sizeof(struct elf64_sym));
    bytes_append_fill(&writing->names, 0, 1);
    for (size_t i = 0; i < writing->image->cell_count; i++) {
        const struct cell *cell = &writing->image->cells[i].cell;
        const struct elf_object *object = &cell->object;
        for (uint32_t k = 1; k < object->symbol_count; k++) {
            const struct elf64_sym *symbol = &object->symbols[k];
            if (!is_worth_listing(symbol, object)) {
                continue;
            }
            uint64_t address = cell->sections[symbol->st_shndx].address + symbol->st_value;
            struct elf64_sym written = {
                .st_name = (uint32_t)writing->names.size,
                .st_info = elf_symbol_type(symbol), /* STB_LOCAL */
                .st_shndx = section_of(writing, address),
                .st_value = address,
                .st_size = symbol->st_size,
            };
            bytes_append(&writing->symbols, &written, sizeof(written));
            bytes_append_string(&writing->names, elf_object_symbol_name(object, k));
        }
    }
}

/* Appends the bytes of a table to the file and its header to the section headers. */
static void append_table(struct writing *writing, const char *name, const struct elf64_shdr *kind,
                         const struct bytes *content)
{
    struct elf64_shdr header = *kind;
    header.sh_name = (uint32_t)writing->sections.size;
    bytes_append_string(&writing->sections, name);
    bytes_align(&writing->file, 8);
    header.sh_offset = writing->file.size;
    header.sh_size = content->size; /* .shstrtab names itself before this is read */
    bytes_append(&writing->file, content->data, content->size);
    bytes_append(&writing->headers, &header, sizeof(header));
}

static void write_tables(struct writing *writing)
{
    uint32_t first = (uint32_t)writing->count + 1;
    struct elf64_shdr strings = {.sh_type = SHT_STRTAB, .sh_addralign = 1};
    struct elf64_shdr symbols = {
        .sh_type = SHT_SYMTAB,
        .sh_link = first + 1,
        .sh_info = (uint32_t)(writing->symbols.size / sizeof(struct elf64_sym)),
        .sh_addralign = 8,
        .sh_entsize = sizeof(struct elf64_sym),
    };
    append_table(writing, ".symtab", &symbols, &writing->symbols);
    append_table(writing, ".strtab", &strings, &writing->names);
    append_table(writing, ".shstrtab", &strings, &writing->sections);
}

static void write_file(struct writing *writing)
{
    const struct static_image *image = writing->image;
    struct elf64_ehdr header = {
        .e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_EXEC,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_entry = image->entry,
        .e_phoff = sizeof(header),
        .e_ehsize = sizeof(header),
        .e_phentsize = sizeof(struct program_header),
        .e_phnum = (uint16_t)writing->count,
        .e_shentsize = sizeof(struct elf64_shdr),
        .e_shnum = (uint16_t)(writing->count + 4),
        .e_shstrndx = (uint16_t)(writing->count + 3),
    };
    bytes_append(&writing->file, &header, sizeof(header));
    write_program_headers(writing);
    for (size_t i = 0; i < writing->count; i++) {
        const struct segment *segment = &writing->segments[i];
        bytes_align(&writing->file, IMAGE_PAGE);
        bytes_append(&writing->file, segment->bytes, segment->file_size);
    }
    write_section_headers(writing);
    write_symbols(writing);
    write_tables(writing);
    bytes_align(&writing->file, 8);
    uint64_t table = writing->file.size;
    bytes_append(&writing->file, writing->headers.data, writing->headers.size);
    if (!writing->file.failed) {
        memcpy(writing->file.data + offsetof(struct elf64_ehdr, e_shoff), &table, sizeof(table));
    }
}

enum status static_image_write(struct static_image *image, const char *path,
                               struct problem *problem)
{
    struct writing writing = {.image = image};
    writing.segments = calloc(image->cell_count * REGION_COUNT + 2, sizeof(*writing.segments));
    if (!writing.segments) {
        return problem_set(problem, PROBLEM_MEMORY, "out of memory");
    }
    collect_segments(&writing);
    write_file(&writing);
    enum status status = bytes_check(&writing.file, problem);
    if (status == OK) {
        status = bytes_write_file(&writing.file, path, problem);
    }
    image->file_size = writing.file.size;
    bytes_fini(&writing.file);
    bytes_fini(&writing.symbols);
    bytes_fini(&writing.names);
    bytes_fini(&writing.headers);
    bytes_fini(&writing.sections);
    free(writing.segments);
    return status;
}
