/* SPDX-License-Identifier: MIT */
/*
 * What comes in the middle of a write, without the lock, reads the list of sinks only, whose every
 * change is one store.
 */
#include "console.h"
#include "bounded_lock.h"
#include "format.h"
#include "freestanding.h"

CELL(library, "1.1.0");

static struct bounded_lock lock;
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
    OWNED(bounded_lock, held);
    (void)!bounded_lock_lock(&lock, SLOT(held)); /* who is stuck does not change the list */
    struct console_sink **link = find_link(sink);
    if (*link) {
        return ERR_EXISTS;
    }
    sink->next = NULL;
    __atomic_store_n(link, sink, __ATOMIC_RELEASE); /* nobody ever meets a half-made sink */
    return OK;
}

void console_unregister(struct console_sink *sink)
{
    OWNED(bounded_lock, held);
    (void)!bounded_lock_lock(&lock, SLOT(held));
    struct console_sink **link = find_link(sink);
    if (*link) {
        *link = sink->next;
    }
}

/* Hands at most CONSOLE_PRINT_SIZE bytes to each sink. */
static void write_piece(const char *bytes, size_t length)
{
    OWNED(bounded_lock, held);
    (void)!bounded_lock_lock(&lock, SLOT(held)); /* without it, text mixes */
    for (struct console_sink *sink = sinks; sink; sink = sink->next) {
        sink->write(sink, bytes, length);
    }
}

/* How much of a text that is too long is written at once: whole lines if there is a line end. */
static size_t length_of_piece(const char *bytes)
{
    size_t length = CONSOLE_PRINT_SIZE;
    while (length > 0 && bytes[length - 1] != '\n') {
        length--;
    }
    return length ? length : CONSOLE_PRINT_SIZE;
}

void console_write(const char *bytes, size_t length)
{
    while (length > CONSOLE_PRINT_SIZE) {
        size_t piece = length_of_piece(bytes);
        write_piece(bytes, piece);
        bytes += piece;
        length -= piece;
    }
    write_piece(bytes, length);
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
