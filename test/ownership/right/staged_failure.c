/* SPDX-License-Identifier: MIT */
/* Three acquisitions in one condition; whatever fails, the earlier ones are released. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, one);
    OWNED(thing, two);
    OWNED(thing, three);
    if (thing_create(1, SLOT(one)) != OK || thing_create(2, SLOT(two)) != OK ||
        thing_create(3, SLOT(three)) != OK) {
        return ERR_NO_MEMORY;
    }
    thing_paint(REF(one), argument);
    thing_paint(REF(two), argument);
    thing_paint(REF(three), argument);
    return OK;
}
