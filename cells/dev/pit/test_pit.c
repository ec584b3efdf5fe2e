/* SPDX-License-Identifier: MIT */
/* An 82C54, as far as channel 2 in mode 0 goes; each access of a port takes a tick. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pit.h"
#include "port_io.h"

static bool is_there;
static uint8_t gate;
static uint16_t load;
static unsigned bytes_written;
static uint32_t ticks; /* since it was loaded */
static uint16_t latched;
static unsigned bytes_read;

static uint8_t read_gate(void)
{
    return (uint8_t)(gate | (ticks > load ? 0x20 : 0) | 0x10); /* bit 4 toggles: status */
}

uint8_t port_read8(uint16_t port)
{
    ticks++;
    if (!is_there) {
        return 0xff;
    }
    if (port == 0x61) {
        return read_gate();
    }
    assert_int_equal(port, 0x42);
    return bytes_read++ % 2 == 0 ? (uint8_t)latched : (uint8_t)(latched >> 8);
}

void port_write8(uint16_t port, uint8_t value)
{
    ticks++;
    if (port == 0x61) {
        assert_int_equal(value & 0xf0, 0); /* status bits are not written */
        gate = value;
    } else if (port == 0x43 && value == 0xb0) { /* channel 2, both bytes, mode 0, binary */
        bytes_written = 0;
        bytes_read = 0;
    } else if (port == 0x43) {
        assert_int_equal(value, 0x80); /* latch channel 2 */
        latched = (uint16_t)(load - ticks);
    } else {
        assert_int_equal(port, 0x42);
        load = bytes_written++ == 0 ? value : (uint16_t)(load | value << 8);
        ticks = 0;
    }
}

void port_write16(uint16_t port, uint16_t value)
{
    (void)port;
    (void)value;
    fail();
}

static int start(void **state)
{
    (void)state;
    is_there = true;
    gate = 0x02; /* the loudspeaker is on */
    ticks = 0;
    return 0;
}

static void test_read_counts_up_from_the_start(void **state)
{
    (void)state;
    uint16_t first;
    uint16_t second;
    pit_start();
    assert_int_equal(gate, 0x01); /* counts, silently */
    assert_int_equal(load, 0xffff);
    assert_int_equal(pit_read(&first), OK);
    assert_true(first < 8);
    ticks += 30000;
    assert_int_equal(pit_read(&second), OK);
    assert_in_range(second - first, 30000, 30008);
}

static void test_read_after_the_end_is_an_overflow(void **state)
{
    (void)state;
    uint16_t count = 7;
    pit_start();
    ticks = 0xfff0;
    assert_int_equal(pit_read(&count), OK);
    ticks = 0x10000;
    count = 7;
    assert_int_equal(pit_read(&count), ERR_OVERFLOW);
    ticks = 0x18000; /* looks like a right count */
    assert_int_equal(pit_read(&count), ERR_OVERFLOW);
    assert_int_equal(count, 7);
    pit_start();
    assert_int_equal(pit_read(&count), OK);
}

static void test_read_without_timer_is_an_error(void **state)
{
    (void)state;
    uint16_t count;
    is_there = false;
    pit_start();
    assert_int_equal(pit_read(&count), ERR_NO_DEVICE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_read_counts_up_from_the_start, start),
        cmocka_unit_test_setup(test_read_after_the_end_is_an_overflow, start),
        cmocka_unit_test_setup(test_read_without_timer_is_an_error, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
