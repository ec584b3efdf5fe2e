/* SPDX-License-Identifier: MIT */
/*
 * Stacks, with all that is below them, on a machine whose MMU is simulated: whatever strikes, a
 * stack is owned, mapped and found by its addresses, or it is gone and so are its guards.
 */
#include "read_sections.h"
#include "spinlock.h"
#include "strike_machine.h"
#include "stack.h"

#define PAGES_SEEN 40 /* of the data zone, from its start on */

static struct stack *kept[2];
static struct stack *other; /* in the list all the time */
static struct holdings first;

static void prepare(void)
{
    start_struck_machine();
    strike_demand(stack_create(PAGE_SIZE, "other", &other) == OK);
    first = measure();
}

static void check_place(const struct stack *stack, const char *name)
{
    struct stack_place place;
    strike_demand(stack_find(stack_top(stack) - 8, &place) && place.part == STACK_INSIDE);
    strike_demand(strcmp(place.name, name) == 0);
    strike_demand(stack_find_guard(stack_bottom(stack) - 8, &place));
    strike_demand(translate(stack_bottom(stack)) && !translate(stack_bottom(stack) - PAGE_SIZE));
}

static void check(void)
{
    strike_demand(preemption_count() == 0 && read_sections_wait());
    uint64_t found = 0;
    uint64_t expected = 3;
    check_place(other, "other");
    for (size_t i = 0; i < ARRAY_COUNT(kept); i++) {
        if (kept[i]) {
            check_place(kept[i], "struck");
            expected += (stack_top(kept[i]) - stack_bottom(kept[i])) / PAGE_SIZE + 2;
        }
    }
    for (uint64_t i = 0; i < PAGES_SEEN; i++) {
        struct stack_place place;
        found += stack_find(DATA_ZONE_START + i * PAGE_SIZE, &place);
    }
    strike_demand(found == expected);
    for (size_t i = 0; i < ARRAY_COUNT(kept); i++) {
        stack_drop(&kept[i]);
    }
    assert_same(first);
    strike_demand(stack_create(2 * PAGE_SIZE, "again", &kept[0]) == OK);
    check_place(kept[0], "again");
    stack_drop(&kept[0]);
    assert_same(first);
}

static void create_and_drop(void)
{
    OWNED(stack, stack);
    (void)!stack_create(PAGE_SIZE, "struck", SLOT(stack));
}

static void create_and_keep(void)
{
    OWNED(stack, stack);
    (void)!stack_create(2 * PAGE_SIZE, "struck", SLOT(stack));
    STORE(kept[0], stack);
}

static void keep_two(void)
{
    prepare();
    strike_demand(stack_create(PAGE_SIZE, "struck", &kept[0]) == OK);
    strike_demand(stack_create(PAGE_SIZE, "struck", &kept[1]) == OK);
}

/* In the middle of the list. */
static void drop_one(void)
{
    OWNED(stack, stack);
    LOAD(stack, kept[0]);
}

/* ---- readers ---- */

static void find_some(void)
{
    struct stack_place place;
    (void)stack_find(stack_top(other) - 8, &place);
    read_sections_enter();
    (void)stack_find_guard(stack_bottom(kept[0]) - 8, &place);
    (void)stack_find(DATA_ZONE_START + PAGES_SEEN * PAGE_SIZE, &place);
    read_sections_leave();
}

/*
 * What is dropped waits for readers, and is newer than a lock: it goes before holds are set right.
 */
static void find_while_owning(void)
{
    static struct spinlock lock = {.name = "test"};
    GUARD(spinlock, held, &lock);
    OWNED(stack, stack);
    LOAD(stack, kept[0]);
    struct stack_place place;
    (void)stack_find(stack_top(other) - 8, &place);
    (void)stack_find(DATA_ZONE_START + PAGES_SEEN * PAGE_SIZE, &place);
    STORE(kept[0], stack);
}

int main(void)
{
    static const struct strike_case cases[] = {
        {"create and drop", prepare, create_and_drop, check},
        {"create and keep", prepare, create_and_keep, check},
        {"drop", keep_two, drop_one, check},
        {"find", keep_two, find_some, check},
        {"find while owning", keep_two, find_while_owning, check},
    };
    return strike_run(cases, ARRAY_COUNT(cases));
}
