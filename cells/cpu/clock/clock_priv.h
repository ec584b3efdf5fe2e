/* SPDX-License-Identifier: MIT */
/* clock_priv.h - how the time stamp counter is measured against another counter. */
#pragma once

#include "status.h"

/* A counter whose period is known. */
struct clock_reference {
    uint64_t period_fs;
    uint64_t mask;                      /* at which it wraps */
    enum status (*read)(uint64_t *out); /* ERR_OVERFLOW: it has wrapped too often; begin again */
};

struct clock_measurement {
    uint64_t hz;
    uint64_t ns; /* how long it took, without the first sample */
    uint32_t error_ppm;
};

/* As the reference; ERR_OUT_OF_BOUNDS when the time stamp counter stands still. */
MUST_CHECK enum status clock_calibrate(const struct clock_reference *reference,
                                       struct clock_measurement *out);

/* a * b / divisor, rounded down; UINT64_MAX where that does not fit or the divisor is 0. */
uint64_t clock_multiply_divide(uint64_t a, uint64_t b, uint64_t divisor);
