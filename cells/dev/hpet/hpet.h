/* SPDX-License-Identifier: MIT */
/*
 * hpet.h - the high precision event timer: a counter whose period is known.
 *
 * Why: a time stamp counter is quick to read and says nothing of its frequency. This counter is
 * slow to read and states its own, so it is what the other is measured against (clock.h). Its
 * comparators are not used: each CPU has a timer of its own.
 *
 * Rules: of hpet_init() and the rest, init comes first and on one CPU; then any context and any
 * CPU. The registers are owned by this cell for good. "HPET spec" is the IA-PC HPET Specification
 * 1.0a.
 */
#pragma once

#include "status.h"

struct hpet_description {
    uint32_t period_fs;    /* of a tick, in femtoseconds; at most 100 ns */
    uint16_t vendor;       /* as in PCI */
    uint8_t timers;        /* comparators */
    uint64_t counter_mask; /* the counter's bits: 64 or 32 of them */
};

/*
 * Finds the timer by ACPI (where acpi_init() has found that, else at the usual place), checks it
 * and lets its counter run. Once that has succeeded, OK without doing anything; after an error, or
 * a fault, the timer is as firmware had left it. ERR_NO_DEVICE where there is none; ERR_BAD_FORMAT
 * when what it says of itself is out of the specification's bounds; ERR_IO when the counter does
 * not move; or as mmio_create().
 */
CELL_API MUST_CHECK enum status hpet_init(void);

/* The counter, which wraps at counter_mask. 0 before hpet_init() has succeeded. */
CELL_API uint64_t hpet_read(void);

/* ERR_STATE before hpet_init() has succeeded. */
CELL_API MUST_CHECK enum status hpet_describe(struct hpet_description *out);
