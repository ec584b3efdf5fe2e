/* SPDX-License-Identifier: MIT */
/*
 * What a CPU does when it has arrived. A CPU is idle when `function` is NULL; it alone sets it
 * back.
 *
 * It looks for something to do with interrupts disabled and halts by `sti; hlt`, between which no
 * interrupt comes: so what is left before an interrupt is sent is seen.
 */
#include "processors_priv.h"
#include "local_apic.h"
#include "remote_call.h"
#include "x86.h"

CELL(driver, "1.0.0");

#define MSR_PAT 0x277u

struct processor processors[CPU_LIMIT] = {[0] = {.state = PROCESSOR_RUNS}};

static void (*loop)(void);

static void run_what_is_asked(struct processor *self)
{
    void (*function)(void *argument) = __atomic_load_n(&self->function, __ATOMIC_ACQUIRE);
    if (function) {
        enable_interrupts();
        function(self->argument);
        disable_interrupts();
        __atomic_store_n(&self->function, NULL, __ATOMIC_RELEASE);
    }
}

static NORETURN void serve(struct processor *self)
{
    for (;;) {
        disable_interrupts();
        void (*scheduler)(void) = __atomic_load_n(&loop, __ATOMIC_ACQUIRE);
        if (scheduler) {
            scheduler();
        }
        run_what_is_asked(self);
        if (!__atomic_load_n(&self->function, __ATOMIC_ACQUIRE)) {
            enable_interrupts_and_halt();
        }
    }
}

static NORETURN void stop_for_good(void)
{
    for (;;) {
        disable_interrupts();
        halt();
    }
}

void processors_enter(struct processor *self)
{
    cpu_local_init(&self->local, self->index);
    exceptions_cpu_enter(&self->exceptions);
    write_msr(MSR_PAT, self->pat);
    self->status = local_apic_init_cpu();
    if (self->status != OK) {
        __atomic_store_n(&self->state, PROCESSOR_FAILED, __ATOMIC_RELEASE);
        stop_for_good();
    }
    remote_call_enter();
    __atomic_store_n(&self->state, PROCESSOR_RUNS, __ATOMIC_RELEASE);
    serve(self);
}

static bool runs(unsigned cpu)
{
    return cpu < CPU_LIMIT &&
           __atomic_load_n(&processors[cpu].state, __ATOMIC_ACQUIRE) == PROCESSOR_RUNS;
}

unsigned processors_count(void)
{
    unsigned count = 0;
    for (unsigned cpu = 0; cpu < CPU_LIMIT; cpu++) {
        count += runs(cpu);
    }
    return count;
}

void processors_set_loop(void (*scheduler)(void))
{
    __atomic_store_n(&loop, scheduler, __ATOMIC_RELEASE);
    for (unsigned cpu = 1; cpu < CPU_LIMIT; cpu++) {
        if (runs(cpu)) {
            remote_call_switch(cpu);
        }
    }
}

bool processors_is_idle(unsigned cpu)
{
    return cpu != 0 && runs(cpu) && !__atomic_load_n(&loop, __ATOMIC_RELAXED) &&
           !__atomic_load_n(&processors[cpu].function, __ATOMIC_ACQUIRE);
}

enum status processors_run(unsigned cpu, void (*function)(void *argument), void *argument)
{
    if (cpu == 0 || !runs(cpu)) {
        return ERR_NO_DEVICE;
    }
    if (!processors_is_idle(cpu)) {
        return ERR_BUSY;
    }
    processors[cpu].argument = argument;
    __atomic_store_n(&processors[cpu].function, function, __ATOMIC_RELEASE);
    remote_call_switch(cpu);
    return OK;
}
