/* SPDX-License-Identifier: MIT */
/*
 * Runs of context_switch() between a test and a stack of its own. Which registers survive is looked
 * at around the call itself, in assembly: a compiler would keep its values elsewhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "context.h"

#define STACK_SIZE 65536

static _Alignas(16) unsigned char stack_memory[2][STACK_SIZE];
static uint64_t own_context[CONTEXT_WORDS];      /* of the test */
static uint64_t other_context[2][CONTEXT_WORDS]; /* of what runs on the stacks */

struct visit {
    unsigned number;
    unsigned count;
    uintptr_t frame;
};

/* Not seen by ASan, which knows of one stack only. */
__attribute__((no_sanitize("address", "undefined"))) static void visit_often(void *argument)
{
    struct visit *visit = argument;
    visit->frame = (uintptr_t)__builtin_frame_address(0);
    for (;;) {
        visit->count++;
        (void)context_switch(other_context[visit->number], own_context, visit);
    }
}

static void prepare(unsigned number, struct visit *visit)
{
    vaddr_t top = (vaddr_t)stack_memory[number] + STACK_SIZE;
    uint64_t *context = other_context[number];
    context_prepare(top, visit_often, visit, context);
    assert_true(context[CONTEXT_STACK] >= top - 64 && context[CONTEXT_STACK] < top);
}

static void test_context_switch_goes_and_comes_back(void **state)
{
    (void)state;
    struct visit visits[2] = {{.number = 0}, {.number = 1}};
    prepare(0, &visits[0]);
    prepare(1, &visits[1]);
    for (unsigned i = 1; i <= 1000; i++) {
        assert_ptr_equal(context_switch(own_context, other_context[i % 2], NULL), &visits[i % 2]);
        assert_int_equal(visits[0].count, i / 2);
        assert_int_equal(visits[1].count, (i + 1) / 2);
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_true(visits[i].frame > (uintptr_t)stack_memory[i]);
        assert_true(visits[i].frame < (uintptr_t)stack_memory[i] + STACK_SIZE);
        assert_int_equal(visits[i].frame % 16, 0); /* psABI: RSP + 8 is a multiple of 16 at entry */
    }
}

/* Puts other values into all registers that a callee keeps, then goes back. */
__attribute__((naked)) static void spoil(void *argument)
{
    __asm__("1:\n\t"
            "movq $-1, %rbx\n\t"
            "movq $-2, %rbp\n\t"
            "movq $-3, %r12\n\t"
            "movq $-4, %r13\n\t"
            "movq $-5, %r14\n\t"
            "movq $-6, %r15\n\t"
            "leaq other_context(%rip), %rdi\n\t"
            "leaq own_context(%rip), %rsi\n\t"
            "subq $8, %rsp\n\t"
            "call context_switch\n\t"
            "addq $8, %rsp\n\t"
            "jmp 1b\n\t");
}

/* Fills these registers from `values`, switches, and stores what is in them then. */
__attribute__((naked)) static void switch_with(uint64_t *values)
{
    __asm__("pushq %rbx\n\t"
            "pushq %rbp\n\t"
            "pushq %r12\n\t"
            "pushq %r13\n\t"
            "pushq %r14\n\t"
            "pushq %r15\n\t"
            "pushq %rdi\n\t"
            "movq 0(%rdi), %rbx\n\t"
            "movq 8(%rdi), %rbp\n\t"
            "movq 16(%rdi), %r12\n\t"
            "movq 24(%rdi), %r13\n\t"
            "movq 32(%rdi), %r14\n\t"
            "movq 40(%rdi), %r15\n\t"
            "leaq own_context(%rip), %rdi\n\t"
            "leaq other_context(%rip), %rsi\n\t"
            "call context_switch\n\t"
            "popq %rdi\n\t"
            "movq %rbx, 0(%rdi)\n\t"
            "movq %rbp, 8(%rdi)\n\t"
            "movq %r12, 16(%rdi)\n\t"
            "movq %r13, 24(%rdi)\n\t"
            "movq %r14, 32(%rdi)\n\t"
            "movq %r15, 40(%rdi)\n\t"
            "popq %r15\n\t"
            "popq %r14\n\t"
            "popq %r13\n\t"
            "popq %r12\n\t"
            "popq %rbp\n\t"
            "popq %rbx\n\t"
            "ret\n\t");
}

static void test_context_switch_keeps_the_registers_of_a_callee(void **state)
{
    (void)state;
    context_prepare((vaddr_t)stack_memory[0] + STACK_SIZE, spoil, NULL, other_context[0]);
    uint64_t values[6];
    for (unsigned turn = 0; turn < 10; turn++) {
        for (unsigned i = 0; i < 6; i++) {
            values[i] = 0x1111111111111111ull * (i + 1) + turn;
        }
        switch_with(values);
        for (unsigned i = 0; i < 6; i++) {
            assert_int_equal(values[i], 0x1111111111111111ull * (i + 1) + turn);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_context_switch_goes_and_comes_back),
        cmocka_unit_test(test_context_switch_keeps_the_registers_of_a_callee),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
