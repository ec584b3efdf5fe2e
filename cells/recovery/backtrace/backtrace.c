/* SPDX-License-Identifier: MIT */
/*
 * Entries (docs/cell-format.md) belong to no cell. They are one jump, so whoever is interrupted
 * there has the return address at [rsp].
 */
#include "backtrace.h"
#include "address_map.h"
#include "cell_unwind.h"
#include "console.h"
#include "cpu_local.h"
#include "entry_pool.h"
#include "nano_core_image.h"
#include "stack.h"

CELL(library, "1.0.0");

static struct unwind_cache caches[CPU_LIMIT];

static bool is_entry(uint64_t address)
{
    return (address >= nano_core_image.entries_start && address < nano_core_image.entries_end) ||
           entry_pool_holds(address);
}

static enum unwind_found find_code(void *context, uint64_t pc, struct unwind_code *out)
{
    (void)context;
    const struct section *section = address_map_find(pc);
    if (!section) {
        return is_entry(pc) ? UNWIND_FOUND_LEAF : UNWIND_FOUND_NOTHING;
    }
    const struct cell *cell = section->cell;
    const struct cell_unwind index = {cell->unwind_rows, cell->unwind_row_count,
                                      cell->unwind_table};
    const struct cell_unwind_row *row =
        cell_unwind_find(&index, section->index, (uint32_t)(pc - section->address));
    if (!row) {
        return UNWIND_FOUND_NOTHING;
    }
    const struct section *table = &cell->sections[cell->unwind_table];
    *out = (struct unwind_code){
        .table = {.bytes = span_of((const void *)table->address, table->size),
                  .address = table->address},
        .fde = row->fde,
    };
    return UNWIND_FOUND_ENTRY;
}

static bool find_stack(void *context, uint64_t address, uint64_t *out_low, uint64_t *out_high)
{
    (void)context;
    struct stack_place place;
    if (!stack_find(address, &place) || place.part != STACK_INSIDE) {
        return false;
    }
    *out_low = place.bottom;
    *out_high = place.top;
    return true;
}

static struct unwind_cache *own_cache(void)
{
    return &caches[CPU_LOCAL(index) % CPU_LIMIT];
}

void backtrace_begin(struct backtrace *backtrace, const uint64_t registers[CFI_REGISTER_COUNT],
                     bool is_exact)
{
    backtrace->source = (struct unwind_source){
        .find_code = find_code,
        .find_stack = find_stack,
        .generation = address_map_generation(),
    };
    unwind_begin(&backtrace->cursor, &backtrace->source, own_cache(), registers, is_exact);
}

static void print_frame(const struct unwind_cursor *cursor, const char *mark)
{
    uint64_t rip = cursor->registers[CFI_RIP];
    const struct section *section = address_map_find(unwind_pc(cursor));
    if (section) {
        console_print("  %s %016llx  %s:%s+%#llx\n", mark, (unsigned long long)rip,
                      section->cell->name, section->name,
                      (unsigned long long)(rip - section->address));
    } else {
        console_print("  %s %016llx  %s\n", mark, (unsigned long long)rip,
                      is_entry(unwind_pc(cursor)) ? "entry of a function" : "no cell");
    }
}

/* A line for each frame; frames of a recursion, which return to the same place, share two. */
static void print_frames(struct unwind_cursor *cursor, unsigned most)
{
    unsigned repeated = 0;
    for (unsigned lines = 0; lines < most; lines++) {
        uint64_t last = cursor->registers[CFI_RIP];
        enum unwind_outcome outcome = unwind_step(cursor);
        if (outcome == UNWIND_CALLER && cursor->registers[CFI_RIP] == last) {
            repeated++;
            lines--;
            continue;
        }
        if (repeated > 0) {
            console_print("  by  .. %u more of these\n", repeated);
            repeated = 0;
            lines++;
        }
        switch (outcome) {
        case UNWIND_CALLER:
            print_frame(cursor, cursor->is_exact ? "int" : "by ");
            break;
        case UNWIND_GUESSED:
            print_frame(cursor, "by?");
            break;
        case UNWIND_END:
            return;
        case UNWIND_UNRELIABLE:
            console_print("  by  ?  %s\n", unwind_reason_text(cursor->reason));
            return;
        }
    }
    console_print("  by  ..\n");
}

void backtrace_print(const uint64_t registers[CFI_REGISTER_COUNT], bool is_exact, unsigned most)
{
    struct backtrace backtrace;
    address_map_enter(); /* what frames belong to stays meanwhile */
    backtrace_begin(&backtrace, registers, is_exact);
    print_frames(&backtrace.cursor, most);
    address_map_leave();
}

void backtrace_counts(uint64_t *out_hits, uint64_t *out_misses)
{
    const struct unwind_cache *cache = own_cache();
    *out_hits = cache->hits;
    *out_misses = cache->misses;
}
