/* SPDX-License-Identifier: MIT */
/*
 * acpi.h - what the firmware's tables say about this machine.
 *
 * Why: whoever brings up processors, interrupts, timers and power needs numbers of ACPI tables.
 * They are read once, checked (acpi_tables.h), and kept here as structures; the tables themselves
 * stay where they are and nothing points into them.
 *
 * Rules: acpi_init() is called once, before other processors run; acpi_get() is valid ever
 * after, in any context: what it gives does not change. A machine without ACPI, or with bad tables,
 * is no reason to stop: then there is one processor, and what depends on a table is not there. A
 * table that is refused is left out alone; the reason is kept beside its address. Tables in RAM
 * that the memory map calls usable are refused: they would not stay.
 */
#pragma once

#include "diag.h"
#include "memory.h"
#include "own.h"
#include "span.h"

struct acpi_madt; /* these four in acpi_tables.h */
struct acpi_fadt;
struct acpi_hpet;
struct acpi_header;
struct aml_sleep; /* aml_sleep.h */

#define ACPI_TABLE_LIMIT 128u /* tables that are looked at; laptops have up to 40 */

enum acpi_source {
    ACPI_SOURCE_NONE,
    ACPI_SOURCE_LOADER, /* the root pointer came with the boot information */
    ACPI_SOURCE_SCAN,   /* it was found in low memory */
};

/* One table that the root table names, or the DSDT, which the FADT names. */
struct acpi_entry {
    paddr_t address;
    char signature[5]; /* "" where not even the header could be read */
    uint8_t revision;
    uint32_t length;
    struct diag
        diag; /* diag.code DIAG_NONE: the table is good. Else why it, or its use, was refused */
};

struct acpi {
    enum status status; /* OK; ERR_NO_DEVICE: no ACPI; else why the root was refused: see diag */
    struct diag diag;
    enum acpi_source source;
    uint8_t revision; /* of the root pointer: 0 for ACPI 1.0 */
    paddr_t root;
    size_t left_out; /* tables behind ACPI_TABLE_LIMIT */
    size_t entry_count;
    const struct acpi_entry *entries; /* root's order, the DSDT last */

    /* NULL where the table is absent or was refused. */
    const struct acpi_madt *madt;
    const struct acpi_fadt *fadt;
    const struct acpi_hpet *hpet;
    const struct aml_sleep *off; /* the values that switch the machine off (\_S5) */
    struct diag off_diag;        /* why there are none */
};

/*
 * Finds, checks and reads the tables. ERR_STATE when called twice, ERR_NO_MEMORY; else what becomes
 * acpi_get()->status: ERR_NO_DEVICE without ACPI, or the status that belongs to acpi_get()->diag.
 */
CELL_API MUST_CHECK enum status acpi_init(void);

/* Never NULL. Before acpi_init() it says ERR_STATE and has nothing. */
CELL_API const struct acpi *acpi_get(void);

/* A checked copy of a whole table, in the heap. */
struct OWN_CAPABILITY("acpi_table") acpi_table;
OWN_DECLARE(acpi_table);

/*
 * Copies the good table number `index`, from 0, among those with this signature of four characters.
 * ERR_NOT_FOUND, ERR_NO_MEMORY, ERR_MISMATCH when firmware has changed it meanwhile. Not in
 * exceptions; one caller at a time (docs/locking.md).
 */
CELL_API enum status acpi_find(const char *signature, size_t index, struct acpi_table **out)
    OWN_ACQUIRES(**out);

/* Exactly the table, header included; ends with the handle. */
CELL_API struct span acpi_table_bytes(const struct acpi_table *table) OWN_BORROWS(*table);
