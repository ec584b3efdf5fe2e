/* SPDX-License-Identifier: MIT */
/* Tables made of texts, of a cell that has a global function `serve` and local ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <string.h>

#include "layout_change.h"

#define ROWS 8

struct table {
    char texts[1024];
    uint32_t size;
    struct cell_abi_symbol symbols[ROWS];
    struct cell_abi_variable variables[ROWS];
    struct cell_abi_type types[ROWS];
    struct cell_abi abi;
    uint8_t marks[ROWS];
};

static struct elf64_sym symbols[4] = {{0}, {.st_name = 1}, {.st_name = 10}, {.st_name = 19}};
static const char names[] = "\0bell_drop\0bell_hear\0serve";
static const struct elf_object object = {
    .symbols = symbols, .symbol_count = 4, .first_global = 3, .symbol_names = names};

enum { NOTHING, BELL_DROP, BELL_HEAR, SERVE };

static struct table old;
static struct table new;

static uint32_t add_text(struct table *table, const char *text)
{
    uint32_t at = table->size;
    strcpy(table->texts + at, text);
    table->size += (uint32_t)strlen(text) + 1;
    table->abi.texts = span_of(table->texts, table->size);
    return at;
}

static void begin(struct table *table)
{
    *table = (struct table){.size = 1};
    table->abi.symbols = table->symbols;
    table->abi.variables = table->variables;
    table->abi.types = table->types;
}

static void add_symbol(struct table *table, uint32_t symbol, const char *text)
{
    table->symbols[table->abi.symbol_count++] =
        (struct cell_abi_symbol){.symbol = symbol, .text = add_text(table, text)};
}

static void add_variable(struct table *table, const char *text, uint32_t size, uint64_t layout)
{
    table->variables[table->abi.variable_count++] =
        (struct cell_abi_variable){.text = add_text(table, text), .size = size, .layout = layout};
}

/* In the order of keys, as cellpack writes them. */
static void add_type(struct table *table, const char *text)
{
    struct span name = cell_abi_type_name(text);
    bool is_known = name.size < strlen(text);
    struct cell_abi_type row = {
        .key = cell_abi_hash((const char *)name.base, name.size),
        .layout = is_known ? cell_abi_hash(text, strlen(text)) : 0,
        .text = add_text(table, text),
    };
    uint32_t at = table->abi.type_count++;
    for (; at > 0 && table->types[at - 1].key > row.key; at--) {
        table->types[at] = table->types[at - 1];
    }
    table->types[at] = row;
}

static enum layout_change change_of(const char *name, const char *is)
{
    const struct cell_abi_type *type = cell_abi_find_type(&old.abi, name, strlen(name));
    assert_non_null(type);
    memset(old.marks, 0xff, sizeof(old.marks));
    layout_change_mark(&old.abi, &object, old.marks);
    return layout_change_of(&old.abi, old.marks, type, is);
}

#define BELL     "struct bell{u32 tone@0;}4"
#define NEW_BELL "struct bell{u64 tone@0;}8"

