/* SPDX-License-Identifier: MIT */
/*
 * The CPU and its counters are made up. Time is a number of picoseconds that every access moves on,
 * and that a test may let jump, as a virtual machine does that is stopped for a while.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "clock.h"
#include "clock_priv.h"
#include "hpet.h"
#include "pit.h"

#define PS_PER_S  1000000000000ull
#define PS_PER_US 1000000ull
#define FS_PER_PS 1000ull

static uint64_t now_ps;
static uint64_t read_ps;    /* what reading a reference takes */
static uint64_t jump_every; /* every so many reads of a reference something else runs in between */
static uint64_t jump_ps;
static uint64_t reads;
static uint64_t tsc_hz;
static struct x86_cpuid leaves[0x20];
static uint32_t power_edx;
static enum status hpet_status;
static struct hpet_description hpet;
static bool has_pit;
static uint64_t pit_start_ps;

static uint64_t tsc_at(uint64_t ps)
{
    return (uint64_t)((unsigned __int128)ps * tsc_hz / PS_PER_S);
}

uint64_t simulated_tsc(void)
{
    now_ps += 1000; /* 1 ns */
    return tsc_at(now_ps);
}

struct x86_cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
    (void)subleaf;
    if (leaf == 0x80000000u) {
        return (struct x86_cpuid){.eax = 0x80000008u};
    }
    if (leaf == 0x80000007u) {
        return (struct x86_cpuid){.edx = power_edx};
    }
    assert_true(leaf < ARRAY_COUNT(leaves));
    assert_true(leaf <= leaves[0].eax);
    return leaves[leaf];
}

static void pass_read(void)
{
    reads++;
    now_ps += read_ps;
    if (jump_every && reads % jump_every == 0) {
        now_ps += jump_ps;
    }
}

enum status hpet_init(void)
{
    return hpet_status;
}

enum status hpet_describe(struct hpet_description *out)
{
    *out = hpet;
    return OK;
}

uint64_t hpet_read(void)
{
    pass_read();
    uint64_t count = (uint64_t)((unsigned __int128)now_ps * FS_PER_PS / hpet.period_fs);
    now_ps += read_ps;
    return (count + 0xffffff00u) & hpet.counter_mask; /* wraps soon where it has 32 bits */
}

void pit_start(void)
{
    pit_start_ps = now_ps;
}

enum status pit_read(uint16_t *out_ticks)
{
    if (!has_pit) {
        return ERR_NO_DEVICE;
    }
    pass_read();
    uint64_t ticks = (now_ps - pit_start_ps) * FS_PER_PS / PIT_PERIOD_FS;
    now_ps += read_ps;
    if (ticks > UINT16_MAX) {
        return ERR_OVERFLOW;
    }
    *out_ticks = (uint16_t)ticks;
    return OK;
}

/* clock_init() of a system that starts anew. */
static enum status start_clock(void)
{
    clock_multiplier = 0;
    clock_inverse = 0;
    return clock_init();
}

static int start(void **state)
{
    (void)state;
    now_ps = PS_PER_S;
    read_ps = 1000;
    jump_every = 0;
    jump_ps = 0;
    reads = 0;
    tsc_hz = 2345678901;
    memset(leaves, 0, sizeof(leaves));
    leaves[0].eax = 0x16;
    leaves[1].edx = 1u << 4;
    power_edx = 0;
    hpet_status = OK;
    hpet = (struct hpet_description){.period_fs = 69841279, .counter_mask = UINT32_MAX};
    has_pit = true;
    return 0;
}

static void assert_near(uint64_t value, uint64_t expected, uint64_t ppm)
{
    uint64_t off = value > expected ? value - expected : expected - value;
    if (off * 1000000 / expected > ppm) {
        fail_msg("%llu is not %llu to %llu ppm", (unsigned long long)value,
                 (unsigned long long)expected, (unsigned long long)ppm);
    }
}

static void test_multiply_divide_is_exact(void **state)
{
    (void)state;
    assert_int_equal(clock_multiply_divide(0, 5, 7), 0);
    assert_int_equal(clock_multiply_divide(7, 5, 7), 5);
    assert_int_equal(clock_multiply_divide(UINT64_MAX, UINT64_MAX, UINT64_MAX), UINT64_MAX);
    assert_int_equal(clock_multiply_divide(UINT64_MAX, 2, 3), 0xaaaaaaaaaaaaaaaa);
    assert_int_equal(clock_multiply_divide(UINT64_MAX, UINT64_MAX - 1, UINT64_MAX), UINT64_MAX - 1);
    assert_int_equal(clock_multiply_divide(1ull << 63, 2, 1), UINT64_MAX); /* does not fit */
    assert_int_equal(clock_multiply_divide(1, 1, 0), UINT64_MAX);
    uint64_t seed = 1;
    for (unsigned i = 0; i < 10000; i++) {
        uint64_t a = seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint64_t b = (seed = seed * 6364136223846793005u + 1442695040888963407u) >> (i % 60);
        uint64_t d = (seed = seed * 6364136223846793005u + 1442695040888963407u) >> (i % 7);
        unsigned __int128 wide = d ? (unsigned __int128)a * b / d : UINT64_MAX;
        assert_int_equal(clock_multiply_divide(a, b, d), wide > UINT64_MAX ? UINT64_MAX : wide);
    }
}

