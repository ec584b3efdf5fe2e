/* SPDX-License-Identifier: MIT */
/*
 * own.h - a variable that owns something, and gives it back on every way out.
 *
 * Why: C forgets who owns what. Here an owned variable is a *slot*: the callee fills it through its
 * address, its scope's cleanup empties it, and at every instruction in between exactly one slot
 * owns the thing. Live slots are linked in a *chain*, so that a fault at any instruction can still
 * find and release them. clang checks the same source at compile time: its analysis of
 * capabilities, put on handles, refuses use before acquisition, use after a move, double moves and
 * untested results. docs/ownership.md says what each tool catches.
 *
 * Rules:
 *  - A resource is an opaque `struct thing *` that is never returned by value: a function that
 *    acquires one takes `struct thing **out`, which is empty, and fills it last, by FILL or MOVE.
 *  - A function that *takes* one has a `struct thing **` parameter. Its caller has given it up, whether
 *    the function succeeds or not. A plain `struct thing *` parameter borrows.
 *  - `thing_drop(struct thing **handle)` releases and empties; it does nothing on an empty one, may
 *    be started again after it was interrupted, and ends with EMPTY as its commit.
 *  - A slot lives on the stack of the task whose chain it is linked in, and is left in the order of
 *    C's scopes. Never `goto` into the scope of a slot, never longjmp over one.
 *  - The status of an acquisition is tested at once, by itself: `if (f(..) != OK)`, `if (f(..))`, or
 *    `s = f(..); if (s != OK)`; not by `switch`, `<` or an assignment within the condition. What is
 *    full on one of two paths that join counts as empty afterwards; HELD() finds out.
 *  - Filling or moving into what is full traps: the old content would be lost.
 *
 *      OWNED(frames, frames);                             empty, linked
 *      err = frame_allocator_take(4, 1, SLOT(frames));    filled by the callee
 *      if (err) { return err; }                           nothing to release, released anyway
 *      paint(REF(frames));                                borrowed
 *      MOVE(*out_frames, frames);                         given away: this slot is empty again
 *
 * What lives longer than a scope is a field that is NULL while empty; the analysis does not see
 * into fields, so who owns it is checked at run time only:
 *
 *      STORE(table->frames, frames);                      from a slot into a field
 *      paint(STORED(table->frames));                      borrowed from there
 *      LOAD(frames, table->frames);                       back into an empty slot
 *      frames_drop(&table->frames);                       or released in place
 */
#pragma once

#include "panic.h"
#include "status.h"

/*
 * Three views of one source. What runs, by whichever compiler, is slots. For analysis only:
 * OWN_CONTRACTS shows plain pointers with contracts to `clang -fsyntax-only -Wthread-safety`; its
 * value is the pass. Pass 1 is for handles. clang does not look into functions that acquire
 * conditionally, so pass 2 is for these: in it every acquisition succeeds. Pass 3 is for locks; it
 * needs clang 22 and -Wthread-safety-beta. In pass 4 nothing releases, so that each variable that a
 * function owns by is reported with its name, and those that are no slots are found. OWN_PLAIN shows
 * plain pointers to `gcc -fanalyzer`, which loses track of handles in linked slots.
 */
#ifndef OWN_CONTRACTS
    #define OWN_CONTRACTS 0
#endif
#ifndef OWN_PLAIN
    #define OWN_PLAIN OWN_CONTRACTS
#endif

#if OWN_CONTRACTS == 1 || OWN_CONTRACTS == 2
    #define OWN_ATTRIBUTE_(...) __attribute__((__VA_ARGS__))
    /* The analysis understands a comparison with a literal, not with an enumerator. */
    #define OK                  0
#else
    #define OWN_ATTRIBUTE_(...)
#endif
#if OWN_CONTRACTS == 3
    #define OWN_LOCK_ATTRIBUTE_(...) __attribute__((__VA_ARGS__))
#else
    #define OWN_LOCK_ATTRIBUTE_(...)
#endif

#if OWN_CONTRACTS == 1
    #define OWN_ACQUIRES(...) \
        OWN_ATTRIBUTE_(try_acquire_capability(0, __VA_ARGS__), warn_unused_result)
    #define OWN_FILLED_(...) OWN_ATTRIBUTE_(acquire_capability(__VA_ARGS__))
