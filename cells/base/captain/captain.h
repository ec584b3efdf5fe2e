/* SPDX-License-Identifier: MIT */
/*
 * captain.h - brings up everything else and runs the applications that were asked for.
 *
 * Why: the nano_core ends where cells can be loaded. What a system is for is decided here, by
 * options (boot_options.h):
 *
 *      app=NAME [ARGUMENT]...[; NAME...]   what to run, in this order; default `hello`
 *      load=all                            load every cell of the archive first, of each
 *                                          interface one
 *      log=error|warning|info|debug        which messages are printed, not only kept
 *      scheduler=round_robin|priority      which task runs next (scheduler.h); default round_robin
 *      tasks=off                           applications are called, one CPU, no interrupts
 *      end=off|reboot                      what happens at the end; default off
 *      nano_core=keep                      the static cells stay (nano_core_swap.h)
 *
 * Rules: the nano_core demands `captain_start` and calls it once. An application, or a cell, that
 * cannot be loaded is reported and left out. Each application is a task of its own, joined before
 * the next one begins; on a machine that cannot run tasks it is called instead. The machine is
 * switched off at the end, with status 0 if every application ran and returned OK, else 1; or, with
 * end=reboot, started again. A machine without ACPI, or with bad tables, is a warning.
 */
#pragma once

#include "status.h"

#define CAPTAIN_DEFAULT_APPLICATION "hello"

/* Of one application's name and arguments; a terminal's line is shorter. */
#define CAPTAIN_COMMAND_SIZE  256
#define CAPTAIN_ARGUMENTS_MAX 16

CELL_API NORETURN void captain_start(void);

/* One application with its arguments, as cut out of the list. */
struct captain_command {
    int count;                                     /* of values, the name included */
    const char *values[CAPTAIN_ARGUMENTS_MAX + 1]; /* into text; ends with NULL */
    char text[CAPTAIN_COMMAND_SIZE];
};

/*
 * Cuts the first command off *list and moves *list behind it; empty ones are skipped. ERR_NOT_FOUND
 * at the end of the list, ERR_LIMIT for a command that is too long or has too many arguments (it is
 * skipped as well; its name stands in values[0] as far as it fits). Pure.
 */
CELL_API MUST_CHECK enum status captain_next_command(const char **list,
                                                     struct captain_command *out_command);
