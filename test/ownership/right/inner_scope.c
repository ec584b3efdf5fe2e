/* SPDX-License-Identifier: MIT */
/* A slot of an inner block is released before an outer one. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, outer);
    if (thing_create(argument, SLOT(outer)) != OK) {
        return ERR_NO_MEMORY;
    }
    {
        OWNED(thing, inner);
        if (thing_create(argument, SLOT(inner)) != OK) {
            return ERR_NO_MEMORY;
        }
        thing_paint(REF(inner), thing_number(REF(outer)));
    }
    thing_paint(REF(outer), 1);
    return OK;
}
