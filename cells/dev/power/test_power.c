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
static bool keyboard_is_busy;
static char said[1000];
static char tried[100]; /* the ways, in order */

uint8_t port_read8(uint16_t port)
{
    assert_int_equal(port, 0x64);
    return keyboard_is_busy ? 0x02 : 0;
}

void port_write8(uint16_t port, uint8_t value)
{
    if (port == 0x64) {
        assert_int_equal(value, 0xfe);
    } else {
        assert_int_equal(port, 0xf4);
        exit_byte = value;
    }
    if (port == port_that_works) {
        longjmp(off, 1);
    }
}

static void hear(struct console_sink *sink, const char *bytes, size_t length)
{
    (void)sink;
    strncat(said, bytes, length < sizeof(said) - strlen(said) ? length : 0);
    if (strstr(said, "halted") || strstr(said, "triple fault")) {
        longjmp(off, 3);
    }
}

static struct console_sink sink = {.name = "test", .write = hear};

/* How it ended: 1 by a port, 2 by a way, 3 by what comes last. */
static int end(uint16_t port, int status)
{
    port_that_works = port;
    said[0] = '\0';
    tried[0] = '\0';
    int how = setjmp(off);
    if (!how) {
        power_off(status);
    }
    return how;
}

static int start_again(uint16_t port)
{
    port_that_works = port;
    said[0] = '\0';
    tried[0] = '\0';
    int how = setjmp(off);
    if (!how) {
        power_reboot();
    }
    return how;
}

static void try_in_vain(struct power_way *way)
{
    strcat(tried, way->name);
}

static void succeed(struct power_way *way)
{
    strcat(tried, way->name);
    longjmp(off, 2);
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

static void test_power_off_without_debug_exit_tries_the_ways_latest_first(void **state)
{
    (void)state;
    struct power_way good = {.name = "A", .off = succeed};
    struct power_way bad = {.name = "B", .off = try_in_vain};
    struct power_way silent = {.name = "C"};
    assert_int_equal(power_register(&good), OK);
    assert_int_equal(power_register(&bad), OK);
    assert_int_equal(power_register(&silent), OK);
    assert_int_equal(end(0, 7), 2);
    assert_string_equal(tried, "BA");
    assert_string_equal(said, "power: off by B, with status 7\npower: off by A, with status 7\n");
    power_unregister(&bad);
    assert_int_equal(end(0, 0), 2);
    assert_string_equal(tried, "A");
    power_unregister(&good);
    power_unregister(&silent);
    assert_int_equal(end(0, 0), 3);
    assert_string_equal(tried, "");
}

static void test_power_register_twice_is_refused_and_harmless(void **state)
{
    (void)state;
    struct power_way way = {.name = "A", .off = try_in_vain};
    assert_int_equal(power_register(&way), OK);
    assert_int_equal(power_register(&way), ERR_EXISTS);
    assert_int_equal(end(0, 0), 3);
    assert_string_equal(tried, "A");
    power_unregister(&way);
    power_unregister(&way);
    assert_int_equal(end(0, 0), 3);
    assert_string_equal(tried, "");
}

static void test_power_off_without_anything_says_so_before_it_halts(void **state)
{
    (void)state;
    assert_int_equal(end(0, 3), 3);
    assert_non_null(strstr(said, "halted with status 3\n"));
}

static void test_power_reboot_tries_ways_keyboard_then_triple_fault(void **state)
{
    (void)state;
    struct power_way bad = {.name = "A", .reboot = try_in_vain};
    struct power_way other = {.name = "B", .off = succeed};
    assert_int_equal(power_register(&bad), OK);
    assert_int_equal(power_register(&other), OK);
    assert_int_equal(start_again(0), 3);
    assert_string_equal(tried, "A");
    assert_string_equal(said, "power: reset by A\n"
                              "power: reset by the keyboard controller\n"
                              "power: reset by a triple fault\n");
    assert_int_equal(start_again(0x64), 1);
    struct power_way good = {.name = "C", .reboot = succeed};
    assert_int_equal(power_register(&good), OK);
    assert_int_equal(start_again(0), 2);
    assert_string_equal(tried, "C");
    power_unregister(&bad);
    power_unregister(&other);
    power_unregister(&good);
}

static void test_power_reboot_does_not_wait_for_ever_for_the_keyboard(void **state)
{
    (void)state;
    keyboard_is_busy = true;
    assert_int_equal(start_again(0x64), 1);
    assert_int_equal(start_again(0), 3);
    keyboard_is_busy = false;
}

int main(void)
{
    if (console_register(&sink) != OK) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_power_off_debug_exit_gets_the_status),
        cmocka_unit_test(test_power_off_status_out_of_range_is_the_largest),
        cmocka_unit_test(test_power_off_without_debug_exit_tries_the_ways_latest_first),
        cmocka_unit_test(test_power_register_twice_is_refused_and_harmless),
        cmocka_unit_test(test_power_off_without_anything_says_so_before_it_halts),
        cmocka_unit_test(test_power_reboot_tries_ways_keyboard_then_triple_fault),
        cmocka_unit_test(test_power_reboot_does_not_wait_for_ever_for_the_keyboard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
