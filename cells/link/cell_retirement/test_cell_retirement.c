/* SPDX-License-Identifier: MIT */
/*
 * Cells here are records with a page of constants and one of variables each; stacks are what a test
 * says. Memory is looked at by the real scan. What must stay is computed by a model, in random
 * worlds of several generations.
 */
#include "cell_retirement.h"
#include "address_map.h"
#include "cell_namespace.h"
#include "frame_allocator.h"
#include "heap.h"
#include "logger.h"
#include "memory.h"
#include "nano_core_image.h"
#include "page_table.h"
#include "pointer_scan.h"
#include "stack.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#define CELLS      18u
#define WORDS      (PAGE_SIZE / sizeof(uint64_t))
#define HEAP_PAGES 2u
#define TEXT       0x6000000000ull /* nothing is there */
#define FRAMES_MAX 4u

enum { SECTION_TEXT, SECTION_RODATA, SECTION_DATA, SECTION_ADOPTED, SECTIONS };

struct fake_cell {
    struct cell cell;
    struct section sections[SECTIONS];
    uint32_t by_address[SECTIONS];
    uint64_t own_words[8];
};

static struct {
    uint64_t rodata[CELLS][WORDS];
    uint64_t data[CELLS][WORDS];
    uint64_t heap[HEAP_PAGES][WORDS];
    union {
        struct fake_cell cell;
        uint64_t page[2 * WORDS];
    } cells[CELLS];
} world __attribute__((aligned(PAGE_SIZE)));

static struct cell_namespace here;
static struct live_frame frames[FRAMES_MAX];
static uint32_t frame_count;

/* What goes wrong. */
static enum status sweep_status;
static enum status stop_status;
static bool is_stack_lost;
static uint32_t heap_fails; /* the allocation of this number; 0: none */

static uint32_t blocks;
static bool is_stopped;

const struct nano_core_image nano_core_image = {.start = 0x100000, .physical = 0x8000};

/* ---- the cells below ---- */

void *heap_allocate(size_t bytes)
{
    assert_false(is_stopped);
    if (heap_fails && --heap_fails == 0) {
        return NULL;
    }
    blocks++;
    return malloc(bytes);
}

void *heap_allocate_zeroed(size_t bytes)
{
    void *block = heap_allocate(bytes);
    return block ? memset(block, 0, bytes) : NULL;
}

void heap_free(void *block)
{
    blocks -= block != NULL;
    free(block);
}

bool heap_is_free(uintptr_t address)
{
    return false;
}

bool stack_find(vaddr_t address, struct stack_place *out)
{
    return false;
}

const struct section *address_map_find(uint64_t address)
{
    return NULL;
}

enum status live_frames_sweep(struct live_sweep *sweep, uint32_t most, live_frame_visitor_t visit,
                              void *context)
{
    for (uint32_t i = 0; sweep->task < frame_count && i < most; i++) {
        visit(&frames[sweep->task++], context);
        sweep->counts.stacks++;
    }
    sweep->is_done = sweep->task == frame_count;
    return sweep_status;
}

bool live_frames_stacks(const struct remote_stop *stop, uint64_t own_stack,
                        live_stack_visitor_t visit, void *context)
{
    assert_true(is_stopped);
    return !is_stack_lost;
}

vaddr_t page_table_watch(vaddr_t from, uint64_t most)
{
    return 0;
}

vaddr_t page_table_look(vaddr_t from, uint64_t most, page_table_looker_t look, void *context)
{
    vaddr_t at = from ? from : (vaddr_t)&world;
    vaddr_t end = (vaddr_t)(&world + 1);
    for (; at < end && most > 0; at += PAGE_SIZE, most--) {
        bool is_constant = at - (vaddr_t)world.rodata < sizeof(world.rodata);
        look(at, PAGE_SIZE, is_constant ? 0 : PAGE_WRITE, context);
    }
    return at < end ? at : 0;
}

void page_table_look_at_changed(page_table_looker_t look, void *context)
{
    assert_true(is_stopped);
}

