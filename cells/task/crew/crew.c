/* SPDX-License-Identifier: MIT */
#include "crew.h"

#include "catch.h"
#include "dispatcher.h"
#include "interrupt_catch.h"
#include "loader.h"
#include "multitasking.h"
#include "task.h"

CELL(library, "1.0.0");

struct duty {
    app_main entry;
    const struct app_arguments *arguments; /* the spawner's, who joins */
};

/* The application's cell is not that of the plan: so it is held by hand, under the task's name. */
static enum status do_duty(struct duty *duty)
{
    OWNED(cell_reference, cell);
    const char *name = parking_self()->name;
    enum status status = loader_hold_for((uintptr_t)duty->entry, name, SLOT(cell));
    if (status != OK) {
        return status;
    }
    return duty->entry(duty->arguments);
}
TASK_DEFINE(application, struct duty, enum status, do_duty);

enum status crew_start(void)
{
    enum status status = catch_enable();
    if (status != OK) {
        return status;
    }
    status = multitasking_start("captain");
    return status == OK ? interrupt_catch_enable(dispatcher_cpu_count()) : status;
}

enum status crew_run(app_main entry, const struct app_arguments *arguments)
{
    struct task_options options = {.name = arguments->values[0], .stack_bytes = CREW_STACK_SIZE};
    OWNED(application_task, task);
    enum status status = application_spawn(&(struct duty){entry, arguments}, &options, SLOT(task));
    if (status != OK) {
        return status;
    }
    enum status result;
    status = application_join(SLOT(task), &result);
    return status == OK ? result : status;
}
