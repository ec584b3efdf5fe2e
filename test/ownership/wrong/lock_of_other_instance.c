/* SPDX-License-Identifier: MIT */
/*
 * The lock of one table is held while the field of another is written.
 * Caught by: nothing
 */
#include "thing.h"

struct table {
    struct mutex lock;
    int count OWN_GUARDED_BY(&lock);
};

enum status run(int argument)
{
    static struct table one;
    static struct table two;
    GUARD(mutex, guard, &one.lock);
    two.count = argument;
    return two.count > 0 ? OK : ERR_FAILED;
}
