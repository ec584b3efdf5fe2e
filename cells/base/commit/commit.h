/* SPDX-License-Identifier: MIT */
/*
 * commit.h - several stores that happen all or not at all, whatever strikes.
 *
 * Why: what changes its owner leaves one place and enters another. Those are two stores, and a
 * fault or a kill between them makes two owners or none. Here each such change is a *sequence* of a
 * few known instructions that has all it needs in registers. Who is struck inside of one is found
 * by his rip, and whoever ends him finishes the sequence first (commit_settle). So the first store
 * is the commit, and the others cost what they cost: nothing is written down before or after.
 *
 * Rules: any context; no lock. Against faults, kills and preemption, not against other CPUs: to
 * these the stores come one after the other, in the order given. Only commit_exchange(),
 * commit_pop() and commit_push() decide between CPUs. Addresses are good: a store that faults in
 * the middle of a sequence leaves it half done. A task is not preempted inside of a sequence
 * (interrupts.c), so a kill, which strikes where tasks are switched, never finds one half done.
 *
 *      commit_two(&table->first, entry->next, out, entry);      from the list into the caller's slot
 *      commit_move(&table->frames, SLOT(frames));               from a slot into a field
 */
#pragma once

#include "status.h"

/* *a = x; *b = y; (*c = z;) */
CELL_API void commit_two_(void *a, uint64_t x, void *b, uint64_t y);
CELL_API void commit_three_(void *a, uint64_t x, void *b, uint64_t y, void *c, uint64_t z);

/* Of words: pointers, or integers of 64 bits. */
#define COMMIT_WORD_(a) ((void)sizeof(char[sizeof(*(a)) == 8 ? 1 : -1]), (void *)(a))
#define commit_two(a, x, b, y) \
    commit_two_(COMMIT_WORD_(a), (uint64_t)(x), COMMIT_WORD_(b), (uint64_t)(y))
#define commit_three(a, x, b, y, c, z)                                                             \
    commit_three_(COMMIT_WORD_(a), (uint64_t)(x), COMMIT_WORD_(b), (uint64_t)(y), COMMIT_WORD_(c), \
                  (uint64_t)(z))

/* *to = *from; *from = NULL. Nothing asks whether `*to` was empty. */
CELL_API void commit_move_(void *to, void *from);
#define commit_move(to, from) commit_move_(COMMIT_WORD_(to), COMMIT_WORD_(from))

/* Any number of stores, in order; the list is the caller's, and stays until it returns. */
struct commit_store {
    void *where;
    uint64_t value;
};
CELL_API void commit_all(const struct commit_store *stores, uint64_t count);

/* Stores that several functions want to happen in one moment: each adds its own, who asked them
 * commits. */
#define COMMIT_LIST_MAX 16u

struct commit_list {
    uint64_t count;
    struct commit_store stores[COMMIT_LIST_MAX];
};

static inline void commit_add_(struct commit_list *list, void *where, uint64_t value)
{
    if (UNLIKELY(list->count == COMMIT_LIST_MAX)) {
        __builtin_trap();
    }
    list->stores[list->count++] = (struct commit_store){where, value};
}
#define commit_add(list, a, x) commit_add_(list, COMMIT_WORD_(a), (uint64_t)(x))

static inline void commit_list(const struct commit_list *list)
{
    commit_all(list->stores, list->count);
}

/*
 * If *word is `expected`: *word = next; *also = value; true. The exchange is atomic, and a full
 * barrier.
 */
CELL_API MUST_CHECK bool commit_exchange_(uint64_t *word, uint64_t expected, uint64_t next,
                                          void *also, uint64_t value);
#define commit_exchange(word, expected, next, also, value) \
    commit_exchange_(word, expected, next, COMMIT_WORD_(also), (uint64_t)(value))

/*
 * What free_stack.h is made of: two words at 16 bytes, the top, and (pops << 32 | count); things begin
 * with the link to the next.
 *
 * commit_pop: takes the top off and puts its address, less `offset`, into *out. Returns that
 * address; NULL, and nothing is stored, when there is none. commit_push: puts `link` on top; *slot
 * = value.
 */
CELL_API void *commit_pop(void *stack, void *out, uint64_t offset);
CELL_API void commit_push(void *stack, void *link, void *slot, void *value);

/* Is this an instruction of a sequence? Who is there is not preempted, for these few instructions.
 */
CELL_API bool commit_is_within(uint64_t rip);

/*
 * For who ends what was interrupted with these registers (by DWARF number, rip is the 17th):
 * finishes the sequence that is under way there, if there is one that has begun to store, and then
 * rip is where that ends. Not for faults of the sequence's own stores.
 */
#define COMMIT_REGISTERS 17
CELL_API void commit_settle(uint64_t registers[COMMIT_REGISTERS]);