#elif OWN_CONTRACTS == 2
    #define OWN_ACQUIRES(...) OWN_ATTRIBUTE_(assert_capability(__VA_ARGS__))
    #define OWN_FILLED_(...)  OWN_ATTRIBUTE_(assert_capability(__VA_ARGS__))
#elif OWN_CONTRACTS == 4
    #define OWN_ACQUIRES(...) OWN_FILLED_(__VA_ARGS__)
    #define OWN_FILLED_(...)  __attribute__((acquire_capability(__VA_ARGS__)))
#else
    #define OWN_ACQUIRES(...) MUST_CHECK
    #define OWN_FILLED_(...)
#endif

/* ---- contracts: on the type, and behind prototypes ---- */

/* On the forward declaration of a handle: `struct OWN_CAPABILITY("frames") frames;` */
#if OWN_CONTRACTS == 4
    #define OWN_CAPABILITY(name) __attribute__((capability("owned " name)))
#else
    #define OWN_CAPABILITY(name) OWN_ATTRIBUTE_(capability("owned " name))
#endif

/*
 * OWN_ACQUIRES(**out): fills the slot if, and only if, it returns OK; the result must be tested.
 * OWN_ALWAYS_ACQUIRES(**out): fills it, and cannot fail.
 * OWN_CONSUMES(**slot): the caller's no more, whatever is returned; a callee that fails says LEAVE
 * where it does not take it, and then the slot is full until its scope ends.
 * OWN_BORROWS(*handle): somebody owns it during the call.
 */
#define OWN_ALWAYS_ACQUIRES(...) OWN_FILLED_(__VA_ARGS__)
#define OWN_CONSUMES(...)        OWN_ATTRIBUTE_(release_capability(__VA_ARGS__))
#define OWN_BORROWS(...)         OWN_ATTRIBUTE_(requires_capability(__VA_ARGS__))

/*
 * The same for locks: `struct OWN_LOCK("mutex") mutex;`, `mutex_lock(m, guard) OWN_LOCKS(*m)`; what
 * a lock protects says OWN_GUARDED_BY(&lock), with the `&` that C needs; a function that wants its
 * caller to hold it OWN_NEEDS(table->lock); a lock that comes first OWN_BEFORE(second). What may leave
 * its guard empty, try_lock(m, guard), says OWN_MAY_LOCK(**guard): then the guard may be dropped, and
 * nothing that the lock protects is within reach.
 */
#define OWN_LOCK(name)                OWN_LOCK_ATTRIBUTE_(capability(name))
#define OWN_LOCKS(...)                OWN_LOCK_ATTRIBUTE_(acquire_capability(__VA_ARGS__))
#define OWN_MAY_LOCK(...)             OWN_LOCK_ATTRIBUTE_(assert_capability(__VA_ARGS__))
#define OWN_UNLOCKS(...)              OWN_LOCK_ATTRIBUTE_(release_capability(__VA_ARGS__))
#define OWN_NEEDS(...)                OWN_LOCK_ATTRIBUTE_(requires_capability(__VA_ARGS__))
#define OWN_EXCLUDES(...)             OWN_LOCK_ATTRIBUTE_(locks_excluded(__VA_ARGS__))
#define OWN_BEFORE(...)               OWN_LOCK_ATTRIBUTE_(acquired_before(__VA_ARGS__))
#define OWN_GUARDED_BY(...)           OWN_LOCK_ATTRIBUTE_(guarded_by(__VA_ARGS__))
#define OWN_POINTS_TO_GUARDED_BY(...) OWN_LOCK_ATTRIBUTE_(pt_guarded_by(__VA_ARGS__))

/* On a function that the analysis cannot follow; say why beside it. */
#if OWN_CONTRACTS
    #define OWN_UNCHECKED __attribute__((no_thread_safety_analysis))
#else
    #define OWN_UNCHECKED
#endif

/* What breaks the rules above is a programmer's error: the CPU reports it where it happens. */
#define OWN_DEMAND_(condition) \
    ((condition) ? (void)0 : PANIC("a rule of ownership is broken: what must be empty is not"))

