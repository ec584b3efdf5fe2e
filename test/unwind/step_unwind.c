/* SPDX-License-Identifier: MIT */
/*
 * Is the unwound chain of calls the true one, at every instruction?
 *
 * Each function of the corpus runs under the CPU's single-step flag. The truth is kept aside: every
 * call that is executed pushes where it returns to and what the preserved registers hold, every
 * return pops. Before each instruction the chain is unwound from the registers of that moment, by
 * evaluating and by the cache, and must equal the truth: each return address, each stack pointer,
 * each preserved register. Now and then it is also unwound from within the signal handler, through
 * the frame that the kernel made; and once a step from registers of which one is destroyed, which
 * must end, in whatever way. This program is built at every level of optimisation.
 */
#include "corpus.h"
#include "host_source.h"
#include "single_step.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define HANDLER_STACK 65536
#define CALLS_MAX     256
#define FRAMES_MAX    100000 /* of a walk that should end by itself */
#define FUEL          60
#define FROM_HANDLER  64 /* one step of so many */
#define REPORTS_MAX   10
#define PRESERVED     6

static_assert(SINGLE_STEP_REGISTERS == CFI_REGISTER_COUNT, "in the same order");

extern uint8_t corpus_stack[];
extern uint8_t corpus_stack_end[];

struct call {
    uint64_t slot; /* where the return address was pushed */
    uint64_t returns_to;
    uint64_t preserved[PRESERVED];
};

static struct call calls[CALLS_MAX];
static size_t call_count;
static uint64_t before[CFI_REGISTER_COUNT]; /* registers before the last instruction */
static volatile sig_atomic_t stepping;
static const char *function;
static struct unwind_cache cache;

static unsigned long steps;
static unsigned long frames;
static unsigned long handler_walks;
static unsigned long damaged_ends[UNWIND_UNRELIABLE + 1];
static unsigned long failures;
static uint64_t random_state = 1;

