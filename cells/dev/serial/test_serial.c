/* SPDX-License-Identifier: MIT */
/* The fake device below is a 16550 as far as the driver can tell. */
#include "console.h"
#include "port_io.h"
#include "serial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define COM1 0x3f8

enum fault { PRESENT, ABSENT, NOT_A_UART };

static struct {
    enum fault fault;
    bool line_is_held; /* the transmitter never empties */
    uint8_t line_control;
    uint8_t modem_control;
    uint8_t interrupts;
    uint8_t fifo_control;
    uint16_t divisor;
    int received; /* -1 when there is none */
    unsigned in_fifo;
    unsigned overrun;
    unsigned status_reads;
    size_t sent;
    char line[1024];
} uart;

uint8_t port_read8(uint16_t port)
{
    assert_in_range(port, COM1, COM1 + 7);
    if (uart.fault == ABSENT) {
        uart.status_reads += port == COM1 + 5;
        return 0xff;
    }
    switch (port - COM1) {
    case 0: {
        int byte = uart.received;
        uart.received = -1;
        return uart.fault == NOT_A_UART ? 0x55 : (uint8_t)byte;
    }
    case 5:
        uart.status_reads++;
        if (!uart.line_is_held) {
            uart.in_fifo = 0;
        }
        return (uint8_t)((uart.received >= 0) | (uart.in_fifo ? 0 : 0x20));
    default:
        return 0;
    }
}

static void transmit(uint8_t value)
{
    if (uart.modem_control & 0x10) {
        uart.received = value;
        return;
    }
    if (uart.in_fifo == 16) {
        uart.overrun++;
        return;
    }
    uart.in_fifo++;
    assert_in_range(uart.sent, 0, sizeof(uart.line) - 2);
    uart.line[uart.sent++] = (char)value;
    uart.line[uart.sent] = '\0';
}

void port_write8(uint16_t port, uint8_t value)
{
    assert_in_range(port, COM1, COM1 + 7);
    bool latch = uart.line_control & 0x80;
    switch (port - COM1) {
    case 0:
        if (latch) {
            uart.divisor = (uint16_t)((uart.divisor & 0xff00) | value);
        } else {
            transmit(value);
        }
        break;
    case 1:
        if (latch) {
            uart.divisor = (uint16_t)((uart.divisor & 0xff) | value << 8);
        } else {
            uart.interrupts = value;
        }
        break;
    case 2:
        uart.fifo_control = value;
        break;
    case 3:
        uart.line_control = value;
        break;
    case 4:
        uart.modem_control = value;
        break;
    default:
        fail_msg("write to register %u", port - COM1);
    }
}

static int plug_in(void **state)
{
    (void)state;
    memset(&uart, 0, sizeof(uart));
    uart.received = -1;
    uart.divisor = 0xffff;
    uart.interrupts = 0xff;
    return 0;
}

/* Registered by the first test that succeeds, and for good. */
static void initialise(void)
{
    enum status status = serial_init();
    assert_true(status == OK || status == ERR_EXISTS);
    uart.status_reads = 0;
}

static void test_serial_absent_port_is_no_device(void **state)
{
    (void)state;
    uart.fault = ABSENT;
    assert_int_equal(serial_init(), ERR_NO_DEVICE);
    assert_int_equal(uart.status_reads, 1);
    console_print("nobody");
    assert_int_equal(uart.sent, 0);
}

static void test_serial_wrong_echo_is_no_device(void **state)
{
    (void)state;
    uart.fault = NOT_A_UART;
    assert_int_equal(serial_init(), ERR_NO_DEVICE);
}

static void test_serial_init_sets_line_and_registers_once(void **state)
{
    (void)state;
    assert_int_equal(serial_init(), OK);
    assert_int_equal(uart.divisor, 1);
    assert_int_equal(uart.line_control, 3);
    assert_int_equal(uart.interrupts, 0);
    assert_int_equal(uart.fifo_control & 1, 1);
    assert_int_equal(uart.modem_control & 0x10, 0);
    assert_int_equal(serial_init(), ERR_EXISTS);
    assert_int_equal(uart.sent, 0);
}

static void test_serial_text_arrives_with_carriage_returns(void **state)
{
    (void)state;
    initialise();
    console_print("one\ntwo, which is longer than the FIFO is deep\n\n");
    assert_string_equal(uart.line, "one\r\ntwo, which is longer than the FIFO is deep\r\n\r\n");
    assert_int_equal(uart.overrun, 0);
    assert_in_range(uart.status_reads, 1, 5);
}

static void test_serial_held_line_costs_one_bounded_wait(void **state)
{
    (void)state;
    initialise();
    uart.line_is_held = true;
    uart.in_fifo = 1;
    console_print("lost");
    unsigned first_wait = uart.status_reads;
    assert_in_range(first_wait, 2, 100000);
    console_print("lost at no delay");
    assert_int_equal(uart.status_reads, first_wait + 2);
    assert_int_equal(uart.sent, 0);
    uart.line_is_held = false;
    console_print("again");
    assert_string_equal(uart.line, "again");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_serial_absent_port_is_no_device, plug_in),
        cmocka_unit_test_setup(test_serial_wrong_echo_is_no_device, plug_in),
        cmocka_unit_test_setup(test_serial_init_sets_line_and_registers_once, plug_in),
        cmocka_unit_test_setup(test_serial_text_arrives_with_carriage_returns, plug_in),
        cmocka_unit_test_setup(test_serial_held_line_costs_one_bounded_wait, plug_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
