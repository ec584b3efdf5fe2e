/* SPDX-License-Identifier: MIT */
/* The CPU's exceptions are signals here; what a handler does is what catch_exceptions.c does. */
#define _GNU_SOURCE /* names of registers */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "catch.h"
#include "catch_priv.h"
#include "exceptions.h"
#include "kill_deferral.h"
#include "own.h"
#include "owned.h"
#include "stack.h"

#define HANDLER_STACK 65536
#define THINGS_MAX    16
#define STACK_SIZE    (256u << 10)

struct OWN_CAPABILITY("thing") thing;
OWN_DECLARE(thing);

struct thing {
    int drops;
    int order;
    int faults; /* of its drop that are still to come */
    struct thing *content;
};

static struct thing things[THINGS_MAX];
static int next_order;
static vaddr_t main_top;
static bool is_stack_known = true;
static unsigned not_taken;

void thing_drop(struct thing **handle)
{
    struct thing *thing = *handle;
    if (!thing) {
        return;
    }
    OWNED(thing, content);
    if (thing->content) {
        LOAD(content, thing->content);
    }
    if (thing->faults) {
        thing->faults--;
        __builtin_trap();
    }
    thing->drops++;
    thing->order = ++next_order;
    EMPTY(handle);
}

bool stack_find(vaddr_t address, struct stack_place *out)
{
    *out = (struct stack_place){.name = "main", .bottom = main_top - STACK_SIZE, .top = main_top};
    for (unsigned i = 0; i < CATCH_STACKS; i++) {
        vaddr_t bottom = (vaddr_t)catch_stacks.of[i].stack;
        if (address - bottom < CATCH_STACK_SIZE) {
            *out = (struct stack_place){
                .name = "release", .bottom = bottom, .top = bottom + CATCH_STACK_SIZE};
            return true;
        }
    }
    return is_stack_known && address >= out->bottom && address < out->top;
}

enum status stack_adopt(vaddr_t bottom, size_t bytes, const char *name)
{
    (void)bottom;
    (void)bytes;
    (void)name;
    return OK;
}

/* Of this program, as far as the linker tells: catch points have a type of their own, a static
 * function. */
extern const char __executable_start;
extern const char etext;

bool owned_is_drop(uintptr_t drop)
{
    return drop >= (uintptr_t)&__executable_start && drop < (uintptr_t)&etext;
}

/* Exactly, for a copy of a tag in a frame may name any other place. */
static uintptr_t point_type;

bool owned_is_intact_drop(uintptr_t drop)
{
    return drop == (uintptr_t)thing_drop || drop == (uintptr_t)kill_deferral_drop ||
           drop == point_type;
}

static void learn_type_of_points(void *unused)
{
    (void)unused;
    point_type = (uintptr_t)own_slot_type(own_thread_top);
}

size_t owned_name(uintptr_t drop, char *buffer, size_t size)
{
    (void)drop;
    (void)size;
    buffer[0] = '\0';
    return 0;
}

static const int numbers[CFI_REGISTER_COUNT] = {
    REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI, REG_RBP, REG_RSP, REG_R8,
    REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP};

void __asan_unpoison_memory_region(const volatile void *start, size_t size) __attribute__((weak));

/* ASan's marks of frames that did not return would lie where other frames come. */
static void forget_frames(void)
{
    if (__asan_unpoison_memory_region) {
        char *low = (char *)__builtin_frame_address(0) - 32768;
        __asan_unpoison_memory_region(low, 32768);
        __asan_unpoison_memory_region(&catch_stacks, sizeof(catch_stacks));
    }
}

static void handle_signal(int number, siginfo_t *info, void *context)
{
    ucontext_t *user = context;
    uint64_t registers[CFI_REGISTER_COUNT];
    for (unsigned i = 0; i < CFI_REGISTER_COUNT; i++) {
        registers[i] = (uint64_t)user->uc_mcontext.gregs[numbers[i]];
    }
    const struct catch_fault fault = {.vector = (uint64_t)number,
                                      .address = (uint64_t)info->si_addr};
    if (!catch_take(registers, &fault)) {
        not_taken++;
        user->uc_mcontext.gregs[REG_RIP] += 2; /* over `ud2` */
        return;
    }
    forget_frames();
    for (unsigned i = 0; i < CFI_REGISTER_COUNT; i++) {
        user->uc_mcontext.gregs[numbers[i]] = (greg_t)registers[i];
    }
}

