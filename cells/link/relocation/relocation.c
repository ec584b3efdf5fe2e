/* SPDX-License-Identifier: MIT */
/*
 * The loop is written for the common case: a data reference or a direct branch passes two compares
 * and one switch. Taking the address of a function and every refusal are out of line. Bounds are
 * checked as `offset >= end`, where `end` is 0 if the section is shorter than the field, so that no
 * sum can wrap. A field that fits the psABI's check is stored with memcpy: fields need no
 * alignment.
 */
#include "relocation.h"
#include "diag.h"

CELL(library, "1.0.0");

/* x86-64 psABI 1.0, table "Relocation Types". */
static const char *const names[] = {
    [0] = "R_X86_64_NONE",
    [1] = "R_X86_64_64",
    [2] = "R_X86_64_PC32",
    [3] = "R_X86_64_GOT32",
    [4] = "R_X86_64_PLT32",
    [5] = "R_X86_64_COPY",
    [6] = "R_X86_64_GLOB_DAT",
    [7] = "R_X86_64_JUMP_SLOT",
    [8] = "R_X86_64_RELATIVE",
    [9] = "R_X86_64_GOTPCREL",
    [10] = "R_X86_64_32",
    [11] = "R_X86_64_32S",
    [12] = "R_X86_64_16",
    [13] = "R_X86_64_PC16",
    [14] = "R_X86_64_8",
    [15] = "R_X86_64_PC8",
    [16] = "R_X86_64_DTPMOD64",
    [17] = "R_X86_64_DTPOFF64",
    [18] = "R_X86_64_TPOFF64",
    [19] = "R_X86_64_TLSGD",
    [20] = "R_X86_64_TLSLD",
    [21] = "R_X86_64_DTPOFF32",
    [22] = "R_X86_64_GOTTPOFF",
    [23] = "R_X86_64_TPOFF32",
    [24] = "R_X86_64_PC64",
    [25] = "R_X86_64_GOTOFF64",
    [26] = "R_X86_64_GOTPC32",
    [27] = "R_X86_64_GOT64",
    [28] = "R_X86_64_GOTPCREL64",
    [29] = "R_X86_64_GOTPC64",
    [30] = "R_X86_64_GOTPLT64",
    [31] = "R_X86_64_PLTOFF64",
    [32] = "R_X86_64_SIZE32",
    [33] = "R_X86_64_SIZE64",
    [34] = "R_X86_64_GOTPC32_TLSDESC",
    [35] = "R_X86_64_TLSDESC_CALL",
    [36] = "R_X86_64_TLSDESC",
    [37] = "R_X86_64_IRELATIVE",
    [38] = "R_X86_64_RELATIVE64",
    [39] = "R_X86_64_PC32_BND",
    [40] = "R_X86_64_PLT32_BND",
    [41] = "R_X86_64_GOTPCRELX",
    [42] = "R_X86_64_REX_GOTPCRELX",
};

const char *relocation_name(uint32_t type)
{
    return type < ARRAY_COUNT(names) && names[type] ? names[type] : "R_X86_64_?";
}

