/* SPDX-License-Identifier: MIT */
/*
 * Tables that firmware made, and AML that a compiler made: test/fixtures/acpi, whose path is the
 * program's argument. Each lies in a block of exactly its size.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acpi_tables.h"
#include "aml_sleep.h"

static const char *folder;
static struct diag diag;

static struct span open_fixture(const char *machine, const char *name)
{
    char path[500];
    snprintf(path, sizeof(path), "%s/%s/%s", folder, machine, name);
    FILE *file = fopen(path, "rb");
    if (!file) {
        fail_msg("cannot read %s", path);
    }
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    size_t size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(size);
    assert_int_equal(fread(bytes, 1, size, file), size);
    fclose(file);
    diag = (struct diag){0};
    return span_of(bytes, size);
}

static void close_fixture(struct span bytes)
{
    free((void *)(uintptr_t)bytes.base);
}

static const struct {
    const char *name;
    paddr_t root;
    uint32_t tables, processors, disabled;
    uint32_t reset; /* 0: none */
    uint32_t control;
} machines[] = {
    {"q35-bios", 0x7fe23b3, 5, 4, 0, 0xcf9, 0x604},
    {"pc-bios", 0x7fe1aa4, 4, 1, 0, 0, 0x604},
    {"q35-uefi", 0x777c000, 6, 2, 2, 0xcf9, 0x604},
    {"q35-hotplug", 0x7fe259c, 6, 2, 4, 0xcf9, 0x604},
};

static void test_root_of_each_machine(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(machines); i++) {
        struct acpi_pointer pointer;
        struct acpi_root root;
        struct span bytes = open_fixture(machines[i].name, "rsdp.dat");
        assert_int_equal(acpi_tables_read_pointer(bytes, &pointer, &diag), OK);
        assert_int_equal(pointer.root, machines[i].root);
        assert_int_equal(pointer.entry_size, 4);
        assert_string_equal(pointer.oem, "BOCHS ");
        close_fixture(bytes);
        bytes = open_fixture(machines[i].name, "rsdt.dat");
        assert_int_equal(acpi_tables_read_root(bytes, 4, &root, &diag), OK);
        assert_int_equal(acpi_root_count(&root), machines[i].tables);
        close_fixture(bytes);
    }
}

static void test_processors_and_interrupts_of_each_machine(void **state)
{
    static struct acpi_madt madt;
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(machines); i++) {
        struct span bytes = open_fixture(machines[i].name, "apic.dat");
        assert_int_equal(acpi_tables_read_madt(bytes, &madt, &diag), OK);
        assert_int_equal(madt.processor_count, machines[i].processors);
        assert_int_equal(madt.disabled_count, machines[i].disabled);
        for (uint32_t k = 0; k < madt.processor_count; k++) {
            assert_int_equal(madt.processors[k].apic_id, k);
        }
        assert_int_equal(madt.local_apic, 0xfee00000);
        assert_true(madt.has_pics);
        assert_int_equal(madt.io_apic_count, 1);
        assert_int_equal(madt.io_apics[0].address, 0xfec00000);
        assert_int_equal(madt.isa[0].gsi, 2);
        assert_true(madt.isa[9].is_level && !madt.isa[9].is_active_low);
        assert_false(madt.isa[1].is_overridden);
        assert_int_equal(madt.local_nmi_count, 1);
        assert_int_equal(madt.local_nmis[0].uid, ACPI_EVERY_PROCESSOR);
        close_fixture(bytes);
    }
}

