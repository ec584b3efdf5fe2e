/* SPDX-License-Identifier: MIT */
/*
 * Two controllers and what ACPI says of them are made up. The cell keeps its controllers for good:
 * each case is a process of its own.
 */
#include <stdlib.h>
#include <string.h>

#include "acpi.h"
#include "acpi_tables.h"
#include "heap.h"
#include "io_apic.h"
#include "mmio.h"
#include "own_process.h"
#include "x86.h"

#define PINS    24
#define MASKED  0x10000u
#define PRESENT 0x00170020u /* 24 pins, version 0x20 */

struct mmio {
    paddr_t start;
    uint32_t version;
    uint32_t index;
    uint32_t entries[2 * PINS];
    bool is_owned;
};

static struct mmio devices[2];
static struct acpi_madt madt;
static struct acpi acpi;
static unsigned blocks;          /* of the heap, in use */
static unsigned blocks_left = 8; /* before it is used up */
static struct io_apic_line **watched;

const struct acpi *acpi_get(void)
{
    return &acpi;
}

void *heap_allocate(size_t bytes)
{
    if (blocks_left == 0) {
        return NULL;
    }
    blocks_left--;
    blocks++;
    return malloc(bytes);
}

void *heap_allocate_zeroed(size_t bytes)
{
    void *block = heap_allocate(bytes);
    return block ? memset(block, 0, bytes) : NULL;
}

void heap_free(void *block)
{
    if (!block) {
        return;
    }
    if (watched) {
        assert_null(*watched); /* nobody has a handle of what is freed */
    }
    blocks--;
    free(block);
}

enum status mmio_create(paddr_t start, uint64_t bytes, struct mmio **out)
{
    assert_int_equal(bytes, 0x20);
    for (size_t i = 0; i < ARRAY_COUNT(devices); i++) {
        if (devices[i].start == start && !devices[i].is_owned) {
            devices[i].is_owned = true;
            FILL(out, &devices[i]);
            return OK;
        }
    }
    return ERR_BUSY;
}

void mmio_drop(struct mmio **handle)
{
    if (*handle) {
        (*handle)->is_owned = false;
        EMPTY(handle);
    }
}

enum status mmio_write32(struct mmio *mmio, uint64_t offset, uint32_t value)
{
    assert_true(mmio->is_owned);
    assert_false(interrupts_enabled()); /* index and window belong together */
    if (offset == 0) {
        assert_true(value == 1 || (value >= 0x10 && value < 0x10 + 2 * PINS));
        mmio->index = value;
        return OK;
    }
    assert_int_equal(offset, 0x10);
    assert_true(mmio->index >= 0x10);
    mmio->entries[mmio->index - 0x10] = value;
    return OK;
}

enum status mmio_read32(const struct mmio *mmio, uint64_t offset, uint32_t *out_value)
{
    assert_true(mmio->is_owned);
    assert_false(interrupts_enabled());
    assert_int_equal(offset, 0x10);
    *out_value = mmio->index == 1 ? mmio->version : mmio->entries[mmio->index - 0x10];
    return OK;
}

/* A PC whose firmware has left lines open; the second controller has the pins from 24 on. */
static void make_machine(void)
{
    for (unsigned d = 0; d < 2; d++) {
        devices[d] = (struct mmio){.start = 0xfec00000 + d * 0x10000, .version = PRESENT};
        madt.io_apics[d] = (struct acpi_io_apic){
            .address = devices[d].start, .gsi_base = d * PINS, .id = (uint8_t)d};
    }
    madt.io_apic_count = 2;
    for (unsigned irq = 0; irq < 16; irq++) {
        madt.isa[irq] = (struct acpi_interrupt){.gsi = irq};
    }
    madt.isa[0] = (struct acpi_interrupt){.gsi = 2, .is_overridden = true};
    madt.isa[9] = (struct acpi_interrupt){
        .gsi = 9, .is_overridden = true, .is_level = true, .is_active_low = true};
    acpi.madt = &madt;
    enable_interrupts();
}

static uint32_t low(unsigned device, unsigned pin)
{
    return devices[device].entries[2 * pin];
}

static uint32_t high(unsigned device, unsigned pin)
{
    return devices[device].entries[2 * pin + 1];
}

