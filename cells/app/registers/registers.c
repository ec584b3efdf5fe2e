/* SPDX-License-Identifier: MIT */
/*
 * registers - reads where a PC begins, at the end of its firmware, which is addressed like a
 * register, and shows what the types of device memory refuse: a second owner, RAM as registers,
 * accesses beyond the end.
 */
#include "application.h"
#include "console.h"
#include "dma.h"
#include "frame_allocator.h"
#include "mmio.h"

CELL(application, "1.0.0");

APPLICATION(registers);

/* SDM vol. 3, "First Instruction Executed": 16 bytes below 4 GiB. */
#define FIRMWARE_START 0xfffff000ull
#define FIRMWARE_BYTES 0x1000u
#define FIRMWARE_RESET 0xff0u

/* Prints what was expected and what came; false unless they are the same. */
static bool expect(const char *what, enum status status, enum status expected)
{
    console_print("registers: %s: %s\n", what, status_name(status));
    return status == expected;
}

static enum status read_reset(const struct mmio *firmware) OWN_BORROWS(*firmware)
{
    uint32_t first;
    uint64_t wide;
    enum status status = mmio_read32(firmware, FIRMWARE_RESET, &first);
    if (status == OK) {
        status = mmio_read64(firmware, FIRMWARE_RESET, &wide);
    }
    if (status == OK) {
        console_print("registers: firmware begins with %#x\n", first);
        return first == (uint32_t)wide && first != 0 && first != UINT32_MAX ? OK : ERR_FAILED;
    }
    return status;
}

static bool show_refusals(const struct mmio *firmware) OWN_BORROWS(*firmware)
{
    OWNED(mmio, second);
    OWNED(mmio, memory);
    uint64_t value;
    bool is_well = expect("the firmware a second time",
                          mmio_create(FIRMWARE_START, FIRMWARE_BYTES, SLOT(second)), ERR_BUSY);
    is_well &= expect("beyond the firmware", mmio_read64(firmware, FIRMWARE_BYTES, &value),
                      ERR_OUT_OF_BOUNDS);
    is_well &= expect("between two registers", mmio_read64(firmware, 4, &value), ERR_MISALIGNED);

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
    OWNED(mmio, firmware);
    enum status status = mmio_create(FIRMWARE_START, FIRMWARE_BYTES, SLOT(firmware));
    if (status != OK) {
        return status;
    }
    status = read_reset(REF(firmware));
    if (status != OK) {
        return status;
    }
    return show_refusals(REF(firmware)) ? use_buffer() : ERR_FAILED;
}
