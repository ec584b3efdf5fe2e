/* SPDX-License-Identifier: MIT */
/*
 * One task for each state and each thing to wait for. Each owns a mapping and says when it is where
 * it is to be killed; who joins it must be told what the table says, and afterwards everything that
 * it used must be free again.
 */
#include "catch.h"
#include "cell_namespace.h"
#include "condition.h"
#include "kill_deferral.h"
#include "kill_test.h"
#include "loader.h"
#include "mapped_pages.h"
#include "mutex.h"
#include "reader_writer_lock.h"
#include "rendezvous.h"

ASYNC_CHANNEL_DEFINE(numbers, uint64_t);
RENDEZVOUS_DEFINE(meetings, uint64_t);

/* What is shared by the test, which takes everything first, and its victim. */
struct scene {
    uint64_t arrived;  /* atomically: the victim is where it is to be killed, or about to be */
    uint64_t goes_on;  /* atomically */
    uint64_t came_by;  /* what must not happen */
    uint64_t released; /* drops that came to their end */
    struct mutex mutex;
    struct mutex held_by_victim;
    struct condition condition;
    struct reader_writer_lock lock;
    struct reader_writer_lock lock_of_victim;
    struct numbers_sender *sender; /* owned, these four */
    struct numbers_receiver *receiver;
    struct meetings_sender *caller;
    struct meetings_receiver *called;
};

static void arrive(struct scene *scene)
{
    __atomic_store_n(&scene->arrived, 1, __ATOMIC_RELEASE);
}

static bool may_go_on(const struct scene *scene)
{
    return __atomic_load_n(&scene->goes_on, __ATOMIC_ACQUIRE);
}

static void spin(struct scene *scene)
{
    arrive(scene);
    while (!may_go_on(scene)) {
        cpu_relax();
    }
}

/* ---- victims ---- */

static void yield_on(struct scene *scene)
{
    arrive(scene);
    while (!may_go_on(scene)) {
        task_yield();
    }
}

static void sleep_on(struct scene *scene)
{
    arrive(scene);
    task_sleep(1000 * SECOND);
}

static void park(struct scene *scene)
{
    arrive(scene);
    while (!may_go_on(scene)) {
        (void)!parking_park(PARK_FOREVER, NULL);
    }
}

static void want_mutex(struct scene *scene)
{
    arrive(scene);
    GUARD(mutex, held, &scene->mutex);
    scene->came_by++;
}

static void want_mutex_until(struct scene *scene) OWN_UNCHECKED
{
    OWNED(mutex, held);
    arrive(scene);
    scene->came_by +=
        mutex_lock_until(&scene->mutex, SLOT(held), parking_deadline(1000 * SECOND)) == OK;
}

static void hold_mutex(struct scene *scene)
{
    GUARD(mutex, held, &scene->held_by_victim);
    spin(scene);
}

/* Unchecked: the guard's address is lent in a loop, and clang loses sight of it. */
static void wait_for_condition(struct scene *scene) OWN_UNCHECKED
{
    GUARD(mutex, held, &scene->held_by_victim);
    arrive(scene);
    while (!may_go_on(scene)) {
        (void)!condition_wait(&scene->condition, SLOT(held), PARK_FOREVER);
    }
}

static void want_to_read(struct scene *scene)
{
    arrive(scene);
    GUARD(read_side, held, &scene->lock.read);
    scene->came_by++;
}

static void want_to_write(struct scene *scene)
{
    arrive(scene);
    GUARD(write_side, held, &scene->lock.write);
    scene->came_by++;
}

static void read_on(struct scene *scene)
{
    GUARD(read_side, held, &scene->lock_of_victim.read);
    spin(scene);
}

static void write_on(struct scene *scene)
{
    GUARD(write_side, held, &scene->lock_of_victim.write);
    spin(scene);
}

static void send_for_ever(struct scene *scene)
{
    uint64_t number = 1;
    arrive(scene);
    while (numbers_send(STORED(scene->sender), &number) == OK) {
    }
}

