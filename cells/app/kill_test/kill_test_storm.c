/* SPDX-License-Identifier: MIT */
/*
 * WORKERS tasks do everything that tasks do, one after another, for ever. This task kills them at
 * random moments and puts others in their place. What is watched meanwhile:
 *
 *   messages   a worker numbers what it sends, and notes after each send how many were accepted;
 * when it is dead this task sends that number through the same channel. The collector, who is not
 *              killed, must have received so many, or one more, without gap or repetition.
 *   parcels    are owned, go from workers to workers, and are counted where they begin and where
 * they end. locks      who has one finds nobody else inside; in the end they are free. memory as
 * many blocks and tasks are there in the end as at the beginning.
 */
#include "catch.h"
#include "cell_namespace.h"
#include "commit.h"
#include "condition.h"
#include "freestanding.h"
#include "heap.h"
#include "kill_deferral.h"
#include "kill_test.h"
#include "loader.h"
#include "mapped_pages.h"
#include "mutex.h"
#include "own_collections.h"
#include "reader_writer_lock.h"
#include "rendezvous.h"

#define WORKERS  16u
#define CAPACITY 8u
#define SUBJECT  "hello" /* a cell to load */
#define AT_ONCE  12u     /* killed before the first of them is joined, at most */

/* ---- what flows ---- */

struct message {
    uint32_t worker;
    bool is_last; /* of this worker: from this task, about it */
    uint64_t number;
};
ASYNC_CHANNEL_DEFINE(messages, struct message);

/* Counted where it begins and ends; both are one step, for kills. */
struct OWN_CAPABILITY("parcel") parcel {
    struct storm *storm;
    uint64_t content;
};
OWN_DECLARE_LOCAL(parcel);
ASYNC_CHANNEL_DEFINE_OWNED(parcels, parcel);
RENDEZVOUS_DEFINE_OWNED(hands, parcel);

struct storm {
    uint64_t begun; /* parcels; atomically, these three */
    uint64_t ended;
    uint64_t errors;
    uint64_t actions;  /* of all workers, about */
    uint64_t progress; /* kills and joins; atomically, these two */
    uint64_t loads;

    struct mutex mutex;
    uint64_t inside; /* the task that has it */
    struct condition condition;
    struct reader_writer_lock lock;
    uint64_t written; /* by who writes */

    /* Of a worker that lives: how many of its messages were accepted. */
    uint64_t accepted[WORKERS];
};

#define CONTENT 0x70617263656c0000ull

static void complain(struct storm *storm, const char *what, uint64_t number)
{
    console_print("kill_test: %s (%lu)\n", what, (unsigned long)number);
    __atomic_add_fetch(&storm->errors, 1, __ATOMIC_RELAXED);
}

static NOINLINE void parcel_drop(struct parcel **handle)
{
    struct parcel *parcel = *handle;
    if (parcel) {
        preemption_hold();
        if (parcel->content != CONTENT) {
            complain(parcel->storm, "a parcel ends twice", parcel->content);
        }
        parcel->content = 0;
        __atomic_add_fetch(&parcel->storm->ended, 1, __ATOMIC_RELAXED);
        heap_free(parcel);
        EMPTY(handle);
        preemption_release();
    }
}

static enum status parcel_create(struct storm *storm, struct parcel **out) OWN_ACQUIRES(**out);
static enum status parcel_create(struct storm *storm, struct parcel **out)
{
    preemption_hold();
    struct parcel *parcel = heap_allocate(sizeof(*parcel));
    if (parcel) {
        *parcel = (struct parcel){storm, CONTENT};
        __atomic_add_fetch(&storm->begun, 1, __ATOMIC_RELAXED);
        FILL(out, parcel);
    }
    preemption_release();
    return parcel ? OK : ERR_NO_MEMORY;
}

/* ---- workers ---- */

struct OWN_CAPABILITY("worker") worker {
    struct storm *storm;
    uint32_t number;
    uint64_t seed;
    struct messages_sender *messages; /* owned, these five */
    struct parcels_sender *to;
    struct parcels_receiver *from;
    struct hands_sender *hand_to;
    struct hands_receiver *hand_from;
};
OWN_STRUCTURE_DEFINE(worker,
                     OWN_MEMBER(messages_sender, messages) OWN_MEMBER(parcels_sender, to)
                         OWN_MEMBER(parcels_receiver, from) OWN_MEMBER(hands_sender, hand_to)
                             OWN_MEMBER(hands_receiver, hand_from));

static uint32_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return (uint32_t)(*seed >> 16);
}

static uint64_t moment(struct worker *worker)
{
    return parking_deadline(next_random(&worker->seed) % (2 * MILLISECOND));
}

