/* SPDX-License-Identifier: MIT */
/*
 * acpi_power.h - switches off and resets the machine by what ACPI describes.
 *
 * Why: a PC is switched off by writing the type of sleep that the DSDT names to the control
 * registers that the FADT names, and reset by another register of it. power, in the nano_core, must
 * work without any table; so the ways are registered there (power.h), as far as the tables give
 * them.
 *
 * Rules: acpi_power_init() after acpi_init(), once; from then on the registers of ACPI that lie in
 * memory are owned here, for good. The functions that it registers keep the contract of power.h.
 * Registers in ports and in memory are used; hardware-reduced machines, and reset registers in the
 * configuration space of PCI, are not supported.
 */
#pragma once

#include "status.h"

/*
 * ERR_NO_DEVICE without ACPI or FADT. OK when there is at least one of both ways; ERR_UNSUPPORTED
 * when the tables give neither. ERR_STATE when called twice. A register in memory that cannot be
 * mapped: as mmio_create().
 */
CELL_API MUST_CHECK enum status acpi_power_init(void);

/* Which of both are registered. */
CELL_API bool acpi_power_can_switch_off(void);
CELL_API bool acpi_power_can_reset(void);
