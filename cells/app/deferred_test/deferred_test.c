/* SPDX-License-Identifier: MIT */
/*
 * deferred_test - leaves the work of interrupts to a task, on all CPUs.
 *
 * The interrupts are real: by the instruction `int`, from every CPU to itself and to the others by
 * the local APIC, and from its timer. Their handlers push a work and count; at the end as many
 * pushes must have been answered, and as many blocks of memory be in use as at the beginning.
 */
#include "apic_timer.h"
#include "application.h"
#include "catch.h"
#include "console.h"
#include "deferred.h"
#include "heap.h"
#include "interrupts.h"
#include "ipi.h"
#include "multitasking.h"

CELL(application, "1.0.0");

APPLICATION(deferred_test);

#define VECTOR "239" /* for inline assembly */
static_assert(INTERRUPT_SOFTWARE == 239, "VECTOR");

#define INTERRUPTS_EACH 300u
#define TICKS           20u
#define TICK_NS         1000000u
#define PATIENCE_NS     2000000000u
#define LIVE_DROPS      50u

struct source {
    struct deferred_work *work; /* borrowed */
    uint64_t interrupts;        /* atomically */
    uint64_t refused;           /* atomically */
    uint64_t answered;          /* the task's; atomically */
    uint64_t calls;
    uint32_t depth;   /* of interrupts, as the task saw it */
    unsigned to_fail; /* so many calls */
    unsigned to_fault;
};

static bool expect(const char *what, bool is_as_expected)
{
    console_print("deferred_test: %s: %s\n", what, is_as_expected ? "OK" : "FAILED");
    return is_as_expected;
}

/* ---- handler and work ---- */

static void on_interrupt(void *context)
{
    struct source *source = context;
    __atomic_add_fetch(&source->interrupts, 1, __ATOMIC_RELAXED);
    if (deferred_work_push(STORED(source->work)) != OK) {
        __atomic_add_fetch(&source->refused, 1, __ATOMIC_RELAXED);
    }
}

/* The scheduler's timer, and a push beside it. */
static void on_tick(void *context)
{
    on_interrupt(context);
    dispatcher_timer_interrupt();
}

static enum status answer(void *context, uint64_t pushes)
{
    struct source *source = context;
    source->calls++;
    source->depth |= CPU_LOCAL(interrupt_depth);
    if (source->to_fault) {
        source->to_fault--;
        __asm__ volatile("ud2");
    }
    if (source->to_fail) {
        source->to_fail--;
        return ERR_IO;
    }
    __atomic_add_fetch(&source->answered, pushes, __ATOMIC_RELEASE);
    return OK;
}

/* Until all is answered or given up. */
static bool wait_for_answers(const struct source *source, struct deferred_work *work)
    OWN_BORROWS(*work);
static bool wait_for_answers(const struct source *source, struct deferred_work *work)
{
    uint64_t limit = parking_deadline(PATIENCE_NS);
    while (__atomic_load_n(&source->answered, __ATOMIC_ACQUIRE) + deferred_work_failures(work) !=
           __atomic_load_n(&source->interrupts, __ATOMIC_RELAXED)) {
        if (parking_now() > limit) {
            return false;
        }
        task_sleep(TICK_NS / 10);
    }
    return true;
}

/* ---- interrupts ---- */

static void interrupt_self(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        __asm__ volatile("int $" VECTOR : : : "memory");
    }
}

