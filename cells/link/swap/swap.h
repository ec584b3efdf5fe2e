/* SPDX-License-Identifier: MIT */
/*
 * swap.h - replaces cells of the running system by others, all or nothing.
 *
 * Why: this is what keeps the ship sailing: any plank is replaced under way (ARCHITECTURE:
 * "Swapping cells"). A swap takes a set of old cells out and puts a set of new ones in, as one
 * transaction in five stages:
 *
 *   load    the new cells are loaded aside. They see one another, then what stays, never what goes;
 *           what they lack is loaded with them, from the bundle or else from the system's archive
 *   verify  both directions: what stays finds in the new cells all that it used of the old ones, and
 *           the new cells what they need, by symbol and by fingerprint where there is one
 *   plan    every store that the commit will make is written down, with the bytes that it replaces
 *   commit  all other CPUs stand still; the stores are made. A failure takes them back, last first, and
 *           then every byte is what it was
 *   retire  old cells stay while a stack may return into them, or something may point to them
 *
 * What happens to what is at the same address for others to find:
 *  - Variables. One with the same name and type in the old and the new cell is *adopted in place*: the
 *    new code binds to where it is, so its value, and pointers to it, stay. That it is zeroed in one and
 *    initialised in the other makes no difference: its value of now wins. A new variable begins with its
 *    initial value. One that is gone is forgotten with the old cell. One whose type has changed needs
 *    CELL_TRANSFER or CELL_FRESH (cell_transfer.h), else the swap is refused.
 *  - Constants that are equal to the byte, what they refer to included, are adopted likewise, but for those of
 *    the static image, whose pages are given back.
 *  - Functions. Callers are patched; the entry of a function (0003) jumps to the new one of that name from
 *    then on, so pointers to functions stay right wherever they are. A function that has no successor
 *    keeps its entry, and its cell, where somebody may hold its address (`kept` in the report).
 *  - References that hold an old cell (loader_hold) hold its successor afterwards.
 *
 * Rules: tasks only, interrupts enabled, nothing held: a swap takes the loader's mutex. One at a time. Who is
 * killed in its middle ends when all is swapped, or taken back; then it waits for frames no longer. A
 * swap that changes no layout never waits: frames of old code finish in old code, on the same variables. A
 * function with another signature keeps its own entry and its old cell, as one without a successor. A swap
 * that transfers, makes variables fresh, or changes a layout waits until no stack has a frame in an old cell,
 * to its deadline, and then is refused. While the CPUs stand still interrupts are off, but for the one that
 * ends a transfer which takes too long; what functions of CELL_TRANSFER may do then says cell_transfer.h. After a failure nothing has changed and `diag`
 * says why. Bytes of a bundle stay mapped for as long as there are cells of it, or swaps that rollback
 * may undo: in practice, for ever.
 * The cells of the swap itself, of the memory below it and of the scheduler are swapped like others.
 */
#pragma once

#include "span.h"
#include "status.h"

struct cell_namespace;
struct diag;

#define SWAP_MAX_PAIRS 256u /* bounds time and memory; the whole system is about 150 cells */
#define SWAP_NAME_SIZE 40u  /* as CELL_INFO_NAME_SIZE */

/* One cell goes, one comes, or both. What a pair names is what takes over entries and variables. */
struct swap_pair {
    const char *old_name; /* in the namespace; NULL: an addition */
    const char *new_name; /* in the bundle; NULL: goes without a successor */
};

enum swap_flags {
    SWAP_DRY_RUN =
        1, /* ends before the commit, as if nothing had been asked; the plan is reported */
    SWAP_FRESH_RODATA =
        2,          /* adopts no constants: nothing of the new cells lies in old read-only pages */
    SWAP_PROVE = 4, /* hashes in the window what it may change, before and after: slow */
};

/* Whose: of the old cells, or of the new ones. */
enum swap_side {
    SWAP_OLD,
    SWAP_NEW,
};

struct swap_view;

/* The address of the code or variable that an exported symbol means in the old or in the new cells,
 * not its entry: valid in the hooks, of the old cells until `finish` has returned. 0: they export
 * none of that name. */
CELL_API uint64_t swap_view_find(const struct swap_view *view, enum swap_side side,
                                 const char *symbol);

/*
 * Carries over what no variable of the cells holds: objects on the heap, say, whose layout only the
 * old and the new code know. Any may be NULL. After `prepare` was called, `finish` is, whatever
 * happens.
 */