static void receive_for_ever(struct scene *scene)
{
    uint64_t number;
    arrive(scene);
    while (numbers_receive(STORED(scene->receiver), &number) == OK) {
    }
}

static void call_for_ever(struct scene *scene)
{
    uint64_t number = 1;
    arrive(scene);
    while (meetings_send(STORED(scene->caller), &number) == OK) {
    }
}

static void wait_for_call(struct scene *scene)
{
    uint64_t number;
    arrive(scene);
    while (meetings_receive(STORED(scene->called), &number) == OK) {
    }
}

static int doze(uint64_t *duration)
{
    task_sleep(*duration);
    return 0;
}
TASK_DEFINE(dozer, uint64_t, int, doze);

static void join_other(struct scene *scene)
{
    OWNED(dozer_task, other);
    if (dozer_spawn(&(uint64_t){50 * MILLISECOND}, NULL, SLOT(other)) == OK) {
        arrive(scene);
        int result;
        scene->came_by += dozer_join(SLOT(other), &result) == ERR_FAULT;
    }
}

static void spin_below(void *scene)
{
    spin(scene);
}

/* Prepared for faults, but a kill passes by. */
static void catch_and_go_on(struct scene *scene)
{
    struct catch_reason reason;
    scene->came_by += catch_unwind(spin_below, scene, &reason) != OK;
    scene->came_by++;
}

static void kill_itself(struct scene *scene)
{
    OWNED(task_handle, self);
    arrive(scene);
    if (task_lookup(task_own_id(), SLOT(self)) == OK) {
        task_kill(REF(self));
    }
    scene->came_by++;
}

/* As long as it holds preemption it goes on, and not an instruction longer. */
static void kill_itself_while_held(struct scene *scene)
{
    OWNED(task_handle, self);
    arrive(scene);
    if (task_lookup(task_own_id(), SLOT(self)) == OK) {
        preemption_hold();
        task_kill(REF(self));
        scene->released++;
        preemption_release();
    }
    scene->came_by++;
}

/* The same with interrupts disabled. */
static void kill_itself_while_masked(struct scene *scene)
{
    OWNED(task_handle, self);
    arrive(scene);
    if (task_lookup(task_own_id(), SLOT(self)) == OK) {
        GUARD(interrupt_mask, masked, INTERRUPTS);
        task_kill(REF(self));
        scene->released++;
    }
    scene->came_by++;
}

static void return_at_once(struct scene *scene)
{
    arrive(scene);
}

static void fault(struct scene *scene)
{
    arrive(scene);
    __builtin_trap();
}

/* ---- drops that take their time ---- */

struct OWN_CAPABILITY("slow thing") slow;
OWN_DECLARE_LOCAL(slow);

/* Its handle is the scene. May be begun again. */
static NOINLINE void slow_drop(struct slow **handle)
{
    struct scene *scene = (struct scene *)*handle;
    if (scene) {
        arrive(scene);
        task_sleep(50 * MILLISECOND);
        scene->released++;
        EMPTY(handle);
    }
}

struct OWN_CAPABILITY("faulty thing") faulty;
OWN_DECLARE_LOCAL(faulty);

static NOINLINE void faulty_drop(struct faulty **handle)
{
    if (*handle) {
        __builtin_trap();
    }
}

static void own_slow(struct scene *scene)
{
    OWNED(slow, slow);
    FILL(SLOT(slow), (struct slow *)scene);
    spin(scene);
}

/* Killed while its slots are released. */
static void fault_with_slow(struct scene *scene)
{
    OWNED(slow, slow);
    FILL(SLOT(slow), (struct slow *)scene);
    __builtin_trap();
}

static void fault_below(void *scene)
{
    fault_with_slow(scene);
}

/* The same, but somebody catches the fault: the kill strikes behind that. */
static void catch_fault_with_slow(struct scene *scene)
{
    struct catch_reason reason;
    scene->came_by += catch_unwind(fault_below, scene, &reason) != ERR_FAULT;
    scene->came_by++;
}

