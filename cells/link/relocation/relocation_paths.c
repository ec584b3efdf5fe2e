/* SPDX-License-Identifier: MIT */
/*
 * The two loops that nearly every relocation goes through; instructions are counted here.
 *
 * Operands: in code most relocations are calls and jumps, or name data. What they bind to does not
 * depend on where functions start, so nothing has to be looked up.
 *
 * Runs: tables that tools make (unwind data, sites to patch, jump tables) refer to one section
 * hundreds of times, in the order of its addresses. All that depends on the symbol is done once a
 * run. Where functions start is looked up once a *window*: the range of offsets behind one start and
 * before the next, in which a reference binds to the place itself. A run never leaves its target
 * section, so whether distances fit 32 bits is known before it starts, too.
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
void relocation_apply_operands(const struct relocation_scope *scope,
                               struct relocation_cursor *cursor)
{
    const struct relocation_batch *batch = scope->batch;
    const struct link_symbol *const symbols = batch->symbols;
    const uint32_t symbol_count = batch->object->symbol_count;
    const uint64_t last = scope->end32 > 0 ? scope->end32 - 1 : 0;
    const uint64_t address = batch->address;
    struct section *const source = batch->source;
    uint8_t *const bytes = batch->bytes;
    const struct elf64_rela *const end = scope->end;
    const struct elf64_rela *rela = cursor->rela;
    struct dependency *record = cursor->record;
    for (; rela != end; rela++, record++) {
        const uint64_t offset = rela->r_offset;
        const uint64_t before = offset - 1; /* the opcode's last byte; wraps at 0 */
        if (rela->r_sym >= symbol_count || before >= last) {
            break;
        }
        const struct link_symbol *symbol = &symbols[rela->r_sym];
        const uint64_t info = info_of(rela);
        uint64_t value = symbol->value + (uint64_t)rela->r_addend;
        uint64_t target_offset = symbol->offset + (uint64_t)rela->r_addend;
        if (LIKELY(is_relative32((uint32_t)info))) {
            const bool is_call_or_jump = (bytes[before] & 0xfe) == 0xe8;
            if (is_call_or_jump ? symbol->kind == LINK_SYMBOL_NOT_LOADED
                                : symbol->kind != LINK_SYMBOL_DATA) {
                break;
            }
            value -= address + offset;
            target_offset += RELOCATION_OPERAND_SIZE;
        } else if ((uint32_t)info != R_X86_64_32S || symbol->kind != LINK_SYMBOL_DATA) {
            break;
        }
        if (UNLIKELY(!sign_extends(value))) {
            break;
        }
        store32(bytes + offset, value);
        write_record(record, source, symbol->section, offset, target_offset, info);
    }
    *cursor = (struct relocation_cursor){rela, record};
}

/*
 * Offsets of the target from `first` on, `length` of them, that bind to the place itself. The
 * section's functions before `next` start before `first`, and `next` does not.
 */
struct window {
    uint64_t first;
    uint64_t length;
    struct function *next; /* NULL when functions do not matter */
};

/* Is there a function of this section at or before `offset`? */
static inline bool precedes(const struct function *function, const struct function *end,
                            uint32_t section, uint64_t offset)
{
    return function != end && function->section == section && function->offset <= offset;
}

/* The first function that starts behind `offset`, which is inside the section. */
NOINLINE static struct function *search_next(const struct relocation_batch *batch,
                                             const struct section *section, uint64_t offset)
{
    return relocation_find_function(batch->functions, batch->function_count, section->index,
                                    (uint32_t)offset + 1);
}

/*
 * Moves the window to where `offset`, inside the section, is: behind the last function that starts
 * there or before. Returns the function that starts at `offset`, or NULL.
 */
