/* SPDX-License-Identifier: MIT */
/* A list that is owned as one: pushed to, popped from, released with the rest. */
#include "thing.h"
#include "own_collections.h"

OWN_LIST_DEFINE(thing_list, thing, next);

enum status run(int argument)
{
    OWNED_HERE(thing_list, list);
    for (int i = 0; i <= argument; i++) {
        OWNED(thing, thing);
        if (thing_create(i, SLOT(thing)) != OK) {
            return ERR_NO_MEMORY;
        }
        thing_list_push(REF(list), SLOT(thing));
    }
    OWNED(thing, first);
    if (thing_list_pop(REF(list), SLOT(first)) != OK) {
        return ERR_NOT_FOUND;
    }
    return thing_check(REF(first));
}
