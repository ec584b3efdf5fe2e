/* SPDX-License-Identifier: MIT */
/*
 * strike.h - a fault after every instruction of what real cells do.
 *
 * Why: a fault or a kill may end a function between any two of its instructions. Then the chain of
 * slots is popped, and nothing may be lost, owned twice or left half done. That is shown here, not
 * argued.
 *
 * A case runs once under the CPU's single-step flag. After each instruction, of the caller and of
 * all that it calls, the state of the program is kept aside; a fault strikes: commit_settle()
 * finishes what is under way, own_unwind() pops the chain, as catch does, on another stack; check()
 * looks at what is left, with a truth of its own, and goes on using it; then the state is put back
 * and the case executes its next instruction. So each strike has a fresh state, and none costs more
 * than a copy of it.
 *
 * With a second fault, the release itself is struck 0 to 60 instructions after it began, is begun
 * once more as catch does it, and check() looks then.
 *
 * Rules: the state is all variables of the program, the CPU's own memory (cpu_local.h), the chain,
 * and the stack; keep it small, a few pages if possible: it is copied twice a strike. Nothing here
 * uses malloc() or other state of the C library, files or threads. Code of the C library is
 * executed, and not struck. Between cases the state is that of the program's start. A function that
 * does not end within some hundredths of a second after a strike (a lock left held), or that
 * crashes, is a failure like any other.
 *
 *      static void prepare(void) { ... }                 what is there before
 *      static void operate(void) { OWNED(..); ... }      struck; what it leaves in variables stays
 *      static void check(void) { strike_demand(..); }    after a strike, and after the undisturbed
 * end
 *
 *      int main(void)
 *      {
 *          static const struct strike_case cases[] = {{"take one", prepare, operate, check}};
 *          return strike_run(cases, ARRAY_COUNT(cases));
 *      }
 *
 * Tasks on stacks of their own, which are variables: strike_set_filter() says which are struck, and
 * a check() that was called because of one of these lets it go on where catch would, until
 * operate() ends.
 *
 * add_strike_test() in test/strike/CMakeLists.txt compiles such a program and the cells it names at
 * -O0 and at -O2. In the short form, which the tests of a build run, an instruction that is
 * executed again and again is struck 20 times, and after every seventh strike a second one follows
 * at one of 61 places, in turn. THEORIS_STRIKE=full: each instruction each time, and a second fault
 * at each of the places; THEORIS_STRIKE=each: each instruction each time, and a second fault after
 * every seventh. THEORIS_STRIKE=first: no second faults. THEORIS_STRIKE_CASE names one case to run
 * alone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct strike_case {
    const char *name;
    void (*prepare)(void); /* NULL: nothing */
    void (*operate)(void);
    void (*check)(void);
};

/* Runs all, prints one line for each, and what failed by function and offset. main()'s exit status.
 */
int strike_run(const struct strike_case *cases, size_t count);

/* For check(), and for prepare(): what must hold. */
#define strike_demand(condition) \
    ((condition) ? (void)0 : strike_fail(__FILE__, __LINE__, #condition))
__attribute__((noreturn)) void strike_fail(const char *file, int line, const char *what);

/* On functions of the test that stand for the machine: executed, and not struck. */
#define STRIKE_NOT __attribute__((noinline, section("not_struck")))

/* Memory among the variables that nobody changes, in prepare(): it is not copied. One region. */
void strike_leave_out(void *start, size_t bytes);

/* In the short form, from now on to the end of the case, or to the next call: one of `count`
 * instructions is struck; 0: as many as add_strike_test() said. */
void strike_every(unsigned count);

/*
 * In the short form nothing is executed step by step between these two: long ways to what matters.
 */
void strike_pause(void);
void strike_go_on(void);

/* Is what runs with this stack pointer struck? Asked before each strike; NULL: all is. */
void strike_set_filter(bool (*is_struck)(uintptr_t rsp));

/* Called after a strike, as in the exception, before anything is released. */
void strike_set_settle(void (*settle)(uint64_t rsp));

/* Is check() called because of a strike (true), or at the undisturbed end? */
bool strike_has_struck(void);
