/* SPDX-License-Identifier: MIT */
/*
 * .eh_frame is a row of records: u32 length, u32 id, content. An id of 0 makes it a CIE, else it is
 * an FDE and `id` counts back from its own field to the FDE's CIE (LSB Core, Exception Frames). The
 * FDE's first field is the address of its code, in the encoding that the CIE's augmentation names
 * after 'R'. In an object that address is a relocation: its target says which section, its value at
 * which offset.
 */
#include "unwind_index.h"

#include <stdlib.h>
#include <string.h>

/* DW_EH_PE_*: how a pointer is stored */
#define PE_FORMAT_MASK 0x0f
#define PE_ABSOLUTE    0x00
#define PE_UDATA4      0x03
#define PE_UDATA8      0x04
#define PE_SDATA4      0x0b
#define PE_SDATA8      0x0c
#define PE_OMIT        0xff

struct frame_walk {
    const struct elf_object *object;
    const uint32_t *new_index;
    struct span frame;                 /* content of .eh_frame */
    uint32_t section;                  /* index of .eh_frame */
    const struct elf64_rela **targets; /* by offset: sorted relocations of .eh_frame */
    size_t target_count;
    struct unwind_index_entry *entries;
    size_t entry_count;
    struct problem *problem;
};

static enum status refuse(struct frame_walk *walk, uint64_t offset, const char *why)
{
    problem_set(walk->problem, PROBLEM_UNWIND_FRAME, "the unwind table is malformed");
    problem_where(walk->problem, ".eh_frame+0x%lx", (unsigned long)offset);
    problem_because(walk->problem, "%s", why);
    return walk->problem->status;
}

static bool read_u32(struct span bytes, uint64_t offset, uint32_t *out)
{
    const void *at = span_at(bytes, offset, sizeof(*out));
    if (at) {
        memcpy(out, at, sizeof(*out));
    }
    return at != NULL;
}

/* Skips a LEB128 number (DWARF, Variable Length Data). */
static bool skip_leb(struct span bytes, uint64_t *offset)
{
    while (*offset < bytes.size) {
        if (!(bytes.base[(*offset)++] & 0x80)) {
            return true;
        }
    }
    return false;
}

/* Bytes of a pointer in that encoding; 0 for those that compilers do not use for code addresses. */
static size_t pointer_size(uint8_t encoding)
{
    switch (encoding & PE_FORMAT_MASK) {
    case PE_UDATA4:
    case PE_SDATA4:
        return 4;
    case PE_ABSOLUTE:
    case PE_UDATA8:
    case PE_SDATA8:
        return 8;
    default:
        return 0;
    }
}

/*
 * The pointer encoding that a CIE's augmentation names. `cie` starts at the version byte. A CIE
 * without augmentation uses absolute addresses.
 */
static bool read_encoding(struct span cie, uint8_t *out_encoding)
{
    const char *augmentation = span_string(cie, 1);
    *out_encoding = PE_ABSOLUTE;
    if (!augmentation || augmentation[0] != 'z') {
        return augmentation && augmentation[0] == '\0';
    }
    uint64_t at = 1 + strlen(augmentation) + 1;
    bool good = skip_leb(cie, &at) && skip_leb(cie, &at); /* code and data alignment factors */
    if (cie.base[0] == 1) {
        at++; /* return address register: one byte in version 1 */
    } else {
        good = good && skip_leb(cie, &at);
    }
    good = good && skip_leb(cie, &at); /* length of what follows */
    for (const char *letter = augmentation + 1; good && *letter; letter++) {
        if (at >= cie.size) {
            return false;
        }
        uint8_t byte = cie.base[at];
        switch (*letter) {
        case 'R':
            *out_encoding = byte;
            return true;
        case 'L':
            at += 1;
            break;
        case 'P':
            at += 1 + pointer_size(byte);
            good = byte != PE_OMIT && pointer_size(byte) != 0;
            break;
        case 'S': /* signal frame: no data */
        case 'B':
            break;
        default:
            return false;
        }
    }
    return good;
}

static int compare_targets(const void *left, const void *right)
{
    const struct elf64_rela *a = *(const struct elf64_rela *const *)left;
    const struct elf64_rela *b = *(const struct elf64_rela *const *)right;
    return a->r_offset < b->r_offset ? -1 : a->r_offset > b->r_offset;
}