/* First in each test: cmocka has set handlers of its own just before. */
static void set_up(void)
{
    static char handler_stack[HANDLER_STACK];
    stack_t stack = {.ss_sp = handler_stack, .ss_size = sizeof(handler_stack)};
    struct sigaction action = {.sa_sigaction = handle_signal,
                               .sa_flags = SA_ONSTACK | SA_SIGINFO | SA_NODEFER};
    memset(things, 0, sizeof(things));
    next_order = 0;
    not_taken = 0;
    is_stack_known = true;
    sigaltstack(&stack, NULL);
    sigaction(SIGILL, &action, NULL);
    sigaction(SIGSEGV, &action, NULL);
    assert_int_equal(catch_unwind(learn_type_of_points, NULL, NULL), OK);
}

/* catch_unwind(), for tests under ASan. */
static enum status catch_it(void (*function)(void *argument), void *argument,
                            struct catch_reason *out_reason)
{
    enum status status = catch_unwind(function, argument, out_reason);
    forget_frames();
    return status;
}

static void fault_here(void)
{
    __asm__ volatile("ud2");
}

static enum status thing_take(int number, struct thing **out) OWN_ACQUIRES(**out);
static enum status thing_take(int number, struct thing **out)
{
    FILL(out, &things[number]);
    return OK;
}

static void own_and_recurse(void *argument)
{
    int depth = *(int *)argument;
    OWNED(thing, owned);
    if (thing_take(depth, SLOT(owned)) != OK) {
        return;
    }
    if (depth == 9) {
        fault_here();
    } else {
        int next = depth + 1;
        own_and_recurse(&next);
    }
}

static void return_at_once(void *argument)
{
    ++*(int *)argument;
}

static void test_catch_returns_what_does_not_fault(void **state)
{
    (void)state;
    set_up();
    int runs = 0;
    struct catch_reason reason = {.faults = 77};
    assert_int_equal(catch_it(return_at_once, &runs, &reason), OK);
    assert_int_equal(runs, 1);
    assert_int_equal(reason.faults, 77);
    assert_null(own_thread_top);
}

static void test_catch_releases_ten_frames_newest_first(void **state)
{
    (void)state;
    set_up();
    int depth = 0;
    struct catch_reason reason;
    for (int round = 1; round <= 100; round++) {
        next_order = 0;
        assert_int_equal(catch_it(own_and_recurse, &depth, &reason), ERR_FAULT);
        assert_int_equal(reason.released, 10);
        assert_int_equal(reason.faults, 1);
        assert_true(reason.is_complete);
        assert_int_equal(reason.fault.vector, SIGILL);
        assert_memory_equal((void *)reason.registers[CFI_RIP], "\x0f\x0b", 2);
        for (int i = 0; i < 10; i++) {
            assert_int_equal(things[i].drops, round);
            assert_int_equal(things[i].order, 10 - i);
        }
        assert_null(own_thread_top);
    }
}

static void test_catch_keeps_the_callers_registers(void **state)
{
    (void)state;
    set_up();
    static int depth = 5;
    static const void *arguments[3];
    static uint32_t status;
    static uint32_t kept;
    arguments[0] = own_and_recurse;
    arguments[1] = &depth;
    arguments[2] = catch_unwind;
    /* Values in all registers that calls preserve, but rbp, by which this frame may be found. */
    __asm__ volatile("movq $11, %%rbx; movq $12, %%r12; movq $13, %%r13; movq $14, %%r14;"
                     "movq $15, %%r15; movq %2, %%rdi; movq %3, %%rsi; xorl %%edx, %%edx;"
                     "call *%4; movl $1, %%ecx; cmpq $11, %%rbx; jne 1f; cmpq $12, %%r12; jne 1f;"
                     "cmpq $13, %%r13; jne 1f; cmpq $14, %%r14; jne 1f; cmpq $15, %%r15; je 2f;"
                     "1: xorl %%ecx, %%ecx; 2: movl %%eax, %0; movl %%ecx, %1"
                     : "=m"(status), "=m"(kept)
                     : "m"(arguments[0]), "m"(arguments[1]), "m"(arguments[2])
                     : "rax", "rcx", "rbx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12",
                       "r13", "r14", "r15", "memory", "cc");
    forget_frames();
    assert_int_equal((int)status, ERR_FAULT);
    assert_int_equal(kept, 1);
    assert_int_equal(things[9].drops, 1);
}

