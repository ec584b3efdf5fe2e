/* SPDX-License-Identifier: MIT */
/*
 * The information is a header {total size, reserved} and a list of tags {type, size, content}, each
 * padded to 8 bytes, closed by a tag of type 0. One reader per tag in a table; a reader gets the
 * content of its tag as a span, so it cannot see its neighbours.
 */
#include "boot_info.h"
#include "freestanding.h"

CELL(library, "1.0.0");

struct information_header {
    uint32_t total_size;
    uint32_t reserved;
};

struct tag_header {
    uint32_t type;
    uint32_t size; /* of header and content, without padding */
};

struct memory_entry {
    uint64_t start;
    uint64_t bytes;
    uint32_t kind;
    uint32_t reserved;
};

struct table_header {
    uint32_t entry_size;
    uint32_t entry_version;
};

struct module_header {
    uint32_t start;
    uint32_t end;
};

struct framebuffer_header {
    uint64_t start;
    uint32_t pitch;
    uint32_t width;
    uint32_t height;
    uint8_t bits_per_pixel;
    uint8_t kind;
    uint16_t reserved;
};

struct framebuffer_colours {
    uint8_t red_shift, red_bits;
    uint8_t green_shift, green_bits;
    uint8_t blue_shift, blue_bits;
};

#define TAG_END    0
#define TAG_MODULE 3

#define RSDP_OLD_SIZE 20

static struct boot_info boot_info;

/* Copies `size` bytes at `offset`; false when they are not there. */
static bool read_at(struct span bytes, uint64_t offset, void *to, size_t size)
{
    const void *from = span_at(bytes, offset, size);
    if (!from) {
        return false;
    }
    memcpy(to, from, size);
    return true;
}

/* Copies the string at `offset`, all of it. */
static enum status read_string(struct span bytes, uint64_t offset, char *to, size_t size)
{
    const char *from = span_string(bytes, offset);
    if (!from) {
        return ERR_BAD_FORMAT;
    }
    size_t length = strlen(from);
    if (length >= size) {
        return ERR_LIMIT;
    }
    memcpy(to, from, length + 1);
    return OK;
}

static enum status read_command_line(struct span tag, struct boot_info *out)
{
    return read_string(tag, 0, out->command_line, sizeof(out->command_line));
}

static enum status read_loader_name(struct span tag, struct boot_info *out)
{
    const char *name = span_string(tag, 0);
    if (!name) {
        return ERR_BAD_FORMAT;
    }
    for (size_t i = 0; name[i] && i + 1 < sizeof(out->loader_name); i++) {
        out->loader_name[i] = name[i];
    }
    return OK;
}

static enum status read_module(struct span tag, struct boot_info *out)
{
    struct module_header header;
    if (!read_at(tag, 0, &header, sizeof(header))) {
        return ERR_BAD_FORMAT;
    }
    if (header.end < header.start) {
        return ERR_OUT_OF_BOUNDS;
    }
    if (out->module_count == BOOT_INFO_MODULE_LIMIT) {
        return ERR_LIMIT;
    }
    const char *line = span_string(tag, sizeof(header));
    if (!line) {
        return ERR_BAD_FORMAT;
    }
    struct boot_module *module = &out->modules[out->module_count];
    size_t length = 0;
    while (line[length] && line[length] != ' ') {
        length++;
    }
    if (length >= sizeof(module->name)) {
        return ERR_LIMIT;
    }
    module->start = header.start;
    module->bytes = header.end - header.start;
    memcpy(module->name, line, length);
    out->module_count++;
    return OK;
}

/* Checks the header that both memory maps begin with; the entries fill the rest of the tag. */
static enum status read_table(struct span tag, size_t minimum, uint32_t *out_entry_size,
                              struct span *out_entries)
{
    struct table_header header;
    if (!read_at(tag, 0, &header, sizeof(header)) ||
        !span_slice(tag, sizeof(header), tag.size - sizeof(header), out_entries)) {
        return ERR_BAD_FORMAT;
    }
    if (header.entry_size < minimum || header.entry_size % 8 != 0 ||
        out_entries->size % header.entry_size != 0) {
        return ERR_BAD_FORMAT;
    }
    *out_entry_size = header.entry_size;
    return OK;
}

static enum status read_memory_map(struct span tag, struct boot_info *out)
{
    uint32_t entry_size;
    struct span entries;
    enum status status = read_table(tag, sizeof(struct memory_entry), &entry_size, &entries);
    if (status != OK) {
        return status;
    }
    struct memory_entry entry;
    for (uint64_t at = 0; read_at(entries, at, &entry, sizeof(entry)); at += entry_size) {
        if (entry.bytes == 0) {
            continue;
        }
        if (entry.bytes > UINT64_MAX - entry.start) {
            return ERR_OUT_OF_BOUNDS;
        }
        if (out->memory_count == BOOT_INFO_MEMORY_LIMIT) {
            return ERR_LIMIT;
        }
        out->memory[out->memory_count++] = (struct boot_memory){
            .start = entry.start,
            .bytes = entry.bytes,
            .kind = entry.kind,
        };
    }
    return OK;
}

