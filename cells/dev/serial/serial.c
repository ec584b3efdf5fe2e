/* SPDX-License-Identifier: MIT */
/*
 * The UART of the PC: National Semiconductor's 16550, whose data sheet names the registers. Once
 * the transmitter is empty, its FIFO takes FIFO_SIZE bytes, so the line status is read once a
 * burst.
 */
#include "serial.h"
#include "console.h"
#include "port_io.h"

CELL(driver, "1.0.0");

#define COM1 0x3f8

enum register_offset {
    DATA = 0,             /* with DLAB: the divisor's low byte */
    INTERRUPT_ENABLE = 1, /* with DLAB: the divisor's high byte */
    FIFO_CONTROL = 2,
    LINE_CONTROL = 3,
    MODEM_CONTROL = 4,
    LINE_STATUS = 5,
};

#define LINE_8N1          0x03
#define LINE_DLAB         0x80 /* divisor latch access */
#define FIFO_ON_AND_CLEAR 0x07
#define MODEM_READY       0x0b /* DTR, RTS, OUT2 */
#define MODEM_LOOPBACK    0x1b /* the same, looped back to the receiver */
#define STATUS_RECEIVED   0x01
#define STATUS_EMPTY      0x20 /* transmitter holding register */

#define DIVISOR_115200 1
#define PROBE_BYTE     0xae
#define FIFO_SIZE      16

/*
 * A port read takes about a microsecond on real hardware, sending a full FIFO 1.4 ms: room for the
 * receiver to hold the line by flow control for a moment, and no more.
 */
#define WAIT_READS 20000

/* Since it did not empty in time, only one read a burst is spent on waiting. */
static bool stuck; /* one at a time, by the console's lock */

static uint8_t read_register(enum register_offset offset)
{
    return port_read8((uint16_t)(COM1 + offset));
}

static void write_register(enum register_offset offset, uint8_t value)
{
    port_write8((uint16_t)(COM1 + offset), value);
}

static bool wait_for_status(uint8_t bit, unsigned reads)
{
    while (reads--) {
        uint8_t status = read_register(LINE_STATUS);
        if (status & bit) {
            return status != 0xff; /* what an absent port reads as */
        }
    }
    return false;
}

/* Sends up to FIFO_SIZE bytes of device data; they are lost if the line does not take them. */
static void write_burst(const uint8_t *bytes, size_t count)
{
    stuck = !wait_for_status(STATUS_EMPTY, stuck ? 1 : WAIT_READS);
    if (stuck) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        write_register(DATA, bytes[i]);
    }
}

static void write_text(struct console_sink *sink, const char *bytes, size_t length)
{
    (void)sink;
    uint8_t burst[FIFO_SIZE];
    size_t count = 0;
    for (size_t i = 0; i < length; i++) {
        if (count + 2 > FIFO_SIZE) {
            write_burst(burst, count);
            count = 0;
        }
        if (bytes[i] == '\n') {
            burst[count++] = '\r';
        }
        burst[count++] = (uint8_t)bytes[i];
    }
    if (count) {
        write_burst(burst, count);
    }
}

static void set_line(void)
{
    write_register(INTERRUPT_ENABLE, 0);
    write_register(LINE_CONTROL, LINE_DLAB);
    write_register(DATA, DIVISOR_115200 & 0xff);
    write_register(INTERRUPT_ENABLE, DIVISOR_115200 >> 8);
    write_register(LINE_CONTROL, LINE_8N1);
    write_register(FIFO_CONTROL, FIFO_ON_AND_CLEAR);
}

static bool answers_in_loopback(void)
{
    write_register(MODEM_CONTROL, MODEM_LOOPBACK);
    write_register(DATA, PROBE_BYTE);
    bool received = wait_for_status(STATUS_RECEIVED, WAIT_READS);
    return received && read_register(DATA) == PROBE_BYTE;
}

enum status serial_init(void)
{
    static struct console_sink sink = {.name = "serial", .write = write_text};
    set_line();
    if (!answers_in_loopback()) {
        return ERR_NO_DEVICE;
    }
    write_register(MODEM_CONTROL, MODEM_READY);
    stuck = false;
    return console_register(&sink);
}
