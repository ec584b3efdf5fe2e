/* SPDX-License-Identifier: MIT */
/*
 * catch.h - calls a function, and comes back even if it faults.
 *
 * Why: what a function owns is in slots on the chain of its task (own.h), so a fault at any
 * instruction can release it and go on where somebody is prepared for that: here. The reason, with
 * all registers of the moment, is handed to the caller as data.
 *
 *      struct catch_reason reason;
 *      enum status status = catch_unwind(draw, &window, &reason);
 *      if (status == ERR_FAULT) { log_error("draw failed: exception %llu", reason.fault.vector); }
 *
 * A catch point is a slot itself, found by its type: it nests, and it travels with its task,
 * without a field of its own anywhere. Registers need not be restored frame by frame: those that a
 * function preserves were saved when it was called.
 *
 * Rules: catch_enable() once, before. Any task, with or without preemption held; faults of an
 * interrupt handler end at a point only if the handler itself called catch_unwind(). What the
 * function holds outside of slots is lost: see own.h. Slots are released on a stack of the pool
 * below, with interrupts as they were at the fault; afterwards holds of preemption and the flags
 * are as when catch_unwind() was called. A fault while slots are released begins that drop once
 * more, and skips a slot whose drop faults again (OWN_TRIES); after CATCH_FAULTS_MAX nothing more
 * is released. What was not is listed in the reason.
 *
 * A chain that is broken, by a link, a tag or an end that was overwritten, is made anew from the
 * tags of all slots on its stacks. What lay in a slot whose tag was hit is lost, and `is_complete`
 * says so. Where no catch point is found in this way either, the exception ends the system with its
 * report.
 */
#pragma once

#include "cfi.h"

#define CATCH_FAULTS_MAX 64
#define CATCH_CUTS_MAX   4u /* further ones, on the way back */
#define CATCH_LOSSES_MAX 4u /* that are told one by one */

/*
 * Functions that fault at one time. The next one executes what faults again and again, until a
 * stack is free: it may be interrupted in between. After so many times its exception is not taken.
 */
#define CATCH_STACKS     8u
#define CATCH_WAITS_MAX  20000000u
#define CATCH_STACK_SIZE 8192u /* what drops of one slot may use, interrupts included */

struct catch_fault {
    uint64_t vector;     /* of the exception */
    uint64_t error_code; /* 0 for exceptions without one */
    uint64_t address;    /* of a page fault */
};

/* Something that was not released. */
struct catch_loss {
    uintptr_t drop; /* its type: owned_name() */
    uintptr_t handle;
};

struct catch_reason {
    struct catch_fault fault;               /* the first one */
    uint64_t registers[CFI_REGISTER_COUNT]; /* when it struck, by enum cfi_register */
    uint64_t released;                      /* slots that held something */
    uint32_t faults;                        /* 1 (a kill: 0), and those while slots were released */
    uint32_t lost;                          /* slots whose content was not released */
    bool is_mended;                         /* the chain was broken, and made anew from tags */
    bool is_complete; /* it was whole: every slot above the catch point was reached */
    struct catch_loss losses[CATCH_LOSSES_MAX]; /* the first of them, as far as `lost` says */
};

/*
 * Calls function(argument). OK when it returns; ERR_FAULT when it did not, and then `out_reason` is
 * filled (it may be NULL); of a task's outermost point also ERR_KILLED, by catch_kill().
 */
CELL_API MUST_CHECK enum status catch_unwind(void (*function)(void *argument), void *argument,
                                             struct catch_reason *out_reason);

/*
 * The same; `witness` is called for the first fault, in the exception, before anything is released:
 * for reports.
 */
struct exception_frame;
typedef void (*catch_witness_t)(const struct exception_frame *frame);
CELL_API MUST_CHECK enum status catch_watched(void (*function)(void *argument), void *argument,
                                              catch_witness_t witness,
                                              struct catch_reason *out_reason);

/*
 * The outermost point of a task, made by who makes the task: so that no instruction of it is outside of a
 * point. It lies at the upper end of the task's stack, which is `top`, and the rest of the stack ends where this
 * says; `*out_top` is the newest slot of the task's chain. Whenever a fault strikes what is newer, or
 * a kill, all that is released, the exception is reported (exceptions.h), and the task goes on with
 * again(argument, status, reason) on its stack, which is empty: with interrupts off, nothing held, in the same
 * point. `again` does not return; a fault in it begins it once more, CATCH_BASES_MAX times in all: after that the
 * exception ends the system. The reason is good until then. Both addresses are aligned to 16 bytes.
 */
#define CATCH_BASE_SIZE 512u
#define CATCH_BASES_MAX 100u
typedef void (*catch_again_t)(void *argument, enum status status,
                              const struct catch_reason *reason);
struct own_slot;
CELL_API uint64_t catch_base(uint64_t top, catch_again_t again, void *argument,
                             struct own_slot **out_top);

/*
 * For handlers of exceptions: is there a catch point on the chain of what was interrupted? Then
 * `registers`, those of the interrupted code, are changed so that going on there releases the slots
 * and comes back at the catch point. They are unchanged where all stacks are in use: then it is to
 * go on there and fault once more. The handler owns no slots when it asks.
 */
CELL_API bool catch_take(uint64_t registers[CFI_REGISTER_COUNT], const struct catch_fault *fault);

/*
 * Kills what the calling task does, wherever it was stopped: all slots above its outermost point
 * are released, on the stack that it is on, and the call of that point returns ERR_KILLED. The
 * points in between do not return: code that is prepared for faults of what it calls has no say in
 * its task's end. A fault meanwhile is dealt with as one of the outermost point's. In the reason is
 * no fault, and no registers. A broken chain is made anew from tags. Interrupts are enabled,
 * nothing is held. Comes back only where the task cannot be killed now, and says why: a guard
 * (kill_deferral.h), slots being released after a fault, no catch point at all. One call a task.
 */
struct kill_deferral;
CELL_API void catch_kill(const struct kill_deferral **out_by);

/*
 * Takes exceptions of faulty code from now on, for all CPUs: all but non-maskable interrupts and
 * machine checks. Faults in handlers of interrupts too (interrupt_catch.h), once that is enabled.
 * Handlers that are registered later are asked before. Again: does nothing. Errors of
 * exception_handler_register() and stack_adopt().
 */
CELL_API MUST_CHECK enum status catch_enable(void);

/*
 * `function` makes right what a fault has left behind that struck with this stack pointer, and that
 * no slot knows of. It is called in the exception, before the chain is looked at, on the chain of
 * what was interrupted, if that had interrupts off.
 */
CELL_API void catch_set_settle(void (*function)(uint64_t rsp));

/* Says in the log what was not released, a line each; nothing where all was. */
CELL_API void catch_log_losses(const char *who, const struct catch_reason *reason);