static uint64_t random_number(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* ---- the truth ---- */

static void follow(const uint64_t registers[CFI_REGISTER_COUNT])
{
    const uint8_t *code = (const uint8_t *)before[CFI_RIP];
    size_t prefix = (code[0] & 0xf0) == 0x40 || code[0] == 0xf2 || code[0] == 0xf3;
    bool is_call =
        code[prefix] == 0xe8 || (code[prefix] == 0xff && (code[prefix + 1] >> 3 & 7) == 2);
    bool is_return = code[prefix] == 0xc3 || code[prefix] == 0xc2;
    if (is_call && call_count < CALLS_MAX) {
        struct call *call = &calls[call_count++];
        call->slot = registers[CFI_RSP];
        memcpy(&call->returns_to, (const void *)call->slot, sizeof(call->returns_to));
        for (unsigned i = 0; i < PRESERVED; i++) {
            call->preserved[i] = before[cfi_saved_register(i)];
        }
    } else if (is_return && call_count > 0) {
        call_count--;
    }
}

/* ---- the comparison ---- */

static void report(const uint64_t registers[CFI_REGISTER_COUNT], size_t frame, const char *what,
                   uint64_t expected, uint64_t found)
{
    failures++;
    if (failures <= REPORTS_MAX) {
        printf("%s, step %lu, rip %#llx, frame %zu: %s is %#llx, not %#llx\n", function, steps,
               (unsigned long long)registers[CFI_RIP], frame, what, (unsigned long long)found,
               (unsigned long long)expected);
    }
}

/* Steps over frames that were interrupted: no call made them. */
static enum unwind_outcome step_call(struct unwind_cursor *cursor)
{
    enum unwind_outcome outcome = unwind_step(cursor);
    while (outcome == UNWIND_CALLER && cursor->is_exact) {
        outcome = unwind_step(cursor);
    }
    return outcome;
}

static void compare(struct unwind_cursor *cursor, const uint64_t registers[CFI_REGISTER_COUNT])
{
    for (size_t i = call_count; i-- > 0;) {
        const struct call *call = &calls[i];
        size_t frame = call_count - i;
        enum unwind_outcome outcome = step_call(cursor);
        frames++;
        if (outcome != UNWIND_CALLER) {
            report(registers, frame, unwind_reason_text(cursor->reason), UNWIND_CALLER, outcome);
            return;
        }
        if (cursor->registers[CFI_RIP] != call->returns_to) {
            report(registers, frame, "rip", call->returns_to, cursor->registers[CFI_RIP]);
            return;
        }
        if (cursor->registers[CFI_RSP] != call->slot + 8) {
            report(registers, frame, "rsp", call->slot + 8, cursor->registers[CFI_RSP]);
        }
        for (unsigned k = 0; k < PRESERVED; k++) {
            unsigned number = cfi_saved_register(k);
            if (!(cursor->known >> number & 1) || cursor->registers[number] != call->preserved[k]) {
                report(registers, frame, cfi_register_name(number), call->preserved[k],
                       cursor->registers[number]);
            }
        }
    }
}

static void walk(const uint64_t registers[CFI_REGISTER_COUNT], struct unwind_cache *with)
{
    struct unwind_cursor cursor;
    unwind_begin(&cursor, host_source(), with, registers, true);
    compare(&cursor, registers);
}

/* From here, out of the handler, to what it interrupted, with all of its registers. */
static NOINLINE void walk_from_handler(const uint64_t registers[CFI_REGISTER_COUNT])
{
    struct unwind_cursor cursor;
    uint64_t own[CFI_REGISTER_COUNT] = {0};
    __asm__ volatile("movq %%rbx, 24(%0); movq %%rbp, 48(%0); movq %%rsp, 56(%0);"
                     "movq %%r12, 96(%0); movq %%r13, 104(%0); movq %%r14, 112(%0);"
                     "movq %%r15, 120(%0); leaq 1f(%%rip), %%rax; movq %%rax, 128(%0); 1:"
                     :
                     : "r"(own)
                     : "rax", "memory");
    unwind_begin(&cursor, host_source(), NULL, own, true);
    handler_walks++;
    for (int i = 0; i < 8; i++) {
        if (unwind_step(&cursor) != UNWIND_CALLER) {
            report(registers, 0, unwind_reason_text(cursor.reason), 0, cursor.registers[CFI_RIP]);
            return;
        }
        if (cursor.is_exact) {
            for (unsigned k = 0; k < CFI_REGISTER_COUNT; k++) {
                if (cursor.registers[k] != registers[k] || !(cursor.known >> k & 1)) {
                    report(registers, 0, cfi_register_name(k), registers[k], cursor.registers[k]);
                }
            }
            compare(&cursor, registers);
            return;
        }
    }
    report(registers, 0, "the signal's frame", 1, 0);
}

static void walk_damaged(const uint64_t registers[CFI_REGISTER_COUNT])
{
    static const unsigned choices[] = {CFI_RSP, CFI_RBP, CFI_RIP, CFI_RBX, CFI_R12};
    struct unwind_cursor cursor;
    uint64_t damaged[CFI_REGISTER_COUNT];
    memcpy(damaged, registers, sizeof(damaged));
    uint64_t random = random_number();
    unsigned number = choices[random % ARRAY_COUNT(choices)];
    random = random_number();
    switch (random >> 60 & 3) {
    case 0:
        damaged[number] ^= 1ull << (random & 63);
        break;
    case 1:
        damaged[number] += (random & 0xfff) - 0x800;
        break;
    case 2:
        damaged[number] = random;
        break;
    default:
        damaged[number] = 0;
        break;
    }
    unwind_begin(&cursor, host_source(), random & 64 ? &cache : NULL, damaged, true);
    enum unwind_outcome outcome = UNWIND_CALLER;
    for (int i = 0; outcome == UNWIND_CALLER || outcome == UNWIND_GUESSED; i++) {
        outcome = unwind_step(&cursor);
        if (i == FRAMES_MAX) {
            report(registers, 0, "the number of frames", 0, FRAMES_MAX);
            return;
        }
    }
    damaged_ends[outcome]++;
}

/* ---- stepping ---- */

static void handle_step(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    uint64_t registers[CFI_REGISTER_COUNT];
    if (!stepping) {
        return;
    }
    single_step_registers(context, registers);
    if (before[CFI_RIP]) {
        follow(registers);
    }
    memcpy(before, registers, sizeof(before));
    if (call_count > 0) {
        steps++;
        walk(registers, NULL);
        walk(registers, &cache);
        walk_damaged(registers);
        if (steps % FROM_HANDLER == 0) {
            walk_from_handler(registers);
        }
    }
}

/* What a chain ends in, here: a caller that the truth does not reach. */
static NOINLINE void run(const struct corpus_function *program, long argument)
{
    corpus_call call = corpus_pointer(program->call);
    function = program->name;
    corpus_fuel = FUEL;
    call_count = 0;
    memset(before, 0, sizeof(before));
    stepping = 1;
    single_step_begin();
    call(argument);
    single_step_end();
    stepping = 0;
}

static void run_all(const struct corpus_function *programs)
{
    for (; programs->name; programs++) {
        for (long argument = 0; argument < 8; argument += 3) {
            run(programs, argument);
        }
        run(programs, 7);
    }
}

int main(void)
{
    static char handler_stack[HANDLER_STACK];
    uint64_t high = (uint64_t)__builtin_frame_address(0);
    host_source_add_stack(high - (1 << 20), high);
    host_source_add_stack((uint64_t)handler_stack, (uint64_t)handler_stack + HANDLER_STACK);
    host_source_add_stack((uint64_t)corpus_stack, (uint64_t)corpus_stack_end);
    host_source();
    if (single_step_install(handle_step, handler_stack, sizeof(handler_stack), 0) != 0) {
        perror("cannot single-step");
        return EXIT_FAILURE;
    }
    run_all(handwritten);
    run_all(generated);
    printf("%lu instructions, %lu frames, %lu walks from the handler, cache %llu of %llu; "
           "%lu damaged walks ended, %lu were unreliable; %lu failures\n",
           steps, frames, handler_walks, (unsigned long long)cache.hits,
           (unsigned long long)(cache.hits + cache.misses),
           damaged_ends[UNWIND_END] + damaged_ends[UNWIND_UNRELIABLE],
           damaged_ends[UNWIND_UNRELIABLE], failures);
    return steps > 10000 && handler_walks > 100 && failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
