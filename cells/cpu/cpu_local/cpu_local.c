/* SPDX-License-Identifier: MIT */
#include "cpu_local.h"

#include "x86.h"

CELL(library, "1.1.0");

#if !__STDC_HOSTED__
/* In a process each thread has one from the start. */
void cpu_local_init(struct cpu_local *local, uint32_t index)
{
    *local = (struct cpu_local){.self = local, .index = index, .hold = HOLD_UNWANTED};
    write_msr(MSR_GS_BASE, (uint64_t)local);
}
#endif
