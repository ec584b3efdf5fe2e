/* SPDX-License-Identifier: MIT */
/*
 * acpi_tables.h - reads and checks the tables by which firmware describes the machine.
 *
 * Why: how many processors there are, where interrupts go and how the machine is switched off stand
 * in tables that firmware wrote, at times carelessly. Each is checked as a whole, signature,
 * length, checksum, revision and every field that is used, before anybody sees a number of it.
 *
 * Rules: bytes in, structures out; pure, no state, any context. Nothing points into the bytes
 * afterwards, except a root and a checked table, which are spans of them. Sections are those of the
 * ACPI Specification 6.5. Later revisions only append, so larger numbers and longer tables are
 * accepted; a revision of 0 is not. Out-parameters are written only on success, but for the MADT's:
 * what it holds after a failure means nothing. Every refusal fills `diag` (NULL where nobody asks):
 * `section` is the table's signature, `offset` counts in it.
 *
 *   C0601 TRUNCATED  the bytes end before the table does     C0605 REVISION   0, or RSDP's is not
 *   C0602 SIGNATURE  another table, or none                  C0606 ENTRY      length of an entry
 *   C0603 CHECKSUM   its bytes do not add up to 0            C0607 ADDRESS    missing or impossible
 *   C0604 LENGTH     too short, too long, not a multiple     C0608 VALUE      reserved, or impossible
 *   C0609 TWICE      two entries contradict one another
 */
#pragma once

#include "diag.h"
#include "memory.h"
#include "span.h"

#define ACPI_RSDP_SIZE         36u /* since ACPI 2.0; before that */
#define ACPI_RSDP_OLD_SIZE     20u
#define ACPI_RSDP_ALIGNMENT    16u
#define ACPI_HEADER_SIZE       36u
#define ACPI_SIGNATURE_SIZE    5u         /* terminator included */
#define ACPI_TABLE_BYTES_LIMIT (4u << 20) /* the largest tables known, of AML, have 1 MiB */

/* ---- root pointer (5.2.5) and root table (5.2.7, 5.2.8) ---- */

struct acpi_pointer {
    paddr_t root;       /* of the XSDT where there is one, else of the RSDT */
    uint8_t entry_size; /* 8 in an XSDT, 4 in an RSDT */
    uint8_t revision;
    char oem[7]; /* terminated; not printable bytes are '?' */
};

/*
 * Reads a root pointer. Of the 36 bytes of a newer one the first 20 suffice: then the RSDT counts.
 */
CELL_API MUST_CHECK enum status acpi_tables_read_pointer(struct span bytes,
                                                         struct acpi_pointer *out,
                                                         struct diag *diag);

/*
 * The first valid root pointer in `area`, at a multiple of 16 bytes from its start. ERR_NO_DEVICE
 * (C0612) when there is none.
 */
CELL_API MUST_CHECK enum status acpi_tables_find_pointer(struct span area, struct acpi_pointer *out,
                                                         struct diag *diag);

/* What every table begins with (5.2.6), except FACS. */
struct acpi_header {
    char signature[ACPI_SIGNATURE_SIZE];
    uint32_t length; /* of the table, header included: ACPI_HEADER_SIZE .. ACPI_TABLE_BYTES_LIMIT */
    uint8_t revision;
};

/* Reads the header alone, to learn how long the table is; says nothing about its checksum. */
CELL_API MUST_CHECK enum status acpi_tables_read_header(struct span bytes, struct acpi_header *out,
                                                        struct diag *diag);

/*
 * Checks header, signature (NULL: any), revision and checksum of the table at the start of `bytes`.
 * *out_table is exactly the table.
 */
CELL_API MUST_CHECK enum status acpi_tables_check(struct span bytes, const char *signature,
                                                  struct span *out_table, struct diag *diag);

/* The addresses in an RSDT or XSDT. */
struct acpi_root {
    struct span entries;
    uint8_t entry_size;
};

/* Checks a root table: RSDT for an `entry_size` of 4, XSDT for 8. */
CELL_API MUST_CHECK enum status acpi_tables_read_root(struct span bytes, uint8_t entry_size,
                                                      struct acpi_root *out, struct diag *diag);

static inline size_t acpi_root_count(const struct acpi_root *root)
{
    return root->entries.size / root->entry_size;
}

/* The address of table `index`; 0, which firmware may also have written, behind the last. */
static inline paddr_t acpi_root_at(const struct acpi_root *root, size_t index)
{
    paddr_t address = 0;
    const void *at = index < acpi_root_count(root)
                         ? span_at(root->entries, index * root->entry_size, root->entry_size)
                         : NULL;
    if (at) {
        __builtin_memcpy(&address, at, root->entry_size);
    }
    return address;
}

/* ---- MADT, "APIC" (5.2.12): processors and interrupt controllers ---- */

