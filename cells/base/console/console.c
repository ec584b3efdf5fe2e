/* SPDX-License-Identifier: MIT */
#include "console.h"
#include "format.h"
#include "freestanding.h"

CELL(library, "1.0.0");

static struct console_sink *sinks; /* in order of registration */

/* The link that holds `sink`, or the empty one at the end. */
static struct console_sink **find_link(const struct console_sink *sink)
{
    struct console_sink **link = &sinks;
    while (*link && *link != sink) {
        link = &(*link)->next;
    }
    return link;
}

enum status console_register(struct console_sink *sink)
{
    struct console_sink **link = find_link(sink);
    if (*link) {
        return ERR_EXISTS;
    }
    sink->next = NULL;
    COMPILER_BARRIER(); /* an exception that prints must never meet a half-made sink */
    *link = sink;
    return OK;
}

void console_unregister(struct console_sink *sink)
{
    struct console_sink **link = find_link(sink);
    if (*link) {
        *link = sink->next;
    }
}

void console_write(const char *bytes, size_t length)
{
    for (struct console_sink *sink = sinks; sink; sink = sink->next) {
        sink->write(sink, bytes, length);
    }
}

void console_print_list(const char *format, va_list list)
{
    char bytes[CONSOLE_PRINT_SIZE + 1];
    struct format_buffer text = format_buffer_of(bytes, sizeof(bytes));
    format_append_list(&text, format, list);
    if (format_was_cut(&text)) {
        size_t mark = sizeof(CONSOLE_CUT_MARK); /* terminator included */
        memcpy(bytes + sizeof(bytes) - mark, CONSOLE_CUT_MARK, mark);
    }
    console_write(bytes, format_held(&text));
}

void console_print(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    console_print_list(format, list);
    va_end(list);
}
