/* SPDX-License-Identifier: MIT */
/*
 * strike_guest - operations of the running system, struck after their instructions.
 *
 * What test/strike does on the host is done here by the real CPU, for what the host can only
 * simulate: control registers, vector registers, page tables, switches with their locks. A task
 * executes the operation under the trap flag. After so many instructions the exception is not taken
 * as a step, and so comes to the task's catch point as any fault does. Each strike is a task of its
 * own. In the end nothing may be lost.
 */
#include "application.h"
#include "catch.h"
#include "console.h"
#include "exceptions.h"
#include "frame_allocator.h"
#include "heap.h"
#include "page_table.h"
#include "strike_guest_priv.h"
#include "task.h"

CELL(application, "1.0.0");

APPLICATION(strike_guest);

#define FLAG_TRAP   0x100u
#define STRIKES_MAX 20000u /* of one operation */
#define LOOKS       500u   /* at 20 ms */
#define LOOK_NS     20000000ull
#define PASSES_MAX  6u
#define WRONG_MAX   5u /* then it is enough */

/* ---- steps ---- */

struct steps {
    struct stack_place stack; /* of the task that is struck */
    uint64_t left;            /* instructions until the fault */
    bool is_on;
};

/* Others that come to run under the flag, by a switch, go on without it. */
static bool on_step(struct exception_frame *frame, void *context)
{
    struct steps *steps = context;
    bool is_struck = frame->rsp - steps->stack.bottom < steps->stack.top - steps->stack.bottom;
    if (!steps->is_on || !is_struck) {
        frame->rflags &= ~(uint64_t)FLAG_TRAP;
        return true;
    }
    if (steps->left-- > 0) {
        return true;
    }
    steps->is_on = false;
    return false;
}

static inline __attribute__((always_inline)) void begin_steps(struct steps *steps)
{
    steps->is_on = true;
    __asm__ volatile("pushfq\n\t"
                     ".cfi_adjust_cfa_offset 8\n\t"
                     "orq $0x100, (%%rsp)\n\t"
                     "popfq\n\t"
                     ".cfi_adjust_cfa_offset -8"
                     :
                     :
                     : "memory", "cc");
}

static inline __attribute__((always_inline)) void end_steps(struct steps *steps)
{
    __asm__ volatile("pushfq\n\t"
                     ".cfi_adjust_cfa_offset 8\n\t"
                     "andq $~0x100, (%%rsp)\n\t"
                     "popfq\n\t"
                     ".cfi_adjust_cfa_offset -8"
                     :
                     :
                     : "memory", "cc");
    steps->is_on = false;
}

/* ---- one strike ---- */

struct attempt {
    struct steps *steps;
    const struct guest *guest;
    const struct guest_operation *operation;
    uint64_t instructions;
};

enum outcome {
    OUTCOME_WRONG,
    OUTCOME_RIGHT,
    OUTCOME_ENDED, /* the operation has fewer instructions, and all is right */
};

static void step_through(void *argument)
{
    struct attempt *attempt = argument;
    begin_steps(attempt->steps);
    attempt->operation->operate(attempt->guest);
    end_steps(attempt->steps);
}

/* What holds for a CPU whenever a task runs there with interrupts on. */
static bool is_cpu_right(void)
{
    bool is_open = preemption_count() == 0 && interrupts_enabled();
    GUARD(interrupt_mask, masked, INTERRUPTS);
    uint64_t cr0 = read_cr0();
    bool has_vectors = !(cr0 & CR0_TASK_SWITCHED);
    return is_open && (cr0 & CR0_WRITE_PROTECT) &&
           has_vectors == (parking_self()->vector_state != NULL);
}

static enum outcome strike(struct attempt *attempt)
{
    const struct guest_operation *operation = attempt->operation;
    if (!stack_find((vaddr_t)__builtin_frame_address(0), &attempt->steps->stack)) {
        return OUTCOME_WRONG;
    }
    if (operation->prepare) {
        operation->prepare(attempt->guest);
    }
    attempt->steps->left = attempt->instructions;
    struct catch_reason reason;
    enum status status = catch_unwind(step_through, attempt, &reason);
    bool has_ended = status == OK;
    if (!has_ended && (reason.fault.vector != EXCEPTION_DB || !reason.is_complete)) {
        return OUTCOME_WRONG;
    }
    if (!is_cpu_right() || !operation->is_right(attempt->guest, has_ended) || !is_cpu_right()) {
        return OUTCOME_WRONG;
    }
    return has_ended ? OUTCOME_ENDED : OUTCOME_RIGHT;
}
TASK_DEFINE(victim, struct attempt, enum outcome, strike);

