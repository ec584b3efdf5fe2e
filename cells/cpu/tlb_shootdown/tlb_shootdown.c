/* SPDX-License-Identifier: MIT */
#include "tlb_shootdown.h"
#include "logger.h"
#include "page_table.h"
#include "remote_call.h"
#include "x86.h"

CELL(library, "1.0.0");

struct run {
    vaddr_t page;
    uint64_t count;
};

static struct tlb_shootdown_statistics statistics;

/* On each of the other CPUs. */
static void forget(void *argument)
{
    const struct run *run = argument;
    if (run->count > TLB_SHOOTDOWN_PAGES) {
        write_cr3(read_cr3());
        return;
    }
    for (uint64_t i = 0; i < run->count; i++) {
        invlpg(run->page + (i << PAGE_SHIFT));
    }
}

static void shoot(vaddr_t page, uint64_t count)
{
    struct run run = {.page = page, .count = count};
    __atomic_fetch_add(&statistics.calls, 1, __ATOMIC_RELAXED);
    if (count > TLB_SHOOTDOWN_PAGES) {
        __atomic_fetch_add(&statistics.whole, 1, __ATOMIC_RELAXED);
    }
    if (remote_call_others(forget, &run) != OK) {
        log_error("a CPU does not forget %lu pages at %#lx; the system cannot go on",
                  (unsigned long)count, (unsigned long)page);
        PANIC("a CPU does not answer");
    }
}

void tlb_shootdown_init(void)
{
    page_table_set_shootdown(shoot);
}

struct tlb_shootdown_statistics tlb_shootdown_statistics(void)
{
    return (struct tlb_shootdown_statistics){
        .calls = __atomic_load_n(&statistics.calls, __ATOMIC_RELAXED),
        .whole = __atomic_load_n(&statistics.whole, __ATOMIC_RELAXED),
    };
}
