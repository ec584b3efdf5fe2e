/* SPDX-License-Identifier: MIT */
/* The kernel's exceptions, and the pages around the stacks of the pool. */
#include "catch.h"
#include "catch_priv.h"
#include "exceptions.h"
#include "interrupt_catch.h"
#include "logger.h"
#include "own.h"
#include "owned.h"
#include "stack.h"
#include "text_write.h"
#include "x86.h"

/* Flags that the interrupted code may have set and C does not expect. */
#define FLAG_TRAP      (1u << 8)
#define FLAG_DIRECTION (1u << 10)
#define FLAG_ALIGNMENT (1u << 18)

static struct exception_handler *handlers[EXCEPTION_COUNT]; /* owned, for good */
static void (*settle)(uint64_t rsp);                        /* NULL: there are no tasks yet */

/* All that code can cause, if only by the instruction `int`. */
static bool is_of_code(unsigned vector)
{
    return vector != EXCEPTION_NMI && vector != EXCEPTION_MC;
}

/* Who takes it: a catch point, or what called the handler of an interrupt. `*out_report`: to whom
 * it is told. */
static bool take_either(uint64_t registers[CFI_REGISTER_COUNT], const struct catch_fault *fault,
                        catch_witness_t *out_report)
{
    uint64_t rip = registers[CFI_RIP];
    bool is_first;
    if (catch_take(registers, fault)) {
        *out_report = registers[CFI_RIP] == rip ? NULL : catch_witness(registers[CFI_RDI]);
        return true;
    }
    if (interrupt_catch_take(registers, &is_first)) {
        *out_report = is_first ? exceptions_print : NULL;
        return true;
    }
    return false;
}

/*
 * The newest slot, `own`, is that of the call of this handler, which goes on: it is no part of what
 * was interrupted. What is to be settled is done with interrupts off.
 */
static bool take_below(struct own_slot *own, bool is_masked, uint64_t registers[CFI_REGISTER_COUNT],
                       const struct catch_fault *fault, catch_witness_t *out_report)
{
    OWN_TOP = own->below;
    if (is_masked) {
        text_write_settle();
        if (settle) {
            settle(registers[CFI_RSP]);
        }
    }
    bool is_taken = take_either(registers, fault, out_report);
    own->below = OWN_TOP;
    COMPILER_BARRIER();
    OWN_TOP = own;
    return is_taken;
}

static bool take(struct exception_frame *frame, void *context)
{
    (void)context;
    uint64_t registers[CFI_REGISTER_COUNT] = {
        [CFI_RAX] = frame->rax, [CFI_RDX] = frame->rdx, [CFI_RCX] = frame->rcx,
        [CFI_RBX] = frame->rbx, [CFI_RSI] = frame->rsi, [CFI_RDI] = frame->rdi,
        [CFI_RBP] = frame->rbp, [CFI_RSP] = frame->rsp, [CFI_R8] = frame->r8,
        [CFI_R9] = frame->r9,   [CFI_R10] = frame->r10, [CFI_R11] = frame->r11,
        [CFI_R12] = frame->r12, [CFI_R13] = frame->r13, [CFI_R14] = frame->r14,
        [CFI_R15] = frame->r15, [CFI_RIP] = frame->rip,
    };
    const struct catch_fault fault = {
        .vector = frame->vector,
        .error_code = frame->error_code,
        .address = frame->vector == EXCEPTION_PF || frame->vector == EXCEPTION_DF ? read_cr2() : 0,
    };
    catch_witness_t report;
    bool is_masked = !(frame->rflags & RFLAGS_INTERRUPTS);
    if (!take_below(OWN_TOP, is_masked, registers, &fault, &report)) {
        return false;
    }
    if (registers[CFI_RIP] == frame->rip) {
        return true; /* not yet */
    }
    if (report) {
        report(frame);
    }
    frame->rip = registers[CFI_RIP];
    frame->rsp = registers[CFI_RSP];
    frame->rdi = registers[CFI_RDI];
    frame->rflags &= ~(uint64_t)(FLAG_TRAP | FLAG_DIRECTION | FLAG_ALIGNMENT);
    return true;
}

void catch_set_settle(void (*function)(uint64_t rsp))
{
    settle = function;
}

enum status catch_enable(void)
{
    if (handlers[0]) {
        return OK;
    }
    for (unsigned i = 0; i < CATCH_STACKS; i++) {
        enum status status =
            stack_adopt((vaddr_t)catch_stacks.of[i].stack, CATCH_STACK_SIZE, "release of slots");
        if (status != OK) {
            return status;
        }
    }
    catch_base_witness = exceptions_print;
    for (unsigned i = 0; i < EXCEPTION_COUNT; i++) {
        OWNED(exception_handler, handler);
        if (!is_of_code(i)) {
            continue;
        }
        enum status status = exception_handler_register(i, "catch", take, NULL, SLOT(handler));
        if (status != OK) {
            return status;
        }
        STORE(handlers[i], handler);
    }
    return OK;
}

void catch_log_losses(const char *who, const struct catch_reason *reason)
{
    for (uint32_t i = 0; i < reason->lost && i < CATCH_LOSSES_MAX; i++) {
        char name[OWNED_NAME_SIZE];
        owned_name(reason->losses[i].drop, name, sizeof(name));
        log_error("%s: not released: %s at %#llx", who, name,
                  (unsigned long long)reason->losses[i].handle);
    }
    if (reason->lost > CATCH_LOSSES_MAX) {
        log_error("%s: not released: %u more", who, reason->lost - CATCH_LOSSES_MAX);
    }
    if (reason->is_mended) {
        log_error(
            "%s: its chain of slots was broken; what lay in slots that were overwritten is lost",
            who);
    } else if (!reason->is_complete) {
        log_error("%s: given up after %u faults", who, reason->faults);
    }
}
