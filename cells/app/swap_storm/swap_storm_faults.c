/* SPDX-License-Identifier: MIT */
/*
 * From the hook that is called before the window on, the swap is executed under the trap flag. After
 * so many instructions the exception is not taken as a step, and ends the swap as any fault does:
 * while all other CPUs stand still, in the commit, in what is left of it. How many there are is
 * known from a swap that is only stepped through. test/strike strikes each instruction, on the
 * host; here are those that only a kernel has.
 */
#include "catch.h"
#include "cell_namespace.h"
#include "console.h"
#include "diag.h"
#include "exceptions.h"
#include "heap.h"
#include "swap_sample.h"
#include "swap_storm.h"
#include "task.h"

#define FLAG_TRAP  0x100u
#define PASSES_MAX 8u /* until the swap remembers as many as it can */

/* ---- steps ---- */

struct steps {
    struct stack_place stack; /* of who swaps */
    uint64_t left;            /* instructions until the fault */
    bool is_on;
    unsigned taken_back; /* faults behind which the old cell was there; and the new one */
    unsigned finished;
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

static enum status begin_steps(void *context, const struct swap_view *view)
{
    (void)view;
    ((struct steps *)context)->is_on = true;
    __asm__ volatile("pushfq\n\t"
                     ".cfi_adjust_cfa_offset 8\n\t"
                     "orq $0x100, (%%rsp)\n\t"
                     "popfq\n\t"
                     ".cfi_adjust_cfa_offset -8"
                     :
                     :
                     : "memory", "cc");
    return OK;
}

/* ---- one fault ---- */

struct attempt {
    struct swap_request request;
    struct diag diag;
    enum status status;
};

static void swap(void *argument)
{
    struct attempt *attempt = argument;
    attempt->status = swap_cells(&attempt->request, NULL, &attempt->diag);
    ((struct steps *)attempt->request.hooks->context)->is_on = false; /* within the catch point */
}

static const struct cell *find_one(void)
{
    GUARD(mutex, held, cell_namespace_mutex());
    return cell_namespace_find_cell(cell_namespace_initial(), ONE);
}

/* The old cell with every byte, or the new one; and the next call counts on. */
static bool is_whole(bool is_old, uint64_t hash, uint64_t count)
{
    return find_one() && swap_sample_version() == 1 && swap_sample_count() == count + 1 &&
           (!is_old || swap_state_hash(cell_namespace_initial(), false) == hash);
}

/* `*out_rest`: instructions that were not executed before the end. */
static bool fault_after(struct steps *steps, uint64_t instructions, uint64_t *out_rest)
{
    static const struct swap_pair pair = {ONE, ONE};
    const struct swap_hooks hooks = {.prepare = begin_steps, .context = steps};
    struct attempt attempt = {
        .request = {.namespace = cell_namespace_initial(),
                    .pairs = &pair,
                    .pair_count = 1,
                    .hooks = &hooks},
    };
    if (!stack_find((vaddr_t)__builtin_frame_address(0), &steps->stack)) {
        return false;
    }
    const struct cell *before = find_one();
    uint64_t count = swap_sample_count();
    uint64_t hash = swap_state_hash(cell_namespace_initial(), false);
    struct catch_reason reason;
    steps->left = instructions;
    enum status status = catch_unwind(swap, &attempt, &reason);
    steps->is_on = false;
    *out_rest = steps->left;
    bool is_expected = status == OK ? attempt.status == OK
                                    : reason.fault.vector == EXCEPTION_DB && reason.is_complete;
    bool is_old = find_one() == before;
    steps->taken_back += status != OK && is_old;
    steps->finished += status != OK && !is_old;
    return is_expected && is_whole(is_old, hash, count);
}

/* ---- all of them ---- */

/* Without cells that were replaced, but for those that something keeps. */
static uint64_t count_blocks(void)
{
    uint32_t before = UINT32_MAX;
    for (uint32_t stay = swap_retire(); stay < before; stay = swap_retire()) {
        before = stay;
    }
    return heap_statistics().blocks_in_use;
}

static bool fault_everywhere(struct steps *steps, uint32_t samples, uint64_t *out_instructions)
{
    uint64_t rest;
    bool is_right = fault_after(steps, UINT64_MAX, &rest);
    uint64_t all = UINT64_MAX - rest;
    *out_instructions = all;
    for (uint64_t i = 0; is_right && i < samples; i++) {
        uint64_t at = samples > 1 ? i * (all - 1) / (samples - 1) : 0;
        is_right = fault_after(steps, at, &rest);
        if (!is_right) {
            console_print("swap_storm: a fault after %lu of %lu instructions: wrong\n",
                          (unsigned long)at, (unsigned long)all);
        }
    }
    return is_right;
}

bool test_faults(uint32_t samples)
{
    struct steps steps = {.is_on = false};
    OWNED(exception_handler, handler);
    if (exception_handler_register(EXCEPTION_DB, "swap_storm", on_step, &steps, SLOT(handler)) !=
        OK) {
        return false;
    }
    uint64_t before;
    uint64_t blocks = count_blocks();
    uint64_t instructions = 0;
    unsigned passes = 0;
    bool is_right;
    do {
        before = blocks;
        is_right = fault_everywhere(&steps, samples, &instructions);
        blocks = count_blocks();
    } while (is_right && blocks != before && ++passes < PASSES_MAX);
    console_print(
        "swap_storm: faults: %u of %lu instructions from the window on, %s; %u swaps taken "
        "back, %u finished\n",
        samples, (unsigned long)instructions, is_right ? "0 wrong" : "WRONG", steps.taken_back,
        steps.finished);
    return is_right && check("faults in a swap lose no memory", passes < PASSES_MAX) &&
           check("swaps are taken back, and finished", steps.taken_back && steps.finished);
}
