/* SPDX-License-Identifier: MIT */
#include "application.h"
#include "console.h"
#include "counter.h"

CELL(application, "1.0.0");

APPLICATION(counting);

enum status counting_main(const struct app_arguments *arguments)
{
    (void)arguments;
    console_print("counting: version 1 counts %lu, step %lu\n", (unsigned long)counter_next(),
                  (unsigned long)counter_step());
    return OK;
}
