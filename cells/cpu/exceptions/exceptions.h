/* SPDX-License-Identifier: MIT */
/*
 * exceptions.h - what the CPU does when an instruction cannot be executed.
 *
 * Why: a fault must say what happened, where, and in which cell and section, and then end the
 * system in an orderly way, instead of resetting the machine without a word.
 *
 * Rules: exceptions_init() first, with interrupts off. Double faults, non-maskable interrupts and
 * machine checks run on stacks of their own. All exceptions are fatal for now: nothing returns from
 * them. A second exception during the report is reported in one line; a third one halts.
 */
#pragma once

#include "status.h"

#define EXCEPTION_COUNT 32

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

/* What ends the system after a report; it does not return. */
typedef void (*exceptions_last_action_t)(void);

/* Loads descriptor table, task state and interrupt table of this CPU. */
CELL_API void exceptions_init(void);

/* Gives the exceptions' own stacks names and guard pages (stack_adopt); once there are page tables. */
CELL_API MUST_CHECK enum status exceptions_guard_stacks(void);

/* Without one, or when it returns, the CPU halts after the report. */
CELL_API void exceptions_set_last_action(exceptions_last_action_t action);

/* "page fault (#PF)"; "reserved" where the architecture has no exception of that number. */
CELL_API const char *exceptions_name(uint64_t vector);

/*
 * What can be told in words: "wrote to 0x18, which is not mapped". Empty for exceptions whose name
 * says all there is. `cr2` is the address of a page fault. Whatever ran over an end of its stack is
 * described as that. Returns the length, as snprintf does.
 */
CELL_API size_t exceptions_describe(const struct exception_frame *frame, uint64_t cr2, char *buffer,
                                    size_t size);

/*
 * "heap:.text.heap_free+0x1c"; before the static cells are adopted "heap, text+0x1c"; in a stack or its
 * guard pages "stack `boot`"; "no cell" for any other address. As snprintf.
 */
CELL_API size_t exceptions_locate(uint64_t address, char *buffer, size_t size);
