/* SPDX-License-Identifier: MIT */
/*
 * Two maps carry the work: old section index to new, old symbol index to new, 0 where something is
 * left out. They are complete before anything is written, so each part is then copied in one pass.
 */
#include "cell_writer.h"
#include "abi/abi_build.h"
#include "cell_abi.h"
#include "elf_writer.h"
#include "unwind_index.h"

#include <stdlib.h>
#include <string.h>

#define MERGE_FLAGS ((uint64_t)(SHF_MERGE | SHF_STRINGS))

struct draft {
    const struct elf_object *object;
    struct elf_writer writer;
    uint32_t *sections;        /* old index to new */
    uint32_t *symbols;         /* old index to new */
    bool *section_used;        /* by a kept relocation or symbol */
    bool *symbol_used;         /* by a kept relocation */
    struct bytes *relocations; /* by old index of the relocation section */
    struct bytes unwind;
    struct bytes abi;
    struct bytes symbol_table;
    struct bytes symbol_names;
    uint32_t first_global;
    struct problem *problem;
};

static bool is_named(const struct elf_object *object, uint32_t section, const char *name)
{
    return strcmp(elf_object_section_name(object, section), name) == 0;
}

static bool is_cell_note(const struct elf_object *object, uint32_t section)
{
    return strncmp(elf_object_section_name(object, section), ".cell.", 6) == 0;
}

/* Would the section be part of a cell, if it is not empty? Relocations follow their section. */
static bool is_wanted(const struct elf_object *object, uint32_t section)
{
    if (object->sections[section].sh_type == SHT_RELA) {
        return false;
    }
    if (is_cell_note(object, section)) {
        return !is_named(object, section, ".cell.unwind") &&
               !is_named(object, section, CELL_ABI_SECTION);
    }
    return elf_object_section_is_loaded(object, section) &&
           !is_named(object, section, ".note.gnu.property") &&
           !is_named(object, section, ".note.GNU-stack");
}

static enum status refuse_section(struct draft *draft, uint32_t section, const char *why)
{
    const char *name = elf_object_section_name(draft->object, section);
    problem_set(draft->problem, PROBLEM_OBJECT_SECTION, "a cell cannot contain %s", name);
    problem_because(draft->problem, "%s", why);
    return draft->problem->status;
}

static enum status mark_relocations(struct draft *draft, uint32_t section)
{
    const struct elf_object *object = draft->object;
    uint64_t count = 0;
    const struct elf64_rela *relocations = elf_object_relocations(object, section, &count);
    for (uint64_t i = 0; i < count; i++) {
        uint32_t symbol = relocations[i].r_sym;
        if (symbol >= object->symbol_count) {
            return refuse_section(draft, section,
                                  "a relocation names a symbol that does not exist");
        }
        draft->symbol_used[symbol] = true;
    }
    return OK;
}

static enum status mark_used(struct draft *draft)
{
    const struct elf_object *object = draft->object;
    for (uint32_t i = 1; i < object->section_count; i++) {
        const struct elf64_shdr *section = &object->sections[i];
        if (is_wanted(object, i) && (section->sh_flags & SHF_GROUP)) {
            return refuse_section(draft, i, "it belongs to a section group (COMDAT)");
        }
        if (elf_object_is_relocation(object, i) && is_wanted(object, section->sh_info) &&
            !is_cell_note(object, section->sh_info) && mark_relocations(draft, i) != OK) {
            return draft->problem->status;
        }
    }
    for (uint32_t i = 1; i < object->symbol_count; i++) {
        const struct elf64_sym *symbol = &object->symbols[i];
        bool counts = draft->symbol_used[i] || elf_symbol_type(symbol) != STT_SECTION;
        if (counts && symbol->st_shndx < object->section_count) {
            draft->section_used[symbol->st_shndx] = true;
        }
    }
    return OK;
}

