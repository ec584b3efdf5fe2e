/* SPDX-License-Identifier: MIT */
#include "cpu_local.h"

#include "x86.h"

CELL(library, "1.1.0");

#if !__STDC_HOSTED__
struct cpu_local_all cpu_local_all;

/* In a process each thread has one from the start. */
void cpu_local_init(struct cpu_local *local, uint32_t index)
{
    *local = (struct cpu_local){.self = local, .index = index, .hold = HOLD_UNWANTED};
    write_msr(MSR_GS_BASE, (uint64_t)local);
    (void)__atomic_exchange_n(&cpu_local_all.of[index], local, __ATOMIC_SEQ_CST);
    uint32_t count = __atomic_load_n(&cpu_local_all.count, __ATOMIC_RELAXED);
    while (count <= index &&
           !__atomic_compare_exchange_n(&cpu_local_all.count, &count, index + 1, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
    }
}
#endif