enum status remote_stop_begin(struct remote_stop **out)
{
    if (stop_status == OK) {
        is_stopped = true;
        *out = (struct remote_stop *)&is_stopped;
    }
    return stop_status;
}

void remote_stop_drop(struct remote_stop **handle)
{
    is_stopped = false;
    *handle = NULL;
}

static struct {
    vaddr_t page;
    paddr_t frame;
    uint64_t count;
} given[4];
static uint32_t unmapped_count;
static uint32_t given_count;
static uint32_t warnings;
static enum status give_status;

enum status page_table_unmap(vaddr_t page, uint64_t count)
{
    given[unmapped_count].page = page;
    given[unmapped_count++].count = count;
    return OK;
}

enum status frame_allocator_give_image(paddr_t start, uint64_t count)
{
    assert_int_equal(given[given_count].count, count);
    given[given_count++].frame = start;
    return give_status;
}

void logger_write(enum log_level level, const char *cell, const char *format, ...)
{
    warnings++;
}

/* ---- worlds ---- */

static uint64_t start_of(uint32_t number, int section)
{
    return section == SECTION_TEXT
               ? TEXT + number * 0x1000ull
               : (uint64_t)(section == SECTION_RODATA ? world.rodata[number] : world.data[number]);
}

static struct cell *cell_of(uint32_t number)
{
    return &world.cells[number].cell.cell;
}

/* A region begins with 64 bytes that are no section's. */
static void make_cell(uint32_t number)
{
    static const char *const names[] = {".text.f", ".rodata.name", ".data.count", ".data.taken"};
    struct fake_cell *fake = &world.cells[number].cell;
    fake->cell = (struct cell){
        .name = "fake",
        .namespace = &here,
        .sections = fake->sections,
        .by_address = fake->by_address,
        .region_first = {0, 1, 2, 3},
        .metadata_size = sizeof(*fake),
        .is_leaving = true,
        .is_retired = true,
    };
    fake->cell.object.section_count = SECTIONS;
    for (uint32_t s = 0; s < SECTIONS; s++) {
        fake->sections[s] = (struct section){
            .cell = &fake->cell, .name = names[s], .index = s, .region = REGION_NONE};
        fake->by_address[s] = s;
    }
    for (uint32_t r = 0; r < REGION_COUNT; r++) {
        fake->cell.regions[r] = (struct region){start_of(number, (int)r), PAGE_SIZE};
        fake->sections[r].region = (uint16_t)r;
        fake->sections[r].address = start_of(number, (int)r) + 64;
        fake->sections[r].size = PAGE_SIZE - 64;
    }
}

/* Cells 0 .. old - 1 were replaced, the others run. */
static void make_world(uint32_t old)
{
    memset(&world, 0, sizeof(world));
    here = (struct cell_namespace){.name = "here"};
    for (uint32_t i = CELLS; i-- > 0;) {
        make_cell(i);
        struct cell *cell = cell_of(i);
        cell->is_leaving = i < old;
        cell->is_retired = i < old;
        struct cell **list = i < old ? &here.retired : &here.first;
        cell->next = *list;
        *list = cell;
    }
    frame_count = 0;
}

static int setup(void **state)
{
    sweep_status = OK;
    stop_status = OK;
    is_stack_lost = false;
    heap_fails = 0;
    unmapped_count = 0;
    given_count = 0;
    warnings = 0;
    give_status = OK;
    make_world(4);
    return 0;
}

/* The section that `taker` has adopted lies in a region of `from`. */
static void adopt(uint32_t taker, uint32_t from, uint32_t section)
{
    struct section *adopted = &world.cells[taker].cell.sections[SECTION_ADOPTED];
    adopted->region = (uint16_t)section;
    adopted->address = start_of(from, (int)section) + 64;
    adopted->size = 128;
    adopted->is_adopted = 1;
    cell_of(taker)->adopted_count = 1;
}

