/* SPDX-License-Identifier: MIT */
/* The kernel's exceptions, and the pages around the stacks of the pool. */
#include "catch.h"
#include "catch_priv.h"
#include "exceptions.h"
#include "own.h"
#include "stack.h"
#include "x86.h"

/* Flags that the interrupted code may have set and C does not expect. */
#define FLAG_TRAP      (1u << 8)
#define FLAG_DIRECTION (1u << 10)
#define FLAG_ALIGNMENT (1u << 18)

static const uint8_t vectors[] = {EXCEPTION_DE, EXCEPTION_UD, EXCEPTION_NM, EXCEPTION_DF,
                                  EXCEPTION_SS, EXCEPTION_GP, EXCEPTION_PF};
static struct exception_handler *handlers[ARRAY_COUNT(vectors)]; /* owned, for good */

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
    if (!catch_take(registers, &fault)) {
        return false;
    }
    if (registers[CFI_RIP] == frame->rip) {
        return true; /* not yet */
    }
    catch_witness_t witness = catch_witness(registers[CFI_RDI]);
    if (witness) {
        witness(frame);
    }
    frame->rip = registers[CFI_RIP];
    frame->rsp = registers[CFI_RSP];
    frame->rdi = registers[CFI_RDI];
    frame->rflags &= ~(uint64_t)(FLAG_TRAP | FLAG_DIRECTION | FLAG_ALIGNMENT);
    return true;
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
    for (unsigned i = 0; i < ARRAY_COUNT(vectors); i++) {
        OWNED(exception_handler, handler);
        enum status status =
            exception_handler_register(vectors[i], "catch", take, NULL, SLOT(handler));
        if (status != OK) {
            return status;
        }
        STORE(handlers[i], handler);
    }
    return OK;
}
