/* SPDX-License-Identifier: MIT */
/*
 * pit.h - the interval timer of the first PCs, as a counter that needs no interrupt.
 *
 * Why: a PC without a high precision event timer still has this one, and its frequency is the same
 * everywhere. Channel 2 is used, whose gate and output programs can reach; channel 0, which
 * interrupts, and the loudspeaker stay as they are.
 *
 * Rules: one user at a time, on one CPU, without interrupts between start and the last read. "8254"
 * is Intel's data sheet of the 82C54.
 */
#pragma once

#include "status.h"

/* 1,193,182 Hz, a third of the colour carrier of NTSC: a tick in femtoseconds, rounded. */
#define PIT_PERIOD_FS 838095110u

/* Starts to count, from 0, up to 0xffff (about 55 ms). */
CELL_API void pit_start(void);

/*
 * Ticks since pit_start(). ERR_OVERFLOW when these have become too many; ERR_NO_DEVICE when the
 * counter cannot have been started (there is no timer). It costs four accesses to ports, about 1 us
 * each.
 */
CELL_API MUST_CHECK enum status pit_read(uint16_t *out_ticks);
