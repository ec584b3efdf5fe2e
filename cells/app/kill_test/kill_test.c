/* SPDX-License-Identifier: MIT */
/*
 * kill_test - kills tasks in every state, and many at random moments.
 */
#include "application.h"
#include "console.h"
#include "task.h"

CELL(application, "1.0.0");

APPLICATION(kill_test);

#define SECOND 1000000000ull

static int spin(int *value)
{
    while (!*(volatile int *)value) {
        cpu_relax();
    }
    return 0;
}
TASK_DEFINE(spinner, int, int, spin);

enum status kill_test_main(const struct app_arguments *arguments)
{
    (void)arguments;
    OWNED(spinner_task, task);
    enum status status = spinner_spawn(&(int){0}, NULL, SLOT(task));
    if (status != OK) {
        return status;
    }
    task_sleep(SECOND / 100);
    spinner_kill(REF(task));
    status = spinner_wait(REF(task), parking_deadline(SECOND));
    if (status != OK) {
        console_print("kill_test: still there: %s\n", status_name(status));
        return status;
    }
    int result;
    enum status joined = spinner_join(SLOT(task), &result);
    console_print("kill_test: spinning: %s\n", status_name(joined));
    return joined == ERR_KILLED ? OK : ERR_FAILED;
}
