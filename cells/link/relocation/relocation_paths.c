/* SPDX-License-Identifier: MIT */
/*
 * The loops that nearly every relocation goes through; instructions are counted here.
 *
 * Operands: in code most relocations are calls and jumps, or name data. What they bind to does not
 * depend on where functions start, so nothing has to be looked up; an address that is taken, as a
 * number, is the only other kind that stays in the loop.
 *
 * Plain: in data, references that stand alone: pointers, and unwind data of functions that each have
 * a section of their own.
 *
 * Runs: tables that tools make (unwind data, sites to patch, jump tables) refer to one section
 * hundreds of times, in the order of its addresses. All that depends on the symbol is done once a
 * run. Where functions start is looked up once a *window*: the range of offsets behind one start
 * and before the next, in which a reference binds to the place itself. A run never leaves its
 * target section, so whether distances fit 32 bits is known before it starts, too.
 */
#include "relocation_priv.h"

static bool is_relative32(uint32_t type)
{
    static_assert(R_X86_64_PC32 == 2 && R_X86_64_PLT32 == 4, "the two differ in one bit from here");
    return ((type - 2) & ~2u) == 0;
}

/*
 * What the loops read is copied to locals first: the compiler cannot know that the stores leave the
 * scope and the batch alone.
 */
const struct elf64_rela *relocation_apply_operands(const struct relocation_batch *batch,
                                                   const struct elf64_rela *rela,
                                                   const struct elf64_rela *const end,
                                                   const uint8_t *const pristine, uint64_t end32)
{
    struct link_symbol *const symbols = batch->symbols;
    const uint32_t symbol_count = batch->object->symbol_count;
    const uint64_t last = end32 > 0 ? end32 - 1 : 0;
    const uint64_t address = batch->address;
    uint8_t *const bytes = batch->bytes;
    for (; rela != end; rela++) {
        const uint64_t offset = rela->r_offset;
        const uint64_t before = offset - 1; /* the opcode's last byte; wraps at 0 */
        if (rela->r_sym >= symbol_count || before >= last) {
            break;
        }
        struct link_symbol *symbol = &symbols[rela->r_sym];
        uint64_t value = symbol->value + (uint64_t)rela->r_addend;
        if (LIKELY(is_relative32(rela->r_type))) {
            if (symbol->kind != LINK_SYMBOL_DATA &&
                (symbol->kind == LINK_SYMBOL_NOT_LOADED || (pristine[before] & 0xfe) != 0xe8)) {
                break; /* not a call or jump */
            }
            value -= address + offset;
        } else if (rela->r_type != R_X86_64_32S || symbol->kind == LINK_SYMBOL_NOT_LOADED) {
            break;
        } else if (symbol->kind == LINK_SYMBOL_CODE) { /* takes an address */
            const uint64_t entry = relocation_entry_for(
                batch, symbol, (int64_t)(symbol->offset + (uint64_t)rela->r_addend));
            value = entry ? entry : value;
        }
        if (UNLIKELY(!sign_extends(value))) {
            break;
        }
        store32(bytes + offset, value);
    }
    return rela;
}

const struct elf64_rela *relocation_apply_plain(const struct relocation_scope *scope,
                                                const struct elf64_rela *rela)
{
    const struct relocation_batch *batch = scope->batch;
    struct link_symbol *const symbols = batch->symbols;
    const uint32_t symbol_count = batch->object->symbol_count;
    const uint64_t address = batch->address;
    const uint32_t may_bind = scope->binds_to_functions ? UINT32_MAX : LINK_SYMBOL_CODE;
    uint8_t *const bytes = batch->bytes;
    const struct elf64_rela *const end = scope->end;
    for (; rela != end && !is_run(scope, rela); rela++) {
        const uint64_t offset = rela->r_offset;
        const uint64_t addend = (uint64_t)rela->r_addend;
        const bool is_relative = is_relative32(rela->r_type);
        if (rela->r_sym >= symbol_count || (!is_relative && rela->r_type != R_X86_64_64) ||
            offset >= (is_relative ? scope->end32 : scope->end64)) {
            break;
        }
        struct link_symbol *symbol = &symbols[rela->r_sym];
        uint64_t value = symbol->value + addend;
        if (symbol->kind == LINK_SYMBOL_NOT_LOADED) {
            break;
        }
        if (symbol->kind == may_bind) {
            const uint64_t entry =
                relocation_entry_for(batch, symbol, (int64_t)(symbol->offset + addend));
            value = entry ? entry : value;
        }
        value -= is_relative ? address + offset : 0;
        if (!is_relative) {
            store64(bytes + offset, value);
        } else if (LIKELY(sign_extends(value))) {
            store32(bytes + offset, value);
        } else {
            break;
        }
    }
    return rela;
}

/*
 * Offsets of the target from `first` on, `length` of them, that bind to the place itself. Of the
 * target's functions, from `begin` to `end`, those before `next` start before `first`.
 */
struct window {
    uint64_t first;
    uint64_t length;
    struct function *next;
    struct function *begin;
    struct function *end;
};

NOINLINE static struct function *search_next(const struct window *window, uint64_t offset)
{
    return relocation_find_function(window->begin, (uint32_t)(window->end - window->begin),
                                    window->begin->section, (uint32_t)offset + 1);
}

/*
 * Moves the window to where `offset` is, inside the target of `size` bytes: behind the last
 * function that starts there or before. Returns the function that starts at `offset`, or NULL.
 */
