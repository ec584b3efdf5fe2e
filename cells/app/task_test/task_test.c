/* SPDX-License-Identifier: MIT */
/*
 * task_test - tries tasks on this machine's CPUs.
 *
 *   task_test                     every test below but the last
 *   task_test NAME                one of them: many, preemption, placement, sleep, timeouts, faults,
 *                                 exhaustion
 *   task_test stress [SECONDS [SEED]]   a mixture of everything for so long
 */
#include "application.h"
#include "console.h"
#include "frame_allocator.h"
#include "freestanding.h"
#include "heap.h"
#include "mapped_pages.h"
#include "mutex.h"
#include "page_table.h"
#include "spinlock.h"
#include "task.h"

CELL(application, "1.0.0");

APPLICATION(task_test);

#define MANY           10000u
#define AT_ONCE        250u /* stacks of 16 KiB and their tables: 5 MiB */
#define LOOKS          200u /* at 20 ms: virtual CPUs may wait long for a real one */
#define SECOND         1000000000ull
#define STRESS_WORKERS 24u
#define STRESS_DEFAULT 5u
#define DEFAULT_SEED   20201104u

/* ---- what must not be lost ---- */

struct counts {
    uint64_t frames; /* free, or of page tables */
    uint64_t blocks;
    uint64_t tasks;
};

/* Whoever has been joined may still be on its way off its CPU: a moment later all are. */
static struct task_statistics wait_for_ends(bool releases_stacks)
{
    struct task_statistics tasks;
    unsigned looks = 0;
    do {
        task_sleep(SECOND / 50);
        if (releases_stacks) {
            task_release_stacks();
        }
        tasks = task_statistics();
    } while (tasks.tasks > 1 && ++looks < LOOKS);
    return tasks;
}

static struct counts count(void)
{
    struct task_statistics tasks = wait_for_ends(true);
    return (struct counts){
        .frames = frame_allocator_statistics().free + page_table_statistics().tables,
        .blocks = heap_statistics().blocks_in_use,
        .tasks = tasks.tasks,
    };
}

static enum status compare(const char *test, struct counts before)
{
    struct counts now = count();
    bool is_same = now.blocks == before.blocks && now.tasks == before.tasks;
    console_print("task_test: %s: %lu then %lu tasks, %lu then %lu blocks, %ld frames less: %s\n",
                  test, (unsigned long)before.tasks, (unsigned long)now.tasks,
                  (unsigned long)before.blocks, (unsigned long)now.blocks,
                  (long)(before.frames - now.frames),
                  is_same ? "nothing is lost" : "SOMETHING IS LOST");
    return is_same ? OK : ERR_FAILED;
}

static uint32_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return (uint32_t)(*seed >> 16);
}

/* ---- many ---- */

struct sum {
    uint64_t first;
    uint64_t count;
};

static uint64_t add_up(struct sum *sum)
{
    uint64_t result = 0;
    for (uint64_t i = 0; i < sum->count; i++) {
        result += sum->first + i;
        if (i % 4 == 0) {
            task_yield();
        }
    }
    return result;
}
TASK_DEFINE(adder, struct sum, uint64_t, add_up);

static enum status run_batch(struct adder_task **tasks, uint64_t first)
{
    enum status status = OK;
    for (unsigned i = 0; i < AT_ONCE && status == OK; i++) {
        OWNED(adder_task, task);
        status = adder_spawn(&(struct sum){first + i, 9}, NULL, SLOT(task));
        if (status == OK) {
            STORE(tasks[i], task);
        }
    }
    for (unsigned i = 0; i < AT_ONCE && tasks[i]; i++) {
        OWNED(adder_task, task);
        LOAD(task, tasks[i]);
        uint64_t result = 0;
        enum status joined = adder_join(SLOT(task), &result);
        if (joined != OK || result != 9 * (first + i) + 36) {
            console_print("task_test: task %lu: %s, result %lu\n", (unsigned long)(first + i),
                          status_name(joined), (unsigned long)result);
            status = ERR_FAILED;
        }
    }
    return status;
}

