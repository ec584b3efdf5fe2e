/* SPDX-License-Identifier: MIT */
/*
 * Registers and buffers of devices, on a machine whose MMU is simulated: whatever strikes, frames,
 * pages and descriptors have one owner, and nothing is mapped that nobody owns.
 */
#include "strike_machine.h"

#include "dma.h"
#include "mmio.h"

#define PAGES_SEEN 16 /* of the data zone, from its start on */

static struct mmio *registers;
static struct dma_buffer *buffer;
static struct holdings first;

static void prepare(void)
{
    start_used_machine();
    first = measure();
}

static uint64_t count_mapped(void)
{
    uint64_t count = 0;
    for (uint64_t i = 0; i < PAGES_SEEN; i++) {
        count += translate(DATA_ZONE_START + i * PAGE_SIZE) != 0;
    }
    return count;
}

/* Where nobody keeps them. */
static void check_free(void)
{
    strike_demand(!registers && !buffer);
    strike_demand(count_mapped() == 0);
    assert_same(first);
}

static void check_registers(void)
{
    strike_demand(count_mapped() == (registers ? 2 : 0));
    if (registers) {
        strike_demand(mmio_physical(registers) == DEVICE + 0x800);
        strike_demand(mmio_size(registers) == PAGE_SIZE);
        mmio_drop(&registers);
    }
    check_free();
    strike_demand(mmio_create(DEVICE, 2 * PAGE_SIZE, &registers) == OK); /* they can be had */
    mmio_drop(&registers);
    check_free();
}

static void take_registers(void)
{
    OWNED(mmio, mmio);
    OWNED(mmio, same);
    (void)!mmio_create(DEVICE + 0x800, PAGE_SIZE, SLOT(mmio)); /* in two frames */
    (void)!mmio_create(DEVICE, 8, SLOT(same));
    strike_demand(!HELD(same));
}

static void take_and_keep_registers(void)
{
    OWNED(mmio, mmio);
    (void)!mmio_create(DEVICE + 0x800, PAGE_SIZE, SLOT(mmio));
    STORE(registers, mmio);
}

static void keep_registers(void)
{
    prepare();
    take_and_keep_registers();
}

static void drop_registers(void)
{
    OWNED(mmio, mmio);
    LOAD(mmio, registers);
}

static void check_buffer(void)
{
    strike_demand(count_mapped() == (buffer ? 2 : 0));
    if (buffer) {
        strike_demand(dma_buffer_size(buffer) == 2 * PAGE_SIZE);
        dma_buffer_drop(&buffer);
    }
    check_free();
    strike_demand(dma_buffer_create(PAGE_SIZE, PAGE_SIZE, PHYSICAL_LIMIT, &buffer) == OK);
    dma_buffer_drop(&buffer);
    check_free();
}

static void take_and_keep_buffer(void)
{
    OWNED(dma_buffer, made);
    (void)!dma_buffer_create(2 * PAGE_SIZE, 1, PHYSICAL_LIMIT, SLOT(made));
    STORE(buffer, made);
}

static void keep_buffer(void)
{
    prepare();
    take_and_keep_buffer();
}

static void drop_buffer(void)
{
    OWNED(dma_buffer, made);
    LOAD(made, buffer);
}

int main(void)
{
    static const struct strike_case cases[] = {
        {"take registers", prepare, take_registers, check_registers},
        {"take registers and keep them", prepare, take_and_keep_registers, check_registers},
        {"drop registers", keep_registers, drop_registers, check_registers},
        {"take a buffer and keep it", prepare, take_and_keep_buffer, check_buffer},
        {"drop a buffer", keep_buffer, drop_buffer, check_buffer},
    };
    return strike_run(cases, ARRAY_COUNT(cases));
}
