/* SPDX-License-Identifier: MIT */
/*
 * Memory here is a few pages of the test; page tables, stacks and the heap are what a test says
 * that they are. A random program moves pointers about while it is looked at.
 */
#include "pointer_scan.h"
#include "heap.h"
#include "live_frames.h"
#include "memory.h"
#include "page_table.h"
#include "stack.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#define PAGES   8u
#define WORDS   (PAGE_SIZE / sizeof(uint64_t))
#define STACKS  2u
#define TARGETS 6u

static uint64_t memory[PAGES][WORDS] __attribute__((aligned(PAGE_SIZE)));

/* What pages are, and what the page tables note. */
static struct {
    unsigned flags;
    bool is_watched;
    bool is_dirty;
} pages[PAGES];
static bool has_watched;

static struct {
    uint64_t low; /* of the part in use */
    uint64_t bottom;
    uint64_t top;
} stacks[STACKS];
static uint32_t stack_count;
static bool is_stack_lost;
static uint64_t own_stack_asked;

static uint64_t free_start; /* the heap's free block */
static uint64_t free_end;

/* ---- the cells below ---- */

bool heap_is_free(uintptr_t address)
{
    return address >= free_start && address < free_end;
}

bool stack_find(vaddr_t address, struct stack_place *out)
{
    for (uint32_t i = 0; i < stack_count; i++) {
        if (address >= stacks[i].bottom && address < stacks[i].top) {
            *out = (struct stack_place){
                .part = STACK_INSIDE, .bottom = stacks[i].bottom, .top = stacks[i].top};
            return true;
        }
    }
    return false;
}

/* Entries are counted as pages here. */
vaddr_t page_table_watch(vaddr_t from, uint64_t most)
{
    assert_true(most > 0);
    has_watched = true;
    for (uint32_t i = 0; i < PAGES; i++) {
        pages[i].is_watched = true;
        pages[i].is_dirty = false;
    }
    assert_int_equal(from, 0);
    return 0;
}

vaddr_t page_table_look(vaddr_t from, uint64_t most, page_table_looker_t look, void *context)
{
    assert_true(has_watched);
    uint64_t i = from ? (from - (vaddr_t)memory) / PAGE_SIZE : 0;
    for (; i < PAGES && most > 0; i++, most--) {
        if (pages[i].flags) {
            look((vaddr_t)memory[i], PAGE_SIZE, pages[i].flags, context);
        }
    }
    return i < PAGES ? (vaddr_t)memory[i] : 0;
}

void page_table_look_at_changed(page_table_looker_t look, void *context)
{
    for (uint32_t i = 0; i < PAGES; i++) {
        if ((pages[i].flags & PAGE_WRITE) && (pages[i].is_dirty || !pages[i].is_watched)) {
            look((vaddr_t)memory[i], PAGE_SIZE, pages[i].flags, context);
        }
    }
}

bool live_frames_stacks(const struct remote_stop *stop, uint64_t own_stack,
                        live_stack_visitor_t visit, void *context)
{
    own_stack_asked = own_stack;
    for (uint32_t i = 0; i < stack_count; i++) {
        visit(stacks[i].low, stacks[i].top, context);
    }
    return !is_stack_lost;
}

/* ---- tests ---- */

static int setup(void **state)
{
    memset(memory, 0, sizeof(memory));
    memset(pages, 0, sizeof(pages));
    for (uint32_t i = 0; i < PAGES; i++) {
        pages[i].flags = PAGE_WRITE;
    }
    has_watched = false;
    stack_count = 0;
    is_stack_lost = false;
    free_start = 0;
    free_end = 0;
    return 0;
}

static void write_word(uint32_t page, uint32_t word, uint64_t value)
{
    memory[page][word] = value;
    pages[page].is_dirty = true;
}

static struct pointer_target target_of(uint64_t start, uint64_t size)
{
    return (struct pointer_target){.inverted_start = ~start, .inverted_end = ~(start + size)};
}

static void scan_all(struct pointer_scan *scan, uint32_t most)
{
    while (!scan->is_done) {
        pointer_scan_step(scan, most);
    }
}