static inline struct function *move_window(const struct relocation_batch *batch,
                                           const struct section *section, uint64_t offset,
                                           struct window *window)
{
    struct function *const end = batch->functions + batch->function_count;
    const uint32_t index = section->index;
    struct function *next = window->next; /* tables are sorted: nearly always one further */
    if (precedes(next, end, index, offset)) {
        next++;
    }
    if (precedes(next, end, index, offset) || offset < window->first) {
        next = search_next(batch, section, offset);
    }
    struct function *start = next != batch->functions ? next - 1 : NULL;
    if (start && start->section != index) {
        start = NULL;
    }
    window->first = start ? start->offset + 1 : 0;
    window->length =
        (precedes(next, end, index, section->size) ? next->offset : section->size + 1) -
        window->first;
    window->next = next;
    return start && start->offset == offset ? start : NULL;
}

/*
 * Opens an empty window at the first reference of a run, at `offset`; false: the run has to go the
 * general way.
 */
static bool open_window(const struct relocation_scope *scope, const struct link_symbol *symbol,
                        uint64_t offset, struct window *out_window)
{
    const struct relocation_batch *batch = scope->batch;
    const struct section *section = symbol->section;
    if (!section || symbol->kind == LINK_SYMBOL_NOT_LOADED || offset > section->size) {
        return false;
    }
    if (symbol->kind == LINK_SYMBOL_DATA || scope->binds_to_functions) {
        *out_window = (struct window){.length = section->size + 1};
        return true;
    }
    *out_window = (struct window){
        .first = offset,
        .next = relocation_find_function(batch->functions, batch->function_count, section->index,
                                         (uint32_t)offset),
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

/* The loop; compiled once for each of the two kinds of field. */
static inline __attribute__((always_inline)) void apply_run(const struct relocation_scope *scope,
                                                            struct relocation_cursor *cursor,
                                                            const struct link_symbol *symbol,
                                                            struct window window, bool is_relative)
{
    const struct relocation_batch *batch = scope->batch;
    const uint64_t place = is_relative ? batch->address : 0;
    const uint64_t symbol_offset = symbol->offset;
    const uint64_t symbol_value = symbol->value - place;
    const uint64_t field_end = is_relative ? scope->end32 : scope->end64;
    struct section *const source = batch->source;
    struct section *const target = symbol->section;
    uint8_t *const bytes = batch->bytes;
    const struct elf64_rela *const end = scope->end;
    const struct elf64_rela *rela = cursor->rela;
    struct dependency *record = cursor->record;
    const uint64_t run = info_of(rela);
    uint64_t into_window = symbol_offset - window.first; /* plus the addend */
    for (; rela != end && info_of(rela) == run; rela++, record++) {
        const uint64_t offset = rela->r_offset;
        const uint64_t addend = (uint64_t)rela->r_addend;
        uint64_t value = symbol_value + addend;
        uint64_t info = run;
        if (offset >= field_end) {
            break;
        }
        if (UNLIKELY(into_window + addend >= window.length)) {
            if (!window.next || symbol_offset + addend > target->size) {
                break;
            }
            struct function *function = move_window(batch, target, symbol_offset + addend, &window);
            into_window = symbol_offset - window.first;
            if (function) {
                value = entry_of(batch, function) - place;
                info |= INFO_VIA_ENTRY;
                if (is_relative && !sign_extends(value - offset)) {
                    break;
                }
            }
        }
        if (is_relative) {
            store32(bytes + offset, value - offset);
        } else {
            store64(bytes + offset, value);
        }
        write_record(record, source, target, offset, symbol_offset + addend, info);
    }
    *cursor = (struct relocation_cursor){rela, record};
}

void relocation_apply_run(const struct relocation_scope *scope, struct relocation_cursor *cursor)
{
    const struct relocation_batch *batch = scope->batch;
    const struct elf64_rela *rela = cursor->rela;
    if (rela->r_sym >= batch->object->symbol_count) {
        return;
    }
    const struct link_symbol *symbol = &batch->symbols[rela->r_sym];
    struct window window;
    if (!open_window(scope, symbol, symbol->offset + (uint64_t)rela->r_addend, &window)) {
        return;
    }
    if (rela->r_type == R_X86_64_64) {
        apply_run(scope, cursor, symbol, window, false);
    } else if (is_relative32(rela->r_type) && is_near(batch, symbol)) {
        apply_run(scope, cursor, symbol, window, true);
    }
}
