/* SPDX-License-Identifier: MIT */
/*
 * thing.h - resources to own well or badly: a thing, a box that owns a thing, a lock.
 *
 * Why: each program of wrong/ and right/ defines run(), a few lines that use them. thing.c counts
 * what is made and released, and calls run() again and again, each time with another of its calls
 * failing, so that every error path is taken.
 */
#pragma once

#include "own.h"

struct OWN_CAPABILITY("thing") thing {
    int number;
    struct thing *next; /* in a list */
};
OWN_DECLARE(thing);

enum status thing_create(int number, struct thing **out) OWN_ACQUIRES(**out);
void thing_create_spare(struct thing **out) OWN_ALWAYS_ACQUIRES(**out);
MUST_CHECK enum status thing_give(struct thing **thing) OWN_CONSUMES(**thing);
MUST_CHECK enum status thing_check(const struct thing *thing) OWN_BORROWS(*thing);
int thing_number(const struct thing *thing) OWN_BORROWS(*thing);
void thing_paint(struct thing *thing, int number) OWN_BORROWS(*thing);
enum status thing_split(struct thing *thing, struct thing **out_rest) OWN_BORROWS(*thing)
    OWN_ACQUIRES(**out_rest);
MUST_CHECK enum status thing_merge(struct thing *thing, struct thing **rest) OWN_BORROWS(*thing)
    OWN_CONSUMES(**rest);

struct OWN_CAPABILITY("box") box;
OWN_DECLARE(box);

enum status box_create(struct thing **content, struct box **out) OWN_CONSUMES(**content)
    OWN_ACQUIRES(**out);
void box_open(struct box **box, struct thing **out_content) OWN_CONSUMES(**box)
    OWN_ALWAYS_ACQUIRES(**out_content);
/* The content, which stays the box's. */
struct thing *box_content(const struct box *box) OWN_BORROWS(*box);

struct OWN_LOCK("mutex") mutex {
    bool held;
};
OWN_DECLARE_LOCK(mutex);
void mutex_lock(struct mutex *mutex, struct mutex **guard) OWN_LOCKS(*mutex);
void mutex_unlock(struct mutex *mutex) OWN_UNLOCKS(*mutex);
MUST_CHECK bool mutex_try_lock(struct mutex *mutex, struct mutex **guard) OWN_MAY_LOCK(**guard);

/* A failure that thing.c asks for: true once, in some call of each run. */
bool thing_must_fail(void);

/* What is wrong after a run, "leak" for one; NULL: nothing. */
const char *thing_judge(void);

/* For step.c: the functions above count as one instruction. thing_inside is not 0 while one runs.
 */
extern volatile int thing_inside;
void thing_step_over(bool begins); /* defined by step.c */

/* The program; `argument` counts up from 0 to RUN_ARGUMENTS - 1. Its status does not matter. */
#define RUN_ARGUMENTS 4
enum status run(int argument);

/* GCC's analyzer follows handles into these functions. */
#if OWN_PLAIN && !OWN_CONTRACTS
    #include "thing.c"
#endif
