/* SPDX-License-Identifier: MIT */
/* Two locks, in their order. */
#include "thing.h"

static struct mutex second;
static struct mutex first OWN_BEFORE(second);

enum status run(int argument)
{
    GUARD(mutex, outer, &first);
    if (argument > 0) {
        GUARD(mutex, inner, &second);
        return OK;
    }
    return ERR_FAILED;
}
