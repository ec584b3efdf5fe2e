/* SPDX-License-Identifier: MIT */
/*
 * panic.h - ends what runs here, and says why in words.
 *
 * Why: an error of a programmer goes the way of every fault: one report with registers, callers and
 * what is owned, then what the task owns is released and the task ends alone. So it is an
 * exception, raised by an instruction that holds where the words are: no register is changed, and
 * no call is made on a stack that may be bad.
 *
 *      ASSERT(count <= limit);
 *      PANIC("the queue has no room, and must have");
 *
 * Rules: any context. The words are a literal. On the host it is a trap.
 */
#pragma once

#include "cell.h"

/* UD1 with an operand relative to rip: always an invalid opcode (Intel SDM, "UD"). */
#define PANIC_OPCODE_0 0x0f
#define PANIC_OPCODE_1 0xb9
#define PANIC_OPCODE_2 0x05
#define PANIC_LENGTH   7u /* with the distance to the words, from the end of the instruction */

#if __STDC_HOSTED__ || defined(__clang__)
    #define PANIC(words) ((void)(words), __builtin_trap())
#else
    #define PANIC(words)                                                                         \
        __extension__({                                                                          \
            __asm__ volatile(".byte 0x0f, 0xb9, 0x05; .long %c0-.-4" : : "i"(words) : "memory"); \
            __builtin_unreachable();                                                             \
        })
#endif

#define ASSERT(condition) ((condition) ? (void)0 : PANIC("assertion failed: " #condition))
