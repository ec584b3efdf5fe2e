/* SPDX-License-Identifier: MIT */
/*
 * Sequences happen all or not at all; changes that were noted stay all or not at all; a thing is in
 * the stack or with its owner.
 */
#include "commit.h"
#include "free_stack.h"
#include "own.h"
#include "strike.h"
#include "undo.h"

#define WORDS  6
#define THINGS 3

static uint64_t words[WORDS];
static uint64_t word;
static uint64_t also;
static struct undo_note notes[WORDS];
static struct undo changes = UNDO_INIT(notes);
static uint32_t halves[2];

/* ---- sequences ---- */

static void store_two(void)
{
    commit_two(&words[0], 1, &words[1], 1);
}

static void store_three(void)
{
    commit_three(&words[0], 1, &words[1], 1, &words[2], 1);
}

static void move(void)
{
    commit_move(&words[1], &words[0]);
}

static void store_all(void)
{
    struct commit_store stores[WORDS];
    for (int i = 0; i < WORDS; i++) {
        stores[i] = (struct commit_store){&words[i], 1};
    }
    commit_all(stores, 0);
    commit_all(stores, WORDS);
}

static void exchange(void)
{
    (void)!commit_exchange(&word, 7, 8, &also, 9); /* is 0 */
    (void)!commit_exchange(&word, 0, 8, &also, 9);
}

static void check_first(size_t count)
{
    for (size_t i = 0; i < WORDS; i++) {
        strike_demand(words[i] == (i < count ? words[0] : 0));
    }
    strike_demand(strike_has_struck() || words[0] == 1);
}

static void check_two(void)
{
    check_first(2);
}

static void check_three(void)
{
    check_first(3);
}

static void check_all(void)
{
    check_first(WORDS);
}

static void set_first(void)
{
    words[0] = 5;
}

static void check_move(void)
{
    strike_demand(words[0] + words[1] == 5 && (words[0] == 0 || words[1] == 0));
    strike_demand(strike_has_struck() || words[1] == 5);
}

static void check_exchange(void)
{
    strike_demand((word == 8 && also == 9) || (word == 0 && also == 0));
    strike_demand(strike_has_struck() || word == 8);
}

/* ---- notes ---- */

static void change_and_commit(void)
{
    GUARD(undo, noted, &changes);
    for (int i = 0; i < WORDS - 2; i++) {
        UNDO_SET(&changes, words[i], 1);
    }
    UNDO_SET(&changes, halves[1], 2);
    undo_commit(&changes);
}

static void change_and_leave(void)
{
    words[0] = 5;
    GUARD(undo, noted, &changes);
    UNDO_SET(&changes, words[0], 6);
    UNDO_SET(&changes, words[0], 7);
}

static void check_changed(void)
{
    strike_demand(halves[1] == 2 * words[0] && halves[0] == 0);
    check_first(WORDS - 2);
    strike_demand(changes.count == 0);
}

static void check_unchanged(void)
{
    strike_demand(words[0] == 5 || (strike_has_struck() && words[0] == 0));
    strike_demand(changes.count == 0);
}

/* ---- stacks ---- */

struct OWN_CAPABILITY("thing") thing;
OWN_DECLARE_LOCAL(thing);

struct thing {
    uint64_t number;
    struct free_link link;
};

static struct thing things[THINGS];
static struct free_stack stack;
static struct thing *kept;

static void thing_drop(struct thing **handle)
{
    if (*handle) {
        free_stack_push_from(&stack, &(*handle)->link, handle, NULL);
    }
}

static void take_thing(struct thing **out)
{
    (void)!free_stack_pop_to(&stack, out, offsetof(struct thing, link));
}

static void fill_stack(void)
{
    for (int i = 0; i < THINGS; i++) {
        free_stack_push(&stack, &things[i].link);
    }
}

static void take_and_keep(void)
{
    OWNED(thing, first);
    OWNED(thing, second);
    take_thing(SLOT(first));
    take_thing(SLOT(second));
    commit_move(&kept, SLOT(second));
}

static void take_too_many(void)
{
    OWNED(thing, first);
    OWNED(thing, second);
    OWNED(thing, third);
    OWNED(thing, fourth);
    take_thing(SLOT(first));
    take_thing(SLOT(second));
    take_thing(SLOT(third));
    take_thing(SLOT(fourth));
}

static void check_stack(void)
{
    unsigned found = 0;
    uint64_t count = free_stack_count(&stack);
    for (struct free_link *link; (link = free_stack_pop(&stack)); count--) {
        struct thing *thing = CONTAINER_OF(link, struct thing, link);
        strike_demand(!(found & 1u << (thing - things)));
        found |= 1u << (thing - things);
    }
    strike_demand(count == 0);
    if (kept) {
        strike_demand(!(found & 1u << (kept - things)));
        found |= 1u << (kept - things);
    }
    strike_demand(found == (1u << THINGS) - 1);
}

int main(void)
{
    static const struct strike_case cases[] = {
        {"two stores", NULL, store_two, check_two},
        {"three stores", NULL, store_three, check_three},
        {"a move", set_first, move, check_move},
        {"many stores", NULL, store_all, check_all},
        {"an exchange and a store", NULL, exchange, check_exchange},
        {"changes that are committed", NULL, change_and_commit, check_changed},
        {"changes that are not", NULL, change_and_leave, check_unchanged},
        {"pop, push and keep", fill_stack, take_and_keep, check_stack},
        {"pop until there are none", fill_stack, take_too_many, check_stack},
    };
    return strike_run(cases, ARRAY_COUNT(cases));
}
