/* SPDX-License-Identifier: MIT */
/*
 * Sections of the ACPI Specification 6.5: 4.8.3.2.1 PM1 Control Registers, 4.8.3.7
 * Sleeping, 4.8.3.6 Reset Register, 4.8.2.5 Legacy/ACPI Select.
 */
#include "acpi_power.h"
#include "acpi.h"
#include "acpi_tables.h"
#include "aml_sleep.h"
#include "mmio.h"
#include "port_io.h"
#include "power.h"

CELL(driver, "1.0.0");

/* Bits of PM1 control. */
#define SCI_ENABLE       0x0001u
#define SLEEP_TYPE_SHIFT 10
#define SLEEP_TYPE_MASK  (7u << SLEEP_TYPE_SHIFT)
#define SLEEP_ENABLE     0x2000u

/* In reads of a register, each of which takes about a microsecond. */
#define ENABLE_POLLS 300000u
#define SLEEP_POLLS  300000u

/* A register that can be used: a port, or memory that is mapped. */
struct place {
    bool is_there;
    uint16_t port;
    struct mmio *memory; /* NULL for a port */
};

/* State spill: what the ways need, prepared by acpi_power_init(). */
static struct {
    bool is_ready;
    bool can_switch_off;
    struct place pm1a;
    struct place pm1b;
    struct place reset;
    uint16_t smi_command; /* 0: the machine is in ACPI mode always */
    uint8_t acpi_enable;
    uint8_t reset_value;
    struct aml_sleep type;
} ways;

/* ---- registers ---- */

static uint16_t read_control(struct place *place)
{
    if (!place->memory) {
        return port_read16(place->port);
    }
    volatile uint16_t *control = MMIO_AS(uint16_t, STORED(place->memory), 0);
    return control ? *control : 0;
}

static void write_control(struct place *place, uint16_t value)
{
    if (!place->memory) {
        port_write16(place->port, value);
        return;
    }
    volatile uint16_t *control = MMIO_AS(uint16_t, STORED(place->memory), 0);
    if (control) {
        *control = value;
    }
}

static void write_reset(struct place *place, uint8_t value)
{
    if (!place->memory) {
        port_write8(place->port, value);
        return;
    }
    volatile uint8_t *reset = MMIO_AS(uint8_t, STORED(place->memory), 0);
    if (reset) {
        *reset = value;
    }
}

/*
 * Makes a register usable; one that is absent, or elsewhere than in ports and memory, is not there.
 */
static enum status find_place(const struct acpi_register *where, size_t bytes, struct place *out)
{
    if (where->address == 0 ||
        (where->space != ACPI_SPACE_IO && where->space != ACPI_SPACE_MEMORY)) {
        return OK;
    }
    if (where->space == ACPI_SPACE_MEMORY) {
        mmio_drop(STORED_SLOT(out->memory)); /* of an attempt that was struck */
        OWNED(mmio, memory);
        enum status status = mmio_create(where->address, bytes, SLOT(memory));
        if (status != OK) {
            return status;
        }
        STORE(out->memory, memory);
    }
    out->port = (uint16_t)where->address; /* of a port: the tables' reader has checked it */
    out->is_there = true;
    return OK;
}

/* ---- the ways ---- */

static void enter_acpi_mode(void)
{
    if (!ways.smi_command || !ways.acpi_enable || (read_control(&ways.pm1a) & SCI_ENABLE)) {
        return;
    }
    port_write8(ways.smi_command, ways.acpi_enable);
    for (unsigned i = 0; i < ENABLE_POLLS && !(read_control(&ways.pm1a) & SCI_ENABLE); i++) {
    }
}

/* The type first, then, in a write of its own, the bit that starts it. */
static void sleep(struct place *place, uint8_t type, uint16_t start)
{
    if (place->is_there) {
        unsigned control = read_control(place) & ~(SLEEP_TYPE_MASK | SLEEP_ENABLE);
        write_control(place, (uint16_t)(control | (unsigned)type << SLEEP_TYPE_SHIFT | start));
    }
}

static void switch_off(struct power_way *way)
{
    (void)way;
    enter_acpi_mode();
    sleep(&ways.pm1a, ways.type.type_a, 0);
    sleep(&ways.pm1b, ways.type.type_b, 0);
    sleep(&ways.pm1a, ways.type.type_a, SLEEP_ENABLE);
    sleep(&ways.pm1b, ways.type.type_b, SLEEP_ENABLE);
    for (unsigned i = 0; i < SLEEP_POLLS; i++) {
        (void)read_control(&ways.pm1a);
    }
}

static void reset(struct power_way *way)
{
    (void)way;
    write_reset(&ways.reset, ways.reset_value);
    for (unsigned i = 0; i < SLEEP_POLLS && ways.pm1a.is_there; i++) {
        (void)read_control(&ways.pm1a);
    }
}

static struct power_way off_way = {.name = "ACPI", .off = switch_off};
static struct power_way reset_way = {.name = "ACPI", .reboot = reset};

/* An attempt that was struck may have done it. */
static enum status register_way(struct power_way *way)
{
    enum status status = power_register(way);
    return status == ERR_EXISTS ? OK : status;
}

static enum status prepare_off(const struct acpi *acpi)
{
    if (!acpi->off || acpi->fadt->is_hardware_reduced) {
        return OK;
    }
    enum status status = find_place(&acpi->fadt->pm1a_control, sizeof(uint16_t), &ways.pm1a);
    if (status == OK) {
        status = find_place(&acpi->fadt->pm1b_control, sizeof(uint16_t), &ways.pm1b);
    }
    if (status != OK || !ways.pm1a.is_there) {
        return status;
    }
    ways.smi_command = (uint16_t)acpi->fadt->smi_command;
    ways.acpi_enable = acpi->fadt->acpi_enable;
    ways.type = *acpi->off;
    status = register_way(&off_way);
    ways.can_switch_off = status == OK;
    return status;
}

static enum status prepare_reset(const struct acpi_fadt *fadt)
{
    if (!fadt->has_reset) {
        return OK;
    }
    enum status status = find_place(&fadt->reset, sizeof(uint8_t), &ways.reset);
    if (status != OK || !ways.reset.is_there) {
        return status;
    }
    ways.reset_value = fadt->reset_value;
    return register_way(&reset_way);
}

enum status acpi_power_init(void)
{
    const struct acpi *acpi = acpi_get();
    if (ways.is_ready) {
        return ERR_STATE;
    }
    if (!acpi->fadt) {
        return ERR_NO_DEVICE;
    }
    enum status off = prepare_off(acpi);
    enum status again = prepare_reset(acpi->fadt);
    ways.is_ready = true;
    if (off != OK || again != OK) {
        return off != OK ? off : again;
    }
    return ways.can_switch_off || ways.reset.is_there ? OK : ERR_UNSUPPORTED;
}

bool acpi_power_can_switch_off(void)
{
    return ways.can_switch_off;
}

bool acpi_power_can_reset(void)
{
    return ways.reset.is_there;
}
