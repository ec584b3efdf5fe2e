/* SPDX-License-Identifier: MIT */
/*
 * Two ways lead to the same result. apply_one() handles any relocation with every check, and is what
 * the others are measured by. relocation_paths.c has loops for what nearly all relocations are,
 * operands in code, references in data, and runs of these to one section; they stop at anything
 * else, a relocation that has to be refused included. Bounds are checked as `offset >= end`, where
 * `end` is 0 if the section is shorter than the field, so that no sum can wrap.
 */
#include "relocation.h"
#include "diag.h"
#include "relocation_priv.h"

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

static inline uint64_t place_of(const struct function *function)
{
    static_assert(offsetof(struct function, section) == offsetof(struct function, offset) + 4,
                  "section above offset");
    uint64_t place;
    __builtin_memcpy(&place, &function->offset, sizeof(place));
    return place;
}

/* Halves what is left without a branch that depends on the place. */
struct function *relocation_find_function(struct function *functions, uint32_t count,
                                          uint32_t section, uint32_t offset)
{
    const uint64_t wanted = (uint64_t)section << 32 | offset;
    while (count > 1) {
        uint32_t half = count / 2;
        functions = place_of(functions + half - 1) < wanted ? functions + half : functions;
        count -= half;
    }
    return count > 0 && place_of(functions) < wanted ? functions + 1 : functions;
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

uint64_t relocation_entry_for(const struct relocation_batch *batch, struct link_symbol *symbol,
                              int64_t target_offset)
{
    if (target_offset == symbol->offset && symbol->entry) {
        symbol->is_via_entry = 1;
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
    return entry_of(batch, function);
}

bool relocation_describes_code(const struct elf_object *object, uint32_t section)
{
    return object->sections[section].sh_type == SHT_X86_64_UNWIND ||
           __builtin_strcmp(elf_object_section_name(object, section), ".eh_frame") == 0;
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

/* `offset >= field_end(size, width)`: the field does not fit into the section. */
static uint64_t field_end(uint64_t size, uint64_t width)
{
    return size >= width ? size - width + 1 : 0;
}

/* Stores `value` (S + A) as the kind says, if it fits. */
static enum status store_value(const struct relocation_batch *batch, const struct elf64_rela *rela,
                               uint64_t value, struct diag *diag)
{
    uint8_t *field = batch->bytes + rela->r_offset;
    const uint64_t place = batch->address + rela->r_offset;
    switch (rela->r_type) {
    case R_X86_64_PC32:
    case R_X86_64_PLT32:
        value -= place;
        if (UNLIKELY(!sign_extends(value))) {
            return refuse(batch, rela, DIAG_LINK_OVERFLOW, INT32_MAX, value, diag);
        }
        store32(field, value);
        return OK;
    case R_X86_64_32S:
        if (UNLIKELY(!sign_extends(value))) {
            return refuse(batch, rela, DIAG_LINK_OVERFLOW, INT32_MAX, value, diag);
        }
        store32(field, value);
        return OK;
    case R_X86_64_32:
        if (UNLIKELY(value != (uint32_t)value)) {
            return refuse(batch, rela, DIAG_LINK_OVERFLOW, UINT32_MAX, value, diag);
        }
        store32(field, value);
        return OK;
    case R_X86_64_64:
        store64(field, value);
        return OK;
    case R_X86_64_PC64:
        store64(field, value - place);
        return OK;
    default:
        return refuse(batch, rela, DIAG_LINK_RELOCATION_TYPE, 0, rela->r_type, diag);
    }
}

/* Any relocation, with every check. */
static enum status apply_one(const struct relocation_scope *scope, const struct elf64_rela *rela,
                             struct diag *diag)
{
    const struct relocation_batch *batch = scope->batch;
    if (UNLIKELY(rela->r_sym >= batch->object->symbol_count)) {
        return refuse(batch, rela, DIAG_LINK_SYMBOL_INDEX, batch->object->symbol_count, rela->r_sym,
                      diag);
    }
    struct link_symbol *symbol = &batch->symbols[rela->r_sym];
    const uint64_t offset = rela->r_offset;
    const uint32_t type = rela->r_type;
    const bool is_none = type == R_X86_64_NONE;
    const bool is_operand = scope->is_code && relocation_is_operand(type);
    const uint64_t bias = is_operand ? RELOCATION_OPERAND_SIZE : 0;
    const uint64_t target_offset = symbol->offset + (uint64_t)rela->r_addend + bias; /* may wrap */
    uint64_t value = symbol->value + (uint64_t)rela->r_addend;
    const bool is_wide = type == R_X86_64_64 || type == R_X86_64_PC64;
    if (offset >= (is_wide ? scope->end64 : scope->end32) && !is_none) {
        return refuse_offset(batch, rela, diag);
    }
    if (symbol->kind != LINK_SYMBOL_DATA && !is_none) {
        if (symbol->kind == LINK_SYMBOL_NOT_LOADED) {
            return refuse(batch, rela, DIAG_LINK_NOT_LOADED, 0, 0, diag);
        }
        bool is_branch =
            is_operand && scope->pristine && relocation_is_branch(scope->pristine, offset);
        uint64_t entry = is_branch || scope->binds_to_functions
                             ? 0
                             : relocation_entry_for(batch, symbol, (int64_t)target_offset);
        value = entry ? entry - bias : value;
    }
    return is_none ? OK : store_value(batch, rela, value, diag);
}

static const struct elf64_rela *apply_fast(const struct relocation_scope *scope,
                                           const struct elf64_rela *rela)
{
    if (scope->is_code) {
        return scope->pristine ? relocation_apply_operands(scope->batch, rela, scope->end,
                                                           scope->pristine, scope->end32)
                               : rela;
    }
    const struct elf64_rela *before;
    do { /* one stops where it is the other's turn */
        before = rela;
        rela = is_run(scope, rela) ? relocation_apply_run(scope, rela)
                                   : relocation_apply_plain(scope, rela);
    } while (rela != before && rela != scope->end);
    return rela;
}

/* From `rela` on, whatever they are. */
NOINLINE static enum status apply_any(const struct relocation_batch *batch,
                                      const struct elf64_rela *rela, const struct elf64_rela *end,
                                      struct diag *diag)
{
    const struct elf_object *object = batch->object;
    const struct elf64_shdr *header = &object->sections[batch->section];
    const bool is_code = (header->sh_flags & SHF_EXECINSTR) != 0;
    const struct relocation_scope scope = {
        .batch = batch,
        .end = end,
        .pristine = elf_object_section_bytes(object, batch->section).base,
        .end32 = field_end(header->sh_size, 4),
        .end64 = field_end(header->sh_size, 8),
        .is_code = is_code,
        .binds_to_functions = !is_code && relocation_describes_code(object, batch->section),
    };
    while (rela != end) {
        if (!batch->is_general) {
            rela = apply_fast(&scope, rela);
            if (rela == end) {
                break;
            }
        }
        enum status status = apply_one(&scope, rela, diag);
        if (status != OK) {
            return status;
        }
        rela++;
    }
    return OK;
}

/* Code, which most sections are, needs nothing but operands: nearly always. */
enum status relocation_apply(const struct relocation_batch *batch, struct diag *diag)
{
    const struct elf_object *object = batch->object;
    const struct elf64_shdr *header = &object->sections[batch->section];
    const struct elf64_shdr *table = &object->sections[batch->relocation_section];
    const uint8_t *first = object->file.base + table->sh_offset;
    const struct elf64_rela *rela = (const struct elf64_rela *)first;
    const struct elf64_rela *end = (const struct elf64_rela *)(first + table->sh_size);
    const uint8_t *pristine = elf_object_section_bytes(object, batch->section).base;
    if (LIKELY((header->sh_flags & SHF_EXECINSTR) && pristine && !batch->is_general)) {
        rela = relocation_apply_operands(batch, rela, end, pristine, field_end(header->sh_size, 4));
        if (LIKELY(rela == end)) {
            return OK;
        }
    }
    return apply_any(batch, rela, end, diag);
}
