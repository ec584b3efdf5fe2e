/* SPDX-License-Identifier: MIT */
/* A lock is held to the end of the block. */
#include "thing.h"

static struct {
    struct mutex lock;
    int count OWN_GUARDED_BY(&lock);
} table;

enum status run(int argument)
{
    GUARD(mutex, guard, &table.lock);
    table.count += argument;
    return table.count > 100 ? ERR_LIMIT : OK;
}
