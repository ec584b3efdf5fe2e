/* SPDX-License-Identifier: MIT */
#include "layout_change.h"

CELL(library, "1.0.0");

/* Types that lie in one another: more than any has, so that a malformed table ends. */
#define NESTING_LIMIT 16u
#define STEP_LIMIT    4096u

/* ---- enumerations ---- */

static bool is_enumeration(const char *text)
{
    return __builtin_strncmp(text, "enum ", 5) == 0;
}

static bool has_part(const char *layout, struct span wanted)
{
    uint64_t cursor = 0;
    struct span part;
    while (cell_abi_next_part(layout, &cursor, &part)) {
        if (span_equal(part, wanted)) {
            return true;
        }
    }
    return false;
}

/* What stands behind the parts: of an enumeration the type that it is kept as. */
static struct span rest_of(const char *layout)
{
    uint64_t cursor = 0;
    struct span rest;
    while (cell_abi_next_part(layout, &cursor, &rest)) {
    }
    return rest;
}

bool layout_change_is_grown(const char *was, const char *is)
{
    if (!is_enumeration(was) || !is_enumeration(is) ||
        !span_equal(cell_abi_type_name(was), cell_abi_type_name(is)) ||
        !span_equal(rest_of(was), rest_of(is))) {
        return false;
    }
    uint64_t cursor = 0;
    struct span part;
    while (cell_abi_next_part(was, &cursor, &part)) {
        if (!has_part(is, part)) {
            return false;
        }
    }
    return true;
}

/* ---- what leads to what ---- */

static const char *text_of(const struct cell_abi *abi, uint32_t type)
{
    return cell_abi_text(abi, abi->types[type].text);
}

/* Marks what a text mentions; returns whether that was new. */
static bool mark_mentions(const struct cell_abi *abi, const char *text, uint8_t mark,
                          uint8_t *marks)
{
    uint64_t cursor = 0;
    struct span name;
    bool is_inside;
    bool is_new = false;
    while (cell_abi_next_mention(text, &cursor, &name, &is_inside)) {
        const struct cell_abi_type *type =
            cell_abi_find_type(abi, (const char *)name.base, name.size);
        if (type && (marks[type - abi->types] & mark) != mark) {
            marks[type - abi->types] |= mark;
            is_new = true;
        }
    }
    return is_new;
}

/* From all that is kept on. */
static void walk(const struct cell_abi *abi, uint8_t *marks)
{
    for (bool is_new = true; is_new;) {
        is_new = false;
        for (uint32_t i = 0; i < abi->type_count; i++) {
            if ((marks[i] & (LAYOUT_MARK_KEPT | LAYOUT_MARK_WALKED)) == LAYOUT_MARK_KEPT) {
                marks[i] |= LAYOUT_MARK_WALKED;
                is_new |= mark_mentions(abi, text_of(abi, i), LAYOUT_MARK_KEPT, marks);
            }
        }
    }
}

/* `void(struct NAME**)`, of a function NAME_drop. */
static bool is_drop(const char *text, const char *name)
{
    static const char before[] = "void(struct ";
    size_t length = __builtin_strlen(name);
    size_t stem = length > 5 && __builtin_strcmp(name + length - 5, "_drop") == 0 ? length - 5 : 0;
    return stem && __builtin_strncmp(text, before, sizeof(before) - 1) == 0 &&
           __builtin_strncmp(text + sizeof(before) - 1, name, stem) == 0 &&
           __builtin_strcmp(text + sizeof(before) - 1 + stem, "**)") == 0;
}

static void mark_symbol(const struct cell_abi *abi, const struct elf_object *object,
                        const struct cell_abi_symbol *row, uint8_t *marks)
{
    const char *text = cell_abi_text(abi, row->text);
    if (row->symbol >= object->symbol_count) {
        mark_mentions(abi, text, LAYOUT_MARK_KEPT, marks);
    } else if (row->symbol >= object->first_global) {
        mark_mentions(abi, text, LAYOUT_MARK_NAMED, marks);
    } else if (!is_drop(text, elf_object_symbol_name(object, row->symbol))) {
        mark_mentions(abi, text, LAYOUT_MARK_KEPT, marks);
    }
}