static void own_faulty(struct scene *scene)
{
    OWNED(slow, slow);
    FILL(SLOT(slow), (struct slow *)scene);
    OWNED(faulty, faulty);
    FILL(SLOT(faulty), (struct faulty *)scene);
    spin(scene);
}

/* ---- chains that are broken ---- */

static const struct own_slot no_slot; /* can be read, and is none */

/* The thing is behind the break. */
static void own_behind(struct scene *scene, struct own_slot *next)
{
    OWNED(slow, slow);
    FILL(SLOT(slow), (struct slow *)scene);
    OWNED(slow, newest);
    OWN_TOP->below = next;
    spin(scene);
}

static void own_behind_a_wrong_link(struct scene *scene)
{
    own_behind(scene, (struct own_slot *)(uintptr_t)&no_slot);
}

static void own_behind_the_end(struct scene *scene)
{
    own_behind(scene, NULL);
}

/* The chain is broken where a point is between: nobody there may take the kill for its own. */
static void own_behind_the_end_below(void *scene)
{
    own_behind_the_end(scene);
}

static void catch_behind_the_end(struct scene *scene)
{
    scene->came_by += catch_unwind(own_behind_the_end_below, scene, NULL) != OK;
    scene->came_by++;
}

static void own_without_a_tag(struct scene *scene)
{
    OWNED(slow, slow);
    FILL(SLOT(slow), (struct slow *)scene);
    OWN_TOP->tag = 0;
    spin(scene);
}

/* ---- the table ---- */

enum place { ANYWHERE, HERE }; /* HERE: on this CPU, so that it is ready, and does not run */
enum moment { ARRIVED, AT_ONCE, ENDED }; /* when it is killed */

static const struct state {
    const char *name;
    void (*victim)(struct scene *scene);
    enum place place;
    enum moment moment;
    enum status end;
    uint64_t released; /* drops, or what is left of them */
} states[] = {
    {"spinning", spin, ANYWHERE, ARRIVED, ERR_KILLED, 0},
    {"preempted", spin, HERE, ARRIVED, ERR_KILLED, 0},
    {"ready", yield_on, HERE, ARRIVED, ERR_KILLED, 0},
    {"not begun", spin, HERE, AT_ONCE, ERR_KILLED, 0},
    {"sleeping", sleep_on, ANYWHERE, ARRIVED, ERR_KILLED, 0},
    {"parked", park, ANYWHERE, ARRIVED, ERR_KILLED, 0},
    {"waiting for a mutex", want_mutex, ANYWHERE, ARRIVED, ERR_KILLED, 0},
    {"waiting for a mutex with a deadline", want_mutex_until, ANYWHERE, ARRIVED, ERR_KILLED, 0},
    {"holding a mutex", hold_mutex, ANYWHERE, ARRIVED, ERR_KILLED, 0},
    {"waiting for a condition", wait_for_condition, ANYWHERE, ARRIVED, ERR_KILLED, 0},
    {"waiting to read", want_to_read, ANYWHERE, ARRIVED, ERR_KILLED, 0},
    {"waiting to write", want_to_write, ANYWHERE, ARRIVED, ERR_KILLED, 0},
    {"reading", read_on, ANYWHERE, ARRIVED, ERR_KILLED, 0},
    {"writing", write_on, ANYWHERE, ARRIVED, ERR_KILLED, 0},
    {"sending", send_for_ever, ANYWHERE, ARRIVED, ERR_KILLED, 0},
    {"receiving", receive_for_ever, ANYWHERE, ARRIVED, ERR_KILLED, 0},
    {"calling", call_for_ever, ANYWHERE, ARRIVED, ERR_KILLED, 0},
    {"waiting for a call", wait_for_call, ANYWHERE, ARRIVED, ERR_KILLED, 0},
    {"joining", join_other, ANYWHERE, ARRIVED, ERR_KILLED, 0},
    {"prepared for faults", catch_and_go_on, ANYWHERE, ARRIVED, ERR_KILLED, 0},
    {"killing itself", kill_itself, ANYWHERE, ARRIVED, ERR_KILLED, 0},
    {"killing itself, with preemption held", kill_itself_while_held, ANYWHERE, ARRIVED, ERR_KILLED,
     1},
    {"killing itself, without interrupts", kill_itself_while_masked, ANYWHERE, ARRIVED, ERR_KILLED,
     1},
    {"ended", return_at_once, ANYWHERE, ENDED, OK, 0},
    {"failed", fault, ANYWHERE, ARRIVED, ERR_FAULT, 0},
    {"releasing slowly", own_slow, ANYWHERE, ARRIVED, ERR_KILLED, 1},
    {"releasing after a fault", fault_with_slow, ANYWHERE, ARRIVED, ERR_FAULT, 1},
    {"releasing after a fault that is caught", catch_fault_with_slow, ANYWHERE, ARRIVED, ERR_KILLED,
     1},
    {"with a drop that faults", own_faulty, ANYWHERE, ARRIVED, ERR_KILLED, 1},
    {"with a wrong link", own_behind_a_wrong_link, ANYWHERE, ARRIVED, ERR_KILLED, 1},
    {"with a chain that ends", own_behind_the_end, ANYWHERE, ARRIVED, ERR_KILLED, 1},
    {"with a chain that ends, prepared for faults", catch_behind_the_end, ANYWHERE, ARRIVED,
     ERR_KILLED, 1},
    {"with a slot that lost its tag", own_without_a_tag, ANYWHERE, ARRIVED, ERR_KILLED, 0},
};