static void add_content_section(struct draft *draft, uint32_t old)
{
    const struct elf_object *object = draft->object;
    const struct elf64_shdr *section = &object->sections[old];
    bool merges = (section->sh_flags & MERGE_FLAGS) != 0;
    bool note = is_cell_note(object, old);
    draft->sections[old] =
        elf_writer_add(&draft->writer, &(struct elf_writer_section){
                                           .name = elf_object_section_name(object, old),
                                           .type = section->sh_type,
                                           .flags = note ? 0 : section->sh_flags & ~MERGE_FLAGS,
                                           .alignment = note ? 1 : section->sh_addralign,
                                           .entry_size = merges ? 0 : section->sh_entsize,
                                           .content = elf_object_section_bytes(object, old),
                                           .empty_size = section->sh_size,
                                       });
}

static void add_content(struct draft *draft)
{
    const struct elf_object *object = draft->object;
    for (int notes = 0; notes < 2; notes++) {
        for (uint32_t i = 1; i < object->section_count; i++) {
            bool present = object->sections[i].sh_size > 0 || draft->section_used[i];
            if (is_wanted(object, i) && present && is_cell_note(object, i) == (notes == 1)) {
                add_content_section(draft, i);
            }
        }
    }
}

/* ---- symbols ---- */

static bool is_hidden(const struct elf64_sym *symbol)
{
    uint8_t visibility = elf_symbol_visibility(symbol);
    return visibility == STV_HIDDEN || visibility == STV_INTERNAL;
}

static bool keeps_symbol(const struct draft *draft, uint32_t i)
{
    const struct elf64_sym *symbol = &draft->object->symbols[i];
    if (draft->symbol_used[i]) {
        return true;
    }
    if (symbol->st_shndx == SHN_UNDEF || elf_symbol_type(symbol) == STT_SECTION) {
        return false;
    }
    if (symbol->st_shndx >= draft->object->section_count) {
        return true; /* absolute, the name of a source file too */
    }
    return draft->sections[symbol->st_shndx] != 0 && !is_cell_note(draft->object, symbol->st_shndx);
}

static enum status add_symbol(struct draft *draft, uint32_t i, bool local)
{
    const struct elf_object *object = draft->object;
    struct elf64_sym symbol = object->symbols[i];
    const char *name = elf_object_symbol_name(object, i);
    if (symbol.st_shndx != SHN_UNDEF && symbol.st_shndx < object->section_count) {
        if (draft->sections[symbol.st_shndx] == 0) {
            problem_set(draft->problem, PROBLEM_OBJECT_SECTION,
                        "code or data refers to %s, which is not part of a cell",
                        *name ? name : elf_object_section_name(object, symbol.st_shndx));
            return draft->problem->status;
        }
        symbol.st_shndx = (uint16_t)draft->sections[symbol.st_shndx];
    } else if (symbol.st_shndx == SHN_UNDEF && is_hidden(&symbol)) {
        problem_set(draft->problem, PROBLEM_OBJECT_HIDDEN,
                    "%s is declared hidden but not defined in this cell", name);
        return draft->problem->status;
    }
    if (local) {
        symbol.st_info = (uint8_t)(STB_LOCAL << 4 | elf_symbol_type(&symbol));
        symbol.st_other = STV_DEFAULT;
    }
    symbol.st_name = *name ? (uint32_t)draft->symbol_names.size : 0;
    if (*name) {
        bytes_append_string(&draft->symbol_names, name);
    }
    draft->symbols[i] = (uint32_t)(draft->symbol_table.size / sizeof(symbol));
    bytes_append(&draft->symbol_table, &symbol, sizeof(symbol));
    return OK;
}

