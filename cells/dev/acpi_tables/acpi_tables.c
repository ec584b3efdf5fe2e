/* SPDX-License-Identifier: MIT */
/*
 * All numbers are little-endian and none is aligned, so every field is copied out. The sum over a
 * table is one pass; nothing is read before the length that bounds it has been compared with the
 * bytes that are there.
 */
#include "acpi_tables_priv.h"

CELL(library, "1.0.0");

#define POINTER_NAME "RSDP"

/* Offsets in the root pointer. */
#define POINTER_OEM      9
#define POINTER_REVISION 15
#define POINTER_RSDT     16
#define POINTER_LENGTH   20
#define POINTER_XSDT     24

/* Offsets in the header of a table. */
#define HEADER_LENGTH   4
#define HEADER_REVISION 8
#define HEADER_CHECKSUM 9

static const char pointer_signature[8] = {'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '};

/* What is added up to 0 by a checksum among the bytes. */
static uint8_t sum_of(struct span bytes, size_t size)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < size; i++) {
        sum = (uint8_t)(sum + bytes.base[i]);
    }
    return sum;
}

/* Copies text for people: terminated, and nothing in it that a terminal could obey. */
static void copy_text(char *to, const char *from, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        to[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
    }
    to[length] = '\0';
}

static struct table named(struct span bytes, const char *name, struct diag *diag)
{
    struct table table = {.bytes = bytes, .diag = diag};
    copy_text(table.name, name, ACPI_SIGNATURE_SIZE - 1);
    return table;
}

/* ---- root pointer ---- */

/* The part that ACPI 1.0 knew: signature and its checksum. */
static enum status check_old_pointer(const struct table *pointer)
{
    struct span bytes = pointer->bytes;
    if (bytes.size < ACPI_RSDP_OLD_SIZE) {
        return refuse(pointer, DIAG_ACPI_TRUNCATED, 0, ACPI_RSDP_OLD_SIZE, bytes.size);
    }
    if (__builtin_memcmp(bytes.base, pointer_signature, sizeof(pointer_signature)) != 0) {
        return refuse(pointer, DIAG_ACPI_SIGNATURE, 0,
                      read_field(span_of(pointer_signature, 8), 0, 8), read64(bytes, 0));
    }
    uint8_t sum = sum_of(bytes, ACPI_RSDP_OLD_SIZE);
    return sum ? refuse(pointer, DIAG_ACPI_CHECKSUM, 8, 0, sum) : OK;
}

static enum status check_new_pointer(const struct table *pointer)
{
    uint32_t length = read32(pointer->bytes, POINTER_LENGTH);
    if (length < ACPI_RSDP_SIZE) {
        return refuse(pointer, DIAG_ACPI_LENGTH, POINTER_LENGTH, ACPI_RSDP_SIZE, length);
    }
    if (length > pointer->bytes.size) {
        return refuse(pointer, DIAG_ACPI_TRUNCATED, POINTER_LENGTH, length, pointer->bytes.size);
    }
    uint8_t sum = sum_of(pointer->bytes, length);
    return sum ? refuse(pointer, DIAG_ACPI_CHECKSUM, 32, 0, sum) : OK;
}

enum status acpi_tables_read_pointer(struct span bytes, struct acpi_pointer *out, struct diag *diag)
{
    const struct table pointer = named(bytes, POINTER_NAME, diag);
    enum status status = check_old_pointer(&pointer);
    if (status != OK) {
        return status;
    }
    struct acpi_pointer found = {
        .root = read32(bytes, POINTER_RSDT),
        .entry_size = sizeof(uint32_t),
        .revision = read8(bytes, POINTER_REVISION),
    };
    copy_text(found.oem, (const char *)bytes.base + POINTER_OEM, sizeof(found.oem) - 1);
    if (found.revision == 1) { /* 0 is ACPI 1.0, 2 is all later ones */
        return refuse(&pointer, DIAG_ACPI_REVISION, POINTER_REVISION, 2, found.revision);
    }
    if (found.revision >= 2 && bytes.size >= ACPI_RSDP_SIZE) {
        status = check_new_pointer(&pointer);
        if (status != OK) {
            return status;
        }
        if (read64(bytes, POINTER_XSDT)) {
            found.root = read64(bytes, POINTER_XSDT);
            found.entry_size = sizeof(uint64_t);
        }
    }
    if (found.root == 0 || found.root >= PHYSICAL_LIMIT) {
        uint64_t offset = found.entry_size == sizeof(uint64_t) ? POINTER_XSDT : POINTER_RSDT;
        return refuse(&pointer, DIAG_ACPI_ADDRESS, offset, PHYSICAL_LIMIT, found.root);
    }
    *out = found;
    return OK;
}