struct role {
    const struct state *state;
    struct scene *scene;
};

/* So many that one mapping which is lost is seen. */
#define VICTIM_BYTES ((FRAMES_KEPT + 8) * PAGE_SIZE)

static int play(struct role *role)
{
    OWNED(mapped_pages, pages);
    if (mapped_pages_create(PAGE_ZONE_DATA, VICTIM_BYTES, PAGE_WRITE, SLOT(pages)) == OK) {
        role->state->victim(role->scene);
    }
    return 0;
}
TASK_DEFINE(victim, struct role, int, play);

/* Unchecked, all below: what the scene owns is lent. */
static enum status run_victim(const struct state *state, struct scene *scene) OWN_UNCHECKED
{
    struct task_options here = {.is_pinned = true, .cpu = CPU_LOCAL(index)};
    OWNED(victim_task, task);
    enum status status =
        victim_spawn(&(struct role){state, scene}, state->place == HERE ? &here : NULL, SLOT(task));
    if (status != OK) {
        return status;
    }
    if (state->moment == ARRIVED) {
        while (!__atomic_load_n(&scene->arrived, __ATOMIC_ACQUIRE)) {
            task_yield();
        }
        task_sleep(5 * MILLISECOND); /* from there into its wait */
    } else if (state->moment == ENDED) {
        status = victim_wait(REF(task), parking_deadline(LIMIT));
    }
    if (status != OK) {
        return status;
    }
    victim_kill(REF(task));
    victim_kill(REF(task));
    struct task_kill_report report;
    status = victim_kill_wait(REF(task), LIMIT, &report);
    if (status != OK) {
        task_kill_report_log(&report);
        __atomic_store_n(&scene->goes_on, 1, __ATOMIC_RELEASE);
        return status;
    }
    int result;
    return victim_join(SLOT(task), &result);
}

/* Does the victim hold nothing any more? */
static bool is_all_free(struct scene *scene) OWN_UNCHECKED
{
    OWNED(mutex, held);
    OWNED(write_side, written);
    uint64_t number = 7;
    return mutex_try_lock(&scene->held_by_victim, SLOT(held)) &&
           write_side_lock_until(&scene->lock_of_victim.write, SLOT(written), 0) == OK &&
           !condition_wake_one(&scene->condition) &&
           meetings_try_send(scene->caller, &number) == ERR_AGAIN &&
           meetings_try_receive(scene->called, &number) == ERR_AGAIN;
}

