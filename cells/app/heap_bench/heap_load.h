/* SPDX-License-Identifier: MIT */
/*
 * heap_load.h - two well-known loads for heaps, scaled, for one thread.
 *
 * Why: these are what Theseus was measured with (Table 2). The same source runs in the system and
 * on the host, there beside the C library's malloc.
 *
 * Rules: the heap is empty before and after, but for what the caller has. ERR_NO_MEMORY: all is
 * freed.
 */
#pragma once

#include "status.h"

#define THREADTEST_OBJECTS 10000u
#define SHBENCH_LIVE       1000u

/*
 * threadtest (Hoard): `rounds` times THREADTEST_OBJECTS objects of 8 bytes are allocated, written,
 * and then freed in the same order. Only the pointers are kept elsewhere, in `objects`.
 */
MUST_CHECK enum status heap_load_threadtest(void **objects, uint32_t rounds);

/*
 * shbench (MicroQuill): `count` objects of 1 to 1000 bytes, each of which replaces a random one of
 * SHBENCH_LIVE, which is freed. `objects` is zeroed.
 */
MUST_CHECK enum status heap_load_shbench(void **objects, uint32_t count);
