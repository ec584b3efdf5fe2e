/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cell_transfer.h"
#include "diag.h"
#include "elf_builder.h"

/* The lines that an author writes; their notes are taken from here. */
struct queue {
    uint64_t first;
    uint64_t last;
};

static struct queue queue;
static uint32_t statistics;

static enum status widen(const void *old, size_t old_bytes, void *new, size_t new_bytes)
{
    struct queue *to = new;
    if (old_bytes != sizeof(uint32_t) || new_bytes != sizeof(*to)) {
        return ERR_MISMATCH;
    }
    to->first = *(const uint32_t *)old;
    return OK;
}

CELL_TRANSFER(old_queue, queue, widen);
CELL_FRESH(statistics);

struct fixture {
    struct elf_builder builder;
    struct cell_transfer_note notes[2];
    struct elf_object object;
};

static int begin(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.notes = {cell_transfer_old_queue_queue, cell_fresh_statistics}};
    elf_builder_init(&fixture.builder);
    *state = &fixture;
    return 0;
}

static int end(void **state)
{
    struct fixture *fixture = *state;
    elf_builder_fini(&fixture->builder);
    return 0;
}

/* A cell that has the variables and the function, with `note_bytes` of the notes, one byte out of
 * step. */
static void build(struct fixture *fixture, size_t note_bytes)
{
    struct elf_builder *builder = &fixture->builder;
    uint32_t text = elf_add_text(builder, ".text.widen", "\xc3", 1);
    uint32_t bss = elf_add_bss(builder, ".bss.queue", 16);
    uint32_t data = elf_add_data(builder, ".data.statistics", NULL, 4);
    elf_add_symbol(builder, "widen", STB_LOCAL, STT_FUNC, text, 0, 1);
    elf_add_symbol(builder, "queue", STB_LOCAL, STT_OBJECT, bss, 0, 16);
    elf_add_symbol(builder, "statistics", STB_LOCAL, STT_OBJECT, data, 0, 4);
    elf_add_section(builder, ".odd", SHT_PROGBITS, 0, "x", 1);
    elf_add_section(builder, CELL_TRANSFER_SECTION, SHT_PROGBITS, 0, fixture->notes, note_bytes);
    assert_int_equal(elf_object_open(elf_build(builder), &fixture->object, NULL), OK);
}

static void expect_refusal(struct fixture *fixture, uint32_t index, const char *name)
{
    struct cell_transfer transfer = {.old = "untouched"};
    struct diag diag = {0};
    assert_int_equal(cell_transfer_read(&fixture->object, index, &transfer, &diag), ERR_BAD_FORMAT);
    assert_int_equal(diag.code, DIAG_CELL_TRANSFER);
    assert_string_equal(diag.section, CELL_TRANSFER_SECTION);
    assert_string_equal(diag.symbol, name);
    assert_int_equal(diag.offset, index * sizeof(struct cell_transfer_note));
    assert_string_equal(transfer.old, "untouched");
}

static void test_cell_transfer_lines_of_a_source_are_read(void **state)
{
    struct fixture *fixture = *state;
    build(fixture, sizeof(fixture->notes));
    assert_int_equal(cell_transfer_count(&fixture->object), 2);
    struct cell_transfer transfer;
    assert_int_equal(cell_transfer_read(&fixture->object, 0, &transfer, NULL), OK);
    assert_int_equal(transfer.kind, CELL_TRANSFER_CHANGED);
    assert_string_equal(transfer.old, "old_queue");
    assert_string_equal(transfer.new, "queue");
    assert_string_equal(transfer.function, "widen");
    assert_int_equal(transfer.function_symbol, 1);
    assert_int_equal(transfer.new_symbol, 2);
    assert_int_equal(cell_transfer_read(&fixture->object, 1, &transfer, NULL), OK);
    assert_int_equal(transfer.kind, CELL_TRANSFER_FRESH);
    assert_string_equal(transfer.old, "");
    assert_string_equal(transfer.new, "statistics");
    assert_int_equal(transfer.new_symbol, 3);
    assert_int_equal(transfer.function_symbol, 0);
}

static void test_cell_transfer_functions_have_the_type_that_swaps_call(void **state)
{
    (void)state;
    cell_transfer_function *function = widen;
    uint32_t old = 7;
    statistics = 1;
    assert_int_equal(function(&old, sizeof(old), &queue, sizeof(queue)), OK);
    assert_int_equal(queue.first, 7);
    assert_int_equal(function(&old, 1, &queue, sizeof(queue)), ERR_MISMATCH);
}

