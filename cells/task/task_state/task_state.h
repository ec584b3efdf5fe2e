/* SPDX-License-Identifier: MIT */
/*
 * task_state.h - what a task is, and the states that it goes through.
 *
 * Why: whoever runs tasks needs their structure; whoever uses them does not (task.h). It holds the
 * bare necessities. Which queue a task is in, what it owns and how often it ran are the affairs of
 * others, who keep them; what a task waits for is a word on its own stack.
 *
 * Rules: for the cells of this group. Each field says who may touch it. A task is counted: one
 * reference for itself until it is off its stack for good, one for the handle by which it is
 * joined.
 *
 *      state       meaning                      goes to              by
 *      READY       in a run queue, or about to  RUNNING              its CPU picks it
 *      RUNNING     has a CPU                    READY                yield, end of its slice
 *                                               BLOCKED              parking_park()
 *                                               ENDED                its entry returned, it failed or was killed
 *      BLOCKED     waits for its permit         READY                permit, deadline, kill
 *                                               RUNNING              parking_hand_over()
 *      ENDED       off its stack; result there  (none)               freed with its last reference
 */
#pragma once

#include "parking.h"
#include "stack.h"
#include "timer_queue.h"
#include "wait_queue.h"

#define TASK_NAME_SIZE     32u /* with the NUL; longer names are cut */
#define TASK_PRIORITIES    32u
#define TASK_PRIORITY_BASE 8u /* of a task that asks for none; 0 is the lowest */

enum task_runstate {
    TASK_READY,
    TASK_RUNNING,
    TASK_BLOCKED,
    TASK_ENDED,
    TASK_RUNSTATES,
};

/* How it ended. */
enum task_end {
    TASK_NOT_ENDED,
    TASK_RETURNED, /* its entry came back: the result is there */
    TASK_FAILED,   /* by an exception or a failed assertion */
    TASK_KILLED,
};

/* How far a kill has come. */
enum task_kill {
    TASK_NO_KILL,
    TASK_KILL_WANTED,   /* strikes where it runs next with nothing held */
    TASK_KILL_DEFERRED, /* did not strike there: strikes when what deferred it has ended */
    TASK_KILL_BEGUN,    /* what it owns is being released, or its end is decided otherwise */
};

/*
 * How a task stands with its CPU's dispatcher, in one word, so that it is read and written at once,
 * and what is asked together lies together.
 */
union task_standing {
    struct {
        uint8_t state;   /* enum task_runstate */
        bool has_permit; /* parking.h */
        bool is_struck;  /* its kill is to be looked at where it runs next */
        bool timed_out;  /* the deadline of its last wait came before a permit */
        bool has_timer;  /* BLOCKED, with a deadline */
        bool has_begun;  /* it was given to the dispatcher */
        uint16_t home;   /* the CPU that runs it; changes while READY only */
    };
    uint32_t signs; /* the first four */
    uint64_t word;
};
static_assert(sizeof(union task_standing) == sizeof(uint64_t), "one word");

#define TASK_SIGNS_BEFORE_WAIT 0x00ffff00u /* has_permit, is_struck: it does not wait */
#define TASK_SIGNS_AFTER_WAIT  0xffff0000u /* is_struck, timed_out: not just a permit */
static_assert(offsetof(union task_standing, has_permit) == 1, "the masks");
static_assert(offsetof(union task_standing, is_struck) == 2, "the masks");
static_assert(offsetof(union task_standing, timed_out) == 3, "the masks");

struct kill_deferral;

struct task {
    /* Of its CPU, with that CPU's dispatcher locked. */
    uint64_t context[2];      /* while it does not run: where it goes on (context.h) */
    struct own_slot *own_top; /* while it does not run: its chain (own.h) */
    union {
        union task_standing standing;
        struct {
            uint8_t state; /* enum task_runstate */
            bool has_permit;
            bool is_struck;
            bool timed_out;
            bool has_timer;
            bool has_begun;
            uint16_t home;
        };
    };
    const struct parking_reason *reason; /* while BLOCKED; NULL: not stated */
    struct timer_entry *timer;           /* while it has one; on its stack */
    struct task *next_timed;             /* then: with a deadline on that CPU, too */
    struct task **timed_link;            /* what points here in that list */
    union {
        struct {
            uint8_t lent;     /* priority lent by who waits for it; 0: none */
            uint8_t priority; /* constant, as is_idle */
            bool is_idle;     /* runs where nothing else does; in no queue */
            bool unused;
        };
        uint32_t rank; /* all of them: tasks of one rank take turns */
    };
    uint8_t kill;                        /* enum task_kill; from WANTED on the task's own */
    uint64_t kill_time;                  /* when it was wanted (parking.h) */
    const struct kill_deferral *kept_by; /* while it is DEFERRED: constant, of who defers it */

    /* Its own, fpu.h; of its CPU while it does not run. */
    void *vector_state;      /* a block of the heap until it is off its stack; NULL: uses none */
    uint64_t vectors_resume; /* where it wanted to use some first */

    /* Constant while it lives. */
    bool is_pinned; /* stays on its home */
    uint64_t id;    /* never used again */
    char name[TASK_NAME_SIZE];
    struct stack *stack; /* owned until it is off it */

    /* Of whoever counts, atomically. */
    uint64_t references;

    /* With `lock`. */
    struct spinlock lock;
    enum task_end end;
    struct wait_queue joiners;

    struct task *next_dead; /* of the dispatcher on whose CPU it ended */
};

/* May a task go from one state to the other? The table above. */
CELL_API bool task_state_may_go(enum task_runstate from, enum task_runstate to);

/* Fills a record that is all zeros: READY, one reference, a number of its own. */
CELL_API void task_state_init(struct task *task, const char *name, unsigned priority,
                              uint32_t home);

/* "ready", "running", ...; "?" for what is none. */
CELL_API const char *task_state_name(enum task_runstate state);

/* The priority by which it is scheduled: its own or a higher one that was lent. */
static inline unsigned task_state_priority(const struct task *task)
{
    return task->lent > task->priority ? task->lent : task->priority;
}
