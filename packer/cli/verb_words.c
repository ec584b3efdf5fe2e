/* SPDX-License-Identifier: MIT */
/*
 * verb_words.c - what could come next on a command line; what the completion scripts call.
 *
 * Why: the knowledge about verbs, options and names is in one place and one language. The scripts
 * of three shells only hand over the words and show the answer.
 *
 * `cellpack words -- W1 W2 .. CURRENT` prints one candidate a line for CURRENT (which may be
 * empty), or one line `@files` or `@folders`. It prints nothing rather than an error.
 */
#include "archive.h"
#include "bytes.h"
#include "explanations.h"

#include <stdlib.h>
#include <string.h>

static const struct option options[] = {
    OPTION_CELLS,
    {.name = "descriptions", .type = OPTION_FLAG, .help = "behind a tab, what it is"},
    {.name = NULL},
};

struct line {
    const struct arguments *arguments;
    const char **words; /* `=` as a word of its own, as bash splits, is joined with its option */
    size_t count;
    const char *current;
    const char *prefix; /* to print in front of each candidate: "--format=" */
    bool describe;
};

static void offer(const struct line *line, const char *candidate, const char *description)
{
    if (strncmp(candidate, line->current, strlen(line->current)) != 0) {
        return;
    }
    printf("%s%s", line->prefix, candidate);
    if (line->describe && description) {
        printf("\t%s", description);
    }
    putchar('\n');
}

/* ---- names in the archive ---- */

static void offer_cells(const struct line *line, const struct archive *archive)
{
    struct archive_member member;
    for (uint64_t at = archive->first_member; archive_member_at(archive, at, &member, NULL) == OK;
         at = member.next) {
        char *dot = strrchr(member.name, '.');
        if (dot && strcmp(dot, ".cell") == 0) {
            *dot = '\0';
            offer(line, member.name, "cell");
        }
    }
}

static void offer_symbols(const struct line *line, const struct archive *archive)
{
    struct archive_cursor cursor = {0};
    const char *symbol;
    uint64_t member;
    while (archive_index_next(archive, &cursor, &symbol, &member)) {
        offer(line, symbol, "symbol");
    }
}

static const char *archive_path(const struct line *line, struct problem *problem)
{
    for (size_t i = 0; i + 1 < line->count; i++) {
        if (strcmp(line->words[i], "--cells") == 0) {
            return line->words[i + 1];
        }
    }
    return find_cells(line->arguments, problem);
}

static void offer_names(const struct line *line, bool symbols)
{
    struct problem problem = {0};
    struct bytes file = {0};
    struct archive archive;
    const char *path = archive_path(line, &problem);
    if (path && bytes_read_file(&file, path, &problem) == OK &&
        archive_open(bytes_span(&file), &archive, NULL) == OK) {
        offer_cells(line, &archive);
        if (symbols) {
            offer_symbols(line, &archive);
        }
    }
    bytes_fini(&file);
    problem_fini(&problem);
}

/* ---- the rest ---- */

static void offer_verbs(const struct line *line)
{
    for (const struct verb *const *verb = all_verbs(); *verb; verb++) {
        if (!(*verb)->hidden) {
            offer(line, (*verb)->name, (*verb)->summary);
        }
    }
}

static void offer_codes(const struct line *line)
{
    for (const struct explained_code *code = explained_codes(); code->code; code++) {
        char text[16];
        snprintf(text, sizeof(text), "C%04u", code->code);
        offer(line, text, code->rule);
    }
}

static void offer_choices(const struct line *line, const char *choices)
{
    char *copy = duplicate_text(choices);
    char *rest = NULL;
    for (char *word = strtok_r(copy, "|", &rest); word; word = strtok_r(NULL, "|", &rest)) {
        offer(line, word, NULL);
    }
    free(copy);
}

