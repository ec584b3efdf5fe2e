/* SPDX-License-Identifier: MIT */
/*
 * serial.h - the first serial line (16550), as a console sink.
 *
 * Why: the first device that works and the last that fails; tests and people without a screen read
 * it.
 *
 * Rules: one port, COM1, 115200 baud, 8 data bits, no parity, 1 stop bit, no interrupts. Output
 * waits for the line, but never for ever: a line that stopped accepting bytes loses them, at no
 * further delay, until it accepts again. Works in CPU exceptions. It has no lock: the console
 * calls one at a time, and what comes without the console's lock mixes bytes and does no other
 * harm.
 */
#pragma once

#include "status.h"

/*
 * Sets up COM1, proves by its loop-back mode that a UART answers, and registers it with the
 * console. ERR_NO_DEVICE when none answers; ERR_EXISTS when called again, after setting the port up
 * afresh. At boot, by one CPU.
 */
CELL_API MUST_CHECK enum status serial_init(void);
