/* SPDX-License-Identifier: MIT */
/*
 * live_test [ROUNDS] - looks for frames of known functions on stacks of tasks in all states.
 *
 * Each subject is a task with a known number of frames of deeper() on its stack, at whose end it
 * waits, yields, spins, stands in a handler of an exception, releases what a fault left, has a
 * frame above which the unwinder finds no caller, has ended, or has not begun. All stacks are
 * looked at again and again, at one moment and one by one, and each time each of these frames must
 * be found, where it is, and no other.
 */
#include "application.h"
#include "catch.h"
#include "cell_namespace.h"
#include "console.h"
#include "diag.h"
#include "exceptions.h"
#include "format.h"
#include "freestanding.h"
#include "live_frames.h"
#include "loader.h"
#include "preemption.h"
#include "task.h"

CELL(application, "1.0.0");

APPLICATION(live_test);

#define SECOND         1000000000ull
#define ROUNDS_DEFAULT 12u
#define SUBJECTS       24u
#define PREFIX         "subject "
#define DEPTH_OF(i)    ((i)*2 % 13 + 1) /* 1 to 13 */
#define BATCH          3u               /* stacks of one step of a sweep */
#define START_LIMIT    (20 * SECOND)

enum way { WAITS, YIELDS, SPINS, HANDLES, RELEASES, GAP, WAYS, ENDED = WAYS, NEW };
static const char *const way_names[] = {
    [WAITS] = "waits",       [YIELDS] = "yields", [SPINS] = "spins", [HANDLES] = "handles",
    [RELEASES] = "releases", [GAP] = "gap",       [ENDED] = "ended", [NEW] = "new",
};

struct subject {
    enum way way;
    uint32_t depth;
    volatile bool *is_over;
    uint32_t *arrived; /* atomically */
};

void live_test_gap(void (*function)(void *argument), void *argument);

/* ---- what subjects do ---- */

static void arrive(const struct subject *subject)
{
    __atomic_add_fetch(subject->arrived, 1, __ATOMIC_RELAXED);
}

static void wait_until_over(const struct subject *subject)
{
    while (!*subject->is_over) {
        task_sleep(SECOND / 500);
    }
}

/* What is dropped only when all is over. */
struct OWN_CAPABILITY("lingering thing") lingering;
OWN_DECLARE_LOCAL(lingering);

static void lingering_drop(struct lingering **handle)
{
    const struct subject *subject = (const struct subject *)*handle;
    if (subject) {
        arrive(subject);
        wait_until_over(subject);
        EMPTY(handle);
    }
}

/* Unchecked: the handle is no handle. */
static void fault(void *argument) OWN_UNCHECKED
{
    OWNED(lingering, thing);
    FILL(SLOT(thing), (struct lingering *)argument);
    __asm__ volatile("ud2");
}

static void wait_behind_gap(void *argument)
{
    arrive(argument);
    wait_until_over(argument);
}

/* With interrupts off: the CPU answers others, and so can be stopped. */
static bool on_breakpoint(struct exception_frame *frame, void *unused)
{
    (void)unused;
    const struct subject *subject = (const struct subject *)(uintptr_t)frame->rdi;
    arrive(subject);
    while (!*subject->is_over) {
        remote_call_serve();
        cpu_relax();
    }
    return true;
}

static NOINLINE void stay(const struct subject *subject)
{
    switch (subject->way) {
    case YIELDS:
        arrive(subject);
        while (!*subject->is_over) {
            task_yield();
        }
        break;
    case SPINS:
        arrive(subject);
        while (!*subject->is_over) {
            cpu_relax();
        }
        break;
    case HANDLES:
        __asm__ volatile("int3" : : "D"(subject) : "memory");
        break;
    case RELEASES:
        (void)!catch_unwind(fault, (void *)(uintptr_t)subject, NULL);
        break;
    case GAP:
        live_test_gap(wait_behind_gap, (void *)(uintptr_t)subject);
        break;
    default:
        arrive(subject);
        wait_until_over(subject);
        break;
    }
}

/* What is looked for. The barrier keeps the calls from becoming jumps. */
__attribute__((noipa)) static void deeper(const struct subject *subject, uint32_t depth)
{
    if (depth > 1) {
        deeper(subject, depth - 1);
    } else {
        stay(subject);
    }
    COMPILER_BARRIER();
}

static int be_subject(struct subject *subject)
{
    if (subject->way == ENDED) {
        arrive(subject);
    } else {
        deeper(subject, subject->depth);
    }
    return 0;
}
TASK_DEFINE(subject, struct subject, int, be_subject);

/* ---- looking ---- */

struct found {
    uint32_t frames[SUBJECTS]; /* of deeper() */
    uint32_t words[SUBJECTS];
    uint32_t first[SUBJECTS]; /* the depth of the innermost */
    uint32_t last[SUBJECTS];
    uint32_t others;  /* of deeper() on stacks of others */
    uint32_t unknown; /* stacks */
};

