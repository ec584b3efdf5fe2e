/* SPDX-License-Identifier: MIT */
#include "kill_deferral.h"

CELL(library, "1.0.0");

static void (*check)(void); /* NULL: nobody runs tasks yet */

void kill_deferral_check(void)
{
    if (check) {
        check();
    }
}

void kill_deferral_set_check(void (*function)(void))
{
    check = function;
}

void kill_deferral_drop(struct kill_deferral **guard)
{
    if (*guard) {
        EMPTY(guard);
        kill_deferral_check();
    }
}
