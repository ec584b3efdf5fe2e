/* SPDX-License-Identifier: MIT */
/*
 * help.c - the short help of a verb and the list of verbs, both made from the tables.
 *
 * A help page has at most HELP_LINES_MAX lines, so that it never scrolls and is read: summary, two
 * examples, usage, options. Options beyond the room share the last line; the manual has them all.
 */
#include "verbs.h"

#include <stdlib.h>
#include <string.h>

#define VERB_ENTRY_(name) &verb_##name,
static const struct verb *const verbs[] = {VERB_TABLE(VERB_ENTRY_) NULL};

/* summary, blank, two examples, blank, usage before the options; the common ones after them */
#define OPTION_LINES_MAX (HELP_LINES_MAX - 7)

const struct verb *const *all_verbs(void)
{
    return verbs;
}

const struct verb *find_verb(const char *name)
{
    for (const struct verb *const *verb = verbs; *verb; verb++) {
        if (strcmp((*verb)->name, name) == 0) {
            return *verb;
        }
    }
    return NULL;
}

static void print_option(FILE *stream, const struct option *option)
{
    char left[64];
    snprintf(left, sizeof(left), "%c%c%s--%s%s%s", option->letter ? '-' : ' ',
             option->letter ? option->letter : ' ', option->letter ? ", " : "  ", option->name,
             option->type == OPTION_FLAG ? "" : " ",
             option->type == OPTION_FLAG ? "" : option->value);
    fprintf(stream, "  %-26s %s", left, option->help);
    if (option->choices) {
        fprintf(stream, ": %s", option->choices);
    }
    fputc('\n', stream);
}

static void print_options(FILE *stream, const struct verb *verb)
{
    size_t count = 0;
    while (verb->options && verb->options[count].name) {
        count++;
    }
    size_t shown = count <= OPTION_LINES_MAX ? count : OPTION_LINES_MAX - 1;
    for (size_t i = 0; i < shown; i++) {
        print_option(stream, &verb->options[i]);
    }
    if (shown < count) {
        fprintf(stream, "  also:");
        for (size_t i = shown; i < count; i++) {
            const struct option *o = &verb->options[i];
            fprintf(stream, " --%s%s%s", o->name, o->type == OPTION_FLAG ? "" : " ",
                    o->type == OPTION_FLAG ? "" : o->value);
        }
        fputc('\n', stream);
    }
}

void print_help(FILE *stream, const struct verb *verb)
{
    const char *bold = colour(stream, COLOUR_BOLD);
    const char *plain = colour(stream, COLOUR_NONE);
    fprintf(stream, "%scellpack %s%s: %s\n\n", bold, verb->name, plain, verb->summary);
    fprintf(stream, "  $ %s\n  $ %s\n\n", verb->examples[0], verb->examples[1]);
    fprintf(stream, "usage: cellpack %s %s\n", verb->name, verb->synopsis);
    print_options(stream, verb);
    fprintf(stream,
            "every verb: --format FORMAT, --json, --color WHEN, -h; manual: cellpack help %s\n",
            verb->name);
}

void print_overview(FILE *stream)
{
    fprintf(stream, "cellpack builds cells and answers questions about them.\n\n"
                    "usage: cellpack VERB [OPTION].. [NAME]..\n\n");
    for (const struct verb *const *verb = verbs; *verb; verb++) {
        if (!(*verb)->hidden) {
            fprintf(stream, "  %s%-11s%s %s\n", colour(stream, COLOUR_BOLD), (*verb)->name,
                    colour(stream, COLOUR_NONE), (*verb)->summary);
        }
    }
    fprintf(stream, "\n`cellpack VERB --help` is short, `cellpack help VERB` is the manual.\n");
}

/* Levenshtein distance by rows; words here are short. */
#define WORD_MAX 48

static size_t distance_of(const char *a, const char *b)
{
    size_t row[WORD_MAX + 1];
    size_t length = strlen(b);
    if (length > WORD_MAX || strlen(a) > WORD_MAX) {
        return WORD_MAX;
    }
    for (size_t j = 0; j <= length; j++) {
        row[j] = j;
    }
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < length; j++) {
            size_t changed = diagonal + (a[i] != b[j]);
            size_t added = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;
            diagonal = row[j + 1];
            row[j + 1] = changed < added ? changed : added;
        }
    }
    return row[length];
}

void suggestion_offer(struct suggestion *suggestion, const char *candidate)
{
    size_t distance = distance_of(suggestion->word, candidate);
    size_t bound = strlen(suggestion->word) / 3 + 1;
    if (distance <= bound && (!suggestion->best || distance < suggestion->distance)) {
        suggestion->best = candidate;
        suggestion->distance = distance;
    }
}