static void spin_a_while(struct worker *worker)
{
    for (uint32_t turns = next_random(&worker->seed) % 1000; turns; turns--) {
        cpu_relax();
    }
}

/* Not often: every CPU has to forget the pages, and virtual ones may wait long for a real one. */
static void map(struct worker *worker)
{
    OWNED(mapped_pages, pages);
    OWNED(mapped_pages, more);
    size_t size = PAGE_SIZE * (1 + next_random(&worker->seed) % 4);
    if (mapped_pages_create(PAGE_ZONE_DATA, size, PAGE_WRITE, SLOT(pages)) == OK) {
        spin_a_while(worker);
        MOVE(*SLOT(more), pages);
    }
}

static void allocate(struct worker *worker)
{
    if (next_random(&worker->seed) % 16 == 0) {
        map(worker);
    }
    OWNED(parcel, parcel);
    if (parcel_create(worker->storm, SLOT(parcel)) == OK) {
        spin_a_while(worker);
    }
}

static void use_mutex(struct worker *worker)
{
    struct storm *storm = worker->storm;
    uint64_t self = task_own_id();
    GUARD(mutex, held, &storm->mutex);
    storm->inside = self;
    spin_a_while(worker);
    if (next_random(&worker->seed) % 4 == 0) {
        task_yield();
    }
    if (storm->inside != self) {
        complain(storm, "two have the mutex", self);
    }
}

/* Unchecked: the guard's address is lent, and clang loses sight of it. */
static void use_condition(struct worker *worker) OWN_UNCHECKED
{
    struct storm *storm = worker->storm;
    GUARD(mutex, held, &storm->mutex);
    if (next_random(&worker->seed) % 2) {
        (void)!condition_wait(&storm->condition, SLOT(held), moment(worker));
        storm->inside = task_own_id();
    } else if (next_random(&worker->seed) % 2) {
        (void)condition_wake_all(&storm->condition);
    } else {
        (void)condition_wake_one(&storm->condition);
    }
}

static void read_or_write(struct worker *worker)
{
    struct storm *storm = worker->storm;
    if (next_random(&worker->seed) % 3 == 0) {
        GUARD(write_side, held, &storm->lock.write);
        storm->written = task_own_id();
        spin_a_while(worker);
        if (storm->written != task_own_id()) {
            complain(storm, "two write", task_own_id());
        }
    } else {
        GUARD(read_side, held, &storm->lock.read);
        uint64_t before = *(volatile uint64_t *)&storm->written;
        spin_a_while(worker);
        if (*(volatile uint64_t *)&storm->written != before) {
            complain(storm, "somebody writes while others read", before);
        }
    }
}

static void send_messages(struct worker *worker)
{
    uint64_t *accepted = &worker->storm->accepted[worker->number];
    for (uint32_t i = next_random(&worker->seed) % 8; i; i--) {
        struct message message = {.worker = worker->number, .number = *accepted};
        if (messages_send(STORED(worker->messages), &message) != OK) {
            complain(worker->storm, "the collector is gone", message.number);
            return;
        }
        __atomic_store_n(accepted, message.number + 1, __ATOMIC_RELAXED);
    }
}

static void send_parcels(struct worker *worker)
{
    OWNED(parcel, parcel);
    if (parcel_create(worker->storm, SLOT(parcel)) != OK) {
        return;
    }
    if (next_random(&worker->seed) % 2) {
        (void)!parcels_send_until(STORED(worker->to), SLOT(parcel), moment(worker));
    } else {
        (void)!hands_send_until(STORED(worker->hand_to), SLOT(parcel), moment(worker));
    }
}

static void look_at(struct worker *worker, const struct parcel *parcel)
{
    if (parcel->content != CONTENT) {
        complain(worker->storm, "what is received is no parcel", parcel->content);
    }
}

static void receive_parcel(struct worker *worker)
{
    OWNED(parcel, parcel);
    if (parcels_receive_until(STORED(worker->from), SLOT(parcel), moment(worker)) == OK) {
        look_at(worker, REF(parcel));
    }
}

static void be_handed_a_parcel(struct worker *worker)
{
    OWNED(parcel, parcel);
    if (hands_receive_until(STORED(worker->hand_from), SLOT(parcel), moment(worker)) == OK) {
        look_at(worker, REF(parcel));
    }
}

static int doze(uint64_t *duration)
{
    task_sleep(*duration);
    return 0;
}
TASK_DEFINE(napper, uint64_t, int, doze);