static enum outcome strike_in_task(const struct attempt *attempt)
{
    struct task_options here = {.is_pinned = true, .cpu = 0};
    OWNED(victim_task, task);
    enum outcome outcome = OUTCOME_WRONG;
    if (victim_spawn(attempt, &here, SLOT(task)) != OK || victim_join(SLOT(task), &outcome) != OK) {
        return OUTCOME_WRONG;
    }
    return outcome;
}

/* ---- all of them ---- */

struct counts {
    uint64_t frames; /* free, of page tables, or the heap's: what is lost there blocks tell */
    uint64_t blocks; /* of the heap */
};

/* When no more than `tasks` are left, and without the stacks that are kept for later. */
static struct counts count(uint64_t tasks)
{
    task_release_stacks();
    for (unsigned i = 0; i < LOOKS && task_statistics().tasks > tasks; i++) {
        task_sleep(LOOK_NS);
        task_release_stacks();
    }
    struct heap_statistics heap = heap_statistics();
    return (struct counts){
        .frames = frame_allocator_statistics().free + page_table_statistics().tables +
                  heap.bytes_mapped / PAGE_SIZE,
        .blocks = heap.blocks_in_use,
    };
}

/* Strikes until the operation ends before the fault; true: all were right. */
static bool strike_all(struct attempt *attempt)
{
    const struct guest_operation *operation = attempt->operation;
    unsigned strikes = 0;
    unsigned wrong = 0;
    enum outcome outcome = OUTCOME_RIGHT;
    while (outcome != OUTCOME_ENDED && strikes < STRIKES_MAX && wrong < WRONG_MAX) {
        attempt->instructions = (uint64_t)strikes * operation->every;
        outcome = strike_in_task(attempt);
        if (outcome == OUTCOME_WRONG) {
            console_print("strike_guest: %s: wrong after %lu instructions\n", operation->name,
                          (unsigned long)attempt->instructions);
            wrong++;
        }
        strikes += outcome != OUTCOME_ENDED;
    }
    console_print("strike_guest: %s: %u strikes, %u wrong\n", operation->name, strikes, wrong);
    return wrong == 0 && outcome == OUTCOME_ENDED && strikes > 0;
}

/*
 * CPUs keep a frame for themselves now and then, and there is an end to that: what strikes lose is
 * lost in each pass.
 */
static bool strike_without_loss(struct attempt *attempt, uint64_t tasks)
{
    struct counts before;
    struct counts now = count(tasks);
    unsigned passes = 0;
    do {
        before = now;
        if (!strike_all(attempt)) {
            return false;
        }
        now = count(tasks);
    } while ((now.blocks != before.blocks || now.frames < before.frames) && ++passes < PASSES_MAX);
    if (passes == PASSES_MAX) {
        console_print("strike_guest: %s: %lu then %lu blocks, %lu then %lu frames: LOST\n",
                      attempt->operation->name, (unsigned long)before.blocks,
                      (unsigned long)now.blocks, (unsigned long)before.frames,
                      (unsigned long)now.frames);
    }
    return passes < PASSES_MAX;
}

static bool run_all(const struct guest *guest, void *steps)
{
    bool is_right = true;
    uint64_t tasks = task_statistics().tasks;
    for (const struct guest_operation *operation = guest_operations; operation->name; operation++) {
        struct attempt attempt = {.steps = steps, .guest = guest, .operation = operation};
        is_right &= strike_without_loss(&attempt, tasks);
    }
    return is_right;
}

enum status strike_guest_main(const struct app_arguments *arguments)
{
    (void)arguments;
    struct steps steps = {.is_on = false};
    OWNED(exception_handler, handler);
    enum status status =
        exception_handler_register(EXCEPTION_DB, "strike_guest", on_step, &steps, SLOT(handler));
    status = status == OK ? guest_call(run_all, &steps) : status;
    console_print("strike_guest: %s\n",
                  status == OK ? "all is right, nothing is lost: OK" : "FAILED");
    return status;
}
