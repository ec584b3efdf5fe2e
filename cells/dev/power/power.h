/* SPDX-License-Identifier: MIT */
/*
 * power.h - the end: switches the machine off.
 *
 * Why: a system that is tested must be able to say how it ended. QEMU's isa-debug-exit device turns
 * a byte into QEMU's exit status; without it, the ACPI ports of QEMU's machines switch off.
 *
 * Rules: any context, exceptions included. On a machine that has neither, the CPU halts for ever.
 */
#pragma once

#include "cell.h"

#define POWER_STATUS_MAX 14 /* what fits beside POWER_EXIT_MARK and is not taken by QEMU itself */

/*
 * The byte that isa-debug-exit gets is POWER_EXIT_MARK | status, and QEMU ends with (byte << 1) |
 * 1: 33 for status 0, 35 for 1. The mark keeps these apart from QEMU's own exit status 1.
 */
#define POWER_EXIT_MARK 0x10

/* 0 says that all is well; a status outside 0 .. POWER_STATUS_MAX counts as POWER_STATUS_MAX. */
CELL_API NORETURN void power_off(int status);
