/* SPDX-License-Identifier: MIT */
/*
 * Each vector has a place with its handler. There is always a function, so that dispatch calls what
 * it finds by one load; which one says what the place is:
 *
 *      call_nobody      free
 *      call_nobody_yet  being filled, or given up
 *      other            live; `context` does not change while it is
 *
 * A handler that is dropped may still run. Each CPU says in `current` which vector it is in, by an
 * exchange (a full barrier) before it reads `function`; who drops a handler exchanges `function`
 * (another one) before it reads `current` of each CPU. So either the CPU finds no handler, or the
 * dropper finds the CPU in it and waits until it has left: interrupts are disabled there, so that
 * is soon. Nothing on the way in is shared with other CPUs but what only registration writes.
 */
#include "interrupts_priv.h"
#include "commit.h"
#include "cpu_local.h"
#include "exceptions.h"
#include "logger.h"
#include "x86.h"

CELL(library, "1.0.0");

static_assert(INTERRUPT_FIRST == EXCEPTION_COUNT, "one begins where the other ends");
static_assert(offsetof(struct cpu_local, interrupt_depth) == 44, "interrupts_stubs.S");
static_assert(INTERRUPT_FIRST + INTERRUPT_COUNT == VECTOR_COUNT, "all of them");

#define NO_VECTOR UINT64_MAX

struct interrupt {
    interrupt_function_t function;
    void *context;
    const char *name;
    uint64_t is_known; /* that it came without a handler was said */
};

/* What one CPU writes: the size, a power of two, makes finding it cheap. */
struct interrupts_cpu {
    uint64_t current;
    uint64_t hold; /* interrupts_hold() */
    uint64_t counts[INTERRUPT_COUNT];
    uint64_t unused[256 - 2 - INTERRUPT_COUNT];
};
static_assert(sizeof(struct interrupts_cpu) == 2048, "a power of two");

static struct interrupt places[INTERRUPT_COUNT];
static ALIGNED(64) struct interrupts_cpu cpus[CPU_LIMIT];
static bool is_ready;

static void end_nothing(void)
{
}

static void (*end_of_interrupt)(void) = end_nothing;

/* ---- vectors without a handler ---- */

static NOINLINE COLD void say_stray(void)
{
    uint64_t number = cpus[CPU_LOCAL(index)].current;
    if (!__atomic_exchange_n(&places[number].is_known, 1, __ATOMIC_RELAXED)) {
        log_warning("interrupt vector %u has no handler", (unsigned)number + INTERRUPT_FIRST);
    }
}

static void call_nobody(void *unused)
{
    (void)unused;
    say_stray();
}

/* Another function, with another address. */
static void call_nobody_yet(void *unused)
{
    (void)unused;
    say_stray();
    COMPILER_BARRIER();
}

/* ---- on the way of every interrupt ---- */

/* The interrupted chain of slots, which a handler leaves as it was: looked at in debug builds. */
#if defined(PROFILE_DEBUG) || __STDC_HOSTED__
static inline const struct own_slot *chain_top(void)
{
    return OWN_TOP;
}
#else
static inline const struct own_slot *chain_top(void)
{
    return NULL;
}
#endif

SECTION(INTERRUPTS_DISPATCH) void interrupts_dispatch(uint64_t number)
{
    struct interrupts_cpu *cpu = &cpus[CPU_LOCAL(index)];
    __atomic_exchange_n(&cpu->current, number, __ATOMIC_SEQ_CST); /* pairs with interrupt_drop() */
    cpu->hold = CPU_LOCAL(hold);
    cpu->counts[number]++;
    const struct interrupt *place = &places[number];
    interrupt_function_t function = __atomic_load_n(&place->function, __ATOMIC_ACQUIRE);
    const struct own_slot *top = chain_top();
    function(place->context);
    OWN_DEMAND_(chain_top() == top);
    __atomic_store_n(&cpu->current, NO_VECTOR, __ATOMIC_RELEASE);
    end_of_interrupt();
}

/*
 * What was interrupted with interrupts disabled looks itself when it enables them. Within a
 * sequence of commit.h nothing happens either: the wish stays, for the next interrupt or the end of
 * the next hold.
 */
