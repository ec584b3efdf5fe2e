/* SPDX-License-Identifier: MIT */
/*
 * single_step.h - a process that executes its own code instruction by instruction.
 *
 * Why: three kinds of tests ask what holds at every instruction: of the unwinder, of slots, of
 * cells.
 *
 * Rules: x86-64 Linux. single_step_install() once; then between single_step_begin() and
 * single_step_end() the handler is called after each instruction, on a stack of its own, with the
 * registers of the moment.
 */
#pragma once

#include <signal.h>
#include <stdint.h>
#include <ucontext.h>

#define SINGLE_STEP_REGISTERS 17 /* by their DWARF numbers (psABI); the last is rip */
#define SINGLE_STEP_FLAG      0x100ll

static inline __attribute__((always_inline)) void single_step_begin(void)
{
    __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" : : : "memory", "cc");
}

static inline __attribute__((always_inline)) void single_step_end(void)
{
    __asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" : : : "memory", "cc");
}

static inline int single_step_install(void (*handler)(int, siginfo_t *, void *), void *stack,
                                      size_t stack_size, int flags)
{
    stack_t own = {.ss_sp = stack, .ss_size = stack_size};
    struct sigaction action = {.sa_sigaction = handler,
                               .sa_flags = SA_ONSTACK | SA_SIGINFO | flags};
    return sigaltstack(&own, NULL) != 0 ? -1 : sigaction(SIGTRAP, &action, NULL);
}

static inline void single_step_registers(const ucontext_t *context,
                                         uint64_t registers[SINGLE_STEP_REGISTERS])
{
    static const int numbers[SINGLE_STEP_REGISTERS] = {
        REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI, REG_RBP, REG_RSP, REG_R8,
        REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP};
    for (int i = 0; i < SINGLE_STEP_REGISTERS; i++) {
        registers[i] = (uint64_t)context->uc_mcontext.gregs[numbers[i]];
    }
}
