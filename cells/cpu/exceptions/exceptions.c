/* SPDX-License-Identifier: MIT */
/*
 * Descriptors as in the Intel SDM, volume 3, "Protected-Mode Memory Management" and "Interrupt and
 * Exception Handling". Flat segments; the task state is there for its stacks only: an exception
 * that may strike while the stack is unusable names one of them in its interrupt gate.
 */
#include "exceptions_priv.h"
#include "memory.h"
#include "stack.h"
#include "x86.h"

CELL(library, "1.0.0");

#define VECTOR_NMI           2
#define VECTOR_DOUBLE_FAULT  8
#define VECTOR_MACHINE_CHECK 18

#define STACK_COUNT 3
#define STACK_SIZE  8192 /* a report needs less than 2 KiB */

#define DESCRIPTOR_CODE 0x00af9b000000ffffull /* 64-bit, ring 0, accessed */
#define DESCRIPTOR_DATA 0x00cf93000000ffffull
#define GATE_INTERRUPT  0x8e /* present, ring 0, interrupts off */
#define TYPE_TASK_STATE 0x89 /* present, 64-bit TSS, available */

struct PACKED task_state {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7]; /* ist[i] is named i + 1 in a gate */
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t io_map_base;
};
static_assert(sizeof(struct task_state) == 104, "64-bit TSS");

struct gate {
    uint16_t offset_low;
    uint16_t selector;
    uint8_t stack; /* 0: the current one; i: task_state.ist[i - 1] */
    uint8_t type;
    uint16_t offset_middle;
    uint32_t offset_high;
    uint32_t reserved;
};
static_assert(sizeof(struct gate) == 16, "64-bit interrupt gate");

static uint64_t descriptors[5]; /* none, code, data, and two for the task state */
static struct task_state task_state;
static struct gate gates[EXCEPTION_COUNT];

/* The page before and behind each: exceptions_guard_stacks() unmaps them. */
static ALIGNED(PAGE_SIZE) struct {
    struct {
        uint8_t guard[PAGE_SIZE];
        uint8_t stack[STACK_SIZE];
    } of[STACK_COUNT];
    uint8_t last_guard[PAGE_SIZE];
} stacks;

/* Stack of its own for a vector: 1 .. STACK_COUNT, or 0 for none. */
static uint8_t stack_of(unsigned vector)
{
    switch (vector) {
    case VECTOR_DOUBLE_FAULT:
        return 1;
    case VECTOR_NMI:
        return 2;
    case VECTOR_MACHINE_CHECK:
        return 3;
    default:
        return 0;
    }
}

static void fill_descriptors(void)
{
    uint64_t base = (uintptr_t)&task_state;
    uint64_t limit = sizeof(task_state) - 1;
    descriptors[SELECTOR_CODE / 8] = DESCRIPTOR_CODE;
    descriptors[SELECTOR_DATA / 8] = DESCRIPTOR_DATA;
    descriptors[SELECTOR_TASK / 8] = limit | (base & 0xffffff) << 16 |
                                     (uint64_t)TYPE_TASK_STATE << 40 | (base >> 24 & 0xff) << 56;
    descriptors[SELECTOR_TASK / 8 + 1] = base >> 32;
}

static void fill_task_state(void)
{
    for (unsigned i = 0; i < STACK_COUNT; i++) {
        task_state.ist[i] = (uintptr_t)stacks.of[i].stack + STACK_SIZE;
    }
    task_state.io_map_base = sizeof(task_state); /* no map: no port for lower rings */
}

static void fill_gates(void)
{
    for (unsigned vector = 0; vector < EXCEPTION_COUNT; vector++) {
        uint64_t stub = exceptions_stubs[vector];
        gates[vector] = (struct gate){
            .offset_low = (uint16_t)stub,
            .offset_middle = (uint16_t)(stub >> 16),
            .offset_high = (uint32_t)(stub >> 32),
            .selector = SELECTOR_CODE,
            .stack = stack_of(vector),
            .type = GATE_INTERRUPT,
        };
    }
}

void exceptions_init(void)
{
    fill_descriptors();
    fill_task_state();
    fill_gates();
    /* Code and data keep their selectors, so no segment register has to be loaded again. */
    load_gdt(&(struct x86_table_pointer){sizeof(descriptors) - 1, (uintptr_t)descriptors});
    load_task_register(SELECTOR_TASK);
    load_idt(&(struct x86_table_pointer){sizeof(gates) - 1, (uintptr_t)gates});
}

enum status exceptions_guard_stacks(void)
{
    static const char *const names[STACK_COUNT] = {"double fault", "non-maskable interrupt",
                                                   "machine check"};
    for (unsigned i = 0; i < STACK_COUNT; i++) {
        enum status status = stack_adopt((vaddr_t)stacks.of[i].stack, STACK_SIZE, names[i]);
        if (status != OK) {
            return status;
        }
    }
    return OK;
}