struct swap_hooks {
    /* The new cells are loaded, the plan is made, nothing has changed yet. May allocate and wait. */
    enum status (*prepare)(void *context, const struct swap_view *view);
    /* In the window, as the last of what may fail, behind functions of CELL_TRANSFER, and under the same
     * limit: allocates nothing, takes no lock, does not wait. Called once in each attempt. */
    enum status (*transfer)(void *context);
    /*
     * In the window, if transfer was called and the swap is taken back after all, or transfer failed. Both
     * this and finish are called again where a fault struck in their middle.
     */
    void (*restore)(void *context);
    /* After the window, before anything is unloaded. May wait, but neither loads nor swaps. */
    void (*finish)(void *context, bool is_committed);
    void *context;
};

struct swap_request {
    struct cell_namespace *namespace; /* where the old cells are and the new ones will be */
    struct span bundle;               /* an archive of cells; empty: the system's own */
    const struct swap_pair *pairs;
    uint32_t pair_count;
    uint32_t flags; /* enum swap_flags */
    uint64_t
        timeout_ns; /* to wait for frames of old cells, where that is necessary; 0: one attempt */
    const struct swap_hooks *hooks; /* NULL: none. Borrowed until the call returns */
    uint64_t fail_step; /* for tests: the step of this number fails, from 1 on; 0: none */
    uint64_t
        continues; /* id of a swap of which this is a part more: the new id stands for both; 0: none */
    uint64_t *out_id; /* or NULL: has the id from the moment on in which the swap is remembered */
};

enum swap_stage {
    SWAP_LOAD,
    SWAP_VERIFY,
    SWAP_PLAN,
    SWAP_COMMIT, /* with the window in it */
    SWAP_RETIRE,
    SWAP_STAGE_COUNT,
};

/* Ticks are those of the time stamp counter; under `-icount shift=0` they are instructions. */
struct swap_report {
    uint64_t id;                      /* of a committed swap, for swap_rollback(); else 0 */
    enum swap_stage stage;            /* the last one that was begun */
    uint64_t ticks[SWAP_STAGE_COUNT]; /* in each stage */
    uint64_t window_ticks;            /* of them, those in which all other CPUs stood still */
    uint64_t steps;                   /* that could have failed: the range of fail_step */
    uint32_t old_cells;
    uint32_t new_cells; /* those that were loaded because new ones need them included */
    uint32_t checked;   /* references and fingerprints that were verified */
    uint32_t patches;   /* fields of text and data that refer to what moved */
    uint32_t entries;   /* that were retargeted */
    uint32_t stores;    /* all that the commit made, metadata included */
    uint32_t adopted_variables;
    uint32_t adopted_constants; /* sections */
    uint32_t new_variables;
    uint32_t removed_variables;
    uint32_t transferred;
    uint32_t fresh;
    uint32_t attempts; /* windows that were opened; more than 1: frames were waited for */
    uint32_t kept;     /* functions that have no successor and whose address may be held */
    char kept_name[SWAP_NAME_SIZE]; /* the first of them */
    uint64_t hash_before;           /* SWAP_PROVE: of what it may change, when the window opened */
    uint64_t hash_after;            /* and, if the swap failed in it, when it closed */
};

/*
 * One function of transfer, or the hook: then it is ended (time_limit.h) and the swap is taken back. Any is far
 * quicker; but an emulated CPU may get no time from its host for tens of milliseconds.
 */
#define SWAP_TRANSFER_LIMIT_NS 100000000ull

/*
 * Swaps. `out_report` may be NULL; it is written in any case. `diag`: C02xx and C03xx of loading; C07xx of
 * swapping. ERR_BUSY: frames of old cells until the deadline, or an old cell without a successor is
 * held; ERR_MISMATCH, ERR_MISSING_SYMBOL: verification; ERR_NO_MEMORY; and others of loading.
 */
CELL_API MUST_CHECK enum status swap_cells(const struct swap_request *request,
                                           struct swap_report *out_report, struct diag *diag);

/*
 * Takes a committed swap back: the pristine old cells are swapped in for the new ones, by the same rules.
 * One that continued others is taken back with all of them, in one transaction, so they may name no cell
 * twice. ERR_NOT_FOUND when no such swap is remembered; else as swap_cells().
 */
CELL_API MUST_CHECK enum status swap_rollback(uint64_t id, uint64_t timeout_ns,
                                              struct swap_report *out_report, struct diag *diag);

#define SWAP_REMEMBERED 32u /* swaps that can be taken back: the latest */

/*
 * Frees old cells that nobody needs any more; returns how many stay. That means to look at all stacks and all
 * memory, so a swap does it by itself only when SWAP_RETIRE_AT more are there than stayed the last time.
 */
#define SWAP_RETIRE_AT 64u
CELL_API uint32_t swap_retire(void);

/*
 * Of text, constants, entries, symbol maps and the dependencies of all cells, and of data with
 * `with_data`: equal where the system is the same to the byte.
 */
CELL_API uint64_t swap_state_hash(const struct cell_namespace *namespace, bool with_data);
