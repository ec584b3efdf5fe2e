/* SPDX-License-Identifier: MIT */
/*
 * The note is an array of struct cell_transfer_note. A note stands anywhere in the file, so a
 * record is copied before it is looked at, and only its strings are handed out where they are.
 */
#include "cell_transfer.h"
#include "diag.h"

CELL(library, "1.0.0");

#define RECORD_SIZE sizeof(struct cell_transfer_note)

static struct span find_note(const struct elf_object *object)
{
    uint32_t section = elf_object_find_section(object, CELL_TRANSFER_SECTION);
    return section ? elf_object_section_bytes(object, section) : span_of(NULL, 0);
}

static enum status refuse(struct diag *diag, uint32_t index, const char *name)
{
    return diag_set(diag, DIAG_CELL_TRANSFER,
                    &(struct diag_site){.section = CELL_TRANSFER_SECTION,
                                        .symbol = name,
                                        .offset = (uint64_t)index * RECORD_SIZE});
}

static bool is_string(const char field[CELL_TRANSFER_NAME])
{
    return __builtin_memchr(field, 0, CELL_TRANSFER_NAME) != NULL;
}

uint32_t cell_transfer_count(const struct elf_object *object)
{
    return (uint32_t)((find_note(object).size + RECORD_SIZE - 1) / RECORD_SIZE);
}

uint32_t cell_transfer_find_symbol(const struct elf_object *object, const char *name, unsigned type)
{
    uint32_t found = 0;
    for (uint32_t i = 1; i < object->symbol_count; i++) {
        const struct elf64_sym *symbol = &object->symbols[i];
        if (elf_symbol_type(symbol) != type || symbol->st_shndx == SHN_UNDEF ||
            symbol->st_shndx >= object->section_count ||
            !elf_object_section_is_loaded(object, symbol->st_shndx) ||
            __builtin_strcmp(elf_object_symbol_name(object, i), name) != 0) {
            continue;
        }
        if (found) {
            return 0;
        }
        found = i;
    }
    return found;
}

enum status cell_transfer_read(const struct elf_object *object, uint32_t index,
                               struct cell_transfer *out_transfer, struct diag *diag)
{
    const char *at = span_at(find_note(object), (uint64_t)index * RECORD_SIZE, RECORD_SIZE);
    struct cell_transfer_note note;
    if (!at) {
        return refuse(diag, index, NULL);
    }
    __builtin_memcpy(&note, at, sizeof(note));
    bool is_fresh = note.kind == CELL_TRANSFER_FRESH;
    if (note.format != CELL_TRANSFER_FORMAT || (!is_fresh && note.kind != CELL_TRANSFER_CHANGED) ||
        !is_string(note.old) || !is_string(note.new) || !is_string(note.function) ||
        is_fresh != (note.old[0] == '\0') || is_fresh != (note.function[0] == '\0')) {
        return refuse(diag, index, NULL);
    }
    struct cell_transfer transfer = {
        .kind = note.kind,
        .old = at + offsetof(struct cell_transfer_note, old),
        .new = at + offsetof(struct cell_transfer_note, new),
        .function = at + offsetof(struct cell_transfer_note, function),
    };
    transfer.new_symbol = cell_transfer_find_symbol(object, transfer.new, STT_OBJECT);
    if (!transfer.new_symbol || object->symbols[transfer.new_symbol].st_size != note.new_bytes) {
        return refuse(diag, index, transfer.new);
    }
    if (!is_fresh) {
        transfer.function_symbol = cell_transfer_find_symbol(object, transfer.function, STT_FUNC);
        if (!transfer.function_symbol) {
            return refuse(diag, index, transfer.function);
        }
    }
    *out_transfer = transfer;
    return OK;
}
