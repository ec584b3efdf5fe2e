/* SPDX-License-Identifier: MIT */
/*
 * processors_priv.h - what the starting CPU, the trampoline and the started CPU share.
 */
#pragma once

#include "cpu_local.h"
#include "exceptions.h"
#include "processors.h"
#include "stack.h"

/* What a CPU needs from its first instruction in kernel memory on; processors_trampoline.S. */
struct processor {
    uint64_t cr3;
    uint64_t cr4;
    uint64_t cr0;
    uint64_t stack_top;

    uint64_t pat; /* from here on C alone */
    struct stack *stack;
    struct exceptions_cpu exceptions;
    unsigned index;
    uint32_t state;     /* enum processor_state; pairs of release and acquire */
    enum status status; /* why it failed */

    void (*function)(void *argument); /* processors_run(): NULL while idle */
    void *argument;
    ALIGNED(64) struct cpu_local local;
};
static_assert(offsetof(struct processor, stack_top) == 24, "processors_trampoline.S");

enum processor_state {
    PROCESSOR_ABSENT,
    PROCESSOR_STARTING,
    PROCESSOR_RUNS,
    PROCESSOR_FAILED, /* it halts */
};

/* The data of the trampoline, which the starting CPU fills in its copy. */
struct trampoline_data {
    uint32_t root; /* CR3 until kernel memory is reached */
    uint32_t cr0;
    uint32_t efer;
    uint32_t claim;      /* 1: the next CPU that comes may go on; it makes this 0 */
    uint32_t far_offset; /* of the 64-bit part, and its selector */
    uint16_t far_selector;
    uint16_t gdt_limit;
    uint32_t gdt_base;
    uint32_t unused;
    uint64_t gdt[3];
    uint64_t entry; /* processors_arrive */
    uint64_t processor;
};
static_assert(offsetof(struct trampoline_data, gdt_limit) == 22, "processors_trampoline.S");
static_assert(offsetof(struct trampoline_data, gdt) == 32, "processors_trampoline.S");
static_assert(sizeof(struct trampoline_data) == 72, "processors_trampoline.S");

/* What is copied; the data is its end. */
extern const uint8_t processors_trampoline[];
extern const uint32_t processors_trampoline_size;
extern const uint32_t processors_trampoline_long_mode; /* offset of the 64-bit part */

/* The first code in kernel memory; not to be called. */
extern const uint64_t processors_arrive_address;

/* All of them; [0] is unused but for `state`. */
extern struct processor processors[CPU_LIMIT];

/* The first C code, on the CPU's own stack. */
NORETURN void processors_enter(struct processor *processor);
