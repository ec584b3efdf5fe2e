/* SPDX-License-Identifier: MIT */
/*
 * Two CPUs are made up, with the registers of a local APIC each; `cpu` is the one that runs. The
 * order of what is written is kept where the manual demands one. The cell chooses its mode for
 * good, so each test is a process of its own: the same program with the test's name.
 */
#include <string.h>

#include "acpi.h"
#include "acpi_tables.h"
#include "cpu_local.h"
#include "interrupts.h"
#include "local_apic.h"
#include "mmio.h"
#include "own_process.h"

#define BASE_ADDRESS 0xfee00000ull
#define ENABLED      0x800ull
#define EXTENDED     0x400ull
#define WORDS        (0x400 / 4)

static struct apic {
    uint64_t base;
    bool can_extend;
    bool is_absent;
    uint32_t id;
    uint32_t version;
    uint32_t words[WORDS];
    uint32_t errors; /* found, and not yet shown */
    unsigned ends;
} cpus[2], *cpu;

struct mmio {
    bool is_owned;
};

static struct mmio device;
static enum status create_status;
static volatile uint32_t memory[WORDS]; /* what stores without a call reach */

/* ---- what firmware says ---- */

static struct acpi_madt madt;
static struct acpi acpi;

const struct acpi *acpi_get(void)
{
    return &acpi;
}

/* ---- interrupts ---- */

struct interrupt {
    interrupt_function_t function;
};

static struct interrupt error_interrupt;
static void (*end)(void);
static bool is_initialized;
static enum status register_status;

void interrupts_init(void)
{
    is_initialized = true;
}

enum status interrupt_register(unsigned vector, const char *name, interrupt_function_t function,
                               void *context, struct interrupt **out)
{
    (void)name;
    assert_null(context);
    assert_int_equal(vector, 0xfe);
    if (register_status != OK) {
        return register_status;
    }
    assert_true(is_initialized);
    assert_null(error_interrupt.function);
    error_interrupt.function = function;
    FILL(out, &error_interrupt);
    return OK;
}

void interrupt_drop(struct interrupt **handle)
{
    if (*handle) {
        error_interrupt.function = NULL;
        EMPTY(handle);
    }
}

void interrupts_set_end(void (*function)(void))
{
    end = function;
}

/* ---- the controller ---- */

static uint32_t load(uint32_t offset)
{
    assert_int_equal(offset % 16, 0);
    assert_true(offset < 0x400);
    if (offset == 0x20) {
        return cpu->base & EXTENDED ? cpu->id : cpu->id << 24;
    }
    return offset == 0x30 ? cpu->version : cpu->words[offset / 4];
}

static void end_highest(void)
{
    cpu->ends++;
    for (int word = 7; word >= 0; word--) {
        uint32_t *vectors = &cpu->words[(0x100 + 16 * word) / 4];
        if (*vectors) {
            *vectors &= ~(1u << (31 - __builtin_clz(*vectors)));
            return;
        }
    }
}

static void store(uint32_t offset, uint32_t value)
{
    assert_int_equal(offset % 16, 0);
    bool is_enabled = cpu->words[0xf0 / 4] & 0x100;
    switch (offset) {
    case 0xb0:
        assert_int_equal(value, 0);
        end_highest();
        break;
    case 0x280:
        assert_int_equal(value, 0); /* x2APIC: #GP otherwise */
        cpu->words[offset / 4] = cpu->errors;
        cpu->errors = 0;
        break;
    case 0x2f0:
    case 0x330:
    case 0x340: /* not on each */
        assert_true(cpu->version >> 16 >= (offset == 0x2f0 ? 6 : offset == 0x330 ? 5 : 4));
        /* fall through */
    case 0x320:
    case 0x350:
    case 0x360:
    case 0x370:
        cpu->words[offset / 4] = is_enabled ? value : value | 1u << 16;
        break;
    default:
        assert_true(offset == 0x80 || offset == 0xf0);
        cpu->words[offset / 4] = value;
    }
}

