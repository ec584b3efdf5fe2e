/* SPDX-License-Identifier: MIT */
/*
 * local_apic.h - each CPU's interrupt controller.
 *
 * Why: every interrupt of a CPU comes through the controller that it has of its own: from devices
 * (io_apic.h), from other CPUs (ipi.h), from its timer (apic_timer.h), and each has to be ended
 * here. Its registers are memory (xAPIC), the same addresses on each CPU, or MSRs (x2APIC, where
 * CPUID has it: quicker, and with wider numbers of CPUs). One API hides which.
 *
 * Rules: each CPU calls local_apic_init_cpu() first, the CPU that boots before all others, after
 * cpu_local_init() and with interrupts disabled. Everything concerns the CPU that calls, so whoever
 * may be moved to another one holds preemption. "SDM" is Intel's manual, volume 3, chapter
 * "Advanced Programmable Interrupt Controller (APIC)".
 */
#pragma once

#include "status.h"
#include "x86.h"

/* The vector by which a controller reports what it has found wrong; this cell handles it. */
#define LOCAL_APIC_VECTOR_ERROR 0xfe

/* Registers, by their offset in memory (SDM, "Local APIC Register Address Map"). */
enum local_apic_register {
    LOCAL_APIC_ID = 0x020,
    LOCAL_APIC_VERSION = 0x030,
    LOCAL_APIC_TASK_PRIORITY = 0x080,
    LOCAL_APIC_END = 0x0b0,
    LOCAL_APIC_SPURIOUS = 0x0f0,
    LOCAL_APIC_IN_SERVICE = 0x100, /* 8 of them, 0x10 apart, 32 vectors each */
    LOCAL_APIC_ERROR = 0x280,
    LOCAL_APIC_LVT_CMCI = 0x2f0,
    LOCAL_APIC_COMMAND = 0x300, /* in x2APIC 64 bits wide */
    LOCAL_APIC_COMMAND_HIGH = 0x310,
    LOCAL_APIC_LVT_TIMER = 0x320,
    LOCAL_APIC_LVT_THERMAL = 0x330,
    LOCAL_APIC_LVT_COUNTERS = 0x340,
    LOCAL_APIC_LVT_PIN0 = 0x350,
    LOCAL_APIC_LVT_PIN1 = 0x360,
    LOCAL_APIC_LVT_ERROR = 0x370,
    LOCAL_APIC_TIMER_INITIAL = 0x380,
    LOCAL_APIC_TIMER_CURRENT = 0x390,
    LOCAL_APIC_TIMER_DIVIDE = 0x3e0,
};

/* In every LVT register. */
#define LOCAL_APIC_LVT_MASKED (1u << 16)

/* The MSR of a register in x2APIC mode (SDM, "x2APIC Register Address Space"). */
#define LOCAL_APIC_MSR(offset) (0x800u + (uint32_t)(offset) / 16)

/*
 * Where the registers are mapped; NULL in x2APIC mode, and before the first local_apic_init_cpu().
 */
CELL_API extern volatile uint32_t *local_apic_registers;

/*
 * Puts this CPU's controller into a known state: enabled, nothing masked by priority, its local
 * interrupts masked but for errors and NMI (by ACPI, where acpi_init() has found that);
 * CPU_LOCAL(apic_id) is its number. The first call chooses the mode for all CPUs, and has
 * interrupts ended here from then on (interrupts_set_end). On the same CPU again: the same again.
 * ERR_NO_DEVICE without a controller; ERR_UNSUPPORTED on a CPU that cannot do what the first one
 * chose; or as mmio_create() and interrupt_register().
 */
CELL_API MUST_CHECK enum status local_apic_init_cpu(void);

/*
 * This CPU's number, by which others address it, from its controller; CPU_LOCAL(apic_id) is
 * quicker. Firmware gives the numbers: they have gaps.
 */
CELL_API uint32_t local_apic_id(void);

/* A register of 32 bits. In x2APIC mode one that is not there raises #GP. */
CELL_API uint32_t local_apic_read(enum local_apic_register which);
CELL_API void local_apic_write(enum local_apic_register which, uint32_t value);

/*
 * The running handler is done: lower and equal interrupts may come again. interrupts.h does that,
 * for all but the spurious one. A store, or a WRMSR, and what chooses among them.
 */
static inline void local_apic_end_of_interrupt(void)
{
    volatile uint32_t *registers = local_apic_registers;
    if (registers) {
        registers[LOCAL_APIC_END / sizeof(uint32_t)] = 0;
    } else {
        write_msr(LOCAL_APIC_MSR(LOCAL_APIC_END), 0);
    }
}

/*
 * Reads and clears what this CPU's controller has found wrong (SDM, "Error Handling"): a bit for
 * each kind, 0 for nothing. Counts and logs it. For the handler of LOCAL_APIC_VECTOR_ERROR.
 */
CELL_API uint32_t local_apic_take_errors(void);

struct local_apic_description {
    bool is_x2apic;
    uint8_t version; /* 0x1X: integrated */
    uint8_t lvt_count;
    uint64_t errors; /* of all CPUs: how often local_apic_take_errors() has found some */
};

/* Of the CPU that calls; all zero before local_apic_init_cpu(). */
CELL_API struct local_apic_description local_apic_describe(void);
