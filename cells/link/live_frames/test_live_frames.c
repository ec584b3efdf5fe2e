/* SPDX-License-Identifier: MIT */
/*
 * Stacks here are arrays of words, and what the unwinder finds on them is a script: so it may end
 * anywhere. What must be told is computed by a model, for random stacks too. (The unwinder itself
 * and real frames: cells/recovery/unwind, test/unwind, test/strike.)
 */
#include "live_frames.h"
#include "address_map.h"
#include "backtrace.h"
#include "context.h"
#include "stack.h"
#include "task.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#define TEXT_START 0xffffffff80000000ull
#define SECTIONS   6u
#define TASKS      6u
#define CPUS       4u
#define WORDS      64u /* of a stack */
#define FRAMES_MAX 8u
#define TOLD_MAX   512u

/* ---- the world ---- */

static struct cell cells[SECTIONS];
static struct section sections[SECTIONS]; /* the last is no text */

/* A stack, and how far the unwinder gets on it. */
struct fake_stack {
    uint64_t words[WORDS];
    uint64_t rip[FRAMES_MAX];
    uint32_t at[FRAMES_MAX]; /* word that rsp is at; WORDS: the top */
    uint32_t count;
    enum unwind_outcome end;
};

static struct fake_stack stacks[TASKS];
static struct task tasks[TASKS];
static uint32_t task_count;
static struct task idle[CPUS];
static uint32_t idle_count;
static struct remote_place places[CPUS];
static uint32_t stopped_cpus; /* a bit for each that stands still */
static struct task *on_cpu[CPUS];
static uint32_t cpus; /* that take part in calls */
static enum status call_status;
static uint32_t calls;
static uint32_t restless;                 /* so often a task is elsewhere when its CPU is asked */
static const struct section *own_section; /* where the caller's own code is */
static uint32_t readers;

/* Told. */
static struct live_frame told[TOLD_MAX];
static uint32_t told_count;
static uint32_t most; /* that the visitor wants */

static const struct remote_stop *const any_stop = (const struct remote_stop *)&cells;

static uint64_t text_at(uint32_t section, uint64_t offset)
{
    return TEXT_START + section * 0x1000ull + offset;
}

static uint64_t word_at(const struct fake_stack *stack, uint32_t index)
{
    return (uint64_t)(stack->words + index);
}

/* ---- the cells below ---- */

const struct section *address_map_find(uint64_t address)
{
    for (uint32_t i = 0; i < SECTIONS; i++) {
        if (address - sections[i].address < sections[i].size) {
            return &sections[i];
        }
    }
    return address < TEXT_START ? own_section : NULL;
}

void address_map_enter(void)
{
    readers++;
}

void address_map_leave(void)
{
    readers--;
}

static struct fake_stack *stack_of(uint64_t address)
{
    for (uint32_t i = 0; i < TASKS; i++) {
        if (address >= word_at(&stacks[i], 0) && address <= word_at(&stacks[i], WORDS)) {
            return &stacks[i];
        }
    }
    return NULL;
}

static bool is_this_thread(uint64_t rsp)
{
    uint64_t here = (uint64_t)__builtin_frame_address(0);
    return rsp - here < 0x100000 || here - rsp < 0x100000;
}

bool stack_find(vaddr_t address, struct stack_place *out)
{
    const struct fake_stack *stack = stack_of(address);
    if (!stack && !is_this_thread(address)) {
        return false;
    }
    *out = (struct stack_place){.part = STACK_INSIDE,
                                .bottom = stack ? word_at(stack, 0) : address,
                                .top = stack ? word_at(stack, WORDS) : address + 64};
    return true;
}

vaddr_t stack_bottom(const struct stack *stack)
{
    return (vaddr_t)((const struct fake_stack *)stack)->words;
}

