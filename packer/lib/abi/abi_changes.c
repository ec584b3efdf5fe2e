/* SPDX-License-Identifier: MIT */
#include "abi_changes.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct finding {
    abi_change_visitor visit;
    void *context;
    enum abi_subject subject;
    const char *name;
    size_t count;
};

static struct span span_of_text(const char *text)
{
    return span_of(text, strlen(text));
}

PRINTF_LIKE(5, 6)
static void tell(struct finding *finding, char mark, struct span old, struct span new,
                 const char *format, ...)
{
    struct abi_change change = {
        .subject = finding->subject, .mark = mark, .name = finding->name, .old = old, .new = new};
    va_list list;
    va_start(list, format);
    vsnprintf(change.part, sizeof(change.part), format, list);
    va_end(list);
    finding->count++;
    finding->visit(finding->context, &change);
}

/* ---- parts ---- */

static char mark_of(struct span old, struct span new)
{
    return old.size == 0 ? '+' : new.size == 0 ? '-' : '~';
}

/* The result, then each parameter: *cursor is where the next one starts; NULL at the end. */
static struct span next_parameter(const char **cursor)
{
    const char *start = *cursor;
    size_t depth = 0;
    if (!start) {
        return span_of(NULL, 0);
    }
    const char *at = start;
    for (; *at; at++) {
        bool is_open = *at == '(' || *at == '{' || *at == '[';
        bool is_close = *at == ')' || *at == '}' || *at == ']';
        if (depth == 0 && (*at == ',' || is_close)) {
            break;
        }
        depth += is_open;
        depth -= is_close;
    }
    *cursor = *at == ',' ? at + 1 : NULL;
    return span_of(start, (size_t)(at - start));
}

/* Behind the parenthesis that the last byte closes, or NULL. */
static const char *parameters_of(const char *text)
{
    size_t length = strlen(text);
    size_t depth = 0;
    if (length == 0 || text[length - 1] != ')') {
        return NULL;
    }
    for (size_t i = length; i-- > 0;) {
        depth += text[i] == ')';
        depth -= text[i] == '(' && depth > 0;
        if (depth == 0) {
            return text + i + 1;
        }
    }
    return NULL;
}

static void compare_signatures(struct finding *finding, const char *old, const char *new)
{
    const char *a = parameters_of(old);
    const char *b = parameters_of(new);
    if (!a || !b) {
        tell(finding, '~', span_of_text(old), span_of_text(new), "type");
        return;
    }
    struct span old_result = span_of(old, (size_t)(a - 1 - old));
    struct span new_result = span_of(new, (size_t)(b - 1 - new));
    if (!span_equal(old_result, new_result)) {
        tell(finding, '~', old_result, new_result, "result");
    }
    for (unsigned index = 1; a || b; index++) {
        struct span left = next_parameter(&a);
        struct span right = next_parameter(&b);
        if (!span_equal(left, right)) {
            tell(finding, mark_of(left, right), left, right, "parameter %u", index);
        }
    }
}

/* `u64 id@16` is called id, `OK=0` is called OK; anonymous members have no name. */
static struct span name_of(struct span part)
{
    size_t end = part.size;
    while (end > 0 && part.base[end - 1] != '@' && part.base[end - 1] != '=') {
        end--;
    }
    end -= end > 0;
    size_t start = end;
    while (start > 0 && part.base[start - 1] != ' ') {
        start--;
    }
    return span_of(part.base + start, end - start);
}

/* The `skip`-th part of that name. Returns false when there is none. */
static bool find_part(const char *layout, struct span name, size_t skip, struct span *out)
{
    uint64_t cursor = 0;
    while (cell_abi_next_part(layout, &cursor, out)) {
        if (span_equal(name_of(*out), name) && skip-- == 0) {
            return true;
        }
    }
    return false;
}

/* How many parts of `layout` before `end` have that name: there are several anonymous ones. */
static size_t count_before(const char *layout, struct span name, const uint8_t *end)
{
    uint64_t cursor = 0;
    struct span part;
    size_t count = 0;
    while (cell_abi_next_part(layout, &cursor, &part) && part.base < end) {
        count += span_equal(name_of(part), name);
    }
    return count;
}

static void compare_layouts(struct finding *finding, const char *old, const char *new)
{
    bool is_enumeration = strncmp(old, "enum", 4) == 0;
    const char *kind = is_enumeration ? "enumerator" : "field";
    uint64_t cursor = 0;
    struct span left;
    struct span right;
    while (cell_abi_next_part(old, &cursor, &left)) {
        struct span name = name_of(left);
        bool is_there = find_part(new, name, count_before(old, name, left.base), &right);
        if (!is_there || !span_equal(left, right)) {
            tell(finding, is_there ? '~' : '-', left, is_there ? right : span_of(NULL, 0),
                 "%s %.*s", kind, (int)name.size, (const char *)name.base);
        }
    }
    struct span old_size = left;
    cursor = 0;
    while (cell_abi_next_part(new, &cursor, &right)) {
        struct span name = name_of(right);
        if (!find_part(old, name, count_before(new, name, right.base), &left)) {
            tell(finding, '+', span_of(NULL, 0), right, "%s %.*s", kind, (int)name.size,
                 (const char *)name.base);
        }
    }
    if (!span_equal(old_size, right)) {
        tell(finding, '~', old_size, right, is_enumeration ? "type" : "size");
    }
}

