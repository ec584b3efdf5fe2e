/* SPDX-License-Identifier: MIT */
#include "application.h"
#include "console.h"
#include "counter.h"

CELL(application, "2.0.0");

APPLICATION(counting);

CELL_API uint64_t counter_since(void);

enum status counting_main(const struct app_arguments *arguments)
{
    (void)arguments;
    uint64_t count = counter_next();
    console_print("counting: version 2 counts %lu, %lu of them itself, step %lu\n",
                  (unsigned long)count, (unsigned long)counter_since(),
                  (unsigned long)counter_step());
    return OK;
}