void backtrace_begin(struct backtrace *backtrace, const uint64_t registers[CFI_REGISTER_COUNT],
                     bool is_exact)
{
    struct unwind_cursor *cursor = &backtrace->cursor;
    const struct fake_stack *stack = stack_of(registers[CFI_RSP]);
    bool is_here = is_this_thread(registers[CFI_RSP]);
    memset(backtrace, 0, sizeof(*backtrace));
    memcpy(cursor->registers, registers, sizeof(cursor->registers));
    cursor->is_exact = is_exact;
    cursor->low = stack ? word_at(stack, 0) : is_here ? registers[CFI_RSP] : 0;
    cursor->high = stack ? word_at(stack, WORDS) : cursor->low;
}

enum unwind_outcome unwind_step(struct unwind_cursor *cursor)
{
    const struct fake_stack *stack = stack_of(cursor->registers[CFI_RSP]);
    if (!stack) {
        return is_this_thread(cursor->registers[CFI_RSP]) ? UNWIND_END : UNWIND_UNRELIABLE;
    }
    for (uint32_t i = 0; i + 1 < stack->count; i++) {
        if (cursor->registers[CFI_RSP] == word_at(stack, stack->at[i])) {
            cursor->registers[CFI_RSP] = word_at(stack, stack->at[i + 1]);
            cursor->registers[CFI_RIP] = stack->rip[i + 1];
            cursor->is_exact = false;
            return UNWIND_CALLER;
        }
    }
    return stack->end;
}

bool context_is_unused(const uint64_t *context)
{
    return context[CONTEXT_RESUME] == 1;
}

const struct task *dispatcher_idle_task(uint32_t index)
{
    return index < idle_count ? &idle[index] : NULL;
}

bool dispatcher_look(const struct task *task, void (*look)(const struct task *task, void *context),
                     void *context, uint32_t *out_cpu)
{
    if (task->state == TASK_RUNNING) {
        return false;
    }
    look(task, context);
    return true;
}

const struct task *task_after(const struct task *task)
{
    const struct task *next = task ? task + 1 : tasks;
    return next < tasks + task_count ? next : NULL;
}

uint64_t task_look(uint64_t after, void (*look)(const struct task *task, void *context),
                   void *context, bool *out_runs, uint32_t *out_cpu)
{
    *out_runs = false;
    for (uint32_t i = 0; i < task_count; i++) {
        if (tasks[i].id <= after) {
            continue;
        }
        *out_runs = tasks[i].state == TASK_RUNNING;
        *out_cpu = tasks[i].home;
        if (!*out_runs) {
            look(&tasks[i], context);
        }
        return tasks[i].id;
    }
    return 0;
}

uint32_t remote_call_cpus(void)
{
    return cpus;
}

enum status remote_call(unsigned cpu, remote_function_t function, void *argument)
{
    assert_true(readers > 0);
    calls++;
    if (call_status != OK) {
        return call_status;
    }
    struct task *before = CPU_LOCAL(task);
    CPU_LOCAL(task) = restless > 0 ? NULL : on_cpu[cpu];
    restless -= restless > 0;
    function(argument);
    CPU_LOCAL(task) = before;
    return OK;
}

const struct remote_place *remote_stop_place(const struct remote_stop *stop, unsigned cpu)
{
    assert_ptr_equal(stop, any_stop);
    return cpu < CPUS && (stopped_cpus >> cpu & 1) ? &places[cpu] : NULL;
}

/* ---- making worlds ---- */

static int setup(void **state)
{
    memset(stacks, 0, sizeof(stacks));
    memset(tasks, 0, sizeof(tasks));
    memset(idle, 0, sizeof(idle));
    memset(places, 0, sizeof(places));
    memset(on_cpu, 0, sizeof(on_cpu));
    for (uint32_t i = 0; i < SECTIONS; i++) {
        cells[i].name = "a cell";
        sections[i] = (struct section){
            .cell = &cells[i],
            .address = text_at(i, 0),
            .size = 0x100,
            .region = i + 1 < SECTIONS ? REGION_TEXT : REGION_RODATA,
        };
    }
    task_count = 0;
    idle_count = 0;
    stopped_cpus = 0;
    cpus = 0;
    call_status = OK;
    calls = 0;
    restless = 0;
    own_section = NULL;
    told_count = 0;
    most = TOLD_MAX;
    CPU_LOCAL(task) = NULL;
    return 0;
}

