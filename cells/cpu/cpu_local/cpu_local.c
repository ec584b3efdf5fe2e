/* SPDX-License-Identifier: MIT */
#include "cpu_local.h"

#include "x86.h"

CELL(library, "1.0.0");

void cpu_local_init(struct cpu_local *local)
{
    *local = (struct cpu_local){.self = local};
    write_msr(MSR_GS_BASE, (uint64_t)local);
}