uint64_t read_msr(uint32_t msr)
{
    if (msr == 0x1b) {
        return cpu->base;
    }
    assert_in_range(msr, 0x800, 0x83f);
    assert_int_equal(cpu->base & (ENABLED | EXTENDED), ENABLED | EXTENDED); /* else #GP */
    return load((msr - 0x800) * 16);
}

void write_msr(uint32_t msr, uint64_t value)
{
    if (msr != 0x1b) {
        assert_in_range(msr, 0x800, 0x83f);
        assert_int_equal(cpu->base & (ENABLED | EXTENDED), ENABLED | EXTENDED);
        store((msr - 0x800) * 16, (uint32_t)value);
        return;
    }
    /* SDM, "x2APIC States": these transitions raise #GP. */
    assert_false(!(cpu->base & ENABLED) && (value & EXTENDED));
    assert_false((cpu->base & EXTENDED) && !(value & EXTENDED));
    assert_true(!(value & EXTENDED) || cpu->can_extend);
    assert_int_equal(value & ~(ENABLED | EXTENDED), cpu->base & ~(ENABLED | EXTENDED));
    cpu->base = value;
}

struct x86_cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
    (void)subleaf;
    assert_int_equal(leaf, 1);
    return (struct x86_cpuid){.ecx = cpu->can_extend ? 1u << 21 : 0,
                              .edx = cpu->is_absent ? 0 : 1u << 9};
}

enum status mmio_create(paddr_t start, uint64_t bytes, struct mmio **out)
{
    assert_int_equal(start, BASE_ADDRESS);
    assert_true(bytes <= sizeof(memory));
    if (create_status != OK) {
        return create_status;
    }
    assert_false(device.is_owned);
    device.is_owned = true;
    FILL(out, &device);
    return OK;
}

void mmio_drop(struct mmio **handle)
{
    if (*handle) {
        device.is_owned = false;
        EMPTY(handle);
    }
}

enum status mmio_find(const struct mmio *mmio, uint64_t offset, uint64_t size, uint64_t alignment,
                      volatile void **out)
{
    (void)mmio;
    (void)alignment;
    assert_true(offset + size <= sizeof(memory));
    *out = (volatile char *)memory + offset;
    return OK;
}

enum status mmio_read32(const struct mmio *mmio, uint64_t offset, uint32_t *out_value)
{
    assert_ptr_equal(mmio, &device);
    assert_int_equal(cpu->base & (ENABLED | EXTENDED), ENABLED);
    *out_value = load((uint32_t)offset);
    return OK;
}

enum status mmio_write32(struct mmio *mmio, uint64_t offset, uint32_t value)
{
    assert_ptr_equal(mmio, &device);
    assert_int_equal(cpu->base & (ENABLED | EXTENDED), ENABLED);
    store((uint32_t)offset, value);
    return OK;
}

/* ---- tests ---- */

/* As after a reset, and with what a careless firmware may have left. */
static void make_cpus(bool can_extend)
{
    memset(cpus, 0, sizeof(cpus));
    for (unsigned i = 0; i < 2; i++) {
        cpus[i] = (struct apic){.base = BASE_ADDRESS | (i == 0 ? 0x100 : 0) | ENABLED,
                                .can_extend = can_extend,
                                .id = i ? 5 : 0,
                                .version = 0x00060015};
        for (unsigned offset = 0x2f0; offset <= 0x370; offset += 0x10) {
            cpus[i].words[offset / 4] = 0x700; /* ExtINT, not masked */
        }
        cpus[i].words[0x80 / 4] = 0xf0;
        cpus[i].words[0xf0 / 4] = 0x1ff;
    }
    cpu = &cpus[0];
}

