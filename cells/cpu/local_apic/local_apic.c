/* SPDX-License-Identifier: MIT */
/*
 * Modes (SDM, "x2APIC States"), by two bits of IA32_APIC_BASE:
 *
 *      enabled  extended
 *         0        0       disabled; to xAPIC only
 *         1        0       xAPIC: registers are memory; to x2APIC or disabled
 *         1        1       x2APIC: registers are MSRs; back by a reset or by disabling only
 *
 * So what firmware has extended stays so, and extending takes two steps. What CPUID has is used,
 * not only on demand: in x2APIC mode ending an interrupt does not leave the CPU.
 */
#include "local_apic.h"
#include "acpi.h"
#include "acpi_tables.h"
#include "cpu_local.h"
#include "interrupts.h"
#include "logger.h"
#include "mmio.h"

CELL(driver, "1.0.0");

/* SDM vol. 2, "CPUID", leaf 1. */
#define LEAF_FEATURES       1u
#define FEATURES_ECX_X2APIC (1u << 21)
#define FEATURES_EDX_APIC   (1u << 9)

/* SDM, "Local APIC Status and Location". */
#define MSR_APIC_BASE      0x1bu
#define APIC_BASE_EXTENDED (1ull << 10)
#define APIC_BASE_ENABLED  (1ull << 11)
#define APIC_BASE_ADDRESS  0x000ffffffffff000ull
#define REGISTERS_BYTES    0x400u

#define VERSION(value)   ((value)&0xff)
#define LVT_LAST(value)  ((value) >> 16 & 0xff)
#define LVT_LAST_CMCI    6u /* SDM, "Local Vector Table": the seventh is CMCI */
#define SPURIOUS_ENABLE  (1u << 8)
#define DELIVER_NMI      (4u << 8)
#define PIN_ACTIVE_LOW   (1u << 13)
#define PIN_STRIDE       0x10u
#define XAPIC_ID_SHIFT   24
#define VECTORS_PER_WORD 32u
#define SERVICE_WORDS    8u
#define SERVICE_STRIDE   0x10u
#define SERVICE_LIMIT    256u /* interrupts that can be in service: one a vector */

volatile uint32_t *local_apic_registers;
static struct mmio *mapped;             /* owned, for good; NULL in x2APIC mode */
static bool is_chosen;                  /* the mode, by the first CPU */
static bool is_extended;                /* x2APIC */
static struct interrupt *error_handler; /* owned, for good */
static uint64_t errors;

uint32_t local_apic_read(enum local_apic_register which)
{
    uint32_t value = 0;
    if (is_extended) {
        return (uint32_t)read_msr(LOCAL_APIC_MSR(which));
    }
    return mapped && mmio_read32(STORED(mapped), which, &value) == OK ? value : 0;
}

void local_apic_write(enum local_apic_register which, uint32_t value)
{
    if (is_extended) {
        write_msr(LOCAL_APIC_MSR(which), value);
    } else if (mapped) {
        (void)!mmio_write32(STORED(mapped), which, value); /* all offsets are inside */
    }
}

uint32_t local_apic_id(void)
{
    uint32_t id = local_apic_read(LOCAL_APIC_ID);
    return is_extended ? id : id >> XAPIC_ID_SHIFT;
}

/* ---- the mode ---- */

static enum status map_registers(paddr_t start)
{
    OWNED(mmio, registers);
    enum status status = mmio_create(start, REGISTERS_BYTES, SLOT(registers));
    if (status != OK) {
        return status;
    }
    volatile void *address;
    status = mmio_find(REF(registers), 0, REGISTERS_BYTES, sizeof(uint32_t), &address);
    if (status != OK) {
        return status;
    }
    STORE(mapped, registers);
    local_apic_registers = address;
    return OK;
}

static enum status choose_mode(bool can_extend, uint64_t base)
{
    if (!can_extend) {
        enum status status = map_registers(base & APIC_BASE_ADDRESS);
        if (status != OK) {
            return status;
        }
    }
    is_extended = can_extend;
    is_chosen = true;
    return OK;
}

static enum status enter_mode(void)
{
    struct x86_cpuid features = cpuid(LEAF_FEATURES, 0);
    bool can_extend = features.ecx & FEATURES_ECX_X2APIC;
    if (!(features.edx & FEATURES_EDX_APIC)) {
        return ERR_NO_DEVICE;
    }
    uint64_t base = read_msr(MSR_APIC_BASE);
    if (!is_chosen) {
        enum status status = choose_mode(can_extend, base);
        if (status != OK) {
            return status;
        }
    }
    if (is_extended && !can_extend) {
        return ERR_UNSUPPORTED;
    }
    if (!is_extended && (base & APIC_BASE_EXTENDED)) {
        return ERR_UNSUPPORTED; /* firmware has extended this one, and the first one cannot be */
    }
    if (!(base & APIC_BASE_ENABLED)) {
        base |= APIC_BASE_ENABLED;
        write_msr(MSR_APIC_BASE, base);
    }
    if (is_extended && !(base & APIC_BASE_EXTENDED)) {
        write_msr(MSR_APIC_BASE, base | APIC_BASE_EXTENDED);
    }
    return OK;
}

/* ---- interrupts that come through it ---- */

static void handle_errors(void *unused)
{
    (void)unused;
    (void)local_apic_take_errors();
}

/* local_apic_end_of_interrupt(), without the choice. */
static void end_by_store(void)
{
    local_apic_registers[LOCAL_APIC_END / sizeof(uint32_t)] = 0;
}