static uint32_t routed(unsigned index)
{
    struct io_apic_description description;
    assert_int_equal(io_apic_describe(index, &description), OK);
    return description.routed;
}

static void init_masks_every_line(void)
{
    make_machine();
    struct io_apic_description description;
    assert_int_equal(io_apic_describe(0, &description), ERR_NOT_FOUND);
    assert_int_equal(io_apic_init(), OK);
    for (unsigned pin = 0; pin < PINS; pin++) {
        assert_int_equal(low(0, pin), MASKED);
        assert_int_equal(low(1, pin), MASKED);
    }
    assert_int_equal(io_apic_describe(1, &description), OK);
    assert_int_equal(description.gsi_base, 24);
    assert_int_equal(description.line_count, 24);
    assert_int_equal(description.version, 0x20);
    assert_int_equal(description.routed, 0);
    assert_int_equal(io_apic_describe(2, &description), ERR_NOT_FOUND);
    assert_int_equal(io_apic_init(), OK); /* again: nothing */
    assert_true(interrupts_enabled());
}

static void route_obeys_overrides(void)
{
    make_machine();
    assert_int_equal(io_apic_init(), OK);
    OWNED(io_apic_line, timer);
    OWNED(io_apic_line, keyboard);
    OWNED(io_apic_line, sci);
    assert_int_equal(io_apic_route_isa(0, 0x30, 0, SLOT(timer)), OK);
    assert_int_equal(io_apic_route_isa(1, 0x31, 3, SLOT(keyboard)), OK);
    assert_int_equal(io_apic_route_isa(9, 0x32, 254, SLOT(sci)), OK);
    assert_int_equal(low(0, 2), MASKED | 0x30);
    assert_int_equal(io_apic_line_gsi(REF(timer)), 2);
    assert_int_equal(low(0, 1), MASKED | 0x31);
    assert_int_equal(high(0, 1), 3u << 24);
    assert_int_equal(low(0, 9), MASKED | 0x32 | 0xa000); /* level, active low */
    assert_int_equal(high(0, 9), 254u << 24);
    assert_int_equal(routed(0), 3);
}

static void line_is_masked_and_unmasked_and_moved(void)
{
    make_machine();
    assert_int_equal(io_apic_init(), OK);
    OWNED(io_apic_line, line);
    assert_int_equal(io_apic_route(40, IO_APIC_LEVEL_LOW, 0x81, 1, SLOT(line)), OK);
    assert_int_equal(io_apic_line_gsi(REF(line)), 40);
    assert_int_equal(low(1, 16), MASKED | 0xa081);
    io_apic_line_unmask(REF(line));
    assert_int_equal(low(1, 16), 0xa081);
    assert_int_equal(io_apic_line_move(REF(line), 2), OK);
    assert_int_equal(high(1, 16), 2u << 24);
    assert_int_equal(io_apic_line_move(REF(line), 255), ERR_OUT_OF_BOUNDS);
    assert_int_equal(high(1, 16), 2u << 24);
    io_apic_line_mask(REF(line));
    io_apic_line_mask(REF(line));
    assert_int_equal(low(1, 16), MASKED | 0xa081);
}

static void line_has_one_owner_and_is_silent_without(void)
{
    make_machine();
    assert_int_equal(io_apic_init(), OK);
    unsigned before = blocks;
    OWNED(io_apic_line, first);
    OWNED(io_apic_line, second);
    assert_int_equal(io_apic_route_isa(4, 0x40, 0, SLOT(first)), OK);
    io_apic_line_unmask(REF(first));
    assert_int_equal(io_apic_route(4, IO_APIC_EDGE_HIGH, 0x41, 0, SLOT(second)), ERR_BUSY);
    assert_false(HELD(second));
    assert_int_equal(blocks, before + 1);
    assert_int_equal(low(0, 4), 0x40); /* untouched */
    watched = SLOT(first);
    io_apic_line_drop(SLOT(first));
    io_apic_line_drop(SLOT(first)); /* empty: nothing to do */
    watched = NULL;
    assert_int_equal(low(0, 4), MASKED | 0x40);
    assert_int_equal(blocks, before);
    assert_int_equal(routed(0), 0);
    assert_int_equal(io_apic_route_isa(4, 0x41, 0, SLOT(second)), OK);
}

