/* SPDX-License-Identifier: MIT */
/*
 * verb_where.c - which source line a place in a cell comes from; and the same for whole reports.
 *
 * The kernel names places as CELL:SECTION+OFFSET and has no debug information: that stays on the
 * host, so it is read here. In a report each line that names a place gets its source line at the
 * end. What follows "by" is where a call returns to: the call itself ends there, so the byte before
 * is asked for.
 */
#include "subject.h"

#include "source_lines.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct place {
    uint32_t section; /* MODEL_NOWHERE: the text names none */
    uint64_t offset;
    const char *text; /* where it begins in the line, and how long it is */
    size_t length;
};

static bool is_name(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '-' || c == '$';
}

static size_t name_length(const char *text)
{
    size_t length = 0;
    while (is_name(text[length])) {
        length++;
    }
    return length;
}

/* The section of that name in the cell of that name. */
static uint32_t find_section(const struct model *model, const char *cell, size_t cell_length,
                             const char *section, size_t section_length)
{
    uint32_t found = MODEL_NOWHERE;
    char *name = format_text("%.*s", (int)section_length, section);
    for (uint32_t i = 0; i < model->cell_count && found == MODEL_NOWHERE; i++) {
        const char *candidate = model->cells[i].name;
        if (strlen(candidate) == cell_length && memcmp(candidate, cell, cell_length) == 0) {
            found = model_find_section(model, i, name);
        }
    }
    free(name);
    return found;
}

/* CELL:SECTION[+0xOFFSET] at `text`, which is the beginning of a word. */
static struct place read_place(const struct model *model, const char *text)
{
    struct place place = {.section = MODEL_NOWHERE, .text = text};
    size_t cell = name_length(text);
    if (cell == 0 || text[cell] != ':') {
        return place;
    }
    const char *section = text + cell + 1;
    size_t length = name_length(section);
    if (length == 0) {
        return place;
    }
    const char *end = section + length;
    if (*end == '+') {
        char *behind;
        place.offset = strtoull(end + 1, &behind, 0);
        end = behind;
    }
    place.length = (size_t)(end - text);
    place.section = find_section(model, text, cell, section, length);
    return place;
}

/* The first place that a line names. */
static struct place find_place(const struct model *model, const char *line)
{
    for (const char *at = line; *at; at++) {
        bool is_start = is_name(*at) && (at == line || !is_name(at[-1]));
        if (is_start) {
            struct place place = read_place(model, at);
            if (place.section != MODEL_NOWHERE) {
                return place;
            }
        }
    }
    return (struct place){.section = MODEL_NOWHERE};
}

static bool is_return_address(const char *line)
{
    const char *text = line + strspn(line, " ");
    return strncmp(text, "by ", 3) == 0 || strncmp(text, "by? ", 4) == 0;
}

static char *source_of(struct source_lines *lines, const struct model *model,
                       const struct place *place, const char *line)
{
    if (place->section == MODEL_NOWHERE) {
        return NULL;
    }
    uint64_t before = is_return_address(line) && place->offset > 0;
    return source_lines_find(lines, model, place->section, place->offset - before);
}

/* ---- reports ---- */

static void print_line(const char *line, const char *source)
{
    if (source) {
        printf("%s  %s%s%s\n", line, colour(stdout, COLOUR_BOLD), source,
               colour(stdout, COLOUR_NONE));
    } else {
        printf("%s\n", line);
    }
}

static void add_json(json_t *places, const struct place *place, const char *source)
{
    char *text = format_text("%.*s", (int)place->length, place->text);
    json_array_append_new(places, json_pack("{s:o, s:o}", "place", json_text(text), "source",
                                            json_text_or_null(source)));
    free(text);
}

/* Standard input, line by line. */
static void filter(const struct model *model, struct source_lines *lines, json_t *places)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t length;
    while ((length = getline(&line, &size, stdin)) >= 0) {
        while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r')) {
            line[--length] = '\0';
        }
        struct place place = find_place(model, line);
        char *source = source_of(lines, model, &place, line);
        if (!places) {
            print_line(line, source);
        } else if (place.section != MODEL_NOWHERE) {
            add_json(places, &place, source);
        }
        free(source);
    }
    free(line);
}

/* ---- places on the command line ---- */

static int report_unknown(const struct subject *subject, const char *word)
{
    struct problem problem = {0};
    problem_set(&problem, PROBLEM_UNKNOWN_SYMBOL, "'%s' is no place in a cell", word);
    problem_where(&problem, "%s", subject->input);
    problem_help(&problem,
                 "write CELL:SECTION+OFFSET, as the kernel does: heap:.text.heap_free+0x1c");
    return report(&problem);
}

static int answer(const struct subject *subject, struct source_lines *lines, json_t *places)
{
    for (size_t i = 0; i < subject->word_count; i++) {
        const char *word = subject->words[i];
        struct place place = read_place(subject->model, word);
        if (place.section == MODEL_NOWHERE || word[place.length]) {
            return report_unknown(subject, word);
        }
        char *source = source_of(lines, subject->model, &place, word);
        if (places) {
            add_json(places, &place, source);
        } else {
            printf("%s\n", source ? source : "?");
        }
        free(source);
    }
    return EXIT_DONE;
}

static int run(const struct arguments *arguments)
{
    struct subject subject;
    int code = subject_open(arguments, MODEL_STRICT, &subject);
    if (code) {
        return code;
    }
    bool is_json = arguments->format == FORMAT_JSON;
    json_t *places = is_json ? json_array() : NULL;
    struct source_lines *lines = source_lines_create(argument_text(arguments, "debug-dir"));
    if (subject.has_words) {
        code = answer(&subject, lines, places);
    } else {
        filter(subject.model, lines, places);
    }
    if (is_json && !code) {
        json_t *root = json_root("where", 1);
        json_object_set_new(root, "input", json_text(subject.input));
        json_object_set(root, "places", places);
        code = json_print(root);
    }
    json_decref(places);
    source_lines_destroy(lines);
    subject_close(&subject);
    return code;
}

static const struct option options[] = {
    {.name = "debug-dir",
     .type = OPTION_TEXT,
     .value = "FOLDER",
     .words = WORDS_FOLDER,
     .help = "where the .debug files are"},
    OPTION_CELLS,
    {.name = NULL},
};

const struct verb verb_where = {
    .name = "where",
    .summary = "which source lines does a report speak of?",
    .synopsis = "[OPTION].. [CELL:SECTION+OFFSET]..",
    .examples = {"scripts/run --headless --app 'fault null' | cellpack where",
                 "cellpack where heap:.text.heap_free+0x1c"},
    .options = options,
    .most_nouns = NOUNS_UNLIMITED,
    .words = WORDS_CELL,
    .run = run,
};
