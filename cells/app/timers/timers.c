/* SPDX-License-Identifier: MIT */
/*
 * timers - prints which clock, timer and interrupt controllers this machine has, and tries them:
 * the clock goes on, the timer's interrupt comes when it should, and so does one that this CPU
 * sends to itself, and one of the serial line; what takes too long is ended by it. Where somebody
 * else has brought up the timer, all that is his: then it is only printed. The lines `figure NAME
 * VALUE` are what an operation costs in ticks, as bench has them: instructions, in an emulator
 * that counts these.
 */
#include "apic_timer.h"
#include "application.h"
#include "catch.h"
#include "clock.h"
#include "console.h"
#include "hpet.h"
#include "interrupts.h"
#include "io_apic.h"
#include "ipi.h"
#include "local_apic.h"
#include "pic.h"
#include "port_io.h"
#include "preemption.h"
#include "time_limit.h"
#include "x86.h"

CELL(application, "1.0.0");

APPLICATION(timers);

#define ROUNDS     1000u
#define LAG_ROUNDS 1000u
#define SHOT_NS    50000u
#define LATE_NS    100000000u  /* an emulator may be stopped for so long */
#define WAIT_NS    1000000000u /* and not for so long */

/* The frequency of the timer is known to some parts per thousand. */
#define EARLY_NS (SHOT_NS / 100)

/* The first serial line (16550 data sheet): an interrupt as soon as the transmitter is empty. */
#define SERIAL_IRQ       4u
#define SERIAL_ENABLE    0x3f9
#define SERIAL_EMPTY     0x02
#define SERIAL_IDENTIFY  0x3fa
#define SERIAL_CONTROL   0x3fc
#define SERIAL_CONNECTED 0x08 /* "OUT2": on a PC, connects the interrupt */

/* When an interrupt came; 0: not yet. */
static void note_time(void *context)
{
    __atomic_store_n((uint64_t *)context, clock_now_ns(), __ATOMIC_RELAXED);
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
    struct io_apic_description lines;
    for (unsigned i = 0; io_apic_describe(i, &lines) == OK; i++) {
        console_print("timers: IO APIC %u: version %#x, lines %u to %u, %u routed\n", i,
                      (unsigned)lines.version, (unsigned)lines.gsi_base,
                      (unsigned)(lines.gsi_base + lines.line_count - 1), (unsigned)lines.routed);
    }
    console_print("timers: timer: %s, %lu Hz, %s\n", timer.is_deadline ? "TSC deadline" : "count",
                  (unsigned long)timer.hz, timer.is_measured ? "measured" : "stated");
}

/* Lets interrupts in until one has come; returns how long it took since `start`, or 0. */
static uint64_t wait_for(const uint64_t *time, uint64_t start)
{
    enable_interrupts();
    while (!__atomic_load_n(time, __ATOMIC_RELAXED) && clock_now_ns() - start < WAIT_NS) {
        cpu_relax();
    }
    disable_interrupts();
    return *time ? *time - start : 0;
}

static enum status try_timer(const uint64_t *time)
{
    uint64_t start = clock_now_ns();
    apic_timer_set_ns(SHOT_NS);
    uint64_t took = wait_for(time, start);
    console_print("timers: a shot of %u ns came after %lu ns\n", SHOT_NS, (unsigned long)took);
    return took >= SHOT_NS - EARLY_NS && took < SHOT_NS + LATE_NS ? OK : ERR_FAILED;
}

static enum status try_ipi(uint64_t *time, unsigned vector)
{
    *time = 0;
    uint64_t start = clock_now_ns();
    enum status status = ipi_send(local_apic_id(), (uint8_t)vector);
    if (status != OK) {
        return status;
    }
    uint64_t took = wait_for(time, start);
    console_print("timers: an interrupt to this CPU came after %lu ns; errors %#x\n",
                  (unsigned long)took, local_apic_take_errors());
    return took ? OK : ERR_FAILED;
}

/* Has the serial line interrupt; returns how long that took, or 0. */
static uint64_t provoke_serial(uint64_t *time)
{
    *time = 0;
    uint64_t start = clock_now_ns();
    uint8_t control = port_read8(SERIAL_CONTROL);
    port_write8(SERIAL_CONTROL, control | SERIAL_CONNECTED);
    port_write8(SERIAL_ENABLE, SERIAL_EMPTY);
    uint64_t took = wait_for(time, start);
    port_write8(SERIAL_ENABLE, 0);
    (void)port_read8(SERIAL_IDENTIFY); /* nothing stays */
    port_write8(SERIAL_CONTROL, control);
    return took;
}

/* Its interrupt comes, and a second owner is refused. */
static enum status try_line(uint64_t *time, unsigned vector)
{
    OWNED(io_apic_line, line);
    OWNED(io_apic_line, second);
    enum status status =
        io_apic_route_isa(SERIAL_IRQ, (uint8_t)vector, local_apic_id(), SLOT(line));
    if (status != OK) {
        return status;
    }
    if (io_apic_route_isa(SERIAL_IRQ, (uint8_t)vector, local_apic_id(), SLOT(second)) != ERR_BUSY) {
        return ERR_FAILED;
    }
    uint32_t gsi = io_apic_line_gsi(REF(line));
    io_apic_line_unmask(REF(line));
    uint64_t took = provoke_serial(time);
    console_print("timers: the serial line, at %u, interrupted after %lu ns\n", (unsigned)gsi,
                  (unsigned long)took);
    return took ? OK : ERR_FAILED;
}