static bool finish(struct pointer_scan *scan)
{
    return pointer_scan_finish(scan, NULL, 0x1234);
}

/* All of memory, once, with nobody who writes. */
static void scan_still(struct pointer_scan *scan, struct pointer_target *targets, uint32_t count)
{
    pointer_scan_begin(scan, targets, count, NULL, NULL);
    scan_all(scan, PAGES);
    assert_true(finish(scan));
}

static void targets_are_found_from_their_first_byte_to_their_last(void **state)
{
    struct pointer_target targets[] = {target_of(0x9000, 0x1000), target_of(0x1000, 8),
                                       target_of(0x1008, 1), target_of(0x5000, 0)};
    struct pointer_scan scan;
    pointer_scan_begin(&scan, targets, 4, NULL, NULL);
    static const struct {
        uint64_t address;
        uint64_t start; /* of what is found; 0: nothing */
    } cases[] = {
        {0, 0},           {0xfff, 0},  {0x1000, 0x1000}, {0x1007, 0x1000}, {0x1008, 0x1008},
        {0x1009, 0},      {0x5000, 0}, {0x4fff, 0},      {0x8fff, 0},      {0x9000, 0x9000},
        {0x9fff, 0x9000}, {0xa000, 0}, {UINT64_MAX, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct pointer_target *found = pointer_scan_find(&scan, cases[i].address);
        assert_int_equal(found ? ~found->inverted_start : 0, cases[i].start);
    }
    pointer_scan_begin(&scan, targets, 0, NULL, NULL);
    assert_true(scan.is_done);
    assert_null(pointer_scan_find(&scan, 0x1000));
}

static void words_are_seen_from_the_first_of_a_page_to_the_last(void **state)
{
    static const uint32_t places[] = {0, 1, WORDS - 1};
    for (size_t i = 0; i < ARRAY_COUNT(places); i++) {
        struct pointer_target targets[] = {target_of(0x10000, 0x100)};
        struct pointer_scan scan;
        write_word(3, places[i], 0x100ff);
        scan_still(&scan, targets, 1);
        assert_int_equal(targets[0].hits, 1);
        assert_ptr_equal((void *)targets[0].where, &memory[3][places[i]]);
        assert_int_equal(~targets[0].inverted_word, 0x100ff);
        write_word(3, places[i], 0);
    }
}

static void only_aligned_words_count_and_only_what_points_inside(void **state)
{
    struct pointer_target targets[] = {target_of(0x123456789a00, 0x100)};
    struct pointer_scan scan;
    uint64_t inside = 0x123456789a00;
    memcpy((uint8_t *)&memory[2][7] + 1, &inside, sizeof(inside));
    write_word(4, 4, inside - 1);
    write_word(4, 5, inside + 0x100);
    write_word(4, 6, ~inside);
    scan_still(&scan, targets, 1);
    assert_int_equal(targets[0].hits, 0);
    assert_int_equal(scan.pages, PAGES);
}

static void hits_are_counted_and_the_first_is_told(void **state)
{
    struct pointer_target targets[] = {target_of(0x3000, 0x10), target_of(0x2000, 0x10)};
    struct pointer_scan scan;
    write_word(1, 9, 0x2000);
    write_word(5, 0, 0x200f);
    write_word(6, 3, 0x3001);
    scan_still(&scan, targets, 2);
    assert_int_equal(~targets[0].inverted_start, 0x2000); /* sorted */
    assert_int_equal(targets[0].hits, 2);
    assert_ptr_equal((void *)targets[0].where, &memory[1][9]);
    assert_int_equal(targets[1].hits, 1);
    scan_still(&scan, targets, 2); /* and counted anew */
    assert_int_equal(targets[0].hits, 2);
}

static void pages_that_nobody_can_write_do_not_count(void **state)
{
    struct pointer_target targets[] = {target_of(0x2000, 0x10)};
    struct pointer_scan scan;
    write_word(1, 9, 0x2000);
    write_word(2, 9, 0x2000);
    pages[1].flags = PAGE_EXECUTE; /* read-only */
    pages[2].flags = 0;            /* not mapped */
    scan_still(&scan, targets, 1);
    assert_int_equal(targets[0].hits, 0);
    assert_int_equal(scan.pages, PAGES - 2);
}

static void free_blocks_do_not_count(void **state)
{
    struct pointer_target targets[] = {target_of(0x2000, 0x10)};
    struct pointer_scan scan;
    free_start = (uint64_t)&memory[1][8];
    free_end = (uint64_t)&memory[1][16];
    write_word(1, 8, 0x2000);
    write_word(1, 15, 0x2000);
    scan_still(&scan, targets, 1);
    assert_int_equal(targets[0].hits, 0);
    write_word(1, 16, 0x2000);
    scan_still(&scan, targets, 1);
    assert_int_equal(targets[0].hits, 1);
}

static void of_stacks_only_the_part_in_use_counts(void **state)
{
    struct pointer_target targets[] = {target_of(0x2000, 0x10)};
    struct pointer_scan scan;
    stack_count = 1;
    stacks[0].bottom = (uint64_t)memory[2];
    stacks[0].top = (uint64_t)memory[4];
    stacks[0].low = (uint64_t)&memory[3][100] + 3; /* a word that begins below counts */
    write_word(3, 99, 0x2000);
    scan_still(&scan, targets, 1);
    assert_int_equal(targets[0].hits, 0);
    write_word(3, 100, 0x2000);
    write_word(3, WORDS - 1, 0x2001);
    scan_still(&scan, targets, 1);
    assert_int_equal(targets[0].hits, 2);
    assert_ptr_equal((void *)targets[0].where, &memory[3][100]);
    assert_int_equal(scan.stack_bytes, stacks[0].top - stacks[0].low);
    assert_int_equal(own_stack_asked, 0x1234);
    is_stack_lost = true;
    pointer_scan_begin(&scan, targets, 1, NULL, NULL);
    scan_all(&scan, 1);
    assert_false(finish(&scan)); /* nothing is certain */
}

static bool ignore_odd(struct pointer_target *target, uint64_t where, void *context)
{
    ++*(uint32_t *)context;
    return (*(const uint64_t *)where & 1) != 0;
}

static void the_asker_says_which_words_do_not_count(void **state)
{
    struct pointer_target targets[] = {target_of(0x2000, 0x10)};
    struct pointer_scan scan;
    uint32_t asked = 0;
    write_word(0, 0, 0x2001);
    write_word(0, 1, 0x2002);
    write_word(0, 2, 0x4000); /* is not asked about */
    pointer_scan_begin(&scan, targets, 1, ignore_odd, &asked);
    scan_all(&scan, PAGES);
    assert_true(finish(&scan));
    assert_int_equal(asked, 2);
    assert_int_equal(targets[0].hits, 1);
    assert_ptr_equal((void *)targets[0].where, &memory[0][1]);
}

/* Targets and scan lie in memory that is looked at. */
static void who_asks_does_not_find_itself(void **state)
{
    struct pointer_target *targets = (struct pointer_target *)memory[1];
    struct pointer_scan *scan = (struct pointer_scan *)memory[2];
    targets[0] = target_of(0x7000000, 0x1000);
    targets[1] = target_of(0x7002000, 0x10);
    write_word(5, 5, 0x7000010);
    pointer_scan_begin(scan, targets, 2, NULL, NULL);
    while (!scan->is_done) {
        pointer_scan_step(scan, 1);
        pages[1].is_dirty = true;
        pages[2].is_dirty = true;
    }
    pages[5].is_dirty = false;
    assert_true(finish(scan));
    assert_int_equal(targets[0].hits, 1);
    assert_int_equal(targets[1].hits, 0);
    assert_int_equal(scan->changed_pages, 2);
}

/* ---- beside a program that writes ---- */

static uint64_t random_state;

static uint32_t draw(uint32_t bound)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % bound;
}

