/* SPDX-License-Identifier: MIT */
/*
 * preemption.h - scopes in which the running task stays on its CPU, or interrupts stay out.
 *
 * Why: code that uses what belongs to this CPU, or that others must not wait for long, must not be
 * taken off in the middle. Each CPU counts in one word who wants that; the word also says whether
 * another task should run. It is 0 exactly when a switch is wanted and nobody objects, so that the
 * end of a hold costs one instruction and a branch.
 *
 * Rules: any context. Holds nest. Who holds does not wait (parking.h) and is short. A switch that
 * is wanted meanwhile happens when the last hold ends. The guards are owned slots: a fault releases
 * them. Around the few instructions in which a guard is taken or given up, count and slot may
 * differ by one: who catches a fault restores the count of the catch point (preemption_count,
 * preemption_restore) after the slots above it are released. Read sections (read_sections.h) are
 * counted in the same word, and are no slots: so those that the fault has cut off are ended before
 * (preemption_end_sections), for a drop may wait for all readers.
 *
 *      GUARD(preemption, held, PREEMPTION);          to the end of the block
 *      GUARD(interrupt_mask, masked, INTERRUPTS);    no interrupt to the end of the block
 */
#pragma once

#include "cpu_local.h"
#include "x86.h"

struct OWN_LOCK("preemption") preemption;
OWN_DECLARE_HOLDING_LOCK(preemption);
struct OWN_LOCK("interrupts") interrupt_mask;
OWN_DECLARE_HOLDING_LOCK(interrupt_mask);

/* What the guards hold: there is nothing behind these addresses. */
#define PREEMPTION ((struct preemption *)1)
#define INTERRUPTS ((struct interrupt_mask *)1)

/* The way out of preemption_release() when a switch is wanted. */
CELL_API void preemption_switch(void);

#if __STDC_HOSTED__
/* Other threads read the word (cpu_local_hold_of()). */
static inline uint32_t host_add_to_hold(uint32_t sum)
{
    sum += __atomic_load_n(&CPU_LOCAL(hold), __ATOMIC_RELAXED);
    __atomic_store_n(&CPU_LOCAL(hold), sum, __ATOMIC_RELEASE);
    return sum;
}

static inline void preemption_hold(void)
{
    host_hold_point();
    (void)host_add_to_hold(1);
}

static inline bool preemption_release_quietly(void)
{
    return host_add_to_hold(-1u) == 0;
}

static inline void preemption_release(void)
{
    if (preemption_release_quietly()) {
        preemption_switch();
    }
    host_hold_point();
}

/* A hold that is a read section, too; a full barrier. */
static inline void preemption_hold_section(void)
{
    host_hold_point();
    cpu_local_begin_thread();
    (void)__atomic_fetch_add(&CPU_LOCAL(hold), HOLD_SECTION + 1, __ATOMIC_SEQ_CST);
}

static inline void preemption_release_section(void)
{
    if (host_add_to_hold(-(HOLD_SECTION + 1)) == 0) {
        preemption_switch();
    }
    host_hold_point();
}

/* Ends as many holds and sections as `surplus` says. */
static inline void preemption_subtract(uint32_t surplus)
{
    (void)host_add_to_hold(-surplus);
}

/* Asks for a switch on this CPU, as soon as nobody holds preemption. */
static inline void preemption_request(void)
{
    CPU_LOCAL(hold) &= ~HOLD_UNWANTED;
}

/* The switch has happened. */
static inline void preemption_clear_request(void)
{
    CPU_LOCAL(hold) |= HOLD_UNWANTED;
}
#else
/* One instruction each: an interrupt or a move to another CPU comes before or after. */
static inline void preemption_hold(void)
{
    __asm__ volatile("incl %%gs:%c0" : : "i"(CPU_LOCAL_HOLD) : "memory", "cc");
}

/* Ends a hold; true: the caller calls preemption_switch(), as soon as it has nothing to keep. */
static inline bool preemption_release_quietly(void)
{
    bool wanted;
    __asm__ volatile("decl %%gs:%c1" : "=@ccz"(wanted) : "i"(CPU_LOCAL_HOLD) : "memory");
    return wanted;
}

