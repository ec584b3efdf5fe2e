/* SPDX-License-Identifier: MIT */
/* Four ways out, one release. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_NO_MEMORY;
    }
    if (thing_check(REF(thing)) != OK) {
        return ERR_FAILED;
    }
    if (thing_number(REF(thing)) == 2) {
        return ERR_INVALID_ARGUMENT;
    }
    return OK;
}
