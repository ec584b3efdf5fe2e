/* SPDX-License-Identifier: MIT */
/*
 * What is known of this machine, its timer and its interrupt controller: tables of the firmware,
 * and registers that are simulated. After a strike what was begun can be begun again, no register
 * has two owners, and a line that nobody owns is silent.
 */
#include <string.h>

#include "acpi.h"
#include "acpi_tables.h"
#include "boot_info.h"
#include "commit.h"
#include "firmware_memory.h"
#include "hpet.h"
#include "io_apic.h"
#include "logger.h"
#include "mmio.h"
#include "preemption.h"
#include "strike.h"
#include "strike_heap.h"

/* ---- what these cells call and is not there ---- */

void logger_write(enum log_level level, const char *cell, const char *format, ...)
{
}

/* ---- registers ---- */

#define TIMER_ADDRESS      0xfed00000ull
#define CONTROLLER_ADDRESS 0xfec00000ull
#define PINS               24u
#define MASKED             0x10000u
#define CAPABILITIES       0x0089896880868201ull /* 10 MHz, of Intel, 3 timers, 32 bits wide */
#define CONFIGURE          0x10u
#define COUNTER            0xf0u
#define BY_FIRMWARE        2u /* in the old timer's place, and stopped */

struct mmio {
    paddr_t start;
    uint64_t is_owned;
    uint32_t index; /* of the controller */
    uint32_t entries[2 * PINS];
    uint64_t counter; /* of the timer, these two */
    uint64_t configuration;
};

static struct mmio devices[] = {{.start = TIMER_ADDRESS, .configuration = BY_FIRMWARE},
                                {.start = CONTROLLER_ADDRESS}};

enum status mmio_create(paddr_t start, uint64_t bytes, struct mmio **out)
{
    for (size_t i = 0; i < ARRAY_COUNT(devices); i++) {
        if (devices[i].start == start && !devices[i].is_owned) {
            commit_two(&devices[i].is_owned, 1, out, &devices[i]);
            return OK;
        }
    }
    return ERR_BUSY;
}

void mmio_drop(struct mmio **handle)
{
    struct mmio *mmio = *handle;
    if (mmio) {
        strike_demand(mmio->is_owned);
        commit_two(handle, NULL, &mmio->is_owned, 0);
    }
}

enum status mmio_write32(struct mmio *mmio, uint64_t offset, uint32_t value)
{
    strike_demand(mmio->is_owned && !interrupts_enabled());
    if (offset == 0) {
        mmio->index = value;
    } else {
        strike_demand(mmio->index >= 0x10 && mmio->index < 0x10 + 2 * PINS);
        mmio->entries[mmio->index - 0x10] = value;
    }
    return OK;
}

enum status mmio_read32(const struct mmio *mmio, uint64_t offset, uint32_t *out_value)
{
    strike_demand(mmio->is_owned && !interrupts_enabled());
    *out_value = mmio->index == 1 ? (PINS - 1) << 16 | 0x20 : mmio->entries[mmio->index - 0x10];
    return OK;
}

enum status mmio_read64(const struct mmio *mmio, uint64_t offset, uint64_t *out_value)
{
    struct mmio *timer = &devices[0];
    strike_demand(mmio == timer && timer->is_owned);
    timer->counter += offset == COUNTER;
    *out_value = offset == COUNTER     ? timer->counter
                 : offset == CONFIGURE ? timer->configuration
                                       : CAPABILITIES;
    return OK;
}

enum status mmio_write64(struct mmio *mmio, uint64_t offset, uint64_t value)
{
    strike_demand(mmio->is_owned && offset == CONFIGURE);
    mmio->configuration = value;
    return OK;
}

enum status mmio_find(const struct mmio *mmio, uint64_t offset, uint64_t size, uint64_t alignment,
                      volatile void **out)
{
    *out = &devices[0].counter;
    return OK;
}

/* ---- tables ---- */

#define ROOT 0x1000u
#define TIME 0x1100u
#define MORE 0x1200u /* of nobody */

static uint8_t firmware[0x400]; /* from ROOT on */
static struct boot_info boot;

const struct boot_info *boot_info_get(void)
{
    return &boot;
}

enum status firmware_memory_read(paddr_t start, void *buffer, size_t size)
{
    strike_demand(start >= ROOT && start + size <= ROOT + sizeof(firmware));
    memcpy(buffer, firmware + (start - ROOT), size);
    return OK;
}

static void set(paddr_t at, uint64_t value, size_t size)
{
    memcpy(firmware + (at - ROOT), &value, size);
}

static uint8_t sum_of(const uint8_t *bytes, size_t size)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < size; i++) {
        sum = (uint8_t)(sum + bytes[i]);
    }
    return sum;
}

static void make_table(paddr_t at, const char *signature, uint32_t length)
{
    memcpy(firmware + (at - ROOT), signature, 4);
    set(at + 4, length, 4);
    set(at + 8, 1, 1);
    set(at + 9, 0, 1);
    set(at + 9, (uint8_t)-sum_of(firmware + (at - ROOT), length), 1);
}

static void make_machine(void)
{
    static const uint8_t pointer[20] = {'R', 'S', 'D', ' ', 'P', 'T', 'R', ' ',  0, 'T',
                                        'E', 'S', 'T', 'S', ' ', 0,   0,   0x10, 0, 0};
    memcpy(boot.rsdp, pointer, sizeof(pointer));
    boot.rsdp[8] = (uint8_t)-sum_of(pointer, sizeof(pointer));
    boot.rsdp_size = sizeof(pointer);
    set(ROOT + 36, TIME, 4);
    set(ROOT + 40, MORE, 4);
    make_table(ROOT, "RSDT", 44);
    set(TIME + 44, TIMER_ADDRESS, 8);
    make_table(TIME, "HPET", 56);
    make_table(MORE, "MORE", 40);
    enable_interrupts();
}