static void spawn_and_join(struct worker *worker)
{
    OWNED(napper_task, task);
    uint64_t duration = next_random(&worker->seed) % MILLISECOND;
    if (napper_spawn(&duration, NULL, SLOT(task)) != OK) {
        return;
    }
    if (next_random(&worker->seed) % 2) {
        napper_kill(REF(task));
    }
    if (next_random(&worker->seed) % 4) {
        int result;
        (void)!napper_join(SLOT(task), &result);
    }
}

static void allocate_below(void *worker)
{
    allocate(worker);
    if (next_random(&((struct worker *)worker)->seed) % 2) {
        task_yield();
    }
}

static void be_prepared(struct worker *worker)
{
    enum status status = catch_unwind(allocate_below, worker, NULL);
    if (status != OK) {
        complain(worker->storm, "a kill was caught", (uint64_t)-status);
    }
}

/* Seldom, for it takes long; what somebody else has loaded or holds is as well. */
static void load(struct worker *worker)
{
    if (next_random(&worker->seed) % 8) {
        return;
    }
    uint64_t address;
    OWNED(cell_reference, held);
    if (loader_demand_held(cell_namespace_initial(), SUBJECT "_main", &address, SLOT(held), NULL) ==
        OK) {
        __atomic_add_fetch(&worker->storm->loads, 1, __ATOMIC_RELAXED);
        spin_a_while(worker);
        cell_reference_drop(SLOT(held));
    }
    (void)!loader_unload_named(cell_namespace_initial(), SUBJECT, NULL);
}

static const struct kill_deferral deferral = {.what = "work of the storm"};

static void defer(struct worker *worker)
{
    GUARD(kill_deferral, deferred, &deferral);
    task_sleep_until(moment(worker));
    spin_a_while(worker);
}

static void sleep_a_while(struct worker *worker)
{
    task_sleep_until(moment(worker));
}

static void yield(struct worker *worker)
{
    (void)worker;
    task_yield();
}

static void (*const actions[])(struct worker *worker) = {
    spin_a_while,  allocate,     use_mutex,      use_condition,      read_or_write,
    send_messages, send_parcels, receive_parcel, be_handed_a_parcel, spawn_and_join,
    be_prepared,   load,         defer,          sleep_a_while,      yield,
};

static int work(struct worker *worker)
{
    for (;;) {
        actions[next_random(&worker->seed) % ARRAY_COUNT(actions)](worker);
        __atomic_add_fetch(&worker->storm->actions, 1, __ATOMIC_RELAXED);
        if (!worker->storm) {
            return 1;
        }
    }
}

TASK_DEFINE_OWNING(worker, struct worker, int, work, worker_drop);

/* ---- who collects ---- */

struct OWN_CAPABILITY("collector") collector {
    struct storm *storm;
    struct messages_receiver *from; /* owned */
};
OWN_STRUCTURE_DEFINE(collector, OWN_MEMBER(messages_receiver, from));

static uint64_t collect(struct collector *collector)
{
    struct storm *storm = collector->storm;
    uint64_t received[WORKERS] = {0};
    uint64_t sum = 0;
    struct message message;
    while (messages_receive(STORED(collector->from), &message) == OK) {
        uint64_t *count_of_worker = &received[message.worker];
        if (!message.is_last) {
            if (message.number != *count_of_worker) {
                complain(storm,
                         message.number < *count_of_worker ? "a message is doubled"
                                                           : "a message is lost",
                         message.number);
            }
            *count_of_worker = message.number + 1;
            sum++;
        } else {
            if (*count_of_worker != message.number && *count_of_worker != message.number + 1) {
                complain(storm, "messages of the dead are lost or doubled", message.number);
            }
            *count_of_worker = 0;
        }
    }
    return sum;
}

TASK_DEFINE_OWNING(collector, struct collector, uint64_t, collect, collector_drop);

/* ---- who watches ---- */

#define PATIENCE (30 * SECOND)

/* While nothing happens it says what everybody waits for. It ends by being killed. */
static int watch(struct storm **address)
{
    const struct storm *storm = *address;
    for (;;) {
        uint64_t before = __atomic_load_n(&storm->progress, __ATOMIC_RELAXED);
        task_sleep(PATIENCE);
        if (before != __atomic_load_n(&storm->progress, __ATOMIC_RELAXED)) {
            continue;
        }
        struct task_information task = {0};
        console_print("kill_test: nothing happens (%lu)\n", (unsigned long)before);
        while (task_next(task.id, &task)) {
            console_print("  %8lu %-20s %-8s %u %s\n", (unsigned long)task.id, task.name,
                          task_state_name(task.state), (unsigned)task.cpu,
                          task.waits_for ? task.waits_for : "");
        }
        if (before == UINT64_MAX) {
            return 1;
        }
    }
}
TASK_DEFINE(watcher, struct storm *, int, watch);

