/* SPDX-License-Identifier: MIT */
/* Each turn makes one and gives it away. */
#include "thing.h"

enum status run(int argument)
{
    for (int i = 0; i <= argument; i++) {
        OWNED(thing, thing);
        if (thing_create(i, SLOT(thing)) != OK) {
            return ERR_NO_MEMORY;
        }
        if (thing_give(SLOT(thing)) != OK) {
            return ERR_FAILED;
        }
    }
    return OK;
}
