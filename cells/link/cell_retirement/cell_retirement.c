/* SPDX-License-Identifier: MIT */
/*
 * What is looked for, of each cell that is about to go: its regions of constants and variables, but
 * not those that somebody who stays has adopted sections of; and sections that it has adopted
 * itself, where nobody else has. The text is the stacks' affair.
 *
 * A region is described in several places by its address and its size or end: metadata of cells,
 * rows of the address map, mapped_pages. Such pairs are descriptions, not pointers.
 */
#include "cell_retirement.h"
#include "address_map.h"
#include "cell_namespace.h"
#include "format.h"
#include "frame_allocator.h"
#include "freestanding.h"
#include "heap_block.h"
#include "logger.h"
#include "memory.h"
#include "nano_core_image.h"
#include "page_table.h"
#include "pointer_scan.h"
#include "x86.h"

CELL(library, "1.0.0");

#define STACKS_AT_ONCE 16u
#define PAGES_AT_ONCE  32u
#define EDGES_MAX      256u

/* Cell `to` is pointed to from memory of cell `from`. */
struct edge {
    struct cell *from;
    struct cell *to;
    uint64_t where;
};

struct OWN_CAPABILITY("pass of the retirement") pass {
    struct cell_namespace *namespace;
    uint32_t leaving; /* cells that still are */
    struct pointer_scan scan;
    struct pointer_target *targets; /* owned */
    uint32_t target_count;
    uint32_t edge_count;
    struct edge edges[EDGES_MAX];
};

static struct {
    struct retirement_finding *rows; /* owned */
    uint32_t count;
    uint32_t capacity;
} findings;

static struct retirement_statistics statistics;

static uint64_t ticks(void)
{
    return __builtin_ia32_rdtsc();
}

/* ---- findings ---- */

/* Room for one of each cell that is leaving. */
static bool make_room(uint32_t count)
{
    findings.count = 0;
    if (findings.capacity >= count) {
        return true;
    }
    findings.capacity = 0;
    COMPILER_BARRIER();
    heap_block_give(&findings.rows);
    if (!heap_block_take_zeroed(count * sizeof(*findings.rows), &findings.rows)) {
        return false;
    }
    findings.capacity = count;
    return true;
}

/* The cell stays. */
static void spare(struct pass *pass, struct cell *cell, const struct retirement_finding *finding)
{
    if (!cell->is_leaving) {
        return;
    }
    cell->is_leaving = false;
    pass->leaving--;
    if (findings.count < findings.capacity) {
        findings.rows[findings.count] = *finding;
        findings.rows[findings.count++].cell = cell;
    }
}

/* ---- stacks ---- */

static void copy_task(struct retirement_finding *finding, const char *task)
{
    size_t length = strlen(task);
    length = length < TASK_NAME_SIZE ? length : TASK_NAME_SIZE - 1;
    memcpy(finding->task, task, length);
    finding->task[length] = '\0';
}

static bool note_frame(const struct live_frame *frame, void *context)
{
    static const enum retirement_keeper keepers[] = {
        [LIVE_FRAME] = RETIREMENT_FRAME,
        [LIVE_WORD] = RETIREMENT_WORD,
        [LIVE_UNKNOWN] = RETIREMENT_UNKNOWN,
    };
    struct pass *pass = context;
    bool is_known = frame->kind != LIVE_UNKNOWN;
    if (is_known && (!frame->section || !frame->section->cell->is_leaving)) {
        return true;
    }
    struct retirement_finding finding = {
        .keeper = keepers[frame->kind],
        .depth = frame->depth,
        .section = frame->section,
        .offset = frame->section ? frame->address - frame->section->address : 0,
    };
    copy_task(&finding, frame->task);
    if (is_known) {
        spare(pass, frame->section->cell, &finding);
        return true;
    }
    for (struct cell *cell = pass->namespace->retired; cell; cell = cell->next) {
        spare(pass, cell, &finding);
    }
    return true;
}