static void add_frame(enum live_kind kind, uint32_t number, uint64_t offset)
{
    bool is_known = kind != LIVE_UNKNOWN;
    const struct section *section = &world.cells[number].cell.sections[SECTION_TEXT];
    frames[frame_count++] = (struct live_frame){
        .kind = kind,
        .task = "a task with a name that is longer than there is room for",
        .depth = 3,
        .section = is_known ? section : NULL,
        .address = is_known ? section->address + offset : 0,
    };
}

static bool goes(uint32_t number)
{
    return cell_of(number)->is_leaving;
}

static uint32_t count_leaving(void)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < CELLS; i++) {
        count += goes(i);
    }
    return count;
}

static void spare(void)
{
    uint32_t before = blocks;
    assert_true(cell_retirement_spare(&here));
    assert_false(is_stopped);
    assert_true(blocks <= before + 1); /* that of the findings is kept */
}

static struct retirement_finding finding_of(uint32_t number)
{
    struct retirement_finding finding;
    for (uint32_t i = 0; cell_retirement_finding(i, &finding); i++) {
        if (finding.cell == cell_of(number)) {
            return finding;
        }
    }
    fail_msg("nothing was found about cell %u", number);
    abort();
}

static const char *describe(const struct retirement_finding *finding)
{
    static char text[160];
    size_t length = cell_retirement_describe(finding, text, sizeof(text));
    assert_int_equal(length, strlen(text));
    return text;
}

/* ---- stacks ---- */

static void what_nobody_needs_goes(void **state)
{
    spare();
    assert_int_equal(count_leaving(), 4);
    struct retirement_finding finding;
    assert_false(cell_retirement_finding(0, &finding));
    make_world(0);
    spare();
    assert_int_equal(count_leaving(), 0);
}

static void a_frame_keeps_its_cell(void **state)
{
    add_frame(LIVE_FRAME, 1, 0x1a);
    add_frame(LIVE_FRAME, 1, 0x99); /* the first is told */
    add_frame(LIVE_WORD, 2, 5);
    add_frame(LIVE_FRAME, CELLS - 1, 0); /* of a cell that runs */
    spare();
    assert_true(goes(0) && !goes(1) && !goes(2) && goes(3));
    struct retirement_finding one = finding_of(1);
    struct retirement_finding two = finding_of(2);
    assert_int_equal(one.keeper, RETIREMENT_FRAME);
    assert_int_equal(one.depth, 3);
    assert_string_equal(describe(&one),
                        "task `a task with a name that is long`, frame 3 in .text.f+0x1a");
    assert_int_equal(two.keeper, RETIREMENT_WORD);
    assert_string_equal(describe(&two), "a word on the stack of task `a task with a name that is "
                                        "long`, to .text.f+0x5");
}

static void a_stack_that_cannot_be_read_keeps_all(void **state)
{
    add_frame(LIVE_UNKNOWN, 0, 0);
    spare();
    assert_int_equal(count_leaving(), 0);
    struct retirement_finding finding = finding_of(3);
    assert_int_equal(finding.keeper, RETIREMENT_UNKNOWN);
    assert_string_equal(
        describe(&finding),
        "the stack of task `a task with a name that is long`, which cannot be read");
}

/* ---- memory ---- */

static void a_word_that_points_there_keeps_the_cell(void **state)
{
    world.heap[1][WORDS - 1] = start_of(2, SECTION_RODATA) + 64 + 0x21;
    world.heap[0][0] = start_of(1, SECTION_DATA) + PAGE_SIZE - 1;
    world.heap[0][1] = start_of(3, SECTION_TEXT) + 64; /* text is the stacks' affair */
    spare();
    assert_true(goes(0) && !goes(1) && !goes(2) && goes(3));
    struct retirement_finding finding = finding_of(2);
    assert_int_equal(finding.keeper, RETIREMENT_POINTER);
    assert_ptr_equal(finding.section, &cell_of(2)->sections[SECTION_RODATA]);
    assert_int_equal(finding.offset, 0x21);
    char expected[80];
    snprintf(expected, sizeof(expected), "the word at %#lx, to .rodata.name+0x21",
             (unsigned long)&world.heap[1][WORDS - 1]);
    assert_string_equal(describe(&finding), expected);
}

