/* SPDX-License-Identifier: MIT */
/*
 * free_stack.h - a stack of free things that needs no lock.
 *
 * Why: what is free and all alike is taken and given back more often than anything else, by all CPUs.
 * A lock that a fault can release costs three times as much as what it would protect here.
 *
 * Rules: any context, also interrupt handlers. Each operation is one compare-and-exchange: at every
 * instruction a thing is in the stack or not; a fault between the end of a pop and the store of its
 * result loses the thing. A thing may be read by a pop that is too late: its memory stays mapped for as
 * long as there is the stack. Things begin with, or hold, a struct free_link, which is the stack's
 * while they are in it.
 *
 * Why it is right: a pop compares the top *and* the number of pops so far. If neither has changed since
 * they were read, in the order pops, top, link, then nothing was taken in between, so the top was in the
 * stack all the time and its link is right. Pushes need no number: whatever the top is, it comes next.
 * The exchange of a push (release) pairs with that of the pop that gets the thing (acquire).
 */
#pragma once

#include "status.h"

struct __attribute__((may_alias)) free_link {
    struct free_link *next;
};

/* All zeros is empty. */
struct free_stack {
    ALIGNED(16) struct free_link *top;
    uint64_t pops;
    uint64_t count; /* free_stack_count() */
};

#ifdef __SANITIZE_THREAD__
/* What a late pop reads may be written meanwhile; it is thrown away then. */
__attribute__((no_sanitize_thread, noinline, unused)) static struct free_link *free_stack_next(
    const struct free_link *link)
{
    return *(struct free_link *const volatile *)&link->next;
}

static inline bool free_stack_exchange(struct free_stack *stack, struct free_link *top,
                                       uint64_t pops, struct free_link *next)
{
    unsigned __int128 before = (unsigned __int128)pops << 64 | (uintptr_t)top;
    unsigned __int128 after = (unsigned __int128)(pops + 1) << 64 | (uintptr_t)next;
    return __atomic_compare_exchange_n((unsigned __int128 *)(void *)stack, &before, after, false,
                                       __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}
#else
static inline struct free_link *free_stack_next(const struct free_link *link)
{
    return __atomic_load_n(&link->next, __ATOMIC_RELAXED);
}

static inline bool free_stack_exchange(struct free_stack *stack, struct free_link *top,
                                       uint64_t pops, struct free_link *next)
{
    bool done;
    __asm__ volatile("lock cmpxchg16b %1"
                     : "=@ccz"(done), "+m"(*(char(*)[16])stack), "+a"(top), "+d"(pops)
                     : "b"(next), "c"(pops + 1)
                     : "memory");
    return done;
}
#endif

static inline void free_stack_push(struct free_stack *stack, struct free_link *link)
{
    struct free_link *top = __atomic_load_n(&stack->top, __ATOMIC_RELAXED);
    do {
        link->next = top;
    } while (UNLIKELY(!__atomic_compare_exchange_n(&stack->top, &top, link, false, __ATOMIC_RELEASE,
                                                   __ATOMIC_RELAXED)));
    __atomic_fetch_add(&stack->count, 1, __ATOMIC_RELAXED);
}

/* What was pushed last, or NULL. */
static inline struct free_link *free_stack_pop(struct free_stack *stack)
{
    for (;;) {
        uint64_t pops = __atomic_load_n(&stack->pops, __ATOMIC_ACQUIRE);
        struct free_link *top = __atomic_load_n(&stack->top, __ATOMIC_ACQUIRE);
        if (!top) {
            return NULL;
        }
        if (LIKELY(free_stack_exchange(stack, top, pops, free_stack_next(top)))) {
            __atomic_fetch_sub(&stack->count, 1, __ATOMIC_RELAXED);
            return top;
        }
    }
}

/* How many there are; while others push and pop, how many there were about now. */
static inline uint64_t free_stack_count(const struct free_stack *stack)
{
    return __atomic_load_n(&stack->count, __ATOMIC_RELAXED);
}
