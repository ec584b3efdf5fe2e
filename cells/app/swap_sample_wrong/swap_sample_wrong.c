/* SPDX-License-Identifier: MIT */
/* Has two functions of its interface, and not the others. */
#include "swap_sample.h"
#include "task.h"

CELL(library, "1.0.0");

#define PAUSE_NS 1000000ull

uint64_t swap_sample_version(void)
{
    return 4;
}

uint64_t swap_sample_wait(bool *has_begun, const bool *is_over)
{
    __atomic_store_n(has_begun, true, __ATOMIC_RELEASE);
    while (!__atomic_load_n(is_over, __ATOMIC_ACQUIRE)) {
        task_sleep(PAUSE_NS);
    }
    return 0;
}
