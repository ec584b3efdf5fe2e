/* SPDX-License-Identifier: MIT */
/*
 * exceptions.h - what the CPU does when an instruction cannot be executed, and the tables for that.
 *
 * Why: whoever knows what to do about an exception registers a handler, which sees all registers
 * and may change them. An exception that nobody takes says what happened, where, and in which cell
 * and section, and then ends the system in an orderly way, instead of resetting the machine
 * silently.
 *
 * Rules: exceptions_init() first, with interrupts disabled. There is one interrupt table for all
 * CPUs; each CPU has descriptors and stacks of its own. Double faults, non-maskable interrupts and
 * machine checks run on stacks of their own, all else on the stack that was in use, with interrupts
 * disabled. What owns slots in a handler nests on the chain of what was interrupted, and ends with
 * the handler. A handler that faults itself, and is left for a catch point (catch.h), has returned.
 * One CPU reports at a time; an exception during its report is said in one line, a third one halts.
 */
#pragma once

#include "own.h"

#define EXCEPTION_COUNT 32  /* vectors of the CPU's own; those behind are for interrupts */
#define VECTOR_COUNT    256 /* of the interrupt table */

/* What has a handler in practice. The names are those of the Intel SDM. */
enum exception_vector {
    EXCEPTION_DE = 0,  /* divide error */
    EXCEPTION_DB = 1,  /* debug */
    EXCEPTION_NMI = 2, /* non-maskable interrupt */
    EXCEPTION_BP = 3,  /* breakpoint */
    EXCEPTION_OF = 4,  /* overflow */
    EXCEPTION_BR = 5,  /* bound range exceeded */
    EXCEPTION_UD = 6,  /* invalid opcode */
    EXCEPTION_NM = 7,  /* device not available */
    EXCEPTION_DF = 8,  /* double fault */
    EXCEPTION_TS = 10, /* invalid task state segment */
    EXCEPTION_NP = 11, /* segment not present */
    EXCEPTION_SS = 12, /* stack segment fault */
    EXCEPTION_GP = 13, /* general protection */
    EXCEPTION_PF = 14, /* page fault: its address is in CR2 */
    EXCEPTION_MF = 16, /* x87 floating point error */
    EXCEPTION_AC = 17, /* alignment check */
    EXCEPTION_MC = 18, /* machine check */
    EXCEPTION_XM = 19, /* SIMD floating point error */
};

/* Selectors of the descriptor table; kernel/boot.S starts with the same two. */
#define SELECTOR_CODE 0x08
#define SELECTOR_DATA 0x10
#define SELECTOR_TASK 0x18

/* What is on the stack when an exception is handled; exceptions_stubs.S lays it out. */
struct exception_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
    uint64_t rbp, rdi, rsi, rdx, rcx, rbx, rax;
    uint64_t vector;
    uint64_t error_code;               /* 0 for exceptions without one */
    uint64_t rip, cs, rflags, rsp, ss; /* by the CPU */
};
static_assert(sizeof(struct exception_frame) == 22 * 8, "exceptions_stubs.S pushes 22 words");

/* ---- handlers ---- */

/* Of one vector: probes of memory, demand of memory, a debugger, recovery. */
#define EXCEPTION_HANDLER_LIMIT 4

/* A handler that is registered; dropping it returns when no CPU is still in it. */
struct OWN_CAPABILITY("exception handler") exception_handler;
OWN_DECLARE(exception_handler);

/*
 * True: the exception is dealt with; the CPU goes on with the registers of the frame as they are
 * now. False: it is not this handler's; the frame is unchanged. A handler must return, and does not
 * drop itself. One of NMI must not cause an exception: its return would let the next NMI in, on the
 * same stack.
 */
typedef bool (*exception_function_t)(struct exception_frame *frame, void *context);

/*
 * Registers a handler of `vector`; `name`, for reports, is borrowed. Handlers are asked in turn,
 * the newest first. ERR_OUT_OF_BOUNDS for a vector beyond EXCEPTION_COUNT, ERR_LIMIT when the
 * vector has EXCEPTION_HANDLER_LIMIT. Any context but an exception. A fault between its first and
 * last instruction may lose one place of these, nothing else.
 */
