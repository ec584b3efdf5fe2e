/* SPDX-License-Identifier: MIT */
/*
 * Two plain pointers: the failure of the second acquisition forgets the first.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    struct thing *first = NULL;
    struct thing *second = NULL;
    if (thing_create(argument, &first) != OK) {
        return ERR_FAILED;
    }
    if (thing_create(argument, &second) != OK) {
        return ERR_NO_MEMORY;
    }
    thing_drop(&second);
    thing_drop(&first);
    return OK;
} /* ! */