static void offer_words(const struct line *line, enum words words)
{
    switch (words) {
    case WORDS_NONE:
        break;
    case WORDS_FILE:
        puts("@files");
        break;
    case WORDS_FOLDER:
        puts("@folders");
        break;
    case WORDS_CELL:
    case WORDS_SYMBOL:
        offer_names(line, words == WORDS_SYMBOL);
        break;
    case WORDS_VERB:
        offer_verbs(line);
        break;
    case WORDS_CODE:
        offer_codes(line);
        break;
    }
}

static void offer_options(const struct line *line, const struct verb *verb)
{
    const struct option *const tables[] = {verb->options, common_options()};
    for (size_t i = 0; i < ARRAY_COUNT(tables); i++) {
        for (const struct option *option = tables[i]; option && option->name; option++) {
            char text[64];
            snprintf(text, sizeof(text), "--%s", option->name);
            offer(line, text, option->help);
        }
    }
}

/* The option that `word` names, without a value in the same word and if it takes one; else NULL. */
static const struct option *waiting_option(const struct verb *verb, const char *word)
{
    const struct option *const tables[] = {verb->options, common_options()};
    for (size_t i = 0; i < ARRAY_COUNT(tables); i++) {
        for (const struct option *option = tables[i]; option && option->name; option++) {
            bool is_long = strncmp(word, "--", 2) == 0 && strcmp(word + 2, option->name) == 0;
            bool is_short =
                option->letter && word[0] == '-' && word[1] == option->letter && !word[2];
            if ((is_long || is_short) && option->type != OPTION_FLAG) {
                return option;
            }
        }
    }
    return NULL;
}

static void offer_value(const struct line *line, const struct option *option)
{
    if (option->choices) {
        offer_choices(line, option->choices);
    } else {
        offer_words(line, option->words);
    }
}

/* `--format=js`: the value is completed, and the option stays in front of it. */
static void offer_joined_value(struct line *line, const struct verb *verb, const char *equals)
{
    char *name = duplicate_text(line->current);
    name[equals - line->current] = '\0';
    const struct option *option = waiting_option(verb, name);
    if (option) {
        char *prefix = format_text("%s=", name);
        line->prefix = prefix;
        line->current = equals + 1;
        offer_value(line, option);
        free(prefix);
    }
    free(name);
}

static void complete(struct line *line)
{
    if (line->count == 0) {
        offer_verbs(line);
        return;
    }
    const struct verb *verb = find_verb(line->words[0]);
    if (!verb) {
        return;
    }
    const char *before = line->words[line->count - 1];
    const struct option *waiting = line->count > 1 ? waiting_option(verb, before) : NULL;
    const char *equals = line->current[0] == '-' ? strchr(line->current, '=') : NULL;
    if (waiting) {
        offer_value(line, waiting);
    } else if (equals) {
        offer_joined_value(line, verb, equals);
    } else if (line->current[0] == '-') {
        offer_options(line, verb);
    } else if (verb->noun_choices) {
        offer_choices(line, verb->noun_choices);
    } else {
        offer_words(line, verb->words);
    }
}

static int run(const struct arguments *arguments)
{
    struct line line = {
        .arguments = arguments,
        .words = allocate((arguments->noun_count + 1) * sizeof(*line.words)),
        .current = "",
        .prefix = "",
        .describe = argument_given(arguments, "descriptions"),
    };
    for (size_t i = 0; i < arguments->noun_count; i++) {
        bool last = i + 1 == arguments->noun_count;
        bool equals = strcmp(arguments->nouns[i], "=") == 0;
        if (last && !equals) {
            line.current = arguments->nouns[i];
        } else if (!equals) {
            line.words[line.count++] = arguments->nouns[i];
        }
    }
    complete(&line);
    free(line.words);
    return EXIT_DONE;
}

const struct verb verb_words = {
    .name = "words",
    .summary = "what could come next on a command line (for completion)",
    .synopsis = "-- [WORD].. CURRENT",
    .examples = {"cellpack words -- explain C01", "cellpack words -- compile --profile ''"},
    .options = options,
    .formats = FORMAT_TABLE,
    .most_nouns = NOUNS_UNLIMITED,
    .hidden = true,
    .run = run,
};
