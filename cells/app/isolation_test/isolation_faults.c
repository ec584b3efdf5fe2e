/* SPDX-License-Identifier: MIT */
/* Exceptions of each kind, wild jumps, and faults in handlers. */
#include "exceptions.h"
#include "frame_allocator.h"
#include "freestanding.h"
#include "interrupts.h"
#include "isolation_priv.h"
#include "memory.h"

#define NOT_CANONICAL 0x0123456789abcdefull
#define WILD          0x4000ull /* not mapped */
#define VECTOR        "239"     /* for inline assembly */
#define OTHER_VECTOR  INTERRUPT_ANY_LAST
static_assert(INTERRUPT_SOFTWARE == 239, "VECTOR");

/* ---- exceptions ---- */

static void divide(void)
{
    __asm__ volatile("xorl %%edx, %%edx\n\txorl %%ecx, %%ecx\n\tdivl %%ecx"
                     :
                     :
                     : "rax", "rcx", "rdx", "cc");
}

static void step(void)
{
    __asm__ volatile("pushfq\n\t"
                     ".cfi_adjust_cfa_offset 8\n\t"
                     "orq $0x100, (%%rsp)\n\t" /* the trap flag */
                     "popfq\n\t"
                     ".cfi_adjust_cfa_offset -8\n\t"
                     "nop"
                     :
                     :
                     : "memory", "cc");
}

static void break_here(void)
{
    __asm__ volatile("int3" : : : "memory");
}

static void overflow(void)
{
    __asm__ volatile("int $4" : : : "memory");
}

static void exceed_bound(void)
{
    __asm__ volatile("int $5" : : : "memory");
}

static void use_absent_gate(void)
{
    __asm__ volatile("int $9" : : : "memory"); /* reserved: reported by number */
}

static void load_bad_task(void)
{
    __asm__ volatile("ltr %w0" : : "r"(SELECTOR_TASK) : "memory"); /* it is in use */
}

static void use_bad_stack(void)
{
    __asm__ volatile("movq %0, %%rbp\n\tmovq (%%rbp), %%rax"
                     :
                     : "r"(NOT_CANONICAL)
                     : "rax", "memory");
}

static void use_bad_address(void)
{
    __asm__ volatile("movb (%0), %%al" : : "r"(NOT_CANONICAL) : "rax", "memory");
}

static void read_null(void)
{
    __asm__ volatile("movb (%0), %%al" : : "r"(0ull) : "rax", "memory");
}

static void divide_x87(void)
{
    static const uint16_t unmasked = 0x0340;
    __asm__ volatile("fninit\n\tfldcw %0\n\tfldz\n\tfld1\n\tfdivp\n\tfwait" : : "m"(unmasked));
}

static NOINLINE uint64_t recurse(uint64_t depth)
{
    volatile uint64_t frame[16];
    frame[0] = depth;
    return depth == UINT64_MAX ? 0 : recurse(depth + 1) + frame[0];
}

static void use_up_stack(void)
{
    recurse(0);
}

/* ---- wild program counters ---- */

static void call_null(void)
{
    __asm__ volatile("call *%0" : : "r"(0ull) : "memory");
}

static void call_unmapped(void)
{
    __asm__ volatile("call *%0" : : "r"(WILD) : "memory");
}

static void jump_to_data(void)
{
    static uint64_t const data = 0xc3;
    __asm__ volatile("jmp *%0" : : "r"(&data) : "memory");
}

static void jump_to_stack(void)
{
    volatile uint64_t data = 0xc3;
    __asm__ volatile("jmp *%0" : : "r"(&data) : "memory");
}

static void jump_off(void)
{
    __asm__ volatile("jmp *%0" : : "r"(NOT_CANONICAL) : "memory");
}

/* ---- return addresses ---- */

static NOINLINE void return_to(uint64_t address)
{
    ((volatile uint64_t *)__builtin_frame_address(0))[1] = address;
}

static void return_to_null(void)
{
    return_to(0);
}

