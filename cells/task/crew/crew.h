/* SPDX-License-Identifier: MIT */
/*
 * crew.h - runs applications as tasks.
 *
 * Why: the captain chooses a scheduler before the first cell that needs one is linked. So it does
 * not depend on tasks: it demands these two by name when the choice is made.
 *
 * Rules: crew_start() once; crew_run() in tasks only.
 */
#pragma once

#include "application.h"

#define CREW_STACK_SIZE 65536u /* of an application */

/* multitasking_start() for the captain, and its errors. */
CELL_API MUST_CHECK enum status crew_start(void);
typedef enum status (*crew_start_t)(void);

/*
 * Runs entry(arguments) as a task and returns what that does; or the errors of task_spawn(), loader_hold()
 * and task_join(). The cell of `entry` cannot be unloaded while the task is in it.
 */
CELL_API MUST_CHECK enum status crew_run(app_main entry, const struct app_arguments *arguments);
typedef enum status (*crew_run_t)(app_main entry, const struct app_arguments *arguments);
