/* SPDX-License-Identifier: MIT */
/*
 * host_pages.h - frames, pages and mappings, natively.
 *
 * Why: the heaps are the same sources in the kernel and in tests, fuzzing and benchmarks; what is
 * below them is replaced by this. Pages are reserved from the host's kernel, mappings give access
 * to them, and what is not mapped faults.
 *
 * Rules: misuse of these interfaces (pages given back twice, a mapping of unequal parts) aborts.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct host_pages_use {
    uint64_t frames;  /* taken */
    uint64_t mapped;  /* pages that are mapped */
    uint64_t handles; /* of frames, pages and mappings */
};

struct host_pages_use host_pages_use(void);

/*
 * From now on, the `number`th request that may fail does, and all that follow if `for_ever`; 0:
 * none. Returns how many there were since the last call.
 */
uint64_t host_pages_fail(uint64_t number, bool for_ever);

/* No more than so many frames; 0: no limit. */
void host_pages_limit(uint64_t frames);