/* ---- who kills ---- */

struct killer {
    struct storm storm;
    uint64_t seed;
    uint64_t killed[TASK_RUNSTATES];    /* by the state that the victim was in */
    uint64_t longest_ns;                /* from kill to join */
    struct worker first;                /* owned: what workers get clones of */
    struct messages_receiver *messages; /* owned: the collector's later */
    struct worker_task *tasks[WORKERS]; /* owned */
};

/* Unchecked, all below: what is owned is in fields. */
static enum status clone_worker(const struct worker *from, struct worker *out) OWN_UNCHECKED
{
    enum status status = messages_sender_clone(from->messages, &out->messages);
    status = status == OK ? parcels_sender_clone(from->to, &out->to) : status;
    status = status == OK ? parcels_receiver_clone(from->from, &out->from) : status;
    status = status == OK ? hands_sender_clone(from->hand_to, &out->hand_to) : status;
    return status == OK ? hands_receiver_clone(from->hand_from, &out->hand_from) : status;
}

static enum status put_worker(struct killer *killer, uint32_t number) OWN_UNCHECKED
{
    OWNED_HERE(worker, worker);
    REF(worker)->storm = &killer->storm;
    REF(worker)->number = number;
    REF(worker)->seed =
        ((uint64_t)next_random(&killer->seed) << 32 | next_random(&killer->seed)) | 1;
    killer->storm.accepted[number] = 0;
    enum status status = clone_worker(&killer->first, REF(worker));
    return status == OK ? worker_spawn(SLOT(worker), NULL, &killer->tasks[number]) : status;
}

static void wait_a_while(struct killer *killer)
{
    switch (next_random(&killer->seed) % 4) {
    case 0:
        break;
    case 1:
        task_yield();
        break;
    case 2:
        for (uint32_t turns = next_random(&killer->seed) % 20000; turns; turns--) {
            cpu_relax();
        }
        break;
    default:
        task_sleep(next_random(&killer->seed) % (2 * MILLISECOND));
        break;
    }
}

static void strike(struct killer *killer, uint32_t number) OWN_UNCHECKED
{
    const struct task *task = (const struct task *)(void *)killer->tasks[number];
    killer->killed[task->state % TASK_RUNSTATES]++;
    __atomic_add_fetch(&killer->storm.progress, 1, __ATOMIC_RELAXED);
    worker_kill(killer->tasks[number]);
}

static enum status bury_worker(struct killer *killer, uint32_t number) OWN_UNCHECKED
{
    struct task_kill_report report;
    uint64_t start = parking_now();
    enum status status = worker_kill_wait(killer->tasks[number], LIMIT, &report);
    if (status != OK) {
        task_kill_report_log(&report);
        complain(&killer->storm, "a worker does not end", number);
        return status;
    }
    uint64_t took = parking_now() - start;
    killer->longest_ns = took > killer->longest_ns ? took : killer->longest_ns;
    int result;
    status = worker_join(&killer->tasks[number], &result);
    if (status != ERR_KILLED) {
        complain(&killer->storm, "a worker was not killed, but ended", (uint64_t)-status);
    }
    struct message last = {
        .worker = number, .is_last = true, .number = killer->storm.accepted[number]};
    return messages_send(killer->first.messages, &last);
}

/* Some at once, others in their place. */
static enum status kill_some(struct killer *killer, unsigned *count_killed)
{
    uint32_t first = next_random(&killer->seed) % WORKERS;
    uint32_t some = 1 + next_random(&killer->seed) % AT_ONCE;
    wait_a_while(killer);
    for (uint32_t i = 0; i < some; i++) {
        strike(killer, (first + i) % WORKERS);
    }
    enum status status = OK;
    for (uint32_t i = 0; i < some && status == OK; i++) {
        status = bury_worker(killer, (first + i) % WORKERS);
        status = status == OK ? put_worker(killer, (first + i) % WORKERS) : status;
    }
    *count_killed += some;
    return status;
}

static enum status kill_all(struct killer *killer) OWN_UNCHECKED
{
    enum status status = OK;
    for (uint32_t i = 0; i < WORKERS; i++) {
        if (killer->tasks[i]) {
            worker_kill(killer->tasks[i]);
        }
    }
    for (uint32_t i = 0; i < WORKERS; i++) {
        if (killer->tasks[i]) {
            enum status one = bury_worker(killer, i);
            status = status == OK ? one : status;
        }
    }
    return status;
}

