/* SPDX-License-Identifier: MIT */
/*
 * What an author may write for what lacks a line about transfer. A function is made field by field:
 * of equal name and type, it is copied; between whole numbers, converted; otherwise the difference
 * stands in a comment and the new field keeps its initial value. Where nothing is known of a type,
 * the function refuses: it compiles, and the swap is taken back until somebody has written what it
 * must do.
 */
#include "diff_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELD_NAME_SIZE 128
#define NESTING_LIMIT   8u /* arrays of structures of arrays */

/* A type's text, of one side. */
struct side {
    const struct cell_abi *abi;
    struct span text;
};

/* A field: `TYPE NAME@OFFSET`, bit-fields excluded. */
struct field {
    struct span type;
    struct span name;
    uint64_t offset;
};

/* ---- types ---- */

static bool is_text(struct span text, const char *other)
{
    return text.size == strlen(other) && memcmp(text.base, other, text.size) == 0;
}

static char last_of(struct span text)
{
    return text.size ? (char)text.base[text.size - 1] : '\0';
}

static struct span part(struct span text, size_t from, size_t to)
{
    return span_of(text.base + from, to - from);
}

/* As C has them; NULL: not a whole number. */
static const char *number_of(struct span text, uint64_t *out_size)
{
    static const struct {
        const char *text, *c;
        uint64_t size;
    } numbers[] = {{"u8", "uint8_t", 1},   {"s8", "int8_t", 1},    {"u16", "uint16_t", 2},
                   {"s16", "int16_t", 2},  {"u32", "uint32_t", 4}, {"s32", "int32_t", 4},
                   {"u64", "uint64_t", 8}, {"s64", "int64_t", 8},  {"bool", "bool", 1}};
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
        if (is_text(text, numbers[i].text)) {
            *out_size = numbers[i].size;
            return numbers[i].c;
        }
    }
    return NULL;
}

static uint64_t number_at(struct span text, size_t at)
{
    uint64_t value = 0;
    for (; at < text.size && text.base[at] >= '0' && text.base[at] <= '9'; at++) {
        value = value * 10 + (uint64_t)(text.base[at] - '0');
    }
    return value;
}

/*
 * The layout of a structure: its own text, or that of the type that it names. Empty: it is none, or
 * not known.
 */
static struct span layout_of(struct side side)
{
    if (side.text.size > 7 && memcmp(side.text.base, "struct{", 7) == 0 &&
        last_of(side.text) != ']') {
        return side.text;
    }
    const struct cell_abi_type *type =
        cell_abi_find_type(side.abi, (const char *)side.text.base, side.text.size);
    const char *text = type && type->layout ? cell_abi_text(side.abi, type->text) : "";
    return strncmp(text, "struct", 6) == 0 ? span_of(text, strlen(text)) : span_of(NULL, 0);
}

/* Where the brace that opens the fields is closed, or 0. */
static size_t end_of_fields(struct span layout)
{
    for (size_t i = layout.size; i > 0; i--) {
        if (layout.base[i - 1] == '}') {
            return i;
        }
    }
    return 0;
}

/* The element of an array, and how many there are. */
static bool element_of(struct span text, struct span *out_element, uint64_t *out_count)
{
    if (last_of(text) != ']') {
        return false;
    }
    size_t open = text.size;
    while (open > 0 && text.base[open - 1] != '[') {
        open--;
    }
    size_t first = open; /* of several bounds the first one is the outermost */
    while (first > 1 && text.base[first - 2] == ']') {
        first--;
        while (first > 0 && text.base[first - 1] != '[') {
            first--;
        }
    }
    if (open == 0 || first != open) {
        return false; /* what more than one bound means is left to the author */
    }
    *out_count = number_at(text, open);
    *out_element = part(text, 0, open - 1);
    return *out_count > 0;
}

static uint64_t size_of(struct side side)
{
    uint64_t size;
    struct span element;
    uint64_t count;
    if (number_of(side.text, &size)) {
        return size;
    }
    if (last_of(side.text) == '*') {
        return 8;
    }
    if (element_of(side.text, &element, &count)) {
        return count * size_of((struct side){side.abi, element});
    }
    struct span layout = layout_of(side);
    return layout.size ? number_at(layout, end_of_fields(layout)) : 0;
}

/* ---- fields ---- */

static bool split_field(struct span text, struct field *out)
{
    size_t at = text.size;
    while (at > 0 && text.base[at - 1] != '@') {
        at--;
    }
    size_t space = at;
    while (space > 0 && text.base[space - 1] != ' ') {
        space--;
    }
    if (at == 0 || space == 0 || memchr(text.base + at, ':', text.size - at)) {
        return false;
    }
    *out = (struct field){.type = part(text, 0, space - 1),
                          .name = part(text, space, at - 1),
                          .offset = number_at(text, at)};
    return out->name.size > 0;
}

