/* SPDX-License-Identifier: MIT */
/*
 * timers - prints which clock, interrupt controller and timer this CPU has, and tries them: the clock
 * goes on, the timer's interrupt comes when it should, and another one that this CPU sends to itself.
 *
 * Interrupts stay disabled: whether one has come is read in the controller, where it waits.
 */
#include "apic_timer.h"
#include "application.h"
#include "clock.h"
#include "console.h"
#include "hpet.h"
#include "ipi.h"
#include "local_apic.h"
#include "pic.h"

CELL(application, "1.0.0");

APPLICATION(timers);

#define TIMER_VECTOR    0x40
#define IPI_TEST_VECTOR 0x51
#define LAG_ROUNDS      1000u
#define SHOT_NS         50000u
#define LATE_NS         20000000u /* an emulator may be stopped for so long */
#define WAIT_NS         1000000000u

/* SDM vol. 3, "Interrupt Request Register": as the in-service registers, behind them. */
#define REQUESTED(vector) (0x200 + (vector) / 32 * 0x10)

static bool is_requested(unsigned vector)
{
    return local_apic_read(REQUESTED(vector)) >> vector % 32 & 1;
}

static void print_clock(void)
{
    struct clock_description clock = clock_describe();
    struct hpet_description hpet;
    console_print("timers: clock: %lu Hz by %s, good to %u ppm, measured in %lu ns, %sinvariant\n",
                  (unsigned long)clock.hz, clock_source_name(clock.source),
                  (unsigned)clock.error_ppm, (unsigned long)clock.calibration_ns,
                  clock.invariant ? "" : "not ");
    if (hpet_init() == OK && hpet_describe(&hpet) == OK) {
        console_print("timers: HPET: vendor %#x, %u timers, a tick is %u fs, %u bits\n",
                      (unsigned)hpet.vendor, (unsigned)hpet.timers, (unsigned)hpet.period_fs,
                      hpet.counter_mask == UINT64_MAX ? 64u : 32u);
    } else {
        console_print("timers: HPET: none\n");
    }
}

static void print_controller(void)
{
    struct local_apic_description apic = local_apic_describe();
    struct apic_timer_description timer = apic_timer_describe();
    console_print("timers: local APIC %u: %s, version %#x, %u local vectors\n", local_apic_id(),
                  apic.is_x2apic ? "x2APIC" : "xAPIC", (unsigned)apic.version,
                  (unsigned)apic.lvt_count);
    console_print("timers: timer: %s, %lu Hz, %s\n", timer.is_deadline ? "TSC deadline" : "count",
                  (unsigned long)timer.hz, timer.is_measured ? "measured" : "stated");
}

/* Waits for `vector` and returns how long, or 0 when it does not come. */
static uint64_t wait_for(unsigned vector, uint64_t start)
{
    uint64_t now = start;
    while (!is_requested(vector) && now - start < WAIT_NS) {
        now = clock_now_ns();
    }
    return is_requested(vector) ? clock_now_ns() - start : 0;
}

static enum status try_timer(void)
{
    uint64_t start = clock_now_ns();
    apic_timer_set_ns(SHOT_NS);
    uint64_t took = wait_for(TIMER_VECTOR, start);
    console_print("timers: a shot of %u ns came after %lu ns\n", SHOT_NS, (unsigned long)took);
    return took >= SHOT_NS && took < SHOT_NS + LATE_NS ? OK : ERR_FAILED;
}

static enum status try_ipi(void)
{
    enum status status = ipi_send(local_apic_id(), IPI_TEST_VECTOR);
    if (status != OK) {
        return status;
    }
    uint64_t took = wait_for(IPI_TEST_VECTOR, clock_now_ns());
    console_print("timers: an interrupt to this CPU came after %lu ns; errors %#x\n",
                  (unsigned long)took, local_apic_take_errors());
    return took ? OK : ERR_FAILED;
}

static enum status bring_up(void)
{
    pic_disable();
    enum status status = local_apic_init_cpu();
    if (status == OK) {
        apic_timer_prepare();
        status = clock_init();
    }
    return status == OK ? apic_timer_init_cpu(TIMER_VECTOR) : status;
}

enum status timers_main(const struct app_arguments *arguments)
{
    (void)arguments;
    enum status status = bring_up();
    if (status != OK) {
        return status;
    }
    print_clock();
    print_controller();
    if (clock_measure_lag(LAG_ROUNDS) != 0) {
        console_print("timers: the clock went back\n");
        return ERR_FAILED;
    }
    status = try_timer();
    return status == OK ? try_ipi() : status;
}
