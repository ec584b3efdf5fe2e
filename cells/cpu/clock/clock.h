/* SPDX-License-Identifier: MIT */
/*
 * clock.h - nanoseconds, from each CPU's time stamp counter.
 *
 * Why: who measures, waits or sets a deadline needs the time in a unit that means the same on each
 * machine, for a few instructions. The counter is read by one; what a tick is worth is found out
 * once, and from then on time is one multiplication.
 *
 * Rules: clock_init() once, before other CPUs run; until then the clock stands at 0. The others:
 * any context, any CPU. Time 0 is when the counter was 0, which is about when the machine was
 * switched on. The clock never goes back on one CPU. It goes on at one pace only if the counter is
 * invariant, and is the same on all CPUs only if their counters are: both are noted, neither is
 * corrected. Its pace is off by up to error_ppm: it is for intervals, not for the date.
 */
#pragma once

#include "status.h"
#include "x86.h"

/*
 * ns = ticks * clock_multiplier >> CLOCK_SHIFT; ticks = ns * clock_inverse >> CLOCK_INVERSE_SHIFT.
 */
#define CLOCK_SHIFT         48
#define CLOCK_INVERSE_SHIFT 32
CELL_API extern uint64_t clock_multiplier;
CELL_API extern uint64_t clock_inverse;

/* Counters outside of these frequencies are refused: no such CPU is known, and products would not
 * fit. */
#define CLOCK_HZ_MIN 1000000ull
#define CLOCK_HZ_MAX 64000000000ull

/* (a * b) >> shift, by the 128 bits of the product; shift is a constant. */
static inline uint64_t clock_scale(uint64_t a, uint64_t b, unsigned shift)
{
    return (uint64_t)((unsigned __int128)a * b >> shift);
}

/* The time at which the counter shows `ticks`. */
static inline uint64_t clock_ns_of(uint64_t ticks)
{
    return clock_scale(ticks, clock_multiplier, CLOCK_SHIFT);
}

/* How many ticks pass in `ns`, rounded up: who waits for so many has waited for `ns`. */
static inline uint64_t clock_ticks_of(uint64_t ns)
{
    return clock_scale(ns, clock_inverse, CLOCK_INVERSE_SHIFT) + 1;
}

/* Five instructions: rdtsc, shl, or, mul, shrd. Not ordered against the instructions around it. */
static inline uint64_t clock_now_ns(void)
{
    return clock_ns_of(read_tsc());
}

/*
 * Finds the frequency: as CPUID states it, else measured against the high precision event timer,
 * else against the interval timer, which takes up to CLOCK_WINDOW_NS; else the nominal one of
 * CPUID. Once that has succeeded, OK without doing anything. ERR_NO_DEVICE when there is nothing to
 * go by, or no counter; ERR_OUT_OF_BOUNDS when the result cannot be right.
 */
CELL_API MUST_CHECK enum status clock_init(void);

/* A measurement ends when it is good to CLOCK_PRECISION_PPM, or after CLOCK_WINDOW_NS. */
#define CLOCK_PRECISION_PPM 200u
#define CLOCK_WINDOW_NS     10000000u

/* Waits, without giving the CPU away. Returns at once before clock_init(). */
CELL_API void clock_spin_ns(uint64_t ns);

/*
 * How far this CPU's counter has been seen behind another one's, in ticks. Each round compares it
 * with the latest value that any CPU has shown here, and shows its own. Two CPUs that call this at
 * the same time find out which one is behind; 0 on both: they agree within the time of a round.
 */
CELL_API uint64_t clock_measure_lag(unsigned rounds);

enum clock_source { CLOCK_NONE, CLOCK_CPUID, CLOCK_HPET, CLOCK_PIT, CLOCK_NOMINAL };

struct clock_description {
    enum clock_source source;
    bool invariant;          /* runs at one pace in all power states */
    uint64_t hz;             /* of the time stamp counter */
    uint32_t error_ppm;      /* bound of the measurement; 0 for what CPUID states */
    uint64_t calibration_ns; /* how long that took */
};

CELL_API struct clock_description clock_describe(void);

/* "CPUID", "HPET", "PIT", "nominal", "none". */
CELL_API const char *clock_source_name(enum clock_source source);