static void its_own_words_do_not_keep_it(void **state)
{
    world.data[0][20] = start_of(0, SECTION_RODATA) + 100;
    world.cells[1].cell.own_words[3] = start_of(1, SECTION_DATA) + 8; /* metadata */
    spare();
    assert_int_equal(count_leaving(), 4);
}

static void descriptions_do_not_keep_it(void **state)
{
    uint64_t start = start_of(3, SECTION_RODATA); /* behind it is a cell that runs */
    world.heap[0][10] = start;
    world.heap[0][11] = PAGE_SIZE;
    world.heap[0][20] = start;
    world.heap[0][22] = start + PAGE_SIZE;
    spare();
    assert_int_equal(count_leaving(), 4);
    world.heap[0][WORDS - 1] = start; /* what is in the next page says nothing about it */
    world.heap[1][0] = PAGE_SIZE;
    spare();
    assert_false(goes(3));
    setup(state);
    world.heap[0][10] = start + 8; /* not the start of all */
    world.heap[0][11] = PAGE_SIZE;
    spare();
    assert_false(goes(3));
}

static void what_points_to_one_another_goes_together(void **state)
{
    world.data[0][10] = start_of(1, SECTION_RODATA) + 1;
    world.data[1][10] = start_of(2, SECTION_DATA) + 1;
    world.data[2][10] = start_of(0, SECTION_DATA) + 1;
    spare();
    assert_int_equal(count_leaving(), 4);
    make_world(4);
    world.data[0][10] = start_of(1, SECTION_RODATA) + 1;
    world.data[1][10] = start_of(2, SECTION_DATA) + 1;
    world.heap[0][3] = start_of(0, SECTION_RODATA) + 70;
    spare();
    assert_int_equal(count_leaving(), 1);
    assert_true(goes(3));
    struct retirement_finding finding = finding_of(2);
    assert_int_equal(finding.keeper, RETIREMENT_CELL);
    assert_ptr_equal((void *)finding.where, &world.data[1][10]);
    char expected[80];
    snprintf(expected, sizeof(expected), "the word at %#lx, in a cell that stays",
             (unsigned long)&world.data[1][10]);
    assert_string_equal(describe(&finding), expected);
}

static void what_a_successor_has_adopted_stays_and_so_does_what_it_points_to(void **state)
{
    adopt(CELLS - 1, 0, SECTION_DATA);
    world.heap[0][0] = start_of(0, SECTION_DATA) + 64; /* the successor's now */
    world.data[0][12] = start_of(1, SECTION_RODATA) + 64;
    spare();
    assert_true(goes(0) && !goes(1));
    assert_int_equal(finding_of(1).keeper, RETIREMENT_POINTER);
}

/* Whose they were is long gone: nobody else has them. */
static void adopt_from_nobody(void)
{
    adopt(1, CELLS - 1, SECTION_DATA);
    cell_of(CELLS - 1)->regions[REGION_DATA].address = 0;
    world.cells[CELLS - 1].cell.sections[SECTION_DATA].address = 0;
}

static void what_an_old_successor_has_adopted_is_looked_for(void **state)
{
    adopt_from_nobody();
    spare();
    assert_int_equal(count_leaving(), 4);
    world.heap[0][0] = start_of(CELLS - 1, SECTION_DATA) + 64;
    spare();
    assert_false(goes(1));
    make_world(4);
    adopt_from_nobody();
    world.heap[0][0] = start_of(CELLS - 1, SECTION_DATA) + 64 + 128; /* behind it */
    spare();
    assert_true(goes(1));
}

static void data_of_the_image_are_not_looked_for(void **state)
{
    cell_of(0)->is_static = true;
    world.heap[0][0] = start_of(0, SECTION_DATA) + 64;
    spare();
    assert_true(goes(0));
    world.heap[0][1] = start_of(0, SECTION_RODATA) + 64;
    spare();
    assert_false(goes(0));
}

