/* SPDX-License-Identifier: MIT */
/*
 * Ports and registers in memory are played here; every write is noted. acpi_power_init() works
 * once, so each case runs in a process of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "acpi.h"
#include "acpi_power.h"
#include "acpi_tables.h"
#include "aml_sleep.h"
#include "mmio.h"
#include "port_io.h"
#include "power.h"

#define PM1A 0x604
#define PM1B 0x704
#define SMI  0xb2

static struct acpi_fadt fadt;
static struct aml_sleep off = {.type_a = 5, .type_b = 6};
static struct acpi acpi;
static struct power_way *registered[3];
static unsigned ways;
static char written[400]; /* "port=value " each */
static uint16_t control[2];
static bool enables = true; /* the SMI command switches to ACPI mode */

/* One register block in memory is enough. */
struct mmio {
    uint64_t bytes;
};
static struct mmio block;
static uint64_t block_memory;
static enum status mmio_status;

const struct acpi *acpi_get(void)
{
    return &acpi;
}

enum status power_register(struct power_way *way)
{
    registered[ways++] = way;
    return OK;
}

static void note(unsigned port, unsigned value)
{
    char text[40];
    snprintf(text, sizeof(text), "%x=%x ", port, value);
    strcat(written, text);
}

uint16_t port_read16(uint16_t port)
{
    return control[port == PM1B];
}

void port_write16(uint16_t port, uint16_t value)
{
    note(port, value);
    control[port == PM1B] = value;
}

void port_write8(uint16_t port, uint8_t value)
{
    note(port, value);
    if (port == SMI && enables) {
        control[0] |= 1;
    }
}

enum status mmio_create(paddr_t start, uint64_t bytes, struct mmio **out)
{
    if (mmio_status != OK) {
        return mmio_status;
    }
    note((unsigned)(start >> 12), (unsigned)bytes);
    block.bytes = bytes;
    FILL(out, &block);
    return OK;
}

void mmio_drop(struct mmio **handle)
{
    *handle = NULL;
}

enum status mmio_find(const struct mmio *mmio, uint64_t offset, uint64_t size, uint64_t alignment,
                      volatile void **out)
{
    (void)alignment;
    if (offset + size > mmio->bytes) {
        return ERR_OUT_OF_BOUNDS;
    }
    *out = (uint8_t *)&block_memory + offset;
    return OK;
}

#define CHECK(condition)                                                    \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            _exit(1);                                                       \
        }                                                                   \
    } while (0)

static void machine(void)
{
    fadt = (struct acpi_fadt){
        .smi_command = SMI,
        .acpi_enable = 0xf0,
        .pm1a_control = {.address = PM1A, .space = ACPI_SPACE_IO, .bits = 16},
        .has_reset = true,
        .reset = {.address = 0xcf9, .space = ACPI_SPACE_IO, .bits = 8},
        .reset_value = 0x0f,
    };
    acpi = (struct acpi){.fadt = &fadt, .off = &off};
}

static struct power_way *way_of(bool is_off)
{
    for (unsigned i = 0; i < ways; i++) {
        if (is_off ? registered[i]->off != NULL : registered[i]->reboot != NULL) {
            return registered[i];
        }
    }
    return NULL;
}

static void say_off(void)
{
    struct power_way *way = way_of(true);
    CHECK(way);
    written[0] = '\0';
    way->off(way); /* it returns: this machine does not switch off */
}

static void off_from_legacy_mode(void)
{
    CHECK(acpi_power_init() == OK && ways == 2);
    CHECK(acpi_power_can_switch_off() && acpi_power_can_reset());
    control[0] = 0x1c02; /* another type, another bit */
    say_off();
    CHECK(strcmp(written, "b2=f0 604=1403 604=3403 ") == 0);
}

static void off_in_acpi_mode_with_two_registers(void)
{
    fadt.pm1b_control = (struct acpi_register){.address = PM1B, .space = ACPI_SPACE_IO};
    control[0] = 1;
    CHECK(acpi_power_init() == OK);
    say_off();
    CHECK(strcmp(written, "604=1401 704=1800 604=3401 704=3800 ") == 0);
}

static void off_where_the_mode_cannot_be_switched(void)
{
    enables = false;
    CHECK(acpi_power_init() == OK);
    say_off(); /* ends, and tries all the same */
    CHECK(strcmp(written, "b2=f0 604=1400 604=3400 ") == 0);
}

