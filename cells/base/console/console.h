/* SPDX-License-Identifier: MIT */
/*
 * console.h - text for people, handed to every registered sink.
 *
 * Why: whoever has something to say does not know whether a serial line, a screen or a test
 * listens. Whoever can show text registers a sink.
 *
 * Rules: no locks, so that a CPU exception can report itself in the middle of a line; two writers
 * at once mix their text and do no other harm. Sinks are never removed while text is being written.
 * Without a sink, text is dropped: what must survive goes to the logger.
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

/* ERR_EXISTS when this very sink is registered already. */
CELL_API MUST_CHECK enum status console_register(struct console_sink *sink);

/* Does nothing for a sink that is not registered. */
CELL_API void console_unregister(struct console_sink *sink);

CELL_API void console_write(const char *bytes, size_t length);
CELL_API void console_print(const char *format, ...) PRINTF_LIKE(1, 2);
CELL_API void console_print_list(const char *format, va_list list) PRINTF_LIKE(1, 0);
