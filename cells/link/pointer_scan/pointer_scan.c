/* SPDX-License-Identifier: MIT */
/*
 * Almost no word of memory is an address of code or constants, so the loop compares with the lowest
 * and the highest target only; the rest is done for the few that lie between.
 */
#include "pointer_scan.h"
#include "heap.h"
#include "live_frames.h"
#include "page_table.h"
#include "sort.h"
#include "stack.h"

CELL(library, "1.0.0");

#define ENTRIES_AT_ONCE 4096u /* of the page tables, with their lock held */

static bool comes_before(const void *a, const void *b)
{
    return ((const struct pointer_target *)a)->inverted_start >
           ((const struct pointer_target *)b)->inverted_start;
}

void pointer_scan_begin(struct pointer_scan *scan, struct pointer_target *targets, uint32_t count,
                        pointer_filter_t is_ignored, void *context)
{
    *scan = (struct pointer_scan){
        .targets = targets,
        .count = count,
        .is_ignored = is_ignored,
        .context = context,
        .is_done = count == 0,
    };
    sort_array(targets, count, sizeof(targets[0]), comes_before);
    for (uint32_t i = 0; i < count; i++) {
        targets[i].hits = 0;
        targets[i].where = 0;
    }
    if (count) {
        scan->inverted_lowest = targets[0].inverted_start;
        scan->inverted_highest = targets[count - 1].inverted_end;
    }
}

struct pointer_target *pointer_scan_find(const struct pointer_scan *scan, uint64_t address)
{
    uint32_t low = 0;
    uint32_t high = scan->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        struct pointer_target *target = &scan->targets[middle];
        if (~address > target->inverted_start) { /* it lies below */
            high = middle;
        } else if (~address <= target->inverted_end) {
            low = middle + 1;
        } else {
            return target;
        }
    }
    return NULL;
}

void pointer_scan_hit(struct pointer_target *target, uint64_t where, uint64_t word)
{
    if (target->hits++ == 0) {
        target->where = where;
        target->inverted_word = ~word;
    }
}

/* A word between the lowest and the highest target. */
static NOINLINE void judge(struct pointer_scan *scan, uint64_t where, bool is_stack)
{
    uint64_t word = *(const volatile uint64_t *)(uintptr_t)where;
    struct pointer_target *target = pointer_scan_find(scan, word);
    struct stack_place place;
    if (!target || (!is_stack && stack_find(where, &place)) || heap_is_free(where) ||
        (scan->is_ignored && scan->is_ignored(target, where, scan->context))) {
        return;
    }
    pointer_scan_hit(target, where, word);
}

static void look(struct pointer_scan *scan, uint64_t low, uint64_t high, bool is_stack)
{
    uint64_t lowest = ~scan->inverted_lowest;
    uint64_t size = scan->inverted_lowest - scan->inverted_highest;
    for (uint64_t at = low; at < high; at += sizeof(uint64_t)) {
        uint64_t word = *(const volatile uint64_t *)(uintptr_t)at;
        if (UNLIKELY(word - lowest < size)) {
            judge(scan, at, is_stack);
        }
    }
}

static void look_at_page(vaddr_t page, uint64_t size, unsigned flags, void *context)
{
    struct pointer_scan *scan = context;
    if (flags & PAGE_WRITE) {
        scan->pages += size / PAGE_SIZE;
        look(scan, page, page + size, false);
    }
}

static void look_at_changed(vaddr_t page, uint64_t size, unsigned flags, void *context)
{
    struct pointer_scan *scan = context;
    (void)flags;
    scan->changed_pages += size / PAGE_SIZE;
    look(scan, page, page + size, false);
}

static void look_at_stack(uint64_t low, uint64_t high, void *context)
{
    struct pointer_scan *scan = context;
    scan->stack_bytes += high - low;
    look(scan, low & ~7ull, high, true);
}

/* Before anything is looked at: what is written later will be looked at again. */
static void watch(void)
{
    for (vaddr_t next = 0; (next = page_table_watch(next, ENTRIES_AT_ONCE));) {
    }
}

void pointer_scan_step(struct pointer_scan *scan, uint32_t most)
{
    if (!scan->is_done) {
        if (!scan->next) {
            watch();
        }
        scan->next = page_table_look(scan->next, most, look_at_page, scan);
        scan->is_done = scan->next == 0;
    }
}

bool pointer_scan_finish(struct pointer_scan *scan, const struct remote_stop *stop,
                         uint64_t own_stack)
{
    page_table_look_at_changed(look_at_changed, scan);
    return live_frames_stacks(stop, own_stack, look_at_stack, scan);
}
