/* SPDX-License-Identifier: MIT */
/*
 * tlb_shootdown.h - makes all CPUs forget translations that are not valid any more.
 *
 * Why: each CPU keeps translations in a TLB of its own. A frame that is taken away from one page
 * must not be reached through it by any CPU when it is given to another one.
 *
 * Rules: page_table.h calls this with each run of pages, after this CPU has forgotten it; it comes
 * back when all CPUs that take part in remote calls have. Any context in which those may be made:
 * so page tables are not changed while an irq_spinlock is held that others wait for. A CPU that
 * does not answer within REMOTE_CALL_LIMIT_NS may use memory that is no longer its own: there is no
 * safe way to go on, so the system ends, by a message and an exception.
 */
#pragma once

#include "memory.h"

/* Forgetting more pages than that one by one costs more than filling the TLB again. */
#define TLB_SHOOTDOWN_PAGES 32u

/* Registers with page_table; before there is a second CPU it only costs time. */
CELL_API void tlb_shootdown_init(void);

struct tlb_shootdown_statistics {
    uint64_t calls; /* since tlb_shootdown_init() */
    uint64_t whole; /* of these, forgot all */
};

CELL_API struct tlb_shootdown_statistics tlb_shootdown_statistics(void);
