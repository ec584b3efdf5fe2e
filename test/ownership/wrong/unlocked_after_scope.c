/* SPDX-License-Identifier: MIT */
/*
 * The guard's scope has ended when the field is written.
 * Caught by: locks
 */
#include "thing.h"

static struct {
    struct mutex lock;
    int count OWN_GUARDED_BY(&lock);
} table;

enum status run(int argument)
{
    {
        GUARD(mutex, guard, &table.lock);
        table.count = argument;
    }
    table.count++; /* ! */
    return OK;
}
