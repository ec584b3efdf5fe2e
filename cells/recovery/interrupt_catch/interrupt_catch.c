/* SPDX-License-Identifier: MIT */
/*
 * The frames from a handler outwards are: the handler's, that of interrupts_dispatch(), the stub's,
 * what was interrupted. Where the walk comes to interrupts_dispatch() the unwinder has the
 * registers that it will find when the handler returns. Slots that lie below that frame are the
 * handler's; the first that does not is the newest of what was interrupted.
 */
#include "interrupt_catch.h"
#include "address_map.h"
#include "backtrace.h"
#include "cpu_local.h"
#include "freestanding.h"
#include "interrupts.h"
#include "logger.h"
#include "preemption.h"
#include "stack.h"
#include "x86.h"

CELL(library, "1.0.0");

#define FRAMES_MAX 1000u  /* of a handler */
#define SLOTS_MAX  10000u /* of a handler; more go in a circle */
#define STUBS      ".text.interrupts_stubs"

/* One CPU's handler that has faulted, until what it owned is released. */
struct rescue {
    uint64_t registers[CFI_REGISTER_COUNT]; /* behind the call of the handler */
    struct own_slot *until;
    uint32_t faults; /* 0: there is none */
    uint32_t depth;  /* of interrupts */
    uint32_t hold;   /* preemption_count(), when the handler was called */
    uint32_t vector;
    uint32_t released;
};

static struct rescue rescues[CPU_LIMIT];
static struct stack *stacks[CPU_LIMIT];                     /* owned, for good; NULL: none */
static uint32_t catches[INTERRUPT_FIRST + INTERRUPT_COUNT]; /* atomically, by vector */

static_assert(CFI_RBX == 3 && CFI_RBP == 6 && CFI_RSP == 7 && CFI_R12 == 12 && CFI_RIP == 16,
              "resume() knows their places");

/* Goes on with the registers that calls preserve. The flags are as in any function. */
__attribute__((naked, noinline, noclone)) NORETURN static void resume(
    UNUSED const uint64_t registers[CFI_REGISTER_COUNT])
{
    __asm__(".cfi_undefined rip\n\t"
            "movq 24(%rdi), %rbx\n\t"
            "movq 48(%rdi), %rbp\n\t"
            "movq 96(%rdi), %r12\n\t"
            "movq 104(%rdi), %r13\n\t"
            "movq 112(%rdi), %r14\n\t"
            "movq 120(%rdi), %r15\n\t"
            "movq 56(%rdi), %rsp\n\t"
            "jmp *128(%rdi)");
}

/* ---- releasing: with interrupts off, so this stays the same CPU ---- */

static void pop_slots(struct rescue *rescue)
{
    struct stack_place place = {.bottom = 0, .top = 0};
    struct own_slot *top = NULL;
    while (OWN_TOP != rescue->until && OWN_TOP != top && stack_find((vaddr_t)OWN_TOP, &place)) {
        top = OWN_TOP;
        rescue->released += own_unwind(rescue->until, place.bottom, place.top);
    }
}

static NORETURN void release(struct rescue *rescue)
{
    preemption_end_sections(rescue->hold);
    pop_slots(rescue);
    preemption_restore(rescue->hold);
    bool is_complete = OWN_TOP == rescue->until;
    OWN_TOP = rescue->until;
    log_error("the handler of interrupt vector %u has failed; %u resources released%s",
              rescue->vector, rescue->released, is_complete ? "" : ", others were out of reach");
    rescue->faults = 0;
    resume(rescue->registers);
}

/* ---- the exception ---- */

static bool is_in(const struct section *section, const char *cell, const char *name)
{
    return section && strcmp(section->cell->name, cell) == 0 && strcmp(section->name, name) == 0;
}

