/* SPDX-License-Identifier: MIT */
/*
 * isolation_test [WORD] - tasks that fault in every way and place, with their chains and stacks
 * damaged: each ends alone, what can be released is, and the rest is told. Then flips each bit of
 * each register of code that faults.
 */
#include "isolation_priv.h"
#include "application.h"
#include "catch.h"
#include "console.h"
#include "exceptions.h"
#include "frame_allocator.h"
#include "freestanding.h"
#include "task.h"

CELL(application, "1.0.0");

APPLICATION(isolation_test);

/* ---- kinds, each in a task of its own ---- */

struct attempt {
    const struct isolation_kind *kind;
    unsigned place; /* 0: in the task itself */
};

static int run_attempt(struct attempt *attempt)
{
    OWNED(frames, frames);
    if (frame_allocator_take(1, 1, SLOT(frames)) != OK) {
        return 0;
    }
    switch (attempt->place) {
    case IN_EXCEPTION:
        isolation_in_exception(attempt->kind->provoke);
        break;
    case IN_INTERRUPT:
        isolation_in_interrupt(attempt->kind->provoke);
        break;
    default:
        attempt->kind->provoke();
        break;
    }
    return 1;
}
TASK_DEFINE(victim, struct attempt, int, run_attempt);

static enum status join_victim(const struct isolation_kind *kind, unsigned place)
{
    OWNED(victim_task, task);
    enum status status = victim_spawn(&(struct attempt){kind, place}, NULL, SLOT(task));
    if (status != OK) {
        return status;
    }
    int result = 0;
    status = victim_join(SLOT(task), &result);
    return status == OK && result != 1 ? ERR_NO_MEMORY : status;
}

#define PATIENCE 1000u /* looks, of 100 us each */

/* Once the dead are off their stacks, and without what is kept for others. */
static uint64_t free_frames(uint64_t tasks)
{
    for (unsigned i = 0; i < PATIENCE && task_statistics().tasks != tasks; i++) {
        task_sleep(100000);
    }
    task_release_stacks();
    return frame_allocator_statistics().free;
}

/* What a run loses; `*out_status` is what it is joined with. */
static uint64_t measure_loss(const struct isolation_kind *kind, unsigned place,
                             enum status *out_status)
{
    uint64_t tasks = task_statistics().tasks;
    uint64_t before = free_frames(tasks);
    *out_status = join_victim(kind, place);
    return before - free_frames(tasks);
}

/* Somebody may keep a frame for good meanwhile, a pool or a table, but not twice in a row. */
bool isolation_try(const struct isolation_kind *kind, unsigned place)
{
    static const char *const places[] = {
        [IN_EXCEPTION] = " in a handler of exceptions", [IN_INTERRUPT] = " in one of interrupts"};
    enum status status;
    uint64_t lost = measure_loss(kind, place, &status);
    if (lost != kind->lost) {
        lost = measure_loss(kind, place, &status);
    }
    bool goes_on = kind->is_survived || place == IN_INTERRUPT;
    bool is_right = status == (goes_on ? OK : ERR_FAULT) && lost == kind->lost;
    console_print("isolation_test: %s%s: %s, %llu lost: %s\n", kind->name,
                  place ? places[place] : "", status_name(status), (unsigned long long)lost,
                  is_right ? "OK" : "FAILED");
    return is_right;
}

/* Those whose name holds `word`. */
static unsigned try_kinds(const struct isolation_kind *kinds, const char *word, unsigned *count)
{
    unsigned failures = 0;
    for (const struct isolation_kind *kind = kinds; kind->name; kind++) {
        bool is_wanted = false;
        for (const char *at = kind->name; *at && !is_wanted; at++) {
            is_wanted = strncmp(at, word, strlen(word)) == 0;
        }
        if (is_wanted) {
            failures += !isolation_try(kind, 0);
            ++*count;
        }
        for (unsigned place = IN_EXCEPTION; is_wanted && place <= IN_INTERRUPT; place++) {
            if (kind->places & place) {
                failures += !isolation_try(kind, place);
                ++*count;
            }
        }
    }
    return failures;
}

/* ---- bits ---- */

/* In the order of struct exception_frame; not rsp, below which the CPU writes before anybody is asked. */
#define REGISTERS 15u
#define BITS      64u

struct flip {
    unsigned place; /* in the frame */
    unsigned bit;
};

/* Goes on at the address in rdx with one bit of one register flipped. */
static bool flip_bit(struct exception_frame *frame, void *context)
{
    const struct flip *flip = context;
    if (frame->rcx != (uint64_t)context) {
        return false;
    }
    frame->rip = frame->rdx;
    ((uint64_t *)frame)[flip->place] ^= 1ull << flip->bit;
    return true;
}

static NOINLINE void fall(const struct flip *flip, unsigned depth)
{
    OWNED(frames, frames);
    if (frame_allocator_take(1, 1, SLOT(frames)) != OK) {
        return;
    }
    if (depth > 0) {
        fall(flip, depth - 1);
        return;
    }
    __asm__ volatile("leaq 1f(%%rip), %%rdx\n\tint3\n1:\tud2" : : "c"(flip) : "rdx", "memory");
}

static void begin_fall(void *flip)
{
    fall(flip, 4);
}

static bool try_bits(void)
{
    struct flip flip;
    unsigned caught = 0;
    uint64_t tasks = task_statistics().tasks;
    uint64_t before = free_frames(tasks);
    OWNED(exception_handler, handler);
    if (exception_handler_register(EXCEPTION_BP, "isolation_test", flip_bit, &flip,
                                   SLOT(handler)) != OK) {
        return false;
    }
    for (flip.place = 0; flip.place < REGISTERS; flip.place++) {
        for (flip.bit = 0; flip.bit < BITS; flip.bit++) {
            struct catch_reason reason;
            caught += catch_unwind(begin_fall, &flip, &reason) == ERR_FAULT &&
                      reason.released == 5 && reason.is_complete;
        }
    }
    uint64_t lost = before - free_frames(tasks);
    console_print("isolation_test: %u of %u faults with a flipped bit released all, %llu lost\n",
                  caught, REGISTERS * BITS, (unsigned long long)lost);
    return caught == REGISTERS * BITS && lost == 0;
}

enum status isolation_test_main(const struct app_arguments *arguments)
{
    const char *word = arguments->count > 1 ? arguments->values[1] : "";
    static const struct isolation_kind warm_up = {"warms up", isolation_fault, 0, false, 0};
    unsigned count = 0;
    (void)!join_victim(&warm_up, 0);
    (void)free_frames(task_statistics().tasks);
    (void)!join_victim(&warm_up, 0);
    task_sleep(10000000); /* the warm-up is no task any more */
    unsigned failures = try_kinds(isolation_faults, word, &count);
    failures += try_kinds(isolation_damages, word, &count);
    failures += isolation_try_readers(&count);
    failures += isolation_try_tasks(&count);
    failures += !try_bits();
    console_print("isolation_test: %u kinds, %u failures\n", count, failures);
    return failures == 0 ? OK : ERR_FAILED;
}
