/* SPDX-License-Identifier: MIT */
/*
 * A fault at every instruction: is everything released exactly once?
 *
 * Each right program that owns its things in slots runs once under the CPU's single-step flag.
 * After each of its instructions a child process is struck there: its signal handler, on a stack of
 * its own, does what a kernel would do, pops the chain, and gives the program up. The functions of
 * thing.c count as one instruction. This program is built at every level of optimisation.
 */
#include "single_step.h"
#include "thing.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define HANDLER_STACK 65536
/* The stack below main() that programs may use. */
#define PROGRAM_STACK 65536
#define ARGUMENT      1

#define STEP_PROGRAM(name) enum status run_##name(int argument);
#include "step_programs.h"
#undef STEP_PROGRAM

static const struct {
    const char *name;
    enum status (*run)(int argument);
} programs[] = {
#define STEP_PROGRAM(name) {#name, run_##name},
#include "step_programs.h"
#undef STEP_PROGRAM
};

static volatile sig_atomic_t stepping;
static const char *program;
static unsigned long strikes;
static unsigned long failures;
static uintptr_t stack_high;

void thing_step_over(bool begins)
{
    if (stepping && begins) {
        single_step_end();
    } else if (stepping) {
        single_step_begin();
    }
}

/* One instruction was executed. */
static void handle_step(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
    if (!stepping || thing_inside) {
        return;
    }
    stepping = 0;
    strikes++;
    pid_t child = fork();
    if (child == 0) {
        own_unwind(NULL, stack_high - PROGRAM_STACK, stack_high);
        _exit(thing_judge() ? EXIT_FAILURE : EXIT_SUCCESS);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        failures++;
        printf("%s: not everything is released exactly once after instruction %lu\n", program,
               strikes);
    }
    stepping = 1;
}

int main(void)
{
    static char handler_stack[HANDLER_STACK];
    stack_high = (uintptr_t)__builtin_frame_address(0);
    if (single_step_install(handle_step, handler_stack, sizeof(handler_stack), 0) != 0) {
        perror("cannot single-step");
        return EXIT_FAILURE;
    }
    unsigned long sum = 0;
    for (size_t i = 0; i < ARRAY_COUNT(programs); i++) {
        program = programs[i].name;
        strikes = 0;
        stepping = 1;
        single_step_begin();
        (void)programs[i].run(ARGUMENT);
        single_step_end();
        stepping = 0;
        failures += thing_judge() != NULL;
        sum += strikes;
    }
    printf("%lu faults in %zu programs, %lu failures\n", sum, ARRAY_COUNT(programs), failures);
    return sum > 1000 && failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
