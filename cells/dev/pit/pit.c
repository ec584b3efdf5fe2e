/* SPDX-License-Identifier: MIT */
/*
 * Mode 0 (8254, "Mode 0: Interrupt on Terminal Count"): the output is low from the control word on
 * and becomes high, for good, when the count has reached 0. The counter then goes on from 0xffff;
 * the output tells such a count from a right one.
 */
#include "pit.h"
#include "port_io.h"

CELL(driver, "1.0.0");

#define PORT_CHANNEL_2 0x42
#define PORT_CONTROL   0x43

/* 8254, "Control Word Format" and "Counter Latch Command". */
#define CONTROL_CHANNEL_2  0x80
#define CONTROL_BOTH_BYTES 0x30 /* the low one first */
#define CONTROL_LATCH      0x00
#define CONTROL_MODE_0     0x00

/* ICH9 datasheet, "NMI_SC: NMI Status and Control Register". */
#define PORT_GATE     0x61
#define GATE_2        0x01
#define SPEAKER       0x02
#define OUTPUT_2      0x20
#define GATE_WRITABLE 0x0f /* the rest is status */

#define START 0xffffu

/*
 * The count is loaded at the next tick (8254, "Mode 0"), 838 ns at most; an access takes about as
 * long.
 */
#define LOAD_READS 3u

void pit_start(void)
{
    uint8_t gate = port_read8(PORT_GATE) & GATE_WRITABLE;
    port_write8(PORT_GATE, (uint8_t)((gate & ~SPEAKER) | GATE_2));
    port_write8(PORT_CONTROL, CONTROL_CHANNEL_2 | CONTROL_BOTH_BYTES | CONTROL_MODE_0);
    port_write8(PORT_CHANNEL_2, START & 0xff);
    port_write8(PORT_CHANNEL_2, START >> 8);
    for (unsigned i = 0; i < LOAD_READS; i++) {
        (void)port_read8(PORT_GATE);
    }
}

enum status pit_read(uint16_t *out_ticks)
{
    port_write8(PORT_CONTROL, CONTROL_CHANNEL_2 | CONTROL_LATCH);
    uint8_t low = port_read8(PORT_CHANNEL_2);
    uint8_t high = port_read8(PORT_CHANNEL_2);
    uint8_t gate = port_read8(PORT_GATE);
    if (gate == 0xff || !(gate & GATE_2)) { /* nobody answers, or not to what was written */
        return ERR_NO_DEVICE;
    }
    if (gate & OUTPUT_2) {
        return ERR_OVERFLOW;
    }
    *out_ticks = (uint16_t)(START - (low | (unsigned)high << 8));
    return OK;
}
