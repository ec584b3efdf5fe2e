/* SPDX-License-Identifier: MIT */
/*
 * First the names of handles and locks are collected and sorted, then each result is looked up. A
 * structure that is returned is searched by its layout's text: what lies within parentheses is part
 * of a function's type, and what is behind a pointer is not part of the structure.
 */
#include "abi_handles.h"

#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 8u /* of structures within structures */

struct name {
    struct span name;
    const struct abi_party *only; /* of a local drop: who has it; NULL: known everywhere */
};

struct names {
    struct name *list;
    size_t count;
};

struct search {
    struct names handles;
    struct names locks;
};

static int compare_names(const void *left, const void *right)
{
    const struct name *a = left;
    const struct name *b = right;
    size_t least = a->name.size < b->name.size ? a->name.size : b->name.size;
    int order = memcmp(a->name.base, b->name.base, least);
    if (order || a->name.size != b->name.size) {
        return order ? order : a->name.size < b->name.size ? -1 : 1;
    }
    return a->only < b->only ? -1 : a->only > b->only;
}

static bool is_known(const struct names *names, struct span name, const struct abi_party *only)
{
    const struct name wanted = {name, only};
    return names->count &&
           bsearch(&wanted, names->list, names->count, sizeof(wanted), compare_names);
}

static bool is_handle(const struct search *search, struct span name, const struct abi_party *party)
{
    return !is_known(&search->locks, name, NULL) &&
           (is_known(&search->handles, name, NULL) || is_known(&search->handles, name, party));
}

/* ---- texts ---- */

/* Goes on behind `word`, if the text begins with it. */
static bool skip_word(const char **text, const char *word)
{
    size_t length = strlen(word);
    bool is_there = strncmp(*text, word, length) == 0;
    *text += is_there ? length : 0;
    return is_there;
}

static struct span take_name(const char **text)
{
    const char *start = *text;
    size_t length =
        strspn(start, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
    *text += length;
    return span_of(start, length);
}

/* `struct NAME`, and no other name. */
static bool skip_type(const char **text, struct span name)
{
    if (!skip_word(text, "struct ")) {
        return false;
    }
    struct span found = take_name(text);
    return found.size == name.size && memcmp(found.base, name.base, name.size) == 0;
}

/* What stands in front of `suffix` in a symbol's name; empty if nothing does. */
static struct span stem_of(const char *name, const char *suffix)
{
    size_t length = strlen(name);
    size_t end = strlen(suffix);
    bool is_such = length > end && strcmp(name + length - end, suffix) == 0;
    return span_of(name, is_such ? length - end : 0);
}

/* ---- which types are handles, and which are locks ---- */

static bool is_drop_of(const char *text, struct span name)
{
    return skip_word(&text, "void(") && skip_type(&text, name) && skip_word(&text, "**)") &&
           *text == '\0';
}

/* Of whatever result: the lock, then the place of its guard. */
static bool is_lock_of(const char *text, struct span name)
{
    text += strcspn(text, "(");
    return skip_word(&text, "(") && skip_type(&text, name) && skip_word(&text, "*,") &&
           skip_type(&text, name) && skip_word(&text, "**");
}

static void note_symbol(struct search *search, const struct abi_party *party,
                        const struct cell_abi_symbol *row)
{
    const struct elf64_sym *symbol = &party->object->symbols[row->symbol];
    const char *name = elf_object_symbol_name(party->object, row->symbol);
    const char *text = cell_abi_text(&party->abi, row->text);
    const struct abi_party *only = elf_symbol_binding(symbol) == STB_LOCAL ? party : NULL;
    struct span dropped = stem_of(name, "_drop");
    struct span tried = stem_of(name, "_try_lock");
    struct span locked = tried.size ? tried : stem_of(name, "_lock");
    if (dropped.size && is_drop_of(text, dropped)) {
        search->handles.list[search->handles.count++] = (struct name){dropped, only};
    }
    if (locked.size && !only && is_lock_of(text, locked)) {
        search->locks.list[search->locks.count++] = (struct name){locked, NULL};
    }
}

static void note_names(struct search *search, const struct abi_party *parties, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < parties[i].abi.symbol_count; k++) {
            if (parties[i].abi.symbols[k].symbol < parties[i].object->symbol_count) {
                note_symbol(search, &parties[i], &parties[i].abi.symbols[k]);
            }
        }
    }
    struct names *handles = &search->handles;
    struct names *locks = &search->locks;
    qsort(handles->list, handles->count, sizeof(*handles->list), compare_names);
    qsort(locks->list, locks->count, sizeof(*locks->list), compare_names);
}

