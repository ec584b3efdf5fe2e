/* SPDX-License-Identifier: MIT */
/* One out of the middle of a list, and back to its beginning. */
#include "thing.h"
#include "own_collections.h"

OWN_LIST_DEFINE(thing_list, thing, next);

enum status run(int argument)
{
    OWNED_HERE(thing_list, list);
    const struct thing *middle = NULL;
    for (int i = 0; i < 3; i++) {
        OWNED(thing, thing);
        if (thing_create(i, SLOT(thing)) != OK) {
            return ERR_NO_MEMORY;
        }
        middle = i == 1 ? REF(thing) : middle;
        thing_list_push(REF(list), SLOT(thing));
    }
    OWNED(thing, found);
    if (thing_list_remove(REF(list), middle, SLOT(found)) != OK) {
        return ERR_NOT_FOUND;
    }
    thing_paint(REF(found), argument);
    thing_list_push(REF(list), SLOT(found));
    return OK;
}