static enum status open_channels(struct killer *killer) OWN_UNCHECKED
{
    struct worker *first = &killer->first;
    enum status status = messages_channel_create(CAPACITY, &first->messages, &killer->messages);
    status = status == OK ? parcels_channel_create(CAPACITY, &first->to, &first->from) : status;
    return status == OK ? hands_rendezvous_create(&first->hand_to, &first->hand_from) : status;
}

static enum status rage(struct killer *killer, unsigned kills, unsigned seconds, unsigned *killed)
{
    enum status status = OK;
    for (uint32_t i = 0; i < WORKERS && status == OK; i++) {
        status = put_worker(killer, i);
    }
    uint64_t end = parking_deadline(seconds * SECOND);
    uint64_t said = parking_deadline(60 * SECOND);
    while (status == OK && (seconds ? parking_now() < end : *killed < kills) &&
           !killer->storm.errors) {
        status = kill_some(killer, killed);
        if (parking_now() > said) {
            said = parking_deadline(60 * SECOND);
            console_print("kill_test: %u killed\n", *killed);
        }
    }
    enum status all = kill_all(killer);
    return status == OK ? all : status;
}

static enum status run_storm(struct killer *killer, unsigned kills, unsigned seconds) OWN_UNCHECKED
{
    struct storm *storm = &killer->storm;
    unsigned killed = 0;
    uint64_t collected = 0;
    OWNED(collector_task, collector);
    OWNED(watcher_task, watcher);
    enum status status = open_channels(killer);
    if (status == OK) {
        status = watcher_spawn(&storm, NULL, SLOT(watcher));
    }
    if (status == OK) {
        OWNED_HERE(collector, argument);
        REF(argument)->storm = storm;
        commit_move(&REF(argument)->from, &killer->messages);
        status = collector_spawn(SLOT(argument), NULL, SLOT(collector));
    }
    if (status == OK) {
        status = rage(killer, kills, seconds, &killed);
    }
    messages_receiver_drop(&killer->messages);
    struct worker *first = &killer->first;
    worker_drop(&first);
    if (HELD(collector)) {
        enum status joined = collector_join(SLOT(collector), &collected);
        status = status == OK ? joined : status;
    }
    if (HELD(watcher)) {
        int result;
        watcher_kill(REF(watcher));
        if (watcher_join(SLOT(watcher), &result) != ERR_KILLED) {
            complain(storm, "the watcher was not killed", 0);
        }
    }
    if (mutex_is_held(&storm->mutex) || reader_writer_lock_is_written(&storm->lock) ||
        reader_writer_lock_readers(&storm->lock)) {
        complain(storm, "a lock is held", 0);
    }
    console_print(
        "kill_test: %u killed (%lu ready, %lu running, %lu blocked), the slowest in %lu us\n",
        killed, (unsigned long)killer->killed[TASK_READY],
        (unsigned long)killer->killed[TASK_RUNNING], (unsigned long)killer->killed[TASK_BLOCKED],
        (unsigned long)(killer->longest_ns / 1000));
    console_print("kill_test: %lu actions, %lu loads, %lu messages, %lu of %lu parcels have ended, "
                  "%lu errors\n",
                  (unsigned long)storm->actions, (unsigned long)storm->loads,
                  (unsigned long)collected, (unsigned long)storm->ended,
                  (unsigned long)storm->begun, (unsigned long)storm->errors);
    bool is_right = !storm->errors && storm->ended == storm->begun;
    return status == OK && !is_right ? ERR_FAILED : status;
}

static enum status run_with(unsigned kills, unsigned seconds, uint64_t seed)
{
    struct killer *killer = heap_allocate_zeroed(sizeof(*killer));
    if (!killer) {
        return ERR_NO_MEMORY;
    }
    killer->seed = seed ? seed : 1;
    killer->storm.mutex = MUTEX_INIT("of the storm");
    killer->storm.condition = CONDITION_INIT("condition of the storm");
    killer->storm.lock = READER_WRITER_LOCK_INIT("read in the storm");
    enum status status = run_storm(killer, kills, seconds);
    (void)!loader_unload_named(cell_namespace_initial(), SUBJECT, NULL);
    heap_free(killer);
    return status;
}

enum status test_storm(unsigned kills, unsigned seconds, uint64_t seed)
{
    console_print("kill_test: a storm on %u CPUs, seed %lu\n", (unsigned)dispatcher_cpu_count(),
                  (unsigned long)seed);
    enum status status = run_with(10, 0, seed); /* what is kept for later is kept now */
    struct counts before = count();
    status = status == OK ? run_with(kills, seconds, seed) : status;
    enum status compared = compare("storm", before);
    console_print("kill_test: storm: %s\n", status_name(status));
    return status == OK ? compared : status;
}