/* The subject of that name, or SUBJECTS. */
static uint32_t subject_of(const char *name)
{
    size_t length = sizeof(PREFIX) - 1;
    if (strncmp(name, PREFIX, length) != 0) {
        return SUBJECTS;
    }
    uint32_t number = 0;
    for (name += length; *name; name++) {
        number = number * 10 + (uint32_t)(*name - '0');
    }
    return number < SUBJECTS ? number : SUBJECTS;
}

static bool note(const struct live_frame *frame, void *context)
{
    struct found *found = context;
    found->unknown += frame->kind == LIVE_UNKNOWN;
    if (!frame->section || strcmp(frame->section->name, ".text.deeper") != 0) {
        return true;
    }
    uint32_t subject = subject_of(frame->task);
    if (subject == SUBJECTS) {
        found->others++;
        return true;
    }
    if (frame->kind == LIVE_FRAME) {
        if (found->frames[subject]++ == 0) {
            found->first[subject] = frame->depth;
        }
        found->last[subject] = frame->depth;
    }
    found->words[subject] += frame->kind == LIVE_WORD;
    return true;
}

/* As it must be: all frames, one below the other; or as words, among them those that are dead. */
static bool check(const struct subject *subjects, const struct found *found, const char *how)
{
    bool is_right = !found->unknown && !found->others;
    for (uint32_t i = 0; i < SUBJECTS; i++) {
        enum way way = subjects[i].way;
        bool in_words = way == RELEASES || way == GAP;
        uint32_t frames = in_words || way >= WAYS ? 0 : subjects[i].depth;
        uint32_t words = in_words ? subjects[i].depth : 0;
        bool is_one_block = !frames || found->last[i] - found->first[i] + 1 == found->frames[i];
        if (found->frames[i] != frames || found->words[i] < words ||
            (!in_words && found->words[i]) || !is_one_block) {
            console_print("live_test: %s: subject %u (%s): %u frames and %u words, not %u and %u\n",
                          how, i, way_names[way], found->frames[i], found->words[i], frames, words);
            is_right = false;
        }
    }
    return is_right;
}

static bool look_at_once(const struct subject *subjects, struct live_counts *out_counts)
{
    struct found found = {.unknown = 0};
    {
        OWNED(remote_stop, stop);
        if (remote_stop_begin(SLOT(stop)) != OK) {
            return false;
        }
        if (!live_frames_visit(REF(stop), note, &found, out_counts)) {
            return false;
        }
    }
    return check(subjects, &found, "at once");
}

static bool look_one_by_one(const struct subject *subjects, struct live_counts *out_counts)
{
    struct found found = {.unknown = 0};
    struct live_sweep sweep = {.cpu = 0};
    while (!sweep.is_done) {
        enum status status = live_frames_sweep(&sweep, BATCH, note, &found);
        if (status != OK) {
            console_print("live_test: sweep: %s\n", status_name(status));
            return false;
        }
        task_yield();
    }
    *out_counts = sweep.counts;
    return check(subjects, &found, "one by one");
}

/* ---- searching ---- */

static bool stop_and_find(const struct cell *cell, struct live_finding *out)
{
    OWNED(remote_stop, stop);
    if (remote_stop_begin(SLOT(stop)) != OK) {
        return false;
    }
    return live_frames_find(REF(stop), &cell, 1, out);
}

/* The first frame in this cell is this function's; in one that has returned there is none. */
static bool search(void)
{
    struct diag diag;
    struct cell *own;
    struct cell *other;
    struct live_finding finding = {.task = ""};
    if (loader_load(cell_namespace_initial(), CELL_NAME, &own, &diag) != OK ||
        loader_load(cell_namespace_initial(), "hello", &other, &diag) != OK) {
        return false;
    }
    bool is_right = stop_and_find(own, &finding) && finding.section->cell == own &&
                    strcmp(finding.section->name, ".text.stop_and_find") == 0 &&
                    strcmp(finding.task, ((const struct task *)CPU_LOCAL(task))->name) == 0;
    console_print("live_test: found first: task `%s`, frame %u, %s:%s+%#lx\n", finding.task,
                  finding.depth, own->name, finding.section ? finding.section->name : "-",
                  (unsigned long)finding.offset);
    return is_right && !stop_and_find(other, &finding);
}

/* ---- the test ---- */

struct test {
    uint64_t rounds;
    struct subject subjects[SUBJECTS];
    struct subject_task *tasks[SUBJECTS]; /* owned */
    volatile bool is_over;
    uint32_t arrived;
};

/*
 * The last but one keeps a CPU to itself, if there are others; the last has not begun when it
 * matters.
 */
