/* SPDX-License-Identifier: MIT */
#include "clock.h"
#include "clock_priv.h"
#include "hpet.h"
#include "logger.h"
#include "pit.h"

CELL(library, "1.0.0");

#define NS_PER_S 1000000000ull

/* SDM vol. 2, "CPUID". */
#define LEAF_FEATURES       1u
#define FEATURES_EDX_TSC    (1u << 4)
#define LEAF_TSC            0x15u /* eax, ebx: ratio of counter and crystal; ecx: Hz of the crystal */
#define LEAF_FREQUENCY      0x16u /* eax: base frequency in MHz */
#define FREQUENCY_EAX_MASK  0xffffu
#define LEAF_EXTENDED       0x80000000u
#define LEAF_POWER          0x80000007u
#define POWER_EDX_INVARIANT (1u << 8)
#define HZ_PER_MHZ          1000000ull
#define PIT_OVERRUN_TRIES   5u /* a virtual machine may be stopped for longer than the timer counts */

uint64_t clock_multiplier;
uint64_t clock_inverse;
static struct clock_description description;
static uint64_t latest_seen; /* by clock_measure_lag(), on any CPU */

/* ---- what CPUID says ---- */

static bool has_leaf(uint32_t leaf)
{
    return cpuid(leaf & LEAF_EXTENDED, 0).eax >= leaf;
}

static bool has_counter(void)
{
    return has_leaf(LEAF_FEATURES) && cpuid(LEAF_FEATURES, 0).edx & FEATURES_EDX_TSC;
}

static bool is_invariant(void)
{
    return has_leaf(LEAF_POWER) && cpuid(LEAF_POWER, 0).edx & POWER_EDX_INVARIANT;
}

static enum status ask_cpu(struct clock_measurement *out)
{
    if (!has_leaf(LEAF_TSC)) {
        return ERR_NO_DEVICE;
    }
    struct x86_cpuid answer = cpuid(LEAF_TSC, 0);
    if (!answer.eax || !answer.ebx || !answer.ecx) {
        return ERR_NO_DEVICE;
    }
    *out =
        (struct clock_measurement){.hz = clock_multiply_divide(answer.ecx, answer.ebx, answer.eax)};
    return OK;
}

static enum status ask_cpu_for_nominal(struct clock_measurement *out)
{
    uint32_t mhz = has_leaf(LEAF_FREQUENCY) ? cpuid(LEAF_FREQUENCY, 0).eax & FREQUENCY_EAX_MASK : 0;
    *out = (struct clock_measurement){.hz = mhz * HZ_PER_MHZ};
    return mhz ? OK : ERR_NO_DEVICE;
}

/* ---- what can be measured ---- */

static enum status read_hpet(uint64_t *out)
{
    *out = hpet_read();
    return OK;
}

static enum status measure_by_hpet(struct clock_measurement *out)
{
    struct hpet_description hpet;
    enum status status = hpet_init();
    if (status == OK) {
        status = hpet_describe(&hpet);
    }
    if (status != OK) {
        return status;
    }
    struct clock_reference reference = {
        .period_fs = hpet.period_fs, .mask = hpet.counter_mask, .read = read_hpet};
    return clock_calibrate(&reference, out);
}

static enum status read_pit(uint64_t *out)
{
    uint16_t ticks = 0;
    enum status status = pit_read(&ticks);
    *out = ticks;
    return status;
}

static enum status measure_by_pit(struct clock_measurement *out)
{
    const struct clock_reference reference = {
        .period_fs = PIT_PERIOD_FS, .mask = UINT16_MAX, .read = read_pit};
    enum status status = ERR_OVERFLOW;
    for (unsigned i = 0; i < PIT_OVERRUN_TRIES && status == ERR_OVERFLOW; i++) {
        pit_start();
        status = clock_calibrate(&reference, out);
    }
    return status;
}

/* ---- the choice ---- */

static const struct {
    enum clock_source source;
    enum status (*find)(struct clock_measurement *out);
} sources[] = {
    /* the best first */
    {CLOCK_CPUID, ask_cpu},
    {CLOCK_HPET, measure_by_hpet},
    {CLOCK_PIT, measure_by_pit},
    {CLOCK_NOMINAL, ask_cpu_for_nominal},
};

static enum status find_frequency(struct clock_measurement *out, enum clock_source *out_source)
{
    enum status status = ERR_NO_DEVICE;
    for (size_t i = 0; i < ARRAY_COUNT(sources); i++) {
        status = sources[i].find(out);
        if (status == OK) {
            *out_source = sources[i].source;
            break;
        }
        log_debug("no frequency by %s: %s", clock_source_name(sources[i].source),
                  status_text(status));
    }
    return status;
}

enum status clock_init(void)
{
    if (clock_multiplier) {
        return OK;
    }
    if (!has_counter()) {
        return ERR_NO_DEVICE;
    }
    struct clock_measurement found = {0};
    enum clock_source source = CLOCK_NONE;
    enum status status = find_frequency(&found, &source);
    if (status != OK) {
        return status;
    }
    if (found.hz < CLOCK_HZ_MIN || found.hz > CLOCK_HZ_MAX) {
        log_error("the time stamp counter cannot run at %llu Hz, as %s has it",
                  (unsigned long long)found.hz, clock_source_name(source));
        return ERR_OUT_OF_BOUNDS;
    }
    description = (struct clock_description){
        .source = source,
        .invariant = is_invariant(),
        .hz = found.hz,
        .error_ppm = found.error_ppm,
        .calibration_ns = found.ns,
    };
    clock_inverse =
        clock_multiply_divide(found.hz, 1ull << CLOCK_INVERSE_SHIFT, NS_PER_S) + 1; /* up */
    clock_multiplier = clock_multiply_divide(NS_PER_S, 1ull << CLOCK_SHIFT, found.hz);
    return OK;
}

void clock_spin_ns(uint64_t ns)
{
    uint64_t start = read_tsc();
    uint64_t ticks = clock_multiplier ? clock_ticks_of(ns) : 0;
    while (read_tsc() - start < ticks) {
        cpu_relax();
    }
}

uint64_t clock_measure_lag(unsigned rounds)
{
    uint64_t lag = 0;
    while (rounds-- > 0) {
        /* Acquire pairs with the release below: our counter is read after theirs was. */
        uint64_t seen = __atomic_load_n(&latest_seen, __ATOMIC_ACQUIRE);
        serialize_memory();
        uint64_t now = read_tsc();
        if (now < seen) {
            lag = seen - now > lag ? seen - now : lag;
            continue;
        }
        (void)__atomic_compare_exchange_n(&latest_seen, &seen, now, false, __ATOMIC_RELEASE,
                                          __ATOMIC_RELAXED); /* another CPU's will do as well */
    }
    return lag;
}

struct clock_description clock_describe(void)
{
    return description;
}

const char *clock_source_name(enum clock_source source)
{
    static const char *const names[] = {"none", "CPUID", "HPET", "PIT", "nominal"};
    return (size_t)source < ARRAY_COUNT(names) ? names[source] : "none";
}
