/* SPDX-License-Identifier: MIT */
/*
 * A helper that needs the lock is called without it.
 * Caught by: locks
 */
#include "thing.h"

struct table {
    struct mutex lock;
    int count OWN_GUARDED_BY(&lock);
};

static void count_locked(struct table *table) OWN_NEEDS(table->lock);
static void count_locked(struct table *table)
{
    table->count++;
}

enum status run(int argument)
{
    static struct table table;
    if (argument > 0) {
        count_locked(&table); /* ! */
    }
    return OK;
}