/* Walks from the fault to the frame that called the handler; false: there is none. */
static bool find_caller(struct unwind_cursor *cursor)
{
    for (unsigned i = 0; i < FRAMES_MAX; i++) {
        const struct section *section = address_map_find(unwind_pc(cursor));
        if (is_in(section, "interrupts", INTERRUPTS_DISPATCH)) {
            return !cursor->is_exact; /* else it is itself at fault */
        }
        if (is_in(section, "interrupts", STUBS)) {
            return false;
        }
        enum unwind_outcome outcome = unwind_step(cursor);
        if (outcome != UNWIND_CALLER && outcome != UNWIND_GUESSED) {
            return false;
        }
    }
    return false;
}

/* The newest slot that is not the handler's; false where the way there is broken. */
static bool find_until(const struct unwind_cursor *cursor, struct own_slot **out)
{
    struct own_slot *slot = OWN_TOP;
    struct stack_place place;
    for (unsigned i = 0; slot && i < SLOTS_MAX; i++, slot = slot->below) {
        vaddr_t address = (vaddr_t)slot;
        if (address >= cursor->registers[CFI_RSP] && address < cursor->high) {
            break;
        }
        if (address % alignof(struct own_slot) != 0 || slot->tag == 0 ||
            !stack_find(address, &place) || place.part != STACK_INSIDE) {
            return false;
        }
    }
    *out = slot;
    return true;
}

static bool begin(struct rescue *rescue, const uint64_t registers[CFI_REGISTER_COUNT])
{
    struct backtrace walk;
    unsigned vector = interrupts_current();
    address_map_enter();
    backtrace_begin(&walk, registers, true);
    bool is_found = find_caller(&walk.cursor) && find_until(&walk.cursor, &rescue->until);
    address_map_leave();
    if (!is_found || vector == 0 ||
        __atomic_add_fetch(&catches[vector], 1, __ATOMIC_RELAXED) > INTERRUPT_CATCHES_MAX) {
        return false;
    }
    memcpy(rescue->registers, walk.cursor.registers, sizeof(rescue->registers));
    rescue->depth = CPU_LOCAL(interrupt_depth);
    rescue->hold = interrupts_hold();
    rescue->vector = vector;
    rescue->released = 0;
    return true;
}

bool interrupt_catch_take(uint64_t registers[CFI_REGISTER_COUNT], bool *out_is_first)
{
    uint32_t cpu = CPU_LOCAL(index);
    uint32_t depth = CPU_LOCAL(interrupt_depth);
    struct rescue *rescue = &rescues[cpu];
    if (depth == 0 || cpu >= CPU_LIMIT || !stacks[cpu]) {
        return false;
    }
    *out_is_first = rescue->faults == 0;
    if (*out_is_first ? !begin(rescue, registers) : rescue->depth != depth) {
        return false;
    }
    if (++rescue->faults > INTERRUPT_CATCH_FAULTS_MAX) {
        return false;
    }
    /* A drop that has faulted leaves its own slots behind, above where it begins once more. */
    uint64_t bottom = stack_bottom(STORED(stacks[cpu]));
    uint64_t rsp = registers[CFI_RSP];
    bool is_there = !*out_is_first && rsp - bottom < INTERRUPT_CATCH_STACK_SIZE;
    uint64_t top = is_there ? rsp & ~(uint64_t)15 : stack_top(STORED(stacks[cpu]));
    if (top - bottom < INTERRUPT_CATCH_STACK_SIZE / 4) {
        return false;
    }
    uint64_t *entry = (uint64_t *)top - 1;
    *entry = 0; /* as if release() had been called, by nobody */
    registers[CFI_RIP] = (uint64_t)release;
    registers[CFI_RSP] = (uint64_t)entry;
    registers[CFI_RDI] = (uint64_t)rescue;
    return true;
}

enum status interrupt_catch_enable(uint32_t cpu_count)
{
    for (uint32_t i = 0; i < cpu_count && i < CPU_LIMIT; i++) {
        if (stacks[i]) {
            continue;
        }
        OWNED(stack, stack);
        enum status status =
            stack_create(INTERRUPT_CATCH_STACK_SIZE, "release in an interrupt", SLOT(stack));
        if (status != OK) {
            return status;
        }
        STORE(stacks[i], stack);
    }
    return OK;
}