static void test_init_before_the_clock_stands(void **state)
{
    (void)state;
    clock_multiplier = 0;
    clock_inverse = 0;
    assert_int_equal(clock_now_ns(), 0);
    uint64_t before = now_ps;
    clock_spin_ns(1000000000);
    assert_true(now_ps - before < PS_PER_US);
}

static void test_init_without_counter_is_refused(void **state)
{
    (void)state;
    leaves[1].edx = 0;
    assert_int_equal(start_clock(), ERR_NO_DEVICE);
}

static void test_init_by_cpuid_is_exact_and_takes_no_time(void **state)
{
    (void)state;
    leaves[0x15] = (struct x86_cpuid){.eax = 2, .ebx = 176, .ecx = 24000000};
    power_edx = 1u << 8;
    assert_int_equal(start_clock(), OK);
    struct clock_description clock = clock_describe();
    assert_int_equal(clock.source, CLOCK_CPUID);
    assert_int_equal(clock.hz, 2112000000);
    assert_int_equal(clock.error_ppm, 0);
    assert_int_equal(clock.calibration_ns, 0);
    assert_true(clock.invariant);
    assert_int_equal(reads, 0);
    assert_int_equal(clock_ns_of(2112000000ull * 3600), 3600000000000ull - 1); /* rounded down */
    assert_int_equal(clock_init(), OK);                                        /* again: nothing */
}

static void test_init_by_hpet_is_as_good_as_it_says(void **state)
{
    (void)state;
    const uint64_t frequencies[] = {2000000, 1000000000, 2345678901, 6000000000};
    for (size_t i = 0; i < ARRAY_COUNT(frequencies); i++) {
        tsc_hz = frequencies[i];
        uint64_t before = now_ps;
        assert_int_equal(start_clock(), OK);
        struct clock_description clock = clock_describe();
        assert_int_equal(clock.source, CLOCK_HPET);
        assert_false(clock.invariant);
        assert_near(clock.hz, tsc_hz, clock.error_ppm);
        assert_true(clock.error_ppm <= CLOCK_PRECISION_PPM || tsc_hz < 100000000);
        assert_true(now_ps - before < 2 * PS_PER_S / 100);
    }
}

static void test_init_crystal_unknown_is_measured(void **state)
{
    (void)state;
    leaves[0x15] = (struct x86_cpuid){.eax = 2, .ebx = 176, .ecx = 0};
    assert_int_equal(start_clock(), OK);
    assert_int_equal(clock_describe().source, CLOCK_HPET);
}

static void test_init_slow_reads_end_in_time_with_a_wider_bound(void **state)
{
    (void)state;
    read_ps = 3 * PS_PER_US;
    uint64_t before = now_ps;
    assert_int_equal(start_clock(), OK);
    struct clock_description clock = clock_describe();
    assert_near(clock.hz, tsc_hz, clock.error_ppm);
    assert_true(clock.error_ppm > CLOCK_PRECISION_PPM && clock.error_ppm < 1000);
    assert_true(now_ps - before < 11 * PS_PER_S / 1000);
}

static void test_init_interruptions_do_not_count(void **state)
{
    (void)state;
    jump_every = 7;
    jump_ps = 800 * PS_PER_US;
    assert_int_equal(start_clock(), OK);
    struct clock_description clock = clock_describe();
    assert_near(clock.hz, tsc_hz, clock.error_ppm);
}

static void test_init_without_hpet_takes_the_pit(void **state)
{
    (void)state;
    hpet_status = ERR_NO_DEVICE;
    assert_int_equal(start_clock(), OK);
    struct clock_description clock = clock_describe();
    assert_int_equal(clock.source, CLOCK_PIT);
    assert_near(clock.hz, tsc_hz, clock.error_ppm);
    assert_true(clock.error_ppm < 1000);
}

static void test_init_pit_that_overran_is_started_again(void **state)
{
    (void)state;
    hpet_status = ERR_NO_DEVICE;
    jump_every = 100000000; /* within the first measurement, but not within the second */
    reads = jump_every - 10;
    jump_ps = 60000 * PS_PER_US;
    assert_int_equal(start_clock(), OK);
    struct clock_description clock = clock_describe();
    assert_int_equal(clock.source, CLOCK_PIT);
    assert_near(clock.hz, tsc_hz, clock.error_ppm);
    jump_every = 1; /* always */
    assert_int_equal(start_clock(), ERR_NO_DEVICE);
}