static bool note(const struct live_frame *frame, void *context)
{
    assert_true(told_count < TOLD_MAX);
    told[told_count++] = *frame;
    return told_count < most;
}

/* One that waits on its own stack: one frame in `section`, at word `at`. */
static struct task *add_task(uint32_t section, uint32_t at)
{
    struct fake_stack *stack = &stacks[task_count];
    struct task *task = &tasks[task_count];
    task->id = ++task_count;
    task->state = TASK_BLOCKED;
    task->stack = (struct stack *)stack;
    memcpy(task->name, "worker", sizeof("worker"));
    stack->at[0] = at;
    stack->rip[0] = text_at(section, 0x10);
    stack->count = 1;
    stack->end = UNWIND_END;
    task->context[CONTEXT_RESUME] = stack->rip[0];
    task->context[CONTEXT_STACK] = word_at(stack, at);
    return task;
}

static void add_frame(uint32_t number, uint32_t section, uint32_t at)
{
    struct fake_stack *stack = &stacks[number];
    stack->rip[stack->count] = text_at(section, 0x20);
    stack->at[stack->count++] = at;
}

static struct live_counts visit(void)
{
    struct live_counts counts;
    told_count = 0;
    assert_true(live_frames_visit(any_stop, note, NULL, &counts));
    return counts;
}

/* Told but for the caller's own stack, which comes first. */
static void assert_told(uint32_t index, enum live_kind kind, uint64_t number, uint64_t address,
                        uint32_t depth)
{
    assert_true(index + 1 < told_count);
    const struct live_frame *frame = &told[index + 1];
    assert_int_equal(frame->kind, kind);
    assert_int_equal(frame->number, number);
    assert_int_equal(frame->address, address);
    assert_int_equal(frame->depth, depth);
}

/* ---- tests: all at one moment ---- */

static void frames_are_told_from_the_innermost_to_the_top(void **state)
{
    add_task(1, 10);
    add_frame(0, 2, 20);
    add_frame(0, 3, WORDS);
    add_task(4, WORDS);
    struct live_counts counts = visit();
    assert_int_equal(told_count, 5);
    assert_string_equal(told[0].task, "no task"); /* the caller */
    assert_null(told[0].section);
    assert_told(0, LIVE_FRAME, 1, text_at(1, 0x10), 0);
    assert_told(1, LIVE_FRAME, 1, text_at(2, 0x20), 1);
    assert_told(2, LIVE_FRAME, 1, text_at(3, 0x20), 2);
    assert_told(3, LIVE_FRAME, 2, text_at(4, 0x10), 0);
    assert_ptr_equal(told[2].section, &sections[2]);
    assert_string_equal(told[2].task, "worker");
    assert_int_equal(counts.stacks, 3);
    assert_int_equal(counts.frames, 5);
    assert_int_equal(counts.words, 0);
    assert_int_equal(counts.partial, 0);
}

static void whoever_has_frames_is_told(void **state)
{
    add_task(0, WORDS)->state = TASK_READY;
    add_task(1, WORDS)->state = TASK_BLOCKED;
    add_task(2, WORDS)->state = TASK_ENDED;
    add_task(3, WORDS)->context[CONTEXT_RESUME] = 1; /* has not begun */
    add_task(3, WORDS)->context[CONTEXT_RESUME] = 0; /* was never switched from */
    struct task *running = add_task(4, WORDS);
    running->state = TASK_RUNNING;
    stopped_cpus = 4;
    places[2].task = running;
    places[2].place.rip = text_at(4, 0x30);
    places[2].place.rsp = running->context[CONTEXT_STACK];
    visit();
    assert_int_equal(told_count, 4);
    assert_told(0, LIVE_FRAME, 6, text_at(4, 0x30), 0); /* from where its CPU stands */
    assert_told(1, LIVE_FRAME, 1, text_at(0, 0x10), 0);
    assert_told(2, LIVE_FRAME, 2, text_at(1, 0x10), 0);
}

