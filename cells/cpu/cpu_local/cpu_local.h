/* SPDX-License-Identifier: MIT */
/*
 * cpu_local.h - what each CPU has of its own, reached through %gs.
 *
 * Why: the chain of owned slots must be found without knowing who runs, in one instruction: its top
 * is a field at a fixed offset from the base of %gs, and each CPU has another base.
 *
 * Rules: cpu_local_init() is the first thing that a CPU does in C, before any OWNED. Loading a
 * selector into %gs would clear the base, so nobody does after boot.S.
 */
#pragma once

#include "own.h"

struct cpu_local {
    struct cpu_local *self;   /* so that C can have its address */
    struct own_slot *own_top; /* own.h: the newest slot of the running task */
};
static_assert(offsetof(struct cpu_local, own_top) == OWN_TOP_OFFSET, "own.h has it at this offset");

/* Makes `local`, the caller's storage for good, the memory of the CPU that calls. */
CELL_API void cpu_local_init(struct cpu_local *local);

static inline struct cpu_local *cpu_local_get(void)
{
    struct cpu_local *local;
    __asm__("mov %%gs:0, %0" : "=r"(local));
    return local;
}
