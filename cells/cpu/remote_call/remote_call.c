/* SPDX-License-Identifier: MIT */
/*
 * For each pair of CPUs there is one call, written by the caller and answered by the callee:
 *
 *      FREE -> WAITING      the caller has filled it  (release; pairs with the callee's exchange)
 *      WAITING -> RUNNING   the callee has begun      (compare-and-exchange)
 *      WAITING -> FREE      the caller has given up   (compare-and-exchange)
 *      RUNNING -> DONE      the callee has run it     (release; pairs with the caller's load)
 *      DONE -> FREE         the caller has seen that
 *
 * Both compare-and-exchanges are about one word, so a call is either run or given up. One call a
 * pair suffices: the caller has interrupts disabled until it has ended, and a function calls
 * nobody.
 *
 * `pending` tells a callee whose calls to look at. Who finds it 0 when setting his bit sends the
 * interrupt; otherwise one is on its way, and its handler will find both bits.
 *
 * Two CPUs that call one another wait with interrupts disabled, so each looks into its own
 * `pending` while it waits.
 */
#include "remote_call.h"
#include "clock.h"
#include "cpu_local.h"
#include "exceptions.h"
#include "interrupts.h"
#include "ipi.h"
#include "local_apic.h"
#include "logger.h"
#include "preemption.h"
#include "x86.h"

CELL(library, "1.0.0");

#define HALT_LIMIT_NS 100000000u /* for all others to take a non-maskable interrupt */
#define NOBODY        UINT32_MAX

static_assert(CPU_LIMIT <= 32, "a bit for each CPU");

enum call_state { CALL_FREE, CALL_WAITING, CALL_RUNNING, CALL_DONE };

struct call {
    remote_function_t function;
    void *argument;
    uint32_t state; /* enum call_state */
};

static struct {
    ALIGNED(64) uint32_t pending; /* whose calls wait: bit i for CPU i */
    uint32_t apic_id;             /* before its bit in `cpus` */
    struct call from[CPU_LIMIT];
} targets[CPU_LIMIT];

static uint32_t cpus; /* that take part */
static uint32_t ender = NOBODY;
static uint32_t halted;

static struct interrupt *call_interrupt; /* these three are owned, for good */
static struct interrupt *switch_interrupt;
static struct exception_handler *nmi_handler;

struct remote_stop {
    uint32_t holder;  /* index of the CPU, NOBODY */
    uint32_t stopped; /* how many stand still */
    uint32_t go_on;
    uint32_t cpus; /* that were asked to */
    struct interrupt_mask *mask;
    struct remote_place places[CPU_LIMIT]; /* of those that stand still */
};

static struct remote_stop the_stop = {.holder = NOBODY};

uint32_t remote_call_cpus(void)
{
    return __atomic_load_n(&cpus, __ATOMIC_ACQUIRE);
}

static uint32_t lowest(uint32_t mask)
{
    return (uint32_t)__builtin_ctz(mask);
}

/* GCC would call a function for it, that no cell has. */
static uint32_t count_of(uint32_t mask)
{
    uint32_t count = 0;
    for (; mask; mask &= mask - 1) {
        count++;
    }
    return count;
}

/* ---- the callee ---- */

static void answer(struct call *call)
{
    uint32_t expected = CALL_WAITING;
    if (__atomic_compare_exchange_n(&call->state, &expected, CALL_RUNNING, false, __ATOMIC_ACQUIRE,
                                    __ATOMIC_RELAXED)) {
        call->function(call->argument);
        __atomic_store_n(&call->state, CALL_DONE, __ATOMIC_RELEASE);
    }
}

void remote_call_serve(void)
{
    uint32_t self = CPU_LOCAL(index);
    if (LIKELY(!__atomic_load_n(&targets[self].pending, __ATOMIC_RELAXED))) {
        return;
    }
    uint32_t callers = __atomic_exchange_n(&targets[self].pending, 0, __ATOMIC_SEQ_CST);
    for (; callers; callers &= callers - 1) {
        answer(&targets[self].from[lowest(callers)]);
    }
}

static void handle_call(void *unused)
{
    (void)unused;
    remote_call_serve();
}

static void handle_switch(void *unused)
{
    (void)unused;
    preemption_request();
}

/* ---- the caller ---- */

/* Leaves the call with each of `mask`; returns those that an interrupt must be sent to. */
static uint32_t post(uint32_t mask, remote_function_t function, void *argument)
{
    uint32_t self = CPU_LOCAL(index);
    uint32_t unsent = 0;
    for (; mask; mask &= mask - 1) {
        uint32_t to = lowest(mask);
        struct call *call = &targets[to].from[self];
        call->function = function;
        call->argument = argument;
        __atomic_store_n(&call->state, CALL_WAITING, __ATOMIC_RELEASE);
        if (!__atomic_fetch_or(&targets[to].pending, 1u << self, __ATOMIC_SEQ_CST)) {
            unsent |= 1u << to;
        }
    }
    return unsent;
}