static void fault_outside(void *argument)
{
    OWNED(thing, owned);
    int depth = 8;
    struct catch_reason inner;
    if (thing_take(0, SLOT(owned)) != OK) {
        return;
    }
    *(enum status *)argument = catch_it(own_and_recurse, &depth, &inner);
    if (things[0].drops == 0 && inner.released == 2) {
        fault_here();
    }
}

static void test_catch_nests(void **state)
{
    (void)state;
    set_up();
    enum status inner = OK;
    struct catch_reason reason;
    assert_int_equal(catch_it(fault_outside, &inner, &reason), ERR_FAULT);
    assert_int_equal(inner, ERR_FAULT);
    assert_int_equal(reason.released, 1);
    assert_int_equal(things[0].drops, 1);
    assert_int_equal(things[8].drops, 1);
    assert_int_equal(things[9].drops, 1);
}

static void test_catch_goes_on_behind_a_drop_that_faults(void **state)
{
    (void)state;
    set_up();
    int depth = 0;
    struct catch_reason reason;
    things[9].faults = things[4].faults = things[3].faults = OWN_TRIES;
    assert_int_equal(catch_it(own_and_recurse, &depth, &reason), ERR_FAULT);
    assert_int_equal(reason.faults, 1 + 3 * OWN_TRIES);
    assert_true(reason.is_complete);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(things[i].drops, i != 9 && i != 4 && i != 3);
    }
    assert_memory_equal((void *)reason.registers[CFI_RIP], "\x0f\x0b", 2);
}

/* A drop that faults once is begun again, and what it owned itself is released before. */
static void test_catch_begins_a_drop_again(void **state)
{
    (void)state;
    set_up();
    int depth = 0;
    struct catch_reason reason;
    things[9].faults = things[3].faults = 1;
    things[9].content = &things[10];
    things[3].content = &things[11];
    things[11].content = &things[12];
    things[11].faults = 1;
    assert_int_equal(catch_it(own_and_recurse, &depth, &reason), ERR_FAULT);
    assert_int_equal(reason.faults, 4);
    assert_true(reason.is_complete);
    for (int i = 0; i <= 12; i++) {
        assert_int_equal(things[i].drops, 1);
    }
}

/* There is no end to the faults, nor to the slots on the stack where they are released. */
static void test_catch_ends_where_its_stack_does(void **state)
{
    (void)state;
    set_up();
    struct catch_reason reason;
    for (int i = 1; i < THINGS_MAX; i++) {
        things[i - 1].content = &things[i];
        things[i].faults = OWN_TRIES;
    }
    int depth = 9;
    things[9].faults = 0;
    assert_int_equal(catch_it(own_and_recurse, &depth, &reason), ERR_FAULT);
    assert_int_equal(things[9].drops, 1);
    assert_int_equal(not_taken, 0);
}

/* ---- chains that are broken ---- */

/* Three things, of which the slot in the middle is damaged as `damage` says, and a fault. */
enum damage {
    LINK_WILD,
    LINK_TO_NOTHING,
    LINK_TO_NO_SLOT,
    LINK_BACK,
    TAG_LOST,
    TAG_WILD,
    SLOT_OVERWRITTEN,
    HANDLE_WILD,
    PEER_WILD,
    DAMAGES
};

