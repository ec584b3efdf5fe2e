/* SPDX-License-Identifier: MIT */
#include "power.h"
#include "console.h"
#include "port_io.h"

CELL(driver, "1.0.0");

#define DEBUG_EXIT 0xf4 /* where scripts/run puts QEMU's isa-debug-exit */

/* PM1a control of ACPI, at QEMU's and at Bochs' place; SLP_EN with the S5 type of both, 0. */
#define ACPI_CONTROL_QEMU  0x604
#define ACPI_CONTROL_BOCHS 0xb004
#define ACPI_SLEEP_ENABLE  0x2000

static NORETURN void halt_for_ever(void)
{
    for (;;) {
        __asm__ volatile("cli; hlt" : : : "memory");
    }
}

void power_off(int status)
{
    bool in_range = status >= 0 && status <= POWER_STATUS_MAX;
    port_write8(DEBUG_EXIT, (uint8_t)(POWER_EXIT_MARK | (in_range ? status : POWER_STATUS_MAX)));
    port_write16(ACPI_CONTROL_QEMU, ACPI_SLEEP_ENABLE);
    port_write16(ACPI_CONTROL_BOCHS, ACPI_SLEEP_ENABLE);
    console_print("power: this machine does not switch off by itself; halted with status %d\n",
                  status);
    halt_for_ever();
}
