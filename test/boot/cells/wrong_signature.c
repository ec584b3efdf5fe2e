/* SPDX-License-Identifier: MIT */
/* Declares c0nsole_print, which make_archive renames to console_print: its first parameter is a
 * text. */
#include "application.h"

CELL(application, "1.0.0");

APPLICATION(wrong_signature);

CELL_API void c0nsole_print(uint64_t number, ...);

enum status wrong_signature_main(const struct app_arguments *arguments)
{
    (void)arguments;
    c0nsole_print(7);
    return OK;
}
