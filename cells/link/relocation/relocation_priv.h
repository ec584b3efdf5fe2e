/* SPDX-License-Identifier: MIT */
/*
 * relocation_priv.h - what the general and the fast ways of applying relocations share.
 *
 * Why: relocation.c has the general way and the checks, relocation_paths.c the fast ones.
 */
#pragma once

#include "relocation.h"

/* What does not change within one section. */
struct relocation_scope {
    const struct relocation_batch *batch;
    const struct elf64_rela *end;
    uint64_t end32; /* a field of 4 bytes starts below it */
    uint64_t end64;
    bool is_code;
    bool binds_to_functions; /* describes code: never binds to entries */
};

/* The next relocation, and where its record goes; NULL when nobody wants records. */
struct relocation_cursor {
    const struct elf64_rela *rela;
    struct dependency *record;
};

/*
 * They move the cursor behind the relocations that they have applied, and stop at the first one that
 * is not their business; they refuse nothing, and always write records. Operands: for code. For
 * anything else, run: ends where symbol or kind change; plain: ends where a run begins.
 */
void relocation_apply_operands(const struct relocation_scope *scope,
                               struct relocation_cursor *cursor);
void relocation_apply_run(const struct relocation_scope *scope, struct relocation_cursor *cursor);
void relocation_apply_plain(const struct relocation_scope *scope, struct relocation_cursor *cursor);

/* The entry that a reference to `target_offset` binds to instead of the place itself, or 0. */
uint64_t relocation_entry_for(const struct relocation_batch *batch,
                              const struct link_symbol *symbol, int64_t target_offset);

#define INFO_VIA_ENTRY (1ull << 16) /* in the unused half of the type; see struct dependency */

static inline uint64_t info_of(const struct elf64_rela *rela)
{
    uint64_t info;
    __builtin_memcpy(&info, (const char *)rela + offsetof(struct elf64_rela, r_type), sizeof(info));
    return info;
}

/* Do this relocation and the next one refer to the same symbol in the same way? */
static inline bool is_run(const struct relocation_scope *scope, const struct elf64_rela *rela)
{
    return rela + 1 != scope->end && info_of(rela) == info_of(rela + 1);
}

static inline void write_record(struct dependency *record, struct section *source,
                                struct section *target, uint64_t offset, uint64_t target_offset,
                                uint64_t info)
{
    record->source = source;
    record->target = target;
    record->offset = (uint32_t)offset;
    record->target_offset = (int32_t)target_offset;
    __builtin_memcpy((char *)record + offsetof(struct dependency, type), &info, sizeof(info));
}

static inline bool is_own(const struct relocation_batch *batch, const struct section *section)
{
    return section >= batch->sections && section < batch->sections + batch->object->section_count;
}

/* A function that has no entry yet gets the next slot: its address is taken for the first time. */
static inline uint64_t entry_of(const struct relocation_batch *batch, struct function *function)
{
    if (!function->entry) {
        if (function->slot == FUNCTION_NO_SLOT) {
            function->slot = (*batch->entry_count)++;
        }
        function->entry = batch->entries + (uint64_t)function->slot * ENTRY_SIZE;
    }
    return function->entry;
}

/* Fields need no alignment. */
static inline void store32(uint8_t *at, uint64_t value)
{
    uint32_t field = (uint32_t)value;
    __builtin_memcpy(at, &field, sizeof(field));
}

static inline void store64(uint8_t *at, uint64_t value)
{
    __builtin_memcpy(at, &value, sizeof(value));
}

static inline bool sign_extends(uint64_t value)
{
    return (int64_t)value == (int32_t)value;
}