static void scope_gives_the_line_back(void)
{
    make_machine();
    assert_int_equal(io_apic_init(), OK);
    {
        OWNED(io_apic_line, line);
        assert_int_equal(io_apic_route_isa(4, 0x40, 0, SLOT(line)), OK);
        io_apic_line_unmask(REF(line));
    }
    assert_int_equal(low(0, 4), MASKED | 0x40);
    assert_int_equal(routed(0), 0);
}

static void nonsense_is_refused(void)
{
    make_machine();
    OWNED(io_apic_line, line);
    assert_int_equal(io_apic_route_isa(4, 0x40, 0, SLOT(line)), ERR_STATE);
    assert_int_equal(io_apic_init(), OK);
    assert_int_equal(io_apic_route_isa(16, 0x40, 0, SLOT(line)), ERR_OUT_OF_BOUNDS);
    assert_int_equal(io_apic_route_isa(4, 31, 0, SLOT(line)), ERR_INVALID_ARGUMENT);
    assert_int_equal(io_apic_route_isa(4, 0x40, 255, SLOT(line)), ERR_OUT_OF_BOUNDS);
    assert_int_equal(io_apic_route(48, IO_APIC_EDGE_LOW, 0x40, 0, SLOT(line)), ERR_NOT_FOUND);
    assert_int_equal(io_apic_route(UINT32_MAX, IO_APIC_EDGE_LOW, 0x40, 0, SLOT(line)),
                     ERR_NOT_FOUND);
    blocks_left = 0;
    assert_int_equal(io_apic_route_isa(4, 0x40, 0, SLOT(line)), ERR_NO_MEMORY);
    assert_int_equal(routed(0), 0);
}

static void absent_controller_is_left_out(void)
{
    make_machine();
    devices[0].version = UINT32_MAX;
    assert_int_equal(io_apic_init(), OK);
    assert_false(devices[0].is_owned);
    assert_int_equal(routed(0), 0);
    OWNED(io_apic_line, line);
    assert_int_equal(io_apic_route(3, IO_APIC_EDGE_HIGH, 0x40, 0, SLOT(line)), ERR_NOT_FOUND);
    assert_int_equal(io_apic_route(24, IO_APIC_EDGE_HIGH, 0x40, 0, SLOT(line)), OK);
}

static void impossible_controllers_are_refused(void)
{
    make_machine();
    devices[0].version = 0x00780020; /* 121 pins: the last one's register would not be there */
    devices[1].version = 0;
    assert_int_equal(io_apic_init(), ERR_NO_DEVICE);
    assert_false(devices[0].is_owned || devices[1].is_owned);
    devices[1].version = PRESENT;
    blocks_left = 0;
    assert_int_equal(io_apic_init(), ERR_NO_MEMORY);
    assert_false(devices[1].is_owned);
    blocks_left = 8;
    assert_int_equal(io_apic_init(), OK);
}

static void machine_without_acpi_has_the_usual_one(void)
{
    make_machine();
    acpi.madt = NULL;
    assert_int_equal(io_apic_init(), OK);
    OWNED(io_apic_line, timer);
    OWNED(io_apic_line, keyboard);
    assert_int_equal(io_apic_route_isa(0, 0x30, 0, SLOT(timer)), OK);
    assert_int_equal(io_apic_route_isa(1, 0x31, 0, SLOT(keyboard)), OK);
    assert_int_equal(low(0, 2), MASKED | 0x30);
    assert_int_equal(low(0, 1), MASKED | 0x31);
    assert_false(devices[1].is_owned);
}

static const own_process_case_t cases[] = {
    init_masks_every_line,
    route_obeys_overrides,
    line_is_masked_and_unmasked_and_moved,
    line_has_one_owner_and_is_silent_without,
    scope_gives_the_line_back,
    nonsense_is_refused,
    absent_controller_is_left_out,
    impossible_controllers_are_refused,
    machine_without_acpi_has_the_usual_one,
};

int main(void)
{
    return own_process_run_all("io_apic", cases, ARRAY_COUNT(cases));
}
