/* SPDX-License-Identifier: MIT */
/*
 * io_apic.h - where the interrupts of devices go.
 *
 * Why: devices that do not send messages have a line, which ends at a pin of an IO APIC. There it
 * is said which vector its interrupt has and which CPU gets it. A line belongs to one driver, so it
 * is owned, and silent as soon as its owner is gone.
 *
 * Rules: after local_apic_init_cpu() and acpi_init(); io_apic_init() once, on the CPU that boots,
 * before the rest. What is routed begins masked. Lines that share a pin are one line: who has it
 * shares it. Safe at any instruction: a line that is being routed or dropped has one owner or none,
 * and masking may be begun again. "Data sheet" is Intel's of the 82093AA.
 */
#pragma once

#include "own.h"

#define IO_APIC_VECTOR_MIN 32 /* those below are exceptions */

struct OWN_CAPABILITY("io_apic_line") io_apic_line;
OWN_DECLARE(io_apic_line); /* masks the line; an interrupt that is under way may still come */

/*
 * Takes over the controllers that ACPI names, or the one that every PC has where ACPI names none,
 * and masks all lines. Once that has succeeded, OK without doing anything. A controller that does
 * not answer is left out. ERR_NO_DEVICE when none is left, ERR_NO_MEMORY.
 */
CELL_API MUST_CHECK enum status io_apic_init(void);

/*
 * Routes interrupt `irq`, 0 to 15, of the PC's old controllers, to which ACPI knows the pin, the
 * polarity and the trigger. `vector` is the one that the CPU whose local_apic_id() is `apic_id`
 * gets. ERR_STATE before io_apic_init(); ERR_INVALID_ARGUMENT for a vector below
 * IO_APIC_VECTOR_MIN; ERR_OUT_OF_BOUNDS for an irq above 15 and an apic_id above 254; ERR_NOT_FOUND
 * when no controller has the pin; ERR_BUSY when somebody has the line; ERR_NO_MEMORY. Any context
 * but an interrupt.
 */
CELL_API enum status io_apic_route_isa(unsigned irq, uint8_t vector, uint32_t apic_id,
                                       struct io_apic_line **out) OWN_ACQUIRES(**out);

/* How the line says that it interrupts. */
enum io_apic_trigger {
    IO_APIC_EDGE_HIGH = 0,
    IO_APIC_EDGE_LOW = 1,
    IO_APIC_LEVEL_HIGH = 2,
    IO_APIC_LEVEL_LOW = 3, /* PCI */
};

/* The same of a pin by its number among all controllers (the "global system interrupt" of ACPI). */
CELL_API enum status io_apic_route(uint32_t gsi, enum io_apic_trigger trigger, uint8_t vector,
                                   uint32_t apic_id, struct io_apic_line **out) OWN_ACQUIRES(**out);

/* Any context. After masking, no interrupt leaves the controller; one that has may still come. */
CELL_API void io_apic_line_mask(struct io_apic_line *line) OWN_BORROWS(*line);
CELL_API void io_apic_line_unmask(struct io_apic_line *line) OWN_BORROWS(*line);

/* From now on another CPU gets it. ERR_OUT_OF_BOUNDS as above. */
CELL_API MUST_CHECK enum status io_apic_line_move(struct io_apic_line *line, uint32_t apic_id)
    OWN_BORROWS(*line);

CELL_API uint32_t io_apic_line_gsi(const struct io_apic_line *line) OWN_BORROWS(*line);

struct io_apic_description {
    uint32_t gsi_base;
    uint32_t line_count;
    uint32_t routed; /* of these, owned */
    uint8_t version;
};

/* Controller `index`, from 0; ERR_NOT_FOUND behind the last one. */
CELL_API MUST_CHECK enum status io_apic_describe(unsigned index, struct io_apic_description *out);
