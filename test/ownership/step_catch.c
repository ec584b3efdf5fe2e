/* SPDX-License-Identifier: MIT */
/*
 * A fault at every instruction, by the kernel's own way out: is everything released exactly once?
 *
 * Each program of the corpus, hand-written or generated, runs within catch_unwind() under the CPU's
 * single-step flag. After each of its instructions a child process is struck there, in one of two
 * ways, by a handler that does what the kernel's handler of exceptions does; and then it goes on by
 * itself:
 *
 *   bit      with one bit flipped in one register that the code would go on with
 *   twice    and again, after 0 .. SECOND_MAX - 1 instructions of the release
 *
 * Which bit, and how far the second fault is, is drawn from a seed. The argument `full` takes every
 * register at every instruction, and every distance; `few`, one instruction of eight. Functions of
 * thing.c count as one instruction. (step.c strikes without either.)
 */
#include "catch.h"
#include "catch_priv.h"
#include "exceptions.h"
#include "owned.h"
#include "stack.h"
#include "thing.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define HANDLER_STACK 65536
#define STACK_SIZE    262144u /* of main()'s stack, what programs may use */
#define ARGUMENT      1
#define SECOND_MAX    61u
#define BITS          64u
#define TRAP_FLAG     0x100
#define FEW           8u

#define STEP_PROGRAM(name) enum status run_##name(int argument);
#include "step_programs.h"
#include "step_generated.h"
#undef STEP_PROGRAM

static const struct program {
    const char *name;
    enum status (*run)(int argument);
} programs[] = {
#define STEP_PROGRAM(name) {#name, run_##name},
#include "step_programs.h"
#include "step_generated.h"
#undef STEP_PROGRAM
};

/* ---- what catch stands on ---- */

extern const char __executable_start;
extern const char etext;
static vaddr_t stack_high;

bool owned_is_drop(uintptr_t drop)
{
    return drop >= (uintptr_t)&__executable_start && drop < (uintptr_t)&etext;
}

bool owned_is_intact_drop(uintptr_t drop)
{
    return owned_is_drop(drop);
}

bool stack_find(vaddr_t address, struct stack_place *out)
{
    *out = (struct stack_place){.bottom = stack_high - STACK_SIZE, .top = stack_high};
    for (unsigned i = 0; i < CATCH_STACKS; i++) {
        vaddr_t bottom = (vaddr_t)catch_stacks.of[i].stack;
        if (address - bottom < CATCH_STACK_SIZE) {
            *out = (struct stack_place){.bottom = bottom, .top = bottom + CATCH_STACK_SIZE};
        }
    }
    return address - out->bottom < out->top - out->bottom;
}

/* ---- in the child ---- */

enum phase { AT_REST, STEPPING, RELEASING };

static volatile sig_atomic_t phase;
static unsigned long steps; /* in this phase */
static unsigned second;     /* how far the second fault is; SECOND_MAX: there is none */
static bool is_child;
static bool was_taken = true;

void thing_step_over(bool begins)
{
    if (phase != AT_REST && begins) {
        __asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" : : : "memory", "cc");
    } else if (phase != AT_REST) {
        __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" : : : "memory", "cc");
    }
}

/* `flipped`: a register, of which `bit` is wrong; CFI_REGISTER_COUNT: none. */
static void strike(ucontext_t *user, unsigned flipped, unsigned bit)
{
    static const int numbers[CFI_REGISTER_COUNT] = {
        REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI, REG_RBP, REG_RSP, REG_R8,
        REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP};
    const struct catch_fault fault = {.vector = EXCEPTION_UD};
    uint64_t registers[CFI_REGISTER_COUNT];
    for (unsigned i = 0; i < CFI_REGISTER_COUNT; i++) {
        registers[i] = (uint64_t)user->uc_mcontext.gregs[numbers[i]];
    }
    if (flipped < CFI_REGISTER_COUNT) {
        registers[flipped] ^= 1ull << bit;
    }
    was_taken &= catch_take(registers, &fault);
    for (unsigned i = 0; i < CFI_REGISTER_COUNT; i++) {
        user->uc_mcontext.gregs[numbers[i]] = (greg_t)registers[i];
    }
}

static void rest(ucontext_t *user)
{
    phase = AT_REST;
    user->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
}

/* What is wrong after a release; NULL: nothing. */
static const char *judge(enum status status, const struct catch_reason *reason)
{
    const char *wrong = thing_judge();
    if (wrong) {
        return wrong;
    }
    if (status != ERR_FAULT || !was_taken) {
        return "the fault was not taken";
    }
    return reason->is_complete && reason->lost == 0 ? NULL : "the release was not complete";
}

/* ---- in the parent ---- */

