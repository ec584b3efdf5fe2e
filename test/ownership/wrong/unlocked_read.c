/* SPDX-License-Identifier: MIT */
/*
 * A guarded field is read without its lock.
 * Caught by: locks
 */
#include "thing.h"

static struct {
    struct mutex lock;
    int count OWN_GUARDED_BY(&lock);
} table;

enum status run(int argument)
{
    return table.count > argument ? OK : ERR_FAILED; /* ! */
}