/* ---- what is returned ---- */

struct look {
    const struct search *search;
    const struct abi_party *party;
};

static bool holds_handle(const struct look *look, const char *layout, unsigned depth,
                         struct span *out_handle);

/* Of a member or a result: the text goes on behind `struct NAME`, up to one of `ends`. */
static bool is_owned(const struct look *look, struct span name, const char *rest, const char *ends,
                     unsigned depth, struct span *out_handle)
{
    size_t suffix = strcspn(rest, ends);
    bool is_pointer = memchr(rest, '*', suffix) != NULL;
    bool is_owner = *rest == '*' && !memchr(rest + 1, '*', suffix - 1);
    if (is_handle(look->search, name, look->party)) {
        *out_handle = name;
        return is_owner || !is_pointer;
    }
    if (is_pointer || depth == DEPTH_MAX) {
        return false;
    }
    char wanted[256];
    size_t length = sizeof("struct ") - 1 + name.size;
    if (length >= sizeof(wanted)) {
        return false;
    }
    memcpy(wanted, "struct ", sizeof("struct ") - 1);
    memcpy(wanted + sizeof("struct ") - 1, name.base, name.size);
    const struct cell_abi_type *type = cell_abi_find_type(&look->party->abi, wanted, length);
    const char *layout = type && type->layout ? cell_abi_text(&look->party->abi, type->text) : "";
    return holds_handle(look, layout + strcspn(layout, "{"), depth + 1, out_handle);
}

/* Behind the closing one of the parentheses at `text`. */
static const char *skip_parentheses(const char *text)
{
    size_t depth = 0;
    do {
        depth += *text == '(';
        depth -= *text == ')';
        text += *text != '\0';
    } while (*text && depth);
    return text;
}

/* `{field;field;}size`, in which anonymous structures are written out. */
static bool holds_handle(const struct look *look, const char *layout, unsigned depth,
                         struct span *out_handle)
{
    for (const char *text = layout; *text;) {
        if (*text == '(') {
            text = skip_parentheses(text);
        } else if ((text == layout || text[-1] == '{' || text[-1] == ';') &&
                   skip_word(&text, "struct ")) {
            struct span name = take_name(&text);
            size_t suffix = strcspn(text, "(@;");
            if (text[suffix] != '(' && is_owned(look, name, text, "@;(", depth, out_handle)) {
                return true;
            }
        } else {
            text++;
        }
    }
    return false;
}

/* `struct NAME*(parameters)`; what goes on behind that is a function that returns a pointer to one.
 */
static bool returns_handle(const struct look *look, const char *text, struct span *out_handle)
{
    if (skip_word(&text, "struct{") || skip_word(&text, "union{")) {
        return holds_handle(look, text - 1, 0, out_handle);
    }
    if (!skip_word(&text, "struct ")) {
        return false;
    }
    struct span name = take_name(&text);
    const char *parameters = text + strcspn(text, "(");
    return *parameters && *skip_parentheses(parameters) == '\0' &&
           is_owned(look, name, text, "(", 0, out_handle);
}

static void find_in(const struct search *search, const struct abi_party *party,
                    abi_returned_visitor visit, void *context)
{
    const struct look look = {search, party};
    for (uint32_t i = 0; i < party->abi.symbol_count; i++) {
        const struct cell_abi_symbol *row = &party->abi.symbols[i];
        struct abi_returned returned = {
            .party = party,
            .symbol = row->symbol,
            .text = cell_abi_text(&party->abi, row->text),
        };
        if (row->symbol < party->object->symbol_count &&
            party->object->symbols[row->symbol].st_shndx != SHN_UNDEF &&
            returns_handle(&look, returned.text, &returned.handle)) {
            visit(context, &returned);
        }
    }
}

enum status abi_find_returned(const struct abi_party *parties, size_t count,
                              abi_returned_visitor visit, void *context)
{
    size_t rows = 1;
    for (size_t i = 0; i < count; i++) {
        rows += parties[i].abi.symbol_count;
    }
    struct search search = {
        .handles.list = calloc(rows, sizeof(struct name)),
        .locks.list = calloc(rows, sizeof(struct name)),
    };
    bool good = search.handles.list && search.locks.list;
    if (good) {
        note_names(&search, parties, count);
    }
    for (size_t i = 0; good && i < count; i++) {
        find_in(&search, &parties[i], visit, context);
    }
    free(search.handles.list);
    free(search.locks.list);
    return good ? OK : ERR_NO_MEMORY;
}