static uint64_t random_state = 1;
static bool is_full;
static bool is_few;
static const char *name;
static unsigned long points;
static unsigned long failures;
static unsigned long bit_counts[CFI_REGISTER_COUNT];
static unsigned long twice_counts[SECOND_MAX];

static unsigned draw(unsigned limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state % limit);
}

/* True in the child. */
static bool split(const char *how, unsigned which)
{
    pid_t child = fork();
    if (child == 0) {
        is_child = true;
        return true;
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        failures++;
        printf("%s, instruction %lu, %s %u: not everything is released exactly once\n", name, steps,
               how, which);
    }
    return false;
}

static bool strike_bits(ucontext_t *user)
{
    unsigned drawn = draw(CFI_REGISTER_COUNT);
    for (unsigned i = 0; i < CFI_REGISTER_COUNT; i++) {
        unsigned bit = draw(BITS);
        if (!is_full && i != drawn) {
            continue;
        }
        if (split("register", i)) {
            second = SECOND_MAX;
            strike(user, i, bit);
            rest(user);
            return true;
        }
        bit_counts[i]++;
    }
    return false;
}

static bool strike_twice(ucontext_t *user)
{
    unsigned drawn = draw(SECOND_MAX);
    for (unsigned i = 0; i < SECOND_MAX; i++) {
        if (!is_full && i != drawn) {
            continue;
        }
        if (split("distance", i)) {
            strike(user, CFI_REGISTER_COUNT, 0);
            if (i == 0) {
                strike(user, CFI_REGISTER_COUNT, 0);
                rest(user);
                return true;
            }
            second = i;
            phase = RELEASING;
            steps = 0;
            return true;
        }
        twice_counts[i]++;
    }
    return false;
}

static void handle_step(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    ucontext_t *user = context;
    if (phase == AT_REST || thing_inside) {
        return;
    }
    steps++;
    if (phase == RELEASING) {
        if (steps == second) {
            strike(user, CFI_REGISTER_COUNT, 0);
            rest(user);
        }
        return;
    }
    if (is_few && steps % FEW != 0) {
        return;
    }
    points++;
    (void)(strike_bits(user) || strike_twice(user));
}

static void run_stepped(void *argument)
{
    const struct program *program = argument;
    steps = 0;
    phase = STEPPING;
    __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" : : : "memory", "cc");
    (void)program->run(ARGUMENT);
    phase = AT_REST;
    __asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" : : : "memory", "cc");
}

static void step_program(const struct program *program)
{
    struct catch_reason reason = {.lost = 0};
    name = program->name;
    enum status status = catch_unwind(run_stepped, (void *)program, &reason);
    phase = AT_REST;
    if (is_child) {
        const char *wrong = judge(status, &reason);
        if (wrong) {
            printf("%s: %s\n", name, wrong);
        }
        fflush(stdout);
        _exit(wrong ? EXIT_FAILURE : EXIT_SUCCESS);
    }
    failures += status != OK || thing_judge();
}

static unsigned long add_up(const unsigned long *counts, unsigned count, unsigned long *out_least)
{
    unsigned long sum = 0;
    *out_least = counts[0];
    for (unsigned i = 0; i < count; i++) {
        sum += counts[i];
        *out_least = counts[i] < *out_least ? counts[i] : *out_least;
    }
    return sum;
}

int main(int argc, char **argv)
{
    static char handler_stack[HANDLER_STACK];
    stack_t stack = {.ss_sp = handler_stack, .ss_size = sizeof(handler_stack)};
    struct sigaction action = {.sa_sigaction = handle_step, .sa_flags = SA_ONSTACK | SA_SIGINFO};
    stack_high = ((vaddr_t)__builtin_frame_address(0) + 15) & ~(vaddr_t)15;
    is_full = argc > 1 && strcmp(argv[1], "full") == 0;
    is_few = argc > 1 && strcmp(argv[1], "few") == 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (sigaltstack(&stack, NULL) != 0 || sigaction(SIGTRAP, &action, NULL) != 0) {
        perror("cannot single-step");
        return EXIT_FAILURE;
    }
    for (size_t i = 0; i < ARRAY_COUNT(programs); i++) {
        step_program(&programs[i]);
    }
    unsigned long least_bits;
    unsigned long least_twice;
    unsigned long bits = add_up(bit_counts, CFI_REGISTER_COUNT, &least_bits);
    unsigned long twice = add_up(twice_counts, SECOND_MAX, &least_twice);
    printf("%zu programs, seed 1, %lu instructions: %lu faults with a flipped bit (each register "
           "%lu or "
           "more), %lu second faults (each distance %lu or more), %lu failures\n",
           ARRAY_COUNT(programs), points, bits, least_bits, twice, least_twice, failures);
    return least_bits > 10 && least_twice > 1 && failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
