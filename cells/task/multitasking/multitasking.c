/* SPDX-License-Identifier: MIT */
#include "multitasking.h"

#include "apic_timer.h"
#include "catch.h"
#include "clock.h"
#include "dispatcher.h"
#include "fpu.h"
#include "interrupts.h"
#include "ipi.h"
#include "local_apic.h"
#include "logger.h"
#include "processors.h"
#include "remote_call.h"

CELL(library, "1.0.0");

#define CPU_LIMIT_NS \
    5000000000ull /* in which a CPU that runs comes; virtual ones wait for real ones */

static struct interrupt *timer_interrupt; /* owned, for good, these two */
static struct interrupt *wake_interrupt;
static uint32_t apic_ids[DISPATCHER_CPUS]; /* by index of the CPU */
static uint64_t start_time;

static uint64_t get_time(void)
{
    return clock_now_ns() - start_time;
}

static void set_timer(uint64_t deadline)
{
    uint64_t time = get_time();
    apic_timer_set_ns(deadline > time ? deadline - time : 1);
}

static void wake(uint32_t cpu)
{
    enum status status = ipi_send(apic_ids[cpu], MULTITASKING_VECTOR_WAKE);
    if (status != OK) {
        log_error("CPU %u cannot be woken: %s", (unsigned)cpu, status_text(status));
    }
}

static const struct dispatcher_hardware hardware = {get_time, set_timer, wake};

static void on_timer(void *unused)
{
    (void)unused;
    dispatcher_timer_interrupt();
}

static void on_wake(void *unused)
{
    (void)unused;
    dispatcher_wake_interrupt();
}

static bool has_vectors;

static void start_vectors(void)
{
    enum status status = fpu_init();
    if (status != OK) {
        log_error("no vector registers: %s", status_text(status));
        return;
    }
    dispatcher_set_vectors(fpu_switch);
    fpu_init_cpu();
    has_vectors = true;
}

/* ---- idle tasks that fault ---- */

static_assert(CATCH_BASE_SIZE <= DISPATCHER_BASE_ROOM, "there is room for a base");

static void let_idle_go_on(void *unused, enum status status, const struct catch_reason *reason)
{
    static uint32_t told; /* by all CPUs; atomically */
    (void)unused;
    (void)status;
    if (__atomic_fetch_add(&told, 1, __ATOMIC_RELAXED) < DISPATCHER_IDLE_FAULTS_MAX) {
        log_error("the idle task of CPU %u has failed; %lu resources released; it begins anew",
                  (unsigned)CPU_LOCAL(index), (unsigned long)reason->released);
        catch_log_losses("idle task", reason);
    }
    dispatcher_idle_again();
}

static uint64_t lay_base(uint64_t top, struct own_slot **out_top)
{
    return catch_base(top, let_idle_go_on, NULL, out_top);
}

/* ---- start ---- */

static enum status register_interrupts(void)
{
    OWNED(interrupt, timer);
    OWNED(interrupt, wake_up);
    enum status status =
        interrupt_register(MULTITASKING_VECTOR_TIMER, "timer", on_timer, NULL, SLOT(timer));
    if (status != OK) {
        return status;
    }
    status = interrupt_register(MULTITASKING_VECTOR_WAKE, "wake", on_wake, NULL, SLOT(wake_up));
    if (status != OK) {
        return status;
    }
    STORE(timer_interrupt, timer);
    STORE(wake_interrupt, wake_up);
    return OK;
}

/* Another CPU, when it has been started: it comes here for good, with interrupts disabled. */
static void run_cpu(void)
{
    apic_ids[CPU_LOCAL(index)] = CPU_LOCAL(apic_id);
    if (has_vectors) {
        fpu_init_cpu();
    }
    enum status status = apic_timer_init_cpu(MULTITASKING_VECTOR_TIMER);
    if (status != OK) {
        log_error("CPU %u has no timer: %s", (unsigned)CPU_LOCAL(index), status_text(status));
        for (;;) {
            enable_interrupts_and_halt(); /* remote calls are still answered */
        }
    }
    dispatcher_run_cpu();
}

/* Hands the other CPUs over to the dispatcher; those that do not come are left out. */
static void start_other_cpus(void)
{
    uint32_t others = remote_call_cpus() & ~1u;
    uint32_t wanted = 1;
    for (uint32_t cpu = 1; cpu < 32; cpu++) {
        if (others >> cpu & 1) {
            enum status status = dispatcher_add_cpu(cpu);
            if (status != OK) {
                log_error("CPU %u gets no tasks: %s", (unsigned)cpu, status_text(status));
                return; /* then none of them does: they stay where they are */
            }
            wanted++;
        }
    }
    processors_set_loop(run_cpu);
    uint64_t limit = get_time() + CPU_LIMIT_NS;
    while (dispatcher_cpu_count() < wanted && get_time() < limit) {
        cpu_relax();
    }
}

enum status multitasking_start(const char *name)
{
    if (timer_interrupt) {
        return ERR_STATE;
    }
    dispatcher_set_base(lay_base);
    disable_interrupts();
    enum status status = register_interrupts();
    if (status != OK) {
        return status;
    }
    apic_ids[0] = CPU_LOCAL(apic_id);
    start_time = clock_now_ns();
    status = apic_timer_init_cpu(MULTITASKING_VECTOR_TIMER);
    status = status == OK ? dispatcher_start(&hardware, name) : status;
    if (status != OK) {
        interrupt_drop(&wake_interrupt);
        interrupt_drop(&timer_interrupt);
        return status;
    }
    start_vectors();
    enable_interrupts();
    start_other_cpus();
    log_info("tasks run on %u CPU%s, policy: %s", (unsigned)dispatcher_cpu_count(),
             dispatcher_cpu_count() == 1 ? "" : "s", run_queue_policy());
    return OK;
}
