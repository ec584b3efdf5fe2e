/* SPDX-License-Identifier: MIT */
/*
 * A machine is built in an array that plays the first two megabytes of its memory. acpi_init()
 * works once, so each case runs in a process of its own; a case that fails ends its process with 1.
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
#include "acpi_tables.h"
#include "aml_sleep.h"
#include "boot_info.h"
#include "counted_heap.h"
#include "firmware_memory.h"

#define ROOT 0x100000u
#define FACP 0x101000u
#define APIC 0x102000u
#define TIME 0x103000u /* HPET */
#define CODE 0x104000u /* DSDT */
#define MORE 0x105000u /* SSDT */

static uint8_t memory[2u << 20];
static struct boot_info boot;
static paddr_t unreadable; /* the page that cannot be read; 0: none */

const struct boot_info *boot_info_get(void)
{
    return &boot;
}

enum status firmware_memory_read(paddr_t start, void *buffer, size_t size)
{
    if (start >= PHYSICAL_LIMIT || start > sizeof(memory) || size > sizeof(memory) - start) {
        return ERR_OUT_OF_BOUNDS;
    }
    if (unreadable && start < unreadable + PAGE_SIZE && start + size > unreadable) {
        return ERR_PERMISSION;
    }
    memcpy(buffer, memory + start, size);
    return OK;
}

/* ---- the machine ---- */

static void set(paddr_t at, uint64_t value, size_t size)
{
    memcpy(memory + at, &value, size);
}

static void add_checksum(paddr_t start, size_t at, size_t size)
{
    uint8_t sum = 0;
    memory[start + at] = 0;
    for (size_t i = 0; i < size; i++) {
        sum = (uint8_t)(sum + memory[start + i]);
    }
    memory[start + at] = (uint8_t)-sum;
}

/* Header and checksum around a content that is there already. */
static void table(paddr_t at, const char *signature, uint32_t length)
{
    memcpy(memory + at, signature, 4);
    set(at + 4, length, 4);
    set(at + 8, 1, 1);
    add_checksum(at, 9, length);
}

static void pointer(uint8_t *to)
{
    static const uint8_t start[20] = {'R', 'S', 'D', ' ', 'P', 'T', 'R', ' ', 0,    'T',
                                      'E', 'S', 'T', 'S', ' ', 0,   0,   0,   0x10, 0};
    uint8_t sum = 0;
    memcpy(to, start, sizeof(start));
    for (size_t i = 0; i < sizeof(start); i++) {
        sum = (uint8_t)(sum + start[i]);
    }
    to[8] = (uint8_t)-sum;
}

static void root_of(unsigned count, ...)
{
    va_list list;
    va_start(list, count);
    for (unsigned i = 0; i < count; i++) {
        set(ROOT + 36 + 4 * i, va_arg(list, unsigned), 4);
    }
    va_end(list);
    table(ROOT, "RSDT", 36 + 4 * count);
}

static void package(paddr_t at, uint8_t type)
{
    const uint8_t bytes[] = {8, '_', 'S', '5', '_', 0x12, 5, 2, 0x0a, type, 0};
    memcpy(memory + at, bytes, sizeof(bytes));
}

static void machine(void)
{
    pointer(boot.rsdp);
    boot.rsdp_size = 20;
    root_of(4, FACP, APIC, TIME, MORE);
    set(FACP + 40, CODE, 4);
    set(FACP + 64, 0x604, 4);
    table(FACP, "FACP", 116);
    set(APIC + 36, 0xfee00000, 4);
    set(APIC + 44, 0x0000000107000800, 8); /* one processor, APIC id 7 */
    table(APIC, "APIC", 52);
    set(TIME + 44, 0xfed00000, 8);
    table(TIME, "HPET", 56);
    package(CODE + 40, 5);
    table(CODE, "DSDT", 64);
    table(MORE, "SSDT", 64);
}

/* ---- cases, each in a process of its own ---- */

#define CHECK(condition)                                                    \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            _exit(1);                                                       \
        }                                                                   \
    } while (0)