/* More than can be noted: some stay that could go, never the other way round. */
static void more_pointers_than_are_noted_keep_cells(void **state)
{
    make_world(CELLS);
    for (uint32_t from = 0; from < CELLS; from++) {
        for (uint32_t to = 0; to < CELLS; to++) {
            world.data[from][16 + to] = start_of(to, SECTION_DATA) + 64;
        }
    }
    assert_true(CELLS * (CELLS - 1) > 256);
    spare();
    assert_int_equal(count_leaving(), 0);
    setup(state);
}

/* ---- what cannot be found out ---- */

static void when_nothing_is_certain_it_says_so(void **state)
{
    world.heap[0][0] = start_of(2, SECTION_RODATA) + 64;
    sweep_status = ERR_TIMEOUT;
    assert_false(cell_retirement_spare(&here));
    sweep_status = OK;
    stop_status = ERR_TIMEOUT;
    assert_false(cell_retirement_spare(&here));
    stop_status = OK;
    is_stack_lost = true;
    assert_false(cell_retirement_spare(&here));
    assert_false(is_stopped);
    is_stack_lost = false;
    assert_true(cell_retirement_spare(&here));
}

static void without_memory_it_says_so(void **state)
{
    make_world(CELLS - 1); /* more than ever: the findings need a new block */
    uint32_t n = 0;
    bool is_certain = false;
    while (!is_certain) {
        uint32_t before = blocks;
        heap_fails = ++n;
        is_certain = cell_retirement_spare(&here);
        heap_fails = 0;
        assert_true(blocks <= before + 1);
    }
    assert_true(n >= 3);
}

/* ---- the image ---- */

static void pages_of_the_image_are_given_back(void **state)
{
    struct cell *cell = cell_of(0);
    cell->regions[REGION_TEXT] = (struct region){0x103000, 0x1800};
    cell->regions[REGION_RODATA] = (struct region){0, 0};
    cell_retirement_release_image(cell);
    assert_int_equal(given_count, 1);
    assert_int_equal(given[0].page, 0x103000);
    assert_int_equal(given[0].frame, 0xb000);
    assert_int_equal(given[0].count, 2);
    assert_int_equal(warnings, 0);
    cell->regions[REGION_RODATA] = (struct region){0x105000, 1};
    give_status = ERR_NO_MEMORY;
    cell_retirement_release_image(cell); /* they are lost, which is told */
    assert_int_equal(given_count, 3);
    assert_int_equal(warnings, 2);
}

/* ---- random worlds ---- */

static uint64_t random_state;

static uint32_t draw(uint32_t bound)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % bound;
}

/* What the model knows: who points to whom, and who is needed by somebody else. */
struct model {
    bool points[CELLS][CELLS];
    bool is_root[CELLS];
    bool is_exempt[CELLS]; /* its variables are somebody's who runs */
};

/* In the heap, in metadata, or in variables of any cell; to constants or variables of any. */
static void add_pointers(void)
{
    for (uint32_t i = draw(14); i > 0; i--) {
        uint32_t from = draw(CELLS);
        uint64_t address = start_of(draw(CELLS), draw(2) ? SECTION_RODATA : SECTION_DATA) + 1 +
                           draw(PAGE_SIZE - 1);
        if (draw(4) == 0) {
            world.heap[draw(HEAP_PAGES)][draw(WORDS)] = address;
        } else if (draw(5) == 0) {
            world.cells[from].cell.own_words[draw(8)] = address;
        } else {
            world.data[from][draw(WORDS)] = address;
        }
    }
}

