/* SPDX-License-Identifier: MIT */
/*
 * acpi_tables_priv.h - what the readers of the single tables share.
 *
 * Rules: reading a field that lies outside gives 0, which is what the specification wants of fields
 * that an older, shorter table does not have; whoever needs a field checks the length first.
 */
#pragma once

#include "acpi_tables.h"

/* Bytes, the name by which a refusal calls them, and where it goes. */
struct table {
    struct span bytes;
    char name[ACPI_SIGNATURE_SIZE];
    struct diag *diag; /* may be NULL */
};

static inline uint64_t read_field(struct span bytes, uint64_t offset, size_t size)
{
    uint64_t value = 0;
    const void *at = span_at(bytes, offset, size);
    if (at) {
        __builtin_memcpy(&value, at, size);
    }
    return value;
}

static inline uint8_t read8(struct span bytes, uint64_t offset)
{
    return (uint8_t)read_field(bytes, offset, sizeof(uint8_t));
}

static inline uint16_t read16(struct span bytes, uint64_t offset)
{
    return (uint16_t)read_field(bytes, offset, sizeof(uint16_t));
}

static inline uint32_t read32(struct span bytes, uint64_t offset)
{
    return (uint32_t)read_field(bytes, offset, sizeof(uint32_t));
}

static inline uint64_t read64(struct span bytes, uint64_t offset)
{
    return read_field(bytes, offset, sizeof(uint64_t));
}

static inline enum status refuse(const struct table *table, enum diag_code code, uint64_t offset,
                                 uint64_t expected, uint64_t found)
{
    return diag_set(table->diag, code,
                    &(struct diag_site){
                        .cell = "acpi",
                        .section = table->name,
                        .offset = offset,
                        .expected = expected,
                        .found = found,
                    });
}

/* acpi_tables_check() for a table of at least `minimum` bytes; *out is filled on success only. */
MUST_CHECK enum status open_table(struct span bytes, const char *signature, size_t minimum,
                                  struct diag *diag, struct table *out);