static void idle_tasks_are_told_where_they_do_not_run(void **state)
{
    add_task(1, WORDS);
    idle[0] = tasks[0];
    idle[1] = tasks[0];
    idle[1].state = TASK_RUNNING;
    idle_count = 2;
    task_count = 0;
    visit();
    assert_int_equal(told_count, 2);
    assert_told(0, LIVE_FRAME, 1, text_at(1, 0x10), 0);
}

static void a_few_words_at_the_top_are_no_frames(void **state)
{
    for (uint32_t below = 0; below <= 5; below++) {
        setup(state);
        add_task(1, WORDS - below);
        stacks[0].words[WORDS - 1] = text_at(2, 1);
        assert_int_equal(visit().partial, below > 4);
        assert_int_equal(told_count, below > 4 ? 3 : 2);
    }
}

static void behind_the_last_frame_words_are_told(void **state)
{
    static const uint64_t words[] = {
        TEXT_START,          /* a function's first byte: a return to it, by a jump */
        TEXT_START + 0x100,  /* behind the last: the call was the last instruction */
        TEXT_START + 0x101,  /* nothing */
        TEXT_START - 1,      /* nothing */
        TEXT_START + 0x5000, /* a constant */
        TEXT_START + 0x1000, /* the next section's first byte */
        0,
        UINT64_MAX,
    };
    add_task(3, 20);
    add_frame(0, 4, 30);
    stacks[0].end = UNWIND_UNRELIABLE;
    stacks[0].words[29] = text_at(0, 1); /* below the last frame: walked */
    memcpy(&stacks[0].words[30], words, sizeof(words));
    stacks[0].words[WORDS - 1] = text_at(1, 0x77);
    struct live_counts counts = visit();
    assert_int_equal(counts.partial, 1);
    assert_int_equal(counts.words, 4);
    assert_told(1, LIVE_FRAME, 1, text_at(4, 0x20), 1);
    assert_told(2, LIVE_WORD, 1, text_at(0, 0), 2);
    assert_told(3, LIVE_WORD, 1, text_at(0, 0x100), 3);
    assert_ptr_equal(told[4].section, &sections[0]);
    assert_told(4, LIVE_WORD, 1, text_at(1, 0), 4);
    assert_told(5, LIVE_WORD, 1, text_at(1, 0x77), 5);
}

static void an_unaligned_frame_does_not_hide_words(void **state)
{
    struct task *task = add_task(3, 20);
    task->context[CONTEXT_STACK] += 3;
    stacks[0].end = UNWIND_UNRELIABLE;
    stacks[0].words[21] = text_at(1, 0x40);
    visit();
    assert_int_equal(told_count, 3);
    assert_told(1, LIVE_WORD, 1, text_at(1, 0x40), 1);
}

static void a_stack_that_cannot_be_read_is_told(void **state)
{
    add_task(3, 20)->context[CONTEXT_STACK] = 0x1000;
    struct live_counts counts = visit();
    assert_int_equal(counts.partial, 1);
    assert_told(0, LIVE_FRAME, 1, text_at(3, 0x10), 0);
    assert_told(1, LIVE_UNKNOWN, 1, 0, 1);
    assert_null(told[2].section);
}

/* It releases what a fault left, on a stack of the pool: all of its own is told. */
static void who_is_on_another_stack_is_told_with_its_own(void **state)
{
    struct task *task = add_task(1, WORDS);
    task->stack = (struct stack *)&stacks[3];
    stacks[3].words[0] = text_at(2, 5);
    stacks[3].words[WORDS - 1] = text_at(3, 5);
    assert_int_equal(visit().partial, 1);
    assert_int_equal(told_count, 4);
    assert_told(1, LIVE_WORD, 1, text_at(2, 5), 1);
    assert_told(2, LIVE_WORD, 1, text_at(3, 5), 2);
    task->stack = NULL; /* the boot task: its chain says where its stack is */
    task->own_top = (struct own_slot *)&stacks[3].words[9];
    visit();
    assert_int_equal(told_count, 4);
    task->own_top = (struct own_slot *)&stacks[0].words[9];
    assert_int_equal(visit().partial, 0);
    assert_int_equal(told_count, 2);
}