static bool try_software(struct deferred_queue *queue) OWN_BORROWS(*queue);
static bool try_software(struct deferred_queue *queue)
{
    struct source source = {0};
    OWNED(deferred_work, work);
    if (deferred_work_create(queue, answer, &source, SLOT(work)) != OK) {
        return expect("a work", false);
    }
    OWNED(interrupt, interrupt);
    source.work = REF(work);
    if (interrupt_register(INTERRUPT_SOFTWARE, "test", on_interrupt, &source, SLOT(interrupt)) !=
        OK) {
        return expect("a vector", false);
    }
    interrupt_self(INTERRUPTS_EACH);
    bool good = wait_for_answers(&source, REF(work));
    good = expect("each interrupt is answered",
                  good && source.interrupts == INTERRUPTS_EACH && !source.refused);
    good &= expect("by a task", source.calls && source.depth == 0);
    source.to_fail = DEFERRED_ATTEMPTS - 1;
    interrupt_self(1);
    good &= wait_for_answers(&source, REF(work));
    source.to_fault = DEFERRED_ATTEMPTS - 1;
    interrupt_self(1);
    good &= wait_for_answers(&source, REF(work));
    good = expect("work that fails, or faults, is done again",
                  good && source.answered == INTERRUPTS_EACH + 2);
    source.to_fault = DEFERRED_ATTEMPTS;
    interrupt_self(1);
    good &= wait_for_answers(&source, REF(work));
    interrupt_self(1);
    good &= wait_for_answers(&source, REF(work));
    return expect("and given up, for that time", good && source.answered == INTERRUPTS_EACH + 3 &&
                                                     deferred_work_failures(REF(work)) == 1);
}

/* Each CPU interrupts itself and its neighbour. */
struct sender {
    uint32_t apic_ids[2];
    uint8_t vector;
};

static int send_often(struct sender *sender)
{
    int failures = 0;
    for (unsigned i = 0; i < INTERRUPTS_EACH; i++) {
        GUARD(preemption, held, PREEMPTION);
        failures += ipi_send(sender->apic_ids[i % 2], sender->vector) != OK;
    }
    return failures;
}
TASK_DEFINE(sending, struct sender, int, send_often);

static int find_apic_id(uint32_t *unused)
{
    (void)unused;
    return (int)CPU_LOCAL(apic_id);
}
TASK_DEFINE(finding, uint32_t, int, find_apic_id);

static int apic_id_of(uint32_t cpu)
{
    struct task_options there = {.is_pinned = true, .cpu = cpu};
    OWNED(finding_task, task);
    enum status status = finding_spawn(&cpu, &there, SLOT(task));
    if (status != OK) {
        return 0;
    }
    int id = 0;
    status = finding_join(SLOT(task), &id);
    return status == OK ? id : 0;
}

static int send_from(uint32_t cpu, uint8_t vector)
{
    if (cpu == dispatcher_cpu_count()) {
        return 0;
    }
    struct sender sender = {.vector = vector};
    sender.apic_ids[0] = (uint32_t)apic_id_of(cpu);
    sender.apic_ids[1] = (uint32_t)apic_id_of((cpu + 1) % dispatcher_cpu_count());
    struct task_options there = {.is_pinned = true, .cpu = cpu};
    OWNED(sending_task, task);
    enum status status = sending_spawn(&sender, &there, SLOT(task));
    if (status != OK) {
        return 1;
    }
    int failures = send_from(cpu + 1, vector);
    int result = 1;
    status = sending_join(SLOT(task), &result);
    return failures + result + (status != OK);
}

static bool try_processors(struct deferred_queue *queue) OWN_BORROWS(*queue);
static bool try_processors(struct deferred_queue *queue)
{
    struct source source = {0};
    OWNED(deferred_work, work);
    if (deferred_work_create(queue, answer, &source, SLOT(work)) != OK) {
        return expect("a work", false);
    }
    OWNED(interrupt, interrupt);
    source.work = REF(work);
    if (interrupt_register_any("test", on_interrupt, &source, SLOT(interrupt)) != OK) {
        return expect("a vector", false);
    }
    int failures = send_from(0, (uint8_t)interrupt_vector(REF(interrupt)));
    bool good = wait_for_answers(&source, REF(work));
    console_print("deferred_test: %lu interrupts on %u CPUs, %lu calls\n",
                  (unsigned long)source.interrupts, (unsigned)dispatcher_cpu_count(),
                  (unsigned long)source.calls);
    /* One that comes while its like is pending is not another one. */
    return expect("each interrupt on all CPUs is answered",
                  good && failures == 0 && !source.refused && source.depth == 0 &&
                      source.interrupts >= dispatcher_cpu_count());
}

/* ---- the timer ---- */

