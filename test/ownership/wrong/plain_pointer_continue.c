/* SPDX-License-Identifier: MIT */
/*
 * A handle in a plain pointer is lost by the turns of a loop that end early.
 * Caught by: contracts, analyzer, run
 */
#include "thing.h"

enum status run(int argument)
{
    for (int i = 0; i < 3; i++) { /* ! */
        struct thing *thing = NULL;
        if (thing_create(i, &thing) != OK) {
            return ERR_FAILED;
        }
        if (i == argument) {
            continue;
        }
        thing_drop(&thing);
    }
    return OK;
}