static enum status test_many(void)
{
    struct adder_task **tasks = heap_allocate_zeroed(AT_ONCE * sizeof(struct adder_task *));
    if (!tasks) {
        return ERR_NO_MEMORY;
    }
    enum status status = run_batch(tasks, 0); /* what is kept for later is kept now */
    struct counts before = count();
    for (unsigned i = 0; i < MANY && status == OK; i += AT_ONCE) {
        status = run_batch(tasks, i);
    }
    enum status compared = compare("many", before);
    heap_free(tasks);
    console_print("task_test: %u tasks spawned and joined: %s\n", MANY, status_name(status));
    return status == OK ? compared : status;
}

/* ---- preemption ---- */

static int spin_until_set(volatile bool **flag)
{
    while (!**flag) {
        cpu_relax();
    }
    return 0;
}
TASK_DEFINE(spinner, volatile bool *, int, spin_until_set);

/* On the same CPU as one that never gives it away, this task still gets its turn. */
static enum status test_preemption(void)
{
    static const char *const verdicts[] = {"never came back", "came back"};
    volatile bool flag = false;
    volatile bool *address = &flag;
    struct task_options here = {.is_pinned = true, .cpu = 0};
    OWNED(spinner_task, first);
    OWNED(spinner_task, second);
    enum status status = spinner_spawn(&address, &here, SLOT(first));
    if (status != OK) {
        return status;
    }
    status = spinner_spawn(&address, &here, SLOT(second));
    if (status != OK) {
        flag = true;
        return status;
    }
    uint64_t before = dispatcher_statistics(0).preemptions;
    uint64_t start = parking_now();
    task_sleep(20 * DISPATCHER_SLICE_NS);
    uint64_t took = parking_now() - start;
    uint64_t preemptions = dispatcher_statistics(0).preemptions - before;
    flag = true;
    int result;
    status = spinner_join(SLOT(first), &result);
    enum status other = spinner_join(SLOT(second), &result);
    console_print("task_test: beside two that spin, %s after %lu us, %lu preemptions\n",
                  verdicts[took != 0], (unsigned long)(took / 1000), (unsigned long)preemptions);
    return status == OK && other == OK && preemptions ? OK : ERR_FAILED;
}

/* ---- placement ---- */

struct meeting {
    uint32_t expected;
    uint32_t arrived; /* atomically, these two */
    uint64_t cpus;    /* a bit for each that somebody was on */
};

/* Nobody leaves before all are there: without a CPU for each it takes turns, but works. */
static uint32_t meet(struct meeting **address)
{
    struct meeting *meeting = *address;
    __atomic_or_fetch(&meeting->cpus, 1ull << CPU_LOCAL(index), __ATOMIC_RELAXED);
    __atomic_add_fetch(&meeting->arrived, 1, __ATOMIC_RELAXED);
    while (__atomic_load_n(&meeting->arrived, __ATOMIC_RELAXED) < meeting->expected) {
        cpu_relax();
    }
    return CPU_LOCAL(index);
}
TASK_DEFINE(visitor, struct meeting *, uint32_t, meet);

/* As many tasks as CPUs that wait for each other without giving their CPU away use all CPUs. */
static enum status test_placement(void)
{
    uint32_t cpus = dispatcher_cpu_count();
    struct meeting meeting = {.expected = cpus};
    struct meeting *address = &meeting;
    struct visitor_task *tasks[DISPATCHER_CPUS] = {0};
    enum status status = OK;
    for (uint32_t i = 0; i < cpus && status == OK; i++) {
        OWNED(visitor_task, task);
        status = visitor_spawn(&address, NULL, SLOT(task));
        if (status == OK) {
            STORE(tasks[i], task);
        } else {
            __atomic_store_n(&meeting.arrived, cpus, __ATOMIC_RELAXED);
        }
    }
    for (uint32_t i = 0; i < cpus && tasks[i]; i++) {
        OWNED(visitor_task, task);
        LOAD(task, tasks[i]);
        uint32_t cpu;
        enum status joined = visitor_join(SLOT(task), &cpu);
        status = status == OK ? joined : status;
    }
    unsigned used = 0;
    for (uint32_t i = 0; i < DISPATCHER_CPUS; i++) {
        used += meeting.cpus >> i & 1;
    }
    console_print("task_test: %u tasks used %u of %u CPUs\n", (unsigned)cpus, used, (unsigned)cpus);
    return status;
}

