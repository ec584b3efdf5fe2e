/* SPDX-License-Identifier: MIT */
/* Calls the four counters, wherever they are: a digit each. */
#include "application.h"
#include "console.h"

CELL(application, "1.0.0");

APPLICATION(gauging);

CELL_API uint64_t part_alpha(void);
CELL_API uint64_t part_beta(void);
CELL_API uint64_t part_gamma(void);
CELL_API uint64_t part_delta(void);

enum status gauging_main(const struct app_arguments *arguments)
{
    (void)arguments;
    console_print("gauging: %lu%lu%lu%lu\n", (unsigned long)part_alpha(),
                  (unsigned long)part_beta(), (unsigned long)part_gamma(),
                  (unsigned long)part_delta());
    return OK;
}
