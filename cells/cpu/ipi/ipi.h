/* SPDX-License-Identifier: MIT */
/*
 * ipi.h - interrupts that one CPU sends to another.
 *
 * Why: another CPU is started, asked to look at something at once, or stopped only by an interrupt,
 * which this CPU's local APIC sends for it.
 *
 * Rules: after local_apic_init_cpu() on this CPU. Any context. What was stored before a call is
 * seen by the handler. Sending says nothing of arrival; who needs an answer lets the handler give
 * one. "SDM" is Intel's manual, volume 3, "Issuing Interprocessor Interrupts".
 */
#pragma once

#include "memory.h"

#define IPI_VECTOR_MIN 32 /* those below are exceptions */

/*
 * To the CPU whose local_apic_id() is `id`. All of these: ERR_TIMEOUT when the one before has not
 * left this CPU's controller after IPI_POLLS looks, and nothing was sent; ERR_OUT_OF_BOUNDS for a
 * number that cannot be addressed, in xAPIC mode those from 255 on; ERR_INVALID_ARGUMENT for a
 * vector below IPI_VECTOR_MIN.
 */
CELL_API MUST_CHECK enum status ipi_send(uint32_t id, uint8_t vector);

/* To all CPUs but this one. Also to those that nobody has started: they do not hear it. */
CELL_API MUST_CHECK enum status ipi_send_others(uint8_t vector);

/* As a non-maskable interrupt. */
CELL_API MUST_CHECK enum status ipi_send_nmi(uint32_t id);

/*
 * Resets that CPU; it then waits for ipi_send_startup(), for 10 ms at least (SDM, "MP
 * Initialization Protocol"). The second waits until the interrupt has left: ERR_IO when it does
 * not.
 */
CELL_API MUST_CHECK enum status ipi_send_init(uint32_t id);

/*
 * Starts a CPU that waits, in 16-bit mode, at `page`: page-aligned and below 1 MiB, not 0xa0000 to
 * 0xbffff; else ERR_INVALID_ARGUMENT. Once may not be heard: again after 200 us. ERR_IO as above.
 */
CELL_API MUST_CHECK enum status ipi_send_startup(uint32_t id, paddr_t page);

/* A look takes 20 ns at least: together 1 ms and more, where sending takes less than a microsecond.
 */
#define IPI_POLLS 50000u