static void return_to_data(void)
{
    static uint64_t const data = 0xc3;
    return_to((uint64_t)&data);
}

static void return_off(void)
{
    return_to(NOT_CANONICAL);
}

/* The whole rest of the stack of this function and its callers, up to the slots. */
static NOINLINE void smash(void)
{
    volatile uint64_t *at = __builtin_frame_address(0);
    for (unsigned i = 0; i < 3; i++) {
        at[i] = NOT_CANONICAL;
    }
}

static void smash_frame(void)
{
    smash();
}

/* ---- handlers of exceptions ---- */

static bool fault_in_handler(struct exception_frame *frame, void *context)
{
    OWNED(frames, frames);
    if (frame->rdx != (uint64_t)context || frame_allocator_take(1, 1, SLOT(frames)) != OK) {
        return false;
    }
    isolation_fault();
    return true;
}

/* Both are left: the handler, and what it was called for. The handler can be dropped then. */
static void fault_in_exception_handler(void)
{
    OWNED(exception_handler, handler);
    void *self = SLOT(handler); /* an address that nobody else has */
    if (exception_handler_register(EXCEPTION_BP, "isolation_test", fault_in_handler, self,
                                   SLOT(handler)) == OK) {
        __asm__ volatile("int3" : : "d"(self) : "memory");
    }
}

/* ---- handlers of interrupts ---- */

static void fault_here(void *unused)
{
    (void)unused;
    isolation_fault();
}

static NOINLINE void fault_deep(unsigned depth)
{
    OWNED(frames, frames);
    if (frame_allocator_take(1, 1, SLOT(frames)) != OK) {
        return;
    }
    if (depth == 0) {
        isolation_fault();
    }
    fault_deep(depth - 1);
}

static void fault_with_frames(void *unused)
{
    (void)unused;
    fault_deep(5);
}

static void call_wild(void *unused)
{
    (void)unused;
    __asm__ volatile("call *%0" : : "r"(WILD) : "memory");
}

static void use_up_stack_in_handler(void *unused)
{
    (void)unused;
    recurse(0);
}

/* A fault in a handler of exceptions that a handler of interrupts needed. */
static void fault_twice(void *self)
{
    __asm__ volatile("int3" : : "d"(self) : "memory");
}

static void interrupt_with(interrupt_function_t function, void *context)
{
    OWNED(interrupt, interrupt);
    if (interrupt_register(INTERRUPT_SOFTWARE, "isolation_test", function, context,
                           SLOT(interrupt)) != OK) {
        isolation_fault(); /* not what is expected */
    }
    /* What the interrupted code has in its registers stays. */
    uint64_t kept;
    __asm__ volatile("movq $77, %0\n\tint $" VECTOR : "=&b"(kept) : : "memory");
    if (kept != 77) {
        isolation_fault();
    }
}

static void fault_in_interrupt(void)
{
    interrupt_with(fault_here, NULL);
}

static void fault_in_interrupt_with_frames(void)
{
    interrupt_with(fault_with_frames, NULL);
}

static void call_wild_in_interrupt(void)
{
    interrupt_with(call_wild, NULL);
}

static void use_up_stack_in_interrupt(void)
{
    interrupt_with(use_up_stack_in_handler, NULL);
}

static void fault_twice_in_interrupt(void)
{
    OWNED(exception_handler, handler);
    void *self = SLOT(handler); /* an address that nobody else has */
    if (exception_handler_register(EXCEPTION_BP, "isolation_test", fault_in_handler, self,
                                   SLOT(handler)) == OK) {
        interrupt_with(fault_twice, self);
    }
}

/* ---- any fault in either ---- */

struct call {
    void (*provoke)(void);
};

static bool call_in_handler(struct exception_frame *frame, void *context)
{
    OWNED(frames, frames);
    if (frame->rdx != (uint64_t)context || frame_allocator_take(1, 1, SLOT(frames)) != OK) {
        return false;
    }
    ((struct call *)context)->provoke();
    return true;
}

