/* SPDX-License-Identifier: MIT */
/* Defines hell0_main, which make_archive renames to hello_main: that is another cell's symbol. */
#include "application.h"

CELL(application, "1.0.0");

APPLICATION(second_hello);
APPLICATION(hell0);

enum status hell0_main(const struct app_arguments *arguments)
{
    (void)arguments;
    return OK;
}

enum status second_hello_main(const struct app_arguments *arguments)
{
    return hell0_main(arguments);
}