static bool ask_stacks(struct pass *pass)
{
    uint64_t start = ticks();
    uint32_t before = pass->leaving;
    struct live_sweep sweep = {.cpu = 0};
    enum status status = OK;
    while (status == OK && !sweep.is_done) {
        status = live_frames_sweep(&sweep, STACKS_AT_ONCE, note_frame, pass);
    }
    statistics.stacks += sweep.counts.stacks;
    statistics.kept_by_stacks += before - pass->leaving;
    statistics.sweep_ticks += ticks() - start;
    return status == OK;
}

/* ---- what is looked for ---- */

static void add_target(struct pass *pass, struct cell *cell, uint64_t start, uint64_t size)
{
    if (size > 0) {
        pass->targets[pass->target_count++] = (struct pointer_target){
            .inverted_start = ~start,
            .inverted_end = ~(start + size),
            .context = cell,
        };
    }
}

static const struct section *adopted_section(const struct cell *cell, uint32_t number)
{
    return &cell->sections[cell->by_address[cell->region_first[REGION_COUNT] + number]];
}

/* Calls function(pass, section) for each adopted section of the cells in the list that stay, or
 * that leave. */
static void for_adopted(struct pass *pass, struct cell *first, bool is_leaving,
                        void (*function)(struct pass *pass, const struct section *section))
{
    for (struct cell *cell = first; cell; cell = cell->next) {
        for (uint32_t i = 0; cell->is_leaving == is_leaving && i < cell->adopted_count; i++) {
            function(pass, adopted_section(cell, i));
        }
    }
}

/* A region that somebody who stays has a section in does not go. */
static void exempt(struct pass *pass, const struct section *section)
{
    struct pointer_target *target = pointer_scan_find(&pass->scan, section->address);
    if (target) {
        target->context = NULL;
    }
}

/* One that nobody else has is looked for by itself, unless its region is. */
static void add_adopted(struct pass *pass, const struct section *section)
{
    for (uint32_t i = 0; i < pass->target_count; i++) {
        const struct pointer_target *target = &pass->targets[i];
        if (section->address - ~target->inverted_start <
            target->inverted_start - target->inverted_end) {
            return;
        }
    }
    add_target(pass, section->cell, section->address, section->size);
}

static void drop_exempt(struct pass *pass)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < pass->target_count; i++) {
        if (pass->targets[i].context) {
            pass->targets[kept++] = pass->targets[i];
        }
    }
    pass->target_count = kept;
}

static bool collect_targets(struct pass *pass)
{
    size_t most = 1;
    struct cell *first = pass->namespace->first;
    struct cell *retired = pass->namespace->retired;
    for (const struct cell *cell = retired; cell; cell = cell->next) {
        most += REGION_COUNT + cell->adopted_count;
    }
    if (!heap_block_take_zeroed(most * sizeof(*pass->targets), &pass->targets)) {
        return false;
    }
    for (struct cell *cell = retired; cell; cell = cell->next) {
        uint32_t end = cell->is_static ? REGION_DATA : REGION_COUNT; /* the image's data stay */
        for (uint32_t r = REGION_RODATA; cell->is_leaving && r < end; r++) {
            add_target(pass, cell, cell->regions[r].address, cell->regions[r].size);
        }
    }
    for_adopted(pass, retired, true, add_adopted);
    pointer_scan_begin(&pass->scan, pass->targets, pass->target_count, NULL, NULL);
    for_adopted(pass, first, false, exempt);
    for_adopted(pass, retired, false, exempt);
    drop_exempt(pass);
    return true;
}

/* ---- memory ---- */

/* The start of all of the target, and its size or end in one of the next two words: a description
 * of it. */
static bool is_description(const struct pointer_target *target, uint64_t where)
{
    const volatile uint64_t *words = (const volatile uint64_t *)(uintptr_t)where;
    uint64_t start = ~target->inverted_start;
    uint64_t size = target->inverted_start - target->inverted_end;
    uint64_t left = (PAGE_SIZE - where % PAGE_SIZE) / sizeof(uint64_t); /* in its page */
    for (uint64_t i = 1; words[0] == start && i < left && i <= 2; i++) {
        if (words[i] == size || words[i] == page_align_up(size) || words[i] == start + size) {
            return true;
        }
    }
    return false;
}

