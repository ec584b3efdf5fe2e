/* SPDX-License-Identifier: MIT */
/*
 * smp_test [KIND] [ROUNDS] - lets all CPUs work with and against each other.
 *
 *      all         every test; the default
 *      fault       the last CPU reads what is not there: the report names it, the others stop
 *      faults      all others at the same time: one report
 *      stack       the last CPU uses up its stack
 *      interrupts  the last CPU does so with interrupts disabled, while others wait for it
 *
 * All but the first end the system. The other CPUs must be idle (processors.h), so there are no
 * tasks.
 */
#include "acpi.h"
#include "acpi_tables.h"
#include "application.h"
#include "clock.h"
#include "console.h"
#include "exceptions.h"
#include "freestanding.h"
#include "processors.h"
#include "remote_call.h"
#include "smp_test_priv.h"
#include "x86.h"

CELL(application, "1.0.0");

APPLICATION(smp_test);

#define ROUNDS_DEFAULT 40u
#define WAIT_NS        30000000000ull /* for CPUs to come to an end; an emulator may be slow */
#define MSR_EFER       0xc0000080u
#define MSR_PAT        0x277u

bool smp_test_expect(const char *what, bool is_as_expected)
{
    console_print("smp_test: %s: %s\n", what, is_as_expected ? "OK" : "FAILED");
    return is_as_expected;
}

bool smp_test_start(void (*function)(void *argument), void *argument)
{
    for (unsigned cpu = 1; cpu < processors_count(); cpu++) {
        enum status status = processors_run(cpu, function, argument);
        if (status != OK) {
            console_print("smp_test: CPU %u: %s\n", cpu, status_text(status));
            return false;
        }
    }
    return true;
}

bool smp_test_finish(void)
{
    uint64_t start = clock_now_ns();
    for (unsigned cpu = 1; cpu < processors_count(); cpu++) {
        while (!processors_is_idle(cpu)) {
            cpu_relax();
            if (clock_now_ns() - start > WAIT_NS) {
                console_print("smp_test: CPU %u does not end\n", cpu);
                return false;
            }
        }
    }
    return true;
}

static bool run_on_all(void (*function)(void *argument), void *argument)
{
    return smp_test_start(function, argument) && smp_test_finish();
}

/* ---- who is there ---- */

struct presence {
    uint32_t apic_id[CPU_LIMIT];
    uint32_t count;
    uint32_t different; /* CPUs that are set up otherwise than the first */
    uint64_t cr0, cr3, cr4, efer, pat;
};

static void be_present(void *argument)
{
    struct presence *presence = argument;
    presence->apic_id[CPU_LOCAL(index)] = CPU_LOCAL(apic_id);
    __atomic_fetch_add(&presence->count, 1, __ATOMIC_RELAXED);
    if (read_cr0() != presence->cr0 || read_cr3() != presence->cr3 || read_cr4() != presence->cr4 ||
        read_msr(MSR_EFER) != presence->efer || read_msr(MSR_PAT) != presence->pat) {
        __atomic_fetch_add(&presence->different, 1, __ATOMIC_RELAXED);
    }
}

static bool are_different(const uint32_t *ids, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        for (unsigned j = 0; j < i; j++) {
            if (ids[i] == ids[j]) {
                return false;
            }
        }
    }
    return true;
}

static bool test_presence(void)
{
    struct presence presence = {
        .cr0 = read_cr0(),
        .cr3 = read_cr3(),
        .cr4 = read_cr4(),
        .efer = read_msr(MSR_EFER),
        .pat = read_msr(MSR_PAT),
    };
    const struct acpi_madt *madt = acpi_get()->madt;
    unsigned listed = madt ? madt->processor_count : 1;
    unsigned count = processors_count();
    presence.apic_id[0] = CPU_LOCAL(apic_id);
    bool good = run_on_all(be_present, &presence);
    console_print("smp_test: %u CPUs run, of %u listed\n", count, listed);
    good &= presence.count == count - 1;
    good &= count == (listed < CPU_LIMIT ? listed : CPU_LIMIT);
    good = smp_test_expect("all CPUs run", good);
    good &= smp_test_expect("their numbers differ", are_different(presence.apic_id, count));
    return good &
           smp_test_expect("their registers are those of the first", presence.different == 0);
}

