/* SPDX-License-Identifier: MIT */
#include "abi_check.h"

#include <stdlib.h>
#include <string.h>

/* An export or import that its cell describes. */
struct declaration {
    const char *name;
    const struct abi_party *party;
    const struct cell_abi_symbol *row;
    bool is_export;
};

struct layout {
    const struct abi_party *party;
    const struct cell_abi_type *row;
};

struct checking {
    struct declaration *declarations;
    size_t declaration_count;
    struct layout *layouts;
    size_t layout_count;
    abi_conflict_visitor visit;
    void *context;
};

bool abi_are_alternatives(const struct abi_party *a, const struct abi_party *b)
{
    return a->interface && b->interface && strcmp(a->interface, b->interface) == 0;
}

void abi_conflict_format(const struct abi_conflict *conflict, char *buffer, size_t size)
{
    struct cell_abi_difference difference =
        cell_abi_compare(conflict->my_text, conflict->their_text);
    cell_abi_format_difference(&difference, conflict->mine->name, conflict->theirs->name, buffer,
                               size);
}

static int compare_parties(const struct abi_party *a, const struct abi_party *b)
{
    return a < b ? -1 : a > b;
}

static int compare_declarations(const void *left, const void *right)
{
    const struct declaration *a = left;
    const struct declaration *b = right;
    int order = strcmp(a->name, b->name);
    return order ? order : compare_parties(a->party, b->party);
}

static int compare_layouts(const void *left, const void *right)
{
    const struct layout *a = left;
    const struct layout *b = right;
    if (a->row->key != b->row->key) {
        return a->row->key < b->row->key ? -1 : 1;
    }
    return compare_parties(a->party, b->party);
}

static void collect(struct checking *checking, const struct abi_party *party)
{
    const struct elf_object *object = party->object;
    for (uint32_t i = 0; i < party->abi.symbol_count; i++) {
        const struct cell_abi_symbol *row = &party->abi.symbols[i];
        if (row->symbol >= object->first_global && row->symbol < object->symbol_count) {
            checking->declarations[checking->declaration_count++] = (struct declaration){
                .name = elf_object_symbol_name(object, row->symbol),
                .party = party,
                .row = row,
                .is_export = elf_symbol_is_export(&object->symbols[row->symbol]),
            };
        }
    }
    for (uint32_t i = 0; i < party->abi.type_count; i++) {
        const struct cell_abi_type *row = &party->abi.types[i];
        if (row->layout && (row->flags & CELL_ABI_TYPE_SHARED)) {
            checking->layouts[checking->layout_count++] = (struct layout){party, row};
        }
    }
}

/* An importer against each that may be bound to it. */
static void check_pair(const struct checking *checking, const struct declaration *user,
                       const struct declaration *definer)
{
    if (user->is_export || !definer->is_export || user->row->signature == definer->row->signature) {
        return;
    }
    struct abi_conflict conflict = {
        .code = DIAG_LINK_SIGNATURE,
        .mine = user->party,
        .theirs = definer->party,
        .what = span_of(user->name, strlen(user->name)),
        .my_text = cell_abi_text(&user->party->abi, user->row->text),
        .their_text = cell_abi_text(&definer->party->abi, definer->row->text),
    };
    if (cell_abi_compare(conflict.my_text, conflict.their_text).part != CELL_ABI_SAME) {
        checking->visit(checking->context, &conflict);
    }
}

static void check_declarations(const struct checking *checking)
{
    const struct declaration *all = checking->declarations;
    size_t count = checking->declaration_count;
    for (size_t i = 0; i < count;) {
        size_t end = i + 1;
        while (end < count && strcmp(all[end].name, all[i].name) == 0) {
            end++;
        }
        for (size_t user = i; user < end; user++) {
            for (size_t definer = i; definer < end && !all[user].is_export; definer++) {
                check_pair(checking, &all[user], &all[definer]);
            }
        }
        i = end;
    }
}

/* Each cell against the first one before it that knows another layout. */
static void check_group(const struct checking *checking, const struct layout *group, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        const struct layout *mine = &group[i];
        size_t k = 0;
        while (k < i && (group[k].row->layout == mine->row->layout ||
                         abi_are_alternatives(group[k].party, mine->party))) {
            k++;
        }
        if (k == i) {
            continue;
        }
        const char *text = cell_abi_text(&mine->party->abi, mine->row->text);
        struct abi_conflict conflict = {
            .code = DIAG_LINK_TYPE,
            .mine = mine->party,
            .theirs = group[k].party,
            .what = cell_abi_type_name(text),
            .my_text = text,
            .their_text = cell_abi_text(&group[k].party->abi, group[k].row->text),
        };
        checking->visit(checking->context, &conflict);
    }
}

static void check_layouts(const struct checking *checking)
{
    for (size_t i = 0; i < checking->layout_count;) {
        size_t end = i + 1;
        while (end < checking->layout_count &&
               checking->layouts[end].row->key == checking->layouts[i].row->key) {
            end++;
        }
        check_group(checking, &checking->layouts[i], end - i);
        i = end;
    }
}

enum status abi_check(const struct abi_party *parties, size_t count, abi_conflict_visitor visit,
                      void *context)
{
    size_t symbols = 0;
    size_t types = 0;
    for (size_t i = 0; i < count; i++) {
        symbols += parties[i].abi.symbol_count;
        types += parties[i].abi.type_count;
    }
    struct checking checking = {
        .declarations = calloc(symbols + 1, sizeof(struct declaration)),
        .layouts = calloc(types + 1, sizeof(struct layout)),
        .visit = visit,
        .context = context,
    };
    bool good = checking.declarations && checking.layouts;
    for (size_t i = 0; good && i < count; i++) {
        collect(&checking, &parties[i]);
    }
    if (good) {
        qsort(checking.declarations, checking.declaration_count, sizeof(struct declaration),
              compare_declarations);
        qsort(checking.layouts, checking.layout_count, sizeof(struct layout), compare_layouts);
        check_declarations(&checking);
        check_layouts(&checking);
    }
    free(checking.declarations);
    free(checking.layouts);
    return good ? OK : ERR_NO_MEMORY;
}