static void damage_slot(struct own_slot *slot, struct own_slot *newer, enum damage damage)
{
    static uint64_t no_slot[8];
    switch (damage) {
    case LINK_WILD:
        slot->below = (struct own_slot *)0x1000;
        break;
    case LINK_TO_NOTHING:
        slot->below = NULL;
        break;
    case LINK_TO_NO_SLOT:
        slot->below = (struct own_slot *)no_slot;
        break;
    case LINK_BACK:
        slot->below = newer;
        break;
    case TAG_LOST:
        slot->tag = 0;
        break;
    case TAG_WILD:
        slot->tag ^= (uintptr_t)1 << 40;
        break;
    case SLOT_OVERWRITTEN:
        memset(slot, 0x5a, sizeof(*slot));
        break;
    case HANDLE_WILD:
        slot->handle = (void *)0x10;
        break;
    default:
        slot->peer = (void **)0x10;
        break;
    }
}

static void break_chain(void *argument)
{
    OWNED(thing, first);
    OWNED(thing, second);
    OWNED(thing, third);
    if (thing_take(0, SLOT(first)) != OK || thing_take(1, SLOT(second)) != OK ||
        thing_take(2, SLOT(third)) != OK) {
        return;
    }
    damage_slot(&second.slot, &third.slot, *(enum damage *)argument);
    fault_here();
}

/* By tags what is behind the break is found; a slot that lost its tag is lost. */
static void test_catch_mends_a_broken_chain(void **state)
{
    (void)state;
    for (enum damage damage = 0; damage < DAMAGES; damage++) {
        set_up();
        struct catch_reason reason;
        assert_int_equal(catch_it(break_chain, &damage, &reason), ERR_FAULT);
        bool is_lost = damage >= TAG_LOST && damage <= HANDLE_WILD;
        assert_int_equal(things[0].drops, 1);
        assert_int_equal(things[1].drops, !is_lost);
        assert_int_equal(things[2].drops, 1);
        assert_int_equal(reason.is_mended, damage <= SLOT_OVERWRITTEN);
        assert_int_equal(reason.is_complete, damage > SLOT_OVERWRITTEN);
        assert_int_equal(reason.lost, damage == HANDLE_WILD);
        assert_int_equal(not_taken, 0);
        assert_null(own_thread_top);
    }
}

/* Points between may be there: a kill passes them. */
static void break_chain_and_be_killed(void *argument)
{
    OWNED(thing, first);
    OWNED(thing, second);
    OWNED(thing, third);
    if (thing_take(0, SLOT(first)) != OK || thing_take(1, SLOT(second)) != OK ||
        thing_take(2, SLOT(third)) != OK) {
        return;
    }
    damage_slot(&second.slot, &third.slot, *(enum damage *)argument);
    const struct kill_deferral *by = NULL;
    catch_kill(&by);
    not_taken++;
}

static void be_killed_below_a_point(void *argument)
{
    struct catch_reason reason;
    not_taken += catch_unwind(break_chain_and_be_killed, argument, &reason) != ERR_FAULT;
    not_taken++;
}

static void test_kill_mends_a_broken_chain(void **state)
{
    (void)state;
    for (enum damage damage = 0; damage < 2 * DAMAGES; damage++) {
        set_up();
        struct catch_reason reason = {0};
        enum damage which = damage % DAMAGES;
        bool is_below = damage >= DAMAGES;
        assert_int_equal(catch_it(is_below ? be_killed_below_a_point : break_chain_and_be_killed,
                                  &which, &reason),
                         ERR_KILLED);
        bool is_lost = which >= TAG_LOST && which <= HANDLE_WILD;
        assert_int_equal(things[0].drops, 1);
        assert_int_equal(things[1].drops, !is_lost);
        assert_int_equal(things[2].drops, 1);
        assert_int_equal(reason.is_mended, which <= SLOT_OVERWRITTEN);
        assert_int_equal(reason.is_complete, which > SLOT_OVERWRITTEN);
        assert_int_equal(reason.lost, which == HANDLE_WILD);
        assert_int_equal(not_taken, 0);
        assert_null(own_thread_top);
    }
}

