/* SPDX-License-Identifier: MIT */
/* The machine that is described is made up here. */
#include "acpi.h"
#include "acpi_power.h"
#include "acpi_tables.h"
#include "aml_sleep.h"
#include "application.h"
#include "console_recorder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

APPLICATION(firmware);

static struct acpi acpi;
static struct acpi_madt madt;
static struct acpi_fadt fadt;
static bool has_power;

const struct acpi *acpi_get(void)
{
    return &acpi;
}

bool acpi_power_can_switch_off(void)
{
    return has_power;
}

bool acpi_power_can_reset(void)
{
    return has_power;
}

static struct console_recorder said;

static int clear(void **state)
{
    (void)state;
    acpi = (struct acpi){0};
    memset(&madt, 0, sizeof(madt));
    fadt = (struct acpi_fadt){0};
    has_power = false;
    console_recorder_clear(&said);
    return 0;
}

static void fill_madt(void)
{
    madt.local_apic = 0xfee00000;
    madt.has_pics = true;
    madt.processor_count = 2;
    madt.processors[1].apic_id = 4;
    madt.capable_count = 1;
    madt.disabled_count = 3;
    madt.duplicate_count = 5;
    madt.left_out = 6;
    madt.io_apic_count = 1;
    madt.io_apics[0] = (struct acpi_io_apic){.id = 7, .address = 0xfec00000, .gsi_base = 24};
    madt.isa[9] = (struct acpi_interrupt){
        .gsi = 20, .is_overridden = true, .is_level = true, .is_active_low = true};
    madt.isa[0] = (struct acpi_interrupt){.gsi = 2, .is_overridden = true};
    madt.nmi_count = 1;
    madt.nmis[0] = (struct acpi_nmi){.gsi = 23, .is_level = true};
    madt.local_nmi_count = 2;
    madt.local_nmis[0] = (struct acpi_local_nmi){.uid = ACPI_EVERY_PROCESSOR, .lint = 1};
    madt.local_nmis[1] = (struct acpi_local_nmi){.uid = 3, .is_active_low = true};
    acpi.madt = &madt;
}

static void test_firmware_prints_every_part(void **state)
{
    (void)state;
    const struct acpi_hpet hpet = {
        .address = 0xfed00000, .comparators = 3, .is_64_bit = true, .minimum_tick = 128};
    const struct aml_sleep off = {.type_a = 5, .type_b = 1};
    struct acpi_entry entries[2] = {
        {.address = 0x7fe2193, .signature = "FACP", .revision = 3, .length = 244},
        {.address = 0x7fe2287},
    };
    (void)!diag_set(&entries[1].diag, DIAG_ACPI_MEMORY,
                    &(struct diag_site){.cell = "acpi", .section = "????"});
    fadt.pm1a_control = (struct acpi_register){.address = 0x604, .space = ACPI_SPACE_IO};
    fadt.pm1b_control = (struct acpi_register){.address = 0xfed8, .space = ACPI_SPACE_MEMORY};
    fadt.reset = (struct acpi_register){.address = 0x44, .space = ACPI_SPACE_PCI};
    acpi.source = ACPI_SOURCE_SCAN;
    acpi.revision = 2;
    acpi.root = 0x7fe23b3;
    acpi.entries = entries;
    acpi.entry_count = 2;
    acpi.left_out = 9;
    acpi.fadt = &fadt;
    acpi.hpet = &hpet;
    acpi.off = &off;
    has_power = true;
    fill_madt();
    assert_int_equal(firmware_main(NULL), OK);
    assert_string_equal(said.text,
                        "tables: root at 000007fe23b3, found by a search, revision 2\n"
                        "  FACP at 000007fe2193      244 bytes, revision 3\n"
                        "  ???? at 000007fe2287        0 bytes, revision 0: refused\n"
                        "    C0610 acpi:????+0x0: table lies in memory that is not the firmware's\n"
                        "  and 9 more, which were not looked at\n"
                        "processors: 2, 1 that may be plugged in, 3 disabled; APIC ids 0 4\n"
                        "  local APIC at 0000fee00000, and two 8259\n"
                        "  IO APIC 7 at 0000fec00000, interrupts from 24\n"
                        "  ISA interrupt 0 is 2, edge, active high\n"
                        "  ISA interrupt 9 is 20, level, active low\n"
                        "  interrupt 23 is not maskable, level, active high\n"
                        "  LINT1 of every processor is NMI, edge, active high\n"
                        "  LINT0 of processor 3 is NMI, edge, active low\n"
                        "  6 entries are too many, 5 processors are listed twice\n"
                        "HPET: at 0000fed00000, 3 comparators, 64 bits, shortest period 128 ticks\n"
                        "power: ACPI can switch this machine off, and can reset it\n"
                        "  sleep type 5, of the second register 1\n"
                        "  PM1a control: port 0x604\n"
                        "  PM1b control: memory 0xfed8\n"
                        "  reset: space ? 0x44\n");
}

static void test_firmware_without_tables_says_why(void **state)
{
    (void)state;
    acpi.status = diag_set(&acpi.diag, DIAG_ACPI_ABSENT, &(struct diag_site){.cell = "acpi"});
    acpi.off_diag = acpi.diag;
    assert_int_equal(firmware_main(NULL), OK);
    assert_string_equal(said.text,
                        "tables: none that can be used: device is not there\n"
                        "    C0612 acpi: there are no ACPI tables\n"
                        "processors: one, for there is no table of them\n"
                        "HPET: none\n"
                        "power: ACPI cannot switch this machine off, and cannot reset it\n"
                        "    C0612 acpi: there are no ACPI tables\n");
}

int main(void)
{
    console_recorder_start(&said);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_firmware_prints_every_part, clear),
        cmocka_unit_test_setup(test_firmware_without_tables_says_why, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