/* Has this CPU's timer interrupt by `vector`, and sets it to what the scheduler wants. */
static enum status move_timer(unsigned vector)
{
    GUARD(interrupt_mask, masked, INTERRUPTS);
    enum status status = apic_timer_init_cpu((uint8_t)vector);
    dispatcher_timer_interrupt();
    return status;
}

static bool tick(struct deferred_queue *queue) OWN_BORROWS(*queue);
static bool tick(struct deferred_queue *queue)
{
    struct source source = {0};
    OWNED(deferred_work, work);
    if (deferred_work_create(queue, answer, &source, SLOT(work)) != OK) {
        return expect("a work", false);
    }
    OWNED(interrupt, interrupt);
    source.work = REF(work);
    if (interrupt_register_any("test", on_tick, &source, SLOT(interrupt)) != OK) {
        return expect("a vector", false);
    }
    bool good = move_timer(interrupt_vector(REF(interrupt))) == OK;
    for (unsigned i = 0; i < TICKS; i++) {
        task_sleep(TICK_NS);
    }
    good &= move_timer(MULTITASKING_VECTOR_TIMER) == OK;
    good &= wait_for_answers(&source, REF(work));
    return expect("each interrupt of the timer is answered",
                  good && source.interrupts >= TICKS && !source.refused && source.depth == 0);
}

static int tick_there(struct deferred_queue **queue) OWN_UNCHECKED
{
    return tick(*queue);
}
TASK_DEFINE(ticking, struct deferred_queue *, int, tick_there);

/* On the last CPU, in a task that stays there. */
static bool try_timer(struct deferred_queue *queue) OWN_BORROWS(*queue);
static bool try_timer(struct deferred_queue *queue)
{
    struct task_options there = {.is_pinned = true, .cpu = dispatcher_cpu_count() - 1};
    OWNED(ticking_task, task);
    if (ticking_spawn(&queue, &there, SLOT(task)) != OK) {
        return expect("a task", false);
    }
    int is_good = 0;
    if (ticking_join(SLOT(task), &is_good) != OK) {
        return expect("a task", false);
    }
    return is_good;
}

/* ---- drops ---- */

/* Drops works that are queued or being done: each has been answered then. */
static bool try_drops(struct deferred_queue *queue) OWN_BORROWS(*queue);
static bool try_drops(struct deferred_queue *queue)
{
    for (unsigned i = 0; i < LIVE_DROPS; i++) {
        struct source source = {0};
        {
            OWNED(deferred_work, work);
            if (deferred_work_create(queue, answer, &source, SLOT(work)) != OK) {
                return expect("a work", false);
            }
            OWNED(interrupt, interrupt);
            source.work = REF(work);
            if (interrupt_register(INTERRUPT_SOFTWARE, "test", on_interrupt, &source,
                                   SLOT(interrupt)) != OK) {
                return expect("a vector", false);
            }
            interrupt_self(1 + i % 3);
        }
        if (source.answered != source.interrupts || source.interrupts != 1 + i % 3) {
            return expect("a drop waits for what is queued", false);
        }
    }
    return expect("a drop waits for what is queued", true);
}

static bool try_all(void)
{
    OWNED(deferred_queue, queue);
    if (deferred_queue_create("deferred", NULL, SLOT(queue)) != OK) {
        return expect("a queue", false);
    }
    bool good = try_software(REF(queue));
    good &= try_processors(REF(queue));
    good &= try_timer(REF(queue));
    return good & try_drops(REF(queue));
}

enum status deferred_test_main(const struct app_arguments *arguments)
{
    (void)arguments;
    if (!parking_self()) {
        console_print("deferred_test: there are no tasks\n");
        return ERR_STATE;
    }
    (void)!catch_enable(); /* unless somebody has done it */
    bool good = try_all(); /* what is made once, is made now */
    task_statistics();
    uint64_t blocks = heap_statistics().blocks_in_use;
    good &= try_all();
    task_statistics();
    good &= expect("nothing is lost", heap_statistics().blocks_in_use == blocks);
    return good ? OK : ERR_FAILED;
}