static const struct elf64_rela *find_target(const struct frame_walk *walk, uint64_t offset)
{
    if (walk->target_count == 0) {
        return NULL;
    }
    struct elf64_rela key = {.r_offset = offset};
    const struct elf64_rela *wanted = &key;
    const struct elf64_rela **found = bsearch(&wanted, walk->targets, walk->target_count,
                                              sizeof(*walk->targets), compare_targets);
    return found ? *found : NULL;
}

static enum status refuse_target(struct frame_walk *walk, uint64_t fde, const char *why)
{
    problem_set(walk->problem, PROBLEM_UNWIND_TARGET, "an unwind entry describes no code of ours");
    problem_where(walk->problem, ".eh_frame+0x%lx", (unsigned long)fde);
    problem_because(walk->problem, "%s", why);
    return walk->problem->status;
}

/* Relocations whose value is S + A, the field's own address apart: both sides agree on the code. */
static bool is_address(uint32_t type)
{
    return type == R_X86_64_PC32 || type == R_X86_64_64 || type == R_X86_64_PC64 ||
           type == R_X86_64_32 || type == R_X86_64_32S;
}

static enum status add_entry(struct frame_walk *walk, uint64_t fde, uint64_t field, uint64_t size)
{
    const struct elf_object *object = walk->object;
    const struct elf64_rela *target = find_target(walk, field);
    if (!target || !is_address(target->r_type)) {
        return refuse_target(walk, fde, "its address field has no relocation of a known type");
    }
    if (target->r_sym >= object->symbol_count) {
        return refuse_target(walk, fde, "its relocation names a symbol that does not exist");
    }
    const struct elf64_sym *symbol = &object->symbols[target->r_sym];
    uint32_t section = symbol->st_shndx;
    if (section == SHN_UNDEF || section >= object->section_count ||
        !(object->sections[section].sh_flags & SHF_EXECINSTR) || !walk->new_index[section]) {
        return refuse_target(walk, fde, "its relocation leads to no section of code");
    }
    uint64_t offset = symbol->st_value + (uint64_t)target->r_addend;
    uint64_t limit = object->sections[section].sh_size;
    if (offset > limit || size > limit - offset) {
        return refuse_target(walk, fde, "its code ends outside the section");
    }
    walk->entries[walk->entry_count++] = (struct unwind_index_entry){
        .section = walk->new_index[section],
        .offset = (uint32_t)offset,
        .size = (uint32_t)size,
        .fde_offset = (uint32_t)fde,
    };
    return OK;
}

/* `content` is the record after its id; `cie` lies `back` bytes before the id field. */
static enum status read_fde(struct frame_walk *walk, uint64_t fde, uint32_t back, uint64_t end)
{
    uint64_t id_field = fde + 4;
    uint32_t cie_length = 0;
    uint32_t cie_id = 1;
    if (back > id_field) {
        return refuse(walk, fde, "its CIE would lie before the section");
    }
    uint64_t cie = id_field - back;
    struct span content;
    if (!read_u32(walk->frame, cie, &cie_length) || !read_u32(walk->frame, cie + 4, &cie_id) ||
        cie_id != 0 || cie_length < 5 ||
        !span_slice(walk->frame, cie + 8, (uint64_t)cie_length - 4, &content)) {
        return refuse(walk, fde, "its CIE is none");
    }
    uint8_t encoding = 0;
    if (!read_encoding(content, &encoding) || pointer_size(encoding) == 0) {
        return refuse(walk, cie, "its augmentation is not understood");
    }
    size_t width = pointer_size(encoding);
    uint64_t size = 0;
    if (fde + 8 + 2 * width > end) {
        return refuse(walk, fde, "it is too short");
    }
    memcpy(&size, walk->frame.base + fde + 8 + width, width);
    return size ? add_entry(walk, fde, fde + 8, size) : OK;
}

