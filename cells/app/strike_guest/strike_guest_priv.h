/* SPDX-License-Identifier: MIT */
/* strike_guest_priv.h - an operation, and what must hold after a fault in it. */
#pragma once

#include "own.h"

/* What operations find there. */
struct guest {
    volatile uint64_t *text; /* executable, and nobody may store there */
};

struct guest_operation {
    const char *name;
    unsigned every; /* of its instructions one of so many is struck */

    /* In the task that is struck: before, if it is not NULL; instruction by instruction; then. */
    void (*prepare)(const struct guest *guest);
    void (*operate)(const struct guest *guest);
    bool (*is_right)(const struct guest *guest, bool has_ended);
};

/* Ends with an entry without a name. */
extern const struct guest_operation guest_operations[];

/* Calls run(guest, context) while all that operations need is there. ERR_FAILED when that is false, or where
 * others have lost something. */
MUST_CHECK enum status guest_call(bool (*run)(const struct guest *guest, void *context),
                                  void *context);
