/* SPDX-License-Identifier: MIT */
/*
 * A long jump leaves a scope without its cleanup.
 * Caught by: analyzer, run
 */
#include "thing.h"

#include <setjmp.h>

static jmp_buf way_out;

static void leave(int number)
{
    OWNED(thing, thing);
    if (thing_create(number, SLOT(thing)) == OK) {
        longjmp(way_out, 1);
    }
}

enum status run(int argument)
{
    if (setjmp(way_out) == 0) {
        leave(argument);
    }
    return OK;
}
