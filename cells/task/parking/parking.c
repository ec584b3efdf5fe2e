/* SPDX-License-Identifier: MIT */
#include "parking.h"

CELL(library, "1.0.0");

/* Before there are tasks, whoever would have to wait has nobody to wait for. */
static enum status park_nobody(uint64_t deadline, const struct parking_reason *reason)
{
    (void)deadline;
    (void)reason;
    return ERR_TIMEOUT;
}

static void unpark_nobody(struct task *task)
{
    (void)task;
}

static enum status hand_over_to_nobody(struct task *task, uint64_t deadline,
                                       const struct parking_reason *reason)
{
    (void)task;
    return park_nobody(deadline, reason);
}

static struct parking_result call_nobody(struct task *task, const struct parking_call *call)
{
    (void)task;
    return call->resume(call);
}

static uint64_t no_time(void)
{
    return 0;
}

static unsigned no_priority(const struct task *task)
{
    (void)task;
    return 0;
}

static void lend_nobody(struct task *task, unsigned priority)
{
    (void)task;
    (void)priority;
}

static bool no_reason(const struct task *task, struct parking_reason *out)
{
    (void)task;
    (void)out;
    return false;
}

static const char *no_name(const struct task *task)
{
    (void)task;
    return "boot";
}

#define BEFORE_TASKS                                                                       \
    {                                                                                      \
        .park = park_nobody, .unpark = unpark_nobody, .hand_over = hand_over_to_nobody,    \
        .call = call_nobody, .now = no_time, .priority = no_priority, .lend = lend_nobody, \
        .reason = no_reason, .name = no_name,                                              \
    }
static const struct parking_operations before_tasks = BEFORE_TASKS;

static struct parking_operations behind = BEFORE_TASKS; /* a copy: each call is one jump */

void parking_set(const struct parking_operations *operations)
{
    behind = operations ? *operations : before_tasks;
}

enum status parking_park_bare(uint64_t deadline, const struct parking_reason *reason)
{
    return behind.park(deadline, reason);
}

#if __STDC_HOSTED__
enum status parking_park(uint64_t deadline, const struct parking_reason *reason)
{
    return behind.park(deadline, reason);
}

enum status parking_hand_over(struct task *task, uint64_t deadline,
                              const struct parking_reason *reason)
{
    return behind.hand_over(task, deadline, reason);
}

struct parking_result parking_call(struct task *task, const struct parking_call *call)
{
    (void)!behind.hand_over(task, PARK_FOREVER, &call->reason);
    return call->resume(call);
}
#else
struct parking_result parking_call(struct task *task, const struct parking_call *call)
{
    return behind.call(task, call);
}

enum status parking_park(uint64_t deadline, const struct parking_reason *reason)
{
    return parking_park_inline(deadline, reason);
}

/* All registers are changed: they are saved here. */
enum status parking_hand_over(struct task *task, uint64_t deadline,
                              const struct parking_reason *reason)
{
    int status;
    __asm__ volatile("call *%[hand_over]"
                     : "=a"(status), "+D"(task), "+S"(deadline), "+d"(reason)
                     : [hand_over] "m"(behind.hand_over)
                     : "rbx", "rcx", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
                       "memory", "cc");
    return (enum status)status;
}
#endif

void parking_unpark(struct task *task)
{
    behind.unpark(task);
}

uint64_t parking_now(void)
{
    return behind.now();
}

uint64_t parking_deadline(uint64_t duration_ns)
{
    uint64_t now = behind.now();
    return duration_ns < PARK_FOREVER - now ? now + duration_ns : PARK_FOREVER;
}

unsigned parking_priority(const struct task *task)
{
    return behind.priority(task);
}

void parking_lend(struct task *task, unsigned priority)
{
    behind.lend(task, priority);
}

bool parking_reason(const struct task *task, struct parking_reason *out)
{
    return behind.reason(task, out);
}

const char *parking_name(const struct task *task)
{
    return behind.name(task);
}

void parking_get(struct task *task, struct task **out)
{
    if (behind.get) {
        behind.get(task, out);
    } else {
        *out = task;
    }
}

void parking_put(struct task **slot)
{
    if (*slot && behind.put) {
        behind.put(slot);
    }
    *slot = NULL;
}
