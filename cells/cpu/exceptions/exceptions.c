/* SPDX-License-Identifier: MIT */
/*
 * Descriptors as in the Intel SDM, volume 3, "Protected-Mode Memory Management" and "Interrupt and
 * Exception Handling". Flat segments; the task state is there for its stacks only: an exception
 * that may strike while the stack is unusable names one of them in its interrupt gate.
 */
#include "exceptions_priv.h"
#include "format.h"
#include "freestanding.h"
#include "memory.h"
#include "stack.h"
#include "x86.h"

CELL(library, "2.0.0");

#define STACK_SIZE 8192 /* a report needs less than 2 KiB */

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

static_assert(sizeof(((struct exceptions_cpu *)0)->task_state) == sizeof(struct task_state),
              "opaque to others");

/* An interrupt gate: all that says whether it is there, and most of the address, is in one word. */
struct gate {
    uint64_t low;  /* offset 15:0, selector, stack, type, offset 31:16 */
    uint64_t high; /* offset 63:32 */
};
static_assert(sizeof(struct gate) == 16, "64-bit interrupt gate");

static struct exceptions_cpu boot_cpu; /* without `stacks`: they are static */
static struct gate gates[VECTOR_COUNT];

/* The page before and behind each: exceptions_guard_stacks() unmaps them. */
static ALIGNED(PAGE_SIZE) struct {
    struct {
        uint8_t guard[PAGE_SIZE];
        uint8_t stack[STACK_SIZE];
    } of[EXCEPTION_STACK_COUNT];
    uint8_t last_guard[PAGE_SIZE];
} stacks;

static const char *const stack_names[EXCEPTION_STACK_COUNT] = {
    "double fault", "non-maskable interrupt", "machine check"};

/* Stack of its own for a vector: 1 .. EXCEPTION_STACK_COUNT, or 0 for none. */
static uint8_t stack_of(unsigned vector)
{
    switch (vector) {
    case EXCEPTION_DF:
        return 1;
    case EXCEPTION_NMI:
        return 2;
    case EXCEPTION_MC:
        return 3;
    default:
        return 0;
    }
}

static void fill_descriptors(struct exceptions_cpu *cpu)
{
    uint64_t base = (uintptr_t)cpu->task_state;
    uint64_t limit = sizeof(struct task_state) - 1;
    cpu->descriptors[0] = 0;
    cpu->descriptors[SELECTOR_CODE / 8] = DESCRIPTOR_CODE;
    cpu->descriptors[SELECTOR_DATA / 8] = DESCRIPTOR_DATA;
    cpu->descriptors[SELECTOR_TASK / 8] = limit | (base & 0xffffff) << 16 |
                                          (uint64_t)TYPE_TASK_STATE << 40 |
                                          (base >> 24 & 0xff) << 56;
    cpu->descriptors[SELECTOR_TASK / 8 + 1] = base >> 32;
}

static void fill_task_state(struct exceptions_cpu *cpu, const vaddr_t tops[EXCEPTION_STACK_COUNT])
{
    struct task_state state = {
        .io_map_base = sizeof(state), /* no map: no port for lower rings */
    };
    for (unsigned i = 0; i < EXCEPTION_STACK_COUNT; i++) {
        state.ist[i] = tops[i];
    }
    memcpy(cpu->task_state, &state, sizeof(state));
}

static void set_gate(unsigned vector, uint64_t entry)
{
    uint64_t low = entry == 0
                       ? 0
                       : (entry & 0xffff) | SELECTOR_CODE << 16 | (uint64_t)stack_of(vector) << 32 |
                             (uint64_t)GATE_INTERRUPT << 40 | (entry >> 16 & 0xffff) << 48;
    if (low == 0) {
        __atomic_store_n(&gates[vector].low, 0, __ATOMIC_RELEASE);
    } else {
        gates[vector].high = entry >> 32;
        __atomic_store_n(&gates[vector].low, low, __ATOMIC_RELEASE);
    }
}

void exceptions_set_gate(unsigned vector, uint64_t entry)
{
    if (vector >= EXCEPTION_COUNT && vector < VECTOR_COUNT) {
        set_gate(vector, entry);
    }
}

void exceptions_cpu_enter(const struct exceptions_cpu *cpu)
{
    /* Code and data keep their selectors, so no segment register has to be loaded again. */
    load_gdt(
        &(struct x86_table_pointer){sizeof(cpu->descriptors) - 1, (uintptr_t)cpu->descriptors});
    load_task_register(SELECTOR_TASK);
    load_idt(&(struct x86_table_pointer){sizeof(gates) - 1, (uintptr_t)gates});
}

void exceptions_init(void)
{
    vaddr_t tops[EXCEPTION_STACK_COUNT];
    for (unsigned i = 0; i < EXCEPTION_STACK_COUNT; i++) {
        tops[i] = (vaddr_t)stacks.of[i].stack + STACK_SIZE;
    }
    fill_descriptors(&boot_cpu);
    fill_task_state(&boot_cpu, tops);
    for (unsigned vector = 0; vector < EXCEPTION_COUNT; vector++) {
        set_gate(vector, exceptions_stubs[vector]);
    }
    exceptions_cpu_enter(&boot_cpu);
}

enum status exceptions_guard_stacks(void)
{
    for (unsigned i = 0; i < EXCEPTION_STACK_COUNT; i++) {
        enum status status = stack_adopt((vaddr_t)stacks.of[i].stack, STACK_SIZE, stack_names[i]);
        if (status != OK) {
            return status;
        }
    }
    return OK;
}

void exceptions_cpu_fini(struct exceptions_cpu *cpu)
{
    for (unsigned i = 0; i < EXCEPTION_STACK_COUNT; i++) {
        stack_drop(&cpu->stacks[i]);
    }
}

static enum status make_stacks(struct exceptions_cpu *cpu, unsigned index, vaddr_t *tops)
{
    for (unsigned i = 0; i < EXCEPTION_STACK_COUNT; i++) {
        char name[STACK_NAME_SIZE];
        format_into(name, sizeof(name), "%s, CPU %u", stack_names[i], index);
        OWNED(stack, stack);
        enum status status = stack_create(STACK_SIZE, name, SLOT(stack));
        if (status != OK) {
            return status;
        }
        tops[i] = stack_top(REF(stack));
        STORE(cpu->stacks[i], stack);
    }
    return OK;
}

enum status exceptions_cpu_init(struct exceptions_cpu *cpu, unsigned index)
{
    vaddr_t tops[EXCEPTION_STACK_COUNT];
    *cpu = (struct exceptions_cpu){0};
    enum status status = make_stacks(cpu, index, tops);
    if (status != OK) {
        exceptions_cpu_fini(cpu);
        return status;
    }
    fill_descriptors(cpu);
    fill_task_state(cpu, tops);
    return OK;
}