/* ---- time ---- */

struct nap {
    uint64_t duration;
    uint64_t *order; /* where the next to wake writes, counted atomically in order[0] */
};

static uint64_t sleep_and_note(struct nap *nap)
{
    uint64_t start = parking_now();
    task_sleep(nap->duration);
    uint64_t place = __atomic_add_fetch(&nap->order[0], 1, __ATOMIC_RELAXED);
    nap->order[place] = nap->duration;
    return parking_now() - start;
}
TASK_DEFINE(sleeper, struct nap, uint64_t, sleep_and_note);

#define SLEEPERS 8u
#define NAP_NS   30000000ull /* apart: more than an emulator's hiccup */

static enum status test_sleep(void)
{
    uint64_t order[SLEEPERS + 1] = {0};
    struct sleeper_task *tasks[SLEEPERS] = {0};
    enum status status = OK;
    for (unsigned i = 0; i < SLEEPERS && status == OK; i++) {
        OWNED(sleeper_task, task);
        struct nap nap = {(SLEEPERS - i) * NAP_NS, order};
        status = sleeper_spawn(&nap, NULL, SLOT(task));
        if (status == OK) {
            STORE(tasks[i], task);
        }
    }
    bool is_late_enough = true;
    for (unsigned i = 0; i < SLEEPERS && tasks[i]; i++) {
        OWNED(sleeper_task, task);
        LOAD(task, tasks[i]);
        uint64_t slept = 0;
        enum status joined = sleeper_join(SLOT(task), &slept);
        status = status == OK ? joined : status;
        is_late_enough &= slept >= (SLEEPERS - i) * NAP_NS;
    }
    unsigned in_order = 0;
    for (unsigned i = 1; i < SLEEPERS; i++) {
        in_order += order[i] < order[i + 1];
    }
    console_print("task_test: %u sleepers, none too early: %s, %u of %u in order\n", SLEEPERS,
                  is_late_enough ? "yes" : "NO", in_order + 1, SLEEPERS);
    return status == OK && is_late_enough && order[0] == SLEEPERS ? OK : ERR_FAILED;
}

static enum status test_timeouts(void)
{
    volatile bool flag = false;
    volatile bool *address = &flag;
    OWNED(spinner_task, task);
    enum status status = spinner_spawn(&address, NULL, SLOT(task));
    if (status != OK) {
        return status;
    }
    uint64_t start = parking_now();
    enum status park = parking_park(parking_deadline(SECOND / 100), NULL);
    enum status wait = spinner_wait(REF(task), parking_deadline(SECOND / 100));
    uint64_t took = parking_now() - start;
    flag = true;
    int result;
    status = spinner_join(SLOT(task), &result);
    console_print("task_test: park %s, wait %s, after %lu us\n", status_name(park),
                  status_name(wait), (unsigned long)(took / 1000));
    bool is_right = park == ERR_TIMEOUT && wait == ERR_TIMEOUT && took >= SECOND / 50;
    return status == OK && is_right ? OK : ERR_FAILED;
}

/* ---- faults ---- */

#define FAULTS 12u

struct victim {
    struct mutex *mutex; /* all of them share it */
    unsigned kind;
};

/* Deep in here everything that it owns is on its chain. */
static NOINLINE int fault_below(const struct victim *victim, unsigned depth)
{
    OWNED(mapped_pages, pages);
    if (mapped_pages_create(PAGE_ZONE_DATA, PAGE_SIZE, PAGE_WRITE, SLOT(pages)) != OK) {
        return 0;
    }
    if (depth > 0) {
        return fault_below(victim, depth - 1) + 1;
    }
    GUARD(mutex, held, victim->mutex);
    volatile unsigned zero = 0;
    switch (victim->kind % 3) {
    case 0:
        return (int)*(volatile uint64_t *)(uintptr_t)zero;
    case 1:
        return (int)(100 / zero);
    default:
        __builtin_trap();
    }
}