void isolation_in_exception(void (*provoke)(void))
{
    struct call call = {provoke};
    OWNED(exception_handler, handler);
    if (exception_handler_register(EXCEPTION_BP, "isolation_test", call_in_handler, &call,
                                   SLOT(handler)) == OK) {
        __asm__ volatile("int3" : : "d"(&call) : "memory");
    }
}

static NOINLINE void call_and_own(void *context)
{
    OWNED(frames, frames);
    if (frame_allocator_take(1, 1, SLOT(frames)) == OK) {
        ((struct call *)context)->provoke();
    }
}

/* Of another vector than the rest: each may fail so often. */
void isolation_in_interrupt(void (*provoke)(void))
{
    struct call call = {provoke};
    OWNED(interrupt, interrupt);
    if (interrupt_register(OTHER_VECTOR, "isolation_test", call_and_own, &call, SLOT(interrupt)) !=
        OK) {
        isolation_fault(); /* not what is expected */
    }
    __asm__ volatile("int %0" : : "i"(OTHER_VECTOR) : "memory");
}

const struct isolation_kind isolation_faults[] = {
    {"divides by zero", divide, 0, false, IN_EXCEPTION | IN_INTERRUPT},
    {"sets the trap flag", step, 0, false, IN_EXCEPTION | IN_INTERRUPT},
    {"has a breakpoint", break_here, 0, false, IN_EXCEPTION | IN_INTERRUPT},
    {"raises an overflow", overflow, 0, false, IN_EXCEPTION | IN_INTERRUPT},
    {"exceeds a bound", exceed_bound, 0, false, IN_EXCEPTION | IN_INTERRUPT},
    {"executes an undefined instruction", isolation_fault, 0, false, IN_EXCEPTION | IN_INTERRUPT},
    {"raises a reserved exception", use_absent_gate, 0, false, IN_EXCEPTION | IN_INTERRUPT},
    {"loads a task register that is in use", load_bad_task, 0, false, IN_EXCEPTION | IN_INTERRUPT},
    {"has a bad stack segment", use_bad_stack, 0, false, IN_EXCEPTION},
    {"reads an address that is not canonical", use_bad_address, 0, false,
     IN_EXCEPTION | IN_INTERRUPT},
    {"reads address 0", read_null, 0, false, IN_EXCEPTION | IN_INTERRUPT},
    {"divides by zero in floating point", divide_x87, 0, false, IN_EXCEPTION},
    {"uses up its stack", use_up_stack, 0, false, IN_EXCEPTION | IN_INTERRUPT},
    {"calls address 0", call_null, 0, false, IN_EXCEPTION | IN_INTERRUPT},
    {"calls what is not mapped", call_unmapped, 0, false, IN_EXCEPTION | IN_INTERRUPT},
    {"jumps to data", jump_to_data, 0, false, IN_EXCEPTION},
    {"jumps to its stack", jump_to_stack, 0, false, IN_EXCEPTION},
    {"jumps to what is no address", jump_off, 0, false, IN_EXCEPTION},
    {"returns to address 0", return_to_null, 0, false, IN_EXCEPTION},
    {"returns to data", return_to_data, 0, false, IN_EXCEPTION},
    {"returns to what is no address", return_off, 0, false, IN_EXCEPTION},
    {"smashes its frame", smash_frame, 0, false, 0},
    {"faults in a handler of exceptions", fault_in_exception_handler, 0, false, 0},
    {"faults in a handler of interrupts", fault_in_interrupt, 0, true, 0},
    {"faults deep in a handler of interrupts", fault_in_interrupt_with_frames, 0, true, 0},
    {"calls nothing in a handler of interrupts", call_wild_in_interrupt, 0, true, 0},
    {"uses up its stack in a handler of interrupts", use_up_stack_in_interrupt, 0, true, 0},
    {"faults in both kinds of handlers", fault_twice_in_interrupt, 0, true, 0},
    {NULL, NULL, 0, false, 0},
};