/* Sends to each of `mask`; returns those for which the controller was busy. */
static uint32_t ring(uint32_t mask)
{
    uint32_t unsent = 0;
    for (; mask; mask &= mask - 1) {
        uint32_t to = lowest(mask);
        if (ipi_send(targets[to].apic_id, REMOTE_CALL_VECTOR) != OK) {
            unsent |= 1u << to;
        }
    }
    return unsent;
}

/* Takes back what is done; returns those of `mask` that are not. */
static uint32_t collect(uint32_t mask)
{
    uint32_t self = CPU_LOCAL(index);
    uint32_t open = 0;
    for (; mask; mask &= mask - 1) {
        uint32_t to = lowest(mask);
        struct call *call = &targets[to].from[self];
        if (__atomic_load_n(&call->state, __ATOMIC_ACQUIRE) == CALL_DONE) {
            call->state = CALL_FREE;
        } else {
            open |= 1u << to;
        }
    }
    return open;
}

/* Gives up those of `mask` that have not begun; returns them. */
static uint32_t give_up(uint32_t mask)
{
    uint32_t self = CPU_LOCAL(index);
    uint32_t given_up = 0;
    for (; mask; mask &= mask - 1) {
        uint32_t to = lowest(mask);
        uint32_t expected = CALL_WAITING;
        if (__atomic_compare_exchange_n(&targets[to].from[self].state, &expected, CALL_FREE, false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            given_up |= 1u << to;
        }
    }
    return given_up;
}

/*
 * For those that were posted to. A function that has begun is waited for without a limit. In the
 * middle of the time all are sent to once more: who was to send before this CPU may have given up.
 */
static enum status wait_for(uint32_t mask, uint32_t unsent)
{
    enum status status = OK;
    bool is_repeated = false;
    uint64_t start = clock_now_ns();
    while (mask) {
        unsent = ring(unsent);
        remote_call_serve();
        mask = collect(mask);
        uint64_t waited = mask ? clock_now_ns() - start : 0;
        if (UNLIKELY(waited > REMOTE_CALL_LIMIT_NS / 2 && !is_repeated)) {
            unsent = mask;
            is_repeated = true;
        }
        if (UNLIKELY(waited > REMOTE_CALL_LIMIT_NS)) {
            uint32_t given_up = give_up(mask);
            mask &= ~given_up;
            unsent &= ~given_up;
            status = given_up ? ERR_TIMEOUT : status;
        }
        cpu_relax();
    }
    return status;
}

enum status remote_call(unsigned cpu, remote_function_t function, void *argument)
{
    if (cpu >= CPU_LIMIT || !(remote_call_cpus() >> cpu & 1)) {
        return ERR_NO_DEVICE;
    }
    GUARD(interrupt_mask, masked, INTERRUPTS);
    if (cpu == CPU_LOCAL(index)) {
        function(argument);
        return OK;
    }
    return wait_for(1u << cpu, post(1u << cpu, function, argument));
}

enum status remote_call_others(remote_function_t function, void *argument)
{
    GUARD(interrupt_mask, masked, INTERRUPTS);
    uint32_t others = remote_call_cpus() & ~(1u << CPU_LOCAL(index));
    return wait_for(others, post(others, function, argument));
}

void remote_call_switch(unsigned cpu)
{
    if (cpu < CPU_LIMIT && (remote_call_cpus() >> cpu & 1)) {
        (void)!ipi_send(targets[cpu].apic_id, REMOTE_SWITCH_VECTOR); /* busy: more than 1 ms */
    }
}

/* ---- all others stand still ---- */

static void stand_still(void *argument)
{
    struct remote_stop *stop = argument;
    struct remote_place *place = &stop->places[CPU_LOCAL(index)];
    place->task = CPU_LOCAL(task);
    place->own_top = OWN_TOP;
    note_place(&place->place); /* this frame stays as it is from here on */
    __atomic_fetch_add(&stop->stopped, 1, __ATOMIC_ACQ_REL);
    while (!__atomic_load_n(&stop->go_on, __ATOMIC_ACQUIRE)) {
        cpu_relax();
    }
    (void)cpuid(0, 0); /* serializes: text may have changed (SDM, "Cross-Modifying Code") */
}

/* Waits for the stop to be nobody's. */
static void take_stop(uint32_t self)
{
    for (;;) {
        uint32_t expected = NOBODY;
        if (__atomic_compare_exchange_n(&the_stop.holder, &expected, self, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED)) {
            return;
        }
        remote_call_serve();
        cpu_relax();
    }
}

static enum status wait_until_stopped(uint32_t unsent)
{
    uint32_t count = count_of(the_stop.cpus);
    uint64_t start = clock_now_ns();
    while (__atomic_load_n(&the_stop.stopped, __ATOMIC_ACQUIRE) < count) {
        unsent = ring(unsent);
        remote_call_serve();
        if (clock_now_ns() - start > REMOTE_CALL_LIMIT_NS) {
            the_stop.cpus &= ~give_up(the_stop.cpus);
            return ERR_TIMEOUT;
        }
        cpu_relax();
    }
    return OK;
}

/*
 * Unchecked: the handle begins here. It is filled before anybody stops, so its drop lets all go on.
 */
OWN_UNCHECKED enum status remote_stop_begin(struct remote_stop **out)
{
    OWNED(remote_stop, stop);
    struct interrupt_mask *mask = NULL;
    interrupt_mask_lock(INTERRUPTS, &mask);
    uint32_t self = CPU_LOCAL(index);
    if (the_stop.holder == self) {
        interrupt_mask_drop(&mask);
        return ERR_STATE;
    }
    take_stop(self);
    the_stop.stopped = 0;
    the_stop.go_on = 0;
    the_stop.cpus = remote_call_cpus() & ~(1u << self);
    the_stop.mask = mask;
    FILL(SLOT(stop), &the_stop);
    enum status status = wait_until_stopped(post(the_stop.cpus, stand_still, &the_stop));
    if (status == OK) {
        MOVE(*out, stop);
    }
    return status;
}

void remote_stop_drop(struct remote_stop **handle)
{
    struct remote_stop *stop = *handle;
    if (!stop) {
        return;
    }
    struct interrupt_mask *mask = stop->mask;
    (void)cpuid(0, 0);
    __atomic_store_n(&stop->go_on, 1, __ATOMIC_RELEASE);
    while (stop->cpus) {
        stop->cpus = collect(stop->cpus);
        cpu_relax();
    }
    EMPTY(handle);
    __atomic_store_n(&stop->holder, NOBODY, __ATOMIC_RELEASE);
    interrupt_mask_drop(&mask);
}

const struct remote_place *remote_stop_place(const struct remote_stop *stop, unsigned cpu)
{
    return cpu < CPU_LIMIT && (stop->cpus >> cpu & 1) ? &stop->places[cpu] : NULL;
}

/* ---- the end ---- */

static bool handle_nmi(struct exception_frame *frame, void *unused)
{
    (void)frame;
    (void)unused;
    uint32_t who = __atomic_load_n(&ender, __ATOMIC_ACQUIRE);
    if (who == NOBODY || who == CPU_LOCAL(index)) {
        return false;
    }
    __atomic_fetch_add(&halted, 1, __ATOMIC_RELEASE);
    for (;;) {
        disable_interrupts();
        halt();
    }
}

void remote_call_halt_others(void)
{
    uint32_t self = CPU_LOCAL(index);
    uint32_t expected = NOBODY;
    if (!__atomic_compare_exchange_n(&ender, &expected, self, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED)) {
        return; /* somebody else is about to stop this one */
    }
    uint32_t others = remote_call_cpus() & ~(1u << self);
    uint32_t count = count_of(others);
    for (; others; others &= others - 1) {
        (void)!ipi_send_nmi(targets[lowest(others)].apic_id);
    }
    uint64_t start = clock_now_ns();
    while (__atomic_load_n(&halted, __ATOMIC_ACQUIRE) < count &&
           clock_now_ns() - start < HALT_LIMIT_NS) {
        cpu_relax();
    }
}

/* ---- taking part ---- */

enum status remote_call_init(void)
{
    if (call_interrupt) {
        return ERR_STATE;
    }
    OWNED(interrupt, call);
    OWNED(interrupt, switching);
    OWNED(exception_handler, nmi);
    enum status status =
        interrupt_register(REMOTE_CALL_VECTOR, "remote call", handle_call, NULL, SLOT(call));
    if (status != OK) {
        return status;
    }
    status = interrupt_register(REMOTE_SWITCH_VECTOR, "reschedule", handle_switch, NULL,
                                SLOT(switching));
    if (status != OK) {
        return status;
    }
    status = exception_handler_register(EXCEPTION_NMI, "halt", handle_nmi, NULL, SLOT(nmi));
    if (status != OK) {
        return status;
    }
    STORE(call_interrupt, call);
    STORE(switch_interrupt, switching);
    STORE(nmi_handler, nmi);
    exceptions_set_stop_others(remote_call_halt_others);
    return OK;
}

void remote_call_enter(void)
{
    uint32_t self = CPU_LOCAL(index);
    CPU_LOCAL(apic_id) = local_apic_id();
    targets[self].apic_id = CPU_LOCAL(apic_id);
    __atomic_fetch_or(&cpus, 1u << self, __ATOMIC_SEQ_CST);
    write_cr3(read_cr3()); /* what was unmapped before the line above was not told */
}
