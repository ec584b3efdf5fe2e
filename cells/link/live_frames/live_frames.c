/* SPDX-License-Identifier: MIT */
/*
 * Where a walk begins:
 *
 *   a task that runs here, or no task    the registers of the function that asks
 *   one that runs on a stopped CPU       what that CPU noted before it stood still (remote_place)
 *   one that runs on another CPU         the same, by that CPU, in a remote call
 *   one that does not run                the two words of its context; a new one has no frames
 *
 * and where it must end: at the top of the stack, up to WORDS_AT_TOP words that no frame has (what
 * context_prepare() and boot code leave there). Anything else is a walk that was broken off.
 */
#include "live_frames.h"
#include "address_map.h"
#include "backtrace.h"
#include "context.h"
#include "cpu_local.h"
#include "freestanding.h"
#include "stack.h"
#include "task.h"
#include "x86.h"

CELL(library, "1.0.0");

#define WORD         sizeof(uint64_t)
#define WORDS_AT_TOP 4u
#define TEXT_START   0xffffffff80000000ull /* code lies in the top 2 GiB */
#define TRIES_MAX    1000u                 /* to find a task on the CPU that it runs on */

struct walk {
    live_frame_visitor_t visit;
    live_stack_visitor_t visit_stack; /* instead: parts of stacks, not frames */
    void *context;
    struct live_counts *counts;
    const struct cell *skipped; /* frames of this cell are left out */
    struct live_frame frame;    /* the one to be told next */
};

/* ---- telling ---- */

static bool tell(struct walk *walk, enum live_kind kind, uint64_t address,
                 const struct section *section)
{
    walk->frame.kind = kind;
    walk->frame.address = address;
    walk->frame.section = section;
    walk->counts->words += kind == LIVE_WORD;
    walk->counts->frames += kind == LIVE_FRAME;
    bool goes_on = walk->visit(&walk->frame, walk->context);
    walk->frame.depth++;
    return goes_on;
}

/* The section of text that a return to `word`, or going on there, would lead to. */
static const struct section *text_of(uint64_t word)
{
    if (LIKELY(word < TEXT_START)) {
        return NULL;
    }
    const struct section *section = address_map_find(word);
    if (!section || section->region != REGION_TEXT) {
        section = address_map_find(word - 1);
    }
    return section && section->region == REGION_TEXT ? section : NULL;
}

/* All words from `low` to `high` that may be return addresses. */
__attribute__((no_sanitize("address"))) static bool tell_words(struct walk *walk, uint64_t low,
                                                               uint64_t high)
{
    for (uint64_t at = (low + WORD - 1) & ~(uint64_t)(WORD - 1); at < high; at += WORD) {
        uint64_t word = *(const volatile uint64_t *)(uintptr_t)at;
        const struct section *section = text_of(word);
        if (section && !tell(walk, LIVE_WORD, word, section)) {
            return false;
        }
    }
    return true;
}

/* ---- one stack ---- */

/* Frames, as far as the unwinder gets. *out_from: where the first one begins that it did not get
 * to. */
static bool tell_frames(struct walk *walk, struct unwind_cursor *cursor, uint64_t *out_from)
{
    enum unwind_outcome outcome;
    do {
        *out_from = cursor->registers[CFI_RSP];
        const struct section *section = address_map_find(unwind_pc(cursor));
        if ((!section || section->cell != walk->skipped) &&
            !tell(walk, LIVE_FRAME, cursor->registers[CFI_RIP], section)) {
            return false;
        }
        outcome = unwind_step(cursor);
    } while (outcome == UNWIND_CALLER);
    return true;
}

/* Where a task whose chain is not on the stack at `low` has another one: its own. Unchecked:
 * a field of a record that is constant here. */
static bool find_own_stack(const struct task *task, const struct own_slot *own_top, uint64_t low,
                           struct stack_place *out) OWN_UNCHECKED
{
    uint64_t inside = task && task->stack ? stack_bottom(task->stack) : (uintptr_t)own_top;
    return inside && stack_find(inside, out) && out->part == STACK_INSIDE && out->bottom != low;
}

/* The part in use of the stack that it is on, and all of its own if it is on another one. */
static bool tell_parts(struct walk *walk, const struct task *task, const struct own_slot *own_top,
                       uint64_t rsp)
{
    struct stack_place place;
    struct stack_place own;
    if (!stack_find(rsp, &place) || place.part != STACK_INSIDE) {
        return false;
    }
    walk->visit_stack(rsp, place.top, walk->context);
    if (find_own_stack(task, own_top, place.bottom, &own)) {
        walk->visit_stack(own.bottom, own.top, walk->context);
    }
    return true;
}

