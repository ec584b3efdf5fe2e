/* SPDX-License-Identifier: MIT */
#include "thing.h"

#include <stdio.h>
#include <stdlib.h>

struct box {
    struct thing *content;
};

static int created;
static int released;
static int locks_held;

/* From here to the end of the function is one instruction, for step.c. */
#ifdef THING_STEPS
    #define ONE_STEP()                                                              \
        __attribute__((cleanup(end_step), unused)) const int inside = thing_inside; \
        begin_step()

volatile int thing_inside;

static void begin_step(void)
{
    if (thing_inside++ == 0) {
        thing_step_over(true);
    }
}

static void end_step(const int *inside)
{
    thing_inside = *inside;
    if (thing_inside == 0) {
        thing_step_over(false);
    }
}
#else
    #define ONE_STEP() (void)0
#endif

/* Calls that may fail until one does; 0: none fails any more. */
static int calls_left;

bool thing_must_fail(void)
{
    return calls_left > 0 && --calls_left == 0;
}

/* ---- thing ---- */

enum status thing_create(int number, struct thing **out)
{
    ONE_STEP();
    if (thing_must_fail()) {
        return ERR_NO_MEMORY;
    }
    struct thing *thing = malloc(sizeof(*thing));
    if (!thing) {
        return ERR_NO_MEMORY;
    }
    thing->number = number;
    thing->next = NULL;
    created++;
    FILL(out, thing);
    return OK;
}

void thing_create_spare(struct thing **out)
{
    ONE_STEP();
    struct thing *thing = malloc(sizeof(*thing));
    if (!thing) {
        abort();
    }
    thing->number = 0;
    thing->next = NULL;
    created++;
    FILL(out, thing);
}

void thing_drop(struct thing **handle)
{
    ONE_STEP();
    struct thing *thing = *handle;
    if (thing) {
        released++;
        EMPTY(handle);
        free(thing);
    }
}

enum status thing_give(struct thing **thing)
{
    ONE_STEP();
    (*thing)->number = 0; /* there must be one */
    thing_drop(thing);
    return thing_must_fail() ? ERR_FAILED : OK;
}

enum status thing_check(const struct thing *thing)
{
    return thing->number < 0 || thing_must_fail() ? ERR_FAILED : OK;
}

int thing_number(const struct thing *thing)
{
    return thing->number;
}

void thing_paint(struct thing *thing, int number)
{
    thing->number = number;
}

enum status thing_split(struct thing *thing, struct thing **out_rest)
{
    return thing_create(thing->number, out_rest);
}

enum status thing_merge(struct thing *thing, struct thing **rest)
{
    ONE_STEP();
    thing->number += (*rest)->number;
    return thing_give(rest);
}

/* ---- box ---- */

enum status box_create(struct thing **content, struct box **out)
{
    ONE_STEP();
    struct box *box = NULL;
    if (!*content || thing_must_fail() || !(box = malloc(sizeof(*box)))) {
        thing_drop(content);
        return ERR_NO_MEMORY;
    }
    box->content = *content;
    EMPTY(content);
    created++;
    FILL(out, box);
    return OK;
}

void box_drop(struct box **handle)
{
    ONE_STEP();
    struct box *box = *handle;
    if (box) {
        thing_drop(&box->content);
        released++;
        EMPTY(handle);
        free(box);
    }
}

void box_open(struct box **box, struct thing **out_content)
{
    ONE_STEP();
    FILL(out_content, (*box)->content);
    (*box)->content = NULL;
    box_drop(box);
}

struct thing *box_content(const struct box *box)
{
    return box->content;
}

/* ---- mutex ---- */

void mutex_lock(struct mutex *mutex, struct mutex **guard)
{
    ONE_STEP();
    if (mutex->held) {
        abort(); /* it would wait for itself */
    }
    mutex->held = true;
    locks_held++;
    if (guard) {
        FILL(guard, mutex);
    }
}

bool mutex_try_lock(struct mutex *mutex, struct mutex **guard)
{
    ONE_STEP();
    if (mutex->held || thing_must_fail()) {
        return false;
    }
    mutex->held = true;
    locks_held++;
    FILL(guard, mutex);
    return true;
}

void mutex_unlock(struct mutex *mutex)
{
    ONE_STEP();
    if (!mutex->held) {
        abort();
    }
    locks_held--;
    mutex->held = false;
}

void mutex_drop(struct mutex **guard)
{
    ONE_STEP();
    if (*guard) {
        mutex_unlock(*guard);
        EMPTY(guard);
    }
}

/* ---- the runs ---- */

#if !OWN_PLAIN
const char *thing_judge(void)
{
    if (created != released) {
        return created > released ? "leak" : "released twice";
    }
    if (locks_held) {
        return "lock still held";
    }
    return OWN_TOP ? "slot still linked" : NULL;
}

    #ifndef THING_STEPS
int main(void)
{
    for (int argument = 0; argument < RUN_ARGUMENTS; argument++) {
        bool failed = true;
        for (int calls = 1; failed; calls++) {
            calls_left = calls;
            (void)run(argument);
            failed = calls_left == 0;
            const char *wrong = thing_judge();
            if (wrong) {
                printf("run(%d), call %d fails: %s\n", argument, calls, wrong);
                return EXIT_FAILURE;
            }
        }
    }
    return EXIT_SUCCESS;
}
    #endif
#endif
