/* SPDX-License-Identifier: MIT */
/*
 * What differs between an old and a new cell, in the words of a reader: which functions, which
 * layouts.
 *
 * The content hash has decided that something does. Here sections are matched by name (the n-th
 * with the n-th where several have it). String constants of a source share one section, so a longer
 * message moves all behind it: references to equal strings count as equal, else every function
 * would be named.
 */
#include "diff_priv.h"

#include "cell_info.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REASON_SIZE 512

/* ---- helpers for all steps ---- */

static bool is_in(const struct words_list *list, const char *text)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->words[i], text) == 0) {
            return true;
        }
    }
    return false;
}

void diff_add_reason(struct diff_cell *cell, const char *format, ...)
{
    char text[REASON_SIZE];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    if (!is_in(&cell->reasons, text)) {
        words_add(&cell->reasons, "%s", text);
    }
}

void diff_add_first_reason(struct diff_cell *cell, const char *format, ...)
{
    char text[REASON_SIZE];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    size_t length = strcspn(text, ",");
    for (size_t i = 0; i < cell->reasons.count; i++) {
        const char *other = cell->reasons.words[i];
        if (strncmp(other, text, length) == 0 && other[length] == ',') {
            return;
        }
    }
    words_add(&cell->reasons, "%s", text);
}

void diff_add_inheritance(const struct diff *diff, struct diff_cell *cell,
                          const struct diff_cell *from)
{
    const char *name = diff->old->cells[from->old].name;
    if (cell != from && !is_in(&cell->inherits, name)) {
        words_add(&cell->inherits, "%s", name);
    }
}

uint32_t diff_find_export(const struct elf_object *object, const char *name)
{
    for (uint32_t i = object->first_global; i < object->symbol_count; i++) {
        if (elf_symbol_is_export(&object->symbols[i]) &&
            strcmp(elf_object_symbol_name(object, i), name) == 0) {
            return i;
        }
    }
    return 0;
}

/* ---- are two sections the same? ---- */

/* One side of a comparison of references. */
struct reference {
    const struct elf_object *object;
    const struct elf64_rela *rela;
    const struct elf64_sym *symbol; /* NULL: none */
    bool is_code;                   /* the section that it stands in */
};

static const struct elf64_rela *relocations_of(const struct elf_object *object, uint32_t section,
                                               uint64_t *out_count)
{
    for (uint32_t i = 1; i < object->section_count; i++) {
        if (elf_object_is_relocation(object, i) && object->sections[i].sh_info == section) {
            return elf_object_relocations(object, i, out_count);
        }
    }
    *out_count = 0;
    return NULL;
}

static struct reference reference_of(const struct elf_object *object, uint32_t section,
                                     const struct elf64_rela *rela)
{
    return (struct reference){
        .object = object,
        .rela = rela,
        .symbol = rela->r_sym && rela->r_sym < object->symbol_count ? &object->symbols[rela->r_sym]
                                                                    : NULL,
        .is_code = (object->sections[section].sh_flags & SHF_EXECINSTR) != 0,
    };
}

static bool is_local(const struct reference *reference)
{
    return elf_symbol_binding(reference->symbol) == STB_LOCAL &&
           reference->symbol->st_shndx != SHN_UNDEF &&
           reference->symbol->st_shndx < reference->object->section_count;
}

/* The string constant that is referred to, or NULL. */
static const char *string_of(const struct reference *reference)
{
    uint16_t index = reference->symbol->st_shndx;
    const struct elf64_shdr *section = &reference->object->sections[index];
    if ((section->sh_flags & (SHF_WRITE | SHF_EXECINSTR)) || section->sh_type == SHT_NOBITS) {
        return NULL;
    }
    bool is_operand = reference->is_code && (reference->rela->r_type == R_X86_64_PC32 ||
                                             reference->rela->r_type == R_X86_64_PLT32);
    uint64_t offset =
        reference->symbol->st_value + (uint64_t)reference->rela->r_addend + (is_operand ? 4 : 0);
    return span_string(elf_object_section_bytes(reference->object, index), offset);
}

