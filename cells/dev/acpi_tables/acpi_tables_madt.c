/* SPDX-License-Identifier: MIT */
/*
 * The MADT is a list of entries {type, length, content}. The list is walked three times: once for
 * everything but processors that may come later, then for those, so that they stand behind the ones
 * that can be started. A processor may be listed twice, by an entry of the old and one of the new
 * form; starting one that runs already would reset it, so ids are unique in the result.
 */
#include "acpi_tables_priv.h"

/* Offsets in the table, and the entries' types with the sizes that they must have. */
#define MADT_LOCAL_APIC   36
#define MADT_FLAGS        40
#define MADT_ENTRIES      44
#define MADT_HAS_PICS     1u
#define PROCESSOR_ENABLED 1u
#define PROCESSOR_CAPABLE 2u

#define LOCAL_APIC_NOBODY   0xffu /* the broadcast id; firmware writes it into unused slots */
#define LOCAL_X2APIC_NOBODY UINT32_MAX
#define LOCAL_NMI_EVERYBODY 0xffu

enum entry_type {
    ENTRY_LOCAL_APIC = 0,
    ENTRY_IO_APIC = 1,
    ENTRY_OVERRIDE = 2,
    ENTRY_NMI = 3,
    ENTRY_LOCAL_NMI = 4,
    ENTRY_LOCAL_APIC_ADDRESS = 5,
    ENTRY_LOCAL_X2APIC = 9,
    ENTRY_LOCAL_X2APIC_NMI = 10,
};
#define ENTRY_TYPE_COUNT 11

/* One entry, and what it is an entry of. */
struct entry {
    const struct table *table;
    uint64_t at; /* in the table */
    struct span bytes;
    struct acpi_madt *out;
};

static enum status refuse_field(const struct entry *entry, enum diag_code code, uint64_t offset,
                                uint64_t expected, uint64_t found)
{
    return refuse(entry->table, code, entry->at + offset, expected, found);
}

/* Flags of the form that MPS INTI flags have; interrupts of the ISA bus are edge, active high. */
static enum status read_inti(const struct entry *entry, uint64_t offset, bool *out_low,
                             bool *out_level)
{
    uint16_t flags = read16(entry->bytes, offset);
    unsigned polarity = flags & 3u;
    unsigned trigger = flags >> 2 & 3u;
    if (polarity == 2 || trigger == 2) {
        return refuse_field(entry, DIAG_ACPI_VALUE, offset, 0, flags);
    }
    *out_low = polarity == 3;
    *out_level = trigger == 3;
    return OK;
}

/* ---- processors ---- */

static bool has_processor(const struct acpi_madt *madt, uint32_t apic_id)
{
    for (uint32_t i = 0; i < madt->processor_count + madt->capable_count; i++) {
        if (madt->processors[i].apic_id == apic_id) {
            return true;
        }
    }
    return false;
}

static void add_processor(struct acpi_madt *madt, uint32_t *count, struct acpi_processor processor)
{
    uint32_t used = madt->processor_count + madt->capable_count;
    if (has_processor(madt, processor.apic_id)) {
        madt->duplicate_count++;
    } else if (used == ACPI_PROCESSOR_LIMIT) {
        madt->left_out++;
    } else {
        madt->processors[used] = processor;
        ++*count;
    }
}

/* Both forms of a processor's entry; false for any other. */
static bool is_processor(const struct entry *entry, struct acpi_processor *out, uint32_t *out_flags)
{
    uint8_t type = read8(entry->bytes, 0);
    if (type == ENTRY_LOCAL_APIC) {
        uint8_t id = read8(entry->bytes, 3);
        *out = (struct acpi_processor){.apic_id = id, .uid = read8(entry->bytes, 2)};
        *out_flags = id == LOCAL_APIC_NOBODY ? 0 : read32(entry->bytes, 4);
        return true;
    }
    if (type == ENTRY_LOCAL_X2APIC) {
        uint32_t id = read32(entry->bytes, 4);
        *out = (struct acpi_processor){.apic_id = id, .uid = read32(entry->bytes, 12)};
        *out_flags = id == LOCAL_X2APIC_NOBODY ? 0 : read32(entry->bytes, 8);
        return true;
    }
    return false;
}

