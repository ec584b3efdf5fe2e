/* SPDX-License-Identifier: MIT */
/* A slot that stays empty costs nothing. */
#include "thing.h"

enum status run(int argument)
{
    OWNED(thing, thing);
    return argument > 0 ? OK : ERR_FAILED;
}