static enum status add_symbols(struct draft *draft)
{
    const struct elf_object *object = draft->object;
    bytes_append_fill(&draft->symbol_table, 0, sizeof(struct elf64_sym));
    bytes_append_fill(&draft->symbol_names, 0, 1);
    for (int globals = 0; globals < 2; globals++) {
        for (uint32_t i = 1; i < object->symbol_count; i++) {
            const struct elf64_sym *symbol = &object->symbols[i];
            bool defined = symbol->st_shndx != SHN_UNDEF;
            bool local = elf_symbol_binding(symbol) == STB_LOCAL || (defined && is_hidden(symbol));
            if (local == (globals == 0) && keeps_symbol(draft, i) &&
                add_symbol(draft, i, local) != OK) {
                return draft->problem->status;
            }
        }
        if (globals == 0) {
            draft->first_global = (uint32_t)(draft->symbol_table.size / sizeof(struct elf64_sym));
        }
    }
    return OK;
}

/* ---- relocations and the rest ---- */

static void add_relocation_section(struct draft *draft, uint32_t old, uint32_t symbol_table)
{
    const struct elf_object *object = draft->object;
    uint64_t count = 0;
    const struct elf64_rela *relocations = elf_object_relocations(object, old, &count);
    struct bytes *out = &draft->relocations[old];
    for (uint64_t i = 0; i < count; i++) {
        struct elf64_rela relocation = relocations[i];
        relocation.r_sym = draft->symbols[relocation.r_sym];
        bytes_append(out, &relocation, sizeof(relocation));
    }
    draft->symbol_table.failed |= out->failed;
    elf_writer_add(&draft->writer, &(struct elf_writer_section){
                                       .name = elf_object_section_name(object, old),
                                       .type = SHT_RELA,
                                       .flags = SHF_INFO_LINK,
                                       .link = symbol_table,
                                       .info = draft->sections[object->sections[old].sh_info],
                                       .alignment = 8,
                                       .entry_size = sizeof(struct elf64_rela),
                                       .content = bytes_span(out),
                                   });
}

static bool keeps_relocations(const struct draft *draft, uint32_t old)
{
    const struct elf_object *object = draft->object;
    if (!elf_object_is_relocation(object, old) || object->sections[old].sh_size == 0) {
        return false;
    }
    uint32_t target = object->sections[old].sh_info;
    return draft->sections[target] != 0 && !is_cell_note(object, target);
}

/* Relocation sections name the symbol table, which stands behind them: its index is counted first.
 */
static void add_relocations(struct draft *draft)
{
    uint32_t symbol_table = (uint32_t)draft->writer.count + 1;
    for (uint32_t i = 1; i < draft->object->section_count; i++) {
        symbol_table += keeps_relocations(draft, i);
    }
    for (uint32_t i = 1; i < draft->object->section_count; i++) {
        if (keeps_relocations(draft, i)) {
            add_relocation_section(draft, i, symbol_table);
        }
    }
}

static void add_symbol_table(struct draft *draft)
{
    uint32_t index = (uint32_t)draft->writer.count + 1;
    elf_writer_add(&draft->writer, &(struct elf_writer_section){
                                       .name = ".symtab",
                                       .type = SHT_SYMTAB,
                                       .link = index + 1,
                                       .info = draft->first_global,
                                       .alignment = 8,
                                       .entry_size = sizeof(struct elf64_sym),
                                       .content = bytes_span(&draft->symbol_table),
                                   });
    elf_writer_add(&draft->writer, &(struct elf_writer_section){
                                       .name = ".strtab",
                                       .type = SHT_STRTAB,
                                       .alignment = 1,
                                       .content = bytes_span(&draft->symbol_names),
                                   });
}

