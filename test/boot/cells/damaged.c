/* SPDX-License-Identifier: MIT */
/* Nothing is wrong with it until make_archive damages its bytes. */
#include "application.h"

CELL(application, "1.0.0");

APPLICATION(damaged);

enum status damaged_main(const struct app_arguments *arguments)
{
    (void)arguments;
    return OK;
}
