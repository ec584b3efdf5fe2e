/* SPDX-License-Identifier: MIT */
/* The registers are made up: a counter that moves at each read, unless it is broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "acpi.h"
#include "acpi_tables.h"
#include "hpet.h"
#include "mmio.h"

/* A good one: Intel's, 3 comparators, 64 bits, 69.841279 ns. */
#define GOOD ((uint64_t)69841279 << 32 | 0x8086a201)

struct mmio {
    bool is_owned;
};

static struct mmio device;
static struct acpi acpi;
static paddr_t address;
static uint64_t capabilities;
static uint64_t configuration;
static uint64_t step;    /* of the counter, at each read */
static uint64_t counter; /* as hpet_read() sees it */
static enum status create_status;

const struct acpi *acpi_get(void)
{
    return &acpi;
}

enum status mmio_create(paddr_t start, uint64_t bytes, struct mmio **out)
{
    assert_int_equal(start, address);
    assert_int_equal(bytes, 1024);
    if (create_status != OK) {
        return create_status;
    }
    assert_false(device.is_owned);
    device.is_owned = true;
    FILL(out, &device);
    return OK;
}

void mmio_drop(struct mmio **handle)
{
    if (*handle) {
        device.is_owned = false;
        EMPTY(handle);
    }
}

enum status mmio_find(const struct mmio *mmio, uint64_t offset, uint64_t size, uint64_t alignment,
                      volatile void **out)
{
    assert_ptr_equal(mmio, &device);
    assert_int_equal(offset, 0xf0);
    assert_int_equal(size, 8);
    assert_int_equal(alignment, 8);
    *out = &counter;
    return OK;
}

enum status mmio_read64(const struct mmio *mmio, uint64_t offset, uint64_t *out_value)
{
    assert_ptr_equal(mmio, &device);
    assert_true(offset == 0 || offset == 0x10 || offset == 0xf0);
    counter += configuration & 1 ? step : 0;
    *out_value = offset == 0 ? capabilities : offset == 0x10 ? configuration : counter;
    return OK;
}

enum status mmio_write64(struct mmio *mmio, uint64_t offset, uint64_t value)
{
    assert_ptr_equal(mmio, &device);
    assert_int_equal(offset, 0x10);
    configuration = value;
    return OK;
}

static int start(void **state)
{
    (void)state;
    acpi = (struct acpi){.status = ERR_STATE};
    address = 0xfed00000;
    capabilities = GOOD;
    configuration = 0;
    step = 1;
    counter = 0;
    create_status = OK;
    return 0;
}

static void assert_refused(enum status expected)
{
    struct hpet_description description;
    assert_int_equal(hpet_init(), expected);
    assert_false(device.is_owned);
    assert_int_equal(hpet_describe(&description), ERR_STATE);
    assert_int_equal(hpet_read(), 0);
}

/* Until one succeeds: the cell keeps it for good. So these come first. */
static void test_init_nobody_there_is_no_device(void **state)
{
    (void)state;
    capabilities = 0;
    assert_refused(ERR_NO_DEVICE);
    capabilities = UINT64_MAX;
    assert_refused(ERR_NO_DEVICE);
    create_status = ERR_BUSY;
    assert_refused(ERR_BUSY);
    create_status = OK;
    capabilities = GOOD;
    address = 1; /* not asked for: ACPI is there and knows of none */
    acpi.status = OK;
    assert_refused(ERR_NO_DEVICE);
}

static void test_init_nonsense_is_malformed(void **state)
{
    (void)state;
    capabilities = GOOD & UINT32_MAX; /* no period */
    assert_refused(ERR_BAD_FORMAT);
    capabilities = (uint64_t)100000001 << 32 | (GOOD & UINT32_MAX); /* longer than 100 ns */
    assert_refused(ERR_BAD_FORMAT);
    capabilities = GOOD & ~0xffull; /* revision 0 */
    assert_refused(ERR_BAD_FORMAT);
}

static void test_init_counter_that_stands_is_an_error(void **state)
{
    (void)state;
    step = 0;
    configuration = 2;
    assert_refused(ERR_IO);
    assert_int_equal(configuration, 2); /* as it was */
}

static void test_init_good_one_runs_and_stays(void **state)
{
    (void)state;
    struct hpet_description description;
    const struct acpi_hpet table = {.address = 0xfed01000};
    acpi = (struct acpi){.status = OK, .hpet = &table};
    address = table.address;
    capabilities = GOOD & ~(1ull << 13); /* 32 bits */
    configuration = 2;                   /* firmware had put it in the old timer's place */
    assert_int_equal(hpet_init(), OK);
    assert_int_equal(configuration, 1);
    assert_true(device.is_owned);
    assert_int_equal(hpet_describe(&description), OK);
    assert_int_equal(description.period_fs, 69841279);
    assert_int_equal(description.vendor, 0x8086);
    assert_int_equal(description.timers, 3);
    assert_int_equal(description.counter_mask, UINT32_MAX);
    counter = 0x123456789a;
    assert_int_equal(hpet_read(), 0x3456789a);
    assert_int_equal(hpet_init(), OK); /* again: nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_init_nobody_there_is_no_device, start),
        cmocka_unit_test_setup(test_init_nonsense_is_malformed, start),
        cmocka_unit_test_setup(test_init_counter_that_stands_is_an_error, start),
        cmocka_unit_test_setup(test_init_good_one_runs_and_stays, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
