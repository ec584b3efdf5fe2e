/* SPDX-License-Identifier: MIT */
/*
 * smp_test_priv.h - what the tests of memory and of calls share.
 */
#pragma once

#include "cpu_local.h"

/* Prints what was tested, and whether it is right. */
bool smp_test_expect(const char *what, bool is_as_expected);

/*
 * Runs function(argument) on all CPUs but this one; smp_test_finish() waits until all have
 * returned.
 */
bool smp_test_start(void (*function)(void *argument), void *argument);
bool smp_test_finish(void);

/* Translations that are not valid any more are used by no CPU. */
bool smp_test_shootdown(unsigned rounds);

/* All CPUs map and unmap pages at the same time, and each finds its own in them. */
bool smp_test_churn(unsigned rounds);

/* Numbers that are the same in each run. */
static inline uint32_t smp_test_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}