static void test_layout_change_enumeration_with_more_names_has_grown(void **state)
{
    static const struct {
        const char *was, *is;
        bool is_grown;
    } rows[] = {
        {"enum e{A=0,B=1,}u32", "enum e{A=0,B=1,C=2,}u32", true},
        {"enum e{A=0,C=2,}u32", "enum e{A=0,B=1,C=2,}u32", true},
        {"enum e{A=0,B=1,}u32", "enum e{A=0,}u32", false},
        {"enum e{A=0,B=1,}u32", "enum e{A=0,B=2,C=1,}u32", false},
        {"enum e{A=0,}u32", "enum e{A=0,B=1,}u64", false},
        {"enum e{A=0,}u32", "enum f{A=0,B=1,}u32", false},
        {"struct e{u8 a@0;}1", "struct e{u8 a@0;u8 b@1;}2", false},
        {"", "enum e{A=0,}u32", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        assert_int_equal(layout_change_is_grown(rows[i].was, rows[i].is), rows[i].is_grown);
    }
    begin(&old);
    add_type(&old, rows[0].was);
    assert_int_equal(change_of("enum e", rows[0].is), LAYOUT_CHANGE_GROWN);
}

static void test_layout_change_what_variables_and_callbacks_lead_to_is_kept(void **state)
{
    static const struct {
        const char *variable; /* or NULL */
        uint32_t symbol;
        const char *signature;
        enum layout_change change;
    } rows[] = {
        {NULL, BELL_DROP, "void(struct bell**)", LAYOUT_CHANGE_PASSING},
        {NULL, BELL_HEAR, "void(struct bell**)", LAYOUT_CHANGE_KEPT}, /* no drop by its name */
        {NULL, BELL_DROP, "void(struct bell*)", LAYOUT_CHANGE_KEPT},  /* nor by its type */
        {NULL, BELL_DROP, "void(struct tower**)", LAYOUT_CHANGE_KEPT},
        {"struct bell*", BELL_DROP, "void(struct bell**)", LAYOUT_CHANGE_KEPT},
        {"struct bell[3]", BELL_DROP, "void(struct bell**)", LAYOUT_CHANGE_KEPT},
        {"struct tower*", BELL_DROP, "void(struct bell**)", LAYOUT_CHANGE_KEPT},
        {"u32", SERVE, "s32(struct bell const*)", LAYOUT_CHANGE_ARGUMENT},
        {"u32", SERVE, "s32(struct tower*)", LAYOUT_CHANGE_KEPT}, /* in somebody's hand */
        {"struct bell*", SERVE, "s32(struct bell const*)", LAYOUT_CHANGE_KEPT},
        {NULL, 7, "void(struct bell**)", LAYOUT_CHANGE_KEPT}, /* of a symbol that is not there */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        begin(&old);
        if (rows[i].variable) {
            add_variable(&old, rows[i].variable, 8, 1);
        }
        add_symbol(&old, rows[i].symbol, rows[i].signature);
        add_type(&old, BELL);
        add_type(&old, "struct tower{struct stairs* up@0;}8");
        add_type(&old, "struct stairs{struct bell* at_the_top@0;struct tower* in@8;}16");
        enum layout_change change = change_of("struct bell", NEW_BELL);
        if (change != rows[i].change) {
            fail_msg("row %zu: %d", i, change);
        }
    }
}

static void test_layout_change_names_the_variable_that_leads_to_it(void **state)
{
    (void)state;
    begin(&old);
    add_variable(&old, "u32", 4, 1);
    add_variable(&old, "struct tower*", 8, 1);
    add_variable(&old, "struct bell*", 8, 1);
    add_type(&old, BELL);
    add_type(&old, "struct tower{struct bell* top@0;}8");
    const struct cell_abi_type *bell = cell_abi_find_type(&old.abi, "struct bell", 11);
    uint32_t index = (uint32_t)(bell - old.types);
    assert_ptr_equal(layout_change_find_holder(&old.abi, index, old.marks), &old.variables[1]);
    old.abi.variable_count = 1;
    assert_null(layout_change_find_holder(&old.abi, index, old.marks));
}

static void test_layout_change_variable_is_adopted_if_all_in_it_reads_alike(void **state)
{
    static const struct {
        const char *text, *was, *is;
        uint32_t size; /* of the new one; the old one has 16 */
        bool may;
    } rows[] = {
        {"enum e", "enum e{A=0,}u32", "enum e{A=0,B=1,}u32", 16, true},
        {"enum e", "enum e{A=0,}u32", "enum e{A=1,}u32", 16, false},
        {"enum e", "enum e{A=0,}u32", "enum e", 16, false},
        {"struct{u8 a@0;enum e[2] b@4;}12", "enum e{A=0,}u32", "enum e{A=0,B=1,}u32", 16, true},
        {"struct bell", BELL, NEW_BELL, 16, false},
        {"struct bell*", BELL, NEW_BELL, 16, true}, /* lies elsewhere: not asked here */
        {"u32", BELL, BELL, 8, false},
        {"struct absent", BELL, BELL, 16, false},
        {"struct self", "struct self{struct self a@0;}1", "struct self{struct self a@0;}1", 16,
         false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        begin(&old);
        begin(&new);
        add_variable(&old, rows[i].text, 16, 1);
        add_variable(&new, rows[i].text, rows[i].size, 2);
        add_type(&old, rows[i].was);
        add_type(&new, rows[i].is);
        if (layout_change_may_adopt(&old.abi, old.variables, &new.abi, new.variables) !=
            rows[i].may) {
            fail_msg("row %zu", i);
        }
        new.variables[0].layout = 1; /* the hash of all of it */
        assert_true(layout_change_may_adopt(&old.abi, old.variables, &new.abi, new.variables));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout_change_enumeration_with_more_names_has_grown),
        cmocka_unit_test(test_layout_change_what_variables_and_callbacks_lead_to_is_kept),
        cmocka_unit_test(test_layout_change_names_the_variable_that_leads_to_it),
        cmocka_unit_test(test_layout_change_variable_is_adopted_if_all_in_it_reads_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