void layout_change_mark(const struct cell_abi *abi, const struct elf_object *object, uint8_t *marks)
{
    for (uint32_t i = 0; i < abi->type_count; i++) {
        marks[i] = 0;
    }
    for (uint32_t i = 0; i < abi->variable_count; i++) {
        mark_mentions(abi, cell_abi_text(abi, abi->variables[i].text), LAYOUT_MARK_KEPT, marks);
    }
    for (uint32_t i = 0; i < abi->symbol_count; i++) {
        mark_symbol(abi, object, &abi->symbols[i], marks);
    }
    for (uint32_t i = 0; i < abi->type_count; i++) {
        if (marks[i] & LAYOUT_MARK_NAMED) {
            mark_mentions(abi, text_of(abi, i), LAYOUT_MARK_KEPT, marks);
        }
    }
    walk(abi, marks);
}

enum layout_change layout_change_of(const struct cell_abi *old, const uint8_t *marks,
                                    const struct cell_abi_type *was, const char *is)
{
    uint8_t mark = marks[was - old->types];
    if (layout_change_is_grown(cell_abi_text(old, was->text), is)) {
        return LAYOUT_CHANGE_GROWN;
    }
    return mark & LAYOUT_MARK_KEPT                                         ? LAYOUT_CHANGE_KEPT
           : mark & LAYOUT_MARK_NAMED || was->flags & CELL_ABI_TYPE_SHARED ? LAYOUT_CHANGE_ARGUMENT
                                                                           : LAYOUT_CHANGE_PASSING;
}

const struct cell_abi_variable *layout_change_find_holder(const struct cell_abi *abi, uint32_t type,
                                                          uint8_t *marks)
{
    for (uint32_t i = 0; i < abi->variable_count; i++) {
        for (uint32_t k = 0; k < abi->type_count; k++) {
            marks[k] = 0;
        }
        mark_mentions(abi, cell_abi_text(abi, abi->variables[i].text), LAYOUT_MARK_KEPT, marks);
        walk(abi, marks);
        if (marks[type] & LAYOUT_MARK_KEPT) {
            return &abi->variables[i];
        }
    }
    return NULL;
}

/* ---- variables ---- */

struct comparison {
    const struct cell_abi *old;
    const struct cell_abi *new;
    uint32_t steps; /* that are left */
};

/*
 * Does all that lies in a thing with this text mean in the new version what it meant in the old
 * one?
 */
static bool lies_alike(struct comparison *comparison, const char *text, unsigned depth)
{
    uint64_t cursor = 0;
    struct span name;
    bool is_inside;
    while (cell_abi_next_mention(text, &cursor, &name, &is_inside)) {
        if (!is_inside) {
            continue;
        }
        const char *type = (const char *)name.base;
        const struct cell_abi_type *was = cell_abi_find_type(comparison->old, type, name.size);
        const struct cell_abi_type *is = cell_abi_find_type(comparison->new, type, name.size);
        if (!was || !is || !was->layout || !is->layout || depth == 0 || comparison->steps == 0) {
            return false;
        }
        comparison->steps--;
        const char *before = cell_abi_text(comparison->old, was->text);
        const char *after = cell_abi_text(comparison->new, is->text);
        if (was->layout == is->layout ? !lies_alike(comparison, before, depth - 1)
                                      : !layout_change_is_grown(before, after)) {
            return false;
        }
    }
    return true;
}

bool layout_change_may_adopt(const struct cell_abi *old, const struct cell_abi_variable *was,
                             const struct cell_abi *new, const struct cell_abi_variable *is)
{
    struct comparison comparison = {.old = old, .new = new, .steps = STEP_LIMIT};
    const char *text = cell_abi_text(old, was->text);
    return was->layout == is->layout ||
           (was->size == is->size && __builtin_strcmp(text, cell_abi_text(new, is->text)) == 0 &&
            lies_alike(&comparison, text, NESTING_LIMIT));
}