static int fall(struct victim *victim)
{
    return fault_below(victim, 5);
}
TASK_DEFINE(victim, struct victim, int, fall);

static enum status run_victims(struct mutex *mutex)
{
    struct victim_task *tasks[FAULTS] = {0};
    enum status status = OK;
    for (unsigned i = 0; i < FAULTS && status == OK; i++) {
        OWNED(victim_task, task);
        status = victim_spawn(&(struct victim){mutex, i}, NULL, SLOT(task));
        if (status == OK) {
            STORE(tasks[i], task);
        }
    }
    for (unsigned i = 0; i < FAULTS && tasks[i]; i++) {
        OWNED(victim_task, task);
        LOAD(task, tasks[i]);
        int result;
        enum status joined = victim_join(SLOT(task), &result);
        status = status == OK && joined != ERR_FAULT ? ERR_FAILED : status;
    }
    return status;
}

/* Each of them fails with seven things in its hands; the next one needs the mutex too. */
static enum status test_faults(void)
{
    struct mutex mutex = MUTEX_INIT("victims");
    enum status status = run_victims(&mutex);
    struct counts before = count();
    status = status == OK ? run_victims(&mutex) : status;
    console_print("task_test: %u tasks failed, one after another with the same mutex: %s\n",
                  2 * FAULTS, status_name(status));
    enum status compared = compare("faults", before);
    return status == OK ? compared : status;
}

/* ---- exhaustion ---- */

static int sleep_until_set(volatile bool **flag)
{
    while (!**flag) {
        task_sleep(SECOND / 10);
    }
    return 0;
}
TASK_DEFINE(waiter, volatile bool *, int, sleep_until_set);

struct link {
    struct link *next;
    struct waiter_task *task;
};

/* Until memory is used up; how many tasks there were then, and what the next one was told. */
static unsigned spawn_until_refused(volatile bool *flag, struct link **all, enum status *refused)
{
    /* Each takes so much that there are hundreds, not thousands: all that end are unmapped. */
    struct task_options large = {.stack_bytes = 8 * TASK_STACK_SIZE};
    unsigned spawned = 0;
    for (;; spawned++) {
        struct link *link = heap_allocate_zeroed(sizeof(*link));
        OWNED(waiter_task, task);
        if (!link) {
            *refused = ERR_NO_MEMORY;
            return spawned;
        }
        enum status status = waiter_spawn(&flag, &large, SLOT(task));
        if (status != OK) {
            *refused = status;
            heap_free(link);
            return spawned;
        }
        STORE(link->task, task);
        link->next = *all;
        *all = link;
    }
}

static enum status join_all(struct link *all)
{
    enum status status = OK;
    while (all) {
        struct link *next = all->next;
        OWNED(waiter_task, task);
        LOAD(task, all->task);
        heap_free(all);
        int result;
        enum status joined = waiter_join(SLOT(task), &result);
        status = status == OK ? joined : status;
        all = next;
    }
    return status;
}

static enum status test_exhaustion(void)
{
    enum status refused[2];
    unsigned spawned[2];
    struct counts before = {0};
    enum status status = OK;
    for (int round = 0; round < 2; round++) { /* what is kept for later is kept after the first */
        volatile bool flag = false;
        struct link *all = NULL;
        before = round ? count() : before;
        spawned[round] = spawn_until_refused(&flag, &all, &refused[round]);
        flag = true;
        enum status joined = join_all(all);
        status = status == OK ? joined : status;
    }
    console_print("task_test: %u tasks, then %s; %u tasks, then %s\n", spawned[0],
                  status_name(refused[0]), spawned[1], status_name(refused[1]));
    enum status compared = compare("exhaustion", before);
    bool is_refused = refused[0] == ERR_NO_MEMORY && refused[1] == ERR_NO_MEMORY;
    return status == OK && is_refused ? compared : ERR_FAILED;
}

