/* SPDX-License-Identifier: MIT */
/*
 * interrupt_test - interrupts itself in every way, and looks whether everything is as before.
 *
 * Interrupts come from the instruction `int` here, so this needs no interrupt controller;
 * exceptions are real, but for those that only hardware can raise.
 */
#include "application.h"
#include "console.h"
#include "cpu_local.h"
#include "exceptions.h"
#include "freestanding.h"
#include "interrupts.h"
#include "memory.h"

CELL(application, "1.0.0");

APPLICATION(interrupt_test);

#define VECTOR "239" /* for inline assembly */
static_assert(INTERRUPT_SOFTWARE == 239, "VECTOR");

#define UNMAPPED_ADDRESS (DATA_ZONE_END - 16 * PAGE_SIZE)
#define NOT_CANONICAL    0x0123456789abcdefu
#define TRAP_FLAG        0x100u /* of RFLAGS: an exception after each instruction */

uint64_t interrupt_test_registers(void);

static bool expect(const char *what, bool is_as_expected)
{
    console_print("interrupt_test: %s: %s\n", what, is_as_expected ? "OK" : "FAILED");
    return is_as_expected;
}

/* ---- interrupts ---- */

struct seen {
    unsigned count;
    unsigned depth;
    uint32_t holds;
};

static void note(void *context)
{
    struct seen *seen = context;
    seen->count++;
    seen->depth = CPU_LOCAL(interrupt_depth);
    seen->holds = CPU_LOCAL(hold) & ~HOLD_UNWANTED;
}

static bool go_on(struct exception_frame *frame, void *context)
{
    (void)frame;
    ++*(unsigned *)context;
    return true;
}

/* On whichever CPU this task runs. */
static uint64_t count_of(unsigned vector)
{
    uint64_t sum = 0;
    for (unsigned cpu = 0; cpu < CPU_LIMIT; cpu++) {
        sum += interrupts_count(vector, cpu);
    }
    return sum;
}

static uint32_t holds_here(void)
{
    return CPU_LOCAL(hold) & ~HOLD_UNWANTED;
}

static bool test_interrupt(void)
{
    struct seen seen = {0};
    unsigned breakpoints = 0;
    uint32_t holds = holds_here();
    uint64_t before = count_of(INTERRUPT_SOFTWARE);
    OWNED(interrupt, interrupt);
    if (interrupt_register(INTERRUPT_SOFTWARE, "test", note, &seen, SLOT(interrupt)) != OK) {
        return expect("a vector", false);
    }
    OWNED(exception_handler, breakpoint);
    if (exception_handler_register(EXCEPTION_BP, "test", go_on, &breakpoints, SLOT(breakpoint))) {
        return expect("a handler", false);
    }
    bool good = expect("the handler is known by its name",
                       strcmp(interrupts_name(INTERRUPT_SOFTWARE), "test") == 0);
    uint64_t changed = interrupt_test_registers();
    good &= expect("registers survive an interrupt and an exception", changed == 0);
    good &= expect("each is handled once", seen.count == 1 && breakpoints == 1);
    good &= expect("the handler holds preemption", seen.depth == 1 && seen.holds == 1);
    good &= expect("and nobody does afterwards",
                   CPU_LOCAL(interrupt_depth) == 0 && holds_here() == holds);
    good &= expect("it is counted", count_of(INTERRUPT_SOFTWARE) == before + 1);
    OWNED(interrupt, second);
    enum status status =
        interrupt_register(INTERRUPT_SOFTWARE, "second", note, &seen, SLOT(second));
    good &= expect("a vector has one handler", status == ERR_BUSY);
    interrupt_drop(SLOT(interrupt));
    __asm__ volatile("int $" VECTOR "\n\tint $" VECTOR : : : "memory");
    good &= expect("a handler that is dropped is not called", seen.count == 1);
    return good & expect("its vector is counted still", count_of(INTERRUPT_SOFTWARE) == before + 3);
}

/* ---- exceptions ---- */

/* What a handler needs to go on, and what it has seen. */
struct provoked {
    uint64_t resume; /* where to go on */
    uint64_t stack;  /* 0: with the stack as it was */
    unsigned count;
    uint64_t vector;
    uint64_t error_code;
};

static bool resume(struct exception_frame *frame, void *context)
{
    struct provoked *provoked = context;
    provoked->count++;
    provoked->vector = frame->vector;
    provoked->error_code = frame->error_code;
    frame->rip = provoked->resume;
    frame->rflags &= ~(uint64_t)TRAP_FLAG;
    if (provoked->stack) {
        frame->rsp = provoked->stack;
    }
    return true;
}

/* Executes `instructions`, after which the handler goes on. */
#define PROVOKE(provoked, instructions)                       \
    __asm__ volatile("leaq 1f(%%rip), %%rax\n\t"              \
                     "movq %%rax, %0\n\t" instructions "\n1:" \
                     : "=m"((provoked)->resume)               \
                     : "D"(address)                           \
                     : "rax", "rcx", "rdx", "memory", "cc")

static void divide_by_zero(struct provoked *provoked, uint64_t address)
{
    PROVOKE(provoked, "xorl %%edx, %%edx\n\txorl %%ecx, %%ecx\n\tdivl %%ecx");
}

static void single_step(struct provoked *provoked, uint64_t address)
{
    PROVOKE(provoked, "pushfq\n\t"
                      ".cfi_adjust_cfa_offset 8\n\t"
                      "orq $0x100, (%%rsp)\n\t" /* TRAP_FLAG */
                      "popfq\n\t"
                      ".cfi_adjust_cfa_offset -8\n\t"
                      "nop");
}

