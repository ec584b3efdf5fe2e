/* SPDX-License-Identifier: MIT */
/*
 * One handle is stored in two places.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

static struct {
    struct thing *first;
    struct thing *second;
} table;

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_FAILED;
    }
    STORE(table.first, thing);
    STORE(table.second, thing); /* ! */
    thing_paint(STORED(table.second), 1);
    thing_drop(&table.first);
    thing_drop(&table.second);
    return OK;
}
