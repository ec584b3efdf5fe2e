/* SPDX-License-Identifier: MIT */
/*
 * The FADT grew with each version of ACPI. Fields behind its end read as 0, which is what absence
 * looks like in all of them.
 */
#include "acpi_tables_priv.h"

#define FADT_LEAST_SIZE 116 /* ACPI 1.0: up to the flags */
#define HPET_SIZE       56

/* Offsets in the FADT. */
enum {
    FADT_REVISION = 8,
    FADT_FACS = 36,
    FADT_DSDT = 40,
    FADT_SCI = 46,
    FADT_SMI_COMMAND = 48,
    FADT_ACPI_ENABLE = 52,
    FADT_ACPI_DISABLE = 53,
    FADT_PM1A_CONTROL = 64,
    FADT_PM1B_CONTROL = 68,
    FADT_PM_TIMER = 76,
    FADT_PM1_CONTROL_SIZE = 89,
    FADT_PM_TIMER_SIZE = 91,
    FADT_CENTURY = 108,
    FADT_BOOT_FLAGS = 109,
    FADT_FLAGS = 112,
    FADT_RESET = 116,
    FADT_RESET_VALUE = 128,
    FADT_X_FACS = 132,
    FADT_X_DSDT = 140,
    FADT_X_PM1A_CONTROL = 172,
    FADT_X_PM1B_CONTROL = 184,
    FADT_X_PM_TIMER = 208,
    FADT_SLEEP_CONTROL = 244,
    FADT_SLEEP_STATUS = 256,
};

/* Bits of its flags. */
#define FLAG_TIMER_32_BITS    (1u << 8)
#define FLAG_RESET            (1u << 10)
#define FLAG_HARDWARE_REDUCED (1u << 20)

/* Offsets in the HPET's table, and in its word that repeats the device's own identification. */
enum {
    HPET_ID = 36,
    HPET_REGISTERS = 40,
    HPET_NUMBER = 52,
    HPET_MINIMUM_TICK = 53,
};
#define HPET_ID_64_BIT (1u << 13)
#define HPET_ID_LEGACY (1u << 15)

#define IO_SPACE_END 0x10000u

static enum status read_register(const struct table *table, uint64_t offset,
                                 struct acpi_register *out)
{
    struct acpi_register found = {
        .space = read8(table->bytes, offset),
        .bits = read8(table->bytes, offset + 1),
        .shift = read8(table->bytes, offset + 2),
        .access = read8(table->bytes, offset + 3),
        .address = read64(table->bytes, offset + 4),
    };
    uint64_t end = found.space == ACPI_SPACE_IO       ? IO_SPACE_END
                   : found.space == ACPI_SPACE_MEMORY ? PHYSICAL_LIMIT
                                                      : UINT64_MAX;
    if (found.address >= end) {
        return refuse(table, DIAG_ACPI_ADDRESS, offset + 4, end, found.address);
    }
    *out = found;
    return OK;
}

/* A block of ports: its generic address where that is given, else the old port number. */
static enum status read_block(const struct table *table, uint64_t old, uint64_t size_at,
                              uint64_t generic, struct acpi_register *out)
{
    enum status status = read_register(table, generic, out);
    if (status != OK || out->address != 0) {
        return status;
    }
    uint32_t port = read32(table->bytes, old);
    if (port >= IO_SPACE_END) {
        return refuse(table, DIAG_ACPI_ADDRESS, old, IO_SPACE_END, port);
    }
    *out = (struct acpi_register){
        .space = ACPI_SPACE_IO,
        .bits = (uint8_t)(read8(table->bytes, size_at) * 8),
        .address = port,
    };
    return OK;
}

static enum status read_registers(const struct table *table, struct acpi_fadt *out)
{
    enum status status = read_block(table, FADT_PM1A_CONTROL, FADT_PM1_CONTROL_SIZE,
                                    FADT_X_PM1A_CONTROL, &out->pm1a_control);
    if (status == OK) {
        status = read_block(table, FADT_PM1B_CONTROL, FADT_PM1_CONTROL_SIZE, FADT_X_PM1B_CONTROL,
                            &out->pm1b_control);
    }
    if (status == OK) {
        status =
            read_block(table, FADT_PM_TIMER, FADT_PM_TIMER_SIZE, FADT_X_PM_TIMER, &out->pm_timer);
    }
    if (status == OK && (out->flags & FLAG_RESET)) {
        status = read_register(table, FADT_RESET, &out->reset);
        out->has_reset = status == OK && out->reset.address != 0;
        out->reset_value = read8(table->bytes, FADT_RESET_VALUE);
    }
    if (status == OK) {
        status = read_register(table, FADT_SLEEP_CONTROL, &out->sleep_control);
    }
    return status == OK ? read_register(table, FADT_SLEEP_STATUS, &out->sleep_status) : status;
}

