/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a section .cell.abi, its own object and its own partner: every row, every text, and
 * each text against the next. What the check accepts keeps its promises.
 */
#include "cell_abi.h"
#include "diag.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(bool holds)
{
    if (!holds) {
        abort();
    }
}

static bool lies_in(struct span part, const char *text)
{
    const char *start = (const char *)part.base;
    return part.size == 0 || (start >= text && start + part.size <= text + strlen(text));
}

static void walk_text(const struct cell_abi *abi, const char *text)
{
    uint64_t cursor = 0;
    struct span part;
    bool is_inside;
    for (uint64_t last = 0; cell_abi_next_mention(text, &cursor, &part, &is_inside);
         last = cursor) {
        check(cursor > last && part.size > 0 && lies_in(part, text));
        cell_abi_find_type(abi, (const char *)part.base, part.size);
    }
    cursor = 0;
    bool is_first = true;
    for (uint64_t last = 0; cell_abi_next_part(text, &cursor, &part); last = cursor) {
        check((is_first || cursor > last) && lies_in(part, text));
        is_first = false;
    }
    check(lies_in(part, text));
    check(lies_in(cell_abi_type_name(text), text));
}

static void compare(const char *a, const char *b)
{
    struct cell_abi_difference difference = cell_abi_compare(a, b);
    check(difference.part == CELL_ABI_SAME || strcmp(a, b) != 0);
    check(lies_in(difference.mine, a) && lies_in(difference.theirs, b));
    char line[64];
    cell_abi_format_difference(&difference, "a", "b", line, sizeof(line));
}

static void walk(const struct cell_abi *abi)
{
    const char *previous = "";
    for (uint32_t i = 0; i < abi->symbol_count; i++) {
        cell_abi_symbol_at(abi, abi->symbols[i].symbol);
        const char *text = cell_abi_text(abi, abi->symbols[i].text);
        walk_text(abi, text);
        compare(previous, text);
        compare(text, previous);
        previous = text;
    }
    for (uint32_t i = 0; i < abi->variable_count; i++) {
        cell_abi_find_variable(abi, cell_abi_text(abi, abi->variables[i].name));
        walk_text(abi, cell_abi_text(abi, abi->variables[i].text));
    }
    for (uint32_t i = 0; i < abi->type_count; i++) {
        const char *text = cell_abi_text(abi, abi->types[i].text);
        walk_text(abi, text);
        compare(previous, text);
        compare(text, previous);
        previous = text;
    }
    struct cell_abi_cursor cursor = {0};
    const struct cell_abi_type *other;
    check(!cell_abi_next_conflict(abi, abi, 0, &cursor, &other));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct cell_abi abi;
    struct diag diag = {0};
    if (cell_abi_open(span_of(bytes, size), &abi, &diag) != OK) {
        check(diag.code == DIAG_CELL_ABI);
        return 0;
    }
    if (size < 1u << 16) {
        walk(&abi);
    }
    /* No object can be made of these bytes: an empty one lets the tables of types be checked, at
     * least. */
    struct elf_object object = {0};
    abi.symbol_count = 0;
    abi.variable_count = 0;
    if (cell_abi_check(&abi, &object, &diag) == OK) {
        for (uint32_t i = 0; i < abi.type_count; i++) {
            struct span name = cell_abi_type_name(cell_abi_text(&abi, abi.types[i].text));
            check(cell_abi_find_type(&abi, (const char *)name.base, name.size) == &abi.types[i]);
        }
    }
    return 0;
}