static void where_a_task_goes_on_with_vectors_is_told(void **state)
{
    struct task *task = add_task(1, 20);
    task->vectors_resume = text_at(2, 0x33);
    stacks[0].end = UNWIND_UNRELIABLE;
    visit();
    assert_int_equal(told_count, 3);
    assert_told(1, LIVE_WORD, 1, text_at(2, 0x33), 1);
    task->vectors_resume = 0x1234; /* of no cell */
    visit();
    assert_int_equal(told_count, 2);
}

static void the_asker_itself_is_left_out_on_its_own_stack_only(void **state)
{
    own_section = &sections[2];
    add_task(2, WORDS);
    struct live_counts counts = visit();
    assert_int_equal(told_count, 1);
    assert_int_equal(told[0].number, 1);
    assert_int_equal(counts.stacks, 2);
}

static void a_visitor_may_have_enough(void **state)
{
    add_task(1, 10);
    stacks[0].end = UNWIND_UNRELIABLE;
    stacks[0].words[20] = text_at(1, 1);
    add_task(2, WORDS);
    for (most = 1; most <= 3; most++) {
        told_count = 0;
        assert_false(live_frames_visit(any_stop, note, NULL, NULL));
        assert_int_equal(told_count, most);
    }
    most = 5;
    told_count = 0;
    assert_true(live_frames_visit(any_stop, note, NULL, NULL));
}

static void some_cells_are_asked_for(void **state)
{
    const struct cell *wanted[] = {&cells[4], &cells[2]};
    struct live_finding finding;
    struct task *task = add_task(1, 10);
    add_frame(0, 2, WORDS);
    memset(task->name, 'x', sizeof(task->name) - 1);
    assert_true(live_frames_find(any_stop, wanted, 2, &finding));
    assert_int_equal(finding.kind, LIVE_FRAME);
    assert_ptr_equal(finding.section, &sections[2]);
    assert_int_equal(finding.offset, 0x20);
    assert_int_equal(finding.number, 1);
    assert_int_equal(finding.depth, 1);
    assert_int_equal(strlen(finding.task), TASK_NAME_SIZE - 1);
    assert_false(live_frames_find(any_stop, wanted, 1, &finding));
    assert_false(live_frames_find(any_stop, wanted, 0, &finding));
    task->context[CONTEXT_STACK] = 0x1000; /* anything may be there */
    assert_true(live_frames_find(any_stop, wanted, 1, &finding));
    assert_int_equal(finding.kind, LIVE_UNKNOWN);
    assert_null(finding.section);
    assert_int_equal(finding.offset, 0);
}

/* ---- parts of stacks ---- */

static struct {
    uint64_t low;
    uint64_t high;
} parts[16];
static uint32_t part_count;

static void note_part(uint64_t low, uint64_t high, void *context)
{
    parts[part_count].low = low;
    parts[part_count++].high = high;
}

static void parts_in_use_are_told(void **state)
{
    struct task *task = add_task(1, 10);
    add_task(2, WORDS);
    tasks[1].context[CONTEXT_RESUME] = 1; /* has not begun: its argument is there */
    uint64_t own = (uint64_t)__builtin_frame_address(0);
    part_count = 0;
    assert_true(live_frames_stacks(any_stop, own, note_part, NULL));
    assert_int_equal(part_count, 3);
    assert_int_equal(parts[0].low, own);
    assert_int_equal(parts[1].low, word_at(&stacks[0], 10));
    assert_int_equal(parts[1].high, word_at(&stacks[0], WORDS));
    task->stack = (struct stack *)&stacks[3]; /* and all of its own */
    part_count = 0;
    assert_true(live_frames_stacks(any_stop, own, note_part, NULL));
    assert_int_equal(part_count, 4);
    assert_int_equal(parts[2].low, word_at(&stacks[3], 0));
    assert_int_equal(parts[2].high, word_at(&stacks[3], WORDS));
    task->context[CONTEXT_STACK] = 0x1000;
    assert_false(live_frames_stacks(any_stop, own, note_part, NULL));
    assert_false(live_frames_stacks(any_stop, 0x1000, note_part, NULL));
}