static void test_cell_transfer_cell_without_note_has_none(void **state)
{
    struct fixture *fixture = *state;
    elf_add_text(&fixture->builder, ".text.f", "\xc3", 1);
    assert_int_equal(elf_object_open(elf_build(&fixture->builder), &fixture->object, NULL), OK);
    assert_int_equal(cell_transfer_count(&fixture->object), 0);
}

static void test_cell_transfer_record_that_is_cut_off_is_refused(void **state)
{
    struct fixture *fixture = *state;
    build(fixture, sizeof(fixture->notes) - 1);
    assert_int_equal(cell_transfer_count(&fixture->object), 2);
    struct cell_transfer transfer;
    assert_int_equal(cell_transfer_read(&fixture->object, 0, &transfer, NULL), OK);
    expect_refusal(fixture, 1, "");
}

/* One field of the first record at a time; the second one is read as before. */
static void test_cell_transfer_wrong_field_is_refused(void **state)
{
    static const struct {
        const char *name; /* what the refusal names */
        size_t offset;
        uint8_t value;
    } rows[] = {
        {"", offsetof(struct cell_transfer_note, format), 2},
        {"", offsetof(struct cell_transfer_note, kind), 0},
        {"", offsetof(struct cell_transfer_note, kind), 3},
        {"", offsetof(struct cell_transfer_note, kind),
         CELL_TRANSFER_FRESH}, /* but has a function */
        {"", offsetof(struct cell_transfer_note, old), 0},
        {"", offsetof(struct cell_transfer_note, function), 0},
        {"queue", offsetof(struct cell_transfer_note, new_bytes), 8},
        {"xueue", offsetof(struct cell_transfer_note, new), 'x'},
        {"xiden", offsetof(struct cell_transfer_note, function), 'x'},
        {"", offsetof(struct cell_transfer_note, new), 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        end(state);
        begin(state);
        struct fixture *fixture = *state;
        ((uint8_t *)&fixture->notes[0])[rows[i].offset] = rows[i].value;
        build(fixture, sizeof(fixture->notes));
        expect_refusal(fixture, 0, rows[i].name);
        struct cell_transfer transfer;
        assert_int_equal(cell_transfer_read(&fixture->object, 1, &transfer, NULL), OK);
    }
}

static void test_cell_transfer_name_without_end_is_refused(void **state)
{
    struct fixture *fixture = *state;
    memset(fixture->notes[0].old, 'o', sizeof(fixture->notes[0].old));
    build(fixture, sizeof(fixture->notes));
    expect_refusal(fixture, 0, "");
}

static void test_cell_transfer_name_that_is_there_twice_says_nothing(void **state)
{
    struct fixture *fixture = *state;
    uint32_t more = elf_add_data(&fixture->builder, ".data.queue", NULL, 16);
    elf_add_symbol(&fixture->builder, "queue", STB_LOCAL, STT_OBJECT, more, 0, 16);
    build(fixture, sizeof(fixture->notes));
    expect_refusal(fixture, 0, "queue");
}

static void test_cell_transfer_symbols_elsewhere_do_not_count(void **state)
{
    struct fixture *fixture = *state;
    struct elf_builder *builder = &fixture->builder;
    uint32_t note = elf_add_section(builder, ".note", SHT_PROGBITS, 0, "x", 1);
    uint32_t text = elf_add_text(builder, ".text.queue", "\xc3", 1);
    elf_add_symbol(builder, "queue", STB_LOCAL, STT_OBJECT, note, 0, 1);
    elf_add_symbol(builder, "queue", STB_LOCAL, STT_FUNC, text, 0, 1);
    elf_add_symbol(builder, "queue", STB_LOCAL, STT_OBJECT, SHN_ABS, 0, 1);
    build(fixture, sizeof(fixture->notes));
    uint32_t found = cell_transfer_find_symbol(&fixture->object, "queue", STT_OBJECT);
    assert_int_equal(fixture->object.symbols[found].st_size, 16);
    assert_int_equal(cell_transfer_find_symbol(&fixture->object, "other", STT_OBJECT), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_cell_transfer_lines_of_a_source_are_read, begin, end),
        cmocka_unit_test_setup_teardown(test_cell_transfer_functions_have_the_type_that_swaps_call,
                                        begin, end),
        cmocka_unit_test_setup_teardown(test_cell_transfer_cell_without_note_has_none, begin, end),
        cmocka_unit_test_setup_teardown(test_cell_transfer_record_that_is_cut_off_is_refused, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_cell_transfer_wrong_field_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(test_cell_transfer_name_without_end_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(test_cell_transfer_name_that_is_there_twice_says_nothing,
                                        begin, end),
        cmocka_unit_test_setup_teardown(test_cell_transfer_symbols_elsewhere_do_not_count, begin,
                                        end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
