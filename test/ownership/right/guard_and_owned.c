/* SPDX-License-Identifier: MIT */
/* A thing is made under a lock and stored under it. */
#include "thing.h"

static struct {
    struct mutex lock;
    struct thing *content OWN_GUARDED_BY(&lock);
} table;

enum status run(int argument)
{
    OWNED(thing, thing);
    if (thing_create(argument, SLOT(thing)) != OK) {
        return ERR_NO_MEMORY;
    }
    GUARD(mutex, guard, &table.lock);
    STORE(table.content, thing);
    thing_drop(&table.content);
    return OK;
}