static bool targets_agree(const struct reference *a, const struct reference *b)
{
    if (!a->symbol || !b->symbol) {
        return a->symbol == b->symbol && a->rela->r_addend == b->rela->r_addend;
    }
    if (is_local(a) != is_local(b)) {
        return false;
    }
    if (!is_local(a)) {
        return strcmp(a->object->symbol_names + a->symbol->st_name,
                      b->object->symbol_names + b->symbol->st_name) == 0 &&
               a->rela->r_addend == b->rela->r_addend;
    }
    const char *name = elf_object_section_name(a->object, a->symbol->st_shndx);
    if (strcmp(name, elf_object_section_name(b->object, b->symbol->st_shndx)) != 0) {
        return false;
    }
    if (cell_hash_leaves_out(name)) {
        return true;
    }
    const char *mine = string_of(a);
    const char *theirs = string_of(b);
    return mine && theirs ? strcmp(mine, theirs) == 0
                          : a->symbol->st_value + (uint64_t)a->rela->r_addend ==
                                b->symbol->st_value + (uint64_t)b->rela->r_addend;
}

static bool sections_agree(const struct elf_object *old, uint32_t old_section,
                           const struct elf_object *new, uint32_t new_section)
{
    const struct elf64_shdr *a = &old->sections[old_section];
    const struct elf64_shdr *b = &new->sections[new_section];
    if (a->sh_type != b->sh_type || a->sh_flags != b->sh_flags || a->sh_size != b->sh_size ||
        a->sh_addralign != b->sh_addralign ||
        !span_equal(elf_object_section_bytes(old, old_section),
                    elf_object_section_bytes(new, new_section))) {
        return false;
    }
    uint64_t counts[2];
    const struct elf64_rela *mine = relocations_of(old, old_section, &counts[0]);
    const struct elf64_rela *theirs = relocations_of(new, new_section, &counts[1]);
    bool agree = counts[0] == counts[1];
    for (uint64_t i = 0; agree && i < counts[0]; i++) {
        struct reference x = reference_of(old, old_section, &mine[i]);
        struct reference y = reference_of(new, new_section, &theirs[i]);
        agree = mine[i].r_offset == theirs[i].r_offset && mine[i].r_type == theirs[i].r_type &&
                targets_agree(&x, &y);
    }
    return agree;
}

/* ---- sections ---- */

static bool is_compared(const struct elf_object *object, uint32_t index)
{
    const char *name = elf_object_section_name(object, index);
    return elf_object_section_is_loaded(object, index) && !cell_hash_leaves_out(name) &&
           strcmp(name, ".eh_frame") != 0 && object->sections[index].sh_size > 0;
}

/* How many sections of that name stand before `index`. */
static uint32_t rank_of(const struct elf_object *object, uint32_t index)
{
    uint32_t rank = 0;
    for (uint32_t i = 1; i < index; i++) {
        rank += is_compared(object, i) && strcmp(elf_object_section_name(object, i),
                                                 elf_object_section_name(object, index)) == 0;
    }
    return rank;
}

/* The section of `in` that corresponds to `index` of `object`, or 0. */
static uint32_t counterpart(const struct elf_object *object, uint32_t index,
                            const struct elf_object *in)
{
    uint32_t rank = rank_of(object, index);
    for (uint32_t i = 1; i < in->section_count; i++) {
        if (is_compared(in, i) &&
            strcmp(elf_object_section_name(in, i), elf_object_section_name(object, index)) == 0 &&
            rank-- == 0) {
            return i;
        }
    }
    return 0;
}

static enum diff_part part_of(const struct elf_object *object, uint32_t index)
{
    const struct elf64_shdr *section = &object->sections[index];
    return section->sh_flags & SHF_EXECINSTR ? DIFF_CODE
           : section->sh_flags & SHF_WRITE   ? DIFF_INITIAL
                                             : DIFF_CONSTANTS;
}

