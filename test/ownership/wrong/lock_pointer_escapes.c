/* SPDX-License-Identifier: MIT */
/*
 * The address of a guarded field is used after its lock was given back.
 * Caught by: locks
 */
#include "thing.h"

static struct {
    struct mutex lock;
    int count OWN_GUARDED_BY(&lock);
} table;

static int *find(void)
{
    GUARD(mutex, guard, &table.lock);
    return &table.count; /* ! */
}

enum status run(int argument)
{
    *find() = argument;
    return OK;
}
