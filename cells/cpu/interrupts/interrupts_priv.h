/* SPDX-License-Identifier: MIT */
/*
 * interrupts_priv.h - what stubs and dispatch share.
 */
#pragma once

#include "interrupts.h"

/* Entries of all vectors, from INTERRUPT_FIRST on, in interrupts_stubs.S. */
extern const uint64_t interrupts_stubs[INTERRUPT_COUNT];

/* What the CPU pushes. */
struct interrupt_frame {
    uint64_t rip, cs, rflags, rsp, ss;
};

/* Where the stubs end up, but for the spurious vector. `number` counts from INTERRUPT_FIRST. */
void interrupts_dispatch(uint64_t number);

/* And where that ends up. */
void interrupts_note_spurious(void);

/* After an interrupt, when a switch is wanted and nobody holds preemption. */
void interrupts_reschedule(const struct interrupt_frame *frame);