static enum status write_draft(struct draft *draft, struct bytes *cell)
{
    if (mark_used(draft) != OK) {
        return draft->problem->status;
    }
    add_content(draft);
    if (unwind_index_build(draft->object, draft->sections, &draft->unwind, draft->problem) != OK) {
        return draft->problem->status;
    }
    elf_writer_add(&draft->writer, &(struct elf_writer_section){
                                       .name = ".cell.unwind",
                                       .type = SHT_PROGBITS,
                                       .alignment = 4,
                                       .content = bytes_span(&draft->unwind),
                                   });
    if (add_symbols(draft) != OK ||
        abi_build(draft->object, draft->symbols, &draft->abi, draft->problem) != OK) {
        return draft->problem->status;
    }
    elf_writer_add(&draft->writer, &(struct elf_writer_section){
                                       .name = CELL_ABI_SECTION,
                                       .type = SHT_PROGBITS,
                                       .alignment = 8,
                                       .content = bytes_span(&draft->abi),
                                   });
    add_relocations(draft);
    add_symbol_table(draft);
    if (bytes_check(&draft->symbol_table, draft->problem) != OK ||
        bytes_check(&draft->symbol_names, draft->problem) != OK) {
        return draft->problem->status;
    }
    return elf_writer_finish(&draft->writer, cell, draft->problem);
}

static bool allocate_draft(struct draft *draft)
{
    const struct elf_object *object = draft->object;
    draft->sections = calloc(object->section_count + 1, sizeof(*draft->sections));
    draft->section_used = calloc(object->section_count + 1, sizeof(*draft->section_used));
    draft->relocations = calloc(object->section_count + 1, sizeof(*draft->relocations));
    draft->symbols = calloc((size_t)object->symbol_count + 1, sizeof(*draft->symbols));
    draft->symbol_used = calloc((size_t)object->symbol_count + 1, sizeof(*draft->symbol_used));
    return draft->sections && draft->section_used && draft->relocations && draft->symbols &&
           draft->symbol_used;
}

static void release_draft(struct draft *draft)
{
    for (uint32_t i = 0; draft->relocations && i < draft->object->section_count; i++) {
        bytes_fini(&draft->relocations[i]);
    }
    bytes_fini(&draft->unwind);
    bytes_fini(&draft->abi);
    bytes_fini(&draft->symbol_table);
    bytes_fini(&draft->symbol_names);
    elf_writer_fini(&draft->writer);
    free(draft->sections);
    free(draft->section_used);
    free(draft->relocations);
    free(draft->symbols);
    free(draft->symbol_used);
}

/*
 * Copies the headers as they are, so that all indices stay right; only the bytes of the cell are
 * gone. .eh_frame keeps its own: there is no .debug_frame, and a debugger needs one of the two.
 */
static enum status write_debug(const struct elf_object *object, struct bytes *out,
                               struct problem *problem)
{
    struct elf_writer writer = {0};
    uint32_t count = object->section_count;
    if (is_named(object, count - 1, ".shstrtab")) {
        count--; /* the writer adds its own in the same place */
    }
    for (uint32_t i = 1; i < count; i++) {
        const struct elf64_shdr *section = &object->sections[i];
        bool emptied =
            elf_object_is_relocation(object, i) && !is_named(object, section->sh_info, ".eh_frame");
        bool loaded = elf_object_section_is_loaded(object, i) && !is_named(object, i, ".eh_frame");
        elf_writer_add(&writer, &(struct elf_writer_section){
                                    .name = elf_object_section_name(object, i),
                                    .type = loaded ? SHT_NOBITS : section->sh_type,
                                    .link = section->sh_link,
                                    .info = section->sh_info,
                                    .flags = section->sh_flags,
                                    .alignment = section->sh_addralign,
                                    .entry_size = section->sh_entsize,
                                    .content = emptied ? span_of(NULL, 0)
                                                       : elf_object_section_bytes(object, i),
                                    .empty_size = section->sh_size,
                                });
    }
    enum status status = elf_writer_finish(&writer, out, problem);
    elf_writer_fini(&writer);
    return status;
}

enum status cell_write(const struct elf_object *object, struct bytes *cell, struct bytes *debug,
                       struct problem *problem)
{
    struct draft draft = {.object = object, .problem = problem};
    enum status status = allocate_draft(&draft)
                             ? write_draft(&draft, cell)
                             : problem_set(problem, PROBLEM_MEMORY, "out of memory");
    release_draft(&draft);
    if (status == OK && debug) {
        status = write_debug(object, debug, problem);
    }
    return status;
}
