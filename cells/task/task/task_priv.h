/* SPDX-License-Identifier: MIT */
/* task_priv.h - what the files of this cell share. */
#pragma once

#include "task.h"

/* A task's record and what only this cell knows of it: one block of the heap. */
struct task_record {
    struct task task;             /* first: both have one address */
    struct task_record *next;     /* task_list.c */
    struct task_record **link;    /* what points here in that list; NULL: not in it */
    const struct task_plan *plan; /* constant, of the cell that spawned */
    struct cell *cell;            /* that one, counted (cell_tasks.h); NULL: off its stack */
    void *argument;               /* behind the record */
    void *owned;                  /* the same, if it owns and is this task's: plan->drop() of it */
    void *result;                 /* behind that */
    uint64_t admission;           /* dispatcher_admit() */
    uint8_t end;                  /* enum task_end, once its own code has ended */
    uint8_t tries;                /* of its end: it has failed in it */
    uint8_t restarts;             /* that are left; of a service */
};

/* Into and out of the list of all tasks. */
void task_list_add(struct task_record *record);
void task_list_remove(struct task_record *record);
uint64_t task_list_count(void);

uint64_t task_list_spawned(void); /* since the start */

/* One more reference of the task of that number; false: there is none, or it has none left. */
bool task_list_get(uint64_t id, struct task_handle **out);

/* What can be told of a task that exists. */
void task_describe(const struct task *task, struct task_information *out);

/* The name of a task that keeps the cell; empty if there is none. */
void task_list_find_in_cell(const struct cell *cell, char name[TASK_NAME_SIZE]);
