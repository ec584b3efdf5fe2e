/* SPDX-License-Identifier: MIT */
/*
 * unwind.h - steps from a function to its caller, at any instruction.
 *
 * Why: backtraces, catch points, the live-frame check of swaps and the retirement of old cells all
 * ask who called whom, and mostly at a moment that nobody chose: in an exception handler. So this
 * works wherever the CPU stopped, through interrupt and exception frames, from stack to stack, and
 * says "unreliable" rather than guess.
 *
 * Rules: no allocation, no lock, no recursion, no state but the caller's; at most
 * UNWIND_STACK_BYTES of stack, callbacks not counted. Any context, any exception handler. It reads
 * code tables, and memory between the bounds of a stack; a wild register or a broken stack ends the
 * walk with a reason. Every walk ends: within a stack frames must rise, and it changes stacks at
 * most UNWIND_STACKS_MAX times.
 *
 * A fault or an interrupt stops at an instruction, whose row is that of rip itself: a return
 * address may be the first byte of other code, so its row is that of rip - 1 (cursor->is_exact).
 */
#pragma once

#include "cfi.h"

#define UNWIND_STACK_BYTES 2048 /* the test `unwind.stack` adds up what GCC needs */
#define UNWIND_STACKS_MAX  16

/* ---- what the walk is told ---- */

enum unwind_found {
    UNWIND_FOUND_NOTHING, /* no code, or code without an entry */
    UNWIND_FOUND_ENTRY,   /* *out is filled; the byte there is code, which can be read */
    UNWIND_FOUND_LEAF,    /* code that never touches the stack: the return address is at [rsp] */
};

/* Where an address is described. The entry may turn out to describe something else. */
struct unwind_code {
    struct cfi_table table;
    uint64_t fde; /* offset of the record */
};

struct unwind_source {
    enum unwind_found (*find_code)(void *context, uint64_t pc, struct unwind_code *out);
    /* The bounds of the stack that holds `address`; false where there is none. */
    bool (*find_stack)(void *context, uint64_t address, uint64_t *out_low, uint64_t *out_high);
    void *context;
    uint64_t generation; /* another number whenever find_code() may answer differently */
};

/* ---- cache ---- */

#define UNWIND_CACHE_SETS 64u /* of two rows each */

/*
 * Evaluated rows. Each entry holds a sum of itself and its address, so one that was written half,
 * by whoever was interrupted, or at once from two CPUs, is never taken for another: a cache needs
 * no lock, may be shared, and is all zeros at first. Best is one for each CPU.
 */
struct unwind_cache {
    struct unwind_cache_entry {
        uint64_t sum;
        uint64_t row[2]; /* struct cfi_row */
    } entries[UNWIND_CACHE_SETS][2];
    uint64_t hits;
    uint64_t misses;
};

/* ---- the walk ---- */

enum unwind_outcome {
    UNWIND_CALLER,  /* the cursor is now at the caller */
    UNWIND_GUESSED, /* the same, if the word at [rsp] was its return address: it looks like one */
    UNWIND_END,     /* there is no caller: the outermost frame */
    UNWIND_UNRELIABLE, /* cursor->reason says why; the cursor is where it was */
};

/* X(name, text) */
#define UNWIND_REASON_TABLE(X)                                       \
    X(NO_CODE, "no unwind table describes this address")             \
    X(BAD_TABLE, "the unwind table is malformed")                    \
    X(NO_RULE, "the table does not say where the caller is")         \
    X(OUTSIDE_STACK, "the frame lies outside of its stack")          \
    X(NO_PROGRESS, "the caller's frame would not be above this one") \
    X(LOST_REGISTER, "the frame hangs on a register that was lost")  \
    X(STACKS, "too many changes of stack")

enum unwind_reason {
    UNWIND_REASON_NONE,
#define UNWIND_REASON_ENUMERATOR_(name, text) UNWIND_REASON_##name,
    UNWIND_REASON_TABLE(UNWIND_REASON_ENUMERATOR_)
#undef UNWIND_REASON_ENUMERATOR_
};

struct unwind_cursor {
    uint64_t registers[CFI_REGISTER_COUNT]; /* by enum cfi_register */
    uint32_t known;                         /* a bit for each that holds this frame's value */
    bool is_exact;                          /* rip was interrupted, and is no return address */
    bool is_guess;                          /* a step on the way was guessed */
    enum unwind_reason reason;
    struct cfi_fault fault; /* of BAD_TABLE and LOST_REGISTER */
    const struct unwind_source *source;
    struct unwind_cache *cache; /* NULL: evaluate each time */
    uint64_t salt;              /* of the sums in the cache */
    uint64_t low;               /* the stack that rsp is in */
    uint64_t high;
    uint32_t stacks; /* how often it changed */
};

/*
 * Starts at a set of registers. `is_exact` if rip is where an exception or interrupt struck, false
 * if it is a return address. Source and cache must live as long as the cursor.
 */
CELL_API void unwind_begin(struct unwind_cursor *cursor, const struct unwind_source *source,
                           struct unwind_cache *cache, const uint64_t registers[CFI_REGISTER_COUNT],
                           bool is_exact);

/*
 * Goes to the caller: its registers as they will be when the call has returned, or, of an
 * interrupted frame, as they were. Of registers that functions may change, the caller's values are
 * known only where a signal frame saved them.
 */
CELL_API enum unwind_outcome unwind_step(struct unwind_cursor *cursor);

/* The address whose row counts: rip, or rip - 1. */
static inline uint64_t unwind_pc(const struct unwind_cursor *cursor)
{
    return cursor->registers[CFI_RIP] - !cursor->is_exact;
}

CELL_API const char *unwind_reason_text(enum unwind_reason reason);