/* Firmware may list more; what does not fit is counted in `left_out`, the rest is good. */
#define ACPI_PROCESSOR_LIMIT 256u /* what 8-bit APIC ids can name */
#define ACPI_IO_APIC_LIMIT   32u  /* large servers have one for each PCI root, under 30 */
#define ACPI_NMI_LIMIT       8u
#define ACPI_LOCAL_NMI_LIMIT 256u /* one for each processor */
#define ACPI_ISA_IRQ_COUNT   16u
#define ACPI_EVERY_PROCESSOR UINT32_MAX

struct acpi_processor {
    uint32_t apic_id; /* ids above 254 can be reached in x2APIC mode only */
    uint32_t uid;     /* by which AML and NMI entries name it */
};

struct acpi_io_apic {
    paddr_t address;
    uint32_t
        gsi_base; /* the global interrupt of its first pin; pins are counted by its registers */
    uint8_t id;
};

/* Where an ISA interrupt arrives, with defaults (edge, active high, same number) filled in. */
struct acpi_interrupt {
    uint32_t gsi;
    bool is_overridden; /* the table says so; else these are the defaults */
    bool is_active_low;
    bool is_level;
};

struct acpi_nmi {
    uint32_t gsi;
    bool is_active_low;
    bool is_level;
};

struct acpi_local_nmi {
    uint32_t uid; /* of one processor, or ACPI_EVERY_PROCESSOR */
    uint8_t lint; /* 0 or 1 */
    bool is_active_low;
    bool is_level;
};

struct acpi_madt {
    paddr_t local_apic; /* of every processor's own registers */
    bool has_pics;      /* two 8259 are there and must be masked */

    uint32_t processor_count; /* that can be started; [0] .. in firmware's order */
    uint32_t capable_count;   /* behind them: not there, but may be plugged in while we run */
    uint32_t disabled_count;  /* in the table only */
    uint32_t duplicate_count; /* further entries of an id that is listed already */
    uint32_t io_apic_count;
    uint32_t nmi_count;
    uint32_t local_nmi_count;
    uint32_t left_out; /* entries of any kind for which a limit left no room */

    struct acpi_processor processors[ACPI_PROCESSOR_LIMIT];
    struct acpi_io_apic io_apics[ACPI_IO_APIC_LIMIT];
    struct acpi_interrupt isa[ACPI_ISA_IRQ_COUNT]; /* by ISA interrupt number */
    struct acpi_nmi nmis[ACPI_NMI_LIMIT];
    struct acpi_local_nmi local_nmis[ACPI_LOCAL_NMI_LIMIT];
};

/* About 6 KiB: not for a stack. Entries of unknown types are skipped, as the specification wants.
 */
CELL_API MUST_CHECK enum status acpi_tables_read_madt(struct span bytes, struct acpi_madt *out,
                                                      struct diag *diag);

/* ---- FADT, "FACP" (5.2.9): fixed hardware ---- */

enum acpi_space {
    ACPI_SPACE_MEMORY = 0,
    ACPI_SPACE_IO = 1,
    ACPI_SPACE_PCI = 2, /* configuration space of bus 0 */
};

/* A generic address (5.2.3.2); `address` 0 says that there is none. */
struct acpi_register {
    uint64_t address;
    uint8_t space; /* enum acpi_space; others are possible */
    uint8_t bits;  /* wide */
    uint8_t shift; /* where they begin */
    uint8_t access;
};

struct acpi_fadt {
    paddr_t dsdt; /* not 0 */
    paddr_t facs;
    uint32_t flags; /* as they are in the table; 0x.. of those below */
    uint32_t smi_command;
    uint16_t sci; /* ISA number, or global interrupt where there are no 8259 */
    uint16_t boot_flags;
    uint8_t revision;
    uint8_t acpi_enable; /* to smi_command, to switch from legacy to ACPI mode; 0: always ACPI */
    uint8_t acpi_disable;
    uint8_t century; /* index in the clock's memory; 0: none */
    bool is_hardware_reduced;
    bool has_reset; /* `reset` and `reset_value` are usable */
    bool is_timer_32_bits;
    uint8_t reset_value;
    struct acpi_register pm1a_control;
    struct acpi_register pm1b_control;
    struct acpi_register pm_timer;
    struct acpi_register reset;
    struct acpi_register sleep_control; /* for hardware-reduced machines */
    struct acpi_register sleep_status;
};

/* Of fields that are there in 32 and in 64 bits, the wider counts unless it is 0. */
CELL_API MUST_CHECK enum status acpi_tables_read_fadt(struct span bytes, struct acpi_fadt *out,
                                                      struct diag *diag);

/* ---- HPET (IA-PC HPET Specification 1.0a, 3.2.4) ---- */

struct acpi_hpet {
    paddr_t address;       /* of 1 KiB of registers; 8-aligned */
    uint16_t vendor;       /* of PCI */
    uint16_t minimum_tick; /* below it, periodic interrupts may be lost; in ticks of the counter */
    uint8_t number;
    uint8_t hardware_revision;
    uint8_t comparators; /* 1 .. 32 */
    bool is_64_bit;
    bool has_legacy_routing; /* can take over ISA interrupts 0 and 8 */
};

CELL_API MUST_CHECK enum status acpi_tables_read_hpet(struct span bytes, struct acpi_hpet *out,
                                                      struct diag *diag);