static void check_calm(void)
{
    strike_demand(preemption_count() == 0);
    strike_demand(interrupts_enabled());
}

/* ---- acpi ---- */

static void read_tables(void)
{
    (void)!acpi_init();
}

/* Published as a whole or not at all; then it can be done once. */
static void check_tables(void)
{
    check_calm();
    bool is_there = acpi_get()->status == OK;
    strike_demand(strike_heap_used() == is_there);
    strike_demand(acpi_init() == (is_there ? ERR_STATE : OK));
    strike_demand(strike_heap_used() == 1);
    strike_demand(acpi_get()->status == OK && acpi_get()->entry_count == 2);
    strike_demand(acpi_get()->hpet && acpi_get()->hpet->address == TIMER_ADDRESS);
}

static void prepare_tables(void)
{
    make_machine();
    strike_demand(acpi_init() == OK);
}

static void find_table(void)
{
    OWNED(acpi_table, table);
    OWNED(acpi_table, none);
    (void)!acpi_find("MORE", 0, SLOT(table));
    (void)!acpi_find("NONE", 0, SLOT(none));
}

static void check_find(void)
{
    check_tables();
    OWNED(acpi_table, table);
    strike_demand(acpi_find("MORE", 0, SLOT(table)) == OK);
    strike_demand(acpi_table_bytes(REF(table)).size == 40);
}

/* ---- hpet ---- */

static void start_timer(void)
{
    (void)!hpet_init();
}

static void check_timer(void)
{
    check_calm();
    struct hpet_description description;
    bool is_there = hpet_describe(&description) == OK;
    strike_demand(is_there || strike_has_struck());
    strike_demand(devices[0].is_owned == is_there);
    strike_demand(devices[0].configuration == (is_there ? 1 : BY_FIRMWARE));
    strike_demand(hpet_init() == OK);
    strike_demand(devices[0].is_owned && devices[0].configuration == 1);
    strike_demand(hpet_describe(&description) == OK);
    devices[0].counter = 77;
    strike_demand(hpet_read() == 77);
}

/* ---- io_apic ---- */

static struct io_apic_line *kept;

static void take_over_controller(void)
{
    (void)!io_apic_init();
}

static uint32_t low(unsigned pin)
{
    return devices[1].entries[2 * pin];
}

/* Of the lines `routed` are owned; all others can be had, and are silent. */
static void check_lines(unsigned routed)
{
    struct io_apic_description description;
    check_calm();
    strike_demand(io_apic_describe(0, &description) == OK);
    strike_demand(description.line_count == PINS && description.routed == routed);
    strike_demand(io_apic_describe(1, &description) == ERR_NOT_FOUND);
    strike_demand(devices[1].is_owned);
    strike_demand(strike_heap_used() == 1 + routed);
    for (unsigned pin = 0; pin < PINS; pin++) {
        bool is_kept = kept && io_apic_line_gsi(kept) == pin;
        strike_demand(is_kept || (low(pin) & MASKED));
    }
    OWNED(io_apic_line, line);
    strike_demand(io_apic_route(9, IO_APIC_LEVEL_LOW, 40, 3, SLOT(line)) == OK);
    strike_demand(low(9) & MASKED);
    io_apic_line_unmask(REF(line));
    strike_demand(low(9) == (40 | 1u << 13 | 1u << 15));
}

static void check_controller(void)
{
    strike_demand(io_apic_init() == OK);
    check_lines(0);
}

static void prepare_controller(void)
{
    make_machine();
    strike_demand(io_apic_init() == OK);
}

static void route(void)
{
    OWNED(io_apic_line, line);
    OWNED(io_apic_line, same);
    if (io_apic_route_isa(4, 48, 1, SLOT(line)) == OK) {
        io_apic_line_unmask(REF(line));
        strike_demand(io_apic_route_isa(4, 49, 1, SLOT(same)) == ERR_BUSY);
        strike_demand(io_apic_line_move(REF(line), 2) == OK);
    }
}

static void check_route(void)
{
    check_lines(0);
}

static void route_and_keep(void)
{
    OWNED(io_apic_line, line);
    if (io_apic_route_isa(0, 48, 1, SLOT(line)) == OK) {
        io_apic_line_unmask(REF(line));
        STORE(kept, line);
    }
}

static void check_kept(void)
{
    check_lines(kept != NULL);
    strike_demand(!kept || low(2) == 48);
    io_apic_line_drop(&kept);
    check_lines(0);
}

static void prepare_kept(void)
{
    prepare_controller();
    route_and_keep();
    strike_demand(kept);
}

static void drop_kept(void)
{
    OWNED(io_apic_line, line);
    LOAD(line, kept);
}

int main(void)
{
    static const struct strike_case cases[] = {
        {"read the tables", make_machine, read_tables, check_tables},
        {"find a table", prepare_tables, find_table, check_find},
        {"start the timer", make_machine, start_timer, check_timer},
        {"take over a controller", make_machine, take_over_controller, check_controller},
        {"route a line", prepare_controller, route, check_route},
        {"route a line and keep it", prepare_controller, route_and_keep, check_kept},
        {"drop a line", prepare_kept, drop_kept, check_kept},
    };
    return strike_run(cases, ARRAY_COUNT(cases));
}