static void test_fixed_hardware_of_each_machine(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(machines); i++) {
        struct acpi_fadt fadt;
        struct acpi_hpet hpet;
        struct span bytes = open_fixture(machines[i].name, "facp.dat");
        assert_int_equal(acpi_tables_read_fadt(bytes, &fadt, &diag), OK);
        assert_int_equal(fadt.has_reset, machines[i].reset != 0);
        assert_int_equal(fadt.reset.address, machines[i].reset);
        assert_int_equal(fadt.pm1a_control.address, machines[i].control);
        assert_int_equal(fadt.pm1a_control.space, ACPI_SPACE_IO);
        assert_int_equal(fadt.pm1b_control.address, 0);
        assert_int_equal(fadt.sci, 9);
        assert_int_equal(fadt.century, 0x32);
        assert_int_equal(fadt.smi_command, 0xb2);
        close_fixture(bytes);
        bytes = open_fixture(machines[i].name, "hpet.dat");
        assert_int_equal(acpi_tables_read_hpet(bytes, &hpet, &diag), OK);
        assert_int_equal(hpet.address, 0xfed00000);
        assert_int_equal(hpet.vendor, 0x8086);
        close_fixture(bytes);
    }
}

static enum status find_off(const char *machine, const char *name, struct aml_sleep *out)
{
    struct span bytes = open_fixture(machine, name);
    struct span table;
    struct span aml;
    enum status status = ERR_FAILED;
    if (acpi_tables_check(bytes, NULL, &table, &diag) == OK &&
        span_slice(table, ACPI_HEADER_SIZE, table.size - ACPI_HEADER_SIZE, &aml)) {
        status = aml_sleep_find(aml, AML_SLEEP_OFF, out, &diag);
    }
    close_fixture(bytes);
    return status;
}

static void test_switching_off_real_machines(void **state)
{
    static const char *const names[] = {"q35-bios", "pc-bios", "q35-hotplug"};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        struct aml_sleep off = {77, 77};
        assert_int_equal(find_off(names[i], "dsdt.dat", &off), OK);
        assert_int_equal(off.type_a, 0);
        assert_int_equal(off.type_b, 0);
    }
}

static void test_switching_off_as_compiled(void **state)
{
    static const struct {
        const char *name;
        enum diag_code code;
        uint8_t a, b;
    } cases[] = {
        {"plain.dat", DIAG_NONE, 7, 7},
        {"root_name.dat", DIAG_NONE, 5, 1},
        {"others_too.dat", DIAG_NONE, 7, 0},
        {"one_number.dat", DIAG_NONE, 5, 3},
        {"either.dat", DIAG_AML_TWICE, 0, 0},
        {"method.dat", DIAG_AML_ABSENT, 0, 0},
        {"reference.dat", DIAG_AML_ELEMENT, 0, 0},
        {"too_large.dat", DIAG_AML_ELEMENT, 0, 0},
        {"none.dat", DIAG_AML_ABSENT, 0, 0},
        {"in_text.dat", DIAG_AML_ABSENT, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct aml_sleep off = {0};
        enum status status = find_off("aml", cases[i].name, &off);
        if ((status == OK) != (cases[i].code == DIAG_NONE) || diag.code != cases[i].code ||
            off.type_a != cases[i].a || off.type_b != cases[i].b) {
            fail_msg("%s: status %d, code %d, types %u %u", cases[i].name, status, diag.code,
                     off.type_a, off.type_b);
        }
    }
}

/* Every byte of every table counts: a checksum sees each single change. */
static void test_every_wrong_byte_is_refused(void **state)
{
    static const char *const names[] = {"apic.dat", "facp.dat", "hpet.dat", "rsdt.dat", "dsdt.dat"};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        struct span bytes = open_fixture("q35-bios", names[i]);
        uint8_t *writable = (uint8_t *)(uintptr_t)bytes.base;
        size_t step = bytes.size > 500 ? 37 : 1;
        for (size_t at = 0; at < bytes.size; at += step) {
            struct span table;
            writable[at] ^= 0x10;
            assert_true(acpi_tables_check(bytes, NULL, &table, &diag) != OK);
            writable[at] ^= 0x10;
        }
        close_fixture(bytes);
    }
}

int main(int count, char **values)
{
    if (count != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", values[0]);
        return 2;
    }
    folder = values[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_root_of_each_machine),
        cmocka_unit_test(test_processors_and_interrupts_of_each_machine),
        cmocka_unit_test(test_fixed_hardware_of_each_machine),
        cmocka_unit_test(test_switching_off_real_machines),
        cmocka_unit_test(test_switching_off_as_compiled),
        cmocka_unit_test(test_every_wrong_byte_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
