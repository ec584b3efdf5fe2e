/* SPDX-License-Identifier: MIT */
/*
 * registers - reads the identification registers of the HPET and of this CPU's local APIC, and shows
 * what the types of device memory refuse: a second owner, RAM as registers, accesses beyond the end.
 */
#include "application.h"
#include "console.h"
#include "dma.h"
#include "frame_allocator.h"
#include "mmio.h"

CELL(application, "1.0.0");

APPLICATION(registers);

#define HPET_START   0xfed00000ull /* where chipsets put it */
#define HPET_BYTES   1024u
#define HPET_ID      0x0 /* IA-PC HPET Specification, "General Capabilities and ID Register" */
#define APIC_START   0xfee00000ull
#define APIC_BYTES   1024u
#define APIC_VERSION 0x30

/* Prints what was expected and what came; false unless they are the same. */
static bool expect(const char *what, enum status status, enum status expected)
{
    console_print("registers: %s: %s\n", what, status_name(status));
    return status == expected;
}

static enum status read_hpet(const struct mmio *hpet) OWN_BORROWS(*hpet)
{
    uint64_t id;
    enum status status = mmio_read64(hpet, HPET_ID, &id);
    if (status == OK) {
        console_print("registers: HPET: vendor %#x, %u timers, a tick is %u fs\n",
                      (unsigned)(id >> 16 & 0xffff), (unsigned)(id >> 8 & 0x1f) + 1,
                      (unsigned)(id >> 32));
    }
    return status;
}

static enum status read_apic(void)
{
    OWNED(mmio, apic);
    uint32_t version;
    enum status status = mmio_create(APIC_START, APIC_BYTES, SLOT(apic));
    if (status != OK) {
        return status;
    }
    status = mmio_read32(REF(apic), APIC_VERSION, &version);
    if (status == OK) {
        console_print("registers: local APIC: version %#x, %u local vectors\n", version & 0xff,
                      (version >> 16 & 0xff) + 1);
    }
    return status;
}

static bool show_refusals(const struct mmio *hpet) OWN_BORROWS(*hpet)
{
    OWNED(mmio, second);
    OWNED(mmio, memory);
    uint64_t value;
    bool is_well = expect("the HPET a second time",
                          mmio_create(HPET_START, HPET_BYTES, SLOT(second)), ERR_BUSY);
    is_well &= expect("beyond the HPET", mmio_read64(hpet, HPET_BYTES, &value), ERR_OUT_OF_BOUNDS);
    is_well &= expect("between two registers", mmio_read64(hpet, 4, &value), ERR_MISALIGNED);

    OWNED(frames, frames); /* a frame that is free as soon as it is dropped */
    if (frame_allocator_take(1, 2, SLOT(frames)) != OK) {
        return false;
    }
    paddr_t frame = frames_start(REF(frames));
    is_well &= expect("RAM that is owned", mmio_create(frame, PAGE_SIZE, SLOT(memory)), ERR_BUSY);
    frames_drop(SLOT(frames));
    is_well &=
        expect("RAM that is free", mmio_create(frame, PAGE_SIZE, SLOT(memory)), ERR_PERMISSION);
    return is_well;
}

/* A buffer for a device that can address 16 MiB; what is written to it is there. */
static enum status use_buffer(void)
{
    OWNED(dma_buffer, buffer);
    enum status status = dma_buffer_create(3 * PAGE_SIZE, 64 * 1024, 16ull << 20, SLOT(buffer));
    if (status != OK) {
        return status;
    }
    volatile uint32_t *words =
        DMA_SLICE(uint32_t, REF(buffer), 0, 3 * PAGE_SIZE / sizeof(uint32_t));
    volatile uint32_t *last = DMA_AS(uint32_t, REF(buffer), 3 * PAGE_SIZE - sizeof(uint32_t));
    if (!words || !last || DMA_AS(uint32_t, REF(buffer), 3 * PAGE_SIZE)) {
        return ERR_FAILED;
    }
    *last = 0x600df00d;
    paddr_t physical = dma_buffer_physical(REF(buffer));
    console_print("registers: buffer of %u KiB at physical %#llx\n",
                  (unsigned)(dma_buffer_size(REF(buffer)) / 1024), (unsigned long long)physical);
    bool is_right = physical % (64 * 1024) == 0 && physical + 3 * PAGE_SIZE <= 16ull << 20;
    return is_right && words[0] == 0 && words[3 * PAGE_SIZE / 4 - 1] == 0x600df00d ? OK
                                                                                   : ERR_FAILED;
}

enum status registers_main(const struct app_arguments *arguments)
{
    (void)arguments;
    OWNED(mmio, hpet);
    enum status status = mmio_create(HPET_START, HPET_BYTES, SLOT(hpet));
    if (status != OK) {
        return status;
    }
    status = read_hpet(REF(hpet));
    if (status != OK) {
        return status;
    }
    if (!show_refusals(REF(hpet))) {
        return ERR_FAILED;
    }
    status = read_apic();
    return status == OK ? use_buffer() : status;
}
