/* SPDX-License-Identifier: MIT */
/*
 * sleepers - leaves tasks behind that sleep for a while and belong to nobody: the subject of
 * unload_test.
 */
#include "application.h"
#include "console.h"
#include "task.h"

CELL(application, "1.0.0");

APPLICATION(sleepers);

#define COUNT       3u
#define DURATION_NS 200000000ull

static int sleep_once(uint64_t *duration)
{
    task_sleep(*duration);
    return 0;
}
TASK_DEFINE(sleeper, uint64_t, int, sleep_once);

enum status sleepers_main(const struct app_arguments *arguments)
{
    (void)arguments;
    for (unsigned i = 0; i < COUNT; i++) {
        OWNED(sleeper_task, task);
        enum status status = sleeper_spawn(&(uint64_t){DURATION_NS}, NULL, SLOT(task));
        if (status != OK) {
            return status;
        }
    }
    console_print("sleepers: %u tasks sleep\n", COUNT);
    return OK;
}