static void assert_ready(void)
{
    assert_int_equal(cpu->words[0xf0 / 4], 0x1ff);
    assert_int_equal(cpu->words[0x80 / 4], 0);
    assert_int_equal(cpu->words[0x320 / 4], 0x10000);
    assert_int_equal(cpu->words[0x330 / 4], 0x10000);
    assert_int_equal(cpu->words[0x340 / 4], 0x10000);
    assert_int_equal(cpu->words[0x2f0 / 4], 0x10000);
    assert_int_equal(cpu->words[0x350 / 4], 0x10000);
    assert_int_equal(cpu->words[0x360 / 4], 0x400);
    assert_int_equal(cpu->words[0x370 / 4], LOCAL_APIC_VECTOR_ERROR);
    assert_int_equal(CPU_LOCAL(apic_id), cpu->id);
}

static void xapic_is_set_up_on_each_cpu(void)
{
    make_cpus(false);
    assert_int_equal(local_apic_init_cpu(), OK);
    assert_true(device.is_owned);
    assert_ready();
    assert_int_equal(local_apic_id(), 0);
    cpu = &cpus[1];
    assert_int_equal(local_apic_init_cpu(), OK);
    assert_ready();
    assert_int_equal(local_apic_id(), 5);
    assert_false(local_apic_describe().is_x2apic);
    assert_int_equal(local_apic_describe().version, 0x15);
    assert_int_equal(local_apic_describe().lvt_count, 7);
    assert_ptr_equal(local_apic_registers, memory);
    memory[0xb0 / 4] = 1;
    local_apic_end_of_interrupt();
    assert_int_equal(memory[0xb0 / 4], 0);
    memory[0xb0 / 4] = 1;
    end();
    assert_int_equal(memory[0xb0 / 4], 0);
}

static void x2apic_is_set_up_on_each_cpu(void)
{
    make_cpus(true);
    cpus[1].base &= ~ENABLED; /* firmware has switched it off: two steps */
    cpus[1].id = 0x12345;
    assert_int_equal(local_apic_init_cpu(), OK);
    assert_false(device.is_owned);
    assert_null(local_apic_registers);
    assert_ready();
    cpu = &cpus[1];
    assert_int_equal(local_apic_init_cpu(), OK);
    assert_ready();
    assert_int_equal(local_apic_id(), 0x12345);
    assert_true(local_apic_describe().is_x2apic);
    local_apic_end_of_interrupt();
    assert_int_equal(cpu->ends, 1);
    end();
    assert_int_equal(cpu->ends, 2);
}

static void x2apic_by_firmware_stays(void)
{
    make_cpus(true);
    cpu->base |= EXTENDED;
    assert_int_equal(local_apic_init_cpu(), OK);
    assert_ready();
    assert_int_equal(local_apic_init_cpu(), OK); /* again */
    assert_ready();
}

static void old_controller_without_some_vectors(void)
{
    make_cpus(false);
    cpu->version = 0x00030010;
    assert_int_equal(local_apic_init_cpu(), OK);
    assert_int_equal(local_apic_describe().lvt_count, 4);
    assert_int_equal(cpu->words[0x340 / 4], 0x700); /* not there: not touched */
}

static void disabled_controller_is_enabled_before_its_vectors(void)
{
    make_cpus(false);
    cpu->base &= ~ENABLED;
    cpu->words[0xf0 / 4] = 0xff;
    assert_int_equal(local_apic_init_cpu(), OK);
    assert_ready();
}

static void what_is_in_service_is_ended(void)
{
    make_cpus(false);
    cpu->words[0x100 / 4 + 4] = 0x3;
    cpu->words[0x100 / 4 + 7 * 4] = 0x80000000;
    assert_int_equal(local_apic_init_cpu(), OK);
    assert_int_equal(cpu->ends, 3);
    assert_int_equal(cpu->words[0x100 / 4 + 4], 0);
    assert_ready();
}

