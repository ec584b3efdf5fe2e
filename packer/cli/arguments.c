/* SPDX-License-Identifier: MIT */
/*
 * arguments.c - one parser for all verbs, driven by their tables.
 *
 * getopt_long would need a second table, prints by itself and knows no choices, numbers or lists,
 * so that each verb would check them again. Accepted: --name=value, --name value, -n value,
 * -nvalue, flags in one word (-ai), options after nouns, `--` to end them, a lone `-` as a noun.
 */
#include "cli.h"

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct option common[] = {
    {.name = "format",
     .type = OPTION_TEXT,
     .value = "FORMAT",
     .choices = "table|json|dot|svg|html|edges",
     .help = "how to print the result"},
    {.name = "json", .type = OPTION_FLAG, .help = "short for --format=json"},
    {.name = "color",
     .type = OPTION_TEXT,
     .value = "WHEN",
     .choices = "auto|always|never",
     .help = "colours"},
    {.name = "help", .letter = 'h', .type = OPTION_FLAG, .help = "this page"},
    {.name = NULL},
};

const struct option *common_options(void)
{
    return common;
}

struct parser {
    struct arguments *arguments;
    int count;
    int next;
    char *const *values;
};

static bool same_name(const char *name, const char *text, size_t length)
{
    return strlen(name) == length && memcmp(name, text, length) == 0;
}

static const struct option *find_long(const struct verb *verb, const char *text, size_t length)
{
    for (const struct option *o = verb->options; o && o->name; o++) {
        if (same_name(o->name, text, length)) {
            return o;
        }
    }
    for (const struct option *o = common; o->name; o++) {
        if (same_name(o->name, text, length)) {
            return o;
        }
    }
    return NULL;
}

static const struct option *find_short(const struct verb *verb, char letter)
{
    for (const struct option *o = verb->options; o && o->name; o++) {
        if (o->letter == letter) {
            return o;
        }
    }
    for (const struct option *o = common; o->name; o++) {
        if (o->letter == letter) {
            return o;
        }
    }
    return NULL;
}

static bool is_choice(const char *choices, const char *value)
{
    size_t length = strlen(value);
    for (const char *at = choices; *at;) {
        size_t step = strcspn(at, "|");
        if (step == length && memcmp(at, value, length) == 0) {
            return true;
        }
        at += step + (at[step] == '|');
    }
    return false;
}

static bool is_number(const char *text, uint64_t *out)
{
    char *end = NULL;
    errno = 0;
    *out = strtoull(text, &end, 0);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0;
}

static bool accept_option(struct parser *parser, const struct option *option, const char *value)
{
    struct arguments *arguments = parser->arguments;
    uint64_t number = 0;
    if (option->choices && !is_choice(option->choices, value)) {
        report_usage(arguments->verb, "--%s takes %s, not '%s'", option->name, option->choices,
                     value);
        return false;
    }
    if (option->type == OPTION_NUMBER && !is_number(value, &number)) {
        report_usage(arguments->verb, "--%s takes a number, not '%s'", option->name, value);
        return false;
    }
    arguments->given[arguments->given_count++] = (struct given){option, value};
    return true;
}

static bool unknown_option(const struct verb *verb, const char *text)
{
    size_t length = strcspn(text, "=");
    char name[64];
    snprintf(name, sizeof(name), "%.*s", (int)(length < sizeof(name) ? length : sizeof(name) - 1),
             text);
    struct suggestion near = {.word = name};
    for (const struct option *o = verb->options; o && o->name; o++) {
        suggestion_offer(&near, o->name);
    }
    for (const struct option *o = common; o->name; o++) {
        suggestion_offer(&near, o->name);
    }
    if (near.best) {
        report_usage(verb, "there is no option --%s; is --%s meant?", name, near.best);
    } else {
        report_usage(verb, "there is no option --%s", name);
    }
    return false;
}

/* `value` is what stood in the same word, or NULL. */
static bool take_value(struct parser *parser, const struct option *option, const char *value)
{
    if (!value) {
        if (parser->next >= parser->count) {
            report_usage(parser->arguments->verb, "--%s needs a value: %s", option->name,
                         option->value);
            return false;
        }
        value = parser->values[parser->next++];
    }
    return accept_option(parser, option, value);
}

static bool parse_long(struct parser *parser, const char *text)
{
    const struct verb *verb = parser->arguments->verb;
    size_t length = strcspn(text, "=");
    const char *value = text[length] ? text + length + 1 : NULL;
    const struct option *option = find_long(verb, text, length);
    if (!option) {
        return unknown_option(verb, text);
    }
    if (option->type != OPTION_FLAG) {
        return take_value(parser, option, value);
    }
    if (value) {
        report_usage(verb, "--%s takes no value", option->name);
        return false;
    }
    return accept_option(parser, option, NULL);
}

static bool parse_short(struct parser *parser, const char *letters)
{
    const struct verb *verb = parser->arguments->verb;
    for (; *letters; letters++) {
        const struct option *option = find_short(verb, *letters);
        if (!option) {
            report_usage(verb, "there is no option -%c", *letters);
            return false;
        }
        if (option->type != OPTION_FLAG) {
            return take_value(parser, option, letters[1] ? letters + 1 : NULL);
        }
        if (!accept_option(parser, option, NULL)) {
            return false;
        }
    }
    return true;
}

static bool parse_words(struct parser *parser)
{
    struct arguments *arguments = parser->arguments;
    bool options_over = false;
    while (parser->next < parser->count) {
        const char *word = parser->values[parser->next++];
        bool good = true;
        if (options_over || word[0] != '-' || !word[1]) {
            arguments->nouns[arguments->noun_count++] = word;
        } else if (word[1] != '-') {
            good = parse_short(parser, word + 1);
        } else if (!word[2]) {
            options_over = true;
        } else {
            good = parse_long(parser, word + 2);
        }
        if (!good) {
            return false;
        }
    }
    return true;
}