static enum status walk_records(struct frame_walk *walk)
{
    for (uint64_t at = 0; at < walk->frame.size;) {
        uint32_t length = 0;
        uint32_t id = 0;
        if (!read_u32(walk->frame, at, &length)) {
            return refuse(walk, at, "bytes are left over");
        }
        if (length == 0) {
            return at + 4 == walk->frame.size
                       ? OK
                       : refuse(walk, at, "a terminator stands in the middle");
        }
        if (length == UINT32_MAX) {
            return refuse(walk, at, "64-bit records are not used on x86-64");
        }
        if (length < 4 || !span_holds(walk->frame, at + 4, length) ||
            !read_u32(walk->frame, at + 4, &id)) {
            return refuse(walk, at, "a record ends outside the section");
        }
        uint64_t end = at + 4 + length;
        if (id != 0 && read_fde(walk, at, id, end) != OK) {
            return walk->problem->status;
        }
        at = end;
    }
    return OK;
}

static enum status collect_targets(struct frame_walk *walk)
{
    const struct elf_object *object = walk->object;
    for (uint32_t i = 1; i < object->section_count; i++) {
        if (!elf_object_is_relocation(object, i) || object->sections[i].sh_info != walk->section) {
            continue;
        }
        uint64_t count = 0;
        const struct elf64_rela *first = elf_object_relocations(object, i, &count);
        const struct elf64_rela **all =
            realloc(walk->targets, (walk->target_count + count + 1) * sizeof(*all));
        if (!all) {
            return problem_set(walk->problem, PROBLEM_MEMORY, "out of memory");
        }
        walk->targets = all;
        for (uint64_t k = 0; k < count; k++) {
            all[walk->target_count++] = &first[k];
        }
    }
    if (walk->target_count) {
        qsort(walk->targets, walk->target_count, sizeof(*walk->targets), compare_targets);
    }
    return OK;
}

static int compare_entries(const void *left, const void *right)
{
    const struct unwind_index_entry *a = left;
    const struct unwind_index_entry *b = right;
    if (a->section != b->section) {
        return a->section < b->section ? -1 : 1;
    }
    return a->offset < b->offset ? -1 : a->offset > b->offset;
}

/* Two entries for one address would make the lookup a matter of chance. */
static enum status check_overlap(struct frame_walk *walk)
{
    for (size_t i = 1; i < walk->entry_count; i++) {
        const struct unwind_index_entry *before = &walk->entries[i - 1];
        const struct unwind_index_entry *entry = &walk->entries[i];
        if (entry->section == before->section && entry->offset - before->offset < before->size) {
            return refuse_target(walk, entry->fde_offset, "another entry describes the same code");
        }
    }
    return OK;
}

static enum status walk_frame(struct frame_walk *walk, struct bytes *out)
{
    /* No record is shorter than 8 bytes. */
    walk->entries = calloc(walk->frame.size / 8 + 1, sizeof(*walk->entries));
    if (!walk->entries) {
        return problem_set(walk->problem, PROBLEM_MEMORY, "out of memory");
    }
    if (walk->section && (collect_targets(walk) != OK || walk_records(walk) != OK)) {
        return walk->problem->status;
    }
    qsort(walk->entries, walk->entry_count, sizeof(*walk->entries), compare_entries);
    if (check_overlap(walk) != OK) {
        return walk->problem->status;
    }
    struct unwind_index_header header = {
        .magic = UNWIND_INDEX_MAGIC,
        .version = UNWIND_INDEX_VERSION,
        .entry_size = sizeof(struct unwind_index_entry),
        .count = (uint32_t)walk->entry_count,
        .eh_frame = walk->entry_count ? walk->new_index[walk->section] : 0,
    };
    bytes_append(out, &header, sizeof(header));
    bytes_append(out, walk->entries, walk->entry_count * sizeof(*walk->entries));
    return bytes_check(out, walk->problem);
}

enum status unwind_index_build(const struct elf_object *object, const uint32_t *new_index,
                               struct bytes *out, struct problem *problem)
{
    struct frame_walk walk = {
        .object = object,
        .new_index = new_index,
        .section = elf_object_find_section(object, ".eh_frame"),
        .problem = problem,
    };
    walk.frame = elf_object_section_bytes(object, walk.section);
    enum status status = walk_frame(&walk, out);
    free(walk.targets);
    free(walk.entries);
    return status;
}
