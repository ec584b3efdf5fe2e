/* SPDX-License-Identifier: MIT */
/*
 * power.h - the end: switches the machine off, or starts it again.
 *
 * Why: a system that is tested must be able to say how it ended. QEMU's isa-debug-exit device turns
 * a byte into QEMU's exit status. A PC has no such device, and what it has is described by tables
 * that the nano_core knows nothing of; whoever reads them registers a way (acpi_power.h).
 *
 * Rules: any context, exceptions included; other CPUs go on until the machine stops. Ways are kept
 * in a list whose every change is one store, so an exception in between finds it whole. Registering
 * and unregistering: by one CPU, at boot. Who ends the system on two CPUs at once ends it.
 */
#pragma once

#include "status.h"

#define POWER_STATUS_MAX 14 /* what fits beside POWER_EXIT_MARK and is not taken by QEMU itself */

/*
 * The byte that isa-debug-exit gets is POWER_EXIT_MARK | status, and QEMU ends with (byte << 1) |
 * 1: 33 for status 0, 35 for 1. The mark keeps these apart from QEMU's own exit status 1.
 */
#define POWER_EXIT_MARK 0x10

/*
 * A way to end; the caller's storage, for as long as it is registered. Either function may be NULL.
 * They run where anything may be broken: after an exception, on any stack, with interrupts off. So
 * they take no locks, allocate nothing, wait no longer than about a second, and return where they
 * did not work; the next way is tried then. What they need is prepared before they are registered.
 */
struct power_way {
    const char *name;
    void (*off)(struct power_way *way);
    void (*reboot)(struct power_way *way);
    struct power_way *next; /* power's */
};

/* The latest is tried first. ERR_EXISTS when this very way is registered already. */
CELL_API MUST_CHECK enum status power_register(struct power_way *way);

/* Does nothing for a way that is not registered. */
CELL_API void power_unregister(struct power_way *way);

/*
 * Tries debug-exit, then every way, then says that the machine may be switched off and halts this
 * CPU for ever. 0 says that all is well; a status outside 0 .. POWER_STATUS_MAX counts as
 * POWER_STATUS_MAX. Only debug-exit can pass it on.
 */
CELL_API NORETURN void power_off(int status);

/*
 * Tries every way, then the line by which the keyboard controller resets a PC, then an exception
 * that the CPU cannot deliver, which resets every x86.
 */
CELL_API NORETURN void power_reboot(void);
