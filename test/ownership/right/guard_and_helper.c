/* SPDX-License-Identifier: MIT */
/* A helper that needs the lock is called by one that holds it. */
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

static void count_up(struct table *table) OWN_EXCLUDES(table->lock);
static void count_up(struct table *table)
{
    GUARD(mutex, guard, &table->lock);
    count_locked(table);
}

enum status run(int argument)
{
    static struct table table;
    if (argument > 0) {
        count_up(&table);
    }
    return OK;
}
