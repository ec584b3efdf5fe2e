/* SPDX-License-Identifier: MIT */
/*
 * pic.h - the interrupt controllers of the first PCs, silenced.
 *
 * Why: every PC still has two 8259A, and firmware leaves them on, with vectors that exceptions have
 * today. IO APICs take their place (io_apic.h), so they are masked and never asked again.
 *
 * Rules: once, on the CPU that boots, with interrupts disabled.
 */
#pragma once

#include "cell.h"

/*
 * Where the controllers' interrupts would come in: 8 vectors each, which interrupts.h hands to
 * nobody who does not ask for them. They are masked, but a line that falls while it is reported
 * comes in as the last of its controller (8259A, "Spurious Interrupts").
 */
#define PIC_VECTOR_FIRST  0x20
#define PIC_VECTOR_SECOND 0x28

/* Moves their vectors out of the way of exceptions and masks every line. */
CELL_API void pic_disable(void);
