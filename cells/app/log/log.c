/* SPDX-License-Identifier: MIT */
/*
 * log [LEVEL] - prints the kept messages, oldest first, up to LEVEL (error, warning, info, debug or
 * their first letters; default debug, which is all). Times are millions of ticks since the first
 * message.
 */
#include "application.h"
#include "console.h"
#include "logger.h"

CELL(application, "1.0.0");

APPLICATION(log);

enum status log_main(const struct app_arguments *arguments)
{
    enum log_level least = LOG_DEBUG;
    if (arguments->count > 1 && !logger_level_find(arguments->values[1], &least)) {
        console_print("log: no such level: %s (error, warning, info, debug)\n",
                      arguments->values[1]);
        return ERR_INVALID_ARGUMENT;
    }
    /* What is written while we read is not ours to print: the end is where it is now. */
    struct logger_statistics statistics = logger_statistics();
    uint64_t left = statistics.written - statistics.forgotten;
    uint64_t shown = 0;
    struct logger_cursor cursor = {0};
    struct logger_record record;
    while (left-- && logger_next(&cursor, &record)) {
        if (record.level <= least) {
            logger_print(&record);
            shown++;
        }
    }
    console_print("%lu of %lu messages shown; %lu forgotten, %lu not kept\n", (unsigned long)shown,
                  (unsigned long)(statistics.written - statistics.forgotten),
                  (unsigned long)statistics.forgotten, (unsigned long)statistics.not_kept);
    return OK;
}
