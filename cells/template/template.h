/* SPDX-License-Identifier: MIT */
/*
 * template.h - an example to copy: a share of a whole in percent.
 *
 * Why: a cell is easiest to begin from one that is complete. This is where a new one says which
 * problem it takes off its users' hands; `scripts/new-cell GROUP NAME` puts the new name into the
 * copy.
 *
 * Rules: when and by whom it may be called, who owns what, what is locked, what the limits are.
 * Here: pure, no state, any context.
 */
#pragma once

#include "status.h"

/* Every limit is a named number with its reason: up to here, 100 times the share fits 64 bits. */
#define TEMPLATE_SHARE_MAX (UINT64_MAX / 100)

/*
 * What is not obvious: rounds down; a share may be larger than the whole. ERR_INVALID_ARGUMENT when
 * the whole is 0, ERR_OVERFLOW when the share is above TEMPLATE_SHARE_MAX. Results come last, and
 * are written on success only.
 */
CELL_API MUST_CHECK enum status template_percent(uint64_t share, uint64_t whole,
                                                 uint64_t *out_percent);
