/* SPDX-License-Identifier: MIT */
#include "explanations.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_WIDTH 78u
#define TEXT_LEFT  10u

/* "C0142", "c142", "0142" or "142". */
static const struct explained_code *find_code(const char *text)
{
    const char *digits = text + (text[0] == 'C' || text[0] == 'c');
    char *end = NULL;
    unsigned long number = strtoul(digits, &end, 10);
    if (!isdigit((unsigned char)digits[0]) || *end) {
        return NULL;
    }
    for (const struct explained_code *code = explained_codes(); code->code; code++) {
        if (code->code == number) {
            return code;
        }
    }
    return NULL;
}

/* Words with a margin, broken where the line is full. */
static void print_wrapped(const char *text)
{
    size_t column = TEXT_LEFT;
    while (*text) {
        size_t length = strcspn(text, " ");
        if (column > TEXT_LEFT && column + 1 + length > TEXT_WIDTH) {
            printf("\n%*s", (int)TEXT_LEFT, "");
            column = TEXT_LEFT;
        } else if (column > TEXT_LEFT) {
            putchar(' ');
            column++;
        }
        printf("%.*s", (int)length, text);
        column += length;
        text += length;
        text += strspn(text, " ");
    }
    putchar('\n');
}

static void print_part(const char *head, const char *text)
{
    const char *bold = colour(stdout, COLOUR_BOLD);
    const char *plain = colour(stdout, COLOUR_NONE);
    printf("%s%-*s%s", bold, (int)TEXT_LEFT, head, plain);
    print_wrapped(text);
}

static void print_code(const struct explained_code *code)
{
    printf("%sC%04u%s: %s\n\n", colour(stdout, COLOUR_RED), code->code, colour(stdout, COLOUR_NONE),
           code->rule);
    print_part("meaning", code->explanation->meaning);
    print_part("cause", code->explanation->cause);
    print_part("next", code->explanation->next);
    printf("%sexample%s   %s\n", colour(stdout, COLOUR_BOLD), colour(stdout, COLOUR_NONE),
           code->explanation->example);
}

static json_t *code_as_json(const struct explained_code *code)
{
    return json_pack("{s:o, s:s, s:s, s:s, s:s, s:s, s:s}", "code",
                     json_sprintf("C%04u", code->code), "name", code->name, "rule", code->rule,
                     "meaning", code->explanation->meaning, "cause", code->explanation->cause,
                     "next", code->explanation->next, "example", code->explanation->example);
}

static int print_json(const struct explained_code *only)
{
    json_t *root = json_root("explain", 1);
    json_t *list = json_array();
    for (const struct explained_code *code = explained_codes(); code->code; code++) {
        if (!only || code == only) {
            json_array_append_new(list, code_as_json(code));
        }
    }
    json_object_set_new(root, "codes", list);
    return json_print(root);
}

static int print_list(void)
{
    struct table *table = table_create();
    table_column(table, "code", ALIGN_LEFT);
    table_column(table, "rule that was broken", ALIGN_LEFT);
    for (const struct explained_code *code = explained_codes(); code->code; code++) {
        table_cell(table, "C%04u", code->code);
        table_cell(table, "%s", code->rule);
    }
    table_print(table, stdout);
    table_destroy(table);
    return EXIT_DONE;
}

static int run(const struct arguments *arguments)
{
    const struct explained_code *code = NULL;
    if (arguments->noun_count) {
        code = find_code(arguments->nouns[0]);
    }
    if (arguments->noun_count && !code) {
        struct problem problem = {0};
        problem_set(&problem, PROBLEM_UNKNOWN_CODE, "there is no error code %s",
                    arguments->nouns[0]);
        problem_help(&problem, "cellpack explain      lists them all");
        return report(&problem);
    }
    if (arguments->format == FORMAT_JSON) {
        return print_json(code);
    }
    if (!code) {
        return print_list();
    }
    print_code(code);
    return EXIT_DONE;
}

const struct verb verb_explain = {
    .name = "explain",
    .summary = "what an error code means, and what to do about it",
    .synopsis = "[CODE]",
    .examples = {"cellpack explain C0142", "cellpack explain"},
    .most_nouns = 1,
    .words = WORDS_CODE,
    .run = run,
};