struct function *relocation_find_function(struct function *functions, uint32_t count,
                                          uint32_t section, uint32_t offset)
{
    uint32_t low = 0;
    while (count > 0) {
        uint32_t half = count / 2;
        const struct function *middle = &functions[low + half];
        if (middle->section < section || (middle->section == section && middle->offset < offset)) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return &functions[low];
}

static size_t append(char *to, size_t at, size_t size, const char *from)
{
    while (*from && at + 1 < size) {
        to[at++] = *from++;
    }
    to[at] = '\0';
    return at;
}

/* A section symbol has no name of its own: its section's name says more. */
static const char *symbol_name(const struct elf_object *object, uint32_t index)
{
    const struct elf64_sym *symbol = &object->symbols[index];
    if (elf_symbol_type(symbol) == STT_SECTION && symbol->st_shndx < object->section_count) {
        return elf_object_section_name(object, symbol->st_shndx);
    }
    return elf_object_symbol_name(object, index);
}

COLD NOINLINE static enum status refuse(const struct relocation_batch *batch,
                                        const struct elf64_rela *rela, enum diag_code code,
                                        uint64_t expected, uint64_t found, struct diag *diag)
{
    char what[DIAG_SYMBOL_SIZE];
    size_t length = append(what, 0, sizeof(what), relocation_name(rela->r_type));
    if (rela->r_sym < batch->object->symbol_count) {
        length = append(what, length, sizeof(what), " ");
        append(what, length, sizeof(what), symbol_name(batch->object, rela->r_sym));
    }
    return diag_set(diag, code,
                    &(struct diag_site){
                        .section = elf_object_section_name(batch->object, batch->section),
                        .symbol = what,
                        .offset = rela->r_offset,
                        .expected = expected,
                        .found = found,
                    });
}

static bool is_own(const struct relocation_batch *batch, const struct section *section)
{
    return section >= batch->sections && section < batch->sections + batch->object->section_count;
}

/*
 * The entry that a reference to `target_offset` binds to instead of the place itself, or 0. A
 * function of this object that has none yet gets the next slot: its address is taken for the first
 * time.
 */
NOINLINE static uint64_t entry_for(const struct relocation_batch *batch,
                                   const struct link_symbol *symbol, int64_t target_offset)
{
    if (target_offset == symbol->offset && symbol->entry) {
        return symbol->entry;
    }
    if (!symbol->section || !is_own(batch, symbol->section) || target_offset < 0) {
        return 0;
    }
    struct function *function = relocation_find_function(
        batch->functions, batch->function_count, symbol->section->index, (uint32_t)target_offset);
    if (function == batch->functions + batch->function_count ||
        function->section != symbol->section->index || function->offset != target_offset) {
        return 0;
    }
    if (function->slot == FUNCTION_NO_SLOT) {
        function->slot = (*batch->entry_count)++;
    }
    return batch->entries + (uint64_t)function->slot * ENTRY_SIZE;
}

static bool describes_code(const struct elf_object *object, uint32_t section)
{
    return object->sections[section].sh_type == SHT_X86_64_UNWIND ||
           __builtin_strcmp(elf_object_section_name(object, section), ".eh_frame") == 0;
}

static void record(const struct relocation_batch *batch, struct dependency *to,
                   const struct elf64_rela *rela, struct section *target, int64_t target_offset,
                   bool via_entry)
{
    to->source = batch->source;
    to->target = target;
    to->offset = (uint32_t)rela->r_offset;
    to->target_offset = (int32_t)target_offset;
    to->symbol = rela->r_sym;
    to->type = (uint16_t)rela->r_type;
    to->via_entry = via_entry;
}

static void store32(uint8_t *at, uint64_t value)
{
    uint32_t field = (uint32_t)value;
    __builtin_memcpy(at, &field, sizeof(field));
}

static void store64(uint8_t *at, uint64_t value)
{
    __builtin_memcpy(at, &value, sizeof(value));
}

static bool is_supported(uint32_t type)
{
    switch (type) {
    case R_X86_64_NONE:
    case R_X86_64_64:
    case R_X86_64_PC32:
    case R_X86_64_PLT32:
    case R_X86_64_32:
    case R_X86_64_32S:
    case R_X86_64_PC64:
        return true;
    default:
        return false;
    }
}

/* An unsupported kind may have a field of any width: its name says more than its place. */
COLD NOINLINE static enum status refuse_offset(const struct relocation_batch *batch,
                                               const struct elf64_rela *rela, struct diag *diag)
{
    return is_supported(rela->r_type)
               ? refuse(batch, rela, DIAG_LINK_OFFSET,
                        batch->object->sections[batch->section].sh_size, rela->r_offset, diag)
               : refuse(batch, rela, DIAG_LINK_RELOCATION_TYPE, 0, rela->r_type, diag);
}

static bool sign_extends(uint64_t value)
{
    return (int64_t)value == (int32_t)value;
}

/* `offset >= field_end(size, width)`: the field does not fit into the section. */
static uint64_t field_end(uint64_t size, uint64_t width)
{
    return size >= width ? size - width + 1 : 0;
}

enum status relocation_apply(const struct relocation_batch *batch, struct diag *diag)
{
    const struct elf_object *object = batch->object;
    const struct elf64_shdr *header = &object->sections[batch->section];
    const bool is_code = (header->sh_flags & SHF_EXECINSTR) != 0;
    const bool binds_to_functions = describes_code(object, batch->section);
    const uint64_t end32 = field_end(header->sh_size, 4);
    const uint64_t end64 = field_end(header->sh_size, 8);
    uint64_t count;
    const struct elf64_rela *rela =
        elf_object_relocations(object, batch->relocation_section, &count);
    struct dependency *to = batch->records;

    for (const struct elf64_rela *end = rela + count; rela != end; rela++) {
        if (UNLIKELY(rela->r_sym >= object->symbol_count)) {
            return refuse(batch, rela, DIAG_LINK_SYMBOL_INDEX, object->symbol_count, rela->r_sym,
                          diag);
        }
        const struct link_symbol *symbol = &batch->symbols[rela->r_sym];
        const uint64_t offset = rela->r_offset;
        const uint32_t type = rela->r_type;
        const bool is_operand = is_code && relocation_is_operand(type);
        const uint64_t bias = is_operand ? RELOCATION_OPERAND_SIZE : 0;
        const int64_t target_offset =
            (int64_t)(symbol->offset + (uint64_t)rela->r_addend + bias); /* may wrap */
        uint64_t value = symbol->value + (uint64_t)rela->r_addend;
        struct section *target = symbol->section;
        bool via_entry = false;

        if (offset >= (type == R_X86_64_64 || type == R_X86_64_PC64 ? end64 : end32)) {
            if (type != R_X86_64_NONE) {
                return refuse_offset(batch, rela, diag);
            }
        }
        if (symbol->kind != LINK_SYMBOL_DATA && type != R_X86_64_NONE) {
            if (symbol->kind == LINK_SYMBOL_NOT_LOADED) {
                return refuse(batch, rela, DIAG_LINK_NOT_LOADED, 0, 0, diag);
            }
            bool is_branch = is_operand && relocation_is_branch(batch->bytes, offset);
            if (!is_branch && !binds_to_functions) {
                uint64_t entry = entry_for(batch, symbol, target_offset);
                value = entry ? entry - bias : value;
                via_entry = entry != 0;
            }
        }
        switch (type) {
        case R_X86_64_PC32:
        case R_X86_64_PLT32:
            value -= batch->address + offset;
            if (UNLIKELY(!sign_extends(value))) {
                return refuse(batch, rela, DIAG_LINK_OVERFLOW, INT32_MAX, value, diag);
            }
            store32(batch->bytes + offset, value);
            break;
        case R_X86_64_32S:
            if (UNLIKELY(!sign_extends(value))) {
                return refuse(batch, rela, DIAG_LINK_OVERFLOW, INT32_MAX, value, diag);
            }
            store32(batch->bytes + offset, value);
            break;
        case R_X86_64_32:
            if (UNLIKELY(value != (uint32_t)value)) {
                return refuse(batch, rela, DIAG_LINK_OVERFLOW, UINT32_MAX, value, diag);
            }
            store32(batch->bytes + offset, value);
            break;
        case R_X86_64_64:
            store64(batch->bytes + offset, value);
            break;
        case R_X86_64_PC64:
            store64(batch->bytes + offset, value - (batch->address + offset));
            break;
        case R_X86_64_NONE:
            target = NULL;
            break;
        default:
            return refuse(batch, rela, DIAG_LINK_RELOCATION_TYPE, 0, type, diag);
        }
        if (to) {
            record(batch, to++, rela, target, target_offset, via_entry);
        }
    }
    return OK;
}
