/* SPDX-License-Identifier: MIT */
/* A lock is given back on every way out. */
#include "thing.h"

static struct {
    struct mutex lock;
    int count OWN_GUARDED_BY(&lock);
} table;

enum status run(int argument)
{
    GUARD(mutex, guard, &table.lock);
    if (argument == 1) {
        return ERR_FAILED;
    }
    for (int i = 0; i < 3; i++) {
        if (i == argument) {
            continue;
        }
        table.count++;
    }
    return OK;
}
