/* SPDX-License-Identifier: MIT */
/*
 * x86.h - the x86-64 instructions that C has no words for.
 *
 * Why: control registers, descriptor tables and the TLB are reached by single instructions. Each
 * gets one inline function here, so that no other cell needs inline assembly for them. (Ports have
 * a folder of their own, port_io: drivers need nothing else of this.)
 *
 * Rules: privileged; ring 0 only. Nothing here has state or can fail by itself; wrong operands
 * raise the exception that the manual names. Names are those of the instruction or register. Every
 * function that changes what memory means is a compiler barrier.
 */
#pragma once

#include "cell.h"

#define MSR_GS_BASE 0xc0000101u

#define CR0_TASK_SWITCHED (1ull << 3)  /* vector instructions raise #NM */
#define CR0_WRITE_PROTECT (1ull << 16) /* read-only pages are so for ring 0 too */

/* The address of the last page fault. */
static inline uint64_t read_cr2(void)
{
    uint64_t value;
    __asm__ volatile("mov %%cr2, %0" : "=r"(value));
    return value;
}

#if __STDC_HOSTED__
/* The test of the page tables defines these, and with them an MMU. */
uint64_t read_cr3(void);
void write_cr3(uint64_t value);
void invlpg(uint64_t address);

/* Tests of text that is written, and of vector registers, define these, and with them a CPU. */
__attribute__((weak)) uint64_t read_cr0(void);
__attribute__((weak)) void write_cr0(uint64_t value);
__attribute__((weak)) uint64_t read_cr4(void);
__attribute__((weak)) void write_cr4(uint64_t value);
__attribute__((weak)) void clear_task_switched(void);
__attribute__((weak)) void write_xcr0(uint64_t value);
__attribute__((weak)) void xsave(void *area, uint64_t mask);
__attribute__((weak)) void xrstor(const void *area, uint64_t mask);
__attribute__((weak)) void fxsave(void *area);
__attribute__((weak)) void fxrstor(const void *area);
#else

static inline uint64_t read_cr0(void)
{
    uint64_t value;
    __asm__ volatile("mov %%cr0, %0" : "=r"(value));
    return value;
}

static inline void write_cr0(uint64_t value)
{
    __asm__ volatile("mov %0, %%cr0" : : "r"(value) : "memory");
}

static inline uint64_t read_cr3(void)
{
    uint64_t value;
    __asm__ volatile("mov %%cr3, %0" : "=r"(value) : : "memory");
    return value;
}

/* Switches to other page tables and drops every TLB entry that is not global. */
static inline void write_cr3(uint64_t value)
{
    __asm__ volatile("mov %0, %%cr3" : : "r"(value) : "memory");
}

/* Forgets the translation of the page that holds `address`, on this CPU. */
static inline void invlpg(uint64_t address)
{
    __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

static inline uint64_t read_cr4(void)
{
    uint64_t value;
    __asm__ volatile("mov %%cr4, %0" : "=r"(value));
    return value;
}

static inline void write_cr4(uint64_t value)
{
    __asm__ volatile("mov %0, %%cr4" : : "r"(value) : "memory");
}

/* Clears CR0_TASK_SWITCHED. */
static inline void clear_task_switched(void)
{
    __asm__ volatile("clts" : : : "memory");
}

/* Which states XSAVE knows; CR4.OSXSAVE is set. */
static inline void write_xcr0(uint64_t value)
{
    __asm__ volatile("xsetbv"
                     :
                     : "c"(0), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
                     : "memory");
}

/*
 * Vector registers to and from `area`: by XSAVE 64-byte aligned, the states in `mask`; else
 * 16-byte.
 */
static inline void xsave(void *area, uint64_t mask)
{
    __asm__ volatile("xsave64 (%0)"
                     :
                     : "r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
                     : "memory");
}

static inline void xrstor(const void *area, uint64_t mask)
{
    __asm__ volatile("xrstor64 (%0)"
                     :
                     : "r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
                     : "memory");
}

static inline void fxsave(void *area)
{
    __asm__ volatile("fxsave64 (%0)" : : "r"(area) : "memory");
}

static inline void fxrstor(const void *area)
{
    __asm__ volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
}

#endif

/* What CPUID answers. */
struct x86_cpuid {
    uint32_t eax;
    uint32_t ebx;
    uint32_t ecx;
    uint32_t edx;
};

#if __STDC_HOSTED__
/* Tests that come there define these, and with them a CPU. */
__attribute__((weak)) uint64_t read_msr(uint32_t msr);
__attribute__((weak)) void write_msr(uint32_t msr, uint64_t value);
__attribute__((weak)) struct x86_cpuid cpuid(uint32_t leaf, uint32_t subleaf);

/* A test that makes its own time defines this one; others get the host's counter. */
__attribute__((weak)) uint64_t simulated_tsc(void);

static inline uint64_t read_tsc(void)
{
    return simulated_tsc ? simulated_tsc() : __builtin_ia32_rdtsc();
}
#else

static inline uint64_t read_msr(uint32_t msr)
{
    uint64_t low; /* the CPU clears the upper halves of both */
    uint64_t high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return high << 32 | low;
}

static inline void write_msr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr"
                     :
                     : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
                     : "memory");
}