/* `.text.unlikely.bell_ring` is part of `bell_ring`. */
static const char *function_of(const struct elf_object *object, uint32_t index)
{
    static const char *const prefixes[] = {".text.unlikely.", ".text.startup.", ".text.exit.",
                                           ".text.hot.", ".text."};
    const char *name = elf_object_section_name(object, index);
    for (size_t i = 0; i < ARRAY_COUNT(prefixes); i++) {
        size_t length = strlen(prefixes[i]);
        if (strncmp(name, prefixes[i], length) == 0) {
            return name + length;
        }
    }
    return name;
}

static void add_function(struct diff_cell *cell, const char *mark, const char *name)
{
    for (size_t i = 0; i < cell->functions.count; i++) {
        const char *other = cell->functions.words[i];
        if (strcmp(other + (*other == '+' || *other == '-'), name) == 0) {
            return;
        }
    }
    words_add(&cell->functions, "%s%s", mark, name);
}

static void compare_sections(const struct diff *diff, struct diff_cell *cell)
{
    const struct elf_object *old = diff_old_object(diff, cell);
    const struct elf_object *new = diff_new_object(diff, cell);
    for (uint32_t i = 1; i < new->section_count; i++) {
        uint32_t other = is_compared(new, i) ? counterpart(new, i, old) : 0;
        if (!is_compared(new, i) || (other && sections_agree(old, other, new, i))) {
            continue;
        }
        /* A variable that is there in one only, or has another size, is a matter of state. */
        bool is_state = part_of(new, i) == DIFF_INITIAL &&
                        (!other || old->sections[other].sh_size != new->sections[i].sh_size);
        cell->parts |= is_state ? DIFF_STATE : part_of(new, i);
        if (part_of(new, i) == DIFF_CODE) {
            add_function(cell, other ? "" : "+", function_of(new, i));
        }
    }
    for (uint32_t i = 1; i < old->section_count; i++) {
        if (is_compared(old, i) && !counterpart(old, i, new)) {
            cell->parts |= part_of(old, i) == DIFF_INITIAL ? DIFF_STATE : part_of(old, i);
            if (part_of(old, i) == DIFF_CODE) {
                add_function(cell, "-", function_of(old, i));
            }
        }
    }
}

/* ---- exports, signatures, layouts, notes ---- */

static void compare_exports(const struct diff *diff, struct diff_cell *cell)
{
    const struct elf_object *objects[2] = {diff_old_object(diff, cell),
                                           diff_new_object(diff, cell)};
    for (size_t side = 0; side < 2; side++) {
        const struct elf_object *object = objects[side];
        for (uint32_t i = object->first_global; i < object->symbol_count; i++) {
            const char *name = elf_object_symbol_name(object, i);
            if (elf_symbol_is_export(&object->symbols[i]) &&
                !diff_find_export(objects[1 - side], name)) {
                cell->parts |= DIFF_EXPORTS;
                diff_add_reason(cell, side ? "exports %s, which is new" : "no longer exports %s",
                                name);
            }
        }
    }
}

static void compare_signatures(const struct diff *diff, struct diff_cell *cell)
{
    const struct elf_object *old = diff_old_object(diff, cell);
    const struct elf_object *new = diff_new_object(diff, cell);
    for (uint32_t i = 0; i < cell->new_abi.symbol_count; i++) {
        const struct cell_abi_symbol *row = &cell->new_abi.symbols[i];
        if (row->symbol < new->first_global || row->symbol >= new->symbol_count) {
            continue;
        }
        const char *name = elf_object_symbol_name(new, row->symbol);
        const struct cell_abi_symbol *other = cell_abi_find_symbol(&cell->old_abi, old, name);
        if (!other || other->signature == row->signature) {
            continue;
        }
        cell->parts |= DIFF_SIGNATURES;
        const char *mine = cell_abi_text(&cell->old_abi, other->text);
        const char *theirs = cell_abi_text(&cell->new_abi, row->text);
        struct cell_abi_difference difference = cell_abi_compare(mine, theirs);
        char text[REASON_SIZE];
        cell_abi_format_difference(&difference, "old", "new", text, sizeof(text));
        diff_add_reason(cell, "%s: %s", name, text);
    }
}

