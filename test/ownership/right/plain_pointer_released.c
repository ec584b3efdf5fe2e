/* SPDX-License-Identifier: MIT */
/* A plain pointer that is released on every path. */
#include "thing.h"

enum status run(int argument)
{
    struct thing *thing = NULL;
    if (thing_create(argument, &thing) != OK) {
        return ERR_NO_MEMORY;
    }
    enum status status = thing_check(thing);
    thing_drop(&thing);
    return status;
}