/* A few places only, so that what is written meets what is there. */
static uint32_t draw_place(void)
{
    return draw(8) * (WORDS / 8) + (draw(2) ? WORDS / 8 - 1 : 0);
}

struct program {
    struct pointer_target targets[TARGETS];
    bool was_pointed_to[TARGETS]; /* ever, since the scan began */
};

static uint64_t start_of(uint32_t target)
{
    return 0x40000000ull + 0x3000ull * target;
}

/* A pointer into a target, or what only looks a little like one. */
static uint64_t draw_word(void)
{
    uint64_t word = start_of(draw(TARGETS)) + draw(0x3000); /* mostly in the gap behind it */
    return draw(8) ? word : word << 13;
}

static int target_of_word(uint64_t word)
{
    for (uint32_t i = 0; i < TARGETS; i++) {
        if (word - start_of(i) < 0x800) {
            return (int)i;
        }
    }
    return -1;
}

static uint32_t draw_writable_page(void)
{
    uint32_t page = draw(PAGES);
    while (!(pages[page].flags & PAGE_WRITE)) {
        page = draw(PAGES);
    }
    return page;
}

/* Moves a word from somewhere to elsewhere, as a program does; or overwrites one. */
static void write_something(void)
{
    uint32_t page = draw_writable_page();
    uint32_t word = draw_place();
    if (draw(3)) {
        uint32_t from = draw_writable_page();
        uint32_t at = draw_place();
        write_word(page, word, memory[from][at]);
        write_word(from, at, 0);
    } else {
        write_word(page, word, 0);
    }
}

