/* SPDX-License-Identifier: MIT */
/*
 * What a pointer points to is guarded, and changed without the lock.
 * Caught by: locks
 */
#include "thing.h"

static int number;
static struct {
    struct mutex lock;
    int *place OWN_POINTS_TO_GUARDED_BY(&lock);
} table = {.place = &number};

enum status run(int argument)
{
    *table.place = argument; /* ! */
    return OK;
}
