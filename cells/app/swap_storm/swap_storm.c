/* SPDX-License-Identifier: MIT */
/*
 * swap_storm [failures [STEPS]|kills [KILLS]|faults [FAULTS]] - swaps that do not succeed, while tasks use the
 * system.
 *
 * The load runs on all CPUs: it allocates, maps, takes a mutex in turn, sends numbers, sleeps, and
 * looks at what it has got (swap_storm_load.c). failures: a swap of two cells, one with a
 * transfer, and one of all cells at once fail at STEPS of their steps each, spread from the first
 * to the last, 0: at every one; text, constants, entries, maps and graph are as before, to the
 * byte. kills: a task that swaps is killed at KILLS random moments; the system is before or after
 * a swap, and nothing is left over. faults: the CPU faults at FAULTS instructions of a swap, from the
 * window to the end; without the load, so that all memory can be counted. Without an argument all
 * of it, few of each.
 */
#include "swap_storm.h"
#include "application.h"
#include "console.h"

CELL(application, "1.0.0");

APPLICATION(swap_storm);

#define STEPS_DEFAULT  6u
#define KILLS_DEFAULT  30u
#define FAULTS_DEFAULT 12u

bool check(const char *what, bool is_right)
{
    console_print("swap_storm: %s: %s\n", what, is_right ? "OK" : "FAILED");
    return is_right;
}

enum status swap_storm_main(const struct app_arguments *arguments)
{
    const char *what = arguments->count > 1 ? arguments->values[1] : "";
    bool is_all = what[0] == '\0';
    bool is_failures = __builtin_strcmp(what, "failures") == 0;
    bool is_kills = __builtin_strcmp(what, "kills") == 0;
    bool is_faults = __builtin_strcmp(what, "faults") == 0;
    bool is_right = is_all || is_failures || is_kills || is_faults;
    if (is_all || is_faults) {
        is_right &= check("faults in the commit of a swap",
                          test_faults(app_number(arguments, 2, FAULTS_DEFAULT)));
    }
    if (is_all || is_kills) {
        is_right &= check("kills of who swaps under load",
                          under_load(test_kills, app_number(arguments, 2, KILLS_DEFAULT)));
    }
    if (is_all || is_failures) { /* last: it leaves the third version */
        is_right &= check("steps that fail under load",
                          under_load(test_failures, app_number(arguments, 2, STEPS_DEFAULT)));
    }
    return is_right ? OK : ERR_FAILED;
}
