/* SPDX-License-Identifier: MIT */
/*
 * hello [NAME] - the smallest application. That it prints anything shows that its cell, and all
 * that it needs, was found, placed, linked and called.
 */
#include "application.h"
#include "console.h"

CELL(application, "1.0.0");

APPLICATION(hello);

enum status hello_main(const struct app_arguments *arguments)
{
    const char *name = arguments->count > 1 ? arguments->values[1] : "world";
    console_print("Hello, %s! This cell was linked at run time; its entry is at %p.\n", name,
                  (void *)(uintptr_t)hello_main);
    return OK;
}