static void close_scene(struct scene *scene) OWN_UNCHECKED
{
    numbers_sender_drop(&scene->sender);
    numbers_receiver_drop(&scene->receiver);
    meetings_sender_drop(&scene->caller);
    meetings_receiver_drop(&scene->called);
}

/* The lock that the victim wants is held by this task meanwhile. */
static enum status run_scene(const struct state *state, struct scene *scene) OWN_UNCHECKED
{
    enum status status = numbers_channel_create(4, &scene->sender, &scene->receiver);
    if (status == OK) {
        status = meetings_rendezvous_create(&scene->caller, &scene->called);
    }
    if (status != OK) {
        return status;
    }
    {
        GUARD(mutex, held, &scene->mutex);
        GUARD(write_side, written, &scene->lock.write);
        status = run_victim(state, scene);
    }
    bool is_free = is_all_free(scene) && !mutex_is_held(&scene->mutex) &&
                   !reader_writer_lock_is_written(&scene->lock);
    bool is_right =
        status == state->end && is_free && !scene->came_by && scene->released == state->released;
    console_print("kill_test: %s: %s%s%s\n", state->name, status_name(status),
                  is_free ? "" : ", SOMETHING IS HELD", is_right ? "" : ": WRONG");
    return is_right ? OK : ERR_FAILED;
}

static enum status run_state(const struct state *state)
{
    struct scene scene = {
        .mutex = MUTEX_INIT("of the test"),
        .held_by_victim = MUTEX_INIT("of the victim"),
        .condition = CONDITION_INIT("condition"),
        .lock = READER_WRITER_LOCK_INIT("of the test too"),
        .lock_of_victim = READER_WRITER_LOCK_INIT("of the victim too"),
    };
    enum status status = run_scene(state, &scene);
    close_scene(&scene);
    return status;
}

/* ---- deferral ---- */

static const struct kill_deferral deferral = {.what = "a test of deferral"};
static const struct kill_deferral outer = {.what = "a test of deferral, around that"};

static int defer(struct scene **address)
{
    struct scene *scene = *address;
    GUARD(kill_deferral, outer_guard, &outer);
    {
        GUARD(kill_deferral, guard, &deferral);
        arrive(scene);
        while (!may_go_on(scene)) {
            task_sleep(MILLISECOND);
        }
        scene->released++;
    }
    scene->released++; /* still deferred */
    return 0;
}
TASK_DEFINE(deferrer, struct scene *, int, defer);

static bool contains(const char *text, const char *part)
{
    for (; *text; text++) {
        size_t i = 0;
        while (part[i] && text[i] == part[i]) {
            i++;
        }
        if (!part[i]) {
            return true;
        }
    }
    return false;
}

/* It is not killed as long as it says so; the report says who says so; then it is. */
static enum status test_deferral(void)
{
    struct scene scene = {0};
    struct scene *address = &scene;
    OWNED(deferrer_task, task);
    enum status status = deferrer_spawn(&address, NULL, SLOT(task));
    if (status != OK) {
        return status;
    }
    while (!__atomic_load_n(&scene.arrived, __ATOMIC_ACQUIRE)) {
        task_yield();
    }
    struct task_kill_report report = {0};
    enum status early = deferrer_kill_wait(REF(task), 50 * MILLISECOND, &report);
    task_kill_report_log(&report);
    bool is_reported = report.kept_by && contains(report.kept_by, "test of deferral") &&
                       report.wanted_ns >= 40 * MILLISECOND;
    __atomic_store_n(&scene.goes_on, 1, __ATOMIC_RELEASE);
    enum status late = deferrer_kill_wait(REF(task), LIMIT, NULL);
    int result;
    status = deferrer_join(SLOT(task), &result);
    console_print("kill_test: deferred: %s, then %s, %s, %s\n", status_name(early),
                  status_name(late), status_name(status),
                  is_reported ? "reported" : "NOT REPORTED");
    bool is_right = early == ERR_TIMEOUT && late == OK && status == ERR_KILLED && is_reported &&
                    scene.released == 2;
    return is_right ? OK : ERR_FAILED;
}

