/* SPDX-License-Identifier: MIT */
/*
 * free_stack.h - a stack of free things that needs no lock.
 *
 * Why: what is free and all alike is taken and given back more often than anything else, by all
 * CPUs. A lock that a fault can release costs three times as much as what it would protect here.
 *
 * Rules: any context, also interrupt handlers. Each operation is one compare-and-exchange, and the
 * store that says who owns the thing belongs to it (commit.h): at every instruction a thing is in
 * the stack or with its owner. The forms without a place to store are for who keeps a thing by
 * other means. A thing may be read by a pop that is too late: its memory stays mapped for as long
 * as there is the stack. Things begin with, or hold, a struct free_link, which is the stack's while
 * they are in it.
 *
 * Why it is right: a pop compares the top *and* the number of pops so far. If neither has changed
 * since they were read, in the order pops, top, link, then nothing was taken in between, so the top
 * was in the stack all the time and its link is right. (Between the reads and the exchange fit no
 * 2^32 pops.) Pushes need no number: whatever the top is, it comes next. The exchange of a push
 * (release) pairs with that of the pop that gets the thing (acquire).
 */
#pragma once

#include "commit.h"
#include "status.h"

struct __attribute__((may_alias)) free_link {
    struct free_link *next;
};

/* All zeros is empty. commit_sequences.S knows this. */
struct free_stack {
    ALIGNED(16) struct free_link *top;
    uint64_t pops_and_count; /* the count is the lower half */
};

#ifdef __SANITIZE_THREAD__
    #error "the exchange is in assembly, which the sanitizer does not see"
#endif

/*
 * Pops into *out, which holds the address less `offset`: of a thing whose link is there. False, and
 * nothing is stored, when there is none.
 */
static inline bool free_stack_pop_to(struct free_stack *stack, void *out, size_t offset)
{
    return __atomic_load_n(&stack->top, __ATOMIC_RELAXED) && commit_pop(stack, out, offset);
}

/* Pushes; *slot, which held it, is `next` then. */
static inline void free_stack_push_from(struct free_stack *stack, struct free_link *link,
                                        void *slot, void *next)
{
    commit_push(stack, link, slot, next);
}

static inline void free_stack_push(struct free_stack *stack, struct free_link *link)
{
    void *nowhere;
    commit_push(stack, link, &nowhere, NULL);
}

/* What was pushed last, or NULL. */
static inline struct free_link *free_stack_pop(struct free_stack *stack)
{
    struct free_link *link;
    return commit_pop(stack, &link, 0);
}

/* How many there are; while others push and pop, how many there were about now. */
static inline uint64_t free_stack_count(const struct free_stack *stack)
{
    return (uint32_t)__atomic_load_n(&stack->pops_and_count, __ATOMIC_RELAXED);
}
