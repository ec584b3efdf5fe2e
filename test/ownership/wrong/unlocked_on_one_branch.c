/* SPDX-License-Identifier: MIT */
/*
 * The lock is taken on one branch only.
 * Caught by: locks
 */
#include "thing.h"

static struct {
    struct mutex lock;
    int count OWN_GUARDED_BY(&lock);
} table;

enum status run(int argument)
{
    if (argument > 1) {
        GUARD(mutex, guard, &table.lock);
        table.count++;
    } else {
        table.count--; /* ! */
    }
    return OK;
}
