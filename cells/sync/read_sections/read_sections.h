/* SPDX-License-Identifier: MIT */
/*
 * read_sections.h - readers that never wait, and writers that wait for them.
 *
 * Why: what is looked up in exceptions, on any CPU, cannot have a lock. A writer publishes the new by one
 * store; before it frees the old it must know that nobody looks at that any more.
 *
 * Rules: readers: any context; preemption is held, so a section is short. Sections nest. Writers: in tasks,
 * one at a time (the caller's lock), not inside of a section. A domain that is all zeros is ready.
 * A reader that ends inside of its section, by a fault, is counted for ever. So a writer waits for a
 * bounded time: who is told false does not free, ever.
 *
 * Why it is right: a reader counts itself (locked, so a full barrier) before it loads the pointer; a writer
 * stores the pointer before it looks at the counts (its locked additions are the barrier between). So
 * either the writer sees the reader, or the reader sees the new pointer. The counts are two, so that
 * a stream of new readers cannot keep the writer waiting; it waits for both, one after the other, for a
 * reader may count itself under the number of the phase before.
 */
#pragma once

#include "preemption.h"

struct read_section {
    uint64_t readers;
};

struct read_sections {
    struct read_section phases[2];
    uint64_t phase;
};

/* Of about a microsecond each; a reader may be a report on a serial line. */
#define READ_SECTIONS_TRIES 4000000u

/* What it returns is given to read_sections_leave(). */
static inline struct read_section *read_sections_enter(struct read_sections *domain)
{
    preemption_hold();
    struct read_section *section =
        &domain->phases[__atomic_load_n(&domain->phase, __ATOMIC_RELAXED) & 1];
    __atomic_fetch_add(&section->readers, 1, __ATOMIC_SEQ_CST);
    return section;
}

static inline void read_sections_leave(struct read_section *section)
{
    __atomic_fetch_sub(&section->readers, 1, __ATOMIC_RELEASE);
    preemption_release();
}

/* Waits until all who were in a section when it began have left. False: somebody does not. */
MUST_CHECK static inline bool read_sections_wait(struct read_sections *domain)
{
    for (unsigned i = 0; i < 2; i++) {
        uint64_t old = __atomic_fetch_add(&domain->phase, 1, __ATOMIC_SEQ_CST) & 1;
        unsigned tries = READ_SECTIONS_TRIES;
        while (__atomic_load_n(&domain->phases[old].readers, __ATOMIC_ACQUIRE) > 0) {
            if (--tries == 0) {
                return false;
            }
            cpu_relax();
        }
    }
    return true;
}
