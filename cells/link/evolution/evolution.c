/* SPDX-License-Identifier: MIT */
/*
 * Lines are taken apart into words at single spaces. One table says which words a line has;
 * everything else, what a word may be and where a line may stand, is checked in two functions
 * below.
 */
#include "evolution.h"
#include "diag.h"
#include "format.h"

CELL(library, "1.0.0");

#define WORDS_MAX  4
#define NO_BUNDLE  "-"
#define PLACE_SIZE 24
#define QUOTE_SIZE 40
#define MAX_SETS   EVOLUTION_MAX_CELLS

/* The line at hand. */
struct reading {
    struct span text;
    struct span line;
    uint64_t next; /* offset of the line behind it */
    uint32_t number;
    struct diag *diag;
};

enum word_kind {
    WORD_OLD,
    WORD_NEW,
    WORD_OLD_HASH,
    WORD_NEW_HASH,
    WORD_OLD_VARIABLE,
    WORD_NEW_VARIABLE,
    WORD_FUNCTION,
};

static const struct line_form {
    const char *keyword;
    enum evolution_kind kind;
    uint8_t count;
    uint8_t words[WORDS_MAX]; /* enum word_kind */
} forms[] = {
    {"replace", EVOLUTION_REPLACE, 4, {WORD_OLD, WORD_OLD_HASH, WORD_NEW, WORD_NEW_HASH}},
    {"remove", EVOLUTION_REMOVE, 2, {WORD_OLD, WORD_OLD_HASH}},
    {"add", EVOLUTION_ADD, 2, {WORD_NEW, WORD_NEW_HASH}},
    {"inherit", EVOLUTION_INHERIT, 2, {WORD_NEW, WORD_OLD}},
    {"transfer",
     EVOLUTION_TRANSFER,
     4,
     {WORD_NEW, WORD_OLD_VARIABLE, WORD_NEW_VARIABLE, WORD_FUNCTION}},
    {"fresh", EVOLUTION_FRESH, 2, {WORD_NEW, WORD_NEW_VARIABLE}},
};

/* ---- bytes, words, lines ---- */

static enum status refuse(const struct reading *reading, enum diag_code code, struct span word)
{
    char place[PLACE_SIZE];
    char quote[QUOTE_SIZE];
    size_t length = word.size < sizeof(quote) - 1 ? word.size : sizeof(quote) - 1;
    if (length) {
        __builtin_memcpy(quote, word.base, length);
    }
    quote[length] = '\0';
    format_into(place, sizeof(place), "line %u", (unsigned)reading->number);
    bool is_inside =
        word.base >= reading->line.base && word.base <= reading->line.base + reading->line.size;
    return diag_set(
        reading->diag, code,
        &(struct diag_site){.cell = "evolution",
                            .section = place,
                            .symbol = quote,
                            .offset = is_inside ? (uint64_t)(word.base - reading->line.base) : 0});
}

/*
 * False at the end of the text. A last line without its end is one too; who reads to the end
 * refuses it.
 */
static bool next_line(struct reading *reading)
{
    if (reading->next >= reading->text.size) {
        return false;
    }
    const uint8_t *start = reading->text.base + reading->next;
    size_t rest = reading->text.size - (size_t)reading->next;
    const uint8_t *end = __builtin_memchr(start, '\n', rest);
    size_t size = end ? (size_t)(end - start) : rest;
    reading->line = span_of(start, size);
    reading->next += size + (end != NULL);
    reading->number++;
    return true;
}

/* Takes the word in front of the next space; false where there is none. */
static bool next_word(struct span *rest, struct span *out_word)
{
    if (rest->size == 0) {
        return false;
    }
    const uint8_t *space = __builtin_memchr(rest->base, ' ', rest->size);
    size_t size = space ? (size_t)(space - rest->base) : rest->size;
    *out_word = span_of(rest->base, size);
    size_t taken = size + (space != NULL);
    *rest = span_of(rest->base + taken, rest->size - taken);
    return true;
}

static bool is_text(struct span word, const char *text)
{
    return span_equal(word, span_of(text, __builtin_strlen(text)));
}

