/* SPDX-License-Identifier: MIT */
/*
 * A guarded field is written without its lock.
 * Caught by: locks
 */
#include "thing.h"

static struct {
    struct mutex lock;
    int count OWN_GUARDED_BY(&lock);
} table;

enum status run(int argument)
{
    table.count = argument; /* ! */
    return OK;
}