static void whole_machine(void)
{
    CHECK(acpi_get()->status == ERR_STATE && !acpi_get()->madt);
    CHECK(acpi_init() == OK);
    const struct acpi *acpi = acpi_get();
    CHECK(acpi->status == OK && acpi->source == ACPI_SOURCE_LOADER && acpi->root == ROOT);
    CHECK(acpi->entry_count == 5 && acpi->left_out == 0);
    for (size_t i = 0; i < acpi->entry_count; i++) {
        CHECK(acpi->entries[i].diag.code == DIAG_NONE);
    }
    CHECK(strcmp(acpi->entries[1].signature, "APIC") == 0 && acpi->entries[1].address == APIC);
    CHECK(strcmp(acpi->entries[4].signature, "DSDT") == 0 && acpi->entries[4].length == 64);
    CHECK(acpi->madt && acpi->madt->processor_count == 1 && acpi->madt->processors[0].apic_id == 7);
    CHECK(acpi->fadt && acpi->fadt->pm1a_control.address == 0x604);
    CHECK(acpi->hpet && acpi->hpet->address == 0xfed00000);
    CHECK(acpi->off && acpi->off->type_a == 5 && acpi->off_diag.code == DIAG_NONE);
    CHECK(heap_blocks == 1); /* what is published */
    CHECK(acpi_init() == ERR_STATE && acpi_get() == acpi && heap_blocks == 1);
}

static void found_tables(void)
{
    root_of(5, FACP, APIC, TIME, MORE, MORE);
    CHECK(acpi_init() == OK);
    OWNED(acpi_table, copy);
    CHECK(acpi_find("SSDT", 1, SLOT(copy)) == OK);
    CHECK(acpi_table_bytes(REF(copy)).size == 64 && heap_blocks == 2);
    CHECK(memcmp(acpi_table_bytes(REF(copy)).base, memory + MORE, 64) == 0);
    acpi_table_drop(SLOT(copy));
    acpi_table_drop(SLOT(copy));
    CHECK(heap_blocks == 1);
    CHECK(acpi_find("SSDT", 2, SLOT(copy)) == ERR_NOT_FOUND);
    CHECK(acpi_find("MCFG", 0, SLOT(copy)) == ERR_NOT_FOUND);
    table(TIME, "HPET", 60);
    CHECK(acpi_find("HPET", 0, SLOT(copy)) == ERR_MISMATCH);
    table(TIME, "HPEX", 56);
    CHECK(acpi_find("HPET", 0, SLOT(copy)) == ERR_MISMATCH);
    memory[TIME + 50]++;
    CHECK(acpi_find("HPET", 0, SLOT(copy)) == ERR_BAD_FORMAT);
    heap_limit = 0;
    CHECK(acpi_find("SSDT", 0, SLOT(copy)) == ERR_NO_MEMORY);
    CHECK(!HELD(copy) && heap_blocks == 1);
}

static void refused(enum status status, enum diag_code code, enum acpi_source source)
{
    CHECK(acpi_init() == status);
    const struct acpi *acpi = acpi_get();
    CHECK(acpi->status == status && acpi->diag.code == code && acpi->source == source);
    CHECK(acpi->entry_count == 0 && !acpi->madt && !acpi->fadt && !acpi->hpet && !acpi->off);
    CHECK(acpi->off_diag.code != DIAG_NONE);
    CHECK(heap_blocks == 1);
    OWNED(acpi_table, copy);
    CHECK(acpi_find("APIC", 0, SLOT(copy)) == ERR_NOT_FOUND);
}

static void no_pointer(void)
{
    boot.rsdp_size = 0;
    refused(ERR_NO_DEVICE, DIAG_ACPI_ABSENT, ACPI_SOURCE_NONE);
}

static void bad_pointer(void)
{
    boot.rsdp[10]++;
    refused(ERR_BAD_FORMAT, DIAG_ACPI_CHECKSUM, ACPI_SOURCE_LOADER);
}