/* ---- one after the other ---- */

static void sweep_on(struct live_sweep *sweep, uint32_t count)
{
    assert_int_equal(live_frames_sweep(sweep, count, note, NULL), OK);
    assert_int_equal(readers, 0);
}

static void a_sweep_goes_on_where_it_was(void **state)
{
    for (uint32_t i = 0; i < 4; i++) {
        add_task(i, WORDS);
    }
    struct live_sweep sweep = {0};
    sweep_on(&sweep, CPU_LIMIT); /* CPUs without idle tasks, this one among them */
    uint32_t of_cpus = told_count;
    for (uint32_t i = 0; i < 4; i++) {
        assert_false(sweep.is_done);
        sweep_on(&sweep, 1);
        assert_int_equal(told_count, of_cpus + i + 1);
        assert_int_equal(told[of_cpus + i].number, i + 1);
    }
    sweep_on(&sweep, 100);
    assert_true(sweep.is_done);
    assert_int_equal(sweep.counts.stacks, told_count);
    sweep_on(&sweep, 100); /* nothing is left */
    assert_int_equal(told_count, of_cpus + 4);
    struct live_sweep nothing = {0};
    sweep_on(&nothing, 0);
    assert_false(nothing.is_done);
}

static void a_task_that_runs_is_asked_by_its_cpu(void **state)
{
    struct task *task = add_task(1, WORDS);
    task->state = TASK_RUNNING;
    task->home = 3;
    on_cpu[3] = task;
    cpus = 1u << 3;
    struct live_sweep sweep = {.cpu = CPU_LIMIT};
    restless = 5; /* was not there, and is again */
    sweep_on(&sweep, 1);
    assert_int_equal(calls, 6);
    assert_int_equal(told_count, 1);
    assert_int_equal(told[0].number, 1);
    assert_string_equal(told[0].task, "worker");

    restless = UINT32_MAX;
    sweep = (struct live_sweep){.cpu = CPU_LIMIT};
    assert_int_equal(live_frames_sweep(&sweep, 1, note, NULL), ERR_AGAIN);
    assert_int_equal(sweep.task, 0);
    restless = 0;
    call_status = ERR_TIMEOUT;
    assert_int_equal(live_frames_sweep(&sweep, 1, note, NULL), ERR_TIMEOUT);
    assert_false(sweep.is_done);
    call_status = OK;
    sweep_on(&sweep, 2); /* it can go on */
    assert_true(sweep.is_done);
    assert_int_equal(told_count, 2);
    assert_int_equal(readers, 0);
}

static void idle_tasks_are_swept_where_they_are(void **state)
{
    add_task(1, WORDS);
    idle[0] = tasks[0];
    idle[0].is_idle = true;
    idle[1] = idle[0];
    idle[1].state = TASK_RUNNING;
    on_cpu[1] = &idle[1];
    idle_count = 2;
    task_count = 0;
    cpus = 3;
    struct live_sweep sweep = {0};
    sweep_on(&sweep, 2);
    assert_int_equal(sweep.cpu, 2);
    assert_int_equal(told_count, 2);
    assert_int_equal(told[0].address, text_at(1, 0x10));
    assert_int_equal(calls, 1);
}

/* ---- random stacks ---- */

static uint64_t random_state;

static uint32_t draw(uint32_t bound)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % bound;
}

static void draw_stack(uint32_t number)
{
    struct task *task = add_task(draw(SECTIONS), draw(WORDS + 1));
    struct fake_stack *stack = &stacks[number];
    for (uint32_t i = 0; i < WORDS; i++) {
        stack->words[i] = draw(3) ? draw(WORDS) : text_at(draw(SECTIONS + 1), draw(0x110));
    }
    while (stack->count < FRAMES_MAX && stack->at[stack->count - 1] < WORDS && draw(4)) {
        uint32_t last = stack->at[stack->count - 1];
        add_frame(number, draw(SECTIONS), last + 1 + draw(WORDS - last));
    }
    stack->end = draw(2) ? UNWIND_END : UNWIND_UNRELIABLE;
    task->state = draw(8) ? TASK_BLOCKED : TASK_ENDED;
    task->vectors_resume = draw(4) ? 0 : text_at(draw(SECTIONS), 9);
}