static void break_point(struct provoked *provoked, uint64_t address)
{
    PROVOKE(provoked, "int3");
}

static void undefined(struct provoked *provoked, uint64_t address)
{
    PROVOKE(provoked, "ud2");
}

static void read_memory(struct provoked *provoked, uint64_t address)
{
    PROVOKE(provoked, "movb (%%rdi), %%al");
}

static void write_memory(struct provoked *provoked, uint64_t address)
{
    PROVOKE(provoked, "movb %%al, (%%rdi)");
}

static void interrupt_2(struct provoked *provoked, uint64_t address)
{
    PROVOKE(provoked, "int $2");
}

static void interrupt_18(struct provoked *provoked, uint64_t address)
{
    PROVOKE(provoked, "int $18");
}

/* Without a stack the CPU cannot even push the frame of the page fault. */
static void lose_stack(struct provoked *provoked, uint64_t address)
{
    __asm__ volatile("leaq 1f(%%rip), %%rax\n\t"
                     "movq %%rax, %0\n\t"
                     "movq %%rsp, %1\n\t"
                     "movq %2, %%rsp\n\t"
                     "movb %%al, -8(%%rsp)\n"
                     "1:"
                     : "=m"(provoked->resume), "=m"(provoked->stack)
                     : "D"(address)
                     : "rax", "memory", "cc");
}

static const struct kind {
    const char *name;
    uint64_t vector;
    uint64_t error_code;
    uint64_t address;
    void (*provoke)(struct provoked *provoked, uint64_t address);
} kinds[] = {
    {"#DE", EXCEPTION_DE, 0, 0, divide_by_zero},
    {"#DB", EXCEPTION_DB, 0, 0, single_step},
    {"#BP", EXCEPTION_BP, 0, 0, break_point},
    {"#UD", EXCEPTION_UD, 0, 0, undefined},
    {"#GP", EXCEPTION_GP, 0, NOT_CANONICAL, read_memory},
    {"#PF, read", EXCEPTION_PF, 0, UNMAPPED_ADDRESS, read_memory},
    {"#PF, write", EXCEPTION_PF, 2, UNMAPPED_ADDRESS, write_memory},
    {"#DF", EXCEPTION_DF, 0, UNMAPPED_ADDRESS, lose_stack},
    {"NMI, by software", EXCEPTION_NMI, 0, 0, interrupt_2},
    {"#MC, by software", EXCEPTION_MC, 0, 0, interrupt_18},
};

static bool test_exception(const struct kind *kind)
{
    struct provoked provoked = {0};
    const struct own_slot *top = OWN_TOP;
    OWNED(exception_handler, handler);
    if (exception_handler_register((unsigned)kind->vector, kind->name, resume, &provoked,
                                   SLOT(handler)) != OK) {
        return expect(kind->name, false);
    }
    kind->provoke(&provoked, kind->address);
    exception_handler_drop(SLOT(handler));
    return expect(kind->name, provoked.count == 1 && provoked.vector == kind->vector &&
                                  provoked.error_code == kind->error_code && OWN_TOP != top);
}

static bool refuse(struct exception_frame *frame, void *context)
{
    (void)frame;
    ++*(unsigned *)context;
    return false;
}

static bool test_order(void)
{
    struct provoked provoked = {0};
    unsigned refused = 0;
    uint64_t address = 0;
    OWNED(exception_handler, old);
    OWNED(exception_handler, new);
    if (exception_handler_register(EXCEPTION_UD, "old", resume, &provoked, SLOT(old)) != OK) {
        return expect("first handler", false);
    }
    if (exception_handler_register(EXCEPTION_UD, "new", refuse, &refused, SLOT(new)) != OK) {
        return expect("second handler", false);
    }
    PROVOKE(&provoked, "ud2");
    bool good =
        expect("the newest is asked first, and may refuse", refused == 1 && provoked.count == 1);
    exception_handler_drop(SLOT(new));
    PROVOKE(&provoked, "ud2");
    return good &
           expect("when it is dropped, it is not asked", refused == 1 && provoked.count == 2);
}

/* As many as there are, and one more. */
static bool test_any(void)
{
    struct seen seen = {0};
    unsigned count = INTERRUPT_ANY_LAST - INTERRUPT_ANY_FIRST + 1;
    for (unsigned vector = INTERRUPT_ANY_FIRST; vector <= INTERRUPT_ANY_LAST; vector++) {
        count -= interrupts_name(vector) != NULL;
    }
    struct interrupt *taken[INTERRUPT_COUNT] = {0};
    unsigned given = 0;
    bool good = true;
    for (;;) {
        OWNED(interrupt, interrupt);
        enum status status = interrupt_register_any("any", note, &seen, SLOT(interrupt));
        if (status != OK) {
            good = status == ERR_LIMIT;
            break;
        }
        STORE(taken[given], interrupt);
        given++;
    }
    good &= given == count;
    for (unsigned i = 0; i < given; i++) {
        interrupt_drop(&taken[i]);
    }
    return expect("all free vectors are found, and then none", good);
}

enum status interrupt_test_main(const struct app_arguments *arguments)
{
    (void)arguments;
    interrupts_init();
    bool good = test_interrupt();
    good &= test_any();
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        good &= test_exception(&kinds[i]);
    }
    good &= test_order();
    return good ? OK : ERR_FAILED;
}
