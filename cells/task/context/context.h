/* SPDX-License-Identifier: MIT */
/*
 * context.h - switches from one stack to another.
 *
 * Why: all that a switch must keep is where to go on and with which stack. A function that calls another one
 * has saved what the callee may change already, and the compiler saves the rest around a statement
 * that says it changes all of it: only what is in use, once. So in the system a switch is four instructions in
 * the middle of a function; natively, where sanitizers want frame pointers, it is a call. A word goes over with
 * it, in a register, so that who goes on need not look for what the other knew.
 *
 * Rules: flags, segment bases and vector registers are not touched: who switches takes care of them.
 * Who unwinds what does not run begins at the two words of its context; all registers that a
 * callee keeps are found by the CFI of the function there. Between the two last instructions of a switch the
 * stack is the other's and the code still this one's: only an NMI can see that.
 */
#pragma once

#include "memory.h"

/* A context is two words. */
enum {
    CONTEXT_RESUME, /* where it goes on */
    CONTEXT_STACK,  /* with this stack pointer */
    CONTEXT_WORDS,
};

/*
 * Keeps in `save` where the caller is, and goes on where `next` says. Comes back when somebody
 * switches to what it saved, with what that one carries.
 */
#if __STDC_HOSTED__
void *context_switch(uint64_t *save, const uint64_t *next, void *carried);
#else
/* Others that switch, and go on, in assembly have these three in the same registers. */
static inline __attribute__((always_inline)) void *context_switch(uint64_t *save,
                                                                  const uint64_t *next,
                                                                  void *carried)
{
    __asm__ volatile("movq $1f, (%0)\n\t"
                     "movq %%rsp, 8(%0)\n\t"
                     "movq 8(%1), %%rsp\n\t"
                     "jmpq *(%1)\n"
                     "1:"
                     : "+S"(save), "+D"(next), "+d"(carried)
                     :
                     : "rax", "rcx", "rbx", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
                       "r15", "memory", "cc");
    return carried;
}
#endif

/*
 * Prepares `out` and the memory below `top`, 16-byte aligned: switching there calls
 * entry(argument), which must not return. An unwinder finds no caller above it.
 */
CELL_API void context_prepare(vaddr_t top, void (*entry)(void *argument), void *argument,
                              uint64_t *out);

/* Has nobody switched yet to what context_prepare() made? Then there is no frame on its stack. */
CELL_API bool context_is_unused(const uint64_t *context);
