/* SPDX-License-Identifier: MIT */
#include "strike_other.h"
#include "commit.h"
#include "strike.h"
#include "cpu_local.h"
#include "preemption.h"

struct strike_task strike_self;
struct strike_task strike_other;
unsigned strike_parks;

static void (*turn_at_park)(void);

struct OWN_CAPABILITY("turn") turn;
OWN_DECLARE_LOCAL(turn);

static void turn_drop(struct turn **handle)
{
    if (*handle) {
        CPU_LOCAL(task) = (struct task *)(void *)*handle;
        EMPTY(handle);
    }
}

void strike_other_turn(void (*turn)(void))
{
    OWNED(turn, whose);
    FILL(SLOT(whose), (struct turn *)(void *)CPU_LOCAL(task));
    CPU_LOCAL(task) = strike_task_of(&strike_other);
    turn();
}

static enum status park(uint64_t deadline, const struct parking_reason *reason)
{
    struct strike_task *self = (struct strike_task *)(void *)CPU_LOCAL(task);
    strike_demand(preemption_count() == 0);
    strike_demand(interrupts_enabled());
    strike_parks++;
    if (!self->permits && turn_at_park && self == &strike_self) {
        strike_other_turn(turn_at_park);
    }
    if (self->permits) {
        self->permits = 0;
        return OK;
    }
    strike_demand(deadline != PARK_FOREVER); /* else it waits for ever */
    return ERR_TIMEOUT;
}

static void unpark(struct task *task)
{
    ((struct strike_task *)(void *)task)->permits = 1;
}

static enum status hand_over(struct task *task, uint64_t deadline,
                             const struct parking_reason *reason)
{
    unpark(task);
    return park(deadline, reason);
}

static uint64_t now(void)
{
    return 1;
}

static unsigned priority(const struct task *task)
{
    const struct strike_task *of = (const struct strike_task *)(const void *)task;
    unsigned own = of == &strike_self ? 3 : 2;
    return of->lent > own ? of->lent : own;
}

static void lend(struct task *task, unsigned priority_lent)
{
    ((struct strike_task *)(void *)task)->lent = priority_lent;
}

static bool reason_of(const struct task *task, struct parking_reason *out)
{
    return false;
}

static const char *name(const struct task *task)
{
    return task == strike_task_of(&strike_self) ? "self" : "other";
}

static void get(struct task *task, struct task **out)
{
    struct strike_task *of = (struct strike_task *)(void *)task;
    commit_two(&of->references, of->references + 1, out, task);
}

static void put(struct task **slot)
{
    struct strike_task *of = (struct strike_task *)(void *)*slot;
    commit_two(&of->references, of->references - 1, slot, NULL);
}

void strike_other_begin(void (*turn)(void))
{
    static const struct parking_operations operations = {
        .park = park,
        .unpark = unpark,
        .hand_over = hand_over,
        .now = now,
        .priority = priority,
        .lend = lend,
        .reason = reason_of,
        .name = name,
        .get = get,
        .put = put,
    };
    parking_set(&operations);
    turn_at_park = turn;
    CPU_LOCAL(task) = strike_task_of(&strike_self);
}