CELL_API enum status exception_handler_register(unsigned vector, const char *name,
                                                exception_function_t function, void *context,
                                                struct exception_handler **out) OWN_ACQUIRES(**out);

CELL_API const char *exception_handler_name(const struct exception_handler *handler)
    OWN_BORROWS(*handler);

/* ---- the tables ---- */

/* Double fault, non-maskable interrupt, machine check. */
#define EXCEPTION_STACK_COUNT 3

/* What a CPU after the first needs; the caller's storage, for as long as that CPU runs. */
struct exceptions_cpu {
    uint64_t descriptors[5];
    uint32_t task_state[26];
    struct stack *stacks[EXCEPTION_STACK_COUNT];
};

/* Loads descriptors, task state and interrupt table of the CPU that booted. */
CELL_API void exceptions_init(void);

/* Gives its exceptions' stacks names and guard pages (stack_adopt); once there are page tables. */
CELL_API MUST_CHECK enum status exceptions_guard_stacks(void);

/*
 * Makes the stacks and descriptors of CPU `index`, on any CPU. ERR_NO_MEMORY,
 * ERR_NO_ADDRESS_SPACE: nothing to release. exceptions_cpu_fini() is for a CPU that does not run.
 */
CELL_API MUST_CHECK enum status exceptions_cpu_init(struct exceptions_cpu *cpu, unsigned index);
CELL_API void exceptions_cpu_fini(struct exceptions_cpu *cpu);

/* The same as exceptions_init() for the CPU that calls; not the one that booted. */
CELL_API void exceptions_cpu_enter(const struct exceptions_cpu *cpu);

/*
 * Where interrupts of `vector` (EXCEPTION_COUNT .. VECTOR_COUNT - 1) go, on all CPUs: an address of
 * code that ends by iretq; 0: nowhere, which is a general protection exception. One store: it may
 * be called while interrupts come. For the cell `interrupts`.
 */
CELL_API void exceptions_set_gate(unsigned vector, uint64_t entry);

/* ---- the report, and the end ---- */

/* What ends the system after a report; it does not return. */
typedef void (*exceptions_last_action_t)(void);

/* Without one, or when it returns, the CPU halts after the report. */
CELL_API void exceptions_set_last_action(exceptions_last_action_t action);

/* What stops all other CPUs where they are, before a report; NULL: there are none. */
CELL_API void exceptions_set_stop_others(void (*stop)(void));

/* "page fault (#PF)"; "reserved" where the architecture has no exception of that number. */
CELL_API const char *exceptions_name(uint64_t vector);

/*
 * What can be told in words: "wrote to 0x18, which is not mapped"; of an error that somebody found,
 * his words (panic.h). Empty for exceptions whose name says all there is. `cr2` is the address of a
 * page fault. Whatever ran over an end of its stack is described as that. Returns the length, as
 * snprintf does.
 */
CELL_API size_t exceptions_describe(const struct exception_frame *frame, uint64_t cr2, char *buffer,
                                    size_t size);

/*
 * "heap:.text.heap_free+0x1c"; before the static cells are adopted "heap, text+0x1c"; in a stack or
 * its guard pages "stack `boot`"; "no cell" for any other address. As snprintf.
 */
CELL_API size_t exceptions_locate(uint64_t address, char *buffer, size_t size);

/*
 * Prints the report of the exception in `frame` and returns: for a handler that lets the rest of
 * the system go on. One screen: reason, registers, what the interrupted code owns by type, callers.
 * Interrupts are off. Reports of other CPUs come before or after, unless one hangs
 * (bounded_lock.h).
 */
CELL_API void exceptions_print(const struct exception_frame *frame);

/*
 * Reports the exception in `frame` and ends the system, as if no handler had taken it: for a
 * handler that has found out that nothing can be done.
 */
CELL_API NORETURN void exceptions_give_up(const struct exception_frame *frame);
