/* SPDX-License-Identifier: MIT */
/* The kept status is tested without a comparison. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    enum status status = thing_create(argument, SLOT(thing));
    if (status) {
        return status;
    }
    thing_paint(REF(thing), 2);
    return OK;
}