static inline struct function *move_window(struct window *window, uint64_t offset, uint64_t size)
{
    struct function *next = window->next; /* tables are sorted: nearly always one further */
    if (next != window->end && next->offset <= offset) {
        next++;
        if (LIKELY(next[-1].offset == offset)) {
            window->first = offset + 1;
            window->length = (next != window->end ? next->offset : size + 1) - window->first;
            window->next = next;
            return next - 1;
        }
    }
    if ((next != window->end && next->offset <= offset) || offset < window->first) {
        next = search_next(window, offset);
    }
    window->first = next != window->begin ? next[-1].offset + 1 : 0;
    window->length = (next != window->end ? next->offset : size + 1) - window->first;
    window->next = next;
    return window->first == offset + 1 ? next - 1 : NULL;
}

/*
 * Opens the window of a run, empty where functions matter; false: the run has to go the general
 * way.
 */
static bool open_window(const struct relocation_scope *scope, const struct link_symbol *symbol,
                        struct window *out_window)
{
    const struct relocation_batch *batch = scope->batch;
    const struct section *section = symbol->section;
    if (!section || symbol->kind == LINK_SYMBOL_NOT_LOADED) {
        return false;
    }
    if (symbol->kind == LINK_SYMBOL_DATA || scope->binds_to_functions) {
        *out_window = (struct window){.length = section->size + 1};
        return true;
    }
    struct function *const end = batch->functions + batch->function_count;
    struct function *begin =
        relocation_find_function(batch->functions, batch->function_count, section->index, 0);
    *out_window = (struct window){
        .next = begin,
        .begin = begin,
        .end = relocation_find_function(begin, (uint32_t)(end - begin), section->index + 1, 0),
    };
    return is_own(batch, section) && !symbol->entry;
}

/* Do all distances from the relocated section to that of the symbol fit 32 signed bits? */
static bool is_near(const struct relocation_batch *batch, const struct link_symbol *symbol)
{
    uint64_t distance = symbol->value - symbol->offset - batch->address; /* from start to start */
    return sign_extends(distance + symbol->section->size) &&
           sign_extends(distance - batch->object->sections[batch->section].sh_size);
}

static inline void store_field(uint8_t *bytes, uint64_t offset, uint64_t value, bool is_relative)
{
    if (is_relative) {
        store32(bytes + offset, value - offset);
    } else {
        store64(bytes + offset, value);
    }
}

/* What a run has in common; `into_window` plus an addend is how far into the window that lies. */
struct run {
    uint64_t info;
    uint64_t symbol_value; /* less the address of the relocated section, for a distance */
    uint64_t field_end;
    uint64_t into_window;
    uint64_t length;
    uint8_t *bytes;
    const struct elf64_rela *end;
};

/* From `rela` to the first that is not of the run, does not fit, or leaves the window. */
static inline __attribute__((always_inline)) const struct elf64_rela *apply_inside(
    struct run run, const struct elf64_rela *rela, bool is_relative)
{
    for (; rela != run.end && info_of(rela) == run.info; rela++) {
        const uint64_t offset = rela->r_offset;
        const uint64_t addend = (uint64_t)rela->r_addend;
        if (offset >= run.field_end || run.into_window + addend >= run.length) {
            break;
        }
        store_field(run.bytes, offset, run.symbol_value + addend, is_relative);
    }
    return rela;
}

/* Compiled once for each of the two kinds of field. */
static inline __attribute__((always_inline)) const struct elf64_rela *apply_run(
    const struct relocation_scope *scope, const struct elf64_rela *rela,
    const struct link_symbol *symbol, struct window window, bool is_relative)
{
    const struct relocation_batch *batch = scope->batch;
    const uint64_t place = is_relative ? batch->address : 0;
    const uint64_t target_size = symbol->section->size;
    struct run run = {
        .info = info_of(rela),
        .symbol_value = symbol->value - place,
        .field_end = is_relative ? scope->end32 : scope->end64,
        .into_window = symbol->offset - window.first,
        .length = window.length,
        .bytes = batch->bytes,
        .end = scope->end,
    };
    for (;; rela++) {
        rela = apply_inside(run, rela, is_relative);
        if (rela == run.end || info_of(rela) != run.info || rela->r_offset >= run.field_end) {
            break;
        }
        const uint64_t offset = rela->r_offset;
        const uint64_t target_offset = symbol->offset + (uint64_t)rela->r_addend;
        if (target_offset > target_size) { /* as always where functions do not matter */
            break;
        }
        struct function *function = move_window(&window, target_offset, target_size);
        run.into_window = symbol->offset - window.first;
        run.length = window.length;
        uint64_t value = run.symbol_value + (uint64_t)rela->r_addend;
        if (function) {
            value = entry_of(batch, function) - place;
            if (is_relative && !sign_extends(value - offset)) {
                break;
            }
        }
        store_field(run.bytes, offset, value, is_relative);
    }
    return rela;
}

const struct elf64_rela *relocation_apply_run(const struct relocation_scope *scope,
                                              const struct elf64_rela *rela)
{
    const struct relocation_batch *batch = scope->batch;
    if (rela->r_sym >= batch->object->symbol_count) {
        return rela;
    }
    const struct link_symbol *symbol = &batch->symbols[rela->r_sym];
    struct window window;
    if (!open_window(scope, symbol, &window)) {
        return rela;
    }
    if (rela->r_type == R_X86_64_64) {
        return apply_run(scope, rela, symbol, window, false);
    }
    return is_relative32(rela->r_type) && is_near(batch, symbol)
               ? apply_run(scope, rela, symbol, window, true)
               : rela;
}
