/* SPDX-License-Identifier: MIT */
/*
 * firmware - prints what the tables of the firmware say: processors, interrupt controllers, the
 * HPET, how the machine is switched off; and each table, with the reason where it was refused.
 */
#include "acpi.h"
#include "acpi_power.h"
#include "acpi_tables.h"
#include "aml_sleep.h"
#include "application.h"
#include "console.h"

CELL(application, "1.0.0");

APPLICATION(firmware);

#define DIAG_LINE_SIZE 400

/* The diag as a line of its own, indented. */
static void print_diag(const struct diag *diag)
{
    char line[DIAG_LINE_SIZE];
    diag_format(diag, line, sizeof(line));
    console_print("    %s\n", line);
}

static void print_entries(const struct acpi *acpi)
{
    static const char *const sources[] = {"nobody", "the boot loader", "a search"};
    console_print("tables: root at %012lx, found by %s, revision %u\n", (unsigned long)acpi->root,
                  sources[acpi->source], (unsigned)acpi->revision);
    for (size_t i = 0; i < acpi->entry_count; i++) {
        const struct acpi_entry *entry = &acpi->entries[i];
        bool is_good = entry->diag.code == DIAG_NONE;
        console_print("  %4s at %012lx %8u bytes, revision %u%s\n",
                      entry->signature[0] ? entry->signature : "????",
                      (unsigned long)entry->address, (unsigned)entry->length,
                      (unsigned)entry->revision, is_good ? "" : ": refused");
        if (!is_good) {
            print_diag(&entry->diag);
        }
    }
    if (acpi->left_out) {
        console_print("  and %lu more, which were not looked at\n", (unsigned long)acpi->left_out);
    }
}

static const char *trigger_name(bool is_level, bool is_active_low)
{
    return is_level ? (is_active_low ? "level, active low" : "level, active high")
                    : (is_active_low ? "edge, active low" : "edge, active high");
}

static void print_interrupts(const struct acpi_madt *madt)
{
    for (uint32_t i = 0; i < madt->io_apic_count; i++) {
        const struct acpi_io_apic *io_apic = &madt->io_apics[i];
        console_print("  IO APIC %u at %012lx, interrupts from %u\n", (unsigned)io_apic->id,
                      (unsigned long)io_apic->address, (unsigned)io_apic->gsi_base);
    }
    for (unsigned i = 0; i < ACPI_ISA_IRQ_COUNT; i++) {
        const struct acpi_interrupt *isa = &madt->isa[i];
        if (isa->is_overridden) {
            console_print("  ISA interrupt %u is %u, %s\n", i, (unsigned)isa->gsi,
                          trigger_name(isa->is_level, isa->is_active_low));
        }
    }
    for (uint32_t i = 0; i < madt->nmi_count; i++) {
        console_print("  interrupt %u is not maskable, %s\n", (unsigned)madt->nmis[i].gsi,
                      trigger_name(madt->nmis[i].is_level, madt->nmis[i].is_active_low));
    }
    for (uint32_t i = 0; i < madt->local_nmi_count; i++) {
        const struct acpi_local_nmi *nmi = &madt->local_nmis[i];
        const char *trigger = trigger_name(nmi->is_level, nmi->is_active_low);
        if (nmi->uid == ACPI_EVERY_PROCESSOR) {
            console_print("  LINT%u of every processor is NMI, %s\n", (unsigned)nmi->lint, trigger);
        } else {
            console_print("  LINT%u of processor %u is NMI, %s\n", (unsigned)nmi->lint,
                          (unsigned)nmi->uid, trigger);
        }
    }
}

static void print_processors(const struct acpi_madt *madt)
{
    if (!madt) {
        console_print("processors: one, for there is no table of them\n");
        return;
    }
    console_print("processors: %u, %u that may be plugged in, %u disabled; APIC ids",
                  (unsigned)madt->processor_count, (unsigned)madt->capable_count,
                  (unsigned)madt->disabled_count);
    for (uint32_t i = 0; i < madt->processor_count; i++) {
        console_print(" %u", (unsigned)madt->processors[i].apic_id);
    }
    console_print("\n  local APIC at %012lx%s\n", (unsigned long)madt->local_apic,
                  madt->has_pics ? ", and two 8259" : "");
    print_interrupts(madt);
    if (madt->left_out || madt->duplicate_count) {
        console_print("  %u entries are too many, %u processors are listed twice\n",
                      (unsigned)madt->left_out, (unsigned)madt->duplicate_count);
    }
}

static void print_hpet(const struct acpi_hpet *hpet)
{
    if (!hpet) {
        console_print("HPET: none\n");
        return;
    }
    console_print("HPET: at %012lx, %u comparators, %u bits, shortest period %u ticks\n",
                  (unsigned long)hpet->address, (unsigned)hpet->comparators,
                  hpet->is_64_bit ? 64u : 32u, (unsigned)hpet->minimum_tick);
}

static const char *space_name(uint8_t space)
{
    return space == ACPI_SPACE_IO ? "port" : space == ACPI_SPACE_MEMORY ? "memory" : "space ?";
}

static void print_register(const char *name, const struct acpi_register *where)
{
    if (where->address) {
        console_print("  %s: %s %#lx\n", name, space_name(where->space),
                      (unsigned long)where->address);
    }
}

static void print_power(const struct acpi *acpi)
{
    console_print("power: ACPI %s switch this machine off, and %s reset it\n",
                  acpi_power_can_switch_off() ? "can" : "cannot",
                  acpi_power_can_reset() ? "can" : "cannot");
    if (acpi->off) {
        console_print("  sleep type %u, of the second register %u\n", (unsigned)acpi->off->type_a,
                      (unsigned)acpi->off->type_b);
    } else {
        print_diag(&acpi->off_diag);
    }
    if (acpi->fadt) {
        print_register("PM1a control", &acpi->fadt->pm1a_control);
        print_register("PM1b control", &acpi->fadt->pm1b_control);
        print_register("reset", &acpi->fadt->reset);
    }
}

enum status firmware_main(const struct app_arguments *arguments)
{
    (void)arguments;
    const struct acpi *acpi = acpi_get();
    if (acpi->status != OK) {
        console_print("tables: none that can be used: %s\n", status_text(acpi->status));
        if (acpi->diag.code != DIAG_NONE) {
            print_diag(&acpi->diag);
        }
    } else {
        print_entries(acpi);
    }
    print_processors(acpi->madt);
    print_hpet(acpi->hpet);
    print_power(acpi);
    return OK;
}