/* No interrupt comes after it was stopped. */
static enum status try_stop(uint64_t *time)
{
    *time = 0;
    apic_timer_set_ns(WAIT_NS);
    apic_timer_stop();
    enable_interrupts();
    clock_spin_ns(2 * SHOT_NS);
    disable_interrupts();
    return *time ? ERR_FAILED : OK;
}

/* ---- what it costs ---- */

/* Ticks of ROUNDS rounds; inlined, so that `work` is no call. */
static inline __attribute__((always_inline)) uint64_t time_rounds(void (*work)(void))
{
    uint64_t start = read_tsc();
    for (unsigned i = 0; i < ROUNDS; i++) {
        work();
        COMPILER_BARRIER();
    }
    return read_tsc() - start;
}

static inline void do_nothing(void)
{
}

static inline void read_clock(void)
{
    uint64_t now = clock_now_ns();
    __asm__ volatile("" : : "r"(now));
}

static inline void set_timer(void)
{
    apic_timer_set_ns(WAIT_NS);
}

/* With one decimal, the loop not counted. */
static void say(const char *name, uint64_t ticks, uint64_t loop)
{
    uint64_t tenths = ticks > loop ? (ticks - loop) * 10 / ROUNDS : 0;
    console_print("figure %s %lu.%lu\n", name, (unsigned long)(tenths / 10),
                  (unsigned long)(tenths % 10));
}

static void measure(void)
{
    uint64_t loop = time_rounds(do_nothing);
    say("clock_now", time_rounds(read_clock), loop);
    say("timer_set", time_rounds(set_timer), loop);
    apic_timer_stop();
    say("interrupt_end", time_rounds(local_apic_end_of_interrupt), loop);
}

/* ---- a limit in time ---- */

static void never_end(void *argument)
{
    while (!__atomic_load_n((bool *)argument, __ATOMIC_RELAXED)) {
        cpu_relax();
    }
}

/* By the timer, whose vector is the handler's again afterwards. */
static enum status try_limit(uint64_t *time)
{
    bool ends = false;
    *time = 0;
    uint64_t start;
    enum status status = catch_enable();
    if (status != OK) {
        return status;
    }
    {
        GUARD(interrupt_mask, masked, INTERRUPTS);
        OWNED(time_limit, limit);
        status = time_limit_begin(SLOT(limit));
        if (status != OK) {
            return status;
        }
        start = clock_now_ns();
        status = time_limit_call(REF(limit), never_end, &ends, SHOT_NS);
    }
    uint64_t after = clock_now_ns() - start;
    console_print("timers: a call that never ends was ended after %lu ns: %s\n",
                  (unsigned long)after, status == ERR_TIMEOUT ? "OK" : "FAILED");
    if (status != ERR_TIMEOUT || after < SHOT_NS - EARLY_NS) {
        return ERR_FAILED;
    }
    if (!wait_for(time, start)) { /* the timer's own user is interrupted at once, */
        return ERR_FAILED;
    }
    *time = 0;
    return try_timer(time); /* and as before from then on */
}

/* ---- bringing it up ---- */

static enum status bring_up(unsigned vector)
{
    pic_disable();
    enum status status = local_apic_init_cpu();
    if (status == OK) {
        apic_timer_prepare();
        status = clock_init();
    }
    if (status == OK) {
        status = io_apic_init();
    }
    return status == OK ? apic_timer_init_cpu((uint8_t)vector) : status;
}

static enum status try_all(uint64_t *time, unsigned vector)
{
    enum status status = try_timer(time);
    if (status == OK) {
        status = try_ipi(time, vector);
    }
    if (status == OK) {
        status = try_line(time, vector);
    }
    if (status == OK) {
        status = try_limit(time);
    }
    return status == OK ? try_stop(time) : status;
}

static void print_all(void)
{
    print_clock();
    print_controller();
}

/* On a CPU that nobody has brought up but this application. */
static enum status bring_up_and_try(void)
{
    uint64_t time = 0;
    interrupts_init();
    OWNED(interrupt, handler);
    enum status status = interrupt_register_any("timers", note_time, &time, SLOT(handler));
    if (status != OK) {
        return status;
    }
    status = bring_up(interrupt_vector(REF(handler)));
    if (status != OK) {
        return status;
    }
    print_all();
    if (clock_measure_lag(LAG_ROUNDS) != 0) {
        console_print("timers: the clock went back\n");
        return ERR_FAILED;
    }
    measure();
    return try_all(&time, interrupt_vector(REF(handler)));
}

enum status timers_main(const struct app_arguments *arguments)
{
    (void)arguments;
    if (!apic_timer_describe().hz) {
        return bring_up_and_try();
    }
    print_all();
    return OK;
}
