/* SPDX-License-Identifier: MIT */
/* Holds an address in a field for the low 4 GiB (R_X86_64_32): no cell lies there. */
#include "application.h"

CELL(application, "1.0.0");

APPLICATION(wide_reference);

enum status wide_reference_main(const struct app_arguments *arguments)
{
    uint32_t low;
    (void)arguments;
    __asm__("movl $wide_reference_main, %0" : "=r"(low));
    return low ? OK : ERR_FAILED;
}
