/* SPDX-License-Identifier: MIT */
/*
 * What each CPU has of its own: the protection of text, and vector registers.
 *
 * Control register 0 and the registers are variables here, and the instructions that change them
 * are steps. "Vector instructions" of the tasks below raise #NM as the CPU does, and so get through
 * the real handler, in C and in assembly, to the area and back. After a strike with interrupts off
 * comes what catch does then: text_write_settle(), and fpu_switch() for who goes on.
 */
#include "exceptions.h"
#include "fpu.h"
#include "heap.h"
#include "strike.h"
#include "strike_heap.h"
#include "text_write.h"

#include <signal.h>
#include <ucontext.h>

#define STATE_SIZE   832u /* of x87, SSE and AVX, by XSAVE */
#define FXSAVE_SIZE  512u
#define FNOP_SIZE    2u
#define OTHERS_VALUE 0x5555u

/* ---- the machine ---- */

/*
 * The head is as in the SDM, vol. 1, "FXSAVE Area"; the one register that is used lies behind it.
 */
struct vectors {
    uint16_t fcw;
    uint8_t rest[22];
    uint32_t mxcsr;
    uint8_t more[132];
    uint64_t sum;
};

static uint64_t cr0 = CR0_WRITE_PROTECT;
static struct vectors vectors = {.sum = OTHERS_VALUE};
static bool has_xsave;
static bool is_refused;
static exception_function_t handler;

STRIKE_NOT uint64_t read_cr0(void)
{
    return cr0;
}

STRIKE_NOT void write_cr0(uint64_t value)
{
    strike_demand(!interrupts_enabled());
    cr0 = value;
}

STRIKE_NOT void clear_task_switched(void)
{
    strike_demand(!interrupts_enabled());
    cr0 &= ~CR0_TASK_SWITCHED;
}

STRIKE_NOT uint64_t read_cr4(void)
{
    return 0;
}

STRIKE_NOT void write_cr4(uint64_t value)
{
}

STRIKE_NOT void write_xcr0(uint64_t value)
{
    strike_demand(value == 7);
}

STRIKE_NOT struct x86_cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
    if (leaf == 1) {
        return (struct x86_cpuid){.ecx = has_xsave ? 1u << 26 : 0};
    }
    return (struct x86_cpuid){.eax = 7, .ebx = STATE_SIZE};
}

STRIKE_NOT static void store_vectors(void *area, uintptr_t alignment)
{
    strike_demand(!(cr0 & CR0_TASK_SWITCHED) && (uintptr_t)area % alignment == 0);
    *(struct vectors *)area = vectors;
}

STRIKE_NOT static void load_vectors(const void *area, uintptr_t alignment)
{
    strike_demand(!(cr0 & CR0_TASK_SWITCHED) && (uintptr_t)area % alignment == 0);
    vectors = *(const struct vectors *)area;
}

STRIKE_NOT void fxsave(void *area)
{
    strike_demand(!has_xsave);
    store_vectors(area, 16);
}

STRIKE_NOT void fxrstor(const void *area)
{
    strike_demand(!has_xsave);
    load_vectors(area, 16);
}

STRIKE_NOT void xsave(void *area, uint64_t mask)
{
    strike_demand(has_xsave && mask == 7);
    store_vectors(area, 64);
}

STRIKE_NOT void xrstor(const void *area, uint64_t mask)
{
    strike_demand(has_xsave && mask == 7);
    load_vectors(area, 64);
}

STRIKE_NOT enum status exception_handler_register(unsigned vector, const char *name,
                                                  exception_function_t function, void *context,
                                                  struct exception_handler **out)
{
    static uint8_t registered;
    strike_demand(vector == EXCEPTION_NM);
    handler = function;
    *out = (struct exception_handler *)&registered;
    return OK;
}

STRIKE_NOT void exception_handler_drop(struct exception_handler **handle)
{
    strike_demand(!*handle);
}

STRIKE_NOT static void offer(struct exception_frame *frame)
{
    strike_demand(handler(frame, NULL));
}

