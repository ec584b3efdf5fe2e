/* SPDX-License-Identifier: MIT */
#include "host_machine.h"
#include "cell_namespace.h"
#include "cell_retirement.h"
#include "host_memory.h"
#include "live_frames.h"
#include "page_table.h"
#include "parking.h"
#include "remote_call.h"
#include "task.h"
#include "time_limit.h"

#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

struct host_machine host_machine;

/* ---- parking: one task, which nobody can wake ---- */

static uint64_t now(void)
{
    host_machine.now += host_machine.tick;
    return host_machine.now;
}

static enum status park(uint64_t deadline, const struct parking_reason *reason)
{
    return ERR_TIMEOUT;
}

static void unpark(struct task *task)
{
}

static enum status hand_over(struct task *task, uint64_t deadline,
                             const struct parking_reason *reason)
{
    return ERR_TIMEOUT;
}

static unsigned priority(const struct task *task)
{
    return 0;
}

static void lend(struct task *task, unsigned priority)
{
}

static bool reason(const struct task *task, struct parking_reason *out)
{
    return false;
}

static const char *name(const struct task *task)
{
    return "the test";
}

void host_machine_reset(void)
{
    static const struct parking_operations operations = {
        .park = park,
        .unpark = unpark,
        .hand_over = hand_over,
        .now = now,
        .priority = priority,
        .lend = lend,
        .reason = reason,
        .name = name,
    };
    host_machine = (struct host_machine){0};
    parking_set(&operations);
}

/* ---- remote_call ---- */

static uint64_t blocks_at_stop;

enum status remote_stop_begin(struct remote_stop **out)
{
    assert_false(host_machine.is_stopped);
    assert_null(*out);
    if (host_machine.refuses_stop) {
        return ERR_TIMEOUT;
    }
    host_machine.stops++;
    host_machine.is_stopped = true;
    blocks_at_stop = host_memory_use().heap_blocks;
    *out = (struct remote_stop *)&host_machine;
    if (host_machine.in_window) {
        host_machine.in_window();
    }
    return OK;
}

void remote_stop_drop(struct remote_stop **handle)
{
    if (*handle) {
        assert_true(host_machine.is_stopped);
        assert_int_equal(host_memory_use().heap_blocks, blocks_at_stop);
        host_machine.is_stopped = false;
        *handle = NULL;
    }
}

/* ---- live_frames ---- */

bool live_frames_find(const struct remote_stop *stop, const struct cell *const *cells, size_t count,
                      struct live_finding *out)
{
    assert_ptr_equal(stop, &host_machine);
    host_machine.searches++;
    bool is_asked = !host_machine.frame_of;
    for (size_t i = 0; i < count; i++) {
        is_asked |= cells[i] == host_machine.frame_of;
    }
    if (host_machine.frames == 0 || !is_asked) {
        return false;
    }
    host_machine.frames--;
    *out = (struct live_finding){
        .kind = host_machine.frame_of ? LIVE_FRAME : LIVE_UNKNOWN,
        .task = "sleeper",
        .number = 7,
        .offset = 3,
        .section = host_machine.frame_of ? &host_machine.frame_of->sections[1] : NULL,
    };
    return true;
}

/* ---- cell_retirement ---- */

bool cell_retirement_spare(struct cell_namespace *namespace)
{
    for (struct cell *cell = namespace->retired; cell; cell = cell->next) {
        cell->is_leaving &= cell != host_machine.keeps;
    }
    return !host_machine.knows_nothing;
}

void cell_retirement_release_image(const struct cell *cell)
{
    fail_msg("%s is no cell of an image", cell->name);
}

/* ---- page_table, time_limit, task ---- */

bool page_table_find(vaddr_t page, paddr_t *out_frame, unsigned *out_flags)
{
    return true;
}

bool page_table_find_stopped(vaddr_t page, paddr_t *out_frame, unsigned *out_flags)
{
    assert_true(host_machine.is_stopped);
    return true;
}

static bool has_limit;

enum status time_limit_begin(struct time_limit **out)
{
    assert_true(host_machine.is_stopped);
    assert_false(has_limit);
    if (host_machine.refuses_limit) {
        return ERR_BUSY;
    }
    has_limit = true;
    *out = (struct time_limit *)&has_limit;
    return OK;
}

void time_limit_drop(struct time_limit **handle)
{
    if (*handle) {
        assert_true(has_limit && host_machine.is_stopped);
        has_limit = false;
        *handle = NULL;
    }
}

enum status time_limit_call(struct time_limit *limit, void (*function)(void *argument),
                            void *argument, uint64_t limit_ns)
{
    assert_ptr_equal(limit, &has_limit);
    if (!host_machine.ends_calls) {
        function(argument);
    }
    return host_machine.ends_calls ? ERR_TIMEOUT : OK;
}

void task_sleep(uint64_t duration_ns)
{
    assert_false(host_machine.is_stopped);
    host_machine.sleeps++;
    host_machine.now += duration_ns;
    if (host_machine.in_sleep) {
        host_machine.in_sleep();
    }
}