static void off_without_smi(void)
{
    fadt.smi_command = 0;
    CHECK(acpi_power_init() == OK);
    say_off();
    CHECK(strcmp(written, "604=1400 604=3400 ") == 0);
}

static void off_by_memory(void)
{
    fadt.pm1a_control.space = ACPI_SPACE_MEMORY;
    fadt.pm1a_control.address = 0xfed80804;
    fadt.smi_command = 0;
    block_memory = 0xffff000000008001;
    CHECK(acpi_power_init() == OK);
    CHECK(strcmp(written, "fed80=2 ") == 0);
    say_off();
    CHECK(strcmp(written, "") == 0 && block_memory == 0xffff00000000b401);
}

static void reset_by_port(void)
{
    CHECK(acpi_power_init() == OK);
    struct power_way *way = way_of(false);
    CHECK(way);
    way->reboot(way);
    CHECK(strcmp(written, "cf9=f ") == 0);
}

static void reset_by_memory(void)
{
    fadt.reset.space = ACPI_SPACE_MEMORY;
    fadt.reset.address = 0xfed80000;
    block_memory = 0x1122334455667788;
    CHECK(acpi_power_init() == OK);
    struct power_way *way = way_of(false);
    CHECK(way);
    way->reboot(way);
    CHECK(block_memory == 0x112233445566770f);
}

static void nothing_at_all(void)
{
    acpi = (struct acpi){.status = ERR_NO_DEVICE};
    CHECK(acpi_power_init() == ERR_NO_DEVICE && ways == 0);
    CHECK(!acpi_power_can_switch_off() && !acpi_power_can_reset());
}

static void only_reset(void)
{
    acpi.off = NULL;
    CHECK(acpi_power_init() == OK && ways == 1 && way_of(false));
    CHECK(!acpi_power_can_switch_off() && acpi_power_can_reset());
    CHECK(acpi_power_init() == ERR_STATE && ways == 1);
}

static void only_off(void)
{
    fadt.has_reset = false;
    CHECK(acpi_power_init() == OK && ways == 1 && way_of(true));
    CHECK(acpi_power_can_switch_off() && !acpi_power_can_reset());
}

static void neither(void)
{
    fadt.is_hardware_reduced = true;
    fadt.reset.space = ACPI_SPACE_PCI;
    CHECK(acpi_power_init() == ERR_UNSUPPORTED && ways == 0);
}

static void no_control_register(void)
{
    fadt.pm1a_control.address = 0;
    fadt.has_reset = false;
    CHECK(acpi_power_init() == ERR_UNSUPPORTED && ways == 0);
}

static void memory_of_somebody(void)
{
    fadt.pm1a_control.space = ACPI_SPACE_MEMORY;
    mmio_status = ERR_BUSY;
    CHECK(acpi_power_init() == ERR_BUSY && ways == 1 && way_of(false));
}

static void in_a_process(void (*run)(void))
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        machine();
        run();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

#define CASE(name)                        \
    static void test_##name(void **state) \
    {                                     \
        (void)state;                      \
        in_a_process(name);               \
    }

CASE(off_from_legacy_mode)
CASE(off_in_acpi_mode_with_two_registers)
CASE(off_where_the_mode_cannot_be_switched)
CASE(off_without_smi)
CASE(off_by_memory)
CASE(reset_by_port)
CASE(reset_by_memory)
CASE(nothing_at_all)
CASE(only_reset)
CASE(only_off)
CASE(neither)
CASE(no_control_register)
CASE(memory_of_somebody)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_off_from_legacy_mode),
        cmocka_unit_test(test_off_in_acpi_mode_with_two_registers),
        cmocka_unit_test(test_off_where_the_mode_cannot_be_switched),
        cmocka_unit_test(test_off_without_smi),
        cmocka_unit_test(test_off_by_memory),
        cmocka_unit_test(test_reset_by_port),
        cmocka_unit_test(test_reset_by_memory),
        cmocka_unit_test(test_nothing_at_all),
        cmocka_unit_test(test_only_reset),
        cmocka_unit_test(test_only_off),
        cmocka_unit_test(test_neither),
        cmocka_unit_test(test_no_control_register),
        cmocka_unit_test(test_memory_of_somebody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