static void choose(struct test *test)
{
    for (uint32_t i = 0; i < SUBJECTS; i++) {
        enum way way = (enum way)(i % (WAYS + 1));
        test->subjects[i] = (struct subject){
            .way = way == HANDLES ? WAITS : way,
            .depth = DEPTH_OF(i),
            .is_over = &test->is_over,
            .arrived = &test->arrived,
        };
    }
    test->subjects[SUBJECTS - 2].way = dispatcher_cpu_count() > 1 ? HANDLES : WAITS;
    test->subjects[SUBJECTS - 1].way = NEW;
}

static enum status spawn(struct test *test, uint32_t i)
{
    enum way way = test->subjects[i].way;
    char name[TASK_NAME_SIZE];
    format_into(name, sizeof(name), PREFIX "%u", i);
    struct task_options options = {
        .name = name,
        .is_pinned = way == HANDLES || way == NEW,
        .cpu = way == HANDLES ? dispatcher_cpu_count() - 1 : 0,
    };
    OWNED(subject_task, task);
    enum status status = subject_spawn(&test->subjects[i], &options, SLOT(task));
    if (status == OK) {
        STORE(test->tasks[i], task);
    }
    return status;
}

static bool wait_for_arrival(const struct test *test, uint32_t count)
{
    uint64_t deadline = parking_deadline(START_LIMIT);
    while (__atomic_load_n(&test->arrived, __ATOMIC_RELAXED) < count) {
        if (parking_now() > deadline) {
            console_print("live_test: only %u of %u have arrived\n", test->arrived, count);
            return false;
        }
        task_sleep(SECOND / 1000);
    }
    task_sleep(SECOND / 50); /* and for those that have ended to be off their stacks */
    return true;
}

/* All but the last two, then the one that keeps a CPU: nobody else is to begin there. */
static bool spawn_subjects(struct test *test)
{
    for (uint32_t i = 0; i < SUBJECTS - 2; i++) {
        if (spawn(test, i) != OK) {
            return false;
        }
    }
    return wait_for_arrival(test, SUBJECTS - 2) && spawn(test, SUBJECTS - 2) == OK &&
           wait_for_arrival(test, SUBJECTS - 1);
}

static bool look_again_and_again(const struct test *test)
{
    struct live_counts counts = {.stacks = 0};
    struct live_counts sums = {.stacks = 0};
    bool is_right = true;
    for (uint64_t i = 0; i < test->rounds && is_right; i++) {
        is_right = look_at_once(test->subjects, &counts) && look_one_by_one(test->subjects, &sums);
    }
    console_print("live_test: at once: %u stacks, %u frames, %u words, %u stacks in part\n",
                  counts.stacks, counts.frames, counts.words, counts.partial);
    console_print("live_test: one by one: %u stacks, %u frames, %u words, %u stacks in part\n",
                  sums.stacks, sums.frames, sums.words, sums.partial);
    return is_right;
}

/* A task that cannot begin, for this one does not let go of their CPU. */
static bool look_with_new(struct test *test)
{
    struct live_counts counts;
    GUARD(preemption, held, PREEMPTION);
    return spawn(test, SUBJECTS - 1) == OK && look_at_once(test->subjects, &counts);
}

static int direct(struct test **argument)
{
    struct test *test = *argument;
    bool is_right = spawn_subjects(test) && look_again_and_again(test);
    console_print("live_test: frames of all states: %s\n", is_right ? "OK" : "FAILED");
    is_right = is_right && look_with_new(test);
    console_print("live_test: one that has not begun: %s\n", is_right ? "OK" : "FAILED");
    is_right = is_right && search();
    console_print("live_test: search: %s\n", is_right ? "OK" : "FAILED");
    test->is_over = true;
    for (uint32_t i = 0; i < SUBJECTS; i++) {
        if (test->tasks[i]) {
            OWNED(subject_task, task);
            LOAD(task, test->tasks[i]);
            int result;
            is_right = subject_join(SLOT(task), &result) == OK && is_right;
        }
    }
    return is_right ? OK : ERR_FAILED;
}
TASK_DEFINE(director, struct test *, int, direct);

static uint64_t number(const char *text, uint64_t otherwise)
{
    uint64_t value = 0;
    for (; text && *text >= '0' && *text <= '9'; text++) {
        value = value * 10 + (uint64_t)(*text - '0');
    }
    return value ? value : otherwise;
}

/* The test runs in a task that stays on the first CPU, away from the one that a subject keeps. */
enum status live_test_main(const struct app_arguments *arguments)
{
    struct test test = {.rounds = number(arguments->values[1], ROUNDS_DEFAULT)};
    struct test *argument = &test;
    choose(&test);
    OWNED(exception_handler, handler);
    enum status status =
        exception_handler_register(EXCEPTION_BP, CELL_NAME, on_breakpoint, NULL, SLOT(handler));
    if (status != OK) {
        return status;
    }
    OWNED(director_task, task);
    struct task_options options = {.is_pinned = true};
    status = director_spawn(&argument, &options, SLOT(task));
    if (status != OK) {
        return status;
    }
    int result = ERR_FAILED;
    status = director_join(SLOT(task), &result);
    return status == OK ? (enum status)result : status;
}
