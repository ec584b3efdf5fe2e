/* SPDX-License-Identifier: MIT */
/*
 * read_sections.h - readers that never wait, and writers that wait for them.
 *
 * Why: what is looked up in exceptions, on any CPU, cannot have a lock. A writer publishes the new by one
 * store; before it frees the old it must know that nobody looks at that any more.
 *
 * A section is a hold of preemption (preemption.h) that is counted in the upper half of the CPU's word
 * of holds, too. Nothing else says that there is one. So whoever ends what a fault has cut off, by
 * setting that word to what it was at the catch point, ends the sections with it: a reader that
 * faults, at whichever instruction, leaves nothing that a writer would wait for.
 *
 * Rules: readers: any context, NMI included; a section is short, and what it calls waits for nobody
 * who may wait for readers. Sections nest, and so do catch points within them. Writers: in tasks, as many
 * as there are, not inside of a section; what they hold nobody needs who is in one. All sections are
 * of one kind, whatever is read in them.
 *
 * Why it is right: a reader counts itself on its CPU, by a locked instruction, so a full barrier, before
 * it loads the pointer; a writer stores the pointer, then has a full barrier, and then looks at
 * the word of each CPU. So either the writer sees the section, or the reader sees the new pointer; a
 * writer that sees no section has seen the end of all that began before. A CPU that comes later is in the
 * table of CPUs, by a full barrier, before its first section. On the writer's own CPU is no
 * section: it is a task, which a section keeps from running there, and handlers have returned.
 * While all CPUs stand still words do not change, so nobody waits there.
 *
 * A CPU that goes from section to section is seen between two of them, sooner or later: who waits looks
 * at one word only until then, and readers do something else, too. The wait is bounded all the same, for
 * a reader may be a report that does not end: who is told false does not free, ever.
 */
#pragma once

#include "preemption.h"

/* Of about a microsecond each; a reader may be a report on a serial line. */
#define READ_SECTIONS_TRIES 4000000u

/* One instruction; leaving is two. */
static inline void read_sections_enter(void)
{
    preemption_hold_section();
}

static inline void read_sections_leave(void)
{
    preemption_release_section();
}

/* Waits until all who were in a section when it began have left. False: somebody does not. */
MUST_CHECK static inline bool read_sections_wait(void)
{
    unsigned tries = READ_SECTIONS_TRIES;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    uint32_t count = __atomic_load_n(&cpu_local_all.count, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < count; i++) {
        while (UNLIKELY(cpu_local_hold_of(i) & HOLD_SECTIONS)) {
            if (--tries == 0) {
                return false;
            }
            cpu_relax();
        }
    }
    return true;
}
