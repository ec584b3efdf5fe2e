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
    const uint8_t *pristine; /* the section's bytes in the file: opcodes; NULL when it has none */
    uint64_t end32;          /* a field of 4 bytes starts below it */
    uint64_t end64;
    bool is_code;
    bool binds_to_functions; /* describes code: never binds to entries */
};

/*
 * They apply relocations from `rela` on, stop at the first one that is not their business, and
 * return it; they refuse nothing. Operands: for code. For anything else, run: ends where symbol or
 * kind change; plain: ends where a run begins.
 */
const struct elf64_rela *relocation_apply_operands(const struct relocation_batch *batch,
                                                   const struct elf64_rela *rela,
                                                   const struct elf64_rela *end,
                                                   const uint8_t *pristine, uint64_t end32);
const struct elf64_rela *relocation_apply_run(const struct relocation_scope *scope,
                                              const struct elf64_rela *rela);
const struct elf64_rela *relocation_apply_plain(const struct relocation_scope *scope,
                                                const struct elf64_rela *rela);

/* The entry that a reference to `target_offset` binds to instead of the place itself, or 0. */
uint64_t relocation_entry_for(const struct relocation_batch *batch, struct link_symbol *symbol,
                              int64_t target_offset);

/* Do relocations of this section bind to functions themselves, for they describe their bytes? */
bool relocation_describes_code(const struct elf_object *object, uint32_t section);

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
    function->is_via_entry = 1;
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