/* A word in memory of another cell that is leaving: what it means is known at the end. False: no
 * room. */
static bool note_edge(struct pass *pass, struct cell *from, struct cell *to, uint64_t where)
{
    for (uint32_t i = 0; i < pass->edge_count; i++) {
        if (pass->edges[i].from == from && pass->edges[i].to == to) {
            return true;
        }
    }
    if (pass->edge_count == EDGES_MAX) {
        return false;
    }
    pass->edges[pass->edge_count++] = (struct edge){from, to, where};
    return true;
}

/* In a page of variables, and behind the last one, or between two: what the boot loader left. */
static bool is_padding(uint64_t where)
{
    return where >= KERNEL_BASE && !address_map_find(where);
}

static bool is_ignored(struct pointer_target *target, uint64_t where, void *context)
{
    struct pass *pass = context;
    struct cell *cell = target->context;
    if (is_padding(where)) {
        return true;
    }
    if (where - (uintptr_t)cell < cell->metadata_size || is_description(target, where)) {
        return true;
    }
    const struct pointer_target *holder = pointer_scan_find(&pass->scan, where);
    if (!holder) {
        return false;
    }
    return holder->context == cell || note_edge(pass, holder->context, cell, where);
}

/* Looks at everything. False: a stack could not be found, or a CPU did not stop. */
static bool look_everywhere(struct pass *pass, uint64_t own_stack)
{
    uint64_t start = ticks();
    pointer_scan_begin(&pass->scan, pass->targets, pass->target_count, is_ignored, pass);
    while (!pass->scan.is_done) {
        pointer_scan_step(&pass->scan, PAGES_AT_ONCE);
    }
    uint64_t stopped = ticks();
    bool is_certain = false;
    {
        OWNED(remote_stop, stop);
        if (remote_stop_begin(SLOT(stop)) == OK) {
            is_certain = pointer_scan_finish(&pass->scan, REF(stop), own_stack);
        }
    }
    uint64_t window = ticks() - stopped;
    statistics.scan_ticks += stopped - start;
    statistics.window_ticks += window;
    statistics.longest_window =
        window > statistics.longest_window ? window : statistics.longest_window;
    statistics.pages += pass->scan.pages;
    statistics.changed_pages += pass->scan.changed_pages;
    return is_certain;
}

static const struct section *find_section(const struct cell *cell, uint64_t address)
{
    for (uint32_t i = 0; i < cell->object.section_count; i++) {
        const struct section *section = &cell->sections[i];
        if (section->region != REGION_NONE && address - section->address < section->size) {
            return section;
        }
    }
    return NULL;
}

static void spare_hit(struct pass *pass, const struct pointer_target *target)
{
    struct cell *cell = target->context;
    uint64_t address = ~target->inverted_word;
    struct retirement_finding finding = {
        .keeper = RETIREMENT_POINTER,
        .section = find_section(cell, address),
        .where = target->where,
    };
    finding.offset = address - (finding.section ? finding.section->address : 0);
    spare(pass, cell, &finding);
}

/* Whom those that stay point to stays. */
static void follow_edges(struct pass *pass)
{
    for (uint32_t before = pass->leaving + 1; pass->leaving < before;) {
        before = pass->leaving;
        for (uint32_t i = 0; i < pass->edge_count; i++) {
            const struct edge *edge = &pass->edges[i];
            if (!edge->from->is_leaving) {
                spare(
                    pass, edge->to,
                    &(struct retirement_finding){.keeper = RETIREMENT_CELL, .where = edge->where});
            }
        }
    }
}