/* ---- stress ---- */

struct stress {
    struct spinlock lock;
    uint64_t shared[2]; /* with the lock: always equal */
    uint64_t torn;      /* how often they were not; atomically, as all below */
    uint64_t deadline;
    uint64_t operations;
    uint64_t failures;
};

struct worker {
    struct stress *stress;
    uint64_t seed;
};

static void use_lock(struct stress *stress)
{
    GUARD(spinlock, held, &stress->lock);
    if (stress->shared[0] != stress->shared[1]) {
        __atomic_add_fetch(&stress->torn, 1, __ATOMIC_RELAXED);
    }
    stress->shared[0]++;
    for (unsigned i = 0; i < 50; i++) {
        cpu_relax();
    }
    stress->shared[1]++;
}

static void use_memory(struct stress *stress, uint32_t random)
{
    size_t bytes = 8 + random % 4000;
    uint8_t *block = heap_allocate(bytes);
    if (!block) {
        return;
    }
    uint8_t sign = (uint8_t)random;
    memset(block, sign, bytes);
    task_yield();
    for (size_t i = 0; i < bytes; i++) {
        if (block[i] != sign) {
            __atomic_add_fetch(&stress->failures, 1, __ATOMIC_RELAXED);
            break;
        }
    }
    heap_free(block);
}

static void use_task(struct stress *stress, uint64_t first)
{
    OWNED(adder_task, task);
    if (adder_spawn(&(struct sum){first, 5}, NULL, SLOT(task)) != OK) {
        return;
    }
    uint64_t result = 0;
    enum status status = adder_join(SLOT(task), &result);
    if (status != OK || result != 5 * first + 10) {
        __atomic_add_fetch(&stress->failures, 1, __ATOMIC_RELAXED);
    }
}

static uint64_t work(struct worker *worker)
{
    struct stress *stress = worker->stress;
    uint64_t operations = 0;
    while (parking_now() < stress->deadline) {
        uint32_t random = next_random(&worker->seed);
        switch (random % 8) {
        case 0:
        case 1:
            use_lock(stress);
            break;
        case 2:
            use_memory(stress, random >> 3);
            break;
        case 3:
            use_task(stress, random >> 3);
            break;
        case 4:
            task_sleep(random % 200000);
            break;
        case 5:
            (void)!parking_park(parking_deadline(random % 50000), NULL);
            break;
        case 6:
            for (uint32_t i = 0; i < random % 5000; i++) {
                cpu_relax();
            }
            break;
        default:
            task_yield();
            break;
        }
        operations++;
    }
    __atomic_add_fetch(&stress->operations, operations, __ATOMIC_RELAXED);
    return operations;
}
TASK_DEFINE(worker, struct worker, uint64_t, work);

static enum status run_workers(struct stress *stress, uint64_t seed)
{
    struct worker_task *tasks[STRESS_WORKERS] = {0};
    enum status status = OK;
    for (unsigned i = 0; i < STRESS_WORKERS && status == OK; i++) {
        OWNED(worker_task, task);
        struct worker worker = {stress, seed + i * 0x9e3779b97f4a7c15ull + 1};
        struct task_options options = {.priority = 1 + next_random(&worker.seed) % 30};
        status = worker_spawn(&worker, &options, SLOT(task));
        if (status == OK) {
            STORE(tasks[i], task);
        }
    }
    for (unsigned i = 0; i < STRESS_WORKERS && tasks[i]; i++) {
        OWNED(worker_task, task);
        LOAD(task, tasks[i]);
        uint64_t operations;
        enum status joined = worker_join(SLOT(task), &operations);
        status = status == OK ? joined : status;
    }
    return status;
}