static void end_by_msr(void)
{
    write_msr(LOCAL_APIC_MSR(LOCAL_APIC_END), 0);
}

static enum status connect_handlers(void)
{
    if (error_handler) {
        return OK;
    }
    interrupts_init();
    OWNED(interrupt, handler);
    enum status status = interrupt_register(LOCAL_APIC_VECTOR_ERROR, "local APIC errors",
                                            handle_errors, NULL, SLOT(handler));
    if (status != OK) {
        return status;
    }
    STORE(error_handler, handler);
    interrupts_set_end(is_extended ? end_by_msr : end_by_store);
    return OK;
}

/* ---- the state of one CPU ---- */

static bool is_anything_in_service(void)
{
    uint32_t vectors = 0;
    for (unsigned word = 0; word < SERVICE_WORDS; word++) {
        vectors |= local_apic_read(LOCAL_APIC_IN_SERVICE + word * SERVICE_STRIDE);
    }
    return vectors != 0;
}

/* What firmware has begun and not ended would hold back all that is not above it. */
static void end_what_is_in_service(void)
{
    for (unsigned i = 0; i < SERVICE_LIMIT && is_anything_in_service(); i++) {
        local_apic_write(LOCAL_APIC_END, 0);
    }
}

static void mask_local_interrupts(void)
{
    unsigned last = LVT_LAST(local_apic_read(LOCAL_APIC_VERSION));
    local_apic_write(LOCAL_APIC_LVT_TIMER, LOCAL_APIC_LVT_MASKED);
    local_apic_write(LOCAL_APIC_LVT_PIN0, LOCAL_APIC_LVT_MASKED); /* the old controllers' */
    local_apic_write(LOCAL_APIC_LVT_PIN1, LOCAL_APIC_LVT_MASKED);
    if (last >= 4) {
        local_apic_write(LOCAL_APIC_LVT_COUNTERS, LOCAL_APIC_LVT_MASKED);
    }
    if (last >= 5) {
        local_apic_write(LOCAL_APIC_LVT_THERMAL, LOCAL_APIC_LVT_MASKED);
    }
    if (last >= LVT_LAST_CMCI) {
        local_apic_write(LOCAL_APIC_LVT_CMCI, LOCAL_APIC_LVT_MASKED);
    }
}

/* How AML and the entries of NMI call this CPU. */
static uint32_t find_uid(const struct acpi_madt *madt)
{
    uint32_t id = local_apic_id();
    for (uint32_t i = 0; i < madt->processor_count; i++) {
        if (madt->processors[i].apic_id == id) {
            return madt->processors[i].uid;
        }
    }
    return ACPI_EVERY_PROCESSOR;
}

/*
 * Opens the pins at which firmware says that non-maskable interrupts come in; without a word, pin
 * 1. They are edges, whatever the entry says (SDM, "Local Vector Table").
 */
static void open_nmi_pins(void)
{
    const struct acpi_madt *madt = acpi_get()->madt;
    if (!madt || madt->local_nmi_count == 0) {
        local_apic_write(LOCAL_APIC_LVT_PIN1, DELIVER_NMI);
        return;
    }
    uint32_t uid = find_uid(madt);
    for (uint32_t i = 0; i < madt->local_nmi_count; i++) {
        const struct acpi_local_nmi *nmi = &madt->local_nmis[i];
        if (nmi->uid == ACPI_EVERY_PROCESSOR || nmi->uid == uid) {
            local_apic_write(LOCAL_APIC_LVT_PIN0 + nmi->lint * PIN_STRIDE,
                             DELIVER_NMI | (nmi->is_active_low ? PIN_ACTIVE_LOW : 0));
        }
    }
}

enum status local_apic_init_cpu(void)
{
    enum status status = enter_mode();
    if (status == OK) {
        status = connect_handlers();
    }
    if (status != OK) {
        return status;
    }
    CPU_LOCAL(apic_id) = local_apic_id();
    /* Enabled first: a disabled controller keeps its LVT masked (SDM, "Local APIC State After It Has
     * Been Software Disabled"). */
    local_apic_write(LOCAL_APIC_SPURIOUS, SPURIOUS_ENABLE | INTERRUPT_SPURIOUS);
    mask_local_interrupts();
    local_apic_write(LOCAL_APIC_TASK_PRIORITY, 0);
    end_what_is_in_service();
    local_apic_write(LOCAL_APIC_ERROR, 0); /* twice: the first write shows what there was */
    local_apic_write(LOCAL_APIC_ERROR, 0);
    local_apic_write(LOCAL_APIC_LVT_ERROR, LOCAL_APIC_VECTOR_ERROR);
    open_nmi_pins();
    return OK;
}

/* ---- what goes wrong ---- */

uint32_t local_apic_take_errors(void)
{
    local_apic_write(LOCAL_APIC_ERROR, 0); /* what was found until now becomes readable */
    uint32_t found = local_apic_read(LOCAL_APIC_ERROR);
    if (found) {
        __atomic_fetch_add(&errors, 1, __ATOMIC_RELAXED);
        log_warning("the controller of CPU %u reports errors %#x", local_apic_id(), found);
    }
    return found;
}

struct local_apic_description local_apic_describe(void)
{
    if (!is_chosen) {
        return (struct local_apic_description){0};
    }
    uint32_t version = local_apic_read(LOCAL_APIC_VERSION);
    return (struct local_apic_description){
        .is_x2apic = is_extended,
        .version = VERSION(version),
        .lvt_count = (uint8_t)(LVT_LAST(version) + 1),
        .errors = __atomic_load_n(&errors, __ATOMIC_RELAXED),
    };
}
