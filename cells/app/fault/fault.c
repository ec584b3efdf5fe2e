/* SPDX-License-Identifier: MIT */
/*
 * fault KIND - provokes a CPU exception, to see that the system reports it with the cell and
 * section at fault. Coming back from one is a failure: the protection that it tests is not there.
 */
#include "application.h"
#include "console.h"
#include "freestanding.h"
#include "mapped_pages.h"
#include "memory.h"
#include "panic.h"
#include "stack.h"

CELL(application, "1.0.0");

APPLICATION(fault);

/* Near the end of the data zone, which is filled from its start. */
#define UNMAPPED_ADDRESS (DATA_ZONE_END - 16 * PAGE_SIZE)

#define NOT_CANONICAL 0x0123456789abcdefu

#define RET_OPCODE 0xc3

static void read_from(uint64_t address)
{
    __asm__ volatile("movb (%0), %%al" : : "r"(address) : "rax", "memory");
}

static void read_unmapped_page(void)
{
    read_from(UNMAPPED_ADDRESS);
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

static void find_error(void)
{
    PANIC("the tea is cold");
}

static void find_assertion(void)
{
    volatile unsigned cups = 0;
    ASSERT(cups > 0);
}

/* Not through the function's address: that would be its entry, which is not in this cell. */
static void write_text(void)
{
    __asm__ volatile("1: movb %0, 1b(%%rip)" : : "i"(RET_OPCODE) : "memory");
}

static const uint8_t constant_code[] = {RET_OPCODE, RET_OPCODE};

/* GCC's analyzer is right about it: this is the fault. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wanalyzer-write-to-const"
static void write_constant(void)
{
    *(volatile uint8_t *)constant_code = RET_OPCODE;
}
#pragma GCC diagnostic pop

static void execute_constant(void)
{
    __asm__ volatile("call *%0" : : "r"(constant_code) : "memory");
}

static void execute_stack(void)
{
    uint8_t code[16];
    memset(code, RET_OPCODE, sizeof(code));
    __asm__ volatile("call *%0" : : "r"(code) : "memory");
}

/* ---- memory that was mapped ---- */

/* Of two pages, gives the second away, and writes to it. */
static void write_beyond(void)
{
    OWNED(mapped_pages, pages);
    OWNED(mapped_pages, rest);
    enum status status =
        mapped_pages_create(PAGE_ZONE_DATA, 2 * PAGE_SIZE, PAGE_WRITE, SLOT(pages));
    if (status != OK) {
        return;
    }
    status = mapped_pages_split(REF(pages), 1, SLOT(rest));
    if (status != OK) {
        return;
    }
    volatile uint8_t *bytes = MAPPED_PAGES_SLICE_MUTABLE(uint8_t, REF(pages), 0, PAGE_SIZE);
    mapped_pages_drop(SLOT(rest));
    if (MAPPED_PAGES_AS(uint8_t, REF(pages), PAGE_SIZE) || !bytes) {
        return; /* what the types allow ends before the page does */
    }
    bytes[PAGE_SIZE] = 1;
}

static void read_dropped(void)
{
    OWNED(mapped_pages, pages);
    if (mapped_pages_create(PAGE_ZONE_DATA, PAGE_SIZE, PAGE_WRITE, SLOT(pages)) != OK) {
        return;
    }
    vaddr_t address = mapped_pages_start(REF(pages));
    read_from(address);
    mapped_pages_drop(SLOT(pages));
    read_from(address);
}

/* ---- stacks ---- */

#define SMALL_STACK (2 * PAGE_SIZE)
#define LARGE_FRAME (256 * 1024) /* more than any stack, and its guard */

/* Not inlined and not a tail call: each level takes a frame of its own. */
static NOINLINE uint64_t recurse(uint64_t depth)
{
    volatile uint64_t frame[64];
    frame[0] = depth;
    return depth == UINT64_MAX ? 0 : recurse(depth + 1) + frame[0];
}

static void overflow_stack(void)
{
    recurse(0);
}

static NOINLINE uint8_t take_large_frame(void)
{
    volatile uint8_t frame[LARGE_FRAME];
    frame[0] = 1; /* the far end */
    return frame[0];
}

static void overflow_stack_at_once(void)
{
    take_large_frame();
}

static void recurse_in(void *unused)
{
    (void)unused;
    recurse(0);
}

static void take_large_frame_in(void *unused)
{
    (void)unused;
    take_large_frame();
}

/* Reads the word behind its caller's stack. */
static void read_above(void *top)
{
    read_from((uint64_t)top);
}

static void on_small_stack(void (*function)(void *top))
{
    OWNED(stack, stack);
    if (stack_create(SMALL_STACK, "small", SLOT(stack)) != OK) {
        return;
    }
    vaddr_t top = stack_top(REF(stack));
    stack_call(top, function, (void *)top);
}

static void overflow_small_stack(void)
{
    on_small_stack(recurse_in);
}

static void overflow_small_stack_at_once(void)
{
    on_small_stack(take_large_frame_in);
}

static void underflow_small_stack(void)
{
    on_small_stack(read_above);
}

/* Not its own. */
static void write_to_guard(void)
{
    OWNED(stack, stack);
    if (stack_create(SMALL_STACK, "small", SLOT(stack)) != OK) {
        return;
    }
    *(volatile uint8_t *)(stack_bottom(REF(stack)) - 1) = 1;
}

static const struct kind {
    const char *name;
    const char *text;
    void (*provoke)(void);
} kinds[] = {
    {"page", "reads a page that is not mapped", read_unmapped_page},
    {"null", "reads address 0", read_null},
    {"gp", "reads an address that is not canonical", read_not_canonical},
    {"ud", "executes an undefined instruction", undefined_instruction},
    {"de", "divides by zero", divide_by_zero},
    {"panic", "finds an error", find_error},
    {"assert", "finds that an assertion does not hold", find_assertion},
    {"write-text", "writes into a function", write_text},
    {"write-const", "writes to a constant", write_constant},
    {"exec-data", "calls into data", execute_constant},
    {"exec-stack", "calls into the stack", execute_stack},
    {"beyond", "writes beyond the end of mapped pages", write_beyond},
    {"dropped", "reads pages that were given back", read_dropped},
    {"stack", "uses up the stack", overflow_stack},
    {"frame", "uses up the stack by one large frame", overflow_stack_at_once},
    {"small-stack", "uses up a stack that was created", overflow_small_stack},
    {"small-frame", "uses it up by one large frame", overflow_small_stack_at_once},
    {"underflow", "reads above the top of a stack", underflow_small_stack},
    {"guard", "writes to the guard page of a stack", write_to_guard},
};

static enum status print_usage(void)
{
    console_print("usage: fault KIND\n");
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        console_print("  %-11s %s\n", kinds[i].name, kinds[i].text);
    }
    return ERR_INVALID_ARGUMENT;
}

enum status fault_main(const struct app_arguments *arguments)
{
    for (size_t i = 0; arguments->count == 2 && i < ARRAY_COUNT(kinds); i++) {
        if (strcmp(kinds[i].name, arguments->values[1]) == 0) {
            console_print("fault: %s\n", kinds[i].text);
            kinds[i].provoke();
            console_print("fault: nothing happened: the CPU let it pass\n");
            return ERR_FAILED;
        }
    }
    return print_usage();
}
