/* SPDX-License-Identifier: MIT */
#include "power.h"
#include "console.h"
#include "port_io.h"
#include "x86.h"

CELL(driver, "2.0.0");

#define DEBUG_EXIT 0xf4 /* where scripts/run puts QEMU's isa-debug-exit */

#define KEYBOARD_COMMAND 0x64
#define KEYBOARD_BUSY    0x02u /* of its status: the last command was not read yet */
#define KEYBOARD_RESET   0xfe  /* pulse the line that resets the CPU */

/* In reads of its status, each of which takes about a microsecond. */
#define KEYBOARD_BUSY_POLLS  10000u
#define KEYBOARD_RESET_POLLS 100000u

static struct power_way *ways;

enum status power_register(struct power_way *way)
{
    for (const struct power_way *each = ways; each; each = each->next) {
        if (each == way) {
            return ERR_EXISTS;
        }
    }
    way->next = ways;
    COMPILER_BARRIER();
    ways = way; /* commit */
    return OK;
}

void power_unregister(struct power_way *way)
{
    for (struct power_way **link = &ways; *link; link = &(*link)->next) {
        if (*link == way) {
            *link = way->next; /* commit */
            return;
        }
    }
}

void power_off(int status)
{
    bool in_range = status >= 0 && status <= POWER_STATUS_MAX;
    port_write8(DEBUG_EXIT, (uint8_t)(POWER_EXIT_MARK | (in_range ? status : POWER_STATUS_MAX)));
    for (struct power_way *way = ways; way; way = way->next) {
        if (way->off) {
            console_print("power: off by %s, with status %d\n", way->name, status);
            way->off(way);
        }
    }
    console_print("power: this machine does not switch off by itself; halted with status %d\n",
                  status);
    for (;;) {
        __asm__ volatile("cli; hlt" : : : "memory");
    }
}

static void reset_by_keyboard(void)
{
    console_print("power: reset by the keyboard controller\n");
    for (unsigned i = 0; i < KEYBOARD_BUSY_POLLS && (port_read8(KEYBOARD_COMMAND) & KEYBOARD_BUSY);
         i++) {
    }
    port_write8(KEYBOARD_COMMAND, KEYBOARD_RESET);
    for (unsigned i = 0; i < KEYBOARD_RESET_POLLS; i++) {
        (void)port_read8(KEYBOARD_COMMAND);
    }
}

void power_reboot(void)
{
    for (struct power_way *way = ways; way; way = way->next) {
        if (way->reboot) {
            console_print("power: reset by %s\n", way->name);
            way->reboot(way);
        }
    }
    reset_by_keyboard();
    console_print("power: reset by a triple fault\n");
    /* Without a table of handlers no exception can be delivered, nor the double fault after it. */
    static const struct x86_table_pointer empty = {0};
    load_idt(&empty);
    for (;;) {
        __asm__ volatile("ud2" : : : "memory");
    }
}