static bool find_field(struct span layout, struct span name, struct field *out)
{
    uint64_t cursor = 0;
    struct span text;
    while (cell_abi_next_part((const char *)layout.base, &cursor, &text)) {
        if (split_field(text, out) && span_equal(out->name, name)) {
            return true;
        }
    }
    return false;
}

/* ---- statements ---- */

struct writer {
    struct bytes *text;
    unsigned depth;
};

static void indent(const struct writer *writer)
{
    bytes_append_text(writer->text, "%*s", 4 * (int)(writer->depth + 1), "");
}

static bool carry(struct writer *writer, struct side old, struct side new, const char *from,
                  const char *to);

/* `name` as an address: `from + 8`. */
static void place_of(char place[FIELD_NAME_SIZE], const char *base, uint64_t offset)
{
    if (offset) {
        snprintf(place, FIELD_NAME_SIZE, "%s + %" PRIu64, base, offset);
    } else {
        snprintf(place, FIELD_NAME_SIZE, "%s", base);
    }
}

static void carry_field(struct writer *writer, struct side old, struct side new,
                        const struct field *was, const struct field *is, const char *from,
                        const char *to)
{
    char source[FIELD_NAME_SIZE];
    char target[FIELD_NAME_SIZE];
    place_of(source, from, was->offset);
    place_of(target, to, is->offset);
    indent(writer);
    bytes_append_text(writer->text, "/* %.*s */\n", (int)is->name.size,
                      (const char *)is->name.base);
    if (!carry(writer, (struct side){old.abi, was->type}, (struct side){new.abi, is->type}, source,
               target)) {
        indent(writer);
        bytes_append_text(writer->text, "/* was %.*s, is %.*s: say what becomes of it */\n",
                          (int)was->type.size, (const char *)was->type.base, (int)is->type.size,
                          (const char *)is->type.base);
    }
}

static void carry_fields(struct writer *writer, struct side old, struct side new, const char *from,
                         const char *to)
{
    struct span before = layout_of(old);
    struct span after = layout_of(new);
    uint64_t cursor = 0;
    struct span text;
    struct field was;
    struct field is;
    while (cell_abi_next_part((const char *)after.base, &cursor, &text)) {
        if (split_field(text, &is) && find_field(before, is.name, &was)) {
            carry_field(writer, old, new, &was, &is, from, to);
        } else {
            indent(writer);
            bytes_append_text(writer->text, "/* new: %.*s: keeps its initial value */\n",
                              (int)text.size, (const char *)text.base);
        }
    }
    cursor = 0;
    while (cell_abi_next_part((const char *)before.base, &cursor, &text)) {
        if (!split_field(text, &was) || !find_field(after, was.name, &is)) {
            indent(writer);
            bytes_append_text(writer->text, "/* gone: %.*s */\n", (int)text.size,
                              (const char *)text.base);
        }
    }
}

static bool carry_elements(struct writer *writer, struct side old, struct side new,
                           const char *from, const char *to)
{
    struct side a = {.abi = old.abi};
    struct side b = {.abi = new.abi};
    uint64_t counts[2];
    if (!element_of(old.text, &a.text, &counts[0]) || !element_of(new.text, &b.text, &counts[1]) ||
        !size_of(a) || !size_of(b) || writer->depth >= NESTING_LIMIT) {
        return false;
    }
    char i = (char)('i' + (char)writer->depth);
    char source[FIELD_NAME_SIZE];
    char target[FIELD_NAME_SIZE];
    snprintf(source, sizeof(source), "%s + %c * %" PRIu64, from, i, size_of(a));
    snprintf(target, sizeof(target), "%s + %c * %" PRIu64, to, i, size_of(b));
    indent(writer);
    bytes_append_text(writer->text, "for (size_t %c = 0; %c < %" PRIu64 "; %c++) {\n", i, i,
                      counts[0] < counts[1] ? counts[0] : counts[1], i);
    writer->depth++;
    if (!carry(writer, a, b, source, target)) {
        indent(writer);
        bytes_append_text(writer->text, "return ERR_MISMATCH; /* say what becomes of each */\n");
    }
    writer->depth--;
    indent(writer);
    bytes_append_text(writer->text, "}\n");
    return true;
}

/* Do both mean the same, byte for byte: do they read alike, and all that lies in them? */
static bool are_alike(struct side old, struct side new)
{
    char *text = strndup((const char *)new.text.base, new.text.size);
    bool alike =
        text && span_equal(old.text, new.text) && size_of(new) && size_of(old) == size_of(new);
    uint64_t cursor = 0;
    struct span name;
    bool is_inside;
    while (alike && cell_abi_next_mention(text, &cursor, &name, &is_inside)) {
        struct side a = {old.abi, layout_of((struct side){old.abi, name})};
        struct side b = {new.abi, layout_of((struct side){new.abi, name})};
        alike = !is_inside || (a.text.size && span_equal(a.text, b.text));
    }
    free(text);
    return alike;
}

