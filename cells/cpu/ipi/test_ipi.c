/* SPDX-License-Identifier: MIT */
/* The command register is made up: it stays busy for a while after each command. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ipi.h"
#include "local_apic.h"
#include "preemption.h"

#define COMMAND_MSR 0x830

static volatile uint32_t memory[1];
volatile uint32_t *local_apic_registers;

static unsigned busy_for;  /* looks, after each command */
static unsigned busy_left; /* UINT32_MAX: for ever */
static uint32_t high;
static uint64_t sent; /* as x2APIC has it: destination and command */
static unsigned sent_count;

static void note(uint64_t command)
{
    sent = command;
    sent_count++;
    busy_left = busy_for;
}

uint32_t local_apic_read(enum local_apic_register which)
{
    assert_int_equal(which, 0x300);
    if (busy_left > 0) {
        busy_left -= busy_left != UINT32_MAX;
        return 1u << 12;
    }
    return 0;
}

/* Between the two stores no interrupt may come. */
void local_apic_write(enum local_apic_register which, uint32_t value)
{
    assert_non_null(local_apic_registers);
    assert_false(interrupts_enabled());
    assert_int_equal(busy_left, 0);
    if (which == 0x310) {
        high = value;
        return;
    }
    assert_int_equal(which, 0x300);
    note((uint64_t)(high >> 24) << 32 | value);
    high = 0;
}

void write_msr(uint32_t msr, uint64_t value)
{
    assert_null(local_apic_registers);
    assert_int_equal(msr, COMMAND_MSR);
    note(value);
}

uint64_t read_msr(uint32_t msr)
{
    (void)msr;
    fail();
    return 0;
}

struct x86_cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
    (void)leaf;
    (void)subleaf;
    fail();
    return (struct x86_cpuid){0};
}

static int start(void **state)
{
    (void)state;
    local_apic_registers = memory;
    busy_for = 3;
    busy_left = 0;
    sent = 0;
    sent_count = 0;
    enable_interrupts();
    return 0;
}

static int start_x2apic(void **state)
{
    start(state);
    local_apic_registers = NULL;
    return 0;
}

static void check_commands(void)
{
    assert_int_equal(ipi_send(7, 0x41), OK);
    assert_int_equal(sent, 0x700004041);
    assert_int_equal(ipi_send_others(0x20), OK);
    assert_int_equal(sent, 0xc4020);
    assert_int_equal(ipi_send_nmi(1), OK);
    assert_int_equal(sent, 0x100004400);
    assert_int_equal(ipi_send_init(254), OK);
    assert_int_equal(sent, 0xfe00004500);
    assert_int_equal(ipi_send_startup(254, 0x8000), OK);
    assert_int_equal(sent, 0xfe00004608);
    assert_int_equal(sent_count, 5);
    assert_true(interrupts_enabled());
}

static void test_send_xapic_commands(void **state)
{
    (void)state;
    check_commands();
    assert_int_equal(ipi_send(255, 0x41), ERR_OUT_OF_BOUNDS); /* that would be everybody */
    assert_int_equal(ipi_send(256, 0x41), ERR_OUT_OF_BOUNDS);
    assert_int_equal(sent_count, 5);
}

static void test_send_x2apic_commands(void **state)
{
    (void)state;
    check_commands();
    assert_int_equal(ipi_send(0xfffffffe, 0xff), OK);
    assert_int_equal(sent, 0xfffffffe000040ff);
    assert_int_equal(ipi_send_nmi(0xffffffff), ERR_OUT_OF_BOUNDS);
    assert_int_equal(sent_count, 6);
}

static void check_nonsense(void)
{
    assert_int_equal(ipi_send(1, 31), ERR_INVALID_ARGUMENT);
    assert_int_equal(ipi_send_others(0), ERR_INVALID_ARGUMENT);
    assert_int_equal(ipi_send_startup(1, 0x8001), ERR_INVALID_ARGUMENT);
    assert_int_equal(ipi_send_startup(1, 0x100000), ERR_INVALID_ARGUMENT);
    assert_int_equal(ipi_send_startup(1, 0xa0000), ERR_INVALID_ARGUMENT);
    assert_int_equal(ipi_send_startup(1, 0xbf000), ERR_INVALID_ARGUMENT);
    assert_int_equal(sent_count, 0);
    assert_int_equal(ipi_send_startup(1, 0x9f000), OK);
}

static void test_send_nonsense_is_refused(void **state)
{
    (void)state;
    check_nonsense();
}

static void test_send_waits_for_the_one_before(void **state)
{
    (void)state;
    busy_left = IPI_POLLS - 1;
    assert_int_equal(ipi_send(1, 0x41), OK);
    assert_int_equal(sent_count, 1);
}

static void test_send_busy_register_times_out(void **state)
{
    (void)state;
    busy_left = UINT32_MAX;
    assert_int_equal(ipi_send(1, 0x41), ERR_TIMEOUT);
    assert_int_equal(ipi_send_others(0x41), ERR_TIMEOUT);
    assert_int_equal(ipi_send_init(1), ERR_TIMEOUT);
    assert_int_equal(sent_count, 0);
    assert_true(interrupts_enabled());
}

static void test_startup_that_does_not_leave_is_an_error(void **state)
{
    (void)state;
    busy_for = UINT32_MAX;
    assert_int_equal(ipi_send_startup(1, 0x8000), ERR_IO);
    assert_int_equal(sent_count, 1);
    busy_left = 0;
    assert_int_equal(ipi_send(1, 0x41), OK); /* which nobody waits for */
}

static void test_send_with_interrupts_disabled_leaves_them_so(void **state)
{
    (void)state;
    disable_interrupts();
    assert_int_equal(ipi_send(1, 0x41), OK);
    assert_false(interrupts_enabled());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_send_xapic_commands, start),
        cmocka_unit_test_setup(test_send_x2apic_commands, start_x2apic),
        cmocka_unit_test_setup(test_send_nonsense_is_refused, start),
        cmocka_unit_test_setup(test_send_nonsense_is_refused, start_x2apic),
        cmocka_unit_test_setup(test_send_waits_for_the_one_before, start),
        cmocka_unit_test_setup(test_send_busy_register_times_out, start),
        cmocka_unit_test_setup(test_startup_that_does_not_leave_is_an_error, start),
        cmocka_unit_test_setup(test_send_with_interrupts_disabled_leaves_them_so, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
