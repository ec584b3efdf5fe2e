/* SPDX-License-Identifier: MIT */
/*
 * Time and the timer are made up: nanoseconds that every access moves on, a counter that counts
 * down with them, and a deadline. The cell chooses its kind for good: each case is a process of its
 * own.
 */
#include "apic_timer.h"
#include "own_process.h"

#define TSC_HZ   2000000000ull
#define NS_PER_S 1000000000ull

uint64_t clock_multiplier;
uint64_t clock_inverse;
volatile uint32_t *local_apic_registers;

static volatile uint32_t memory[0x400 / 4];
static uint64_t now_ns = 5000000000;
static uint32_t features_ecx;
static uint32_t crystal_hz;
static uint64_t timer_hz = 62500000;
static uint32_t initial;
static uint64_t initial_ns; /* when it was set */
static uint32_t divide;
static uint32_t lvt;
static uint64_t deadline;
static unsigned reads;
static unsigned stop_at; /* the read at which the machine is stopped for 3 ms */

uint64_t simulated_tsc(void)
{
    now_ns += 5;
    return now_ns * (TSC_HZ / NS_PER_S);
}

static void start_clock(void)
{
    clock_multiplier = (1ull << CLOCK_SHIFT) / (TSC_HZ / NS_PER_S);
    clock_inverse = (TSC_HZ / NS_PER_S) << CLOCK_INVERSE_SHIFT;
}

struct clock_description clock_describe(void)
{
    return (struct clock_description){.hz = TSC_HZ};
}

struct x86_cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
    (void)subleaf;
    assert_true(leaf == 0 || leaf == 1 || leaf == 0x15);
    return leaf == 0   ? (struct x86_cpuid){.eax = 0x16}
           : leaf == 1 ? (struct x86_cpuid){.ecx = features_ecx}
                       : (struct x86_cpuid){.ecx = crystal_hz};
}

uint32_t local_apic_read(enum local_apic_register which)
{
    assert_int_equal(which, 0x390);
    now_ns += 40;
    if (++reads == stop_at) {
        now_ns += 3000000;
    }
    uint64_t gone = (now_ns - initial_ns) * timer_hz / NS_PER_S;
    uint32_t count = divide == 0xb && gone < initial ? (uint32_t)(initial - gone) : 0;
    now_ns += reads == stop_at ? 0 : 40;
    return count;
}

static void set_count(uint32_t value)
{
    initial = value;
    initial_ns = now_ns;
}

void local_apic_write(enum local_apic_register which, uint32_t value)
{
    now_ns += 40;
    switch ((unsigned)which) {
    case 0x320:
        lvt = value;
        break;
    case 0x380:
        set_count(value);
        break;
    case 0x3e0:
        divide = value;
        break;
    default:
        fail();
    }
}

void write_msr(uint32_t msr, uint64_t value)
{
    if (msr == 0x6e0) {
        deadline = value;
    } else {
        assert_int_equal(msr, 0x838);
        assert_int_equal(value >> 32, 0);
        set_count((uint32_t)value);
    }
}

uint64_t read_msr(uint32_t msr)
{
    (void)msr;
    fail();
    return 0;
}

static void assert_near(uint64_t value, uint64_t expected)
{
    assert_in_range(value, expected - expected / 500, expected + expected / 500);
}

static void wrong_use_is_refused(void)
{
    assert_int_equal(apic_timer_init_cpu(0x40), ERR_STATE); /* the clock does not run */
    start_clock();
    assert_int_equal(apic_timer_init_cpu(31), ERR_INVALID_ARGUMENT);
    timer_hz = 0; /* it does not count */
    assert_int_equal(apic_timer_init_cpu(0x40), ERR_IO);
    assert_int_equal(apic_timer_describe().hz, 0);
    timer_hz = 5000000000; /* it is at 0 before it is looked at again */
    assert_int_equal(apic_timer_init_cpu(0x40), ERR_IO);
}

static void counter_is_measured(void)
{
    start_clock();
    uint64_t before = now_ns;
    assert_int_equal(apic_timer_init_cpu(0x40), OK);
    assert_true(now_ns - before < 2 * APIC_TIMER_WINDOW_NS);
    struct apic_timer_description timer = apic_timer_describe();
    assert_false(timer.is_deadline);
    assert_true(timer.is_measured);
    assert_near(timer.hz, timer_hz);
    assert_int_equal(lvt, 0x40); /* one shot, not masked */
    assert_int_equal(divide, 0xb);
    assert_int_equal(initial, 0); /* stopped */
    before = now_ns;
    assert_int_equal(apic_timer_init_cpu(0x41), OK); /* another CPU: no measurement */
    assert_true(now_ns - before < 1000);
    assert_int_equal(lvt, 0x41);
}

