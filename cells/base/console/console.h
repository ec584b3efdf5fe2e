/* SPDX-License-Identifier: MIT */
/*
 * console.h - text for people, handed to every registered sink.
 *
 * Why: whoever has something to say does not know whether a serial line, a screen or a test
 * listens. Whoever can show text registers a sink.
 *
 * Rules: any context, any CPU. One call of console_print, or a line of console_write, comes out
 * whole: so a line is composed first and printed by one call. Sinks are called one at a time, with
 * interrupts off. An exception or NMI that prints while its own CPU is in the middle of a line does
 * not wait for it; nor does anybody wait for a CPU that stopped in the middle of one
 * (bounded_lock.h): such text is mixed, and nothing is lost. A sink must stand that. Without a
 * sink, text is dropped: what must survive goes to the logger.
 */
#pragma once

#include "status.h"

#include <stdarg.h>

/* One console_print makes at most this many bytes; a longer text ends in CONSOLE_CUT_MARK. */
#define CONSOLE_PRINT_SIZE 512
#define CONSOLE_CUT_MARK   "...[cut]\n"

/* The caller's storage, for as long as it is registered. Lines end in "\n" alone. */
struct console_sink {
    const char *name;
    void (*write)(struct console_sink *sink, const char *bytes, size_t length);
    struct console_sink *next; /* the console's */
};

/* ERR_EXISTS when this very sink is registered already. Not in sinks, exceptions and NMIs. */
CELL_API MUST_CHECK enum status console_register(struct console_sink *sink);

/* Afterwards nobody is in the sink. Does nothing for a sink that is not registered. Contexts as
 * above. */
CELL_API void console_unregister(struct console_sink *sink);

/* Text longer than CONSOLE_PRINT_SIZE may be interrupted by others, at ends of lines if there are
 * any. */
CELL_API void console_write(const char *bytes, size_t length);
CELL_API void console_print(const char *format, ...) PRINTF_LIKE(1, 2);
CELL_API void console_print_list(const char *format, va_list list) PRINTF_LIKE(1, 0);