static enum output_format format_of(const char *name)
{
    static const struct {
        const char *name;
        enum output_format format;
    } names[] = {{"json", FORMAT_JSON},
                 {"dot", FORMAT_DOT},
                 {"svg", FORMAT_SVG},
                 {"html", FORMAT_HTML},
                 {"edges", FORMAT_EDGES}};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (strcmp(name, names[i].name) == 0) {
            return names[i].format;
        }
    }
    return FORMAT_TABLE;
}

static bool choose_format(struct arguments *arguments)
{
    const struct verb *verb = arguments->verb;
    const char *name = argument_text(arguments, "format");
    name = argument_given(arguments, "json") ? "json" : name ? name : "table";
    unsigned supported = verb->formats ? verb->formats : FORMAT_TABLE | FORMAT_JSON;
    arguments->format = format_of(name);
    if (!(supported & (unsigned)arguments->format)) {
        report_usage(verb, "%s cannot be printed as %s", verb->name, name);
        return false;
    }
    return true;
}

static bool check_nouns(const struct arguments *arguments)
{
    const struct verb *verb = arguments->verb;
    if (arguments->noun_count < verb->least_nouns) {
        report_usage(verb, "%s: too few names", verb->name);
        return false;
    }
    if (arguments->noun_count > verb->most_nouns) {
        report_usage(verb, "%s does not know what to do with '%s'", verb->name,
                     arguments->nouns[verb->most_nouns]);
        return false;
    }
    return true;
}

/* A word of n letters holds at most n flags. */
static size_t most_given(int count, char *const *values)
{
    size_t letters = 1;
    for (int i = 0; i < count; i++) {
        letters += strlen(values[i]);
    }
    return letters;
}

bool arguments_parse(struct arguments *arguments, const struct verb *verb, int count,
                     char *const *values, int *exit_code)
{
    *arguments = (struct arguments){
        .verb = verb,
        .nouns = allocate(((size_t)count + 1) * sizeof(*arguments->nouns)),
        .given = allocate(most_given(count, values) * sizeof(*arguments->given)),
    };
    struct parser parser = {.arguments = arguments, .count = count, .values = values};
    *exit_code = EXIT_USAGE;
    if (!parse_words(&parser)) {
        return false;
    }
    arguments->nouns[arguments->noun_count] = NULL;
    output_set_colour(argument_text(arguments, "color"));
    if (argument_given(arguments, "help")) {
        print_help(stdout, verb);
        *exit_code = EXIT_DONE;
        return false;
    }
    return choose_format(arguments) && check_nouns(arguments);
}

void arguments_fini(struct arguments *arguments)
{
    free(arguments->nouns);
    free(arguments->given);
    *arguments = (struct arguments){0};
}

/* The last one given counts, as users expect who append to an alias. */
static const struct given *find_given(const struct arguments *arguments, const char *name)
{
    const struct option *option = find_long(arguments->verb, name, strlen(name));
    if (!option) {
        internal_error("verb %s has no option --%s", arguments->verb->name, name);
    }
    for (size_t i = arguments->given_count; i > 0; i--) {
        if (arguments->given[i - 1].option == option) {
            return &arguments->given[i - 1];
        }
    }
    return NULL;
}

bool argument_given(const struct arguments *arguments, const char *name)
{
    return find_given(arguments, name) != NULL;
}

const char *argument_text(const struct arguments *arguments, const char *name)
{
    const struct given *given = find_given(arguments, name);
    return given ? given->value : NULL;
}

uint64_t argument_number(const struct arguments *arguments, const char *name, uint64_t otherwise)
{
    const char *text = argument_text(arguments, name);
    uint64_t number = 0;
    return text && is_number(text, &number) ? number : otherwise;
}

const char *argument_nth(const struct arguments *arguments, const char *name, size_t n)
{
    for (size_t i = 0; i < arguments->given_count; i++) {
        if (strcmp(arguments->given[i].option->name, name) == 0 && n-- == 0) {
            return arguments->given[i].value;
        }
    }
    return NULL;
}

static const char *newest_of(const glob_t *found)
{
    const char *newest = NULL;
    struct timespec when = {0};
    for (size_t i = 0; i < found->gl_pathc; i++) {
        struct stat status;
        if (stat(found->gl_pathv[i], &status) == 0 &&
            (!newest || status.st_mtim.tv_sec > when.tv_sec)) {
            newest = found->gl_pathv[i];
            when = status.st_mtim;
        }
    }
    return newest ? duplicate_text(newest) : NULL;
}

const char *find_cells(const struct arguments *arguments, struct problem *problem)
{
    const char *named = argument_text(arguments, "cells");
    named = named ? named : getenv("CELLPACK_CELLS");
    if (named) {
        return named;
    }
    static const char *const usual[] = {"cells.a", "image/cells.a", "build/image/cells.a"};
    for (size_t i = 0; i < ARRAY_COUNT(usual); i++) {
        if (access(usual[i], R_OK) == 0) {
            return usual[i];
        }
    }
    glob_t found = {0};
    const char *newest = NULL;
    if (glob("build/*/image/cells.a", 0, NULL, &found) == 0) {
        newest = newest_of(&found);
    }
    globfree(&found);
    if (!newest) {
        problem_set(problem, PROBLEM_NO_CELLS, "no archive of cells was found");
        problem_because(problem, "there is no cells.a here, in image/ or in build/*/image/");
        problem_help(problem, "name it: --cells FILE, or set CELLPACK_CELLS");
    }
    return newest;
}