static enum status read_framebuffer(struct span tag, struct boot_info *out)
{
    struct framebuffer_header header;
    struct framebuffer_colours colours = {0};
    if (!read_at(tag, 0, &header, sizeof(header))) {
        return ERR_BAD_FORMAT;
    }
    if (header.kind == BOOT_FRAMEBUFFER_RGB &&
        !read_at(tag, sizeof(header), &colours, sizeof(colours))) {
        return ERR_BAD_FORMAT;
    }
    out->framebuffer = (struct boot_framebuffer){
        .start = header.start,
        .pitch = header.pitch,
        .width = header.width,
        .height = header.height,
        .bits_per_pixel = header.bits_per_pixel,
        .kind = header.kind,
        .red_shift = colours.red_shift,
        .red_bits = colours.red_bits,
        .green_shift = colours.green_shift,
        .green_bits = colours.green_bits,
        .blue_shift = colours.blue_shift,
        .blue_bits = colours.blue_bits,
    };
    return OK;
}

static enum status read_efi32(struct span tag, struct boot_info *out)
{
    uint32_t table;
    if (!read_at(tag, 0, &table, sizeof(table))) {
        return ERR_BAD_FORMAT;
    }
    out->efi_system_table = table;
    out->efi_bits = 32;
    return OK;
}

static enum status read_efi64(struct span tag, struct boot_info *out)
{
    uint64_t table;
    if (!read_at(tag, 0, &table, sizeof(table))) {
        return ERR_BAD_FORMAT;
    }
    out->efi_system_table = table;
    out->efi_bits = 64;
    return OK;
}

static enum status read_efi_memory_map(struct span tag, struct boot_info *out)
{
    uint32_t entry_size;
    struct span entries;
    enum status status = read_table(tag, 40, &entry_size, &entries); /* EFI_MEMORY_DESCRIPTOR */
    if (status != OK) {
        return status;
    }
    out->efi_memory_map_count = (uint32_t)(entries.size / entry_size);
    return OK;
}

static enum status read_rsdp(struct span tag, struct boot_info *out, uint32_t size)
{
    if (size < out->rsdp_size) {
        return OK; /* the newer one was first */
    }
    if (!read_at(tag, 0, out->rsdp, size)) {
        return ERR_BAD_FORMAT;
    }
    out->rsdp_size = size;
    return OK;
}

static enum status read_rsdp_old(struct span tag, struct boot_info *out)
{
    return read_rsdp(tag, out, RSDP_OLD_SIZE);
}

static enum status read_rsdp_new(struct span tag, struct boot_info *out)
{
    return read_rsdp(tag, out, BOOT_INFO_RSDP_SIZE);
}

static const struct {
    uint32_t type;
    enum status (*read)(struct span tag, struct boot_info *out);
} readers[] = {
    {1, read_command_line},    {2, read_loader_name}, {TAG_MODULE, read_module},
    {6, read_memory_map},      {8, read_framebuffer}, {11, read_efi32},
    {12, read_efi64},          {14, read_rsdp_old},   {15, read_rsdp_new},
    {17, read_efi_memory_map},
};

/* Reads one tag; `seen` has a bit for each reader that had its tag already. */
static enum status read_tag(uint32_t type, struct span content, uint32_t *seen,
                            struct boot_info *out)
{
    for (size_t i = 0; i < ARRAY_COUNT(readers); i++) {
        if (readers[i].type != type) {
            continue;
        }
        if (type != TAG_MODULE && (*seen & 1u << i)) {
            return ERR_EXISTS;
        }
        *seen |= 1u << i;
        return readers[i].read(content, out);
    }
    return OK;
}

enum status boot_info_parse(struct span bytes, struct boot_info *out)
{
    struct information_header header;
    struct tag_header tag;
    struct span all;
    uint32_t seen = 0;

    memset(out, 0, sizeof(*out));
    if (!read_at(bytes, 0, &header, sizeof(header)) ||
        !span_slice(bytes, 0, header.total_size, &all)) {
        return ERR_TRUNCATED;
    }
    for (uint64_t at = sizeof(header); read_at(all, at, &tag, sizeof(tag));) {
        struct span content;
        if (tag.type == TAG_END) {
            return out->memory_count ? OK : ERR_NOT_FOUND;
        }
        if (tag.size < sizeof(tag)) {
            return ERR_BAD_FORMAT;
        }
        if (!span_slice(all, at + sizeof(tag), tag.size - sizeof(tag), &content)) {
            return ERR_TRUNCATED;
        }
        enum status status = read_tag(tag.type, content, &seen, out);
        if (status != OK) {
            return status;
        }
        at += ((uint64_t)tag.size + 7) & ~7ull;
    }
    return ERR_TRUNCATED;
}

enum status boot_info_init(uint32_t magic, paddr_t information, uint64_t entry_tsc)
{
    if (boot_info.memory_count) {
        return ERR_STATE;
    }
    if (magic != MULTIBOOT2_MAGIC) {
        return ERR_BAD_MAGIC;
    }
    if (information % 8 != 0) {
        return ERR_MISALIGNED;
    }
    /* The loader vouches for these eight bytes; everything after them is checked. */
    const struct information_header *header = (const void *)information;
    uint32_t total_size = header->total_size;
    if (total_size > BOOT_INFO_TOTAL_LIMIT) {
        return ERR_LIMIT;
    }
    enum status status = boot_info_parse(span_of(header, total_size), &boot_info);
    if (status != OK) {
        memset(&boot_info, 0, sizeof(boot_info));
        return status;
    }
    boot_info.entry_tsc = entry_tsc;
    boot_info.information_start = information;
    boot_info.information_bytes = total_size;
    return OK;
}

const struct boot_info *boot_info_get(void)
{
    return &boot_info;
}

const struct boot_module *boot_info_find_module(const char *name)
{
    for (size_t i = 0; i < boot_info.module_count; i++) {
        if (strcmp(boot_info.modules[i].name, name) == 0) {
            return &boot_info.modules[i];
        }
    }
    return NULL;
}