static enum status read_processor(const struct entry *entry)
{
    struct acpi_processor processor;
    uint32_t flags;
    if (is_processor(entry, &processor, &flags)) {
        if (flags & PROCESSOR_ENABLED) {
            add_processor(entry->out, &entry->out->processor_count, processor);
        } else if (!(flags & PROCESSOR_CAPABLE)) {
            entry->out->disabled_count++;
        }
    }
    return OK;
}

static enum status read_capable_processor(const struct entry *entry)
{
    struct acpi_processor processor;
    uint32_t flags;
    if (is_processor(entry, &processor, &flags) &&
        (flags & (PROCESSOR_ENABLED | PROCESSOR_CAPABLE)) == PROCESSOR_CAPABLE) {
        add_processor(entry->out, &entry->out->capable_count, processor);
    }
    return OK;
}

/* ---- interrupt controllers and interrupts ---- */

static enum status read_io_apic(const struct entry *entry)
{
    struct acpi_madt *madt = entry->out;
    struct acpi_io_apic io_apic = {
        .id = read8(entry->bytes, 2),
        .address = read32(entry->bytes, 4),
        .gsi_base = read32(entry->bytes, 8),
    };
    if (io_apic.address == 0) {
        return refuse_field(entry, DIAG_ACPI_ADDRESS, 4, PHYSICAL_LIMIT, 0);
    }
    for (uint32_t i = 0; i < madt->io_apic_count; i++) {
        if (madt->io_apics[i].gsi_base == io_apic.gsi_base) {
            return refuse_field(entry, DIAG_ACPI_TWICE, 8, madt->io_apics[i].id, io_apic.id);
        }
    }
    if (madt->io_apic_count == ACPI_IO_APIC_LIMIT) {
        madt->left_out++;
    } else {
        madt->io_apics[madt->io_apic_count++] = io_apic;
    }
    return OK;
}

static enum status read_override(const struct entry *entry)
{
    uint8_t bus = read8(entry->bytes, 2);
    uint8_t source = read8(entry->bytes, 3);
    if (bus != 0) {
        return refuse_field(entry, DIAG_ACPI_VALUE, 2, 0, bus);
    }
    if (source >= ACPI_ISA_IRQ_COUNT) {
        return refuse_field(entry, DIAG_ACPI_VALUE, 3, ACPI_ISA_IRQ_COUNT - 1, source);
    }
    struct acpi_interrupt found = {.gsi = read32(entry->bytes, 4), .is_overridden = true};
    enum status status = read_inti(entry, 8, &found.is_active_low, &found.is_level);
    if (status != OK) {
        return status;
    }
    struct acpi_interrupt *isa = &entry->out->isa[source];
    if (isa->is_overridden && (isa->gsi != found.gsi || isa->is_level != found.is_level ||
                               isa->is_active_low != found.is_active_low)) {
        return refuse_field(entry, DIAG_ACPI_TWICE, 4, isa->gsi, found.gsi);
    }
    *isa = found;
    return OK;
}

static enum status read_nmi(const struct entry *entry)
{
    struct acpi_madt *madt = entry->out;
    struct acpi_nmi nmi = {.gsi = read32(entry->bytes, 4)};
    enum status status = read_inti(entry, 2, &nmi.is_active_low, &nmi.is_level);
    if (status != OK) {
        return status;
    }
    if (madt->nmi_count == ACPI_NMI_LIMIT) {
        madt->left_out++;
    } else {
        madt->nmis[madt->nmi_count++] = nmi;
    }
    return OK;
}

/* `flags_at` and `lint_at`: the two forms differ. */
static enum status add_local_nmi(const struct entry *entry, uint32_t uid, uint64_t flags_at,
                                 uint64_t lint_at)
{
    struct acpi_madt *madt = entry->out;
    struct acpi_local_nmi nmi = {.uid = uid, .lint = read8(entry->bytes, lint_at)};
    if (nmi.lint > 1) {
        return refuse_field(entry, DIAG_ACPI_VALUE, lint_at, 1, nmi.lint);
    }
    enum status status = read_inti(entry, flags_at, &nmi.is_active_low, &nmi.is_level);
    if (status != OK) {
        return status;
    }
    if (madt->local_nmi_count == ACPI_LOCAL_NMI_LIMIT) {
        madt->left_out++;
    } else {
        madt->local_nmis[madt->local_nmi_count++] = nmi;
    }
    return OK;
}