/* A line that is its words with single spaces between them ends in none. */
static bool ends_well(struct span line)
{
    return line.size > 0 && line.base[line.size - 1] != ' ';
}

static bool has_only_printable(struct span line)
{
    for (size_t i = 0; i < line.size; i++) {
        if (line.base[i] < 0x20 || line.base[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

/* ---- words ---- */

static bool is_small(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* A cell's name, or a symbol's: letters of either size, `.` and `$` too. */
static bool read_name(struct span word, bool is_symbol, char *out, size_t size)
{
    for (size_t i = 0; i < word.size; i++) {
        uint8_t c = word.base[i];
        bool is_other = (c >= 'A' && c <= 'Z') || c == '.' || c == '$';
        if (!is_small(c) && !(is_symbol && is_other)) {
            return false;
        }
    }
    if (word.size == 0 || word.size >= size) {
        return false;
    }
    __builtin_memcpy(out, word.base, word.size);
    out[word.size] = '\0';
    return true;
}

static int digit_of(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hash(struct span word, struct blake2b_digest *out)
{
    if (word.size != 2 * BLAKE2B_DIGEST) {
        return false;
    }
    for (size_t i = 0; i < BLAKE2B_DIGEST; i++) {
        int high = digit_of(word.base[2 * i]);
        int low = digit_of(word.base[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out->bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* Decimal, without leading zeros; 1 and up. */
static bool read_number(struct span word, uint32_t *out)
{
    uint32_t number = 0;
    for (size_t i = 0; i < word.size; i++) {
        uint8_t c = word.base[i];
        if (c < '0' || c > '9' || (i == 0 && c == '0') || number > MAX_SETS) {
            return false;
        }
        number = number * 10 + (c - '0');
    }
    *out = number;
    return word.size > 0;
}

/* A file name, not a path. */
static bool read_bundle_name(struct span word, char out[EVOLUTION_BUNDLE_SIZE])
{
    for (size_t i = 0; i < word.size; i++) {
        uint8_t c = word.base[i];
        if (!is_small(c) && !(c >= 'A' && c <= 'Z') && !(i > 0 && (c == '.' || c == '-'))) {
            return false;
        }
    }
    if (word.size == 0 || word.size >= EVOLUTION_BUNDLE_SIZE) {
        return false;
    }
    __builtin_memcpy(out, word.base, word.size);
    out[word.size] = '\0';
    return true;
}

static bool read_word(struct span word, enum word_kind kind, struct evolution_line *line)
{
    switch (kind) {
    case WORD_OLD:
        return read_name(word, false, line->old_name, sizeof(line->old_name));
    case WORD_NEW:
        return read_name(word, false, line->new_name, sizeof(line->new_name));
    case WORD_OLD_HASH:
        return read_hash(word, &line->old_hash);
    case WORD_NEW_HASH:
        return read_hash(word, &line->new_hash);
    case WORD_OLD_VARIABLE:
        return read_name(word, true, line->old_variable, sizeof(line->old_variable));
    case WORD_NEW_VARIABLE:
        return read_name(word, true, line->new_variable, sizeof(line->new_variable));
    case WORD_FUNCTION:
        return read_name(word, true, line->function, sizeof(line->function));
    }
    return false;
}

/* ---- lines ---- */

static enum status read_set(const struct reading *reading, struct span rest, uint32_t set,
                            struct evolution_line *out)
{
    struct span word;
    uint32_t number;
    if (!next_word(&rest, &word) || !read_number(word, &number)) {
        return refuse(reading, DIAG_EVOLUTION_WORD, reading->line);
    }
    if (number != set + 1) {
        return refuse(reading, DIAG_EVOLUTION_ORDER, word);
    }
    out->kind = EVOLUTION_SET;
    out->set = number;
    if (rest.size == 0) {
        return OK;
    }
    if (!next_word(&rest, &word) || !is_text(word, "after") || rest.size == 0) {
        return refuse(reading, DIAG_EVOLUTION_LINE, word);
    }
    out->text = rest;
    for (uint32_t last = 0; next_word(&rest, &word); last = number) {
        if (!read_number(word, &number)) {
            return refuse(reading, DIAG_EVOLUTION_WORD, word);
        }
        if (number <= last || number > set) {
            return refuse(reading, DIAG_EVOLUTION_ORDER, word);
        }
    }
    return OK;
}

static enum status read_words(const struct reading *reading, const struct line_form *form,
                              struct span rest, struct evolution_line *out)
{
    out->kind = form->kind;
    for (uint8_t i = 0; i < form->count; i++) {
        struct span word;
        if (!next_word(&rest, &word)) {
            return refuse(reading, DIAG_EVOLUTION_LINE, reading->line);
        }
        if (!read_word(word, form->words[i], out)) {
            return refuse(reading, DIAG_EVOLUTION_WORD, word);
        }
    }
    return rest.size == 0 ? OK : refuse(reading, DIAG_EVOLUTION_LINE, rest);
}

/* `set` is that of the line before. */
static enum status read_line(const struct reading *reading, uint32_t set,
                             struct evolution_line *out)
{
    struct span rest = reading->line;
    struct span keyword;
    *out = (struct evolution_line){.number = reading->number, .set = set};
    if (!next_word(&rest, &keyword) || !ends_well(reading->line)) {
        return refuse(reading, DIAG_EVOLUTION_LINE, reading->line);
    }
    if (is_text(keyword, "set")) {
        return read_set(reading, rest, set, out);
    }
    if (set == 0) {
        return refuse(reading, DIAG_EVOLUTION_ORDER, keyword);
    }
    if (is_text(keyword, "because")) {
        out->kind = EVOLUTION_BECAUSE;
        out->text = rest;
        return rest.size ? OK : refuse(reading, DIAG_EVOLUTION_LINE, keyword);
    }
    for (size_t i = 0; i < ARRAY_COUNT(forms); i++) {
        if (is_text(keyword, forms[i].keyword)) {
            return read_words(reading, &forms[i], rest, out);
        }
    }
    return refuse(reading, DIAG_EVOLUTION_LINE, keyword);
}

static bool is_about_cell(enum evolution_kind kind)
{
    return kind == EVOLUTION_REPLACE || kind == EVOLUTION_REMOVE || kind == EVOLUTION_ADD;
}

/* ---- the whole ---- */

static enum status read_header(struct reading *reading, struct evolution *out)
{
    if (!next_line(reading) || !is_text(reading->line, EVOLUTION_HEADER)) {
        return refuse(reading, DIAG_EVOLUTION_FORMAT, reading->line);
    }
    if (!next_line(reading)) {
        return refuse(reading, DIAG_EVOLUTION_END, span_of(NULL, 0));
    }
    struct span rest = reading->line;
    struct span word;
    if (!next_word(&rest, &word) || !is_text(word, "bundle") || !next_word(&rest, &word)) {
        return refuse(reading, DIAG_EVOLUTION_LINE, reading->line);
    }
    if (is_text(word, NO_BUNDLE)) {
        return rest.size == 0 ? OK : refuse(reading, DIAG_EVOLUTION_LINE, rest);
    }
    if (!read_bundle_name(word, out->bundle)) {
        return refuse(reading, DIAG_EVOLUTION_WORD, word);
    }
    return read_hash(rest, &out->bundle_hash) ? OK : refuse(reading, DIAG_EVOLUTION_WORD, rest);
}

/* Is a cell of this line in one of those before it? */
static bool is_named_before(const struct evolution *evolution, const struct evolution_line *line)
{
    struct evolution_cursor cursor = {0};
    struct evolution_line other;
    while (evolution_next(evolution, &cursor, &other) && other.number < line->number) {
        if (is_about_cell(other.kind) &&
            ((line->old_name[0] && __builtin_strcmp(line->old_name, other.old_name) == 0) ||
             (line->new_name[0] && __builtin_strcmp(line->new_name, other.new_name) == 0))) {
            return true;
        }
    }
    return false;
}

/* Where, and with what, a line may stand. `cell` is the new cell of the last line about cells in
 * its set. */
static enum status check_place(const struct reading *reading, const struct evolution *evolution,
                               const struct evolution_line *line,
                               const char cell[EVOLUTION_NAME_SIZE])
{
    bool is_more = line->new_name[0] && !is_about_cell(line->kind);
    if ((is_more && __builtin_strcmp(line->new_name, cell) != 0) ||
        (line->new_name[0] && !evolution->bundle[0])) {
        return refuse(reading, DIAG_EVOLUTION_ORDER, reading->line);
    }
    return is_about_cell(line->kind) && is_named_before(evolution, line)
               ? refuse(reading, DIAG_EVOLUTION_TWICE, reading->line)
               : OK;
}

static enum status check_limits(const struct reading *reading, const struct evolution *evolution)
{
    bool is_within = reading->line.size <= EVOLUTION_MAX_LINE &&
                     reading->number <= EVOLUTION_MAX_LINES && evolution->set_count <= MAX_SETS &&
                     evolution->cell_count <= EVOLUTION_MAX_CELLS;
    if (!is_within) {
        return refuse(reading, DIAG_EVOLUTION_LIMIT, span_of(reading->line.base, 0));
    }
    return has_only_printable(reading->line)
               ? OK
               : refuse(reading, DIAG_EVOLUTION_LINE, span_of(reading->line.base, 0));
}

/* Reads the sets, to the line `end`. */
static enum status read_sets(struct reading *reading, struct evolution *evolution)
{
    char cell[EVOLUTION_NAME_SIZE] = ""; /* the new one of the last line about cells in this set */
    uint32_t set = 0;
    bool is_empty = false; /* the set has no cell yet */
    while (next_line(reading)) {
        struct evolution_line line = {.kind = EVOLUTION_SET};
        bool is_end = is_text(reading->line, "end");
        enum status status = check_limits(reading, evolution);
        status = status || is_end ? status : read_line(reading, set, &line);
        if (status) {
            return status;
        }
        if (is_empty && line.kind == EVOLUTION_SET) { /* or the end */
            return refuse(reading, DIAG_EVOLUTION_ORDER, reading->line);
        }
        if (is_end) {
            bool is_last = reading->next == reading->text.size &&
                           reading->text.base[reading->text.size - 1] == '\n';
            return is_last ? OK : refuse(reading, DIAG_EVOLUTION_END, reading->line);
        }
        status = check_place(reading, evolution, &line, cell);
        if (status) {
            return status;
        }
        if (is_about_cell(line.kind) || line.kind == EVOLUTION_SET) {
            __builtin_memcpy(cell, line.new_name, sizeof(cell));
        }
        set = line.set;
        is_empty = line.kind == EVOLUTION_SET || (is_empty && !is_about_cell(line.kind));
        evolution->set_count += line.kind == EVOLUTION_SET;
        evolution->cell_count += is_about_cell(line.kind);
    }
    return refuse(reading, DIAG_EVOLUTION_END, span_of(NULL, 0));
}

enum status evolution_open(struct span text, struct evolution *out_evolution, struct diag *diag)
{
    struct reading reading = {.text = text, .diag = diag};
    struct evolution evolution = {.text = text};
    if (text.size > EVOLUTION_MAX_SIZE) {
        return refuse(&reading, DIAG_EVOLUTION_LIMIT, span_of(NULL, 0));
    }
    enum status status = read_header(&reading, &evolution);
    evolution.first = reading.next;
    status = status ? status : read_sets(&reading, &evolution);
    if (status == OK) {
        *out_evolution = evolution;
    }
    return status;
}

bool evolution_next(const struct evolution *evolution, struct evolution_cursor *cursor,
                    struct evolution_line *out_line)
{
    struct reading reading = {
        .text = evolution->text,
        .next = cursor->offset ? cursor->offset : evolution->first,
        .number = cursor->offset ? cursor->number : 2,
    };
    if (!next_line(&reading) || is_text(reading.line, "end") ||
        read_line(&reading, cursor->set, out_line) != OK) {
        return false;
    }
    *cursor = (struct evolution_cursor){reading.next, reading.number, out_line->set};
    return true;
}

bool evolution_next_before(struct evolution_line *line, uint32_t *out_set)
{
    struct span word;
    return line->kind == EVOLUTION_SET && next_word(&line->text, &word) &&
           read_number(word, out_set);
}
