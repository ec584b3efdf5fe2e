/* SPDX-License-Identifier: MIT */
#include "apic_timer.h"

CELL(driver, "1.0.0");

/* SDM vol. 2, "CPUID". */
#define LEAF_FEATURES         1u
#define FEATURES_ECX_DEADLINE (1u << 24)
#define LEAF_TSC              0x15u /* ecx: Hz of the crystal, which the timer counts (SDM) */

/* SDM, "Local Vector Table": bits 17 and 18. */
#define MODE_ONE_SHOT (0u << 17)
#define MODE_DEADLINE (2u << 17)
#define DIVIDE_BY_1   0xbu /* SDM, "Divide Configuration Register" */
#define VECTOR_MIN    32

#define NS_PER_S    1000000000ull
#define HZ_MAX      UINT32_MAX /* its product with 2^32 fits */
#define COUNT_START UINT32_MAX
#define READS       4u /* the best of these is a sample: in others something may have come in between */

/* At HZ_MAX it has not reached 0 before this. */
#define COUNT_NS_MAX NS_PER_S

/* The counter, and the time stamp counter in the middle of reading it. */
struct sample {
    uint64_t tsc;
    uint32_t count;
};

struct apic_timer_scale apic_timer_scale;
static struct apic_timer_description description;
static struct sample prepared; /* tsc 0: it was not */

static struct sample take_sample(void)
{
    struct sample best = {0};
    uint64_t best_width = UINT64_MAX;
    for (unsigned i = 0; i < READS; i++) {
        uint64_t before = read_tsc();
        uint32_t count = local_apic_read(LOCAL_APIC_TIMER_CURRENT);
        uint64_t width = read_tsc() - before;
        if (width < best_width) {
            best = (struct sample){.tsc = before + width / 2, .count = count};
            best_width = width;
        }
    }
    return best;
}

static void start_counting(void)
{
    local_apic_write(LOCAL_APIC_LVT_TIMER, LOCAL_APIC_LVT_MASKED | MODE_ONE_SHOT);
    local_apic_write(LOCAL_APIC_TIMER_DIVIDE, DIVIDE_BY_1);
    local_apic_write(LOCAL_APIC_TIMER_INITIAL, COUNT_START);
}

void apic_timer_prepare(void)
{
    start_counting();
    prepared = take_sample();
}

/* 0 when the timer does not count. */
static uint64_t measure_hz(void)
{
    uint64_t window = clock_ticks_of(APIC_TIMER_WINDOW_NS);
    struct sample first = prepared;
    if (!first.tsc || clock_ns_of(read_tsc() - first.tsc) > COUNT_NS_MAX) {
        start_counting();
        first = take_sample();
    }
    while (read_tsc() - first.tsc < window) {
        cpu_relax();
    }
    struct sample last = take_sample();
    uint64_t ns = clock_ns_of(last.tsc - first.tsc);
    return last.count ? (uint64_t)(first.count - last.count) * NS_PER_S / ns : 0;
}

static uint64_t ask_cpu_for_crystal(void)
{
    return cpuid(0, 0).eax >= LEAF_TSC ? cpuid(LEAF_TSC, 0).ecx : 0;
}

static enum status choose_kind(void)
{
    struct apic_timer_description found = {0};
    if (cpuid(LEAF_FEATURES, 0).ecx & FEATURES_ECX_DEADLINE) {
        found.is_deadline = true;
        found.hz = clock_describe().hz;
    } else {
        found.hz = ask_cpu_for_crystal();
        found.is_measured = found.hz == 0;
        if (found.is_measured) {
            found.hz = measure_hz();
        }
        if (!found.hz || found.hz > HZ_MAX) {
            return ERR_IO;
        }
        apic_timer_scale.count_multiplier =
            (found.hz << CLOCK_INVERSE_SHIFT) / NS_PER_S + 1; /* up */
    }
    apic_timer_scale.is_deadline = found.is_deadline;
    description = found;
    return OK;
}

enum status apic_timer_init_cpu(uint8_t vector)
{
    if (vector < VECTOR_MIN) {
        return ERR_INVALID_ARGUMENT;
    }
    if (!clock_multiplier) {
        return ERR_STATE;
    }
    if (!description.hz) {
        enum status status = choose_kind();
        if (status != OK) {
            return status;
        }
    }
    apic_timer_stop();
    local_apic_write(LOCAL_APIC_TIMER_DIVIDE, DIVIDE_BY_1);
    local_apic_write(LOCAL_APIC_LVT_TIMER,
                     vector | (description.is_deadline ? MODE_DEADLINE : MODE_ONE_SHOT));
    serialize_memory(); /* SDM, "TSC-Deadline Mode": the mode is set before a deadline is */
    return OK;
}

void apic_timer_stop(void)
{
    if (apic_timer_scale.is_deadline) {
        write_msr(MSR_TSC_DEADLINE, 0);
    } else {
        local_apic_write(LOCAL_APIC_TIMER_INITIAL, 0);
    }
}

struct apic_timer_description apic_timer_describe(void)
{
    return description;
}
