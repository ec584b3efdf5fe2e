/* SPDX-License-Identifier: MIT */
/*
 * logger.h - what happened, when and in which cell; kept in a ring.
 *
 * Why: a message has two readers. The person at the console wants the important ones now; whoever
 * looks for a cause later wants all of them, from before there was a console too. So each message
 * is kept in a ring of LOGGER_RING_SIZE bytes, and those up to a chosen level are printed as well.
 *
 * Rules: any context, any CPU; nothing allocates. Messages are stored one at a time, with
 * interrupts off for some hundred instructions. Only a message that comes on a CPU while that is
 * storing one (from an exception or NMI), or after a CPU stopped for good while storing, is printed
 * but not kept, and counted. A full ring forgets its oldest messages. Texts longer than
 * LOGGER_TEXT_MAX bytes are cut, and the record says so.
 */
#pragma once

#include "cell.h"

#include <stdarg.h>

#define LOGGER_RING_SIZE ((size_t)64 * 1024)
#define LOGGER_TEXT_MAX  ((size_t)256) /* two lines of a terminal: a message, not a report */
#define LOGGER_CELL_MAX  ((size_t)40)

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

#define log_error(...)   logger_write(LOG_ERROR, CELL_NAME, __VA_ARGS__)
#define log_warning(...) logger_write(LOG_WARNING, CELL_NAME, __VA_ARGS__)
#define log_info(...)    logger_write(LOG_INFO, CELL_NAME, __VA_ARGS__)
#define log_debug(...)   logger_write(LOG_DEBUG, CELL_NAME, __VA_ARGS__)

/* The format has no final newline; line ends inside become spaces. */
CELL_API void logger_write(enum log_level level, const char *cell, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* Levels above `kept` are dropped, levels above `printed` are kept only. At boot: LOG_DEBUG,
 * LOG_INFO. */
CELL_API void logger_set_levels(enum log_level kept, enum log_level printed);

/* One message, as a reader gets it. */
struct logger_record {
    uint64_t ticks; /* of the time stamp counter, since the first message */
    enum log_level level;
    bool cut;                       /* the text was longer */
    char cell[LOGGER_CELL_MAX + 1]; /* terminated */
    char text[LOGGER_TEXT_MAX + 1]; /* terminated */
};

/* Prints a message as a line: millions of ticks, level, cell, text. */
CELL_API void logger_print(const struct logger_record *record);

/* A reader's place in the ring; all zero is the oldest message. */
struct logger_cursor {
    uint64_t position;
};

/*
 * Copies the next message and moves on; false at the end (a later call may succeed). A reader that
 * was overtaken goes on with the oldest message that is left. False also where a message could not
 * be kept. A cursor belongs to one reader.
 */
CELL_API bool logger_next(struct logger_cursor *cursor, struct logger_record *out);

struct logger_statistics {
    uint64_t written;   /* kept, ever */
    uint64_t forgotten; /* of those, overwritten by newer ones */
    uint64_t not_kept;  /* came in the middle of another */
};

CELL_API struct logger_statistics logger_statistics(void);

/* "error", "warning", "info" or "debug". */
CELL_API const char *logger_level_name(enum log_level level);

/* The level of that name, also by its first letter; false, *out unchanged, for any other. */
CELL_API bool logger_level_find(const char *name, enum log_level *out);
