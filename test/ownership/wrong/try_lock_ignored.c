/* SPDX-License-Identifier: MIT */
/*
 * A lock that may not have been had is taken for had.
 * Caught by: contracts, locks, warnings
 */
#include "thing.h"

static struct {
    struct mutex lock;
    int count OWN_GUARDED_BY(&lock);
} table;

enum status run(int argument)
{
    OWNED(mutex, held);
    mutex_try_lock(&table.lock, SLOT(held)); /* ! */
    table.count = argument;                  /* ! */
    return OK;
}
