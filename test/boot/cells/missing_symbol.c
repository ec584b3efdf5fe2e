/* SPDX-License-Identifier: MIT */
/* Needs a symbol that no cell defines. */
#include "application.h"

CELL(application, "1.0.0");

APPLICATION(missing_symbol);

CELL_API enum status nobody_defines_this(void);

enum status missing_symbol_main(const struct app_arguments *arguments)
{
    (void)arguments;
    return nobody_defines_this();
}
