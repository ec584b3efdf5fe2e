/* SPDX-License-Identifier: MIT */
/* The function under test never returns: a port that works, or the last message, jumps back. */
#include "console.h"
#include "port_io.h"
#include "power.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static jmp_buf off;
static uint16_t port_that_works; /* 0: none */
static int exit_byte;
static char said[200];

void port_write8(uint16_t port, uint8_t value)
{
    assert_int_equal(port, 0xf4);
    exit_byte = value;
    if (port == port_that_works) {
        longjmp(off, 1);
    }
}

void port_write16(uint16_t port, uint16_t value)
{
    assert_true(port == 0x604 || port == 0xb004);
    assert_int_equal(value, 0x2000);
    if (port == port_that_works) {
        longjmp(off, 2);
    }
}

static void hear(struct console_sink *sink, const char *bytes, size_t length)
{
    (void)sink;
    memcpy(said, bytes, length < sizeof(said) ? length : sizeof(said) - 1);
    longjmp(off, 3);
}

/* How it ended: 1 by debug exit, 2 by ACPI, 3 by halting. */
static int end(uint16_t port, int status)
{
    port_that_works = port;
    int how = setjmp(off);
    if (!how) {
        power_off(status);
    }
    return how;
}

static void test_power_off_debug_exit_gets_the_status(void **state)
{
    (void)state;
    assert_int_equal(end(0xf4, 0), 1);
    assert_int_equal(exit_byte, 0x10);
    assert_int_equal(end(0xf4, 14), 1);
    assert_int_equal(exit_byte, 0x1e);
}

static void test_power_off_status_out_of_range_is_the_largest(void **state)
{
    (void)state;
    assert_int_equal(end(0xf4, 15), 1);
    assert_int_equal(exit_byte, 0x1e);
    assert_int_equal(end(0xf4, -1), 1);
    assert_int_equal(exit_byte, 0x1e);
}

static void test_power_off_without_debug_exit_uses_acpi(void **state)
{
    (void)state;
    assert_int_equal(end(0x604, 0), 2);
    assert_int_equal(end(0xb004, 0), 2);
}

static void test_power_off_without_anything_says_so_before_it_halts(void **state)
{
    (void)state;
    struct console_sink sink = {.name = "test", .write = hear};
    assert_int_equal(console_register(&sink), OK);
    assert_int_equal(end(0, 3), 3);
    console_unregister(&sink);
    assert_non_null(strstr(said, "halted with status 3\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_power_off_debug_exit_gets_the_status),
        cmocka_unit_test(test_power_off_status_out_of_range_is_the_largest),
        cmocka_unit_test(test_power_off_without_debug_exit_uses_acpi),
        cmocka_unit_test(test_power_off_without_anything_says_so_before_it_halts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
