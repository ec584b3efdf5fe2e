/* SPDX-License-Identifier: MIT */
/* One variable has the status of each step, tested each time. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, one);
    OWNED(thing, two);
    enum status status = thing_create(argument, SLOT(one));
    if (status != OK) {
        return status;
    }
    status = thing_create(argument, SLOT(two));
    if (status != OK) {
        return status;
    }
    status = thing_check(REF(one));
    if (status != OK) {
        return status;
    }
    thing_paint(REF(two), thing_number(REF(one)));
    return OK;
}
