/* SPDX-License-Identifier: MIT */
/*
 * cpu_local.h - what each CPU has of its own, reached through %gs.
 *
 * Why: the chain of owned slots, the running task and the count of preemption holds must be found
 * without knowing which CPU this is, in one instruction: each is a field at a fixed offset from the
 * base of %gs, and each CPU has another base.
 *
 * Rules: cpu_local_init() is the first thing that a CPU does in C, before any OWNED. Loading a
 * selector into %gs would clear the base, so nobody does after boot.S. A task may be moved to another
 * CPU between any two instructions unless preemption is held (preemption.h): so CPU_LOCAL(field),
 * one instruction, is right at any time for `own_top` and `task`, which travel with the task;
 * the address that cpu_local_get() returns is good only while preemption is held.
 * On the host there is one of these for each thread.
 */
#pragma once

#include "own.h"

/* CPUs that the system uses, and for which others keep room; what is beyond is left alone. */
#define CPU_LIMIT 16u

struct task;

struct cpu_local {
    struct cpu_local *self;   /* so that C can have its address */
    struct own_slot *own_top; /* own.h: the newest slot of the running task */
    uint32_t hold;            /* preemption.h */
    uint32_t index;           /* 0 .. CPU count - 1; 0 is the CPU that booted */
    struct task *task;        /* that runs here; NULL before there are tasks */
    void (*reschedule)(void); /* preemption.h; NULL before there are tasks */
    uint32_t apic_id;         /* of the local APIC */
    uint32_t interrupt_depth; /* handlers of interrupts that are nested here now */
    void *dispatcher;         /* its record of this CPU; NULL before there are tasks */
};
static_assert(offsetof(struct cpu_local, own_top) == OWN_TOP_OFFSET, "own.h has it at this offset");

/* Offsets that assembly knows. */
#define CPU_LOCAL_HOLD       16
#define CPU_LOCAL_TASK       24
#define CPU_LOCAL_RESCHEDULE 32
static_assert(offsetof(struct cpu_local, hold) == CPU_LOCAL_HOLD, "assembly");
static_assert(offsetof(struct cpu_local, task) == CPU_LOCAL_TASK, "assembly");
static_assert(offsetof(struct cpu_local, reschedule) == CPU_LOCAL_RESCHEDULE, "assembly");

/* Of `hold`: nobody wants a reschedule. Set in the first value, when the count is 0. */
#define HOLD_UNWANTED 0x80000000u

/*
 * Makes `local`, the caller's storage for good, the memory of the CPU that calls, number `index`:
 * empty, without holds.
 */
CELL_API void cpu_local_init(struct cpu_local *local, uint32_t index);

#if __STDC_HOSTED__
__attribute__((weak)) __thread struct cpu_local cpu_local_of_thread = {.hold = HOLD_UNWANTED};
    #define CPU_LOCAL(field) (cpu_local_of_thread.field)

static inline struct cpu_local *cpu_local_get(void)
{
    return &cpu_local_of_thread;
}
#else
    /* A field of this CPU, as an lvalue. */
    #define CPU_LOCAL(field)                                                        \
        (*(volatile __typeof__(((struct cpu_local *)0)->field) __seg_gs *)offsetof( \
            struct cpu_local, field))

static inline struct cpu_local *cpu_local_get(void)
{
    return CPU_LOCAL(self);
}
#endif
