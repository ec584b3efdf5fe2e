/* SPDX-License-Identifier: MIT */
/*
 * What it costs to release ten things that ten frames own, and to be back at who is prepared for
 * that: by the chain of slots (catch.h), and in C++ by an exception that is thrown through ten
 * frames, each with an object whose destructor does the same (throw.cc, libstdc++). Neither is
 * struck by the CPU: ours begins where the handler of an exception would, with the registers that
 * it would have.
 *
 * throw.cc is a library that is loaded at run time; where no C++ compiler was, its line is left
 * out.
 */
#include "catch.h"
#include "catch_priv.h"
#include "exceptions.h"
#include "owned.h"
#include "release.h"
#include "stack.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS     40
#define RUNS       1000
#define STACK_SIZE 262144u

extern const char __executable_start;
extern const char etext;
static vaddr_t stack_high;
static unsigned long releases;

/* ---- what catch stands on ---- */

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
    return address - out->bottom < STACK_SIZE;
}

/* ---- ours ---- */

struct OWN_CAPABILITY("thing") thing;
OWN_DECLARE(thing);

struct thing {
    int number;
};

static struct thing things[RELEASE_DEPTH];

void thing_drop(struct thing **handle)
{
    if (*handle) {
        releases++;
        EMPTY(handle);
    }
}

static enum status thing_take(int number, struct thing **out) OWN_ACQUIRES(**out);
static NOINLINE enum status thing_take(int number, struct thing **out)
{
    FILL(out, &things[number]);
    return OK;
}

static NORETURN NOINLINE void fault(void)
{
    const struct catch_fault what = {.vector = EXCEPTION_UD};
    uint64_t registers[CFI_REGISTER_COUNT] = {
        [CFI_RSP] = (uint64_t)__builtin_frame_address(0),
        [CFI_RIP] = (uint64_t)fault,
    };
    if (!catch_take(registers, &what)) {
        abort();
    }
    __asm__ volatile("movq %0, %%rsp; jmp *%1"
                     :
                     : "r"(registers[CFI_RSP]), "r"(registers[CFI_RIP]), "D"(registers[CFI_RDI])
                     : "memory");
    __builtin_unreachable();
}

static NOINLINE void own_and_call(int depth)
{
    OWNED(thing, owned);
    if (thing_take(depth, SLOT(owned)) != OK) {
        return;
    }
    if (depth + 1 == RELEASE_DEPTH) {
        fault();
    }
    own_and_call(depth + 1);
}

static void begin(void *unused)
{
    (void)unused;
    own_and_call(0);
}

static void run_ours(void)
{
    if (catch_unwind(begin, NULL, NULL) != ERR_FAULT) {
        abort();
    }
}

/* The same, and nothing happens: what is to be taken off. */
static NOINLINE void own_and_return(int depth)
{
    OWNED(thing, owned);
    if (thing_take(depth, SLOT(owned)) == OK && depth + 1 < RELEASE_DEPTH) {
        own_and_return(depth + 1);
    }
}

static void begin_and_return(void *unused)
{
    (void)unused;
    own_and_return(0);
}

static void run_quietly(void)
{
    if (catch_unwind(begin_and_return, NULL, NULL) != OK) {
        abort();
    }
}

/* ---- measuring ---- */

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static double measure(void (*run)(void))
{
    double least = 1e30;
    for (int round = 0; round < ROUNDS; round++) {
        double start = now_ns();
        for (int i = 0; i < RUNS; i++) {
            run();
        }
        double each = (now_ns() - start) / RUNS;
        least = each < least ? each : least;
    }
    return least;
}

/* The library beside this program. */
static void measure_throw(const char *library)
{
    void *handle = dlopen(library, RTLD_NOW);
    void (*run)(void) = NULL;
    void (*quiet)(void) = NULL;
    unsigned long *count = NULL;
    if (handle) {
        *(void **)&run = dlsym(handle, "bench_throw");
        *(void **)&quiet = dlsym(handle, "bench_return");
        count = dlsym(handle, "bench_destroyed");
    }
    if (!run || !quiet || !count) {
        fprintf(stderr, "no library of a C++ compiler: a throw is not measured\n");
        return;
    }
    printf("release_throw_ns %.0f\n", measure(run));
    printf("release_throw_quiet_ns %.0f\n", measure(quiet));
    if (*count != 2ul * ROUNDS * RUNS * RELEASE_DEPTH) {
        abort();
    }
}

int main(int argc, char **argv)
{
    stack_high = ((vaddr_t)__builtin_frame_address(0) + 15) & ~(vaddr_t)15;
    printf("release_ours_ns %.0f\n", measure(run_ours));
    printf("release_ours_quiet_ns %.0f\n", measure(run_quietly));
    if (releases != 2ul * ROUNDS * RUNS * RELEASE_DEPTH) {
        abort();
    }
    if (argc > 1) {
        measure_throw(argv[1]);
    }
    return EXIT_SUCCESS;
}
