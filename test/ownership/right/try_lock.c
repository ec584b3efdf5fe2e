/* SPDX-License-Identifier: MIT */
/* A lock that may be had by another: its guard is asked before what it protects is touched. */
#include "thing.h"

static struct {
    struct mutex lock;
    int tries;
} table;

enum status run(int argument)
{
    OWNED(mutex, held);
    if (!mutex_try_lock(&table.lock, SLOT(held))) {
        return ERR_AGAIN;
    }
    table.tries += argument;
    return OK;
}
