/* SPDX-License-Identifier: MIT */
/* tasks - lists the tasks, what they wait for, and what each CPU has done. */
#include "application.h"
#include "console.h"
#include "task.h"

CELL(application, "1.0.0");

APPLICATION(tasks);

enum status tasks_main(const struct app_arguments *arguments)
{
    (void)arguments;
    struct task_information task = {0};
    console_print("  number  name                             state    cpu  priority  waits for\n");
    while (task_next(task.id, &task)) {
        console_print("%8lu  %-32s %-8s %3u%c %9u  %s\n", (unsigned long)task.id, task.name,
                      task_state_name(task.state), (unsigned)task.cpu, task.is_pinned ? '!' : ' ',
                      task.priority, task.waits_for ? task.waits_for : "");
    }
    console_print("policy: %s\n", run_queue_policy());
    for (uint32_t cpu = 0; cpu < DISPATCHER_CPUS; cpu++) {
        if (dispatcher_has_cpu(cpu)) {
            struct dispatcher_statistics cpu_statistics = dispatcher_statistics(cpu);
            console_print(
                "CPU %u: %lu switches, %lu preemptions, %lu tasks moved away, %lu ready\n",
                (unsigned)cpu, (unsigned long)cpu_statistics.switches,
                (unsigned long)cpu_statistics.preemptions, (unsigned long)cpu_statistics.moves,
                (unsigned long)cpu_statistics.ready);
        }
    }
    return OK;
}
