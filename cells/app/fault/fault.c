/* SPDX-License-Identifier: MIT */
/*
 * fault KIND - provokes a CPU exception, to see that the system reports it with the cell and
 * section at fault. Coming back from one is a failure: the protection that it tests is not there.
 */
#include "application.h"
#include "console.h"
#include "freestanding.h"
#include "memory.h"

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

/* Not through the function's address: that would be its entry, which is not in this cell. */
static void write_text(void)
{
    __asm__ volatile("1: movb %0, 1b(%%rip)" : : "i"(RET_OPCODE) : "memory");
}

static void execute_data(void)
{
    uint8_t code[16];
    memset(code, RET_OPCODE, sizeof(code));
    __asm__ volatile("call *%0" : : "r"(code) : "memory");
}

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
    {"write-text", "writes into a function", write_text},
    {"exec-data", "calls into data", execute_data},
    {"stack", "uses up the stack", overflow_stack},
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
