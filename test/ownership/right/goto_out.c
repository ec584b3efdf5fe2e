/* SPDX-License-Identifier: MIT */
/* A jump leaves the scope of a slot. */
#include "thing.h"

enum status run(int argument)
{
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 3; k++) {
            OWNED(thing, thing);
            if (thing_create(k, SLOT(thing)) != OK) {
                return ERR_NO_MEMORY;
            }
            if (i + k == argument) {
                goto found;
            }
        }
    }
    return ERR_NOT_FOUND;
found:
    return OK;
}