static void bad_root(void)
{
    memory[ROOT + 20]++;
    refused(ERR_BAD_FORMAT, DIAG_ACPI_CHECKSUM, ACPI_SOURCE_LOADER);
}

static void root_in_ram(void)
{
    unreadable = ROOT;
    refused(ERR_PERMISSION, DIAG_ACPI_MEMORY, ACPI_SOURCE_LOADER);
}

static void root_is_another_table(void)
{
    table(ROOT, "XSDT", 52);
    refused(ERR_BAD_MAGIC, DIAG_ACPI_SIGNATURE, ACPI_SOURCE_LOADER);
}

static void pointer_in_ebda(void)
{
    boot.rsdp_size = 0;
    set(0x40e, 0x9fc0, 2);
    pointer(memory + 0x9fc00 + 0x3e0);
    CHECK(acpi_init() == OK);
    CHECK(acpi_get()->source == ACPI_SOURCE_SCAN && acpi_get()->madt);
}

static void pointer_in_bios(void)
{
    boot.rsdp[10]++;           /* that of the loader is bad */
    set(0x40e, 0xffff, 2);     /* no such area */
    pointer(memory + 0xe1ff0); /* across two pages */
    CHECK(acpi_init() == OK);
    CHECK(acpi_get()->source == ACPI_SOURCE_SCAN && acpi_get()->madt && heap_blocks == 1);
}

static void pointer_at_the_end_of_bios(void)
{
    boot.rsdp_size = 0;
    unreadable = 0x100000; /* RAM follows */
    pointer(memory + 0xfffe0);
    set(0xfffe0 + 16, 0x180000, 4);
    add_checksum(0xfffe0, 8, 20);
    memcpy(memory + 0x180000, memory + ROOT, PAGE_SIZE);
    CHECK(acpi_init() == OK);
    CHECK(acpi_get()->source == ACPI_SOURCE_SCAN && acpi_get()->root == 0x180000);
}

static void efi_is_not_scanned(void)
{
    boot.rsdp_size = 0;
    boot.efi_system_table = 0x1000;
    pointer(memory + 0xf0000);
    refused(ERR_NO_DEVICE, DIAG_ACPI_ABSENT, ACPI_SOURCE_NONE);
}

static void bad_tables_are_left_out_alone(void)
{
    memory[APIC + 20]++;                           /* checksum */
    set(TIME + 44, 1, 8), table(TIME, "HPET", 56); /* address */
    set(MORE + 4, 5, 4);                           /* length */
    CHECK(acpi_init() == OK);
    const struct acpi *acpi = acpi_get();
    CHECK(acpi->fadt && acpi->off && !acpi->madt && !acpi->hpet);
    CHECK(acpi->entries[0].diag.code == DIAG_NONE);
    CHECK(acpi->entries[1].diag.code == DIAG_ACPI_CHECKSUM);
    CHECK(strcmp(acpi->entries[1].signature, "APIC") == 0);
    CHECK(acpi->entries[2].diag.code == DIAG_ACPI_ADDRESS);
    CHECK(acpi->entries[3].diag.code == DIAG_ACPI_LENGTH && !acpi->entries[3].signature[0]);
    OWNED(acpi_table, copy);
    CHECK(acpi_find("HPET", 0, SLOT(copy)) == ERR_NOT_FOUND);
    CHECK(heap_blocks == 1);
}

static void second_table_of_a_kind_serves_where_the_first_is_bad(void)
{
    memcpy(memory + 0x110000, memory + TIME, PAGE_SIZE);
    memory[TIME + 20]++;
    root_of(3, TIME, 0x110000, 0); /* and an address that is nothing */
    CHECK(acpi_init() == OK);
    CHECK(acpi_get()->hpet && acpi_get()->entry_count == 3);
    CHECK(acpi_get()->entries[2].diag.code == DIAG_ACPI_ADDRESS);
    CHECK(!acpi_get()->off && acpi_get()->off_diag.code == DIAG_AML_ABSENT);
}

