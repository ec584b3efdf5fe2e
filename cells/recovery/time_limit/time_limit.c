/* SPDX-License-Identifier: MIT */
/*
 * The timer's handler cannot end what it has interrupted: it has to return first. So it asks for a
 * reschedule, which comes behind the end of the interrupt, on the interrupted stack, where nothing
 * holds preemption and no sequence of commit.h is in its middle; and for as long as there is a
 * limit, what a reschedule calls is strike(), which traps. The trap ends at the catch point of
 * time_limit_call(). Where the reschedule does not come, the timer does once more.
 *
 * Only the function itself is struck: is_running is false behind it, and from the first fault on,
 * which catch_watched() tells of, so that nothing strikes what releases its slots.
 */
#include "time_limit.h"
#include "apic_timer.h"
#include "catch.h"
#include "clock.h"
#include "cpu_local.h"
#include "interrupts.h"
#include "local_apic.h"
#include "preemption.h"
#include "x86.h"

CELL(library, "1.0.0");

/* Classes of vectors that do not come: all but the highest (SDM, "Task Priority Register"). */
#define PRIORITY       0xe0u
#define RETRY_NS       1000000u
#define AT_ONCE_NS     1u
#define LVT_VECTOR     0xffu
#define LVT_FIRST_REAL 16u /* vectors below are not (SDM, "Valid Interrupt Vectors") */

struct time_limit {
    void (*reschedule)(void); /* these three as they were */
    uint32_t lvt;
    uint32_t priority;
    bool has_timer; /* they are to be put back */
    bool is_running;
    bool is_due;
    bool was_struck;
    uint64_t deadline; /* of clock_now_ns() */
};

static struct time_limit the_limit; /* one CPU goes on at a time */
static struct interrupt *interrupt; /* owned, for good */

/* ---- the interrupt ---- */

static void set_timer(void)
{
    uint64_t now = clock_now_ns();
    apic_timer_set_ns(now < the_limit.deadline ? the_limit.deadline - now : RETRY_NS);
}

static void on_time(void *unused)
{
    (void)unused;
    if (!the_limit.is_running) {
        return; /* it was under way when the function returned */
    }
    if (clock_now_ns() >= the_limit.deadline) {
        the_limit.is_due = true;
        preemption_request();
    }
    set_timer();
}

/* In place of a reschedule. Interrupts are off. */
static void strike(void)
{
    if (the_limit.is_running && the_limit.is_due) {
        the_limit.is_running = false;
        the_limit.was_struck = true;
        __builtin_trap();
    }
}

/* ---- the call ---- */

struct call {
    void (*function)(void *argument);
    void *argument;
};

static void run(void *argument)
{
    struct call *call = argument;
    the_limit.is_running = true;
    set_timer();
    enable_interrupts();
    call->function(call->argument);
    disable_interrupts();
    the_limit.is_running = false;
}

/* Its slots are released next. */
static void note_fault(const struct exception_frame *frame)
{
    (void)frame;
    the_limit.is_running = false;
}

OWN_UNCHECKED enum status time_limit_call(struct time_limit *limit,
                                          void (*function)(void *argument), void *argument,
                                          uint64_t limit_ns)
{
    if (!limit->has_timer) {
        return catch_unwind(function, argument, NULL);
    }
    struct call call = {.function = function, .argument = argument};
    limit->is_due = false;
    limit->was_struck = false;
    limit->deadline = clock_now_ns() + limit_ns;
    enum status status = catch_watched(run, &call, note_fault, NULL);
    return status != OK && limit->was_struck ? ERR_TIMEOUT : status;
}

/* ---- the timer ---- */

static enum status register_handler(void)
{
    if (STORED(interrupt)) {
        return OK;
    }
    OWNED(interrupt, mine);
    enum status status =
        interrupt_register(TIME_LIMIT_VECTOR, "time limit", on_time, NULL, SLOT(mine));
    if (status == OK) {
        STORE(interrupt, mine);
    }
    return status;
}

/* What came while interrupts were off. */
static void let_in(void)
{
    enable_interrupts();
    cpu_relax(); /* they come behind one more instruction */
    disable_interrupts();
}

OWN_UNCHECKED enum status time_limit_begin(struct time_limit **out)
{
    struct time_limit *limit = &the_limit;
    limit->has_timer = false;
    limit->is_running = false;
    if (local_apic_describe().version == 0) {
        FILL(out, limit);
        return OK;
    }
    enum status status = register_handler();
    if (status != OK) {
        return status;
    }
    limit->lvt = local_apic_read(LOCAL_APIC_LVT_TIMER);
    limit->priority = local_apic_read(LOCAL_APIC_TASK_PRIORITY);
    limit->reschedule = CPU_LOCAL(reschedule);
    FILL(out, limit);
    limit->has_timer = true;
    COMPILER_BARRIER();
    status = apic_timer_init_cpu(TIME_LIMIT_VECTOR);
    if (status != OK) {
        time_limit_drop(out);
        return status;
    }
    local_apic_write(LOCAL_APIC_TASK_PRIORITY, PRIORITY);
    CPU_LOCAL(reschedule) = strike;
    let_in();
    return OK;
}

void time_limit_drop(struct time_limit **handle)
{
    struct time_limit *limit = *handle;
    if (!limit) {
        return;
    }
    if (limit->has_timer) {
        limit->is_running = false;
        apic_timer_stop();
        CPU_LOCAL(reschedule) = limit->reschedule;
        local_apic_write(LOCAL_APIC_TASK_PRIORITY, limit->priority);
        local_apic_write(LOCAL_APIC_LVT_TIMER, limit->lvt);
        serialize_memory(); /* SDM, "TSC-Deadline Mode" */
        bool had_user =
            !(limit->lvt & LOCAL_APIC_LVT_MASKED) && (limit->lvt & LVT_VECTOR) >= LVT_FIRST_REAL;
        if (had_user) {
            apic_timer_set_ns(AT_ONCE_NS);
        }
        COMPILER_BARRIER();
        limit->has_timer = false;
    }
    EMPTY(handle);
}