/* The wide address unless it is 0, then the narrow one. */
static paddr_t read_address(struct span bytes, uint64_t narrow, uint64_t wide)
{
    paddr_t address = read64(bytes, wide);
    return address ? address : read32(bytes, narrow);
}

enum status acpi_tables_read_fadt(struct span bytes, struct acpi_fadt *out, struct diag *diag)
{
    struct table table;
    enum status status = open_table(bytes, "FACP", FADT_LEAST_SIZE, diag, &table);
    if (status != OK) {
        return status;
    }
    bytes = table.bytes;
    uint32_t flags = read32(bytes, FADT_FLAGS);
    struct acpi_fadt found = {
        .dsdt = read_address(bytes, FADT_DSDT, FADT_X_DSDT),
        .facs = read_address(bytes, FADT_FACS, FADT_X_FACS),
        .flags = flags,
        .smi_command = read32(bytes, FADT_SMI_COMMAND),
        .sci = read16(bytes, FADT_SCI),
        .boot_flags = read16(bytes, FADT_BOOT_FLAGS),
        .revision = read8(bytes, FADT_REVISION),
        .acpi_enable = read8(bytes, FADT_ACPI_ENABLE),
        .acpi_disable = read8(bytes, FADT_ACPI_DISABLE),
        .century = read8(bytes, FADT_CENTURY),
        .is_hardware_reduced = flags & FLAG_HARDWARE_REDUCED,
        .is_timer_32_bits = flags & FLAG_TIMER_32_BITS,
    };
    if (found.dsdt == 0 || found.dsdt >= PHYSICAL_LIMIT) {
        uint64_t offset = read64(bytes, FADT_X_DSDT) ? FADT_X_DSDT : FADT_DSDT;
        return refuse(&table, DIAG_ACPI_ADDRESS, offset, PHYSICAL_LIMIT, found.dsdt);
    }
    if (found.facs >= PHYSICAL_LIMIT) {
        return refuse(&table, DIAG_ACPI_ADDRESS, FADT_X_FACS, PHYSICAL_LIMIT, found.facs);
    }
    if (found.smi_command >= IO_SPACE_END) {
        return refuse(&table, DIAG_ACPI_ADDRESS, FADT_SMI_COMMAND, IO_SPACE_END, found.smi_command);
    }
    status = read_registers(&table, &found);
    if (status == OK) {
        *out = found;
    }
    return status;
}

enum status acpi_tables_read_hpet(struct span bytes, struct acpi_hpet *out, struct diag *diag)
{
    struct table table;
    struct acpi_register registers;
    enum status status = open_table(bytes, "HPET", HPET_SIZE, diag, &table);
    if (status == OK) {
        status = read_register(&table, HPET_REGISTERS, &registers);
    }
    if (status != OK) {
        return status;
    }
    if (registers.space != ACPI_SPACE_MEMORY) {
        return refuse(&table, DIAG_ACPI_VALUE, HPET_REGISTERS, ACPI_SPACE_MEMORY, registers.space);
    }
    if (registers.address == 0 || registers.address % sizeof(uint64_t) != 0) {
        return refuse(&table, DIAG_ACPI_ADDRESS, HPET_REGISTERS + 4, PHYSICAL_LIMIT,
                      registers.address);
    }
    uint32_t id = read32(table.bytes, HPET_ID);
    *out = (struct acpi_hpet){
        .address = registers.address,
        .vendor = (uint16_t)(id >> 16),
        .minimum_tick = read16(table.bytes, HPET_MINIMUM_TICK),
        .number = read8(table.bytes, HPET_NUMBER),
        .hardware_revision = (uint8_t)id,
        .comparators = (uint8_t)((id >> 8 & 31) + 1),
        .is_64_bit = id & HPET_ID_64_BIT,
        .has_legacy_routing = id & HPET_ID_LEGACY,
    };
    return OK;
}