static void package_in_ssdt(void)
{
    package(MORE + 40, 3);
    table(MORE, "SSDT", 64);
    memset(memory + CODE + 36, 0, 28);
    table(CODE, "DSDT", 64);
    CHECK(acpi_init() == OK);
    CHECK(acpi_get()->off && acpi_get()->off->type_a == 3);
    CHECK(acpi_get()->off_diag.code == DIAG_NONE);
}

static void package_of_dsdt_counts_more(void)
{
    package(MORE + 40, 3);
    table(MORE, "SSDT", 64);
    CHECK(acpi_init() == OK);
    CHECK(acpi_get()->off && acpi_get()->off->type_a == 5);
}

static void malformed_package(void)
{
    memory[CODE + 45] = 0x11;
    table(CODE, "DSDT", 64);
    CHECK(acpi_init() == OK);
    CHECK(!acpi_get()->off && acpi_get()->off_diag.code == DIAG_AML_PACKAGE);
}

static void more_tables_than_the_limit(void)
{
    for (unsigned i = 0; i < ACPI_TABLE_LIMIT + 5; i++) {
        set(ROOT + 36 + 4 * i, i == 2 ? FACP : MORE, 4);
    }
    table(ROOT, "RSDT", 36 + 4 * (ACPI_TABLE_LIMIT + 5));
    CHECK(acpi_init() == OK);
    CHECK(acpi_get()->entry_count == ACPI_TABLE_LIMIT + 1 && acpi_get()->left_out == 5);
    CHECK(acpi_get()->off);
}

/* Whichever allocation fails, nothing is lost and nothing half-read is shown. */
static void lack_of_memory(void)
{
    int rest = heap_limit;
    enum status status = acpi_init();
    const struct acpi *acpi = acpi_get();
    CHECK(heap_blocks == (acpi->status == ERR_STATE ? 0 : 1));
    if (rest == 0) {
        CHECK(status == ERR_NO_MEMORY && acpi->status == ERR_STATE && !acpi->madt);
        CHECK(acpi_init() == ERR_NO_MEMORY); /* it may be tried again */
        heap_limit = -1;
        CHECK(acpi_init() == OK && acpi_get()->madt);
    }
}

static void in_a_process(void (*run)(void), int allocations)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        machine();
        heap_limit = allocations;
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
        in_a_process(name, -1);           \
    }

CASE(whole_machine)
CASE(found_tables)
CASE(no_pointer)
CASE(bad_pointer)
CASE(bad_root)
CASE(root_in_ram)
CASE(root_is_another_table)
CASE(pointer_in_ebda)
CASE(pointer_in_bios)
CASE(pointer_at_the_end_of_bios)
CASE(efi_is_not_scanned)
CASE(bad_tables_are_left_out_alone)
CASE(second_table_of_a_kind_serves_where_the_first_is_bad)
CASE(package_in_ssdt)
CASE(package_of_dsdt_counts_more)
CASE(malformed_package)
CASE(more_tables_than_the_limit)

static void test_each_allocation_may_fail(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        in_a_process(lack_of_memory, i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_machine),
        cmocka_unit_test(test_found_tables),
        cmocka_unit_test(test_no_pointer),
        cmocka_unit_test(test_bad_pointer),
        cmocka_unit_test(test_bad_root),
        cmocka_unit_test(test_root_in_ram),
        cmocka_unit_test(test_root_is_another_table),
        cmocka_unit_test(test_pointer_in_ebda),
        cmocka_unit_test(test_pointer_in_bios),
        cmocka_unit_test(test_pointer_at_the_end_of_bios),
        cmocka_unit_test(test_efi_is_not_scanned),
        cmocka_unit_test(test_bad_tables_are_left_out_alone),
        cmocka_unit_test(test_second_table_of_a_kind_serves_where_the_first_is_bad),
        cmocka_unit_test(test_package_in_ssdt),
        cmocka_unit_test(test_package_of_dsdt_counts_more),
        cmocka_unit_test(test_malformed_package),
        cmocka_unit_test(test_more_tables_than_the_limit),
        cmocka_unit_test(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