static void note_pointers(struct program *program)
{
    for (uint32_t p = 0; p < PAGES; p++) {
        for (uint32_t w = 0; w < WORDS; w++) {
            int target = pages[p].flags & PAGE_WRITE ? target_of_word(memory[p][w]) : -1;
            if (target >= 0) {
                program->was_pointed_to[target] = true;
            }
        }
    }
}

/* What is pointed to at the end is found; and what was not pointed to at any time is not. */
static void compare(const struct program *before)
{
    struct program now = {0};
    note_pointers(&now);
    for (uint32_t i = 0; i < TARGETS; i++) {
        int number = target_of_word(~before->targets[i].inverted_start);
        uint64_t hits = before->targets[i].hits;
        assert_true(hits > 0 || !now.was_pointed_to[number]);
        assert_true(hits == 0 || before->was_pointed_to[number]);
    }
}

static void pointers_that_move_are_found(void **state)
{
    const char *seed = getenv("POINTER_SCAN_SEED");
    random_state = seed ? strtoull(seed, NULL, 0) : 20261121;
    print_message("POINTER_SCAN_SEED=%lu\n", (unsigned long)random_state);
    uint32_t moved = 0;
    for (uint32_t round = 0; round < 300; round++) {
        struct program program = {0};
        struct pointer_scan scan;
        setup(state);
        pages[draw(PAGES)].flags = draw(2) ? PAGE_EXECUTE : 0;
        for (uint32_t i = 0; i < TARGETS; i++) {
            program.targets[i] = target_of(start_of(i), 0x800);
        }
        for (uint32_t i = draw(12); i > 0; i--) {
            write_word(draw(PAGES), draw_place(), draw_word());
        }
        note_pointers(&program);
        pointer_scan_begin(&scan, program.targets, TARGETS, NULL, NULL);
        while (!scan.is_done) {
            pointer_scan_step(&scan, 1 + draw(3));
            for (uint32_t i = draw(40); i > 0; i--) {
                write_something();
                moved++;
            }
        }
        assert_true(finish(&scan));
        compare(&program);
    }
    assert_true(moved > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(targets_are_found_from_their_first_byte_to_their_last, setup),
        cmocka_unit_test_setup(words_are_seen_from_the_first_of_a_page_to_the_last, setup),
        cmocka_unit_test_setup(only_aligned_words_count_and_only_what_points_inside, setup),
        cmocka_unit_test_setup(hits_are_counted_and_the_first_is_told, setup),
        cmocka_unit_test_setup(pages_that_nobody_can_write_do_not_count, setup),
        cmocka_unit_test_setup(free_blocks_do_not_count, setup),
        cmocka_unit_test_setup(of_stacks_only_the_part_in_use_counts, setup),
        cmocka_unit_test_setup(the_asker_says_which_words_do_not_count, setup),
        cmocka_unit_test_setup(who_asks_does_not_find_itself, setup),
        cmocka_unit_test_setup(pointers_that_move_are_found, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
