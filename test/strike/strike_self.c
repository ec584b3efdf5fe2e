/* SPDX-License-Identifier: MIT */
/*
 * Are strikes where they should be, and is what they break found? Slots and a spinlock are right at
 * every instruction; a counter that is taken by value is not, and neither is a structure that a
 * lock protects while it is half changed.
 */
#include "own.h"
#include "spinlock.h"
#include "strike.h"

#include <stdio.h>

struct OWN_CAPABILITY("ticket") ticket;
OWN_DECLARE_LOCAL(ticket);

struct ticket {
    int number;
};

#define TICKETS 8

static struct ticket tickets[TICKETS];
static bool is_taken[TICKETS];
static struct ticket *kept;
static struct spinlock lock = {.name = "strike"};
static int left;
static int right;

static void ticket_drop(struct ticket **handle)
{
    EMPTY(handle);
}

/* Who owns a ticket: whoever's slot or field it is in. There is nothing else to release. */
static void ticket_take(struct ticket **out)
{
    FILL(out, &tickets[0]);
}

static void own_lock_and_keep(void)
{
    OWNED(ticket, ticket);
    ticket_take(SLOT(ticket));
    {
        GUARD(spinlock, guard, &lock);
        left++;
    }
    STORE(kept, ticket);
}

static void check_free(void)
{
    strike_demand(!spinlock_is_held(&lock));
    strike_demand(preemption_count() == 0);
    strike_demand(strike_has_struck() || kept == &tickets[0]);
    strike_demand(!kept || kept == &tickets[0]);
    GUARD(spinlock, guard, &lock);
}

/* Wrong: nobody knows of what is taken before it is stored. */
static void take_by_value(void)
{
    int number = 0;
    while (is_taken[number]) {
        number++;
    }
    is_taken[number] = true;
    COMPILER_BARRIER();
    kept = &tickets[number];
}

static void check_taken(void)
{
    for (int i = 0; i < TICKETS; i++) {
        strike_demand(is_taken[i] == (kept == &tickets[i]));
    }
}

/* Wrong: unwinding lets the lock go. */
static void change_half(void)
{
    GUARD(spinlock, guard, &lock);
    left++;
    COMPILER_BARRIER();
    right++;
    COMPILER_BARRIER();
}

static void check_equal(void)
{
    strike_demand(left == right);
}

int main(void)
{
    static const struct strike_case sound = {"slots and a lock", NULL, own_lock_and_keep,
                                             check_free};
    static const struct strike_case wrong[] = {
        {"(wrong) taken by value", NULL, take_by_value, check_taken},
        {"(wrong) a lock let go too early", NULL, change_half, check_equal},
    };
    int status = strike_run(&sound, 1);
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        if (strike_run(&wrong[i], 1) == 0) {
            printf("%s: not found\n", wrong[i].name);
            status = 1;
        }
    }
    return status;
}