/* Layouts that others know too; with `flags` 0 those that concern this cell alone as well. */
static void compare_types(struct diff_cell *cell, uint32_t flags)
{
    struct cell_abi_cursor cursor = {0};
    const struct cell_abi_type *theirs;
    const struct cell_abi_type *mine;
    while ((mine = cell_abi_next_conflict(&cell->old_abi, &cell->new_abi, flags, &cursor,
                                          &theirs)) != NULL) {
        cell->parts |= DIFF_TYPES;
        const char *old_text = cell_abi_text(&cell->old_abi, mine->text);
        const char *new_text = cell_abi_text(&cell->new_abi, theirs->text);
        struct span name = cell_abi_type_name(new_text);
        struct cell_abi_difference difference = cell_abi_compare(old_text, new_text);
        char text[REASON_SIZE];
        cell_abi_format_difference(&difference, "old", "new", text, sizeof(text));
        diff_add_reason(cell, "layout of %.*s: %s", (int)name.size, (const char *)name.base, text);
    }
}

static struct span note_of(const struct elf_object *object, const char *name)
{
    uint32_t section = elf_object_find_section(object, name);
    return section ? elf_object_section_bytes(object, section) : span_of(NULL, 0);
}

static void compare_notes(const struct diff *diff, struct diff_cell *cell)
{
    const struct elf_object *old = diff_old_object(diff, cell);
    const struct elf_object *new = diff_new_object(diff, cell);
    if (!span_equal(note_of(old, ".cell.info"), note_of(new, ".cell.info"))) {
        const struct model_cell *a = &diff->old->cells[cell->old];
        const struct model_cell *b = &diff->new->cells[cell->new];
        cell->parts |= DIFF_NOTES;
        if (strcmp(a->version, b->version) != 0) {
            diff_add_reason(cell, "version %s, was %s", b->version, a->version);
        }
    }
    if (!span_equal(note_of(old, CELL_TRANSFER_SECTION), note_of(new, CELL_TRANSFER_SECTION))) {
        cell->parts |= DIFF_NOTES;
    }
    if (strcmp(diff->old->cells[cell->old].name, cell->name) != 0) {
        cell->parts |= DIFF_NAME;
        diff_add_reason(cell, "takes the place of %s", diff->old->cells[cell->old].name);
    }
}

static void say_functions(struct diff_cell *cell)
{
    char text[REASON_SIZE] = "";
    size_t length = 0;
    for (size_t i = 0; i < cell->functions.count && length < sizeof(text); i++) {
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%s", i ? ", " : "",
                                   cell->functions.words[i]);
    }
    if (cell->functions.count) {
        diff_add_reason(cell, "%zu function%s (%s)", cell->functions.count,
                        cell->functions.count == 1 ? "" : "s", text);
    }
}

enum status diff_compare_content(struct diff *diff, struct diff_cell *cell, struct problem *problem)
{
    if (!cell->is_changed) {
        return OK;
    }
    if (!diff_is_pair(cell)) {
        diff_add_reason(cell, cell->new == MODEL_NOWHERE ? "is gone" : "is new");
    } else {
        compare_sections(diff, cell);
        say_functions(cell);
        compare_exports(diff, cell);
        compare_signatures(diff, cell);
        compare_types(cell, CELL_ABI_TYPE_SHARED);
        compare_notes(diff, cell);
        if (cell->parts == 0) {
            compare_types(cell, 0);
        }
        if (cell->parts == 0) {
            cell->parts = DIFF_UNWIND; /* nothing else is left that the hash covers */
        }
    }
    if (cell->functions.failed || cell->reasons.failed) {
        return problem_set(problem, PROBLEM_MEMORY, "no memory to compare %s", cell->name);
    }
    return OK;
}