static bool is_text(uint64_t word)
{
    for (uint32_t i = 0; i + 1 < SECTIONS; i++) {
        if (word - text_at(i, 0) <= 0x100) {
            return true;
        }
    }
    return false;
}

/* What must be told of it, in order; compares from told[*at] on. */
static void check_stack(uint32_t number, uint32_t *at)
{
    const struct fake_stack *stack = &stacks[number];
    if (tasks[number].state == TASK_ENDED) {
        return;
    }
    for (uint32_t i = 0; i < stack->count; i++) {
        assert_told((*at)++, LIVE_FRAME, number + 1, stack->rip[i], i);
    }
    uint32_t from = stack->at[stack->count - 1];
    if (WORDS - from <= 4) {
        return;
    }
    uint32_t depth = stack->count;
    for (uint32_t i = from; i < WORDS; i++) {
        if (is_text(stack->words[i])) {
            assert_told((*at)++, LIVE_WORD, number + 1, stack->words[i], depth++);
        }
    }
    if (is_text(tasks[number].vectors_resume)) {
        assert_told((*at)++, LIVE_WORD, number + 1, tasks[number].vectors_resume, depth);
    }
}

static void random_stacks_agree_with_a_model(void **state)
{
    const char *seed = getenv("LIVE_FRAMES_SEED");
    random_state = seed ? strtoull(seed, NULL, 0) : 20261121;
    print_message("LIVE_FRAMES_SEED=%lu\n", (unsigned long)random_state);
    uint64_t words = 0;
    for (uint32_t round = 0; round < 2000; round++) {
        setup(state);
        uint32_t count = 1 + draw(TASKS);
        for (uint32_t i = 0; i < count; i++) {
            draw_stack(i);
        }
        words += visit().words;
        uint32_t at = 0;
        for (uint32_t i = 0; i < count; i++) {
            check_stack(i, &at);
        }
        assert_int_equal(at + 1, told_count);
        uint32_t all = told_count;
        struct live_sweep sweep = {.cpu = CPU_LIMIT};
        told_count = 1; /* without the caller */
        while (!sweep.is_done) {
            sweep_on(&sweep, 1 + draw(3));
        }
        assert_int_equal(told_count, all);
        at = 0;
        for (uint32_t i = 0; i < count; i++) {
            check_stack(i, &at);
        }
    }
    assert_true(words > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(frames_are_told_from_the_innermost_to_the_top, setup),
        cmocka_unit_test_setup(whoever_has_frames_is_told, setup),
        cmocka_unit_test_setup(idle_tasks_are_told_where_they_do_not_run, setup),
        cmocka_unit_test_setup(a_few_words_at_the_top_are_no_frames, setup),
        cmocka_unit_test_setup(behind_the_last_frame_words_are_told, setup),
        cmocka_unit_test_setup(an_unaligned_frame_does_not_hide_words, setup),
        cmocka_unit_test_setup(a_stack_that_cannot_be_read_is_told, setup),
        cmocka_unit_test_setup(who_is_on_another_stack_is_told_with_its_own, setup),
        cmocka_unit_test_setup(where_a_task_goes_on_with_vectors_is_told, setup),
        cmocka_unit_test_setup(the_asker_itself_is_left_out_on_its_own_stack_only, setup),
        cmocka_unit_test_setup(a_visitor_may_have_enough, setup),
        cmocka_unit_test_setup(some_cells_are_asked_for, setup),
        cmocka_unit_test_setup(parts_in_use_are_told, setup),
        cmocka_unit_test_setup(a_sweep_goes_on_where_it_was, setup),
        cmocka_unit_test_setup(a_task_that_runs_is_asked_by_its_cpu, setup),
        cmocka_unit_test_setup(idle_tasks_are_swept_where_they_are, setup),
        cmocka_unit_test_setup(random_stacks_agree_with_a_model, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
