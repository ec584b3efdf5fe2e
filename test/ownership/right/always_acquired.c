/* SPDX-License-Identifier: MIT */
/* An acquisition that cannot fail needs no test. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    thing_create_spare(SLOT(thing));
    thing_paint(REF(thing), argument);
    return OK;
}
