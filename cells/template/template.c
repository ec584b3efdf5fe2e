/* SPDX-License-Identifier: MIT */
/*
 * How it works, and which other ways were rejected, stands here; what it promises stands in the
 * header. Order: own header, other headers, constants, types, static helpers, exported functions
 * last.
 */
#include "template.h"

/* library, driver or application; the version changes with the contract. */
CELL(library, "1.0.0");

enum status template_percent(uint64_t share, uint64_t whole, uint64_t *out_percent)
{
    if (whole == 0) {
        return ERR_INVALID_ARGUMENT;
    }
    if (share > TEMPLATE_SHARE_MAX) {
        return ERR_OVERFLOW;
    }
    *out_percent = share * 100 / whole;
    return OK;
}
