/* SPDX-License-Identifier: MIT */
/*
 * own.h - a variable that owns something, and gives it back on every way out.
 *
 * Why: C forgets who owns what. Here an owned variable is a *slot*: the callee fills it through its
 * address, its scope's cleanup empties it, and at every instruction in between exactly one slot
 * owns the thing. Live slots are linked in a *chain*, so that a fault at any instruction can still
 * find and release them. clang checks the same source at compile time: its analysis of
 * capabilities, put on handles, refuses use before acquisition, use after a move, double moves and
 * untested results.
 *
 * Rules:
 *  - A resource is an opaque `struct thing *` that is never returned by value: a function that
 * acquires one takes `struct thing **out` and writes it last, in one store.
 *  - A function that *takes* one has a `struct thing **` parameter: it empties the slot, whether it
 *    succeeds or not. A plain `struct thing *` parameter borrows.
 *  - `thing_drop(struct thing **handle)` releases and empties; it does nothing on an empty one, may
 * be started again after it was interrupted, and clears the handle in one store as its commit.
 *  - A slot lives on the stack of the task whose chain it is linked in, and is left in the order of
 * C's scopes. Never `goto` into the scope of a slot, never longjmp over one.
 *
 *      OWNED(frames, frames);                             empty, linked
 *      err = frame_allocator_take(4, 1, SLOT(frames));    filled by the callee
 *      if (err) { return err; }                           nothing to release, released anyway
 *      MOVE(*out_frames, frames);                         given away: this slot is empty again
 */
#pragma once

#include "status.h"

#if defined(__clang__)

/* ---- what clang sees: plain annotated pointers, checked with -Wthread-safety, never run ---- */

    #define OWN_CAPABILITY(name) __attribute__((capability(name)))
    /* Holds the result only where the status was tested to be OK. */
    #define OWN_ACQUIRES(...) \
        __attribute__((try_acquire_capability(OK, __VA_ARGS__), warn_unused_result))
    #define OWN_CONSUMES(...) __attribute__((release_capability(__VA_ARGS__)))
    #define OWN_BORROWS(...)  __attribute__((requires_capability(__VA_ARGS__)))

    /* What the header of a handle declares, behind `struct OWN_CAPABILITY("thing") thing;`. */
    #define OWN_DECLARE(type)                                                              \
        CELL_API void type##_drop(struct type **handle)                                    \
            __attribute__((assert_capability(**handle), release_capability(**handle)));    \
        __attribute__((overloadable)) void own_move(struct type **to, struct type **from)  \
            __attribute__((acquire_capability(**to), release_capability(**from)));         \
        __attribute__((overloadable)) void own_store(struct type **to, struct type **from) \
            __attribute__((release_capability(**from)))

    #define OWNED(type, name)  struct type *name __attribute__((cleanup(type##_drop))) = NULL
    #define SLOT(name)         (&(name))
    #define REF(name)          (name)
    #define MOVE(lvalue, name) own_move(&(lvalue), &(name))
    #define STORE(field, name) own_store(&(field), &(name))

#else

/* ---- what runs ---- */

    #define OWN_CAPABILITY(name)
    #define OWN_ACQUIRES(...) MUST_CHECK
    #define OWN_CONSUMES(...)
    #define OWN_BORROWS(...)

/*
 * The head of every slot. The tag is the slot's address xor its drop function: it says that this
 * memory is a live slot, of which type, even when the chain is broken.
 */
struct own_slot {
    struct own_slot *below; /* the chain, towards older slots */
    uintptr_t tag;          /* 0 while not linked */
    void *handle;           /* NULL: empty */
    void **peer;            /* destination of a move under way, else NULL */
};

typedef void (*own_drop_t)(void **handle);

    /*
     * The newest slot of this task, NULL when it has none: a field of the CPU's own memory, at
     * %gs:8, which a switch of tasks saves and loads; on the host a variable of the thread.
     */
    #if __STDC_HOSTED__
extern __thread struct own_slot *own_thread_top;
        #define OWN_TOP own_thread_top
    #else
        #define OWN_TOP_OFFSET 8u /* struct cpu_local, own_top */
        #define OWN_TOP        (*(struct own_slot * __seg_gs *)OWN_TOP_OFFSET)
    #endif

/* Links an empty slot; `drop` is its type's drop function. */
static inline void own_enter(struct own_slot *slot, own_drop_t drop)
{
    slot->handle = NULL;
    slot->peer = NULL;
    slot->below = OWN_TOP;
    COMPILER_BARRIER();
    slot->tag = (uintptr_t)slot ^ (uintptr_t)drop;
    COMPILER_BARRIER();
    OWN_TOP = slot;
    COMPILER_BARRIER();
}

/* Releases what the slot holds, unless a move that was interrupted has given it to its peer
 * already. */
static inline void own_release(struct own_slot *slot, own_drop_t drop)
{
    bool was_moved = slot->peer && *slot->peer == slot->handle;
    if (slot->handle && !was_moved) {
        drop(&slot->handle);
    }
}

/* Ends a slot's scope: release, unlink, and only then forget that it was one. */
static inline void own_leave(struct own_slot *slot, own_drop_t drop)
{
    COMPILER_BARRIER();
    own_release(slot, drop);
    COMPILER_BARRIER();
    OWN_TOP = slot->below;
    COMPILER_BARRIER();
    slot->tag = 0;
    COMPILER_BARRIER();
}

/*
 * Releases every slot that is newer than `until` (NULL: all), newest first. This is the way out of
 * a fault: it pops a slot before it drops it, so a drop that faults is not tried twice, and it
 * stops at the first link that is not a live slot between `low` and `high`, the bounds of the
 * stack. Returns how many were released.
 */
CELL_API size_t own_unwind(struct own_slot *until, uintptr_t low, uintptr_t high);

    #define OWN_DECLARE(type)                                          \
        CELL_API NOINLINE void type##_drop(struct type **handle);      \
        struct type##_slot {                                           \
            union {                                                    \
                struct own_slot slot;                                  \
                struct {                                               \
                    struct own_slot *below;                            \
                    uintptr_t tag;                                     \
                    struct type *handle;                               \
                    struct type **peer;                                \
                } typed;                                               \
            };                                                         \
        };                                                             \
        static inline void type##_slot_leave(struct type##_slot *slot) \
        {                                                              \
            own_leave(&slot->slot, (own_drop_t)type##_drop);           \
        }                                                              \
        struct type##_slot

    #define OWNED(type, name)                                                \
        struct type##_slot name __attribute__((cleanup(type##_slot_leave))); \
        own_enter(&(name).slot, (own_drop_t)type##_drop)

    #define SLOT(name) (&(name).typed.handle)
    #define REF(name)  ((name).typed.handle)

    /* Two phases: at every instruction exactly one of both counts as the owner. `lvalue` must be
     * empty. */
    #define MOVE(lvalue, name)                        \
        do {                                          \
            (name).typed.peer = &(lvalue);            \
            COMPILER_BARRIER();                       \
            *(name).typed.peer = (name).typed.handle; \
            COMPILER_BARRIER();                       \
            (name).typed.handle = NULL;               \
            COMPILER_BARRIER();                       \
            (name).typed.peer = NULL;                 \
            COMPILER_BARRIER();                       \
        } while (0)
    #define STORE(field, name) MOVE(field, name)

#endif