/* The chain ends at a point which is not where it began: its link has been cut. */
static void be_killed_below_a_cut_point(void *unused)
{
    (void)unused;
    OWNED(thing, owned);
    if (thing_take(1, SLOT(owned)) != OK) {
        return;
    }
    assert_int_equal((uintptr_t)own_slot_type(owned.slot.below), point_type);
    owned.slot.below->below = NULL;
    const struct kill_deferral *by = NULL;
    catch_kill(&by);
    not_taken++;
}

static void own_and_call(void *unused)
{
    (void)unused;
    OWNED(thing, owned);
    if (thing_take(0, SLOT(owned)) == OK) {
        not_taken += catch_unwind(be_killed_below_a_cut_point, NULL, NULL) != ERR_FAULT;
        not_taken++;
    }
}

static void test_kill_mends_a_chain_that_is_cut_at_a_point(void **state)
{
    (void)state;
    set_up();
    struct catch_reason reason;
    assert_int_equal(catch_it(own_and_call, NULL, &reason), ERR_KILLED);
    assert_int_equal(things[0].drops, 1);
    assert_int_equal(things[1].drops, 1);
    assert_true(reason.is_mended);
    assert_int_equal(not_taken, 0);
    assert_null(own_thread_top);
}

static const struct kill_deferral patience = {.what = "a test"};

static void be_kept_with_a_broken_chain(void *argument)
{
    const struct kill_deferral **by = argument;
    OWNED(thing, first);
    GUARD(kill_deferral, kept, &patience);
    OWNED(thing, second);
    if (thing_take(0, SLOT(first)) != OK || thing_take(1, SLOT(second)) != OK) {
        return;
    }
    struct own_slot *below = second.slot.below;
    second.slot.below = (struct own_slot *)0x1000;
    catch_kill(by);
    second.slot.below = below;
}

/* Who is kept goes on as it was. */
static void test_kill_finds_guards_behind_a_break(void **state)
{
    (void)state;
    set_up();
    const struct kill_deferral *by = NULL;
    struct catch_reason reason;
    assert_int_equal(catch_it(be_kept_with_a_broken_chain, &by, &reason), OK);
    assert_ptr_equal(by, &patience);
    assert_int_equal(things[0].drops, 1);
    assert_int_equal(things[1].drops, 1);
    assert_null(own_thread_top);
}

static void lose_top(void *argument)
{
    OWNED(thing, owned);
    if (thing_take(0, SLOT(owned)) == OK) {
        own_thread_top = argument;
        fault_here();
    }
}

static void test_catch_mends_a_wild_top(void **state)
{
    (void)state;
    set_up();
    struct catch_reason reason;
    assert_int_equal(catch_it(lose_top, (void *)0x1238, &reason), ERR_FAULT);
    assert_true(reason.is_mended);
    assert_int_equal(things[0].drops, 1);
    assert_null(own_thread_top);
}

/* ---- the limits ---- */

/* A drop that takes what is never enough: each try faults, and there are more slots than tries. */
static void own_many(void *argument)
{
    OWNED(thing, owned);
    int left = *(int *)argument;
    if (thing_take(left % THINGS_MAX, SLOT(owned)) != OK) {
        return;
    }
    if (left == 0) {
        fault_here();
    } else {
        left--;
        own_many(&left);
    }
}

static void test_catch_gives_up_after_its_faults(void **state)
{
    (void)state;
    set_up();
    struct catch_reason reason;
    int depth = CATCH_FAULTS_MAX;
    for (int i = 0; i < THINGS_MAX; i++) {
        things[i].faults = INT32_MAX;
    }
    assert_int_equal(catch_it(own_many, &depth, &reason), ERR_FAULT);
    assert_int_equal(reason.faults, CATCH_FAULTS_MAX + 1);
    assert_int_equal(reason.lost, CATCH_FAULTS_MAX + 1);
    assert_int_equal(reason.losses[0].handle, (uintptr_t)&things[0]);
    assert_int_equal(reason.losses[1].handle, (uintptr_t)&things[1]);
    assert_false(reason.is_complete);
    assert_false(reason.is_mended);
    assert_null(own_thread_top);
}

/* ---- all stacks in use ---- */

static int deepest;

/*
 * Each level has a point of its own, takes a stack for it and does not go there, as if it had been
 * interrupted in its release. The last finds none, waits, is refused, and then everybody goes.
 */