/* ---- calls ---- */

struct ring {
    uint32_t turn; /* index of the CPU */
    uint32_t count;
    uint64_t handed;
    uint64_t rounds;
    uint32_t failed;
};

static void hand_over(void *argument)
{
    struct ring *ring = argument;
    ring->handed++;
    __atomic_store_n(&ring->turn, CPU_LOCAL(index), __ATOMIC_RELEASE);
}

static void take_part_in_ring(void *argument)
{
    struct ring *ring = argument;
    uint32_t self = CPU_LOCAL(index);
    for (uint64_t i = 0; i < ring->rounds; i++) {
        disable_interrupts();
        while (__atomic_load_n(&ring->turn, __ATOMIC_ACQUIRE) != self) {
            enable_interrupts_and_halt(); /* the call wakes it */
            disable_interrupts();
        }
        enable_interrupts();
        if (remote_call((self + 1) % ring->count, hand_over, ring) != OK) {
            __atomic_fetch_add(&ring->failed, 1, __ATOMIC_RELAXED);
        }
    }
}

static bool test_ring(unsigned rounds)
{
    struct ring ring = {.count = processors_count(), .rounds = rounds};
    bool good = smp_test_start(take_part_in_ring, &ring);
    uint64_t start = clock_now_ns();
    take_part_in_ring(&ring);
    good &= smp_test_finish();
    uint64_t each = (clock_now_ns() - start) / (rounds * (uint64_t)ring.count);
    console_print("smp_test: %lu calls in a ring, %lu ns each\n", (unsigned long)ring.handed,
                  (unsigned long)each);
    return smp_test_expect("a ring of calls", good && ring.failed == 0 && ring.turn == 0 &&
                                                  ring.handed == rounds * (uint64_t)ring.count);
}

/* Each CPU's count of calls from each other: written by the callee alone. */
struct storm {
    uint64_t from[CPU_LIMIT][CPU_LIMIT]; /* [callee][caller] */
    uint64_t rounds;
    uint32_t count;
    uint32_t failed;
};

struct storm_call {
    struct storm *storm;
    uint32_t caller;
    uint32_t runs;
};

static void count_call(void *argument)
{
    struct storm_call *call = argument;
    call->storm->from[CPU_LOCAL(index)][call->caller]++;
    __atomic_fetch_add(&call->runs, 1, __ATOMIC_RELAXED);
}

/*
 * Calls another one, or all, with interrupts enabled or not; each must have run when that is over.
 */
static void call_others(void *argument)
{
    struct storm *storm = argument;
    uint32_t self = CPU_LOCAL(index);
    uint64_t random = self + 1;
    for (uint64_t i = 0; i < storm->rounds; i++) {
        struct storm_call call = {.storm = storm, .caller = self};
        bool everybody = smp_test_random(&random) % 4 == 0;
        uint32_t to = smp_test_random(&random) % storm->count;
        uint32_t expected = everybody ? storm->count - 1 : 1;
        bool mask = smp_test_random(&random) % 2;
        if (mask) {
            disable_interrupts();
        }
        enum status status =
            everybody ? remote_call_others(count_call, &call) : remote_call(to, count_call, &call);
        if (mask) {
            enable_interrupts();
        }
        if (status != OK || __atomic_load_n(&call.runs, __ATOMIC_RELAXED) != expected) {
            __atomic_fetch_add(&storm->failed, 1, __ATOMIC_RELAXED);
        }
    }
}