/* Statements that fill what is at `to`; false: none can be made up. */
static bool carry(struct writer *writer, struct side old, struct side new, const char *from,
                  const char *to)
{
    uint64_t size;
    const char *was = number_of(old.text, &size);
    const char *is = number_of(new.text, &size);
    if (was && is) {
        indent(writer);
        bytes_append_text(writer->text, "*(%s *)(%s) = *(const %s *)(%s);\n", is, to, was, from);
        return true;
    }
    if (are_alike(old, new) || (last_of(old.text) == '*' && last_of(new.text) == '*')) {
        indent(writer);
        bytes_append_text(writer->text, "__builtin_memcpy(%s, %s, %" PRIu64 ");\n", to, from,
                          size_of(new));
        return true;
    }
    if (layout_of(old).size && layout_of(new).size) {
        carry_fields(writer, old, new, from, to);
        return true;
    }
    return carry_elements(writer, old, new, from, to);
}

/* ---- variables ---- */

static struct side side_of(const struct cell_abi *abi, const char *name, uint64_t *out_size)
{
    const struct cell_abi_variable *row = cell_abi_find_variable(abi, name);
    const char *text = row ? cell_abi_text(abi, row->text) : "";
    *out_size = row ? row->size : 0;
    return (struct side){abi, span_of(text, strlen(text))};
}

static void advise_transfer(const struct diff_cell *cell, const struct diff_variable *variable,
                            struct bytes *text)
{
    const char *name = variable->symbol;
    uint64_t sizes[2];
    struct side old = side_of(&cell->old_abi, variable->name, &sizes[0]);
    struct side new = side_of(&cell->new_abi, variable->name, &sizes[1]);
    struct writer writer = {.text = text};
    bytes_append_text(
        text,
        "static enum status take_over_%s(const void *old, size_t old_bytes, void *new,\n"
        "%*ssize_t new_bytes)\n"
        "{\n"
        "    const char *from = old;\n"
        "    char *to = new;\n"
        "    if (old_bytes != %" PRIu64 " || new_bytes != sizeof(%s)) {\n"
        "        return ERR_MISMATCH; /* another version than this is written for */\n"
        "    }\n",
        name, (int)(strlen("static enum status take_over_(") + strlen(name)), "", sizes[0], name);
    bool is_made = sizes[0] && sizes[1] && carry(&writer, old, new, "from", "to");
    bytes_append_text(text, is_made ? "    return OK;\n"
                                    : "    (void)from;\n    (void)to;\n"
                                      "    return ERR_MISMATCH; /* say what becomes of it */\n");
    bytes_append_text(text, "}\nCELL_TRANSFER(%s, %s, take_over_%s);\n", name, name, name);
}

static void advise_variable(const struct diff_cell *cell, const struct diff_variable *variable,
                            struct bytes *text)
{
    bytes_append_text(text, "\n/* %s: %s */\n", variable->name,
                      variable->detail ? variable->detail : "its line names no old variable");
    if (strchr(variable->symbol, '.')) {
        bytes_append_text(text,
                          "/* It is a function's own: make it one of the file, to name it. */\n");
        return;
    }
    if (variable->detail) {
        advise_transfer(cell, variable, text);
    }
    bytes_append_text(text,
                      "/* Or, if the value that it has may be forgotten: CELL_FRESH(%s); */\n",
                      variable->symbol);
}

static void advise_layout(const struct diff_layout *layout, struct bytes *text)
{
    bytes_append_text(text, "\n/* %s: %s\n", layout->name, layout->detail);
    if (layout->holder) {
        bytes_append_text(text,
                          " * The variable %s leads to such. Write a function of transfer for it "
                          "that puts in their place what the\n"
                          " * new version expects, CELL_TRANSFER(%s, %s, FUNCTION); or, if none "
                          "are left behind when it is\n"
                          " * given up, CELL_FRESH(%s). */\n",
                          layout->holder, layout->holder, layout->holder, layout->holder);
    } else {
        bytes_append_text(text, " * Others hold such, and no variable of the cell leads to them. "
                                "Keep the layout, with new fields in\n"
                                " * a structure of their own; or start the system anew. */\n");
    }
}

void diff_advise(const struct diff *diff, struct bytes *text)
{
    for (uint32_t i = 0; i < diff->cell_count; i++) {
        const struct diff_cell *cell = &diff->cells[i];
        bool is_first = true;
        for (uint32_t k = 0; k < cell->variable_count + cell->layout_count; k++) {
            bool is_layout = k >= cell->variable_count;
            if (!is_layout && cell->variables[k].fate != DIFF_MISSING) {
                continue;
            }
            if (is_first) {
                bytes_append_text(text, "\n/* ---- to write in %s, behind its variables ---- */\n",
                                  cell->name);
            }
            is_first = false;
            if (is_layout) {
                advise_layout(&cell->layouts[k - cell->variable_count], text);
            } else {
                advise_variable(cell, &cell->variables[k], text);
            }
        }
    }
}
