/* SPDX-License-Identifier: MIT */
/* Each turn has a slot of its own, released also by continue, break and return. */
#include "thing.h"

enum status run(int argument)
{
    for (int i = 0; i < 5; i++) {
        OWNED(thing, thing);
        if (i == argument) {
            continue;
        }
        if (thing_create(i, SLOT(thing)) != OK) {
            return ERR_NO_MEMORY;
        }
        if (i == argument + 2) {
            break;
        }
        thing_paint(REF(thing), i);
    }
    return OK;
}
