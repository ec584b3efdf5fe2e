/* SPDX-License-Identifier: MIT */
/*
 * tour_loop.h - the part of the application `tour` that both builds have: a task in an endless
 * loop. It calls its step by address, and an address leads to the latest version: so a loop that
 * one version began goes on with another one's steps, while its own frame stays where it is.
 */
#pragma once

#include "application.h"
#include "console.h"
#include "parking.h"
#include "route.h"
#include "task.h"

APPLICATION(tour);

#define STEP_NS     5000000u
#define PATIENCE_NS 30000000000ull

/* One step; `count` is how many the loop has made, in its own frame. */
static void step(uint64_t *count);

static int walk(int *unused)
{
    (void)unused;
    void (*by_entry)(uint64_t *) = step;
    uint64_t count = 0;
    while (!route_is_over()) {
        __asm__ volatile("" : "+r"(by_entry)); /* or GCC would call the step that it sees */
        count++;
        by_entry(&count);
        task_sleep(STEP_NS);
    }
    return 0;
}
TASK_DEFINE(walker, int, int, walk);

static enum status wait_for_end(void)
{
    uint64_t deadline = parking_deadline(PATIENCE_NS);
    while (!route_is_over()) {
        if (parking_now() > deadline) {
            return ERR_TIMEOUT;
        }
        task_sleep(STEP_NS);
    }
    return OK;
}

enum status tour_main(const struct app_arguments *arguments)
{
    if (arguments->count > 1) {
        return wait_for_end();
    }
    OWNED(walker_task, task); /* goes on alone */
    return walker_spawn(&(int){0}, NULL, SLOT(task));
}