static inline void preemption_release(void)
{
    if (UNLIKELY(preemption_release_quietly())) {
        preemption_switch();
    }
}

/* A hold that is a read section, too; a full barrier. */
static inline void preemption_hold_section(void)
{
    __asm__ volatile("lock addl %1, %%gs:%c0"
                     :
                     : "i"(CPU_LOCAL_HOLD), "i"(HOLD_SECTION + 1)
                     : "memory", "cc");
}

static inline void preemption_release_section(void)
{
    bool wanted;
    __asm__ volatile("subl %2, %%gs:%c1"
                     : "=@ccz"(wanted)
                     : "i"(CPU_LOCAL_HOLD), "i"(HOLD_SECTION + 1)
                     : "memory");
    if (UNLIKELY(wanted)) {
        preemption_switch();
    }
}

/* Ends as many holds and sections as `surplus` says. */
static inline void preemption_subtract(uint32_t surplus)
{
    __asm__ volatile("subl %1, %%gs:%c0" : : "i"(CPU_LOCAL_HOLD), "r"(surplus) : "memory", "cc");
}

/* Asks for a switch on this CPU, as soon as nobody holds preemption. */
static inline void preemption_request(void)
{
    __asm__ volatile("andl %1, %%gs:%c0"
                     :
                     : "i"(CPU_LOCAL_HOLD), "i"(~HOLD_UNWANTED)
                     : "memory", "cc");
}

/* The switch has happened. */
static inline void preemption_clear_request(void)
{
    __asm__ volatile("orl %1, %%gs:%c0"
                     :
                     : "i"(CPU_LOCAL_HOLD), "i"(HOLD_UNWANTED)
                     : "memory", "cc");
}
#endif

/* Nobody holds it, and nobody wants a switch. */
#if __STDC_HOSTED__
static inline bool preemption_is_at_rest(void)
{
    return CPU_LOCAL(hold) == HOLD_UNWANTED;
}
#else
static inline bool preemption_is_at_rest(void)
{
    bool result;
    __asm__ volatile("cmpl %2, %%gs:%c1"
                     : "=@cce"(result)
                     : "i"(CPU_LOCAL_HOLD), "i"(HOLD_UNWANTED)
                     : "memory");
    return result;
}
#endif

/* How many holds there are on this CPU, HOLD_SECTION more for each read section. Not 0: the caller
 * stays. */
static inline uint32_t preemption_count(void)
{
    return CPU_LOCAL(hold) & ~HOLD_UNWANTED;
}

/* Of preemption_restore(), where the word is another. */
CELL_API void preemption_restore_other(uint32_t count);

/*
 * Sets the count back to what preemption_count() was at a catch point. One instruction changes it, and
 * only where it is not that: so an interrupt's wish to switch is not lost, nor is the CPU another.
 */
static inline __attribute__((always_inline)) void preemption_restore(uint32_t count)
{
    if (UNLIKELY(CPU_LOCAL(hold) != (count | HOLD_UNWANTED))) {
        preemption_restore_other(count);
    }
}

/* Ends the read sections, not the holds, that there are beyond those of `count`. */
static inline void preemption_end_sections(uint32_t count)
{
    uint32_t surplus = (preemption_count() & HOLD_SECTIONS) - (count & HOLD_SECTIONS);
    if (UNLIKELY(surplus)) {
        preemption_subtract(surplus);
    }
}

static inline void preemption_lock(struct preemption *which, struct preemption **guard)
    OWN_LOCKS(*which) OWN_UNCHECKED;
static inline void preemption_lock(struct preemption *which, struct preemption **guard)
{
    preemption_hold();
    FILL(guard, which);
}

/* Disables interrupts; the guard remembers whether they were enabled. Holds no preemption by count:
 * without interrupts nobody preempts. */
CELL_API void interrupt_mask_lock(struct interrupt_mask *which, struct interrupt_mask **guard)
    OWN_LOCKS(*which);