static enum status read_local_nmi(const struct entry *entry)
{
    uint8_t uid = read8(entry->bytes, 2);
    return add_local_nmi(entry, uid == LOCAL_NMI_EVERYBODY ? ACPI_EVERY_PROCESSOR : uid, 3, 5);
}

static enum status read_local_x2apic_nmi(const struct entry *entry)
{
    return add_local_nmi(entry, read32(entry->bytes, 4), 2, 8);
}

/* The registers of a local APIC fill a page of their own. */
static enum status set_local_apic(const struct entry *entry, uint64_t offset, paddr_t address)
{
    if (address == 0 || address >= PHYSICAL_LIMIT || !page_is_aligned(address)) {
        return refuse_field(entry, DIAG_ACPI_ADDRESS, offset, PHYSICAL_LIMIT, address);
    }
    entry->out->local_apic = address;
    return OK;
}

static enum status read_local_apic_address(const struct entry *entry)
{
    return set_local_apic(entry, 4, read64(entry->bytes, 4));
}

/* ---- the list ---- */

struct reader {
    uint8_t size; /* that an entry has at least */
    enum status (*read)(const struct entry *entry);
};

static const struct reader readers[ENTRY_TYPE_COUNT] = {
    [ENTRY_LOCAL_APIC] = {8, read_processor},
    [ENTRY_IO_APIC] = {12, read_io_apic},
    [ENTRY_OVERRIDE] = {10, read_override},
    [ENTRY_NMI] = {8, read_nmi},
    [ENTRY_LOCAL_NMI] = {6, read_local_nmi},
    [ENTRY_LOCAL_APIC_ADDRESS] = {12, read_local_apic_address},
    [ENTRY_LOCAL_X2APIC] = {16, read_processor},
    [ENTRY_LOCAL_X2APIC_NMI] = {12, read_local_x2apic_nmi},
};

static const struct reader late_readers[ENTRY_TYPE_COUNT] = {
    [ENTRY_LOCAL_APIC] = {8, read_capable_processor},
    [ENTRY_LOCAL_X2APIC] = {16, read_capable_processor},
};

/*
 * Cuts the entry at `at` off; its size, which is at least that of type and length, is right then.
 */
static enum status open_entry(const struct table *table, uint64_t at, struct entry *out)
{
    uint8_t size = read8(table->bytes, at + 1);
    if (!span_holds(table->bytes, at, 2) || !span_slice(table->bytes, at, size, &out->bytes)) {
        return refuse(table, DIAG_ACPI_TRUNCATED, at, at + (size < 2 ? 2 : size),
                      table->bytes.size);
    }
    out->at = at;
    return size < 2 ? refuse(table, DIAG_ACPI_ENTRY, at + 1, 2, size) : OK;
}

static enum status walk(const struct table *table, const struct reader *with, struct acpi_madt *out)
{
    struct entry entry = {.table = table, .out = out};
    for (uint64_t at = MADT_ENTRIES; at < table->bytes.size; at += entry.bytes.size) {
        enum status status = open_entry(table, at, &entry);
        if (status != OK) {
            return status;
        }
        uint8_t type = read8(entry.bytes, 0);
        const struct reader *reader = type < ENTRY_TYPE_COUNT ? &with[type] : NULL;
        if (!reader || !reader->read) {
            continue;
        }
        if (entry.bytes.size < reader->size) {
            return refuse_field(&entry, DIAG_ACPI_ENTRY, 1, reader->size, entry.bytes.size);
        }
        status = reader->read(&entry);
        if (status != OK) {
            return status;
        }
    }
    return OK;
}

enum status acpi_tables_read_madt(struct span bytes, struct acpi_madt *out, struct diag *diag)
{
    struct table table;
    enum status status = open_table(bytes, "APIC", MADT_ENTRIES, diag, &table);
    if (status != OK) {
        return status;
    }
    __builtin_memset(out, 0, sizeof(*out));
    out->has_pics = read32(table.bytes, MADT_FLAGS) & MADT_HAS_PICS;
    for (uint32_t i = 0; i < ACPI_ISA_IRQ_COUNT; i++) {
        out->isa[i].gsi = i;
    }
    const struct entry fixed = {.table = &table, .bytes = table.bytes, .out = out};
    status = set_local_apic(&fixed, MADT_LOCAL_APIC, read32(table.bytes, MADT_LOCAL_APIC));
    if (status == OK) {
        status = walk(&table, readers, out);
    }
    return status == OK ? walk(&table, late_readers, out) : status;
}
