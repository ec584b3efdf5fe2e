/* SPDX-License-Identifier: MIT */
/*
 * apic_timer.h - each CPU's timer.
 *
 * Why: to take a CPU from a task, and to end a wait, something must interrupt that very CPU at a
 * time that is chosen each time anew. Its local APIC does: once, after a delay. Where CPUID has it
 * the timer is a comparator of the time stamp counter (TSC-deadline), else a counter of its own,
 * whose frequency is that of the crystal if CPUID states it, else measured once.
 *
 * Rules: clock_init() and local_apic_init_cpu() come before apic_timer_init_cpu(), which each CPU
 * calls, the CPU that boots first. Everything concerns the CPU that calls: hold preemption. "SDM"
 * is Intel's manual, volume 3, "APIC Timer".
 */
#pragma once

#include "clock.h"
#include "local_apic.h"

#define MSR_TSC_DEADLINE 0x6e0u

struct apic_timer_scale {
    bool is_deadline;
    uint64_t count_multiplier; /* counts = ns * this >> CLOCK_INVERSE_SHIFT */
};
CELL_API extern struct apic_timer_scale apic_timer_scale;

/*
 * Lets the timer of the CPU that boots count, without interrupting. With this between
 * local_apic_init_cpu() and clock_init(), measuring it takes the time that clock_init() takes
 * anyway.
 */
CELL_API void apic_timer_prepare(void);

/*
 * The timer of this CPU will interrupt by `vector`; it is stopped. The first call finds the kind
 * and the frequency, for all CPUs; measuring takes APIC_TIMER_WINDOW_NS since apic_timer_prepare(),
 * if that was called, else from now. ERR_INVALID_ARGUMENT for a vector below 32; ERR_STATE before
 * the clock runs; ERR_IO when the timer does not count.
 */
CELL_API MUST_CHECK enum status apic_timer_init_cpu(uint8_t vector);

#define APIC_TIMER_WINDOW_NS 100000u

/* More than two years, and in ticks of the quickest counter less than 2^63. */
#define APIC_TIMER_NS_MAX (1ull << 56)

/*
 * One interrupt, `ns` from now, in place of the one that was awaited. It may come early, by what
 * the frequency is off, and because a timer that counts ends at 2^32 - 1 (after seconds, or about a
 * minute): who was called looks at the clock and sets it again. At most APIC_TIMER_NS_MAX. Ends in
 * one WRMSR in x2APIC mode and for a deadline, else in one store.
 */
static inline void apic_timer_set_ns(uint64_t ns)
{
    if (apic_timer_scale.is_deadline) {
        write_msr(MSR_TSC_DEADLINE, read_tsc() + clock_ticks_of(ns));
        return;
    }
    uint64_t count = clock_scale(ns, apic_timer_scale.count_multiplier, CLOCK_INVERSE_SHIFT) + 1;
    count = count <= UINT32_MAX ? count : UINT32_MAX;
    volatile uint32_t *registers = local_apic_registers;
    if (registers) {
        registers[LOCAL_APIC_TIMER_INITIAL / sizeof(uint32_t)] = (uint32_t)count;
    } else {
        write_msr(LOCAL_APIC_MSR(LOCAL_APIC_TIMER_INITIAL), count);
    }
}

/* No interrupt any more; one that is under way may still come. */
CELL_API void apic_timer_stop(void);

struct apic_timer_description {
    bool is_deadline;
    bool is_measured; /* else stated by CPUID */
    uint64_t hz;      /* of what is counted; 0 before apic_timer_init_cpu() */
};

CELL_API struct apic_timer_description apic_timer_describe(void);
