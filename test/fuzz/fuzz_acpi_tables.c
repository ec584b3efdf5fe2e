/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a root pointer and as each of the tables. A checksum would keep the search from
 * getting anywhere, so length and checksum are set right first, unless the last byte of the header
 * is odd. What is accepted keeps what the header promises.
 */
#include "acpi_tables.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(bool holds)
{
    if (!holds) {
        abort();
    }
}

static uint8_t sum_of(const uint8_t *bytes, size_t size)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < size; i++) {
        sum = (uint8_t)(sum + bytes[i]);
    }
    return sum;
}

static void set_checksum(uint8_t *bytes, size_t at, size_t size)
{
    if (at < size) {
        bytes[at] = (uint8_t)(bytes[at] - sum_of(bytes, size));
    }
}

static void try_pointer(struct span bytes)
{
    struct acpi_pointer pointer;
    struct diag diag = {0};
    if (acpi_tables_read_pointer(bytes, &pointer, &diag) != OK) {
        check(diag.code != DIAG_NONE);
    } else {
        check(pointer.root && pointer.root < PHYSICAL_LIMIT);
        check(pointer.entry_size == 4 || pointer.entry_size == 8);
        check(strlen(pointer.oem) == sizeof(pointer.oem) - 1);
    }
    (void)!acpi_tables_find_pointer(bytes, &pointer, &diag);
}

static void try_root(struct span bytes, uint8_t entry_size)
{
    struct acpi_root root;
    struct diag diag = {0};
    if (acpi_tables_read_root(bytes, entry_size, &root, &diag) != OK) {
        check(diag.code != DIAG_NONE);
        return;
    }
    paddr_t sum = 0;
    for (size_t i = 0; i <= acpi_root_count(&root); i++) {
        sum += acpi_root_at(&root, i);
    }
    __asm__ volatile("" ::"r"(sum));
}

static void try_madt(struct span bytes)
{
    static struct acpi_madt madt;
    struct diag diag = {0};
    if (acpi_tables_read_madt(bytes, &madt, &diag) != OK) {
        check(diag.code != DIAG_NONE);
        return;
    }
    uint32_t count = madt.processor_count + madt.capable_count;
    check(count <= ACPI_PROCESSOR_LIMIT && madt.io_apic_count <= ACPI_IO_APIC_LIMIT);
    check(madt.nmi_count <= ACPI_NMI_LIMIT && madt.local_nmi_count <= ACPI_LOCAL_NMI_LIMIT);
    check(madt.local_apic && page_is_aligned(madt.local_apic));
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < i; k++) {
            check(madt.processors[i].apic_id != madt.processors[k].apic_id);
        }
    }
}

static void check_register(const struct acpi_register *where)
{
    check(where->space != ACPI_SPACE_IO || where->address <= 0xffff);
    check(where->space != ACPI_SPACE_MEMORY || where->address < PHYSICAL_LIMIT);
}

static void try_fixed(struct span bytes)
{
    struct acpi_fadt fadt;
    struct acpi_hpet hpet;
    struct diag diag = {0};
    if (acpi_tables_read_fadt(bytes, &fadt, &diag) == OK) {
        check(fadt.dsdt && fadt.dsdt < PHYSICAL_LIMIT && (!fadt.has_reset || fadt.reset.address));
        check_register(&fadt.pm1a_control);
        check_register(&fadt.pm1b_control);
        check_register(&fadt.reset);
    } else {
        check(diag.code != DIAG_NONE);
    }
    diag = (struct diag){0};
    if (acpi_tables_read_hpet(bytes, &hpet, &diag) == OK) {
        check(hpet.address && hpet.address % 8 == 0 && hpet.address < PHYSICAL_LIMIT);
        check(hpet.comparators >= 1 && hpet.comparators <= 32);
    } else {
        check(diag.code != DIAG_NONE);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, bytes, size);
    struct span span = span_of(copy, size);
    try_pointer(span);
    if (size >= ACPI_HEADER_SIZE && copy[35] % 2 == 0) {
        uint32_t length = (uint32_t)size;
        memcpy(copy + 4, &length, sizeof(length));
        set_checksum(copy, 9, size);
    }
    try_root(span, 4);
    try_root(span, 8);
    try_madt(span);
    try_fixed(span);
    if (size >= ACPI_RSDP_OLD_SIZE) {
        set_checksum(copy, 8, ACPI_RSDP_OLD_SIZE);
        if (size >= ACPI_RSDP_SIZE) {
            set_checksum(copy, 32, ACPI_RSDP_SIZE);
        }
        try_pointer(span);
    }
    free(copy);
    return 0;
}
