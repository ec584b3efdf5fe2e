/* SPDX-License-Identifier: MIT */
/*
 * A function that takes the lock is called by one that holds it.
 * Caught by: locks, run
 */
#include "thing.h"

struct table {
    struct mutex lock;
    int count OWN_GUARDED_BY(&lock);
};

static void count_up(struct table *table) OWN_EXCLUDES(table->lock);
static void count_up(struct table *table)
{
    GUARD(mutex, guard, &table->lock);
    table->count++;
}

enum status run(int argument)
{
    static struct table table;
    GUARD(mutex, guard, &table.lock);
    if (argument > 0) {
        count_up(&table); /* ! */
    }
    return OK;
}
