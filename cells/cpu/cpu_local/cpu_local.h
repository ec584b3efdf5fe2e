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
 * the address that cpu_local_get() returns is good only while preemption is held. Of another CPU
 * only what says so may be read: cpu_local_hold_of().
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
 * Of `hold`: one read section (read_sections.h), beside the hold that it is; and all of them. What is
 * below counts holds.
 */
#define HOLD_SECTION  0x00010000u
#define HOLD_SECTIONS 0x7fff0000u

/* Those that have come to cpu_local_init(), by index. Never taken out. */
struct cpu_local_all {
    uint32_t count; /* the highest index of them, and 1 */
    struct cpu_local *of[CPU_LIMIT];
};

/*
 * Makes `local`, the caller's storage for good, the memory of the CPU that calls, number `index`:
 * empty, without holds. It is in `cpu_local_all` before the CPU's first hold, by a full barrier.
 */
CELL_API void cpu_local_init(struct cpu_local *local, uint32_t index);

#if __STDC_HOSTED__
__attribute__((weak)) __thread struct cpu_local cpu_local_of_thread = {.hold = HOLD_UNWANTED};
    #define CPU_LOCAL(field) (cpu_local_of_thread.field)
__attribute__((weak)) struct cpu_local_all cpu_local_all;

static inline struct cpu_local *cpu_local_get(void)
{
    return &cpu_local_of_thread;
}

static inline void cpu_local_end_thread(void *place)
{
    __atomic_store_n((struct cpu_local **)place, NULL, __ATOMIC_RELEASE);
}

/* Of the C library: calls it when the thread ends. */
int __cxa_thread_atexit_impl(void (*function)(void *), void *argument, void *program);
extern __attribute__((visibility("hidden"))) void *__dso_handle;

/*
 * What cpu_local_init() is to a CPU, for a thread that calls it the first time. While one ends no other
 * calls cpu_local_hold_of().
 */
static inline void cpu_local_begin_thread(void)
{
    if (LIKELY(CPU_LOCAL(self))) {
        return;
    }
    uint32_t i = 0;
    for (struct cpu_local *nobody = NULL;
         !__atomic_compare_exchange_n(&cpu_local_all.of[i], &nobody, cpu_local_get(), false,
                                      __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
         nobody = NULL) {
        i++;
        OWN_DEMAND_(i < ARRAY_COUNT(cpu_local_all.of));
    }
    uint32_t count = __atomic_load_n(&cpu_local_all.count, __ATOMIC_RELAXED);
    while (count <= i && !__atomic_compare_exchange_n(&cpu_local_all.count, &count, i + 1, false,
                                                      __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
    }
    CPU_LOCAL(self) = cpu_local_get();
    (void)__cxa_thread_atexit_impl(cpu_local_end_thread, &cpu_local_all.of[i], &__dso_handle);
}
#else
CELL_API extern struct cpu_local_all cpu_local_all;

    /* A field of this CPU, as an lvalue. */
    #define CPU_LOCAL(field)                                                        \
        (*(volatile __typeof__(((struct cpu_local *)0)->field) __seg_gs *)offsetof( \
            struct cpu_local, field))

    /* The analyzer takes offset 0 from %gs for NULL. */
    #pragma GCC diagnostic push
    #pragma GCC diagnostic ignored "-Wanalyzer-null-dereference"
static inline struct cpu_local *cpu_local_get(void)
{
    return CPU_LOCAL(self);
}
    #pragma GCC diagnostic pop
#endif

/* The word `hold` of that CPU; 0 where there is none. `index`: below cpu_local_all.count. */
static inline uint32_t cpu_local_hold_of(uint32_t index)
{
    const struct cpu_local *local = __atomic_load_n(&cpu_local_all.of[index], __ATOMIC_ACQUIRE);
    return local ? __atomic_load_n(&local->hold, __ATOMIC_ACQUIRE) : 0;
}