/* Time stamp counter; not ordered against the instructions around it. */
static inline uint64_t read_tsc(void)
{
    uint64_t low; /* the CPU clears the upper halves of both */
    uint64_t high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return high << 32 | low;
}

/* A leaf above the highest (leaf 0 says which, and 0x80000000) answers with what is of no use. */
static inline struct x86_cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct x86_cpuid answer;
    __asm__ volatile("cpuid"
                     : "=a"(answer.eax), "=b"(answer.ebx), "=c"(answer.ecx), "=d"(answer.edx)
                     : "a"(leaf), "c"(subleaf));
    return answer;
}

#endif

/*
 * Everything before it, stores to memory and registers included, has happened for every CPU before
 * anything behind it begins, WRMSR without an order of its own included (SDM vol. 3, "MSR Access in
 * x2APIC Mode").
 */
static inline void serialize_memory(void)
{
    __asm__ volatile("mfence\n\tlfence" : : : "memory");
}

/* The operand of lgdt and lidt. */
struct PACKED x86_table_pointer {
    uint16_t limit; /* size in bytes - 1 */
    uint64_t base;
};
static_assert(sizeof(struct x86_table_pointer) == 10, "the CPU reads ten bytes");

static inline void load_gdt(const struct x86_table_pointer *table)
{
    __asm__ volatile("lgdt %0" : : "m"(*table) : "memory");
}

static inline void load_idt(const struct x86_table_pointer *table)
{
    __asm__ volatile("lidt %0" : : "m"(*table) : "memory");
}

static inline void load_task_register(uint16_t selector)
{
    __asm__ volatile("ltr %0" : : "r"(selector) : "memory");
}

#define RFLAGS_INTERRUPTS 0x200u

#if __STDC_HOSTED__
/* A process has no such flag: each thread plays one. */
__attribute__((weak)) __thread bool host_interrupts = true;

/* A test that runs tasks by turns (test/unit/support/simulated_tasks.h) defines these two, and lets
 * another go on: where code of its own CPU begins or ends to exclude others, and while it spins. */
__attribute__((weak)) void simulated_hold(void);
__attribute__((weak)) void simulated_relax(void);

static inline void host_hold_point(void)
{
    if (simulated_hold) {
        simulated_hold();
    }
}

static inline bool interrupts_enabled(void)
{
    return host_interrupts;
}

static inline void disable_interrupts(void)
{
    host_hold_point();
    host_interrupts = false;
}

static inline void enable_interrupts(void)
{
    host_interrupts = true;
    host_hold_point();
}

static inline void cpu_relax(void)
{
    if (simulated_relax) {
        simulated_relax();
    } else {
        __asm__ volatile("pause" : : : "memory");
    }
}

/* Who tests something that waits for interrupts defines this. */
void enable_interrupts_and_halt(void);
#else

static inline uint64_t read_rflags(void)
{
    uint64_t flags;
    __asm__ volatile("pushfq\n\t"
                     ".cfi_adjust_cfa_offset 8\n\t"
                     "popq %0\n\t"
                     ".cfi_adjust_cfa_offset -8"
                     : "=r"(flags)
                     :
                     : "memory");
    return flags;
}

static inline bool interrupts_enabled(void)
{
    return (read_rflags() & RFLAGS_INTERRUPTS) != 0;
}

static inline void disable_interrupts(void)
{
    __asm__ volatile("cli" : : : "memory");
}

static inline void enable_interrupts(void)
{
    __asm__ volatile("sti" : : : "memory");
}

static inline void cpu_relax(void)
{
    __asm__ volatile("pause" : : : "memory");
}

/* As one: an interrupt that is pending already ends the halt. */
static inline void enable_interrupts_and_halt(void)
{
    __asm__ volatile("sti\n\thlt" : : : "memory");
}
#endif

/* Where a CPU is, and what callees keep: what a walk of its stack begins with. */
struct cpu_place {
    uint64_t rip;
    uint64_t rsp;
    uint64_t rbp;
    uint64_t rbx;
    uint64_t r12;
    uint64_t r13;
    uint64_t r14;
    uint64_t r15;
};

/* Notes the place of its caller, whose frame must be there when the walk begins. */
static inline __attribute__((always_inline)) void note_place(struct cpu_place *out)
{
    __asm__ volatile("leaq 1f(%%rip), %%rax\n\t"
                     "movq %%rax, (%0)\n\t"
                     "movq %%rsp, 8(%0)\n\t"
                     "movq %%rbp, 16(%0)\n\t"
                     "movq %%rbx, 24(%0)\n\t"
                     "movq %%r12, 32(%0)\n\t"
                     "movq %%r13, 40(%0)\n\t"
                     "movq %%r14, 48(%0)\n\t"
                     "movq %%r15, 56(%0)\n"
                     "1:"
                     :
                     : "r"(out)
                     : "rax", "memory");
}

/* Stops until the next interrupt; for good if interrupts are disabled. */
static inline void halt(void)
{
    __asm__ volatile("hlt" : : : "memory");
}