void interrupts_reschedule(const struct interrupt_frame *frame)
{
    void (*function)(void) = CPU_LOCAL(reschedule);
    if (function && (frame->rflags & RFLAGS_INTERRUPTS) && !commit_is_within(frame->rip)) {
        function();
    }
}

void interrupts_note_spurious(void)
{
    cpus[CPU_LOCAL(index)].counts[INTERRUPT_SPURIOUS - INTERRUPT_FIRST]++;
}

/* ---- registering ---- */

void interrupts_init(void)
{
    if (__atomic_exchange_n(&is_ready, true, __ATOMIC_RELAXED)) {
        return;
    }
    for (unsigned i = 0; i < CPU_LIMIT; i++) {
        cpus[i].current = NO_VECTOR;
    }
    for (unsigned i = 0; i < INTERRUPT_COUNT; i++) {
        places[i].function = call_nobody;
        exceptions_set_gate(INTERRUPT_FIRST + i, interrupts_stubs[i]);
    }
}

void interrupts_set_end(void (*end)(void))
{
    end_of_interrupt = end ? end : end_nothing;
}

OWN_UNCHECKED enum status interrupt_register(unsigned vector, const char *name,
                                             interrupt_function_t function, void *context,
                                             struct interrupt **out)
{
    if (vector < INTERRUPT_FIRST || vector >= INTERRUPT_SPURIOUS) {
        return ERR_OUT_OF_BOUNDS;
    }
    struct interrupt *place = &places[vector - INTERRUPT_FIRST];
    OWN_DEMAND_(!*out);
    if (!commit_exchange((uint64_t *)(void *)&place->function, (uintptr_t)call_nobody,
                         (uintptr_t)call_nobody_yet, out, place)) {
        return __atomic_load_n(&place->function, __ATOMIC_RELAXED) ? ERR_BUSY : ERR_STATE;
    }
    place->context = context;
    place->name = name;
    __atomic_store_n(&place->function, function, __ATOMIC_RELEASE);
    return OK;
}

OWN_UNCHECKED enum status interrupt_register_any(const char *name, interrupt_function_t function,
                                                 void *context, struct interrupt **out)
{
    for (unsigned vector = INTERRUPT_ANY_FIRST; vector <= INTERRUPT_ANY_LAST; vector++) {
        enum status status = interrupt_register(vector, name, function, context, out);
        if (status != ERR_BUSY) {
            return status;
        }
    }
    return ERR_LIMIT;
}

/*
 * The handle is empty when the place is free: a drop that is begun again never meets a successor.
 */
void interrupt_drop(struct interrupt **handle)
{
    struct interrupt *place = *handle;
    if (!place) {
        return;
    }
    uint64_t number = (uint64_t)(place - places);
    (void)__atomic_exchange_n(&place->function, call_nobody_yet, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < CPU_LIMIT; i++) {
        while (__atomic_load_n(&cpus[i].current, __ATOMIC_ACQUIRE) == number) {
            cpu_relax();
        }
    }
    place->name = NULL;
    commit_two(&place->function, (uintptr_t)call_nobody, handle, NULL);
}

unsigned interrupt_vector(const struct interrupt *interrupt)
{
    return (unsigned)(interrupt - places) + INTERRUPT_FIRST;
}

/* ---- statistics ---- */

uint64_t interrupts_count(unsigned vector, unsigned cpu)
{
    if (vector < INTERRUPT_FIRST || vector > INTERRUPT_SPURIOUS || cpu >= CPU_LIMIT) {
        return 0;
    }
    return __atomic_load_n(&cpus[cpu].counts[vector - INTERRUPT_FIRST], __ATOMIC_RELAXED);
}

unsigned interrupts_current(void)
{
    uint64_t number = cpus[CPU_LOCAL(index)].current;
    return number == NO_VECTOR ? 0 : (unsigned)number + INTERRUPT_FIRST;
}

uint32_t interrupts_hold(void)
{
    return (uint32_t)cpus[CPU_LOCAL(index)].hold & ~HOLD_UNWANTED;
}

const char *interrupts_name(unsigned vector)
{
    if (vector < INTERRUPT_FIRST || vector > INTERRUPT_SPURIOUS) {
        return NULL;
    }
    return places[vector - INTERRUPT_FIRST].name;
}