/* ---- within the loader ---- */

#define SUBJECT  "hello" /* a cell to load */
#define ATTEMPTS 20u

static int load_for_ever(struct scene **address)
{
    while (!may_go_on(*address)) {
        uint64_t entry;
        OWNED(cell_reference, held);
        if (loader_demand_held(cell_namespace_initial(), SUBJECT "_main", &entry, SLOT(held),
                               NULL) == OK) {
            arrive(*address);
            cell_reference_drop(SLOT(held));
        }
        (void)!loader_unload_named(cell_namespace_initial(), SUBJECT, NULL);
    }
    return 0;
}
TASK_DEFINE(loading, struct scene *, int, load_for_ever);

/* One attempt; counts in `kept` if the report said that the loader keeps it, which it does not for
 * long. */
static enum status kill_loading(unsigned attempt, unsigned *kept)
{
    struct scene scene = {0};
    struct scene *address = &scene;
    struct task_kill_report report = {0};
    OWNED(loading_task, task);
    enum status status = loading_spawn(&address, NULL, SLOT(task));
    if (status != OK) {
        return status;
    }
    while (!__atomic_load_n(&scene.arrived, __ATOMIC_ACQUIRE)) {
        task_yield();
    }
    task_sleep(attempt * 10007 % MILLISECOND);
    enum status early = loading_kill_wait(REF(task), 1000, &report);
    *kept += early == ERR_TIMEOUT && report.kept_by && contains(report.kept_by, "loader");
    status = loading_kill_wait(REF(task), LIMIT, NULL);
    if (status != OK) {
        return status;
    }
    int result;
    return loading_join(SLOT(task), &result);
}

/* Whoever loads is killed when it is done with that, and nothing is half loaded. */
static enum status test_loading(void)
{
    enum status status = ERR_KILLED;
    unsigned kept = 0;
    for (unsigned i = 0; i < ATTEMPTS && status == ERR_KILLED; i++) {
        status = kill_loading(i, &kept);
    }
    enum status unloaded = loader_unload_named(cell_namespace_initial(), SUBJECT, NULL);
    bool is_right = status == ERR_KILLED && (unloaded == OK || unloaded == ERR_NOT_FOUND);
    console_print("kill_test: loading: %s, %u of %u kept by the loader, then unloaded: %s%s\n",
                  status_name(status), kept, ATTEMPTS, status_name(unloaded),
                  is_right ? "" : ": WRONG");
    return is_right ? OK : ERR_FAILED;
}

static enum status test_refusals(void)
{
    OWNED(task_handle, task);
    struct task_information boot_task = {0};
    bool is_found = task_next(0, &boot_task);
    enum status boot_status = task_lookup(boot_task.id, SLOT(task));
    enum status none = boot_status == OK ? OK : task_lookup(UINT64_MAX, SLOT(task));
    console_print("kill_test: the boot task: %s, no task: %s\n", status_name(boot_status),
                  status_name(none));
    return is_found && boot_status == ERR_PERMISSION && none == ERR_NOT_FOUND ? OK : ERR_FAILED;
}

static enum status run_all(void)
{
    enum status status = test_refusals();
    for (size_t i = 0; i < ARRAY_COUNT(states); i++) {
        enum status one = run_state(&states[i]);
        status = status == OK ? one : status;
    }
    enum status deferred = test_deferral();
    status = status == OK ? deferred : status;
    enum status loading = test_loading();
    return status == OK ? loading : status;
}

/* Twice: what is kept for later is kept then. */
enum status test_states(void)
{
    enum status status = run_all();
    struct counts before = count();
    enum status again = run_all();
    enum status compared = compare("states", before);
    status = status == OK ? again : status;
    return status == OK ? compared : status;
}
