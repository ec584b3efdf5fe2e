/* SPDX-License-Identifier: MIT */
/* Each turn takes the lock and gives it back. */
#include "thing.h"

static struct {
    struct mutex lock;
    int count OWN_GUARDED_BY(&lock);
} table;

enum status run(int argument)
{
    for (int i = 0; i <= argument; i++) {
        GUARD(mutex, guard, &table.lock);
        if (table.count == 2) {
            break;
        }
        table.count++;
    }
    return OK;
}