/* How many calls the storm must have made: the same numbers again. */
static uint64_t count_storm(uint32_t cpus, uint64_t rounds)
{
    uint64_t sum = 0;
    for (uint32_t cpu = 0; cpu < cpus; cpu++) {
        uint64_t random = cpu + 1;
        for (uint64_t i = 0; i < rounds; i++) {
            sum += smp_test_random(&random) % 4 == 0 ? cpus - 1 : 1;
            (void)smp_test_random(&random);
            (void)smp_test_random(&random);
        }
    }
    return sum;
}

static bool test_storm(unsigned rounds)
{
    struct storm storm = {.rounds = rounds, .count = processors_count()};
    bool good = smp_test_start(call_others, &storm);
    call_others(&storm);
    good &= smp_test_finish();
    uint64_t sum = 0;
    for (uint32_t i = 0; i < CPU_LIMIT; i++) {
        for (uint32_t j = 0; j < CPU_LIMIT; j++) {
            sum += storm.from[i][j];
        }
    }
    console_print("smp_test: %lu calls of all to all\n", (unsigned long)sum);
    return smp_test_expect("a storm of calls",
                           good && storm.failed == 0 && sum == count_storm(storm.count, rounds));
}

static bool test_absent(void)
{
    unsigned called = 0;
    unsigned absent = processors_count();
    bool good = remote_call(absent, hand_over, &called) == ERR_NO_DEVICE &&
                remote_call(CPU_LIMIT, hand_over, &called) == ERR_NO_DEVICE &&
                processors_run(0, hand_over, &called) == ERR_NO_DEVICE &&
                processors_run(absent, hand_over, &called) == ERR_NO_DEVICE;
    return smp_test_expect("a CPU that is not there cannot be called", good);
}

/* ---- all others stand still ---- */

struct stops {
    uint64_t rounds;
    uint64_t sum; /* changed by whoever has stopped all others: needs no atomic addition */
    uint32_t failed;
};

static void stop_others(void *argument)
{
    struct stops *stops = argument;
    for (uint64_t i = 0; i < stops->rounds; i++) {
        OWNED(remote_stop, stop);
        if (remote_stop_begin(SLOT(stop)) != OK) {
            __atomic_fetch_add(&stops->failed, 1, __ATOMIC_RELAXED);
            continue;
        }
        volatile uint64_t *sum = &stops->sum;
        uint64_t value = *sum;
        for (unsigned spins = 0; spins < 50; spins++) {
            cpu_relax();
        }
        *sum = value + 1;
    }
}

struct runners {
    uint64_t steps[CPU_LIMIT];
    uint32_t stop;
};

static void run_on(void *argument)
{
    struct runners *runners = argument;
    while (!__atomic_load_n(&runners->stop, __ATOMIC_RELAXED)) {
        __atomic_fetch_add(&runners->steps[CPU_LOCAL(index)], 1, __ATOMIC_RELAXED);
    }
}

static uint64_t sum_of_steps(const struct runners *runners)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < CPU_LIMIT; i++) {
        sum += __atomic_load_n(&runners->steps[i], __ATOMIC_RELAXED);
    }
    return sum;
}

static bool nobody_moves(struct runners *runners)
{
    OWNED(remote_stop, stop);
    OWNED(remote_stop, second);
    if (remote_stop_begin(SLOT(stop)) != OK) {
        return false;
    }
    if (remote_stop_begin(SLOT(second)) != ERR_STATE) {
        return false;
    }
    uint64_t before = sum_of_steps(runners);
    clock_spin_ns(1000000);
    return sum_of_steps(runners) == before;
}

static bool test_stop(unsigned rounds)
{
    struct runners runners = {0};
    bool good = smp_test_start(run_on, &runners);
    for (unsigned i = 0; i < 10; i++) {
        good &= nobody_moves(&runners);
        uint64_t before = sum_of_steps(&runners);
        uint64_t start = clock_now_ns();
        while (processors_count() > 1 && sum_of_steps(&runners) == before &&
               clock_now_ns() - start < WAIT_NS) {
            cpu_relax();
        }
        good &= processors_count() == 1 || sum_of_steps(&runners) > before;
    }
    __atomic_store_n(&runners.stop, 1, __ATOMIC_RELAXED);
    good &= smp_test_finish();
    good = smp_test_expect("all others stand still, and go on", good && interrupts_enabled());

    struct stops stops = {.rounds = rounds / 20 + 1};
    bool exact = smp_test_start(stop_others, &stops);
    stop_others(&stops);
    exact &= smp_test_finish();
    return good & smp_test_expect("all want to stop all others",
                                  exact && stops.failed == 0 &&
                                      stops.sum == stops.rounds * processors_count());
}

