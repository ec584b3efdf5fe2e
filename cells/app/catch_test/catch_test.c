/* SPDX-License-Identifier: MIT */
/*
 * catch_test - calls functions that own frames of memory and fault, each in another way, and sees
 * that each comes back with its reason and that nothing is lost. At the end it says what a fault
 * costs, in ticks of the time stamp counter.
 */
#include "application.h"
#include "catch.h"
#include "console.h"
#include "exceptions.h"
#include "frame_allocator.h"
#include "memory.h"
#include "own.h"
#include "stack.h"
#include "x86.h"

CELL(application, "1.0.0");

APPLICATION(catch_test);

#define ROUNDS        200u
#define DEPTH         10u
#define NOT_CANONICAL 0x0123456789abcdefull
#define WILD          0x4000ull /* not mapped */
#define SMALL_STACK   (2 * PAGE_SIZE)

static void read_from(uint64_t address)
{
    __asm__ volatile("movb (%0), %%al" : : "r"(address) : "rax", "memory");
}

static void read_null(void)
{
    read_from(0);
}

static void read_not_canonical(void)
{
    read_from(NOT_CANONICAL);
}

static void undefined_instruction(void)
{
    __asm__ volatile("ud2");
}

static void divide_by_zero(void)
{
    __asm__ volatile("xorl %%edx, %%edx\n\t"
                     "xorl %%ecx, %%ecx\n\t"
                     "divl %%ecx"
                     :
                     :
                     : "rax", "rcx", "rdx", "cc");
}

static void call_nothing(void)
{
    __asm__ volatile("call *%0" : : "r"(WILD) : "memory");
}

static NOINLINE uint64_t recurse(uint64_t depth)
{
    volatile uint64_t frame[16];
    frame[0] = depth;
    return depth == UINT64_MAX ? 0 : recurse(depth + 1) + frame[0];
}

static void recurse_in(void *unused)
{
    (void)unused;
    recurse(0);
}

static void overflow_stack(void)
{
    OWNED(stack, stack);
    if (stack_create(SMALL_STACK, "small", SLOT(stack)) != OK) {
        return;
    }
    stack_call(stack_top(REF(stack)), recurse_in, NULL);
}

static const struct kind {
    const char *name;
    uint64_t vector;
    void (*provoke)(void);
} kinds[] = {
    {"reads address 0", EXCEPTION_PF, read_null},
    {"reads an address that is not canonical", EXCEPTION_GP, read_not_canonical},
    {"executes an undefined instruction", EXCEPTION_UD, undefined_instruction},
    {"divides by zero", EXCEPTION_DE, divide_by_zero},
    {"calls what is not code", EXCEPTION_PF, call_nothing},
    {"uses up a stack", EXCEPTION_DF, overflow_stack},
};

/* A frame of memory on each level down to `limit`, where the fault is. */
struct descent {
    const struct kind *kind;
    uint32_t limit;
    uint32_t depth;
    uint64_t start; /* ticks at the fault */
};

static NOINLINE void descend(struct descent *descent)
{
    OWNED(frames, frames);
    if (frame_allocator_take(1, 1, SLOT(frames)) != OK) {
        return;
    }
    if (++descent->depth == descent->limit) {
        descent->start = read_tsc();
        descent->kind->provoke();
    } else {
        descend(descent);
    }
}

static void begin_descent(void *argument)
{
    descend((struct descent *)argument);
}

/* Catches one in the middle, and then faults as well. */
static void catch_and_fault(void *argument)
{
    OWNED(frames, frames);
    struct descent inner = {.kind = &kinds[1], .limit = DEPTH};
    if (frame_allocator_take(1, 1, SLOT(frames)) == OK &&
        catch_unwind(begin_descent, &inner, NULL) == ERR_FAULT) {
        begin_descent(argument);
    }
}

static enum status try_kind(const struct kind *kind, void (*function)(void *), uint64_t expected)
{
    struct descent descent = {.kind = kind, .limit = DEPTH};
    struct catch_reason reason = {.faults = 0};
    uint64_t free = frame_allocator_statistics().free;
    enum status status = catch_unwind(function, &descent, &reason);
    bool is_right = status == ERR_FAULT && reason.fault.vector == kind->vector &&
                    reason.faults == 1 && reason.is_complete && reason.released == expected;
    bool is_whole = frame_allocator_statistics().free == free;
    console_print("catch_test: %s: %s, released %llu, %s\n", kind->name,
                  is_right ? "caught" : "not as expected", (unsigned long long)reason.released,
                  is_whole ? "nothing is lost" : "something is lost");
    return is_right && is_whole ? OK : ERR_FAILED;
}

/* The last of several rounds: caches are warm then, and so is whatever takes its time once. */
static void measure(const char *name, uint32_t limit)
{
    uint64_t ticks = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct descent descent = {.kind = &kinds[2], .limit = limit};
        struct catch_reason reason;
        if (catch_unwind(begin_descent, &descent, &reason) == ERR_FAULT) {
            ticks = read_tsc() - descent.start;
        }
    }
    console_print("figure %s %llu\n", name, (unsigned long long)ticks);
}

enum status catch_test_main(const struct app_arguments *arguments)
{
    (void)arguments;
    enum status result = catch_enable();
    if (result != OK) {
        console_print("catch_test: cannot take exceptions: %s\n", status_text(result));
        return result;
    }
    /* The first use of everything may keep memory, such as tables of pages. */
    struct descent descent = {.kind = &kinds[ARRAY_COUNT(kinds) - 1], .limit = DEPTH};
    (void)!catch_unwind(begin_descent, &descent, NULL);
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        bool has_stack = kinds[i].provoke == overflow_stack;
        if (try_kind(&kinds[i], begin_descent, DEPTH + has_stack) != OK) {
            result = ERR_FAILED;
        }
    }
    if (try_kind(&kinds[0], catch_and_fault, DEPTH + 1) != OK) {
        result = ERR_FAILED;
    }
    measure("catch_one_frame", 1);
    measure("catch_ten_frames", DEPTH);
    return result;
}