/* ---- cells ---- */

static bool is_export(const struct abi_party *party, uint32_t symbol)
{
    const struct elf_object *object = party->object;
    return symbol < object->symbol_count && elf_symbol_is_export(&object->symbols[symbol]);
}

/* The export of that name, whether anything is known of it or not. */
static bool find_export(const struct abi_party *party, const char *name,
                        const struct cell_abi_symbol **out_row)
{
    const struct elf_object *object = party->object;
    for (uint32_t i = object->first_global; i < object->symbol_count; i++) {
        if (is_export(party, i) && strcmp(elf_object_symbol_name(object, i), name) == 0) {
            *out_row = cell_abi_symbol_at(&party->abi, i);
            return true;
        }
    }
    return false;
}

static struct span text_of(const struct abi_party *party, const struct cell_abi_symbol *row)
{
    return span_of_text(row ? cell_abi_text(&party->abi, row->text) : "?");
}

static void find_exports(struct finding *finding, const struct abi_party *old,
                         const struct abi_party *new)
{
    finding->subject = ABI_EXPORT;
    const struct cell_abi_symbol *row;
    for (uint32_t i = old->object->first_global; i < old->object->symbol_count; i++) {
        if (!is_export(old, i)) {
            continue;
        }
        finding->name = elf_object_symbol_name(old->object, i);
        const struct cell_abi_symbol *was = cell_abi_symbol_at(&old->abi, i);
        if (!find_export(new, finding->name, &row)) {
            tell(finding, '-', text_of(old, was), span_of(NULL, 0), "%s", "");
        } else if (was && row && was->signature != row->signature) {
            compare_signatures(finding, cell_abi_text(&old->abi, was->text),
                               cell_abi_text(&new->abi, row->text));
        }
    }
    for (uint32_t i = new->object->first_global; i < new->object->symbol_count; i++) {
        if (!is_export(new, i)) {
            continue;
        }
        finding->name = elf_object_symbol_name(new->object, i);
        if (!find_export(old, finding->name, &row)) {
            tell(finding, '+', span_of(NULL, 0), text_of(new, cell_abi_symbol_at(&new->abi, i)),
                 "%s", "");
        }
    }
}

static void find_variables(struct finding *finding, const struct abi_party *old,
                           const struct abi_party *new)
{
    finding->subject = ABI_VARIABLE;
    for (uint32_t i = 0; i < old->abi.variable_count; i++) {
        const struct cell_abi_variable *was = &old->abi.variables[i];
        finding->name = cell_abi_text(&old->abi, was->name);
        const char *text = cell_abi_text(&old->abi, was->text);
        const struct cell_abi_variable *is = cell_abi_find_variable(&new->abi, finding->name);
        if (!is) {
            tell(finding, '-', span_of_text(text), span_of(NULL, 0), "%s", "");
        } else if (was->signature != is->signature) {
            tell(finding, '~', span_of_text(text), span_of_text(cell_abi_text(&new->abi, is->text)),
                 "type");
        } else if (was->layout != is->layout) { /* the types tell where */
            tell(finding, '~', span_of_text(text), span_of_text(text), "layout");
        }
    }
    for (uint32_t i = 0; i < new->abi.variable_count; i++) {
        const struct cell_abi_variable *is = &new->abi.variables[i];
        finding->name = cell_abi_text(&new->abi, is->name);
        if (!cell_abi_find_variable(&old->abi, finding->name)) {
            tell(finding, '+', span_of(NULL, 0), span_of_text(cell_abi_text(&new->abi, is->text)),
                 "%s", "");
        }
    }
}

static void find_types(struct finding *finding, const struct abi_party *old,
                       const struct abi_party *new)
{
    struct cell_abi_cursor cursor = {0};
    const struct cell_abi_type *is = NULL;
    const struct cell_abi_type *was;
    while ((was = cell_abi_next_conflict(&old->abi, &new->abi, 0, &cursor, &is)) != NULL) {
        const char *text = cell_abi_text(&old->abi, was->text);
        struct span name = cell_abi_type_name(text);
        char copy[128];
        snprintf(copy, sizeof(copy), "%.*s", (int)name.size, (const char *)name.base);
        finding->subject =
            (was->flags | is->flags) & CELL_ABI_TYPE_SHARED ? ABI_TYPE : ABI_PRIVATE_TYPE;
        finding->name = copy;
        compare_layouts(finding, text, cell_abi_text(&new->abi, is->text));
    }
}

size_t abi_find_changes(const struct abi_party *old, const struct abi_party *new,
                        abi_change_visitor visit, void *context)
{
    struct finding finding = {.visit = visit, .context = context};
    find_exports(&finding, old, new);
    find_variables(&finding, old, new);
    find_types(&finding, old, new);
    return finding.count;
}

bool abi_change_is_incompatible(const struct abi_change *change)
{
    switch (change->subject) {
    case ABI_EXPORT:
        return change->mark != '+' || change->part[0];
    case ABI_TYPE:
        return true;
    default:
        return false;
    }
}

const char *abi_subject_name(enum abi_subject subject)
{
    static const char *const names[] = {"export", "variable", "type", "private type"};
    return names[subject];
}