static void nmi_pins_are_those_of_firmware(void)
{
    make_cpus(false);
    acpi.madt = &madt;
    madt.processor_count = 2;
    madt.processors[0] = (struct acpi_processor){.apic_id = 0, .uid = 100};
    madt.processors[1] = (struct acpi_processor){.apic_id = 5, .uid = 101};
    assert_int_equal(local_apic_init_cpu(), OK);
    assert_ready(); /* no entry: pin 1 */
    madt.local_nmi_count = 2;
    madt.local_nmis[0] = (struct acpi_local_nmi){.uid = 100, .lint = 0, .is_active_low = true};
    madt.local_nmis[1] = (struct acpi_local_nmi){.uid = 101, .lint = 1};
    assert_int_equal(local_apic_init_cpu(), OK);
    assert_int_equal(cpu->words[0x350 / 4], 0x2400);
    assert_int_equal(cpu->words[0x360 / 4], 0x10000);
    cpu = &cpus[1];
    assert_int_equal(local_apic_init_cpu(), OK);
    assert_ready();
    madt.local_nmis[0].uid = ACPI_EVERY_PROCESSOR;
    assert_int_equal(local_apic_init_cpu(), OK);
    assert_int_equal(cpu->words[0x350 / 4], 0x2400);
    assert_int_equal(cpu->words[0x360 / 4], 0x400);
}

static void no_controller_is_refused(void)
{
    make_cpus(false);
    cpu->is_absent = true;
    assert_int_equal(local_apic_init_cpu(), ERR_NO_DEVICE);
    assert_false(local_apic_describe().version);
    cpu->is_absent = false;
    create_status = ERR_BUSY;
    assert_int_equal(local_apic_init_cpu(), ERR_BUSY);
    assert_int_equal(local_apic_describe().lvt_count, 0);
    create_status = OK;
    register_status = ERR_BUSY;
    assert_int_equal(local_apic_init_cpu(), ERR_BUSY);
    assert_null(end);
    register_status = OK;
    assert_int_equal(local_apic_init_cpu(), OK);
}

static void mixed_cpus_are_refused(void)
{
    make_cpus(true);
    cpus[1].can_extend = false;
    assert_int_equal(local_apic_init_cpu(), OK);
    cpu = &cpus[1];
    assert_int_equal(local_apic_init_cpu(), ERR_UNSUPPORTED);
    assert_int_equal(cpu->words[0x360 / 4], 0x700); /* left as it was */
}

static void mixed_cpus_are_refused_the_other_way(void)
{
    make_cpus(false);
    cpus[1].can_extend = true;
    cpus[1].base |= EXTENDED;
    assert_int_equal(local_apic_init_cpu(), OK);
    cpu = &cpus[1];
    assert_int_equal(local_apic_init_cpu(), ERR_UNSUPPORTED);
}

static void errors_are_counted_once(void)
{
    make_cpus(false);
    cpu->errors = 0x44; /* from before */
    cpu->words[0x280 / 4] = 0x80;
    assert_int_equal(local_apic_init_cpu(), OK);
    assert_int_equal(local_apic_take_errors(), 0);
    assert_int_equal(local_apic_describe().errors, 0);
    cpu->errors = 0x20;
    error_interrupt.function(NULL);
    assert_int_equal(local_apic_take_errors(), 0);
    assert_int_equal(local_apic_describe().errors, 1);
}

static const own_process_case_t cases[] = {
    xapic_is_set_up_on_each_cpu,
    x2apic_is_set_up_on_each_cpu,
    x2apic_by_firmware_stays,
    old_controller_without_some_vectors,
    disabled_controller_is_enabled_before_its_vectors,
    what_is_in_service_is_ended,
    nmi_pins_are_those_of_firmware,
    no_controller_is_refused,
    mixed_cpus_are_refused,
    mixed_cpus_are_refused_the_other_way,
    errors_are_counted_once,
};

int main(void)
{
    return own_process_run_all("local_apic", cases, ARRAY_COUNT(cases));
}
