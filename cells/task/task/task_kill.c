/* SPDX-License-Identifier: MIT */
/*
 * Ending others, and finding out why one does not end. How a kill strikes is the dispatcher's
 * affair, and how everything is released that of catch.c: both are in dispatcher_set_kill().
 */
#include "address_map.h"
#include "backtrace.h"
#include "context.h"
#include "kill_deferral.h"
#include "logger.h"
#include "owned.h"
#include "task_priv.h"

/*
 * After this time the CPU of a task that runs is interrupted once more: the first interrupt may
 * have been refused, or have come within a sequence (commit.h), where nobody looks.
 */
#define KILL_AGAIN_NS 10000000u

static_assert(TASK_KILL_TEXT == OWNED_LINE_SIZE, "as much as owned_describe() writes");

void task_kill(struct task_handle *handle)
{
    dispatcher_kill((struct task *)handle);
}

enum status task_lookup(uint64_t id, struct task_handle **out)
{
    const struct task *boot_task = dispatcher_boot_task();
    if (boot_task && boot_task->id == id) {
        return ERR_PERMISSION;
    }
    return task_list_get(id, out) ? OK : ERR_NOT_FOUND;
}

uint64_t task_id(const struct task_handle *handle)
{
    return ((const struct task *)handle)->id;
}

/* ---- the report ---- */

/* Of a task that does not run: what it owns, where it goes on, and who called that. */
static void collect_frames(const struct task *task, void *context)
{
    struct task_kill_report *report = context;
    const uint64_t registers[CFI_REGISTER_COUNT] = {
        [CFI_RIP] = task->context[CONTEXT_RESUME],
        [CFI_RSP] = task->context[CONTEXT_STACK],
    };
    address_map_enter();
    (void)owned_describe(task->own_top, report->owned, sizeof(report->owned));
    struct backtrace backtrace;
    backtrace_begin(&backtrace, registers, true);
    do {
        report->frames[report->frame_count++] = backtrace.cursor.registers[CFI_RIP];
    } while (report->frame_count < TASK_KILL_FRAMES &&
             unwind_step(&backtrace.cursor) == UNWIND_CALLER);
    address_map_leave();
}

static const char *find_keeper(const struct task *task)
{
    switch ((enum task_kill)__atomic_load_n(&task->kill, __ATOMIC_ACQUIRE)) {
    case TASK_KILL_DEFERRED:
        return task->kept_by->what;
    case TASK_KILL_BEGUN:
        return "the release of what it owns";
    default:
        return NULL;
    }
}

static void fill_report(struct task *task, struct task_kill_report *out)
{
    *out = (struct task_kill_report){
        .wanted_ns = parking_now() - task->kill_time,
        .kept_by = find_keeper(task),
    };
    task_describe(task, &out->task);
    (void)dispatcher_examine(task, collect_frames, out);
}

enum status task_kill_wait(struct task_handle *handle, uint64_t limit_ns,
                           struct task_kill_report *out_report)
{
    uint64_t deadline = parking_deadline(limit_ns ? limit_ns : TASK_KILL_LIMIT_NS);
    uint64_t soon = parking_deadline(KILL_AGAIN_NS);
    task_kill(handle);
    enum status status = task_wait(handle, soon < deadline ? soon : deadline);
    if (status != OK && soon < deadline) {
        task_kill(handle);
        status = task_wait(handle, deadline);
    }
    if (status != OK && out_report) {
        fill_report((struct task *)handle, out_report);
    }
    return status;
}

static void log_frame(uint64_t address)
{
    address_map_enter();
    const struct section *section = address_map_find(address);
    if (section) {
        log_warning("  at %016llx  %s:%s+%#llx", (unsigned long long)address, section->cell->name,
                    section->name, (unsigned long long)(address - section->address));
    } else {
        log_warning("  at %016llx", (unsigned long long)address);
    }
    address_map_leave();
}

void task_kill_report_log(const struct task_kill_report *report)
{
    const struct task_information *task = &report->task;
    log_warning("task %lu `%s`, %s on CPU %u, was killed %lu ms ago and has not ended",
                (unsigned long)task->id, task->name, task_state_name(task->state),
                (unsigned)task->cpu, (unsigned long)(report->wanted_ns / 1000000));
    log_warning("  kept by: %s%s%s",
                report->kept_by ? report->kept_by : "preemption or interrupts, which it holds",
                task->waits_for ? "; waits for: " : "", task->waits_for ? task->waits_for : "");
    if (report->owned[0]) {
        log_warning("  owns: %s", report->owned);
    }
    for (unsigned i = 0; i < report->frame_count; i++) {
        log_frame(report->frames[i]);
    }
}
