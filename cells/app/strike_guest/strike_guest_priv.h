/* SPDX-License-Identifier: MIT */
/* strike_guest_priv.h - an operation, and what must hold after a fault in it. */
#pragma once

#include "own.h"

struct guest_operation {
    const char *name;
    unsigned every;                   /* of its instructions one of so many is struck */
    void (*prepare)(void);            /* in the task that is struck then; NULL: nothing */
    void (*operate)(void);            /* executed instruction by instruction */
    bool (*is_right)(bool has_ended); /* in that task: afterwards, and as things go on */
};

/* Ends with an entry without a name. */
extern const struct guest_operation guest_operations[];

/* What the operations share; the second is false where something has gone wrong meanwhile. */
MUST_CHECK enum status guest_begin(void);
bool guest_end(void);