static void test_init_nominal_frequency_comes_last(void **state)
{
    (void)state;
    hpet_status = ERR_IO;
    has_pit = false;
    assert_int_equal(start_clock(), ERR_NO_DEVICE);
    leaves[0x16].eax = 2600;
    assert_int_equal(start_clock(), OK);
    assert_int_equal(clock_describe().source, CLOCK_NOMINAL);
    assert_int_equal(clock_describe().hz, 2600000000);
    assert_string_equal(clock_source_name(clock_describe().source), "nominal");
}

static void test_init_impossible_frequency_is_refused(void **state)
{
    (void)state;
    leaves[0x15] = (struct x86_cpuid){.eax = 1, .ebx = 1, .ecx = 999999};
    assert_int_equal(start_clock(), ERR_OUT_OF_BOUNDS);
    leaves[0x15] = (struct x86_cpuid){.eax = 1, .ebx = 1000000, .ecx = 64001};
    assert_int_equal(start_clock(), ERR_OUT_OF_BOUNDS);
    leaves[0x15] = (struct x86_cpuid){0};
    tsc_hz = 0; /* stands still */
    assert_int_equal(start_clock(), ERR_NO_DEVICE);
    assert_int_equal(clock_now_ns(), 0);
}

static void test_scale_goes_there_and_back(void **state)
{
    (void)state;
    const uint64_t times[] = {0, 1, 999, 1000000, 4000000000, 3600000000000, 86400000000000000};
    for (uint64_t mhz = 1; mhz <= 64000; mhz = mhz * 3 / 2 + 1) {
        leaves[0x15] = (struct x86_cpuid){.eax = 1, .ebx = (uint32_t)mhz, .ecx = 1000000};
        assert_int_equal(start_clock(), OK);
        for (size_t i = 0; i < ARRAY_COUNT(times); i++) {
            uint64_t ticks = clock_ticks_of(times[i]);
            assert_true(clock_ns_of(ticks) + 1 >= times[i]); /* never short, */
            uint64_t exact = times[i] / 1000 * mhz;
            assert_true(ticks <= exact + mhz + 2 + times[i] / 1000000000); /* and hardly long */
        }
    }
}

static void test_spin_waits_for_that_time(void **state)
{
    (void)state;
    assert_int_equal(start_clock(), OK);
    for (uint64_t ns = 0; ns <= 1000000; ns = ns * 10 + 1) {
        uint64_t before = now_ps;
        clock_spin_ns(ns);
        assert_true((now_ps - before) * 1001 / 1000 >= ns * 1000);
        assert_true(now_ps - before <= ns * 1001 + 10000);
    }
}

static void test_lag_of_one_cpu_is_none_and_of_one_behind_is_found(void **state)
{
    (void)state;
    assert_int_equal(clock_measure_lag(100), 0);
    uint64_t ahead = now_ps;
    now_ps -= 5 * PS_PER_US; /* as another CPU, whose counter was started later */
    uint64_t lag = clock_measure_lag(3);
    assert_true(lag <= tsc_at(ahead) - tsc_at(ahead - 5 * PS_PER_US) + 1);
    assert_true(lag >= tsc_at(ahead) - tsc_at(ahead - 4 * PS_PER_US));
    now_ps = ahead;
    assert_int_equal(clock_measure_lag(3), 0);
    assert_int_equal(clock_measure_lag(0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_multiply_divide_is_exact, start),
        cmocka_unit_test_setup(test_init_before_the_clock_stands, start),
        cmocka_unit_test_setup(test_init_without_counter_is_refused, start),
        cmocka_unit_test_setup(test_init_by_cpuid_is_exact_and_takes_no_time, start),
        cmocka_unit_test_setup(test_init_by_hpet_is_as_good_as_it_says, start),
        cmocka_unit_test_setup(test_init_crystal_unknown_is_measured, start),
        cmocka_unit_test_setup(test_init_slow_reads_end_in_time_with_a_wider_bound, start),
        cmocka_unit_test_setup(test_init_interruptions_do_not_count, start),
        cmocka_unit_test_setup(test_init_without_hpet_takes_the_pit, start),
        cmocka_unit_test_setup(test_init_pit_that_overran_is_started_again, start),
        cmocka_unit_test_setup(test_init_nominal_frequency_comes_last, start),
        cmocka_unit_test_setup(test_init_impossible_frequency_is_refused, start),
        cmocka_unit_test_setup(test_scale_goes_there_and_back, start),
        cmocka_unit_test_setup(test_spin_waits_for_that_time, start),
        cmocka_unit_test_setup(test_lag_of_one_cpu_is_none_and_of_one_behind_is_found, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
