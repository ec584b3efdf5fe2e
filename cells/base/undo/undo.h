/* SPDX-License-Identifier: MIT */
/*
 * undo.h - changes that are taken back unless they are committed.
 *
 * Why: a structure that takes many stores to change is half changed in between, and unwinding lets
 * the lock go that protects it. So each word is noted before it is written. The notes are held by a
 * guard, which is newer than that of the lock: where it is dropped before the commit, by a fault, a
 * kill or an early return, it puts back what was there, newest first, and only then the lock is let
 * go.
 *
 *      GUARD(spinlock, guard, &lock);
 *      GUARD(undo, noted, &changes);
 *      UNDO_SET(&changes, node->left, other);      noted, then written
 *      UNDO_SET(&changes, *out, node);             the caller's slot too: it is older than both guards
 *      undo_commit(&changes);                      one store: from here on all of it has happened
 *
 * Rules: the notes are the caller's, with room for all that one change writes, which traps when it
 * is exceeded; one change at a time uses them, so they belong to the lock. What is written without
 * a note stays as it is. Any context. Restartable: taking back again takes back the same.
 */
#pragma once

#include "own.h"

typedef uint64_t __attribute__((may_alias)) undo_word_t;
typedef uint32_t __attribute__((may_alias)) undo_half_t;
typedef uint16_t __attribute__((may_alias)) undo_quarter_t;

struct undo_note {
    void *where;
    uint64_t old;
    uint64_t size; /* 1, 2, 4 or 8 */
};

struct OWN_LOCK("undo") undo {
    uint64_t count; /* what is to be taken back; 0: all is committed */
    uint64_t limit;
    struct undo_note *notes;
};
OWN_DECLARE_LOCK(undo); /* takes back what is not committed */

#define UNDO_INIT(array) ((struct undo){.limit = ARRAY_COUNT(array), .notes = (array)})

static inline void undo_lock(struct undo *undo, struct undo **guard) OWN_LOCKS(*undo) OWN_UNCHECKED;
static inline void undo_lock(struct undo *undo, struct undo **guard)
{
    FILL(guard, undo);
}

/* The next thing that is written is this variable, of 1, 2, 4 or 8 bytes. */
static inline void undo_note(struct undo *undo, const void *variable, uint64_t size)
{
    OWN_DEMAND_(undo->count < undo->limit);
    struct undo_note *note = &undo->notes[undo->count];
    note->where = (void *)(uintptr_t)variable;
    note->size = size;
    note->old = size == 8   ? *(const volatile undo_word_t *)variable
                : size == 4 ? *(const volatile undo_half_t *)variable
                : size == 2 ? *(const volatile undo_quarter_t *)variable
                            : *(const volatile uint8_t *)variable;
    COMPILER_BARRIER();
    undo->count++;
    COMPILER_BARRIER();
}

#define UNDO_SET(undo, variable, value)                                                          \
    do {                                                                                         \
        static_assert(sizeof(variable) <= 8 && (sizeof(variable) & (sizeof(variable) - 1)) == 0, \
                      "a word");                                                                 \
        __typeof__(variable) undo_value_ = (value);                                              \
        undo_note(undo, &(variable), sizeof(variable));                                          \
        (variable) = undo_value_;                                                                \
        COMPILER_BARRIER();                                                                      \
    } while (0)

/* All that was noted stays. */
static inline void undo_commit(struct undo *undo)
{
    COMPILER_BARRIER();
    undo->count = 0;
    COMPILER_BARRIER();
}