static bool tell_stack(struct walk *walk, const struct task *task, const struct own_slot *own_top,
                       const uint64_t registers[CFI_REGISTER_COUNT])
{
    struct backtrace backtrace;
    uint64_t from;
    if (walk->visit_stack) {
        return tell_parts(walk, task, own_top, registers[CFI_RSP]);
    }
    walk->counts->stacks++;
    backtrace_begin(&backtrace, registers, true);
    if (!tell_frames(walk, &backtrace.cursor, &from)) {
        return false;
    }
    uint64_t low = backtrace.cursor.low;
    uint64_t high = backtrace.cursor.high;
    struct stack_place own;
    bool is_elsewhere = find_own_stack(task, own_top, low, &own);
    if (from >= low && from <= high && high - from <= WORDS_AT_TOP * WORD && !is_elsewhere) {
        return true;
    }
    walk->counts->partial++;
    bool is_readable = from >= low && from <= high;
    if (!(is_readable ? tell_words(walk, from, high) : tell(walk, LIVE_UNKNOWN, 0, NULL))) {
        return false;
    }
    if (is_elsewhere && !tell_words(walk, own.bottom, own.top)) {
        return false;
    }
    /* fpu.h: where it goes on when it has got its registers is in no frame. */
    const struct section *resume = task ? text_of(task->vectors_resume) : NULL;
    return !resume || tell(walk, LIVE_WORD, task->vectors_resume, resume);
}

static void name_task(struct walk *walk, const struct task *task)
{
    walk->frame.task = task ? task->name : "no task";
    walk->frame.number = task ? task->id : 0;
    walk->frame.depth = 0;
}

/* A stack whose CPU stands at `place`. */
static bool tell_place(struct walk *walk, const struct task *task, const struct own_slot *own_top,
                       const struct cpu_place *place)
{
    uint64_t registers[CFI_REGISTER_COUNT] = {
        [CFI_RIP] = place->rip, [CFI_RSP] = place->rsp, [CFI_RBP] = place->rbp,
        [CFI_RBX] = place->rbx, [CFI_R12] = place->r12, [CFI_R13] = place->r13,
        [CFI_R14] = place->r14, [CFI_R15] = place->r15,
    };
    name_task(walk, task);
    return tell_stack(walk, task, own_top, registers);
}

/* One that does not run: an idle CPU's that was not started has no context. */
static bool tell_context(struct walk *walk, const struct task *task)
{
    bool has_frames = !context_is_unused(task->context) || walk->visit_stack;
    if (task->state == TASK_ENDED || !task->context[CONTEXT_RESUME] || !has_frames) {
        return true;
    }
    uint64_t registers[CFI_REGISTER_COUNT] = {
        [CFI_RIP] = task->context[CONTEXT_RESUME],
        [CFI_RSP] = task->context[CONTEXT_STACK],
    };
    name_task(walk, task);
    return tell_stack(walk, task, task->own_top, registers);
}

/* ---- all at one moment ---- */

/* Is it on a CPU? Those that are have a state, or have none and are told with their CPU. */
static bool runs(const struct task *task)
{
    return __atomic_load_n(&task->state, __ATOMIC_RELAXED) == TASK_RUNNING;
}

static bool tell_others(struct walk *walk, const struct remote_stop *stop) OWN_BORROWS(*stop);
static bool tell_others(struct walk *walk, const struct remote_stop *stop)
{
    for (uint32_t cpu = 0; cpu < CPU_LIMIT; cpu++) {
        const struct remote_place *place = remote_stop_place(stop, cpu);
        if (place && !tell_place(walk, place->task, place->own_top, &place->place)) {
            return false;
        }
        const struct task *idle = dispatcher_idle_task(cpu);
        if (idle && !runs(idle) && !tell_context(walk, idle)) {
            return false;
        }
    }
    for (const struct task *task = task_after(NULL); task; task = task_after(task)) {
        if (!runs(task) && !tell_context(walk, task)) {
            return false;
        }
    }
    return true;
}

bool live_frames_visit(const struct remote_stop *stop, live_frame_visitor_t visit, void *context,
                       struct live_counts *out_counts)
{
    struct live_counts counts = {0};
    struct cpu_place here;
    note_place(&here);
    const struct section *own = address_map_find(here.rip);
    struct walk walk = {
        .visit = visit,
        .context = context,
        .counts = &counts,
        .skipped = own ? own->cell : NULL,
    };
    bool is_through = tell_place(&walk, CPU_LOCAL(task), OWN_TOP, &here);
    walk.skipped = NULL;
    is_through = is_through && tell_others(&walk, stop);
    if (out_counts) {
        *out_counts = counts;
    }
    return is_through;
}

bool live_frames_stacks(const struct remote_stop *stop, uint64_t own_stack,
                        live_stack_visitor_t visit, void *context)
{
    struct live_counts counts = {0};
    struct walk walk = {.visit_stack = visit, .context = context, .counts = &counts};
    struct cpu_place here = {.rsp = own_stack};
    return tell_place(&walk, CPU_LOCAL(task), OWN_TOP, &here) && tell_others(&walk, stop);
}

