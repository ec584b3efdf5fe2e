/* SPDX-License-Identifier: MIT */
/*
 * Texts of types, as docs/cell-format.md writes them:
 *
 *   type      base { " const" | " volatile" | " atomic" | "*" | "[" [n] "]" | "(" parameters ")" }
 *   base      void u8 s32 bool ... | struct NAME | union NAME | enum NAME
 *             | struct{ field; ... }size | union{...}size | enum{ NAME=n, ... }base
 *   field     type " " [name] "@" offset [ "." bit ":" width ]
 *   layout    struct NAME{ field; ... }size [" align " n] | ... | enum NAME{ NAME=n, ... }base
 *   signature type
 *
 * A text may hold anything: brackets that do not match only make parts that mean nothing.
 */
#include "cell_abi.h"
#include "format.h"

static struct span part_of(const char *start, const char *end)
{
    return span_of(start, (size_t)(end - start));
}

static bool is_open(char c)
{
    return c == '{' || c == '(' || c == '[';
}

static bool is_close(char c)
{
    return c == '}' || c == ')' || c == ']';
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* The first `a` or `b` from `at` on that is in no bracket, a bracket that closes more than it
 * opened, or the end. */
static const char *find_end(const char *at, char a, char b)
{
    size_t depth = 0;
    for (; *at; at++) {
        if (depth == 0 && (*at == a || *at == b || is_close(*at))) {
            return at;
        }
        depth += is_open(*at);
        depth -= is_close(*at);
    }
    return at;
}

struct span cell_abi_type_name(const char *layout)
{
    const char *end = layout;
    while (*end && *end != '{') {
        end++;
    }
    return part_of(layout, end);
}

bool cell_abi_next_part(const char *layout, uint64_t *cursor, struct span *out)
{
    const char *end = layout + __builtin_strlen(layout);
    const char *at = layout + *cursor;
    if (*cursor == 0) {
        at += cell_abi_type_name(layout).size;
        at += *at == '{';
    }
    const char *stop = find_end(at, ';', ',');
    if (at == end || is_close(*at) || *stop == '\0') {
        *out = part_of(at + is_close(*at), end);
        return false;
    }
    *out = part_of(at, stop);
    *cursor = (uint64_t)(stop - layout) + !is_close(*stop);
    return true;
}

/* ---- mentions ---- */

/* The length of `struct NAME` and the like at `at`, or 0. */
static size_t mention_length(const char *at)
{
    static const char *const keywords[] = {"struct ", "union ", "enum "};
    for (size_t i = 0; i < ARRAY_COUNT(keywords); i++) {
        size_t length = __builtin_strlen(keywords[i]);
        if (__builtin_strncmp(at, keywords[i], length) == 0) {
            size_t end = length;
            while (is_word(at[end])) {
                end++;
            }
            return end > length ? end : 0;
        }
    }
    return 0;
}

/* Behind a type's name: is it a pointer to it, or a function that returns it? */
static bool is_reached(const char *at)
{
    static const char *const qualifiers[] = {" const", " volatile", " atomic"};
    for (;;) {
        size_t length = 0;
        for (size_t i = 0; i < ARRAY_COUNT(qualifiers); i++) {
            size_t size = __builtin_strlen(qualifiers[i]);
            if (__builtin_strncmp(at, qualifiers[i], size) == 0 && !is_word(at[size])) {
                length = size;
            }
        }
        if (length == 0 && *at == '[') {
            const char *end = find_end(at + 1, ']', ']');
            length = *end ? (size_t)(end - at) + 1 : 0;
        }
        if (length == 0) {
            return *at == '*' || *at == '(';
        }
        at += length;
    }
}

bool cell_abi_next_mention(const char *text, uint64_t *cursor, struct span *out_name,
                           bool *out_inside)
{
    size_t depth = 0; /* of parentheses */
    for (const char *at = text; *at; at++) {
        depth += *at == '(';
        depth -= *at == ')' && depth > 0;
        size_t length = at == text || !is_word(at[-1]) ? mention_length(at) : 0;
        if (length == 0) {
            continue;
        }
        bool is_own = at == text && at[length] == '{';
        if (!is_own && (uint64_t)(at - text) >= *cursor) {
            *out_name = span_of(at, length);
            *out_inside = depth == 0 && !is_reached(at + length);
            *cursor = (uint64_t)(at - text) + length;
            return true;
        }
        at += length - 1;
    }
    return false;
}

/* ---- differences ---- */

static struct cell_abi_difference difference_of(enum cell_abi_part part, uint32_t index,
                                                struct span mine, struct span theirs)
{
    return (struct cell_abi_difference){part, index, mine, theirs};
}

static struct span whole(const char *text)
{
    return span_of(text, __builtin_strlen(text));
}

static struct cell_abi_difference compare_layouts(const char *mine, const char *theirs,
                                                  enum cell_abi_part part)
{
    uint64_t a = 0;
    uint64_t b = 0;
    for (uint32_t index = 1;; index++) {
        struct span left;
        struct span right;
        bool more_left = cell_abi_next_part(mine, &a, &left);
        bool more_right = cell_abi_next_part(theirs, &b, &right);
        if (!more_left && !more_right) {
            return difference_of(CELL_ABI_SIZE, 0, left, right);
        }
        if (!more_left || !more_right || !span_equal(left, right)) {
            return difference_of(part, index, more_left ? left : span_of(NULL, 0),
                                 more_right ? right : span_of(NULL, 0));
        }
    }
}

/* Where the parameters of a function's text begin: behind the parenthesis that its last byte
 * closes. NULL: none. */
static const char *parameters_of(const char *text)
{
    const char *open = NULL;
    size_t depth = 0;
    size_t length = __builtin_strlen(text);
    if (length == 0 || text[length - 1] != ')') {
        return NULL;
    }
    for (const char *at = text; *at; at++) {
        if (*at == '(' && depth == 0) {
            open = at + 1;
        }
        depth += is_open(*at);
        depth -= is_close(*at) && depth > 0;
    }
    return open;
}

static struct cell_abi_difference compare_functions(const char *mine, const char *my_parameters,
                                                    const char *theirs,
                                                    const char *their_parameters)
{
    struct span left = part_of(mine, my_parameters - 1);
    struct span right = part_of(theirs, their_parameters - 1);
    if (!span_equal(left, right)) {
        return difference_of(CELL_ABI_RETURN, 0, left, right);
    }
    const char *a = my_parameters;
    const char *b = their_parameters;
    for (uint32_t index = 1;; index++) {
        const char *a_end = find_end(a, ',', ')');
        const char *b_end = find_end(b, ',', ')');
        left = part_of(a, a_end);
        right = part_of(b, b_end);
        if (!span_equal(left, right)) {
            return difference_of(CELL_ABI_PARAMETER, index, left, right);
        }
        bool more_left = *a_end == ',';
        bool more_right = *b_end == ',';
        if (!more_left && !more_right) { /* differ in what no well-formed text has */
            return difference_of(CELL_ABI_TYPE, 0, whole(mine), whole(theirs));
        }
        a = a_end + more_left;
        b = b_end + more_right;
    }
}

static const char *skip_digits(const char *at)
{
    while (*at >= '0' && *at <= '9') {
        at++;
    }
    return at;
}

/* `extern u8 table[]` declares any array of u8: do only the first bounds of two arrays differ, and
 * one has none? */
static bool is_same_array(const char *mine, const char *theirs)
{
    size_t same = 0;
    while (mine[same] && mine[same] == theirs[same]) {
        same++;
    }
    const char *a = skip_digits(mine + same);
    const char *b = skip_digits(theirs + same);
    bool is_open_bound = same > 0 && mine[same - 1] == '[' && *a == ']' && *b == ']' &&
                         (a == mine + same || b == theirs + same);
    return is_open_bound && __builtin_strcmp(a, b) == 0 && (a[1] == '\0' || a[1] == '[');
}

struct cell_abi_difference cell_abi_compare(const char *mine, const char *theirs)
{
    if (__builtin_strcmp(mine, theirs) == 0 || is_same_array(mine, theirs)) {
        return (struct cell_abi_difference){.part = CELL_ABI_SAME};
    }
    const char *a = parameters_of(mine);
    const char *b = parameters_of(theirs);
    if (a && b) {
        return compare_functions(mine, a, theirs, b);
    }
    struct span name = cell_abi_type_name(mine);
    if (!a && !b && span_equal(name, cell_abi_type_name(theirs)) && mine[name.size] == '{' &&
        theirs[name.size] == '{') {
        bool is_enumeration = __builtin_strncmp(mine, "enum", 4) == 0;
        return compare_layouts(mine, theirs, is_enumeration ? CELL_ABI_ENUMERATOR : CELL_ABI_FIELD);
    }
    return difference_of(CELL_ABI_TYPE, 0, whole(mine), whole(theirs));
}

static void append_side(struct format_buffer *line, struct span part, const char *cell)
{
    if (part.size > 0) {
        format_append_bytes(line, (const char *)part.base, part.size);
    } else {
        format_append(line, "none");
    }
    format_append(line, " in %s", cell);
}

size_t cell_abi_format_difference(const struct cell_abi_difference *difference, const char *mine,
                                  const char *theirs, char *buffer, size_t size)
{
    static const char *const parts[] = {
        [CELL_ABI_SAME] = "nothing",  [CELL_ABI_TYPE] = "type",
        [CELL_ABI_RETURN] = "result", [CELL_ABI_PARAMETER] = "parameter",
        [CELL_ABI_FIELD] = "field",   [CELL_ABI_ENUMERATOR] = "enumerator",
        [CELL_ABI_SIZE] = "size",
    };
    struct format_buffer line = format_buffer_of(buffer, size);
    format_append(&line, "%s", parts[difference->part]);
    if (difference->index) {
        format_append(&line, " %u", difference->index);
    }
    if (difference->part != CELL_ABI_SAME) {
        format_append(&line, ": ");
        append_side(&line, difference->mine, mine);
        format_append(&line, ", ");
        append_side(&line, difference->theirs, theirs);
    }
    return line.length;
}