/* ---- what a call takes ---- */

static void do_nothing(void *unused)
{
    (void)unused;
}

static void print_figures(unsigned rounds)
{
    uint64_t start = read_tsc();
    for (unsigned i = 0; i < rounds; i++) {
        (void)!remote_call(1, do_nothing, NULL);
    }
    uint64_t one = (read_tsc() - start) / rounds;
    start = read_tsc();
    for (unsigned i = 0; i < rounds; i++) {
        (void)!remote_call_others(do_nothing, NULL);
    }
    uint64_t all = (read_tsc() - start) / rounds;
    console_print("figure remote_call %lu\nfigure remote_call_others %lu\n", (unsigned long)one,
                  (unsigned long)all);
}

/* ---- the end ---- */

static void read_null(void *unused)
{
    (void)unused;
    __asm__ volatile("movb 0, %%al" : : : "rax", "memory");
}

static NOINLINE uint64_t recurse(uint64_t depth)
{
    volatile uint64_t frame[64];
    frame[0] = depth;
    return depth == UINT64_MAX ? 0 : recurse(depth + 1) + frame[0];
}

static void use_up_stack(void *unused)
{
    (void)unused;
    recurse(0);
}

static void read_null_masked(void *unused)
{
    disable_interrupts();
    clock_spin_ns(100000000);
    read_null(unused);
}

static enum status wait_for_the_end(void)
{
    clock_spin_ns(WAIT_NS);
    console_print("smp_test: nothing happened\n");
    return ERR_FAILED;
}

static enum status end_on_last(void (*function)(void *argument))
{
    enum status status = processors_run(processors_count() - 1, function, NULL);
    return status == OK ? wait_for_the_end() : status;
}

static enum status end_masked(void)
{
    enum status status = processors_run(processors_count() - 1, read_null_masked, NULL);
    if (status != OK) {
        return status;
    }
    clock_spin_ns(10000000);
    status = remote_call_others(do_nothing, NULL); /* waits, and is stopped there */
    return status == OK ? wait_for_the_end() : status;
}

static enum status end_on_all(void)
{
    (void)smp_test_start(read_null, NULL);
    return wait_for_the_end();
}

static enum status test_all(unsigned rounds)
{
    bool good = test_presence();
    good &= test_absent();
    good &= test_ring(rounds / 4 + 1);
    good &= test_storm(rounds);
    good &= test_stop(rounds);
    if (processors_count() > 1) {
        good &= smp_test_shootdown(rounds / 4 + 1);
        good &= smp_test_churn(rounds);
        print_figures(rounds);
    }
    return good ? OK : ERR_FAILED;
}

enum status smp_test_main(const struct app_arguments *arguments)
{
    const char *kind = arguments->count > 1 ? arguments->values[1] : "all";
    unsigned rounds = app_number(arguments, 2, ROUNDS_DEFAULT);
    if (strcmp(kind, "all") == 0 && rounds > 0) {
        return test_all(rounds);
    }
    if (strcmp(kind, "fault") == 0) {
        return end_on_last(read_null);
    }
    if (strcmp(kind, "stack") == 0) {
        return end_on_last(use_up_stack);
    }
    if (strcmp(kind, "interrupts") == 0) {
        return end_masked();
    }
    if (strcmp(kind, "faults") == 0) {
        return end_on_all();
    }
    console_print("usage: smp_test [all|fault|faults|stack|interrupts] [ROUNDS]\n");
    return ERR_INVALID_ARGUMENT;
}