/* ---- slots and their chain ---- */

/*
 * The head of every slot. The tag is the slot's address xor its drop function: it says that this
 * memory is a live slot, of which type, even when the chain is broken. Its highest bits, which are
 * equal in both addresses, say OWN_HOLDS, and how often own_unwind() has begun the drop.
 */
struct own_slot {
    struct own_slot *below; /* the chain, towards older slots */
    uintptr_t tag;          /* 0 while not linked */
    void *handle;           /* NULL: empty */
    void **peer;            /* the other side of a move under way, else NULL */
};

typedef void (*own_drop_t)(void **handle);

/*
 * The newest slot of this task, NULL when it has none: a field of the CPU's own memory
 * (cpu_local.h), which a switch of tasks saves and loads; on the host a variable of the thread.
 */
#define OWN_TOP_OFFSET 8u /* from %gs */
#if __STDC_HOSTED__
extern __thread struct own_slot *own_thread_top;
    #define OWN_TOP own_thread_top
#else
    #define OWN_TOP (*(struct own_slot * __seg_gs *)OWN_TOP_OFFSET)
#endif

#define OWN_TYPE_BITS 56                   /* of a tag, below what follows */
#define OWN_HOLDS     ((uintptr_t)1 << 56) /* what is full may hold preemption, or interrupts off */
#define OWN_TRY       ((uintptr_t)1 << 60) /* one in the count of drops that were begun */
#define OWN_TRIES     2u

/* Links an empty slot; `drop` is its type's drop function, `flags` 0 or OWN_HOLDS. */
static inline void own_enter_as(struct own_slot *slot, own_drop_t drop, uintptr_t flags)
{
    slot->handle = NULL;
    slot->peer = NULL;
    slot->below = OWN_TOP;
    COMPILER_BARRIER();
    slot->tag = ((uintptr_t)slot ^ (uintptr_t)drop) + flags;
    COMPILER_BARRIER();
    OWN_TOP = slot;
    COMPILER_BARRIER();
}

static inline void own_enter(struct own_slot *slot, own_drop_t drop)
{
    own_enter_as(slot, drop, 0);
}

/* Scopes that are left out of order trap, but for release builds of cells, where each instruction
 * counts. */
#if defined(PROFILE_DEBUG) || __STDC_HOSTED__
    #define OWN_DEMAND_ORDER_(slot) OWN_DEMAND_(OWN_TOP == (slot))
#else
    #define OWN_DEMAND_ORDER_(slot) ((void)0)
#endif

/* Ends a slot's scope: release, unlink, and only then forget that it was one. */
static inline void own_leave(struct own_slot *slot, own_drop_t drop)
{
    COMPILER_BARRIER();
    if (slot->handle) {
        drop(&slot->handle);
    }
    COMPILER_BARRIER();
    OWN_DEMAND_ORDER_(slot);
    OWN_TOP = slot->below;
    COMPILER_BARRIER();
    slot->tag = 0;
    COMPILER_BARRIER();
}

/* Links a slot that is full from its first moment on. */
static inline void own_enter_full(struct own_slot *slot, own_drop_t drop, uintptr_t flags,
                                  void *handle)
{
    slot->handle = handle;
    slot->peer = NULL;
    slot->below = OWN_TOP;
    COMPILER_BARRIER();
    slot->tag = ((uintptr_t)slot ^ (uintptr_t)drop) + flags;
    COMPILER_BARRIER();
    OWN_TOP = slot;
    COMPILER_BARRIER();
}

/* Ends a slot's scope where its handle stands for nothing any more. */
static inline void own_leave_done(struct own_slot *slot)
{
    OWN_DEMAND_ORDER_(slot);
    COMPILER_BARRIER();
    OWN_TOP = slot->below;
    COMPILER_BARRIER();
    slot->tag = 0;
    COMPILER_BARRIER();
}

/* The type of the slot that has this tag: its drop function. */
static inline own_drop_t own_type_of(const struct own_slot *slot, uintptr_t tag)
{
    const unsigned others = 64 - OWN_TYPE_BITS;
    return (own_drop_t)((tag << others >> others) ^ (uintptr_t)slot);
}