static bool ask_memory(struct pass *pass, uint64_t own_stack)
{
    uint32_t before = pass->leaving;
    bool is_certain = collect_targets(pass) && look_everywhere(pass, own_stack);
    for (uint32_t i = 0; is_certain && i < pass->target_count; i++) {
        if (pass->targets[i].hits) {
            spare_hit(pass, &pass->targets[i]);
        }
    }
    follow_edges(pass);
    heap_block_give(&pass->targets);
    statistics.kept_by_pointers += before - pass->leaving;
    return is_certain;
}

/* ---- a pass ---- */

OWN_DECLARE_LOCAL(pass);

static void pass_drop(struct pass **handle)
{
    if (*handle) {
        heap_block_give(&(*handle)->targets);
        heap_block_give_thing(handle);
    }
}

static NOINLINE bool run(struct cell_namespace *namespace, uint64_t own_stack)
{
    OWNED(pass, owner);
    if (!heap_block_take_zeroed(sizeof(struct pass),
                                SLOT(owner))) { /* what was there would be found */
        return false;
    }
    struct pass *pass = *SLOT(owner);
    pass->namespace = namespace;
    for (const struct cell *cell = namespace->retired; cell; cell = cell->next) {
        pass->leaving += cell->is_leaving;
    }
    statistics.passes++;
    statistics.cells += pass->leaving;
    bool is_certain = make_room(pass->leaving) && ask_stacks(pass);
    if (is_certain && pass->leaving > 0) {
        is_certain = ask_memory(pass, own_stack);
    }
    return is_certain;
}

/*
 * Words of this function's frame and of those above count; in those below, addresses are kept
 * plainly.
 */
bool cell_retirement_spare(struct cell_namespace *namespace)
{
    struct cpu_place here;
    note_place(&here);
    bool is_certain = run(namespace, here.rsp);
    COMPILER_BARRIER(); /* no tail call: the frame stays */
    return is_certain;
}

/* ---- the static image ---- */

void cell_retirement_release_image(const struct cell *cell)
{
    for (uint32_t r = REGION_TEXT; r <= REGION_RODATA; r++) {
        const struct region *region = &cell->regions[r];
        paddr_t frame = region->address - nano_core_image.start + nano_core_image.physical;
        uint64_t count = page_count_of(region->size);
        if (count == 0) {
            continue;
        }
        enum status status = page_table_unmap(region->address, count);
        if (status == OK || status == ERR_NOT_FOUND) { /* the second: who began was struck */
            status = frame_allocator_give_image(frame, count);
        }
        if (status != OK && status != ERR_NOT_FOUND) {
            /* they are lost; who was replaced has gone all the same */
            log_warning("cannot give back pages of %s: %s", cell->name, status_text(status));
        }
    }
}

/* ---- what is told ---- */

bool cell_retirement_finding(uint32_t number, struct retirement_finding *out)
{
    if (number >= findings.count) {
        return false;
    }
    *out = findings.rows[number];
    return true;
}

size_t cell_retirement_describe(const struct retirement_finding *finding, char *buffer, size_t size)
{
    const char *section = finding->section ? finding->section->name : "it";
    unsigned long offset = (unsigned long)finding->offset;
    unsigned long where = (unsigned long)finding->where;
    switch (finding->keeper) {
    case RETIREMENT_FRAME:
        return format_into(buffer, size, "task `%s`, frame %u in %s+%#lx", finding->task,
                           finding->depth, section, offset);
    case RETIREMENT_WORD:
        return format_into(buffer, size, "a word on the stack of task `%s`, to %s+%#lx",
                           finding->task, section, offset);
    case RETIREMENT_UNKNOWN:
        return format_into(buffer, size, "the stack of task `%s`, which cannot be read",
                           finding->task);
    case RETIREMENT_POINTER:
        return format_into(buffer, size, "the word at %#lx, to %s+%#lx", where, section, offset);
    default:
        return format_into(buffer, size, "the word at %#lx, in a cell that stays", where);
    }
}

struct retirement_statistics cell_retirement_statistics(void)
{
    return statistics;
}