/* Raises #NM at the instruction behind its call, and goes on where the handler says. */
STRIKE_NOT __attribute__((naked)) static void raise_not_available(
    UNUSED struct exception_frame *frame, UNUSED void (*handle)(struct exception_frame *frame))
{
    __asm__("movq (%%rsp), %%rax\n\t"
            "movq %%rax, %c0(%%rdi)\n\t"
            "pushq %%rdi\n\t"
            "call *%%rsi\n\t"
            "popq %%rdi\n\t"
            "addq $8, %%rsp\n\t"
            "jmp *%c0(%%rdi)"
            :
            : "i"(offsetof(struct exception_frame, rip)));
}

/* A CPU that has vector registers executes fpu_refused; the instruction behind it comes here. */
STRIKE_NOT static void on_invalid_opcode(int number, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    struct exception_frame frame = {.rflags = RFLAGS_INTERRUPTS,
                                    .rip = (uint64_t)registers[REG_RIP] - FNOP_SIZE};
    strike_demand(!handler(&frame, NULL));
    strike_demand(frame.rip != (uint64_t)registers[REG_RIP] - FNOP_SIZE);
    is_refused = true;
    registers[REG_RIP] = (greg_t)frame.rip;
}

/* A vector instruction; false: its exception was not taken. */
STRIKE_NOT static bool add(uint64_t what)
{
    is_refused = false;
    while (cr0 & CR0_TASK_SWITCHED) {
        struct exception_frame frame = {.rflags = RFLAGS_INTERRUPTS};
        raise_not_available(&frame, offer);
        if (is_refused) {
            return false;
        }
    }
    vectors.sum += what;
    return true;
}

/* ---- tasks, and who goes on after a fault ---- */

static struct task first;
static struct task second;

STRIKE_NOT static void settle(uint64_t rsp)
{
    if (!interrupts_enabled()) {
        text_write_settle();
        fpu_switch(NULL, CPU_LOCAL(task));
    }
}

static void prepare(void)
{
    struct sigaction action = {.sa_sigaction = on_invalid_opcode,
                               .sa_flags = SA_ONSTACK | SA_SIGINFO | SA_NODEFER};
    strike_demand(sigaction(SIGILL, &action, NULL) == 0);
    disable_interrupts();
    strike_demand(fpu_init() == OK);
    fpu_init_cpu();
    enable_interrupts();
    strike_demand(fpu_state_size() == (has_xsave ? STATE_SIZE : FXSAVE_SIZE));
    CPU_LOCAL(task) = &first;
    strike_set_settle(settle);
}

static void prepare_xsave(void)
{
    has_xsave = true;
    prepare();
}

/* The rule: TS is clear exactly while who runs has an area. Each area has an owner. */
static void check_machine(void)
{
    const struct task *task = CPU_LOCAL(task);
    strike_demand(interrupts_enabled());
    strike_demand(cr0 & CR0_WRITE_PROTECT);
    strike_demand(!(cr0 & CR0_TASK_SWITCHED) == (task->vector_state != NULL));
    strike_demand(strike_heap_used() ==
                  (first.vector_state ? 1u : 0u) + (second.vector_state ? 1u : 0u));
}

static void switch_tasks(struct task *previous, struct task *next)
{
    disable_interrupts();
    CPU_LOCAL(task) = next;
    if (previous->vector_state || next->vector_state) {
        fpu_switch(previous, next);
    }
    enable_interrupts();
}

/* As for tasks that have ended. */
static void end_all(void)
{
    heap_free_from(&first.vector_state);
    heap_free_from(&second.vector_state);
    strike_demand(strike_heap_used() == 0);
}

/* ---- the first vector instruction of a task ---- */

static void use(void)
{
    strike_demand(add(5));
}

static void check_use(void)
{
    check_machine();
    uint64_t sum = first.vector_state ? vectors.sum : 0;
    strike_demand(sum == 5 || (sum == 0 && strike_has_struck()));
    strike_heap_refuse(false);
    strike_demand(add(7) && vectors.sum == sum + 7);
    strike_demand(vectors.fcw == 0x037f && vectors.mxcsr == 0x1f80);
    check_machine();
    switch_tasks(&first, &second);
    check_machine();
    strike_demand(add(1) && vectors.sum == 1); /* nothing of the other */
    switch_tasks(&second, &first);
    strike_demand(vectors.sum == sum + 7);
    end_all();
}