static void read_memory(struct model *model, uint32_t old)
{
    for (const uint64_t *at = (const uint64_t *)&world; at < (const uint64_t *)(&world + 1); at++) {
        uint64_t where = (uint64_t)at;
        uint64_t in_rodata = *at - (uint64_t)world.rodata;
        uint64_t in_data = *at - (uint64_t)world.data;
        bool is_rodata = in_rodata < sizeof(world.rodata);
        if (where - (uint64_t)world.rodata < sizeof(world.rodata) ||
            (!is_rodata && in_data >= sizeof(world.data)) || *at % PAGE_SIZE == 0) {
            continue; /* not writable, no pointer, or a region's start in metadata */
        }
        uint32_t to = (uint32_t)((is_rodata ? in_rodata : in_data) / PAGE_SIZE);
        uint64_t from_data = where - (uint64_t)world.data;
        uint64_t from_cell = where - (uint64_t)world.cells;
        uint32_t holder = (uint32_t)(from_data / PAGE_SIZE);
        if ((!is_rodata && model->is_exempt[to]) ||
            (from_cell < sizeof(world.cells) && from_cell / sizeof(world.cells[0]) == to)) {
            continue;
        }
        if (from_data < sizeof(world.data) && holder < old && !model->is_exempt[holder]) {
            model->points[holder][to] = true;
        } else {
            model->is_root[to] = true;
        }
    }
}

static void close_over(const struct model *model, uint32_t old, bool stays[CELLS])
{
    for (bool is_changed = true; is_changed;) {
        is_changed = false;
        for (uint32_t to = 0; to < old; to++) {
            bool is_needed = model->is_root[to];
            for (uint32_t from = 0; from < old; from++) {
                is_needed |= from != to && stays[from] && model->points[from][to];
            }
            is_changed |= is_needed && !stays[to];
            stays[to] |= is_needed;
        }
    }
}

static void random_worlds_agree_with_a_model(void **state)
{
    const char *seed = getenv("CELL_RETIREMENT_SEED");
    random_state = seed ? strtoull(seed, NULL, 0) : 20261121;
    print_message("CELL_RETIREMENT_SEED=%lu\n", (unsigned long)random_state);
    uint32_t kept = 0;
    uint32_t gone = 0;
    for (uint32_t round = 0; round < 400; round++) {
        struct model model = {0};
        bool stays[CELLS] = {false};
        uint32_t old = 2 + draw(CELLS - 4);
        make_world(old);
        if (draw(3) == 0) {
            uint32_t from = draw(old);
            adopt(CELLS - 1, from, SECTION_DATA);
            model.is_exempt[from] = true;
        }
        add_pointers();
        read_memory(&model, old);
        for (uint32_t i = draw(FRAMES_MAX); i > 0; i--) {
            uint32_t number = draw(CELLS);
            add_frame(draw(2) ? LIVE_FRAME : LIVE_WORD, number, draw(64));
            stays[number] = true;
        }
        close_over(&model, old, stays);
        spare();
        for (uint32_t i = 0; i < old; i++) {
            assert_int_equal(goes(i), !stays[i]);
            kept += stays[i];
            gone += !stays[i];
            if (stays[i]) {
                (void)finding_of(i);
            }
        }
    }
    print_message("%u cells stay, %u go\n", kept, gone);
    assert_true(kept > 500 && gone > 500);
    assert_true(cell_retirement_statistics().passes > 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_nobody_needs_goes, setup),
        cmocka_unit_test_setup(a_frame_keeps_its_cell, setup),
        cmocka_unit_test_setup(a_stack_that_cannot_be_read_keeps_all, setup),
        cmocka_unit_test_setup(a_word_that_points_there_keeps_the_cell, setup),
        cmocka_unit_test_setup(its_own_words_do_not_keep_it, setup),
        cmocka_unit_test_setup(descriptions_do_not_keep_it, setup),
        cmocka_unit_test_setup(what_points_to_one_another_goes_together, setup),
        cmocka_unit_test_setup(what_a_successor_has_adopted_stays_and_so_does_what_it_points_to,
                               setup),
        cmocka_unit_test_setup(what_an_old_successor_has_adopted_is_looked_for, setup),
        cmocka_unit_test_setup(data_of_the_image_are_not_looked_for, setup),
        cmocka_unit_test_setup(when_nothing_is_certain_it_says_so, setup),
        cmocka_unit_test_setup(without_memory_it_says_so, setup),
        cmocka_unit_test_setup(more_pointers_than_are_noted_keep_cells, setup),
        cmocka_unit_test_setup(pages_of_the_image_are_given_back, setup),
        cmocka_unit_test_setup(random_worlds_agree_with_a_model, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