static void take_stacks(void *argument)
{
    int level = *(int *)argument;
    OWNED(thing, owned);
    if (thing_take(level, SLOT(owned)) != OK) {
        return;
    }
    const struct catch_fault fault = {.vector = (uint64_t)level};
    uint64_t registers[CFI_REGISTER_COUNT];
    memset(registers, 0x33, sizeof(registers));
    registers[CFI_RSP] = (uint64_t)__builtin_frame_address(0);
    bool is_taken = catch_take(registers, &fault);
    if (registers[CFI_RIP] == 0x3333333333333333u) {
        assert_true(is_taken);
        for (unsigned i = 1; i < CATCH_WAITS_MAX; i++) {
            is_taken = catch_take(registers, &fault);
            if (!is_taken) {
                assert_int_equal(i, CATCH_WAITS_MAX - 1);
            }
        }
        assert_false(is_taken);
        assert_int_equal(registers[CFI_RDI], 0x3333333333333333u);
        deepest = level;
        return; /* this level has no stack: it returns */
    }
    assert_true(is_taken);
    int next = level + 1;
    enum status status = catch_it(take_stacks, &next, NULL);
    assert_int_equal(status, level + 1 == deepest ? OK : ERR_FAULT);
    fault_here();
}

static void test_catch_without_a_stack_waits_and_is_refused(void **state)
{
    (void)state;
    set_up();
    int level = 0;
    deepest = 0;
    assert_int_equal(catch_it(take_stacks, &level, NULL), ERR_FAULT);
    assert_int_equal(deepest, CATCH_STACKS);
    for (int i = 0; i <= (int)CATCH_STACKS; i++) {
        assert_int_equal(things[i].drops, 1);
    }
    assert_null(own_thread_top);
    /* All are free again. */
    test_catch_releases_ten_frames_newest_first(state);
}

static void test_catch_takes_nothing_without_a_point(void **state)
{
    (void)state;
    set_up();
    fault_here();
    assert_int_equal(not_taken, 1);
    int depth = 9;
    own_and_recurse(&depth);
    assert_int_equal(not_taken, 2);
    assert_int_equal(things[9].drops, 1);
}

static void call_nothing(void *argument)
{
    OWNED(thing, owned);
    if (thing_take(1, SLOT(owned)) == OK) {
        ((void (*)(void))argument)();
    }
}

static void test_catch_returns_from_a_wild_call(void **state)
{
    (void)state;
    set_up();
    struct catch_reason reason;
    assert_int_equal(catch_it(call_nothing, (void *)0x1234, &reason), ERR_FAULT);
    assert_int_equal(reason.registers[CFI_RIP], 0x1234);
    assert_int_equal(reason.fault.vector, SIGSEGV);
    assert_int_equal(reason.fault.address, 0x1234);
    assert_int_equal(things[1].drops, 1);
}

int main(void)
{
    main_top = (vaddr_t)__builtin_frame_address(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_catch_returns_what_does_not_fault),
        cmocka_unit_test(test_catch_releases_ten_frames_newest_first),
        cmocka_unit_test(test_catch_keeps_the_callers_registers),
        cmocka_unit_test(test_catch_nests),
        cmocka_unit_test(test_catch_goes_on_behind_a_drop_that_faults),
        cmocka_unit_test(test_catch_begins_a_drop_again),
        cmocka_unit_test(test_catch_ends_where_its_stack_does),
        cmocka_unit_test(test_catch_mends_a_broken_chain),
        cmocka_unit_test(test_kill_mends_a_broken_chain),
        cmocka_unit_test(test_kill_mends_a_chain_that_is_cut_at_a_point),
        cmocka_unit_test(test_kill_finds_guards_behind_a_break),
        cmocka_unit_test(test_catch_mends_a_wild_top),
        cmocka_unit_test(test_catch_gives_up_after_its_faults),
        cmocka_unit_test(test_catch_without_a_stack_waits_and_is_refused),
        cmocka_unit_test(test_catch_takes_nothing_without_a_point),
        cmocka_unit_test(test_catch_returns_from_a_wild_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