enum status acpi_tables_find_pointer(struct span area, struct acpi_pointer *out, struct diag *diag)
{
    struct span rest;
    for (uint64_t at = 0; span_holds(area, at, ACPI_RSDP_OLD_SIZE); at += ACPI_RSDP_ALIGNMENT) {
        if (span_slice(area, at, area.size - at, &rest) &&
            acpi_tables_read_pointer(rest, out, NULL) == OK) {
            return OK;
        }
    }
    return diag_set(diag, DIAG_ACPI_ABSENT, &(struct diag_site){.cell = "acpi"});
}

/* ---- any table ---- */

enum status acpi_tables_read_header(struct span bytes, struct acpi_header *out, struct diag *diag)
{
    if (bytes.size < ACPI_HEADER_SIZE) {
        const struct table nameless = named(bytes, "????", diag);
        return refuse(&nameless, DIAG_ACPI_TRUNCATED, 0, ACPI_HEADER_SIZE, bytes.size);
    }
    const struct table table = named(bytes, (const char *)bytes.base, diag);
    uint32_t length = read32(bytes, HEADER_LENGTH);
    if (length < ACPI_HEADER_SIZE) {
        return refuse(&table, DIAG_ACPI_LENGTH, HEADER_LENGTH, ACPI_HEADER_SIZE, length);
    }
    if (length > ACPI_TABLE_BYTES_LIMIT) {
        return refuse(&table, DIAG_ACPI_LENGTH, HEADER_LENGTH, ACPI_TABLE_BYTES_LIMIT, length);
    }
    uint8_t revision = read8(bytes, HEADER_REVISION);
    if (revision == 0) {
        return refuse(&table, DIAG_ACPI_REVISION, HEADER_REVISION, 1, 0);
    }
    *out = (struct acpi_header){.length = length, .revision = revision};
    __builtin_memcpy(out->signature, table.name, sizeof(out->signature));
    return OK;
}

enum status acpi_tables_check(struct span bytes, const char *signature, struct span *out_table,
                              struct diag *diag)
{
    struct acpi_header header;
    enum status status = acpi_tables_read_header(bytes, &header, diag);
    if (status != OK) {
        return status;
    }
    const struct table table = named(bytes, header.signature, diag);
    if (signature && __builtin_memcmp(bytes.base, signature, ACPI_SIGNATURE_SIZE - 1) != 0) {
        return refuse(&table, DIAG_ACPI_SIGNATURE, 0, read32(span_of(signature, 4), 0),
                      read32(bytes, 0));
    }
    if (header.length > bytes.size) {
        return refuse(&table, DIAG_ACPI_TRUNCATED, HEADER_LENGTH, header.length, bytes.size);
    }
    uint8_t sum = sum_of(bytes, header.length);
    if (sum) {
        return refuse(&table, DIAG_ACPI_CHECKSUM, HEADER_CHECKSUM, 0, sum);
    }
    *out_table = span_of(bytes.base, header.length);
    return OK;
}

enum status open_table(struct span bytes, const char *signature, size_t minimum, struct diag *diag,
                       struct table *out)
{
    struct table table = named(bytes, signature, diag);
    enum status status = acpi_tables_check(bytes, signature, &table.bytes, diag);
    if (status != OK) {
        return status;
    }
    if (table.bytes.size < minimum) {
        return refuse(&table, DIAG_ACPI_LENGTH, HEADER_LENGTH, minimum, table.bytes.size);
    }
    *out = table;
    return OK;
}

enum status acpi_tables_read_root(struct span bytes, uint8_t entry_size, struct acpi_root *out,
                                  struct diag *diag)
{
    bool is_wide = entry_size == sizeof(uint64_t);
    if (!is_wide && entry_size != sizeof(uint32_t)) {
        return ERR_INVALID_ARGUMENT;
    }
    struct table table;
    enum status status =
        open_table(bytes, is_wide ? "XSDT" : "RSDT", ACPI_HEADER_SIZE, diag, &table);
    if (status != OK) {
        return status;
    }
    struct acpi_root root = {.entry_size = entry_size};
    size_t size = table.bytes.size - ACPI_HEADER_SIZE;
    if (size % entry_size != 0 || !span_slice(table.bytes, ACPI_HEADER_SIZE, size, &root.entries)) {
        return refuse(&table, DIAG_ACPI_LENGTH, HEADER_LENGTH, table.bytes.size - size % entry_size,
                      table.bytes.size);
    }
    *out = root;
    return OK;
}