static inline own_drop_t own_slot_type(const struct own_slot *slot)
{
    return own_type_of(slot, slot->tag);
}

/*
 * Which place for a slot this is, counted from `low`, which is aligned; more than any stack has where
 * it is below that or not aligned: so one comparison tells whether a slot can be there.
 */
static inline uintptr_t own_place_of(const struct own_slot *slot, uintptr_t low)
{
    uintptr_t distance = (uintptr_t)slot - low;
    return distance >> 3 | distance << 61;
}
static_assert(alignof(struct own_slot) == 8, "own_place_of() shifts by that");

/*
 * Releases every slot that is newer than `until` (NULL: all), newest first. This is the way out of
 * a fault: it settles moves that were under way, and unlinks each slot after it has dropped it.
 * Where a drop faults, or the task is killed in it, this is called again: what the drop itself
 * owned is newer, is released first, and then the drop begins once more, where it left off. A drop
 * that does not end in OWN_TRIES times is skipped: so the whole ends. It stops at the first link
 * that is not a live slot between `low` and `high`, the bounds of the stack. Returns how many were
 * released.
 */
CELL_API size_t own_unwind(struct own_slot *until, uintptr_t low, uintptr_t high);

/*
 * Where the chain is broken: the slot at the lowest address in low .. high - 1, which can be read, whose
 * tag names a drop function that `is_drop` knows; NULL: there is none. Slots that were left have no tag.
 */
CELL_API struct own_slot *own_find_slot(uintptr_t low, uintptr_t high,
                                        bool (*is_drop)(uintptr_t drop));

/*
 * The two halves of own_unwind(), for who must know what is held. own_settle() settles the moves,
 * on a chain that is sound as far as `until`, and returns the oldest full slot that OWN_HOLDS, or
 * NULL: that and all that is newer is popped first. What preemption or interrupts are held by
 * afterwards nobody holds: the fault struck where a guard is taken or let go. They are set right
 * before the rest is popped, whose drops may wait.
 */
CELL_API struct own_slot *own_settle(const struct own_slot *until);
CELL_API size_t own_pop(const struct own_slot *until, uintptr_t low, uintptr_t high);

/* ---- how owned variables are written ---- */

/*
 * What the header of a handle declares, behind `struct OWN_CAPABILITY("thing") thing;`: its drop
 * function, which its cell exports, and its slot. OWN_DECLARE_LOCAL is for a type that one source
 * file makes for itself, such as a typed wrapper: the drop function is static there.
 */
#define OWN_DECLARE(type)              OWN_DECLARE_AS_(CELL_API, type, 0)
#define OWN_DECLARE_LOCAL(type)        OWN_DECLARE_AS_(UNUSED static, type, 0)
/* Of a type whose slot may hold preemption, or interrupts off; OWN_DECLARE_HOLDING_LOCK of such a guard. */
#define OWN_DECLARE_HOLDING(type)      OWN_DECLARE_AS_(CELL_API, type, OWN_HOLDS)
#define OWN_DECLARE_LOCK(type)         OWN_DECLARE_LOCK_AS_(type, 0)
#define OWN_DECLARE_HOLDING_LOCK(type) OWN_DECLARE_LOCK_AS_(type, OWN_HOLDS)