static void counter_that_was_prepared_takes_no_time(void)
{
    apic_timer_prepare();
    assert_int_equal(lvt & 0x10000, 0x10000);
    start_clock();
    now_ns += 4000000; /* what clock_init() takes */
    uint64_t before = now_ns;
    assert_int_equal(apic_timer_init_cpu(0x40), OK);
    assert_true(now_ns - before < 5000);
    assert_near(apic_timer_describe().hz, timer_hz);
}

static void counter_that_was_prepared_too_long_ago_is_measured(void)
{
    apic_timer_prepare();
    start_clock();
    now_ns += 2 * NS_PER_S;
    assert_int_equal(apic_timer_init_cpu(0x40), OK);
    assert_near(apic_timer_describe().hz, timer_hz);
}

static void machine_that_stops_while_measuring_does_no_harm(void)
{
    stop_at = 1; /* in the first sample */
    apic_timer_prepare();
    start_clock();
    stop_at = reads + 2; /* in the last one */
    assert_int_equal(apic_timer_init_cpu(0x40), OK);
    assert_true(reads > stop_at);
    assert_near(apic_timer_describe().hz, timer_hz);
}

static void crystal_is_believed(void)
{
    start_clock();
    crystal_hz = 24000000;
    uint64_t before = now_ns;
    assert_int_equal(apic_timer_init_cpu(0x40), OK);
    assert_true(now_ns - before < 1000);
    assert_int_equal(apic_timer_describe().hz, 24000000);
    assert_false(apic_timer_describe().is_measured);
}

/* Rounded up, by little; clamped; never 0, which would stop it. */
static void check_counts(uint64_t hz)
{
    const uint64_t times[] = {0, 1, 41, 1000, 1000000, 3000000000, 100000000000, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(times); i++) {
        apic_timer_set_ns(times[i]);
        uint64_t count = local_apic_registers ? memory[0x380 / 4] : initial;
        unsigned __int128 exact = (unsigned __int128)times[i] * hz / NS_PER_S;
        if (exact > UINT32_MAX) {
            assert_int_equal(count, UINT32_MAX);
        } else {
            assert_in_range(count, exact + 1, exact + 2 + exact / 1000000);
        }
    }
}

static void counts_by_memory(void)
{
    start_clock();
    crystal_hz = 24000000;
    local_apic_registers = memory;
    assert_int_equal(apic_timer_init_cpu(0x40), OK);
    check_counts(24000000);
    apic_timer_stop();
    assert_int_equal(initial, 0);
}

static void counts_by_msr(void)
{
    start_clock();
    crystal_hz = 38400000;
    assert_int_equal(apic_timer_init_cpu(0x40), OK);
    check_counts(38400000);
}

static void deadline_is_set(void)
{
    start_clock();
    features_ecx = 1u << 24;
    deadline = 1;
    assert_int_equal(apic_timer_init_cpu(0x40), OK);
    assert_int_equal(deadline, 0);
    assert_int_equal(lvt, 0x40040);
    assert_true(apic_timer_describe().is_deadline);
    assert_int_equal(apic_timer_describe().hz, TSC_HZ);
    uint64_t before = now_ns;
    apic_timer_set_ns(1000000);
    assert_in_range(deadline, (before + 1000000) * 2, (before + 1000000) * 2 + 20);
    apic_timer_set_ns(0);
    assert_in_range(deadline, now_ns * 2, now_ns * 2 + 2); /* past at once, but not 0 */
    apic_timer_stop();
    assert_int_equal(deadline, 0);
}

static const own_process_case_t cases[] = {
    wrong_use_is_refused,
    counter_is_measured,
    counter_that_was_prepared_takes_no_time,
    counter_that_was_prepared_too_long_ago_is_measured,
    machine_that_stops_while_measuring_does_no_harm,
    crystal_is_believed,
    counts_by_memory,
    counts_by_msr,
    deadline_is_set,
};

int main(void)
{
    return own_process_run_all("apic_timer", cases, ARRAY_COUNT(cases));
}