static enum status stress(uint64_t seconds, uint64_t seed)
{
    console_print("task_test: stress for %lu s, seed %lu\n", (unsigned long)seconds,
                  (unsigned long)seed);
    struct stress stress = {.lock = SPINLOCK_INIT("stress")};
    stress.deadline = parking_deadline(SECOND / 10);
    enum status status = run_workers(&stress, seed);
    struct counts before = count();
    stress.deadline = parking_deadline(seconds * SECOND);
    status = status == OK ? run_workers(&stress, seed) : status;
    console_print("task_test: stress: %lu operations, %lu failures, %lu torn; %s\n",
                  (unsigned long)stress.operations, (unsigned long)stress.failures,
                  (unsigned long)stress.torn, status_name(status));
    enum status compared = compare("stress", before);
    bool is_right = status == OK && !stress.failures && !stress.torn && stress.operations;
    return is_right ? compared : ERR_FAILED;
}

/* ---- which ---- */

/* ---- memory that is short ---- */

#define PIECES    64u
#define LEFT_OVER 7u /* frames; a stack of twice the size wants more */

/* Takes all memory but LEFT_OVER frames, in pieces as large as there are. */
static void take_memory(struct frames *pieces[PIECES])
{
    uint64_t most = UINT64_MAX;
    for (unsigned i = 0; i < PIECES && most > 0;) {
        uint64_t free = frame_allocator_statistics().free;
        uint64_t wanted = free > LEFT_OVER ? free - LEFT_OVER : 0;
        most = wanted < most ? wanted : most;
        OWNED(frames, frames);
        if (most > 0 && frame_allocator_take_any(most, SLOT(frames)) == OK) {
            STORE(pieces[i], frames);
            i++;
        } else {
            most /= 2;
        }
    }
}

/* Stacks are kept for the next tasks, until a larger one finds no memory. */
static enum status test_pressure(void)
{
    struct frames *pieces[PIECES] = {0};
    struct mutex mutex = MUTEX_INIT("nobody's");
    (void)!run_victims(&mutex);                           /* for the stacks that they leave */
    struct task_statistics before = wait_for_ends(false); /* what comes back later is memory, too */
    take_memory(pieces);
    struct task_options large = {.stack_bytes = 2 * TASK_STACK_SIZE};
    OWNED(victim_task, task);
    enum status status = victim_spawn(&(struct victim){&mutex, 0}, &large, SLOT(task));
    struct task_statistics after = task_statistics();
    for (unsigned i = 0; i < PIECES; i++) {
        frames_drop(&pieces[i]);
    }
    int result;
    if (status == OK && victim_join(SLOT(task), &result) != ERR_FAULT) {
        status = ERR_FAILED;
    }
    console_print("task_test: pressure: %lu stacks were kept, %lu are: %s\n",
                  (unsigned long)before.stacks, (unsigned long)after.stacks, status_name(status));
    return status == OK && before.stacks > 0 && after.stacks == 0 ? OK : ERR_FAILED;
}

static const struct {
    const char *name;
    enum status (*run)(void);
} tests[] = {
    {"many", test_many},
    {"preemption", test_preemption},
    {"placement", test_placement},
    {"sleep", test_sleep},
    {"timeouts", test_timeouts},
    {"faults", test_faults},
    {"exhaustion", test_exhaustion},
    {"pressure", test_pressure},
};

static uint64_t number(const char *text, uint64_t otherwise)
{
    uint64_t value = 0;
    for (; text && *text >= '0' && *text <= '9'; text++) {
        value = value * 10 + (uint64_t)(*text - '0');
    }
    return value ? value : otherwise;
}

enum status task_test_main(const struct app_arguments *arguments)
{
    const char *const *values = arguments->values;
    const char *which = values[1];
    if (which && strcmp(which, "stress") == 0) {
        bool has_seconds = values[2] != NULL;
        return stress(number(values[2], STRESS_DEFAULT),
                      number(has_seconds ? values[3] : NULL, DEFAULT_SEED));
    }
    unsigned ran = 0;
    for (size_t i = 0; i < ARRAY_COUNT(tests); i++) {
        if (which && strcmp(which, tests[i].name) != 0) {
            continue;
        }
        ran++;
        enum status status = tests[i].run();
        console_print("task_test: %s: %s\n", tests[i].name, status == OK ? "OK" : "FAILED");
        if (status != OK) {
            return status;
        }
    }
    return ran ? OK : ERR_NOT_FOUND;
}