#if OWN_PLAIN

    #if OWN_CONTRACTS
        #define OWN_DECLARE_AS_(linkage, type, flags)                                              \
            linkage void type##_drop(struct type **handle) OWN_UNCHECKED OWN_ATTRIBUTE_(           \
                assert_capability(**handle), release_capability(**handle));                        \
            OWN_OVERLOAD_(void)                                                                    \
            own_move(struct type **to, struct type **from) OWN_CONSUMES(**from) OWN_FILLED_(**to); \
            OWN_OVERLOAD_(void)                                                                    \
            own_store(struct type **to, struct type **from) OWN_CONSUMES(**from);                  \
            OWN_OVERLOAD_(void)                                                                    \
            own_load(struct type **to, struct type **from)                                         \
                OWN_ATTRIBUTE_(acquire_capability(**to));                                          \
            OWN_OVERLOAD_(void) own_fill(struct type **to, struct type *handle) OWN_FILLED_(**to); \
            OWN_OVERLOAD_(void) own_empty(struct type **slot) OWN_CONSUMES(**slot);                \
            OWN_OVERLOAD_(void) own_leave_to_caller(struct type **slot) OWN_CONSUMES(**slot);      \
            OWN_OVERLOAD_(void) own_borrow(struct type **slot) OWN_BORROWS(**slot);                \
            OWN_OVERLOAD_(void)                                                                    \
            own_stored(struct type **field) OWN_ATTRIBUTE_(assert_capability(**field));            \
            OWN_OVERLOAD_(void)                                                                    \
            own_stored(struct type *const *field) OWN_ATTRIBUTE_(assert_capability(**field));      \
            OWN_OVERLOAD_(_Bool)                                                                   \
            own_held(struct type **slot) OWN_ATTRIBUTE_(try_acquire_capability(1, **slot))
        #define OWN_OVERLOAD_(type) __attribute__((overloadable)) type
    #else
        #define OWN_DECLARE_AS_(linkage, type, flags) \
            linkage NOINLINE void type##_drop(struct type **handle)
        #define own_fill(to, handle)      ((void)(*(to) = (handle)))
        #define own_empty(slot)           ((void)(*(slot) = NULL))
        #define own_move(to, from)        (*(to) = *(from), own_empty(from))
        #define own_store(to, from)       own_move(to, from)
        #define own_load(to, from)        own_move(to, from)
        #define own_held(slot)            (*(slot) != NULL)
        #define own_leave_to_caller(slot) ((void)(slot))
        #define own_borrow(slot)          ((void)0)
        #define own_stored(field)         ((void)0)
    #endif

    /* FILL and EMPTY of a guard, without contracts: these are its lock's own affair. */
    #if OWN_CONTRACTS
        #define OWN_DECLARE_LOCK_FILL_(type)                                      \
            OWN_OVERLOAD_(void) own_fill(struct type **guard, struct type *lock); \
            OWN_OVERLOAD_(void) own_empty(struct type **guard);                   \
            OWN_OVERLOAD_(_Bool) own_held(struct type **guard)
    #else
        #define OWN_DECLARE_LOCK_FILL_(type) static_assert(1, "")
    #endif

    #if OWN_CONTRACTS == 3
        #define OWN_DECLARE_LOCK_AS_(type, flags) \
            OWN_DECLARE_LOCK_FILL_(type);         \
            CELL_API void type##_drop(struct type **guard) OWN_UNCHECKED OWN_UNLOCKS(**guard)
        #define GUARD(type, name, lock) \
            type##_lock(lock, NULL);    \
            struct type *name##_slot __attribute__((cleanup(type##_drop))) = (lock)
    #else
        #define OWN_DECLARE_LOCK_AS_(type, flags) \
            OWN_DECLARE_LOCK_FILL_(type);         \
            CELL_API NOINLINE void type##_drop(struct type **guard)
        #define GUARD(type, name, lock)                                            \
            struct type *name##_slot __attribute__((cleanup(type##_drop))) = NULL; \
            type##_lock(lock, SLOT(name))
    #endif

    /* Another name than the slot's: findings show which pointers have a cleanup. */
    #define OWNED(type, name)   struct type *name##_slot __attribute__((cleanup(type##_drop))) = NULL
    #define SLOT(name)          (&name##_slot)
    #define REF(name)           (own_borrow(&name##_slot), name##_slot)
    #define HELD(name)          own_held(&name##_slot)
    #define MOVE(lvalue, name)  own_move(&(lvalue), &name##_slot)
    #define STORE(field, name)  own_store(&(field), &name##_slot)
    #define STORED(field)       (own_stored(&(field)), (field))
    #define STORED_SLOT(field)  (own_stored(&(field)), &(field))
    #define LOAD(name, field)   own_load(&name##_slot, &(field))
    #define TAKE(name, slot)    own_move(&name##_slot, slot)
    #define FILL(out, resource) own_fill(out, resource)
    #define EMPTY(slot)         own_empty(slot)
    #define LEAVE(slot)         own_leave_to_caller(slot)
    #define OWN_BEGIN(type, name, resource) \
        struct type *name##_slot = NULL;    \
        own_fill(&name##_slot, (resource))
    #define OWN_END(name) own_empty(&name##_slot)

#else

    #define OWN_DECLARE_AS_(linkage, type, flags)                      \
        linkage NOINLINE void type##_drop(struct type **handle);       \
        UNUSED static const uintptr_t type##_own_flags = (flags);      \
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

    /* An empty slot, linked, until the end of the block. */
    #define OWNED(type, name)                                                \
        struct type##_slot name __attribute__((cleanup(type##_slot_leave))); \
        own_enter_as(&(name).slot, (own_drop_t)type##_drop, type##_own_flags)

    /*
     * A lock is held from here to the end of the block, faults included: the guard is a slot whose
     * handle is the lock. `thing_lock(struct thing *lock, struct thing **guard)` fills it, and
     * `thing_drop` unlocks.
     */
    #define OWN_DECLARE_LOCK_AS_(type, flags) OWN_DECLARE_AS_(CELL_API, type, flags)
    #define GUARD(type, name, lock) \
        OWNED(type, name);          \
        type##_lock(lock, SLOT(name))

    /* For callees that fill or consume: `struct type **`. */
    #define SLOT(name) (&(name).typed.handle)
    /* For callees that borrow: `struct type *`. The slot must be full. */
    #define REF(name)  ((name).typed.handle)
    /* Is it full? For code that cannot know. */
    #define HELD(name) ((name).typed.handle != NULL)

    /* Gives to `lvalue`, which must be empty, in two phases: at every instruction exactly one of
     * both counts as the owner. */
    #define MOVE(lvalue, name)                        \
        do {                                          \
            (name).typed.peer = &(lvalue);            \
            OWN_DEMAND_(!*(name).typed.peer);         \
            COMPILER_BARRIER();                       \
            *(name).typed.peer = (name).typed.handle; \
            COMPILER_BARRIER();                       \
            (name).typed.handle = NULL;               \
            COMPILER_BARRIER();                       \
            (name).typed.peer = NULL;                 \
            COMPILER_BARRIER();                       \
        } while (0)
    /* The same into a field, an element or a variable that outlives the scope. */
    #define STORE(field, name) MOVE(field, name)
    /* Borrows from there, or lets a function take it from there. */
    #define STORED(field)      (field)
    #define STORED_SLOT(field) (&(field))
    /* Back into an empty slot; until the field is cleared, the field owns. */
    #define LOAD(name, field)                         \
        do {                                          \
            OWN_DEMAND_(!(name).typed.handle);        \
            (name).typed.peer = &(field);             \
            COMPILER_BARRIER();                       \
            (name).typed.handle = *(name).typed.peer; \
            COMPILER_BARRIER();                       \
            *(name).typed.peer = NULL;                \
            COMPILER_BARRIER();                       \
            (name).typed.peer = NULL;                 \
            COMPILER_BARRIER();                       \
        } while (0)

    /* What a consumer begins with: from its caller's slot, a `struct type **`, into its own. */
    #define TAKE(name, slot) LOAD(name, *(slot))

    /* The commit of an acquisition and of a release: everything before has happened when the
     * slot's one store does. Of `struct type **`. */
    #define FILL(out, resource)   \
        do {                      \
            OWN_DEMAND_(!*(out)); \
            COMPILER_BARRIER();   \
            *(out) = (resource);  \
            COMPILER_BARRIER();   \
        } while (0)
    #define EMPTY(slot)         \
        do {                    \
            COMPILER_BARRIER(); \
            *(slot) = NULL;     \
            COMPILER_BARRIER(); \
        } while (0)
    /* In a consumer that fails: what it did not take stays in its caller's slot, which releases it. */
    #define LEAVE(slot) ((void)(slot))

    /*
     * For the inside of primitives, where each instruction counts: a slot that is full from its
     * beginning, and ends, without a cleanup, where there is nothing left to release. Every way out
     * passes OWN_END.
     */
    #define OWN_BEGIN(type, name, resource) \
        struct type##_slot name;            \
        own_enter_full(&(name).slot, (own_drop_t)type##_drop, type##_own_flags, (resource))
    #define OWN_END(name) own_leave_done(&(name).slot)

#endif
