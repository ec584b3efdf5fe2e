/* SPDX-License-Identifier: MIT */
/*
 * The command register is 64 bits wide, and a store to its low half sends. In xAPIC mode these are
 * two stores, between which an interrupt handler that sends as well would change the destination:
 * interrupts are off there, and the first bit of waiting, that the register is free, is done there
 * too. In x2APIC mode it is one WRMSR and never busy; but that WRMSR waits for no store before it.
 */
#include "ipi.h"
#include "local_apic.h"
#include "preemption.h"

CELL(driver, "1.0.0");

/* SDM, "Interrupt Command Register (ICR)". */
#define DELIVER_FIXED    (0u << 8)
#define DELIVER_NMI      (4u << 8)
#define DELIVER_INIT     (5u << 8)
#define DELIVER_STARTUP  (6u << 8)
#define IS_PENDING       (1u << 12)
#define LEVEL_ASSERT     (1u << 14) /* for all but the old way to end an INIT */
#define TO_ALL_BUT_SELF  (3u << 18)
#define XAPIC_ID_SHIFT   24
#define XAPIC_EVERYBODY  0xffu
#define X2APIC_EVERYBODY 0xffffffffu

#define STARTUP_LIMIT  0x100000ull
#define RESERVED_START 0xa0000ull /* vectors 0xa0 to 0xbf are reserved (SDM, "SIPI") */
#define RESERVED_END   0xc0000ull

static bool wait_until_sent(void)
{
    for (unsigned i = 0; i < IPI_POLLS; i++) {
        if (!(local_apic_read(LOCAL_APIC_COMMAND) & IS_PENDING)) {
            return true;
        }
        cpu_relax();
    }
    return false;
}

static enum status send_by_stores(uint32_t id, uint32_t command)
{
    GUARD(interrupt_mask, masked, INTERRUPTS);
    if (!wait_until_sent()) {
        return ERR_TIMEOUT;
    }
    local_apic_write(LOCAL_APIC_COMMAND_HIGH, id << XAPIC_ID_SHIFT);
    local_apic_write(LOCAL_APIC_COMMAND, command);
    return OK;
}

static enum status send(uint32_t id, uint32_t command)
{
    if (local_apic_registers) {
        return send_by_stores(id, command);
    }
    serialize_memory();
    write_msr(LOCAL_APIC_MSR(LOCAL_APIC_COMMAND), (uint64_t)id << 32 | command);
    return OK;
}

static enum status send_to(uint32_t id, uint32_t command)
{
    uint32_t everybody = local_apic_registers ? XAPIC_EVERYBODY : X2APIC_EVERYBODY;
    return id < everybody ? send(id, command) : ERR_OUT_OF_BOUNDS;
}

static enum status send_and_wait(uint32_t id, uint32_t command)
{
    enum status status = send_to(id, command);
    if (status != OK) {
        return status;
    }
    return !local_apic_registers || wait_until_sent() ? OK : ERR_IO;
}

enum status ipi_send(uint32_t id, uint8_t vector)
{
    return vector < IPI_VECTOR_MIN ? ERR_INVALID_ARGUMENT
                                   : send_to(id, DELIVER_FIXED | LEVEL_ASSERT | vector);
}

enum status ipi_send_others(uint8_t vector)
{
    return vector < IPI_VECTOR_MIN
               ? ERR_INVALID_ARGUMENT
               : send(0, TO_ALL_BUT_SELF | DELIVER_FIXED | LEVEL_ASSERT | vector);
}

enum status ipi_send_nmi(uint32_t id)
{
    return send_to(id, DELIVER_NMI | LEVEL_ASSERT);
}

enum status ipi_send_init(uint32_t id)
{
    return send_and_wait(id, DELIVER_INIT | LEVEL_ASSERT);
}

enum status ipi_send_startup(uint32_t id, paddr_t page)
{
    bool is_reserved = page >= RESERVED_START && page < RESERVED_END;
    if (page >= STARTUP_LIMIT || !page_is_aligned(page) || is_reserved) {
        return ERR_INVALID_ARGUMENT;
    }
    uint32_t vector = (uint32_t)(page >> PAGE_SHIFT);
    return send_and_wait(id, DELIVER_STARTUP | LEVEL_ASSERT | vector);
}