/* ---- some cells ---- */

struct search {
    const struct cell *const *cells;
    size_t count;
    struct live_finding *out;
};

static bool is_wanted(const struct search *search, const struct live_frame *frame)
{
    if (frame->kind == LIVE_UNKNOWN) {
        return true;
    }
    for (size_t i = 0; frame->section && i < search->count; i++) {
        if (search->cells[i] == frame->section->cell) {
            return true;
        }
    }
    return false;
}

static bool search_frame(const struct live_frame *frame, void *context)
{
    const struct search *search = context;
    if (LIKELY(!is_wanted(search, frame))) {
        return true;
    }
    struct live_finding *out = search->out;
    *out = (struct live_finding){
        .kind = frame->kind,
        .number = frame->number,
        .depth = frame->depth,
        .section = frame->section,
        .offset = frame->section ? frame->address - frame->section->address : 0,
    };
    size_t length = strlen(frame->task);
    memcpy(out->task, frame->task, length < TASK_NAME_SIZE ? length : TASK_NAME_SIZE - 1);
    return false;
}

bool live_frames_find(const struct remote_stop *stop, const struct cell *const *cells, size_t count,
                      struct live_finding *out)
{
    struct search search = {cells, count, out};
    return !live_frames_visit(stop, search_frame, &search, NULL);
}

/* ---- one after the other ---- */

struct visit_here {
    struct walk *walk;
    uint64_t number; /* of the task that is to run here; 0: whoever is idle here */
    bool is_told;
};

/* On the CPU in question, with interrupts off: so what runs there runs this. */
static void tell_here(void *argument)
{
    struct visit_here *visit = argument;
    const struct task *task = CPU_LOCAL(task);
    struct cpu_place here;
    note_place(&here);
    if (visit->number ? task && task->id == visit->number : !task || task->is_idle) {
        tell_place(visit->walk, task, OWN_TOP, &here);
        visit->is_told = true;
    }
}

static void tell_waiting(const struct task *task, void *context)
{
    tell_context(context, task);
}

/* The idle task of a CPU, wherever it is; or what a CPU without tasks does. */
static enum status sweep_cpu(struct walk *walk, uint32_t cpu)
{
    const struct task *idle = dispatcher_idle_task(cpu);
    bool takes_part = (remote_call_cpus() >> cpu & 1) || cpu == CPU_LOCAL(index);
    uint32_t where;
    if (idle && dispatcher_look(idle, tell_waiting, walk, &where)) {
        return OK;
    }
    struct visit_here visit = {.walk = walk};
    if (!takes_part) {
        return OK;
    }
    if (cpu == CPU_LOCAL(index) && !(remote_call_cpus() >> cpu & 1)) {
        tell_here(&visit); /* alone, before there are tasks */
        return OK;
    }
    enum status status = remote_call(cpu, tell_here, &visit);
    return status != OK ? status : visit.is_told || !idle ? OK : ERR_AGAIN;
}

static enum status sweep_task(struct walk *walk, uint64_t after, uint64_t *out_number)
{
    uint32_t cpu;
    bool is_running;
    *out_number = task_look(after, tell_waiting, walk, &is_running, &cpu);
    if (*out_number == 0 || !is_running) {
        return OK;
    }
    struct visit_here visit = {.walk = walk, .number = *out_number};
    enum status status = remote_call(cpu, tell_here, &visit);
    return status != OK ? status : visit.is_told ? OK : ERR_AGAIN;
}

/* One stack more. */
static enum status sweep_next(struct live_sweep *sweep, struct walk *walk)
{
    if (sweep->cpu < CPU_LIMIT) {
        enum status status = sweep_cpu(walk, sweep->cpu);
        sweep->cpu += status == OK;
        return status;
    }
    uint64_t number;
    enum status status = sweep_task(walk, sweep->task, &number);
    if (status == OK) {
        sweep->is_done = number == 0;
        sweep->task = number;
    }
    return status;
}

enum status live_frames_sweep(struct live_sweep *sweep, uint32_t most, live_frame_visitor_t visit,
                              void *context)
{
    struct walk walk = {.visit = visit, .context = context, .counts = &sweep->counts};
    uint32_t tries = 0;
    for (uint32_t i = 0; i < most && !sweep->is_done;) {
        address_map_enter();
        enum status status = sweep_next(sweep, &walk);
        address_map_leave();
        if (status == ERR_AGAIN && ++tries < TRIES_MAX) {
            continue; /* it went to another CPU, or stopped running, in between */
        }
        if (status != OK) {
            return status;
        }
        i++;
        tries = 0;
    }
    return OK;
}
