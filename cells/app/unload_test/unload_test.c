/* SPDX-License-Identifier: MIT */
/*
 * unload_test - unloads cells that tasks are in, in vain: an application whose own task has
 * returned, but which has left tasks behind that sleep, and this one. When nobody sleeps any more
 * it works.
 */
#include "application.h"
#include "cell_namespace.h"
#include "console.h"
#include "diag.h"
#include "loader.h"
#include "task.h"

CELL(application, "1.0.0");

APPLICATION(unload_test);

#define SUBJECT  "sleepers"
#define ROUNDS   3u
#define LIMIT_NS 5000000000ull /* for what sleeps 200 ms; machines that run others are slow */

static enum status unload(const char *cell, struct diag *diag)
{
    *diag = (struct diag){0};
    return loader_unload_named(cell_namespace_initial(), cell, diag);
}

static bool is_refused_for(const char *cell, const char *task, uint64_t count)
{
    struct diag diag;
    enum status status = unload(cell, &diag);
    bool is_right = status == ERR_BUSY && diag.code == DIAG_LINK_HELD &&
                    __builtin_strcmp(diag.symbol, task) == 0 && diag.found == count;
    console_print("unload_test: %s: C%04u, held by task %s, %lu in all: %s\n", cell,
                  (unsigned)diag.code, diag.symbol, (unsigned long)diag.found,
                  is_right ? "right" : "WRONG");
    return is_right;
}

static enum status run_subject(void)
{
    uint64_t address;
    OWNED(cell_reference, held);
    enum status status =
        loader_demand_held(cell_namespace_initial(), SUBJECT "_main", &address, SLOT(held), NULL);
    if (status != OK) {
        return status;
    }
    const char *const values[] = {SUBJECT, NULL};
    return ((app_main)(uintptr_t)address)(&(struct app_arguments){1, values});
}

/* Until they have woken up, ended and left their stacks. */
static enum status unload_patiently(void)
{
    uint64_t deadline = parking_deadline(LIMIT_NS);
    struct diag diag;
    enum status status = unload(SUBJECT, &diag);
    while (status == ERR_BUSY && parking_now() < deadline) {
        task_sleep(20000000);
        status = unload(SUBJECT, &diag);
    }
    return status;
}

enum status unload_test_main(const struct app_arguments *arguments)
{
    (void)arguments;
    bool is_right = is_refused_for("unload_test", "unload_test", 1);
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t cells = loader_statistics().cells;
        enum status status = run_subject();
        if (status != OK) {
            return status;
        }
        is_right &= is_refused_for(SUBJECT, "sleeper", 3);
        status = unload_patiently();
        if (status != OK) {
            console_print("unload_test: " SUBJECT " stays: %s\n", status_text(status));
            return status;
        }
        is_right &= loader_statistics().cells == cells;
    }
    console_print("unload_test: %u cells came, were kept by tasks, and went: %s\n", ROUNDS,
                  is_right ? "OK" : "FAILED");
    return is_right ? OK : ERR_FAILED;
}