static void prepare_without_memory(void)
{
    prepare();
    strike_heap_refuse(true);
}

static void use_in_vain(void)
{
    strike_demand(!add(5));
}

static void check_vain(void)
{
    check_machine();
    strike_demand(!first.vector_state);
    strike_demand(!add(5)); /* as often as it is tried */
    strike_heap_refuse(false);
    strike_demand(add(5) && vectors.sum == 5);
    check_machine();
    end_all();
}

/* ---- switches ---- */

static bool has_switched;

/* Both have values that are not in their areas, or no longer. */
static void prepare_switch(bool first_has, bool second_has)
{
    prepare();
    switch_tasks(&first, &second);
    strike_demand(!second_has || add(20));
    switch_tasks(&second, &first);
    strike_demand(!first_has || add(10));
    switch_tasks(&first, &second);
    switch_tasks(&second, &first);
    strike_demand(!first_has || add(1));
}

static void prepare_both(void)
{
    prepare_switch(true, true);
}

static void prepare_both_xsave(void)
{
    has_xsave = true;
    prepare_switch(true, true);
}

static void prepare_first(void)
{
    prepare_switch(true, false);
}

static void prepare_second(void)
{
    prepare_switch(false, true);
}

/* The stack has changed: the dispatcher does not take the switch back any more. */
STRIKE_NOT static void arrive(void)
{
    has_switched = true;
    CPU_LOCAL(task) = &second;
}

static void leave_first(void)
{
    disable_interrupts();
    fpu_switch(&first, &second);
    arrive();
    enable_interrupts();
}

static void check_switch(void)
{
    check_machine();
    strike_demand(has_switched || strike_has_struck());
    struct task *here = has_switched ? &second : &first;
    struct task *other = has_switched ? &first : &second;
    strike_demand(CPU_LOCAL(task) == here);
    for (unsigned i = 0; i < 4; i++) {
        strike_demand(!here->vector_state || vectors.sum == (here == &first ? 11 : 20));
        switch_tasks(here, other);
        check_machine();
        struct task *before = here;
        here = other;
        other = before;
    }
    end_all();
}

/* ---- text ---- */

#define UNITS 3u

static uint64_t text[UNITS];
static const uint64_t code[UNITS] = {11, 12, 13};

static void write_text(void)
{
    text_write_unprotected((uint64_t)text, code, sizeof(code));
}

static void write_text_twice(void)
{
    GUARD(interrupt_mask, masked, INTERRUPTS);
    text_write_unprotected((uint64_t)text, code, TEXT_WRITE_UNIT);
    text_write_unprotected((uint64_t)&text[1], &code[1], sizeof(code) - TEXT_WRITE_UNIT);
}

/* The other way round, what was written first is there first. */
static void check_text(void)
{
    check_machine();
    bool is_whole = !strike_has_struck();
    for (unsigned i = UNITS; i-- > 0;) {
        strike_demand(text[i] == code[i] || (text[i] == 0 && !is_whole));
        is_whole |= text[i] != 0;
    }
    write_text();
    strike_demand(__builtin_memcmp(text, code, sizeof(text)) == 0);
    check_machine();
}

int main(void)
{
    static const struct strike_case cases[] = {
        {"text", prepare, write_text, check_text},
        {"text, with interrupts off", prepare, write_text_twice, check_text},
        {"the first vector instruction", prepare, use, check_use},
        {"the same with XSAVE", prepare_xsave, use, check_use},
        {"the same without memory", prepare_without_memory, use_in_vain, check_vain},
        {"a switch, both with vectors", prepare_both, leave_first, check_switch},
        {"the same with XSAVE", prepare_both_xsave, leave_first, check_switch},
        {"from one with vectors to one without", prepare_first, leave_first, check_switch},
        {"from one without to one with vectors", prepare_second, leave_first, check_switch},
    };
    return strike_run(cases, ARRAY_COUNT(cases));
}
